# SPDX-License-Identifier: BSD-3-Clause
"""
Marginals of nominal and adversarial events on top of each other.

:func:`plot_marginal` draws one feature, from any two histograms with the same
bins; :func:`plot_marginals` draws several side by side.  For the result of an
attack, :func:`representative_marginals` gives the features that moved least,
typically and most.
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
from hepfool.plots.panels import band_handle, draw_ratio, set_headroom, stacked_panels, yield_title
from hepfool.plots.style import PlotStyle, add_experiment_label
from hepfool.statistics.marginals import Binning
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
    """

    nominal: Hist[Any]
    adversarial: Hist[Any]
    js_distance: float | None = None
    js_floor: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Check that both histograms have one axis and the same bins."""
        if self.nominal.ndim != 1 or self.adversarial.ndim != 1:
            msg = f"a marginal has one axis, got {self.nominal.ndim} and {self.adversarial.ndim}; select or sum the others"
            raise ValueError(msg)
        if not np.array_equal(self.nominal.axes[0].edges, self.adversarial.axes[0].edges):
            msg = "nominal and adversarial histograms must have the same bins; fill them with one axis"
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
    histograms = [
        _filled(events.values[chosen, column], table.weights[chosen], edges, table.features[feature])
        for events in (table, result.adversarial)
    ]
    return Marginal(
        nominal=histograms[0],
        adversarial=histograms[1],
        js_distance=float(compatibility.js_distance[column]),
        js_floor=float(compatibility.js_floor[column]),
        note=note or (region or "").replace("_", " "),
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
    shown: Marginal, *, style: PlotStyle | None = None, log_y: bool = False
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw one feature with the ratio of adversarial to nominal yields below.

    Parameters
    ----------
    shown : Marginal
        Both histograms.
    style : PlotStyle, optional
        Experiment and label.
    log_y : bool
        Logarithmic yields.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields and ratio.
    """
    figure, columns = plot_marginals([shown], style=style, log_y=log_y)
    return figure, columns[0]


def plot_marginals(
    shown: Sequence[Marginal], *, style: PlotStyle | None = None, log_y: bool = False
) -> tuple[Figure, tuple[tuple[Axes, Axes], ...]]:
    """
    Draw several features side by side, each with its ratio.

    Parameters
    ----------
    shown : sequence of Marginal
        One per panel, such as :func:`representative_marginals` of a result.
    style : PlotStyle, optional
        Experiment and label.
    log_y : bool
        Logarithmic yields.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields and ratio of each panel.

    Raises
    ------
    ValueError
        If there is nothing to show.
    """
    if not shown:
        msg = "no marginal to show; give at least one"
        raise ValueError(msg)
    style = style or PlotStyle()
    with style.context():
        figure = style.figure(width=len(shown))
        columns = stacked_panels(figure, len(shown))
        for item, (ax, below) in zip(shown, columns, strict=True):
            _draw_yields(ax, item, style, log_y=log_y)
            draw_ratio(below, item.nominal, item.adversarial, colour=style.adversarial_colour)
            below.set_xlabel(item.nominal.axes[0].label)
        add_experiment_label(columns[0][0], style, right=len(shown) == 1)
        if len(shown) > 1:
            add_experiment_label(columns[-1][0], style, left=False)
    return figure, columns


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
