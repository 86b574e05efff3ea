# SPDX-License-Identifier: BSD-3-Clause
"""Which check would have caught the attack."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled
from hepfool.statistics.checks import STANDARD_CHECKS, DetectionPower, DetectionTable

__all__ = ["plot_detection"]

_BAR_HEIGHT = 0.6


@styled
def plot_detection(
    table: DetectionTable, *, max_shown: int = 10, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, Axes]:
    """
    Draw the detection power of the strongest checks as horizontal bars.

    Parameters
    ----------
    table : DetectionTable
        From :func:`hepfool.statistics.checks.run_checks`.
    max_shown : int
        Largest number of checks; the strongest of every kind is always among them.

    Returns
    -------
    figure, ax : matplotlib.figure.Figure, matplotlib.axes.Axes
        One row per check, the strongest on top.

    Raises
    ------
    ValueError
        If there is no check to show.
    """
    shown = _chosen(table, max_shown)
    regions = {row.region for row in shown}
    figure = style.figure(width=1.5, height=max(0.7, 0.4 + 0.08 * len(shown)))
    ax = figure.subplots()
    for k, row in enumerate(shown):
        colour = style.nominal_colour if row.check in STANDARD_CHECKS else style.colours[1]
        error = row.power.error or None
        ax.barh(k, row.power.value, height=_BAR_HEIGHT, xerr=error, color=colour, ecolor="black")
    names = [row.title + (f" ({row.region})" if len(regions) > 1 else "") for row in shown]
    ax.set_yticks(np.arange(len(shown)), names, fontsize=0.8 * _tick_size())
    ax.tick_params(axis="y", which="both", length=0, pad=10)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.set_xlim(0.0, 1.1)
    ax.axvline(table.level, color="0.3", linestyle=":", linewidth=3)
    ax.set_xlabel("Detection power")
    handles = [
        Patch(color=style.nominal_colour, label="Standard check"),
        Patch(color=style.colours[1], label="Further check"),
        mpl.lines.Line2D([], [], color="0.3", linestyle=":", linewidth=3, label=f"Invisible ({table.level:g})"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=style.text_size)
    return figure, ax


def _chosen(table: DetectionTable, max_shown: int) -> list[DetectionPower]:
    if not table.rows:
        msg = "no check to show; evaluate at least one"
        raise ValueError(msg)
    best = {row.check: row for row in reversed(table.rows)}
    room = max(max_shown - len(best), 0)
    others = [row for row in table.rows if row is not best[row.check]][:room]
    return [row for row in table.rows if row in others or row is best[row.check]]


def _tick_size() -> float:
    return mpl.font_manager.FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()
