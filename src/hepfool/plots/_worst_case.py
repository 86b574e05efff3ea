# SPDX-License-Identifier: BSD-3-Clause
"""The worst case from both sides."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepfool.plots._style import DEFAULT_STYLE, PlotStyle, height_of_lines, styled

if TYPE_CHECKING:
    from hepfool.worst_case._rungs import Bracket, Rung
    from hepfool.worst_case.ladder import Ladder


_HEIGHT: Final = 0.55
_LINE_WIDTH: Final = 22
_TITLE_WIDTH: Final = 95
_GAP: Final = "////"


@styled
def plot_ladder(
    ladder: Ladder, *, events: str | None = None, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw what rising freedom can do, on the left to the class of events, on the right to the yield after the score selection.

    Parameters
    ----------
    ladder : Ladder
        From :func:`hepfool.worst_case.ladder.ladder`.
    events : str, optional
        Which events these are, as a physicist writes it, such as ``$m_{T} < 40$ GeV``; the region's name by default.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of matplotlib.axes.Axes
        Bars are what was found, with its statistical error; lines what is proved not to be exceeded.
    """
    figure = style.figure(width=1.7, height=height_of_lines(2.4 * len(ladder.rungs) + 9.0, width=1.7))
    left, right = axes = figure.subplots(1, 2, sharey=True)
    for row, rung in enumerate(ladder.rungs):
        colour = _colour(rung, style)
        _draw(left, row, rung.fooling, colour, 1.0)
        _draw(right, row, rung.gain, colour, 1.0)
        _draw(right, row, rung.loss, colour, -1.0)
        left.annotate(
            _numbers(rung.fooling),
            (_end(rung.fooling), row),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=style.text_size,
        )
    labels = ["\n".join(textwrap.wrap(rung.label, _LINE_WIDTH)) for rung in ladder.rungs]
    left.set_yticks(np.arange(len(labels)), labels, fontsize=mpl.rcParams["xtick.labelsize"])
    for ax in axes:
        ax.tick_params(axis="y", which="both", length=0)
        ax.set_ylim(len(labels) - 0.4, -0.6)
    left.set_xlim(
        0.0,
        100.0 * 1.9 * max(max(r.fooling.found + r.fooling.error, r.fooling.proved or 0.0) for r in ladder.rungs) or 1.0,
    )
    right.axvline(0.0, color="0.4", linewidth=1.5)
    right.margins(x=0.12)
    size = mpl.rcParams["xtick.labelsize"]
    left.set_xlabel("Attacked events that\nchange class (%)", loc="center", fontsize=size)
    right.set_xlabel("Change of the yield after\nthe score selection (%)", loc="center", fontsize=size)
    _add_legend(figure, ladder, events or ladder.events.replace("_", " "), style)
    return figure, (left, right)


def _colour(rung: Rung, style: PlotStyle) -> str:
    """Along the analysis's sources in one colour, all else in that of adversarial events."""
    return style.adversarial_colour if rung.freedom in {"inputs", "attack"} else style.nominal_colour


def _end(number: Bracket) -> float:
    return 100.0 * max(number.found + number.error, number.proved or 0.0)


def _numbers(number: Bracket) -> str:
    found = f"{100.0 * number.found:.2f} \N{PLUS-MINUS SIGN} {100.0 * number.error:.2f} %"
    return (
        found if number.proved is None else f"{found}\n\N{LESS-THAN OR EQUAL TO} {100.0 * number.proved:.2f} % proved"
    )


def _draw(ax: Axes, row: int, number: Bracket, colour: str, sign: float) -> None:
    found = sign * 100.0 * number.found
    ax.barh(row, found, height=_HEIGHT, color=colour)
    if number.found > 0.0:
        ax.errorbar(found, row, xerr=100.0 * number.error, color="black", elinewidth=2, capsize=4)
    if number.proved is not None:
        proved = sign * 100.0 * number.proved
        ax.barh(
            row,
            proved - found,
            left=found,
            height=_HEIGHT,
            facecolor="none",
            edgecolor=colour,
            hatch=_GAP,
            linewidth=0.0,
        )
        ax.plot([proved, proved], [row - 0.4, row + 0.4], color="black", linewidth=3)


def _add_legend(figure: Figure, ladder: Ladder, events: str, style: PlotStyle) -> None:
    handles = [
        Patch(color=style.nominal_colour, label="Found, along the analysis's own sources"),
        Patch(color=style.adversarial_colour, label="Found, inputs free of each other"),
        Line2D([], [], color="black", linewidth=3, label="Proved not to be exceeded"),
        Patch(facecolor="none", edgecolor="0.4", hatch=_GAP, linewidth=0.0, label="Neither found nor excluded"),
    ]
    size = style.text_size
    lines = [
        f"{ladder.n_attacked} attacked events, {events}; sources within one standard deviation; statistical errors"
    ]
    lines += textwrap.wrap(ladder.statement, _TITLE_WIDTH)
    lines += [line for text in ladder.relaxed for line in textwrap.wrap(f"Proofs: {text}", _TITLE_WIDTH)[:2]]
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=2,
        fontsize=size,
        title="\n".join(lines),
        title_fontsize=size,
        alignment="left",
    )
