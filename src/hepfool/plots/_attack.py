# SPDX-License-Identifier: BSD-3-Clause
"""Fooling ratios beside physics systematics, and against the probability of detection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hepfool.inference._templates import LOWER_LIMIT
from hepfool.plots._style import DEFAULT_STYLE, PlotStyle, measured_text, styled
from hepfool.studies._frontier import Frontier
from hepfool.sums import AttackSums

#: Name, value and standard error; an error of NaN is not drawn.
Measurement = tuple[str, float, float]

_BAR_HEIGHT = 0.38
#: Opacity of the second side of a source.
_LIGHT = 0.45
_SMALLEST = 1e-3


@styled
def plot_fooling(
    attacks: Iterable[Measurement],
    systematics: Iterable[Measurement] = (),
    *,
    corrected: Iterable[Measurement] = (),
    style: PlotStyle = DEFAULT_STYLE,
    log_x: bool = False,
) -> tuple[Figure, Axes]:
    """
    Draw fooling ratios and the flip fractions of systematics as horizontal bars.

    All are the same quantity, the weighted fraction of events whose class
    changes, so they share one axis.

    Parameters
    ----------
    attacks : iterable of (str, float, float)
        Name (such as dataset and region), fooling ratio and its error, dimensionless.
    systematics : iterable of (str, float, float)
        Name, flip fraction and its error, dimensionless; ``_up`` and ``_down`` of a source share a row.  NaN of a variation
        that moves no input: it changes no class.
    corrected : iterable of (str, float, float)
        Corrected fooling ratios: fooled and not flagged by the detector.  The names are those of ``attacks``.
    log_x : bool
        Logarithmic fractions, where attacks dwarf the systematics.

    Raises
    ------
    ValueError
        If there is no attack, or a corrected ratio belongs to none of the attacks.
    """
    above, below = list(attacks), _by_source(systematics)
    remaining = {measurement[0]: measurement for measurement in corrected}
    _check_names(above, remaining)
    n_rows = len(above) + len(below)
    figure = style.figure(width=1.3, height=max(0.7, 0.3 + 0.1 * n_rows))
    ax = figure.subplots()
    sides = [side for found in below.values() for side in found]
    _set_axes(
        ax,
        [style.process(name) for name, *_ in above] + list(below),
        above + sides + [*remaining.values()],
        log_x=log_x,
    )
    _draw_attacks(ax, above, remaining, style)
    for row, found in enumerate(below.values(), start=len(above)):
        _draw_sides(ax, row, found, style)
    if below:
        ax.axhline(len(above) - 0.5, color="0.5", linewidth=1.5, linestyle=":")
    paired = any(len(found) > 1 for found in below.values())
    _add_legend(figure, style, with_corrected=bool(remaining), with_systematics=bool(below), paired=paired)
    return figure, ax


def _by_source(systematics: Iterable[Measurement]) -> dict[str, list[Measurement]]:
    """Both sides of each source, up first; only one of a source that moves no input."""
    found: dict[str, list[Measurement]] = {}
    for measurement in sorted(systematics, key=lambda side: side[0].endswith("_down")):
        source = measurement[0].removesuffix("_up").removesuffix("_down").replace("_", " ")
        found.setdefault(source, []).append(measurement)
    return {source: sides if np.isfinite(sides[0][1]) else sides[:1] for source, sides in found.items()}


def _draw_sides(ax: Axes, row: int, sides: list[Measurement], style: PlotStyle) -> None:
    if not np.isfinite(sides[0][1]):
        ax.annotate(
            "no event",
            (ax.get_xlim()[0], row),
            (8, 0),
            textcoords="offset points",
            va="center",
            color="0.45",
            fontsize=style.text_size,
        )
        return
    for k, measurement in enumerate(sides):
        offset = (k - 0.5) * _BAR_HEIGHT if len(sides) > 1 else 0.0
        _draw_bar(ax, row + offset, measurement, style.nominal_colour, style, alpha=_LIGHT if k else 1.0)


def fooling_by_part(sums: AttackSums) -> dict[str, list[Measurement]]:
    """
    Fooling ratio and corrected fooling ratio of all events, of each dataset and of each region.

    Returns
    -------
    dict of str to list of (str, float, float)
        ``attacks`` and, with a detector, ``corrected``, for :func:`plot_fooling`; parts without attacked events are left out.

    Examples
    --------
    See :func:`plot_fooling`.
    """
    datasets = sums.attacked_datasets
    parts: dict[str, dict[str, str]] = {"all events": {}}
    parts |= {name: {"dataset": name} for name in datasets if len(datasets) > 1}
    parts |= {f"{sums.labels[name]} ({role})": {"region": name} for name, role in sums.facts["regions"]}
    groups = {"attacks": "fooled", **({"corrected": "unflagged"} if sums.facts["flagged"] else {})}
    attacked = {name: sums.count("attacked", **of) for name, of in parts.items()}
    return {
        kind: [
            (name, fraction.value, fraction.error)
            for name, of in parts.items()
            if attacked[name].n
            for fraction in (sums.count(group, **of).of(attacked[name]),)
        ]
        for kind, group in groups.items()
    }


def _check_names(attacks: list[Measurement], corrected: Mapping[str, Measurement]) -> None:
    if not attacks:
        msg = "no fooling ratio to show; give at least one attack"
        raise ValueError(msg)
    unknown = sorted(set(corrected) - {name for name, *_ in attacks})
    if unknown:
        msg = f"corrected fooling ratio of {unknown[0]!r} has no attack of that name"
        raise ValueError(msg)


def _set_axes(ax: Axes, rows: list[str], shown: list[Measurement], *, log_x: bool) -> None:
    ax.set_yticks(np.arange(len(rows)), rows, fontsize=mpl.rcParams["xtick.labelsize"])
    ax.tick_params(axis="y", which="both", length=0, pad=10)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("Fraction of events with changed class")
    positive = [value for _, value, _ in shown if value > 0] or [_SMALLEST]
    if log_x:
        ax.set_xscale("log")
        ax.set_xlim(0.3 * min(positive), 6.0 * max(positive))
    else:
        ax.set_xlim(0.0, 1.35 * max(positive))
    if max(positive) <= 1.0:  # room for the numbers beside the bars has no ticks
        low = ax.get_xlim()[0]
        for minor in (False, True):
            ax.set_xticks([tick for tick in ax.get_xticks(minor=minor) if low <= tick <= 1.0], minor=minor)


def _draw_attacks(ax: Axes, attacks: list[Measurement], corrected: Mapping[str, Measurement], style: PlotStyle) -> None:
    for row, measurement in enumerate(attacks):
        remaining = corrected.get(measurement[0])
        offset = 0.0 if remaining is None else _BAR_HEIGHT / 2
        _draw_bar(ax, row - offset, measurement, style.adversarial_colour, style)
        if remaining is not None:
            _draw_bar(ax, row + offset, remaining, style.colours[1], style)


def _draw_bar(
    ax: Axes, row: float, measurement: Measurement, colour: str, style: PlotStyle, *, alpha: float = 1.0
) -> None:
    _, value, error = measurement
    ax.barh(row, value, height=_BAR_HEIGHT, color=colour, alpha=alpha)
    if np.isfinite(error) and error > 0:
        ax.errorbar(value, row, xerr=error, color="black", linewidth=2, capsize=4)
    start = max(value + np.nan_to_num(error), ax.get_xlim()[0])
    ax.annotate(
        measured_text(value, error),
        (start, row),
        (8, 0),
        textcoords="offset points",
        va="center",
        fontsize=style.text_size,
    )


def _add_legend(
    figure: Figure, style: PlotStyle, *, with_corrected: bool, with_systematics: bool, paired: bool
) -> None:
    handles = [Patch(color=style.adversarial_colour, label="Attack")]
    if with_corrected:
        handles.append(Patch(color=style.colours[1], label="Attack, not flagged"))
    if with_systematics:
        handles.append(Patch(color=style.nominal_colour, label="Systematic, up" if paired else "Systematic"))
    if paired:
        handles.append(Patch(color=style.nominal_colour, alpha=_LIGHT, label="down"))
    size = style.text_size
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=len(handles),
        fontsize=size,
        title=LOWER_LIMIT,
        title_fontsize=size,
        alignment="left",
    )


_RIGHT = 0.9


@styled
def plot_frontier(frontier: Frontier, *, further: bool = True, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw a scan of caps.

    Parameters
    ----------
    frontier : Frontier
        From :func:`hepfool.studies.run_frontier`.
    further : bool
        Draw the strongest single check of any kind too.
    """
    points = frontier.points
    figure = style.figure(width=1.15)
    ax = figure.subplots()
    _draw_scan(ax, frontier, "power", color=style.adversarial_colour, marker="o", label="All standard checks")
    if further:
        colour = style.nominal_colour
        _draw_scan(
            ax, frontier, "further_power", color=colour, marker="s", linestyle="--", label="Strongest single check"
        )
    for point in points:
        # At the right edge, labels go to the left.
        right = point.power.value > _RIGHT
        ax.annotate(
            rf"$\times${point.factor:g}",
            (point.power.value, point.fooling.value),
            (-14, 8) if right else (12, -24),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=style.text_size,
        )
    if (own := frontier.operating_point) is not None:
        options: dict[str, Any] = {"color": "black", "markersize": 22, "linestyle": "none", "zorder": 5}
        ax.plot(own.power.value, own.fooling.value, "*", label="Operating point", **options)
    label = f"Type-I error {frontier.level:g}"
    ax.axvline(frontier.level, color="0.3", linestyle=":", linewidth=3, label=label)
    ax.set_xlim(0.0, 1.08)
    ax.set_ylim(0.0, 1.15 * max(point.fooling.value + point.fooling.error for point in points) or 1.0)
    ax.set_xlabel(f"Detection power with {frontier.n_data:g} data events")
    ax.set_ylabel("Fooling ratio")
    figure.legend(
        loc="outside lower left",
        ncols=2,
        fontsize=style.text_size,
        title=r"Numbers at the points: factor on the caps of the attack",
        title_fontsize=style.text_size,
        alignment="left",
    )
    return figure, ax


def _draw_scan(ax: Axes, frontier: Frontier, kind: str, **options: Any) -> None:
    points = frontier.points
    powers = [getattr(point, kind) for point in points]
    ax.errorbar(
        [power.value for power in powers],
        [point.fooling.value for point in points],
        xerr=[power.error for power in powers],
        yerr=[point.fooling.error for point in points],
        linewidth=2,
        markersize=9,
        capsize=3,
        **options,
    )
