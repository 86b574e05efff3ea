# SPDX-License-Identifier: BSD-3-Clause
"""The attack as a systematic: yields of each region with uncertainties and data, and the ranking of nuisance parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hepfool.inference._impact import Impact, NuisanceImpact
from hepfool.plots._style import (
    DEFAULT_STYLE,
    PlotStyle,
    draw_arrows,
    events_title,
    ratio_limits,
    set_headroom,
    stacked_panels,
    styled,
)

if TYPE_CHECKING:
    from hepfool.studies._region_yields import RegionYields
    from hepfool.typing import FloatArray


_BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.25", "hatch": "////", "linewidth": 0.0}
_POINTS: dict[str, Any] = {"fmt": "o", "color": "black", "markersize": 7, "elinewidth": 2}
_OUTLINE = (patheffects.Stroke(linewidth=5, foreground="white"), patheffects.Normal())
#: Bins whose prediction is known worse do not stretch the axis of the ratio.
_PRECISE = 0.6
_SMALLEST_SPAN = 0.25
#: Part of the yields' axis that remarks need.
_FREE = 0.25
_MAX_ROWS = 3
#: Further attacks share a colour; the line of the first attack is dashed.
_FURTHER_COLOUR, _FURTHER_LINES = 4, ("-", ":", "-.")

#: Colour and kind of a line, and values with their line.
_Line = dict[str, Any]
_Curve = tuple[Any, _Line]


@styled
def plot_region_yields(
    shown: Sequence[RegionYields],
    *,
    data_label: str = "Data",
    attack_label: str = "Simulation after the attack",
    style: PlotStyle = DEFAULT_STYLE,
    log_y: bool = False,
) -> tuple[Figure, tuple[tuple[Axes, Axes], ...]]:
    """
    Draw the regions side by side, each with data and adversarial over nominal simulation below.

    Data are independent of the simulation and have Poisson errors.  The adversarial simulation holds the same events as
    the nominal one, so that it has no error beside it.  Several attacks, such as one that keeps the score and one that does
    not, are drawn as one line each.

    Parameters
    ----------
    shown : sequence of RegionYields
        From :func:`hepfool.studies.region_yields`.
    data_label : str
        Name of the data, such as ``Pseudo-data``.
    attack_label : str
        Name of the first attack; further ones have their own.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields and ratio of each region.

    Raises
    ------
    ValueError
        If there is nothing to show.
    """
    if not shown:
        msg = "no region to show; give at least one"
        raise ValueError(msg)
    lines = _lines(shown, attack_label, style)
    colours = _colours(shown, {line["color"] for line in lines.values()}, style)
    figure = style.figure(width=len(shown), height=1.1)
    columns = stacked_panels(figure, len(shown))
    for item, (ax, below) in zip(shown, columns, strict=True):
        curves = [(item.adversarial, lines[attack_label]), *((item.further[k], lines[k]) for k in item.further)]
        _draw_yields(ax, item, curves, colours, style, log_y=log_y)
        _draw_ratio(below, item, curves)
    _add_legend(figure, shown, colours, lines, data_label, style)
    return figure, columns


def _lines(shown: Sequence[RegionYields], attack_label: str, style: PlotStyle) -> dict[str, _Line]:
    """Line of each attack, by name."""
    further = dict.fromkeys(name for item in shown for name in item.further)
    colour = style.colours[_FURTHER_COLOUR % len(style.colours)]
    others = {name: {"color": colour, "linestyle": kind} for name, kind in zip(further, cycle(_FURTHER_LINES))}
    return {attack_label: {"color": style.adversarial_colour, "linestyle": "--"}, **others}


def _colours(shown: Sequence[RegionYields], taken: Iterable[str], style: PlotStyle) -> dict[str, str]:
    """
    Colour of each process in the order of the stack, the smallest at the bottom.

    The largest has the first colour; none has that of an attack.
    """
    sums: dict[str, float] = {}
    for item in shown:
        for name, yields in item.processes.items():
            sums[name] = sums.get(name, 0.0) + float(yields.sum())
    free = [colour for colour in style.colours if colour not in taken]
    largest_first = sorted(sums, key=lambda name: -sums[name])
    coloured = dict(zip(largest_first, cycle(free), strict=False))
    return dict(reversed(coloured.items()))


def _draw_yields(
    ax: Axes, shown: RegionYields, curves: Sequence[_Curve], colours: dict[str, str], style: PlotStyle, *, log_y: bool
) -> None:
    bottom = np.zeros(len(shown.edges) - 1)
    for name, colour in colours.items():
        top = bottom + shown.processes.get(name, 0.0)
        ax.stairs(top, shown.edges, baseline=bottom, fill=True, color=colour)
        bottom = top
    lower, upper = shown.band
    ax.stairs(upper, shown.edges, baseline=lower, fill=True, **_BAND)
    for values, line in curves:
        _draw_adversarial(ax, values, shown.edges, line)
    highest = max(float(upper.max()), *(float(values.max()) for values, _ in curves))
    if shown.data is not None:
        low, high = shown.data_interval
        seen = (shown.data > 0) | (shown.total > 0)
        errors = np.stack([shown.data - low, high - shown.data])[:, seen]
        ax.errorbar(_centres(shown.edges)[seen], shown.data[seen], yerr=errors, **_POINTS)
        highest = max(highest, float(high[seen].max(initial=0.0)))
    set_headroom(ax, highest, log_y=log_y, free=_FREE)
    ax.set_ylabel(events_title(shown.edges, shown.label))
    remark: dict[str, Any] = {"transform": ax.transAxes, "va": "top", "linespacing": 1.3, "fontsize": style.text_size}
    ax.text(0.04, 0.95, _remarks(shown), **remark)


def _draw_adversarial(ax: Axes, values: FloatArray, edges: FloatArray, line: _Line) -> None:
    ax.stairs(values, edges, baseline=None, path_effects=_OUTLINE, linewidth=3, **line)


def _draw_ratio(ax: Axes, shown: RegionYields, curves: Sequence[_Curve]) -> None:
    expected = shown.total > 0
    norm = np.where(expected, shown.total, np.nan)
    lower, upper = (edge / norm for edge in shown.band)
    ax.stairs(np.nan_to_num(upper, nan=1.0), shown.edges, baseline=np.nan_to_num(lower, nan=1.0), fill=True, **_BAND)
    ax.axhline(1.0, color="0.3", linewidth=1.5)
    ratios = [values / norm for values, _ in curves]
    for ratio, (_, line) in zip(ratios, curves, strict=True):
        _draw_adversarial(ax, ratio, shown.edges, line)
    precise = expected & (np.nan_to_num(upper - lower, nan=np.inf) < 2.0 * _PRECISE)
    within = [*ratios, upper, lower]
    if shown.data is not None:
        points, (low, high) = shown.data / norm, (edge / norm for edge in shown.data_interval)
        errors = np.stack([points - low, high - points])[:, expected]
        ax.errorbar(_centres(shown.edges)[expected], points[expected], yerr=errors, **_POINTS)
        within.append(points)
    ax.set_ylim(*ratio_limits(within, precise, smallest=_SMALLEST_SPAN))
    # The lowest label would touch that of the other axis.
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10], prune="lower"))
    for ratio, (_, line) in zip(ratios, curves, strict=True):
        draw_arrows(ax, _centres(shown.edges), ratio, line["color"])
    if shown.data is not None:
        draw_arrows(ax, _centres(shown.edges), shown.data / norm, "black")
    ax.set_xlim(shown.edges[0], shown.edges[-1])
    ax.set_xlabel(shown.label)
    ax.set_ylabel("Ratio", loc="center")


def _remarks(shown: RegionYields) -> str:
    lines = [f"{shown.title or shown.region.replace('_', ' ')}, {shown.role} region"]
    return "\n".join([*lines, "data blinded"] if shown.blinded else lines)


def _add_legend(
    figure: Figure,
    shown: Sequence[RegionYields],
    colours: dict[str, str],
    lines: dict[str, _Line],
    data_label: str,
    style: PlotStyle,
) -> None:
    handles: list[Artist] = []
    if any(item.data is not None for item in shown):
        handles.append(Line2D([], [], color="black", marker="o", markersize=10, linestyle="none", label=data_label))
    # As in the stack, the largest on top.
    handles += [Patch(color=colour, label=style.process(name)) for name, colour in reversed(colours.items())]
    sources = dict.fromkeys(source for item in shown for source in item.sources)
    handles.append(Patch(**_BAND, label="Stat. and syst. unc." if sources else "Stat. unc."))
    handles += [Line2D([], [], label=name, linewidth=3, **line) for name, line in lines.items()]
    columns = min(len(handles), _MAX_ROWS + 1, 2 * len(shown))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, fontsize=style.text_size)


def _centres(edges: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (edges[:-1] + edges[1:]))


_BAR_HEIGHT = 0.6
#: Opacity of the shift with the nuisance parameter down.
_LIGHT = 0.45
_POINT: dict[str, Any] = {"marker": "o", "markersize": 7}
_POST_FIT: dict[str, Any] = {**_POINT, "elinewidth": 2.5, "capsize": 4}
_PULL: dict[str, Any] = {"marker": "D", "markersize": 9, "fillstyle": "none", "markeredgewidth": 2, "linestyle": "none"}


@styled
def plot_impacts(
    impact: Impact, *, max_shown: int = 15, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw the ranking of the nuisance parameters, and what the fit learns of each.

    Parameters
    ----------
    impact : Impact
        From :func:`hepfool.inference.expected_impact`.
    max_shown : int
        Largest number of parameters; those of the attack are always among them.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of matplotlib.axes.Axes
        One row per parameter, the largest impact on top.  Left the post-fit interval and the pull in the bias test, in
        units of the pre-fit uncertainty; right the shift of the parameter of interest.

    Raises
    ------
    ValueError
        If there is no parameter to show.
    """
    shown = [entry for place, entry in enumerate(impact.ranking) if place < max_shown or entry.adversarial]
    if not shown:
        msg = "no nuisance parameter to show; rank at least one"
        raise ValueError(msg)
    places = {entry.name: place for place, entry in enumerate(impact.ranking, start=1)}
    figure = style.figure(width=1.5, height=max(0.7, 0.4 + 0.08 * len(shown)))
    pulls, shifts = figure.subplots(1, 2, sharey=True, width_ratios=(4, 5))
    for row, entry in enumerate(shown):
        colour = style.adversarial_colour if entry.adversarial else style.nominal_colour
        shifts.barh(row, np.nan_to_num(entry.up), height=_BAR_HEIGHT, color=colour)
        shifts.barh(row, np.nan_to_num(entry.down), height=_BAR_HEIGHT, color=colour, alpha=_LIGHT)
    _draw_pulls(pulls, shown, impact.bias.pulls, style)
    labels = [f"{places[entry.name]}  {entry.name}" for entry in shown]
    pulls.set_yticks(np.arange(len(shown)), labels, fontsize=mpl.rcParams["xtick.labelsize"])
    pulls.set_ylim(len(shown) - 0.4, -0.6)
    reach = 1.15 * max(entry.size for entry in shown)
    shifts.set_xlim(-reach, reach)
    shifts.set_xlabel(f"Shift of {impact.parameter}")
    for ax in (pulls, shifts):
        ax.tick_params(axis="y", which="both", length=0, pad=10)
        ax.axvline(0.0, color="0.5", linewidth=1.5, zorder=0.5)
    _add_impact_legend(figure, impact, style)
    return figure, (pulls, shifts)


def _draw_pulls(ax: Axes, shown: Sequence[NuisanceImpact], pulls: Mapping[str, float], style: PlotStyle) -> None:
    """Draw post-fit intervals and pulls in units of the pre-fit uncertainties; a parameter without one has neither."""
    ax.axvspan(-1.0, 1.0, color="0.93", zorder=0)
    for row, entry in enumerate(shown):
        if not np.isnan(entry.prior):
            sides = np.nan_to_num([[entry.interval.down], [entry.interval.up]]) / entry.prior
            ax.errorbar(
                0.0, row, xerr=sides, **_POST_FIT, color=style.adversarial_colour if entry.adversarial else "black"
            )
        if entry.name in pulls:
            ax.plot(pulls[entry.name], row, color=style.adversarial_colour, **_PULL)
    reach = max(1.5, *(1.2 * abs(pulls.get(entry.name, 0.0)) for entry in shown))
    ax.set_xlim(-reach, reach)
    ax.set_xlabel(r"$(\hat{\theta} - \theta_0) / \Delta\theta$")


def _add_impact_legend(figure: Figure, impact: Impact, style: PlotStyle) -> None:
    handles = [
        Patch(color=style.adversarial_colour, label="Attack, up"),
        Patch(color=style.adversarial_colour, alpha=_LIGHT, label="down"),
        Patch(color=style.nominal_colour, label="Other nuisances, up"),
        Patch(color=style.nominal_colour, alpha=_LIGHT, label="down"),
        Line2D([], [], color="black", label="Post-fit, attack in the model", **_POINT),
        Line2D([], [], color=style.adversarial_colour, label="Pull in the bias test", **_PULL),
    ]
    before, after = (
        rf"$^{{+{interval.up:.3f}}}_{{-{interval.down:.3f}}}$" for interval in (impact.before, impact.after)
    )
    title = (
        f"Expected uncertainty on {impact.parameter}: {before}, with the attack {after}\n"
        f"Bias test (data follow the attack, the model does not): {_bias_in_words(impact)}\n{impact.statement}"
    )
    size = style.text_size
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=3,
        fontsize=size,
        title=title,
        title_fontsize=size,
        alignment="left",
    )


def _bias_in_words(impact: Impact) -> str:
    bias = impact.bias
    said = [rf"{impact.parameter} shifts by ${bias.shift:+.3f}$"]
    said += [] if np.isnan(bias.n_sigma) else [rf"${bias.n_sigma:+.2f}\,\sigma$"]
    said += [] if np.isnan(bias.p_value) else [f"goodness of fit $p$ = {bias.p_value:.2g}"]
    return ", ".join(said)
