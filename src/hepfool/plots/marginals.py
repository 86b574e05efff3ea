# SPDX-License-Identifier: BSD-3-Clause
"""
Marginals of nominal and adversarial events on top of each other.

:func:`plot_marginal` draws one feature; :func:`plot_marginals` draws several in a grid.  For the result of an
attack, :func:`representative_marginals` gives the features that moved least, typically and most.

Below each marginal stands the net change of every bin with its paired error, because both histograms hold the same events.
Two histograms alone do not tell which events moved: then it is their ratio, without errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mplhep
import numpy as np
from hist import Hist
from hist.axis import Variable
from hist.storage import Weight
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.attacks.base import AttackResult
from hepfool.features import Feature
from hepfool.plots.panels import band_handle, draw_migration, draw_ratio, set_headroom, stacked_panels, yield_title
from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled
from hepfool.statistics.marginals import Binning
from hepfool.statistics.migration import Migration
from hepfool.typing import FloatArray

__all__ = ["Marginal", "marginal", "plot_marginal", "plot_marginals", "representative_marginals"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marginal:
    """
    The distribution of one feature before and after an attack.

    Attributes
    ----------
    nominal, adversarial : hist.Hist
        One-dimensional histograms of the same events in the same bins.  The
        axis label is the axis title, such as ``tau $p_T$ [GeV]``.
    js_distance, js_floor : float, optional
        Distance and its sampling floor as the attack was judged, dimensionless.
    note : str
        Remark for the reader, such as the region.
    migration : Migration, optional
        Net change of each bin with its paired error; the ratio is drawn without it.
    """

    nominal: Hist[Any]
    adversarial: Hist[Any]
    js_distance: float | None = None
    js_floor: float | None = None
    note: str = ""
    migration: Migration | None = None

    def __post_init__(self) -> None:
        """Check that both histograms have one axis and the same bins."""
        if self.nominal.ndim != 1 or self.adversarial.ndim != 1:
            msg = f"a marginal has one axis, got {self.nominal.ndim} and {self.adversarial.ndim}; select or sum the others"
            raise ValueError(msg)
        if not np.array_equal(self.nominal.axes[0].edges, self.adversarial.axes[0].edges):
            msg = "nominal and adversarial histograms must have the same bins; fill them with one axis"
            raise ValueError(msg)
        if self.migration is not None and len(self.migration.net) != self.nominal.axes[0].size:
            msg = f"the migration has {len(self.migration.net)} bins, the histograms {self.nominal.axes[0].size}"
            raise ValueError(msg)


def marginal(
    result: AttackResult, feature: str, *, region: str | None = None, n_bins: int = 50, note: str = ""
) -> Marginal:
    """
    Fill the marginal of one feature of an attack.

    Parameters
    ----------
    result : AttackResult
        Nominal and adversarial events.
    feature : str
        Feature name.
    region : str, optional
        Region of the events; all constrained events by default.
    n_bins : int
        Bins of the figure between the outer edges of the attack's bins; integer
        features have one bin per number.  Values beyond count in the outer
        bins, missing values are left out.
    note : str
        Remark for the reader.

    Returns
    -------
    Marginal
        With the distance and the floor in the attack's own bins.
    """
    table = result.nominal
    compatibility = result.compatibility if region is None else result.compare(region)
    chosen = table.constrained if region is None else table.region(region).mask
    column = table.features.index(feature)
    edges = _figure_edges(table.features[feature], result.binning.edges[column], n_bins)
    before, after = (events.values[chosen, column] for events in (table, result.adversarial))
    weights = table.weights[chosen]
    nominal, adversarial = (_filled(values, weights, edges, table.features[feature]) for values in (before, after))
    return Marginal(
        nominal=nominal,
        adversarial=adversarial,
        js_distance=float(compatibility.js_distance[column]),
        js_floor=float(compatibility.js_floor[column]),
        note=note or (region or "").replace("_", " "),
        migration=_migration(before, after, weights, edges),
    )


def _figure_edges(feature: Feature, edges: FloatArray, n_bins: int) -> FloatArray:
    if feature.kind == "integer":
        return np.arange(np.floor(edges[0]), np.ceil(edges[-1]) + 2) - 0.5
    return np.linspace(edges[0], edges[-1], n_bins + 1)


def _filled(values: FloatArray, weights: FloatArray, edges: FloatArray, feature: Feature) -> Hist[Any]:
    binning = Binning(edges[None, :])
    histogram: Hist[Any] = Hist(Variable(edges, name=feature.name, label=feature.title, flow=False), storage=Weight())
    view: Any = histogram.view()
    view["value"] = binning.yields(values[:, None], weights)[0, :-1]
    view["variance"] = binning.yields(values[:, None], weights**2)[0, :-1]
    return histogram


def _migration(before: FloatArray, after: FloatArray, weights: FloatArray, edges: FloatArray) -> Migration:
    # A missing value stays missing: its bin would have no change.
    present = ~np.isnan(before)
    old, new = (Binning(edges[None, :]).indices(values[present, None])[:, 0] for values in (before, after))
    return Migration.between(old, new, weights[present], n_bins=len(edges) - 1)


def representative_marginals(
    result: AttackResult, *, region: str | None = None, n_bins: int = 50
) -> tuple[Marginal, ...]:
    """
    Marginals with the smallest, the median and the largest distance.

    Fixed features, which no attack moves, count only if there are no others.

    Parameters
    ----------
    result : AttackResult
        Nominal and adversarial events.
    region : str, optional
        Region of the events; all constrained events by default.
    n_bins : int
        Bins of the figures.

    Returns
    -------
    tuple of Marginal
        Three, or as many as there are features if fewer.
    """
    ranked = (result.compatibility if region is None else result.compare(region)).ranked()
    features = result.nominal.features
    movable = tuple(name for name in ranked if features[name].kind != "fixed")
    ranked = movable or ranked
    places = {len(ranked) - 1: "Largest distance", 0: "Smallest distance", (len(ranked) - 1) // 2: "Median distance"}
    if len(ranked) < 3:
        places = dict.fromkeys(range(len(ranked)), "")
    return tuple(marginal(result, ranked[k], region=region, n_bins=n_bins, note=places[k]) for k in sorted(places))


def plot_marginal(
    shown: Marginal, *, style: PlotStyle = DEFAULT_STYLE, log_y: bool = False
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw one feature with the net change of each bin below, or the ratio where that is not known.

    Parameters
    ----------
    shown : Marginal
        Both histograms.
    log_y : bool
        Logarithmic yields.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields and changes.
    """
    figure, columns = plot_marginals([shown], style=style, log_y=log_y)
    return figure, columns[0]


@styled
def plot_marginals(
    shown: Sequence[Marginal], *, n_columns: int = 3, style: PlotStyle = DEFAULT_STYLE, log_y: bool = False
) -> tuple[Figure, tuple[tuple[Axes, Axes], ...]]:
    """
    Draw several features in a grid, each with the net change of its bins below, or the ratio where that is not known.

    Parameters
    ----------
    shown : sequence of Marginal
        One per panel, such as :func:`representative_marginals` of a result.
    n_columns : int
        Features per row.
    log_y : bool
        Logarithmic yields.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields and changes of each feature.

    Raises
    ------
    ValueError
        If there is nothing to show, or no column to show it in.
    """
    if not shown or n_columns < 1:
        msg = f"no marginal to show: {len(shown)} in {n_columns} columns; give at least one of both"
        raise ValueError(msg)
    n_columns = min(n_columns, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure = style.figure(width=n_columns, height=n_rows)
    panels = stacked_panels(figure, n_columns, len(shown))
    for item, (ax, below) in zip(shown, panels, strict=True):
        _draw_yields(ax, item, style, log_y=log_y)
        if item.migration is None:
            draw_ratio(below, item.nominal, item.adversarial, colour=style.adversarial_colour)
        else:
            draw_migration(below, item.nominal, item.migration, colour=style.adversarial_colour)
        below.set_xlabel(item.nominal.axes[0].label)
    return figure, panels


def _draw_yields(ax: Axes, shown: Marginal, style: PlotStyle, *, log_y: bool) -> None:
    before, after = shown.nominal, shown.adversarial
    mplhep.histplot(before, ax=ax, histtype="fill", color=style.nominal_colour, alpha=0.4, label="Nominal", flow="none")
    mplhep.histplot(
        after, ax=ax, yerr=False, color=style.adversarial_colour, linewidth=2, label="Adversarial", flow="none"
    )
    ax.set_xlabel("")
    ax.set_ylabel(yield_title(before))
    set_headroom(ax, max(before.values().max(), after.values().max()), log_y=log_y)
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(handles=[*handles, band_handle()], loc="upper right", fontsize=style.text_size)
    mplhep.add_text(_remarks(shown), ax=ax, loc="upper left", fontsize=style.text_size)


def _remarks(shown: Marginal) -> str:
    lines = [shown.note] if shown.note else []
    if shown.js_distance is not None:
        lines.append(f"JS distance {shown.js_distance:.2g}")
    if shown.js_floor is not None:
        lines.append(f"Stat. floor {shown.js_floor:.2g}")
    return "\n".join(lines)
