# SPDX-License-Identifier: BSD-3-Clause
"""
The verdict in one figure: what attacks do beside what the analysis's systematics do, and whether a check would notice.

Both are in the same units, the fraction of attacked events that change class and the change of the yield after the score
selection, so that an attack is covered where its bars stay inside the band of the systematics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepfool.plots._style import DEFAULT_STYLE, PlotStyle, height_of_lines, measured_text, styled
from hepfool.plots._validation import (
    draw_powers,
    height_of_powers,
    name_powers,
    power_handles,
    power_title,
    shown_powers,
)
from hepfool.studies._contributions import ALL_EVENTS, Measured, SystematicEffect
from hepfool.sums import AttackSums

if TYPE_CHECKING:
    from hepfool.statistics._checks import DetectionTable
    from hepfool.statistics._toys import Power
    from hepfool.summary import Evidence
    from hepfool.worst_case._rungs import Rung
    from hepfool.worst_case.ladder import Ladder

#: Percent of all events.
_WHOLE = 100.0


class VerdictRow(NamedTuple):
    """
    What one source, all together, or one attack does.

    Attributes
    ----------
    label : str
        Name on the axis.
    kind : {"source", "total", "attack", "corrected", "adaptive", "worst"}
        Of what.
    flips : Measured or None
        Weighted fraction of the attacked events that change class; None where no input moves.
    shifts : tuple of Measured
        Relative change of the yield after the score selection; two of a source with two sides.
    limits : tuple of float
        Proved largest fraction, fall and rise of the yield; empty if nothing is proved.
    """

    label: str
    kind: str
    flips: Measured | None
    shifts: tuple[Measured, ...] = ()
    limits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictPanel:
    """
    The rows of one region.

    Attributes
    ----------
    title : str
        Which events these are.
    n_attacked : int
        How many of them were attacked.
    rows : tuple of VerdictRow
        Sources, all together, attacks.
    decision : str
        Of the verdict on this region.
    """

    title: str
    n_attacked: int
    rows: tuple[VerdictRow, ...]
    decision: str = ""


def verdict_panels(
    sums: AttackSums,
    evidence: Evidence,
    *,
    ladders: Iterable[Ladder] = (),
    decisions: Mapping[str, str] | None = None,
) -> tuple[VerdictPanel, ...]:
    """
    Collect what a verdict compares, in every signal region, or in all events where there is none.

    Parameters
    ----------
    sums : AttackSums
        Of the attack.
    evidence : Evidence
        Made of these sums.
    ladders : iterable of Ladder
        What is proved, by region; see :func:`hepfool.worst_case.ladder.ladder`.
    decisions : mapping of str to str, optional
        Of the verdict, by region.

    Returns
    -------
    tuple of VerdictPanel
        Only regions with attacked events.
    """
    proved = {one.events: one.rung("inputs") for one in ladders}
    panels = []
    for region in evidence.regions:
        whole = region == ALL_EVENTS
        n_attacked = sums.count("attacked", region="all" if whole else region).n
        if n_attacked:
            rows = tuple(_rows(evidence, region, proved.get("all events" if whole else region)))
            title = "All events" if whole else f"Signal region, {sums.labels[region]}"
            decision = (decisions or {}).get(region, "")
            panels.append(VerdictPanel(title=title, n_attacked=n_attacked, rows=rows, decision=decision))
    return tuple(panels)


def _rows(evidence: Evidence, region: str, rung: Rung | None) -> Iterable[VerdictRow]:
    by_source: dict[str, list[SystematicEffect]] = {}
    for effect in evidence.effects:
        by_source.setdefault(effect.source, []).append(effect)
    for source, sides in by_source.items():
        flips = [found for side in sides if (found := side.flips_in(region)) is not None]
        largest = max(flips, key=lambda number: number.value, default=None)
        yield VerdictRow(source.replace("_", " "), "source", largest, tuple(_shift(sides, region)))
    if (added := evidence.total) is not None:
        how = "with correlations" if evidence.correlations else "in quadrature"
        moving = any(effect.flips is not None for effect in evidence.effects)
        flipped = added.region_flips.get(region, added.flips) if moving else None
        size = (added.yield_shift[region],) if region in added.yield_shift else ()
        yield VerdictRow(f"All, {how}", "total", flipped, size)
    attacks = {"attack": ("Attack", evidence.attack)}
    if evidence.corrected is not None:
        attacks["corrected"] = ("Attack, not flagged", evidence.corrected)
    if evidence.adaptive is not None:
        attacks["adaptive"] = ("Attack, knows detector", evidence.adaptive.remaining)
    for kind, (label, effect) in attacks.items():
        yield VerdictRow(label, kind, effect.flips_in(region), tuple(_shift([effect], region)))
    if rung is not None:
        yield _worst(rung)


def _shift(effects: Iterable[SystematicEffect], region: str) -> Iterable[Measured]:
    return (effect.yield_shift[region] for effect in effects if region in effect.yield_shift)


def _worst(rung: Rung) -> VerdictRow:
    found = Measured(rung.fooling.found, rung.fooling.error)
    shifts = (Measured(rung.gain.found, rung.gain.error), Measured(-rung.loss.found, rung.loss.error))
    limits = (rung.fooling.proved, rung.loss.proved, rung.gain.proved)
    known = tuple(limit for limit in limits if limit is not None)
    return VerdictRow(r"Any inputs within $\pm 1\sigma$", "worst", found, shifts, known if len(known) == 3 else ())


_HEIGHT: Final = 0.6
_HALF: Final = 0.5 * _HEIGHT
#: Opacity of a source's second side, and of the band.
_LIGHT, _BAND = 0.45, 0.18
_CHECKS_SHOWN: Final = 6
#: Longer names of checks take two lines.
_LONG: Final = 34
#: Lines above the rows of a region, per row, per check, and around all of them.
_HEAD, _ROW, _CHECK, _AROUND = 2.4, 1.35, 1.5, 9.0
_WIDTHS: Final = (1.3, 0.9, 1.75)


@styled
def plot_verdict(
    panels: Sequence[VerdictPanel],
    detection: DetectionTable | None = None,
    *,
    decision: str = "",
    labels: Mapping[str, str] | None = None,
    style: PlotStyle = DEFAULT_STYLE,
) -> tuple[Figure, tuple[Axes, ...]]:
    """
    Draw changed classes and changed yields of each region, and beside them which check would notice the attack.

    Parameters
    ----------
    panels : sequence of VerdictPanel
        From :func:`verdict_panels`.
    detection : DetectionTable, optional
        From :func:`hepfool.statistics.run_checks`; no powers are drawn without.
    decision : str
        Of the verdict, such as ``INVESTIGATE``.
    labels : mapping of str to str, optional
        What inputs and regions are called, such as ``AttackSums.labels``; their names by default.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of matplotlib.axes.Axes
        Two per region, and the one of the powers.

    Raises
    ------
    ValueError
        If there is no region to show.
    """
    if not panels:
        msg = "no region to show; a verdict needs attacked events"
        raise ValueError(msg)
    heights = [len(panel.rows) + _HEAD for panel in panels]
    n_columns = 2 if detection is None else 3
    width = 0.7 * (1 + n_columns)
    checks = [] if detection is None else _shown_checks(detection, labels or {}, style)
    n_lines = max(_ROW * sum(heights), _CHECK * (height_of_powers(name for name, *_ in checks) if checks else 0.0))
    figure = style.figure(width=width, height=height_of_lines(n_lines + _AROUND, width=width))
    grid = figure.add_gridspec(len(panels), n_columns, height_ratios=heights, width_ratios=_WIDTHS[:n_columns])
    axes = []
    for k, panel in enumerate(panels):
        left, right = figure.add_subplot(grid[k, 0]), figure.add_subplot(grid[k, 1])
        _draw_panel(left, right, panel, style)
        axes += [left, right]
    titles = ["Attacked events that\nchange class (%)", "Change of the yield after\nthe score selection (%)"]
    if detection is not None:
        axes.append(figure.add_subplot(grid[:, 2]))
        _draw_checks(axes[-1], detection, checks, style)
        titles.append(power_title(detection).replace(", ", " with\n"))
    for ax, title in zip(axes[-n_columns:], titles, strict=True):
        ax.set_xlabel(title, loc="center", fontsize=mpl.rcParams["xtick.labelsize"])
    _add_legend(figure, panels, detection, decision, style)
    return figure, tuple(axes)


def _draw_panel(left: Axes, right: Axes, panel: VerdictPanel, style: PlotStyle) -> None:
    size = mpl.rcParams["xtick.labelsize"]
    added = next((row for row in panel.rows if row.kind == "total"), None)
    if added is not None:
        _draw_band(left, right, added, style)
        left.axhline(panel.rows.index(added) + 0.5, color="0.5", linewidth=1.5, linestyle=":")
        right.axhline(panel.rows.index(added) + 0.5, color="0.5", linewidth=1.5, linestyle=":")
    for place, row in enumerate(panel.rows):
        _draw_flips(left, place, row, style)
        _draw_shifts(right, place, row, style)
    for ax in (left, right):
        ax.set_ylim(len(panel.rows) - 0.5, 0.5 - _HEAD)
        ax.tick_params(axis="y", which="both", length=0, pad=8)
    left.set_yticks(np.arange(len(panel.rows)), [row.label for row in panel.rows], fontsize=size)
    right.set_yticks([])
    title = f"{panel.title}\n{panel.n_attacked} attacked events" + (f": {panel.decision}" if panel.decision else "")
    left.text(0.03, 0.8 - _HEAD, title, transform=left.get_yaxis_transform(), va="top", fontsize=style.text_size)
    ends = [
        100.0 * max([number.value + number.error, *row.limits[:1]])
        for row in panel.rows
        if (number := row.flips) is not None
    ]
    left.set_xlim(0.0, 2.0 * max(ends, default=0.0) or 1.0)
    if left.get_xlim()[1] > _WHOLE:  # room for the numbers beside the bars has no ticks
        for minor in (False, True):
            left.set_xticks([tick for tick in left.get_xticks(minor=minor) if 0.0 <= tick <= _WHOLE], minor=minor)
    right.axvline(0.0, color="0.4", linewidth=1.5)
    low, high = right.dataLim.intervalx
    right.set_xlim(low - 0.08 * (high - low), high + 0.08 * (high - low))


def _draw_band(left: Axes, right: Axes, added: VerdictRow, style: PlotStyle) -> None:
    options: dict[str, Any] = {"color": style.nominal_colour, "alpha": _BAND, "linewidth": 0.0, "zorder": 0}
    if added.flips is not None:
        left.axvspan(0.0, 100.0 * added.flips.value, **options)
    for size in added.shifts:
        right.axvspan(-100.0 * size.value, 100.0 * size.value, **options)


def _colour(row: VerdictRow, style: PlotStyle) -> str:
    special = {"attack": style.adversarial_colour, "corrected": style.colours[1], "worst": "0.75"}
    special["adaptive"] = style.colours[4 % len(style.colours)]
    return special.get(row.kind, style.nominal_colour)


def _draw_flips(ax: Axes, place: int, row: VerdictRow, style: PlotStyle) -> None:
    if row.flips is None:
        _write(ax, 0.0, place, "no event", style, color="0.45")
        return
    value, error = 100.0 * row.flips.value, 100.0 * row.flips.error
    ax.barh(place, value, height=_HEIGHT, color=_colour(row, style))
    if error > 0.0:
        ax.errorbar(value, place, xerr=error, color="black", elinewidth=2, capsize=4)
    end, text = value + np.nan_to_num(error), measured_text(value, error)
    if row.limits:
        proved = 100.0 * row.limits[0]
        _draw_limit(ax, place, proved)
        end, text = max(end, proved), f"{text}  ($\\leq$ {proved:.1f})"
    _write(ax, end, place, text, style)


def _write(ax: Axes, end: float, place: int, text: str, style: PlotStyle, **options: Any) -> None:
    ax.annotate(
        text, (end, place), (8, 0), textcoords="offset points", va="center", fontsize=style.text_size, **options
    )


def _draw_limit(ax: Axes, place: int, proved: float) -> None:
    ax.plot([proved, proved], [place - 0.4, place + 0.4], color="black", linewidth=4)


def _draw_shifts(ax: Axes, place: int, row: VerdictRow, style: PlotStyle) -> None:
    colour = _colour(row, style)
    known = [shift for shift in row.shifts if math.isfinite(shift.value)]
    both = row.kind == "total"
    split = len(known) > 1 and row.kind == "source"
    for k, shift in enumerate(known):
        value, error = 100.0 * shift.value, 100.0 * shift.error
        middle = place + (k - 0.5) * _HALF if split else place
        left, width = (-value, 2.0 * value) if both else (0.0, value)
        alpha = _LIGHT if split and k else 1.0
        ax.barh(middle, width, left=left, height=_HALF if split else _HEIGHT, color=colour, alpha=alpha)
        if error > 0.0 and row.kind not in {"source", "total"}:
            ax.errorbar(value, middle, xerr=error, color="black", elinewidth=2, capsize=4)
    if row.limits:
        for proved in (-row.limits[1], row.limits[2]):
            _draw_limit(ax, place, 100.0 * proved)


def _shown_checks(
    detection: DetectionTable, labels: Mapping[str, str], style: PlotStyle
) -> list[tuple[str, Power, str]]:
    """Name, power and colour of each check; a long name takes two lines."""
    shown = shown_powers(detection, _CHECKS_SHOWN, labels, style)
    return [
        (name.replace(" and ", "\nand ") if len(name) > _LONG else name, power, colour) for name, power, colour in shown
    ]


def _draw_checks(ax: Axes, detection: DetectionTable, shown: list[tuple[str, Power, str]], style: PlotStyle) -> None:
    draw_powers(ax, shown, detection.level)
    name_powers(ax, [name for name, *_ in shown], detection.level, style.text_size)
    if all(row.comparison != "score" for row in detection.rows):
        below = ax.get_ylim()[0] + 0.5
        ax.text(0.97, below - 0.1, "The score is not checked.", ha="right", va="bottom", fontsize=style.text_size)
        ax.set_ylim(bottom=below)


def _add_legend(
    figure: Figure, panels: Sequence[VerdictPanel], detection: DetectionTable | None, decision: str, style: PlotStyle
) -> None:
    kinds = {row.kind for panel in panels for row in panel.rows}
    entries: list[Artist] = []
    if "source" in kinds:
        entries.append(Patch(color=style.nominal_colour, label="Systematics (yields: up)"))
        entries.append(Patch(color=style.nominal_colour, alpha=_LIGHT, label="Systematics (yields: down)"))
        entries.append(Patch(color=style.nominal_colour, alpha=_BAND, label="Covered by systematics"))
    entries.append(Patch(color=style.adversarial_colour, label="Found: at least so much"))
    if any(row.limits for panel in panels for row in panel.rows):
        entries.append(Line2D([], [], color="black", linewidth=4, label="Proved: at most so much"))
    entries.append(Line2D([], [], color="black", marker="|", markersize=12, linewidth=2, label="Statistical error"))
    if detection is not None:
        entries += power_handles(detection, style)
    figure.legend(
        handles=entries,
        loc="outside lower left",
        ncols=3,
        fontsize=style.text_size,
        title=f"Verdict: {decision}" if decision else None,
        title_fontsize=mpl.rcParams["xtick.labelsize"],
        alignment="left",
    )
