# SPDX-License-Identifier: BSD-3-Clause
"""Fooling ratio against the probability to be noticed."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled
from hepfool.studies.frontier import Frontier

__all__ = ["plot_frontier"]

_RIGHT = 0.9


@styled
def plot_frontier(frontier: Frontier, *, further: bool = True, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw a scan of caps.

    Parameters
    ----------
    frontier : Frontier
        From :func:`hepfool.studies.frontier.run_frontier`.
    further : bool
        Draw the strongest of all checks too, if it is another than the strongest standard check.

    Returns
    -------
    figure, ax : matplotlib.figure.Figure, matplotlib.axes.Axes
        Its axes.
    """
    points = frontier.points
    figure = style.figure(width=1.15)
    ax = figure.subplots()
    _draw(ax, frontier, "power", color=style.adversarial_colour, marker="o", label="Strongest standard check")
    if further and any(point.further_check != point.check for point in points):
        colour = style.nominal_colour
        _draw(ax, frontier, "further_power", color=colour, marker="s", linestyle="--", label="Strongest of all checks")
    for point in points:
        # At the right edge, labels go to the left.
        right = point.power.value > _RIGHT
        ax.annotate(
            rf"$\times${point.factor:g}",
            (point.power.value, point.fooling.value),
            (-14, 6) if right else (10, -22),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=style.text_size,
        )
    if (own := frontier.operating_point) is not None:
        options: dict[str, Any] = {"color": "black", "markersize": 22, "linestyle": "none", "zorder": 5}
        ax.plot(own.power.value, own.fooling.value, "*", label="Operating point", **options)
    label = f"Invisible ({frontier.level:g})"
    # Not through the legend.
    ax.axvline(frontier.level, ymax=0.7, color="0.3", linestyle=":", linewidth=3, label=label)
    ax.set_xlim(0.0, 1.08)
    ax.set_ylim(0.0, 1.5 * max(point.fooling.value + point.fooling.error for point in points) or 1.0)
    ax.set_xlabel(f"Detection power with {frontier.n_data:g} data events")
    ax.set_ylabel("Fooling ratio")
    ax.legend(loc="upper left", fontsize=style.text_size, title=r"Caps $\times$ factor", title_fontsize=style.text_size)
    return figure, ax


def _draw(ax: Axes, frontier: Frontier, kind: str, **options: Any) -> None:
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
