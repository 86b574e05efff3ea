# SPDX-License-Identifier: BSD-3-Clause
"""Figure of what networks do under ordinary variations, random draws and an attack within the same uncertainties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hepfool.plots import DEFAULT_STYLE, PlotStyle, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis_examples.papers.hidden_sensitivity.records import Quantity, SensitivityGrid

__all__ = ["plot_hidden_sensitivity"]

#: Field of the record, legend, marker.
_KINDS: Final = (
    ("ordinary", "Ordinary variations, in quadrature", "s"),
    ("random", "Random draws, mean", "o"),
    ("attack", "Attack, marginals and correlations kept", "^"),
)
#: What nothing but the envelope limits.
_PROVED: Final = "Proved not to be exceeded within the envelope"
_AXES: Final[tuple[tuple[Quantity, str], ...]] = (("flips", "Fooling ratio"), ("yield_shift", "Relative yield shift"))
_HEADROOM: Final = 1.9
#: Distance of the trainings from their mean.
_BESIDE: Final = 0.09


@styled
def plot_hidden_sensitivity(
    grid: SensitivityGrid, *, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw every training (small) and the mean with its standard error, by task and architecture.

    Parameters
    ----------
    grid : SensitivityGrid
        From :func:`analysis_examples.papers.hidden_sensitivity.grid.run_sensitivity_grid`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Fooling ratio, and below it the size of the yield shift.

    Raises
    ------
    ValueError
        If no cell of the grid holds a training.
    """
    if not any(grid.cells.values()):
        msg = "no training to show; run at least one architecture on one task"
        raise ValueError(msg)
    places = [(task, name) for task in grid.tasks for name in grid.architectures]
    figure = style.figure(width=max(1.15, 0.18 * len(places)), height=1.3)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for ax, (quantity, title) in zip((upper, lower), _AXES, strict=True):
        highest = _draw(ax, grid, places, quantity, style)
        ax.set_ylim(0.0, highest)
        ax.set_ylabel(title)
    _finish(upper, lower, grid, places, style)
    return figure, (upper, lower)


def _draw(
    ax: Axes, grid: SensitivityGrid, places: list[tuple[str, str]], quantity: Quantity, style: PlotStyle
) -> float:
    """Points of one panel; returns the largest of them."""
    highest = 0.0
    colours = (style.nominal_colour, "0.35", style.adversarial_colour)
    for k, ((number, label, marker), colour) in enumerate(zip(_KINDS, colours, strict=True)):
        named = False
        for x, place in enumerate(places):
            values = grid.values(*place, quantity, number)
            if not values:
                continue
            at = x + 0.24 * (k - 1)
            beside = np.full(len(values), at + _BESIDE)
            ax.plot(beside, values, marker, color=colour, markersize=5, markerfacecolor="none", linestyle="none")
            mean = grid.mean(*place, quantity, number)
            error = None if np.isnan(mean.error) else mean.error
            text = None if named else label
            ax.errorbar(at, mean.value, error, fmt=marker, color=colour, markersize=10, capsize=4, label=text)
            named, highest = True, max(highest, *values)
    highest = max(highest, _draw_limits(ax, grid, places, quantity))
    return highest if highest > 0.0 else 1.0


def _draw_limits(ax: Axes, grid: SensitivityGrid, places: list[tuple[str, str]], quantity: Quantity) -> float:
    """Lines at what is proved, where something is; returns the highest of them."""
    highest, label = 0.0, _PROVED
    for x, place in enumerate(places):
        limit = grid.limit(*place, quantity, "proved").value
        if not np.isnan(limit):
            ax.plot([x - 0.36, x + 0.42], [limit, limit], color="black", linewidth=3, label=label or None)
            highest, label = max(highest, limit), ""
    return highest


def _finish(upper: Axes, lower: Axes, grid: SensitivityGrid, places: list[tuple[str, str]], style: PlotStyle) -> None:
    n_names = len(grid.architectures)
    upper.set_ylim(0.0, _HEADROOM * upper.get_ylim()[1])
    lower.set_ylim(0.0, 1.12 * lower.get_ylim()[1])
    for ax in (upper, lower):
        ax.set_xlim(-0.5, len(places) - 0.5)
        for edge in range(n_names, len(places), n_names):
            ax.axvline(edge - 0.5, color="0.6", linewidth=1.5)
        for x, place in enumerate(places):
            if not grid.cells.get(place):
                ax.text(x, 0.03, "–", transform=ax.get_xaxis_transform(), ha="center", va="bottom", color="0.4")
        ax.tick_params(axis="x", which="both", bottom=False, top=False)
    lower.set_xticks(np.arange(len(places)), [name for _, name in places], fontsize=style.text_size)
    for t, task in enumerate(grid.tasks):
        lower.annotate(
            task,
            ((t + 0.5) * n_names - 0.5, 0.0),
            xycoords=lower.get_xaxis_transform(),
            xytext=(0.0, -2.2 * style.text_size),
            textcoords="offset points",
            ha="center",
            va="top",
        )
    counts = {len(runs) for runs in grid.cells.values() if runs}
    number = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    note = f"{number} training{'' if number == '1' else 's'} per cell (small) and mean"
    upper.legend(
        loc="upper left", fontsize=style.text_size, title=note, title_fontsize=style.text_size, alignment="left"
    )
