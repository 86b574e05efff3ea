# SPDX-License-Identifier: BSD-3-Clause
"""
Inputs before and after an attack: marginals, linear correlations, and pairs of features.

Below each marginal stands the net change of every bin with its paired error, because both histograms hold the same events.
Where it is not known which events moved, the ratio of the two histograms is drawn, without errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import mplhep
import numpy as np
from hist import Hist
from hist.axis import Variable
from hist.storage import Weight
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from hepfool.attacks.base import AttackResult
from hepfool.events._region import region_titles
from hepfool.plots._style import (
    DEFAULT_STYLE,
    PlotStyle,
    StyledFigure,
    band_handle,
    draw_migration,
    draw_ratio,
    height_of_lines,
    height_of_square,
    set_headroom,
    stacked_panels,
    styled,
    yield_title,
)
from hepfool.statistics._compatibility import Compatibility
from hepfool.statistics._migration import Migration
from hepfool.statistics._projections import rank_projections
from hepfool.statistics.marginals import Binning
from hepfool.sums import AttackSums
from hepfool.sums._fill import figure_edges, figure_rows
from hepfool.typing import BoolArray, FloatArray


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


def marginal(source: AttackSums | AttackResult, feature: str, *, region: str | None = None, note: str = "") -> Marginal:
    """
    Give the marginal of one feature of an attack.

    Parameters
    ----------
    source : AttackSums or AttackResult
        Nominal and adversarial events, or sums of them.
    region : str, optional
        Region of the events; all constrained events by default.

    Returns
    -------
    Marginal
        In bins of a round width, 20 to 50 between the outer edges of the attack's bins, integer features in one bin per number,
        with the distance and the floor in the attack's own bins.  Values beyond count in the outer bins, missing values are left
        out.
    """
    compatibility = _compared(source, region)
    column = compatibility.features.index(feature)
    _, title, kind = _described(source)[column]
    binning = source.binning if isinstance(source, AttackResult) else source.facts["binning"]
    edges = figure_edges(kind, binning.edges[column])
    rows = _rows(source, column, region)
    axis = Variable(edges, name=feature, label=title, flow=False)
    return Marginal(
        nominal=_filled(axis, *rows[:2]),
        adversarial=_filled(axis, *rows[2:4]),
        js_distance=float(compatibility.js_distance[column]),
        js_floor=float(compatibility.js_floor[column]),
        note=note or ("" if region is None else _place(source, region)),
        migration=Migration(net=rows[4], variance=rows[5]),
    )


def _compared(source: AttackSums | AttackResult, region: str | None) -> Compatibility:
    if isinstance(source, AttackSums):
        return source.compatibility(region or "constrained")
    return source.compatibility if region is None else source.compare(region)


def _described(source: AttackSums | AttackResult) -> tuple[tuple[str, str, str], ...]:
    """Name, title and kind of each feature."""
    described: tuple[tuple[str, str, str], ...] = (
        source.facts["features"]
        if isinstance(source, AttackSums)
        else tuple((feature.name, feature.title, feature.kind) for feature in source.nominal.features)
    )
    return described


def _place(source: AttackSums | AttackResult, region: str) -> str:
    """Name a region as a figure does."""
    if isinstance(source, AttackSums):
        return source.labels[region]
    table = source.nominal
    titles = dict(zip([one.name for one in table.regions], region_titles(table.regions, table.features), strict=True))
    return titles[region]


def _rows(source: AttackSums | AttackResult, column: int, region: str | None) -> Sequence[FloatArray]:
    if isinstance(source, AttackSums):
        return list(source.total("marginal", name=source.features[column], region=region or "constrained"))
    mask = source.nominal.constrained if region is None else source.nominal.region(region).mask
    ((_, rows),) = figure_rows(source.nominal, source.adversarial, column, source.binning, {"": mask})
    return rows


def _filled(axis: Variable, yields: FloatArray, variances: FloatArray) -> Hist[Any]:
    histogram: Hist[Any] = Hist(axis, storage=Weight())
    view: Any = histogram.view()
    view["value"], view["variance"] = yields, variances
    return histogram


def representative_marginals(source: AttackSums | AttackResult, *, region: str | None = None) -> tuple[Marginal, ...]:
    """
    Marginals with the smallest, the median and the largest distance.

    Fixed features, which no attack moves, count only if there are no others.

    Parameters
    ----------
    source : AttackSums or AttackResult
        Nominal and adversarial events, or sums of them.
    region : str, optional
        Region of the events; all constrained events by default.

    Returns
    -------
    tuple of Marginal
        Three, or as many as there are features if fewer.
    """
    ranked = _compared(source, region).ranked()
    kinds = {name: kind for name, _, kind in _described(source)}
    ranked = tuple(name for name in ranked if kinds[name] != "fixed") or ranked
    places = {len(ranked) - 1: "Largest distance", 0: "Smallest distance", (len(ranked) - 1) // 2: "Median distance"}
    if len(ranked) < 3:
        places = dict.fromkeys(range(len(ranked)), "")
    return tuple(marginal(source, ranked[k], region=region, note=places[k]) for k in sorted(places))


def plot_marginal(
    shown: Marginal, *, style: PlotStyle = DEFAULT_STYLE, log_y: bool = False
) -> tuple[Figure, tuple[Axes, Axes]]:
    """Draw one feature with the net change of each bin below, or the ratio where that is not known."""
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
    figure = style.figure(width=n_columns, height=n_rows * (1.0 if n_columns == 1 else _TALLER * height_of_square()))
    panels = stacked_panels(figure, n_columns, len(shown))
    for item, (ax, below) in zip(shown, panels, strict=True):
        _draw_yields(ax, item, style, log_y=log_y)
        if item.migration is None:
            draw_ratio(below, item.nominal, item.adversarial, colour=style.adversarial_colour)
        else:
            draw_migration(below, item.nominal, item.migration, colour=style.adversarial_colour)
        below.set_xlabel(item.nominal.axes[0].label)
        below.set_xlim(*_filled_range(item))
    handles, _ = panels[0][0].get_legend_handles_labels()
    figure.legend(
        handles=[*handles, band_handle()],
        loc="outside lower left",
        ncols=min(n_columns + 1, 3),
        fontsize=style.text_size,
    )
    return figure, panels


def _filled_range(shown: Marginal) -> tuple[float, float]:
    """Range of the bins that hold all but a little of the yields, at either end."""
    edges = shown.nominal.axes[0].edges
    both = np.abs(shown.nominal.values()) + np.abs(shown.adversarial.values())
    share = np.cumsum(both) / (both.sum() or 1.0)
    inside = np.flatnonzero((share > _TAIL) & (np.concatenate([[0.0], share[:-1]]) < 1.0 - _TAIL))
    first, last = (inside[0], inside[-1]) if len(inside) else (0, len(both) - 1)
    return float(edges[first]), float(edges[last + 1])


def _draw_yields(ax: Axes, shown: Marginal, style: PlotStyle, *, log_y: bool) -> None:
    before, after = shown.nominal, shown.adversarial
    mplhep.histplot(before, ax=ax, histtype="fill", color=style.nominal_colour, alpha=0.4, label="Nominal", flow="none")
    mplhep.histplot(
        after, ax=ax, yerr=False, color=style.adversarial_colour, linewidth=2, label="Adversarial", flow="none"
    )
    ax.set_xlabel("")
    ax.set_ylabel(yield_title(before))
    set_headroom(ax, max(before.values().max(), after.values().max()), log_y=log_y)
    mplhep.add_text(_remarks(shown), ax=ax, loc="upper right", fontsize=style.text_size)


def _remarks(shown: Marginal) -> str:
    lines = [shown.note] if shown.note else []
    if shown.js_distance is not None:
        lines.append(f"JS distance {shown.js_distance:.3g}")
    if shown.js_floor is not None:
        lines.append(f"Stat. floor {shown.js_floor:.2g}")
    return "\n".join(lines)


_SMALLEST_SCALE = 1e-3
#: Height of the panels where several stand side by side.
_TALLER = 1.25
#: Share of the yields at either end that is not shown.
_TAIL = 1e-3


@styled
def plot_correlations(
    compatibility: Compatibility, *, labels: Sequence[str] | None = None, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, Axes]:
    """
    Draw the Pearson matrix of the nominal events below the diagonal and what the attack changes above it.

    The change has its own colour scale, because an attack that passes a validation changes each coefficient by a few per cent at
    most.  Both are symmetric around zero.  A frame marks the coefficient that changes most.

    Parameters
    ----------
    compatibility : Compatibility
        Both matrices, the correlation shift and its sampling floor.
    labels : sequence of str, optional
        Axis titles of the features; their names by default.

    Raises
    ------
    ValueError
        If there is not one label per feature.
    """
    names = tuple(labels or compatibility.features)
    if len(names) != len(compatibility.features):
        msg = f"{len(names)} labels for {len(compatibility.features)} features; give one each"
        raise ValueError(msg)
    nominal = compatibility.correlation_nominal
    change = compatibility.correlation_adversarial - nominal
    longest = max(len(_TEX.sub("", name)) for name in names)
    width = 1.4 + _PER_LETTER * max(0, longest - _SHORT)
    lines = 0.8 * _name_scale(names) * (1.2 * len(names) + 0.6 * longest) + _AROUND
    figure = style.figure(width=width, height=max(1.15, height_of_lines(lines, width=width)))
    ax = figure.subplots()
    lower = np.tri(len(names), dtype=np.bool_)
    mesh = _draw_triangle(ax, nominal, lower, 1.0)
    _add_scale(figure, mesh, ax, "Nominal correlation (below the diagonal)", fontsize=_text_size())
    mesh = _draw_triangle(ax, change, ~lower, _scale(change))
    _add_scale(figure, mesh, ax, "Adversarial \N{MINUS SIGN} nominal (above)", fontsize=_text_size())
    _name_features(ax, names)
    remark = (
        f"{compatibility.n_events} events ({compatibility.region.replace('_', ' ')}), "
        rf"$\Delta$FN = {compatibility.correlation_shift:.2g}, stat. floor {compatibility.correlation_floor:.2g}"
    )
    largest = _mark_largest(ax, change, names)
    ax.set_xlabel(f"{remark}\n{largest}".strip(), loc="right", fontsize=style.text_size)
    return figure, ax


def _scale(difference: FloatArray) -> float:
    """Largest entry, rounded up to two digits."""
    largest = float(np.abs(difference).max())
    if largest < _SMALLEST_SCALE:
        return _SMALLEST_SCALE
    digit = 10.0 ** (np.floor(np.log10(largest)) - 1)
    return float(np.ceil(largest / digit) * digit)


def _mark_largest(ax: Axes, difference: FloatArray, names: Sequence[str]) -> str:
    """Frame the largest change and say what it is; nothing if there is none."""
    above = np.abs(np.triu(difference, k=1))
    row, column = divmod(int(above.argmax()), len(difference))
    if above[row, column] == 0.0:
        return ""
    ax.add_patch(
        Rectangle((column, row), 1.0, 1.0, fill=False, edgecolor="black", linewidth=3, clip_on=False, zorder=3)
    )
    size = f"{difference[row, column]:+.2g}".replace("-", "\N{MINUS SIGN}")
    return f"largest change {size}: {names[row]}, {names[column]}"


def _draw_triangle(ax: Axes, matrix: FloatArray, shown: BoolArray, scale: float) -> QuadMesh:
    edges = np.arange(len(matrix) + 1)
    masked = np.ma.masked_where(~shown, np.clip(matrix, -scale, scale))
    mesh = ax.pcolormesh(edges, edges, masked, cmap="RdBu_r", vmin=-scale, vmax=scale, rasterized=True)
    ax.set_xlim(0, len(matrix))
    ax.set_ylim(len(matrix), 0)
    return mesh


def _add_scale(figure: StyledFigure, mesh: QuadMesh, axes: Axes | Sequence[Axes], title: str, **text: Any) -> None:
    bar = figure.colorbar(mesh, ax=axes, fraction=0.05, aspect=30, pad=0.02)
    bar.set_label(title, **text)


def _text_size() -> float:
    """Give the size of the tick labels in points."""
    return FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()


def _name_features(ax: Axes, names: Sequence[str]) -> None:
    """Write the names in the size at which none covers another."""
    centres, size = np.arange(len(names)) + 0.5, _name_scale(names) * _text_size()
    ax.set_xticks(centres, names, rotation=90, fontsize=size)
    ax.set_yticks(centres, names, fontsize=size)
    ax.tick_params(which="both", length=0)
    ax.minorticks_off()


def _name_scale(names: Sequence[str]) -> float:
    """Size of the names in units of that of the tick labels."""
    return min(1.0, _MOST_NAMES / len(names))


#: More names are smaller; lines of tick labels around the matrix and the names below it.
_MOST_NAMES, _AROUND = 24.0, 6.0
#: Names with more letters need a wider figure; commands of TeX are not seen.
_SHORT, _PER_LETTER, _TEX = 15, 0.04, re.compile(r"\\[a-zA-Z]+|[${}^_]")


_HEADROOM = 0.3
#: Of more edges every other one is written.
_MANY_EDGES = 7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """
    The joint distribution of two features before and after an attack.

    Attributes
    ----------
    labels : (str, str)
        Axis titles, horizontal and vertical.
    edges : (FloatArray, FloatArray)
        Bin edges of both axes.
    nominal, adversarial : FloatArray, shape (n_x, n_y)
        Weighted yields of the same events.
    migration : Migration
        Net change of each bin, shape (n_x * n_y,), in the order of the flattened yields.
    js_distance, js_floor : float, optional
        Distance of this projection and its sampling floor, dimensionless; in bins of their own.
    note : str
        Remark for the reader, such as the region.
    """

    labels: tuple[str, str]
    edges: tuple[FloatArray, FloatArray]
    nominal: FloatArray
    adversarial: FloatArray
    migration: Migration
    js_distance: float | None = None
    js_floor: float | None = None
    note: str = ""


def projection(
    result: AttackResult,
    features: tuple[str, str] | None = None,
    *,
    region: str | None = None,
    n_bins: int = 10,
    note: str = "",
) -> Projection:
    """
    Fill a pair of features of an attack.

    Parameters
    ----------
    features : (str, str), optional
        Horizontal and vertical feature; by default the pair whose projection changes most.
    region : str, optional
        Region of the events; all constrained events by default.
    n_bins : int
        Bins per axis with equal nominal content, fewer where values repeat.  Values beyond count in the outer bins;
        events without one of both values are left out.

    Returns
    -------
    Projection
        Distance and floor are those of bins of equal content.

    Raises
    ------
    ValueError
        If a feature or the region is unknown, or there is no pair of features.
    """
    table = result.nominal
    chosen = table.constrained if region is None else table.region(region).mask
    ranked = rank_projections(table, result.adversarial, events=chosen)
    pair = ranked[0].features if features is None else features
    columns = [table.features.index(name) for name in pair]
    present = chosen & ~table.missing[:, columns].any(axis=1)
    edges = tuple(_edges(table.column(name)[present], n_bins) for name in pair)
    yields, migration = _filled_pair(result, columns, edges, present)
    change = next((c for c in ranked if set(c.features) == set(pair)), None)
    return Projection(
        labels=(table.features[pair[0]].title, table.features[pair[1]].title),
        edges=(edges[0], edges[1]),
        nominal=yields[0],
        adversarial=yields[1],
        migration=migration,
        js_distance=None if change is None else change.js_distance,
        js_floor=None if change is None else change.js_floor,
        note=note or ("constrained events" if region is None else table.region(region).title(table.features)),
    )


def _edges(values: FloatArray, n_bins: int) -> FloatArray:
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, n_bins + 1))) if len(values) else np.zeros(1)
    return edges if len(edges) > 1 else edges[0] + np.array([-0.5, 0.5])


def _filled_pair(
    result: AttackResult, columns: list[int], edges: tuple[FloatArray, ...], present: BoolArray
) -> tuple[list[FloatArray], Migration]:
    shape = (len(edges[0]) - 1, len(edges[1]) - 1)
    before, after = (
        np.ravel_multi_index(
            [
                Binning(e[np.newaxis]).indices(table.values[present, j, np.newaxis])[:, 0]
                for j, e in zip(columns, edges, strict=True)
            ],
            shape,
        )
        for table in (result.nominal, result.adversarial)
    )
    weights = result.nominal.weights[present]
    n_bins = shape[0] * shape[1]
    yields: list[Any] = [np.bincount(bins, weights=weights, minlength=n_bins) for bins in (before, after)]
    return [flat.reshape(shape) for flat in yields], Migration.between(before, after, weights, n_bins=n_bins)


@styled
def plot_projection(shown: Projection, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, Axes, Axes]]:
    """
    Draw a pair of features: nominal, adversarial, and the net change of each bin in units of its paired error.

    The paired error is that of the events that entered or left a bin; bins that no event entered or left stay white.

    Parameters
    ----------
    shown : Projection
        From :func:`projection`.
    """
    highest = float(max(shown.nominal.max(), shown.adversarial.max())) or 1.0
    pull = shown.migration.pull.reshape(shown.nominal.shape)
    largest = float(np.nanmax(np.abs(pull))) if np.isfinite(pull).any() else 1.0
    figure = style.figure(width=3.0, height=1.15)
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for ax, yields in zip(axes[:2], (shown.nominal, shown.adversarial), strict=True):
        # The square root shows tails too; what is negative by its weights counts as empty.
        mesh = _draw(ax, shown, np.maximum(yields, 0.0), "Blues", PowerNorm(0.5, vmin=0.0, vmax=highest))
    _add_scale(figure, mesh, axes[:2], "Events / bin")
    mesh = _draw(axes[2], shown, pull, "RdBu_r", Normalize(-largest, largest))
    _add_scale(figure, mesh, axes[2], "Net change / paired error")
    remarks = (f"Nominal, {shown.note}", "Adversarial, same events", _distance(shown))
    for ax, remark in zip(axes, remarks, strict=True):
        ax.set_xlabel(shown.labels[0])
        ax.text(0.04, 0.975, remark, transform=ax.transAxes, va="top", fontsize=style.text_size)
    _name_edges(axes, shown.edges, style)
    axes[0].set_ylabel(shown.labels[1])
    return figure, (axes[0], axes[1], axes[2])


def _draw(ax: Axes, shown: Projection, values: FloatArray, colours: str, norm: Normalize) -> QuadMesh:
    masked = np.ma.masked_invalid(values.T)
    places = (np.arange(len(edges)) for edges in shown.edges)
    return ax.pcolormesh(*places, masked, cmap=colours, norm=norm, rasterized=True)


def _name_edges(axes: Sequence[Axes], edges: tuple[FloatArray, FloatArray], style: PlotStyle) -> None:
    x, y = (np.arange(len(e))[:: 2 if len(e) > _MANY_EDGES else 1] for e in edges)
    for ax in axes:
        ax.set_xticks(x, [_rounded(edge) for edge in edges[0][x]], rotation=45, ha="right", rotation_mode="anchor")
        ax.tick_params(which="both", top=False, right=False, labelsize=style.text_size, direction="out")
        ax.minorticks_off()
    axes[0].set_yticks(y, [_rounded(edge) for edge in edges[1][y]])
    axes[0].set_xlim(0, len(edges[0]) - 1)
    # The remarks stand above all events.
    axes[0].set_ylim(0, (len(edges[1]) - 1) * (1.0 + _HEADROOM))


def _rounded(edge: float) -> str:
    return f"{float(f'{edge:.2g}'):g}"


def _distance(shown: Projection) -> str:
    lines = ["Adversarial \N{MINUS SIGN} nominal"]
    if shown.js_distance is not None:
        lines.append(f"JS distance {shown.js_distance:.2g}")
    if shown.js_floor is not None:
        lines[-1] += f", floor {shown.js_floor:.2g}"
    return "\n".join(lines)
