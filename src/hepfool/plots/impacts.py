# SPDX-License-Identifier: BSD-3-Clause
"""What each nuisance parameter does to the parameter of interest, the attack among them."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hepfool.inference.impact import Impact
from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled

__all__ = ["plot_impacts"]

_BAR_HEIGHT = 0.6
#: Opacity of the shift with the nuisance parameter down.
_LIGHT = 0.45


@styled
def plot_impacts(impact: Impact, *, max_shown: int = 15, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw the ranking of the nuisance parameters.

    Parameters
    ----------
    impact : Impact
        From :func:`hepfool.inference.expected_impact`.
    max_shown : int
        Largest number of parameters; those of the attack are always among them.

    Returns
    -------
    figure, ax : matplotlib.figure.Figure, matplotlib.axes.Axes
        One row per parameter, the largest impact on top.

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
    figure = style.figure(width=1.3, height=max(0.7, 0.4 + 0.08 * len(shown)))
    ax = figure.subplots()
    for row, entry in enumerate(shown):
        colour = style.adversarial_colour if entry.adversarial else style.nominal_colour
        ax.barh(row, np.nan_to_num(entry.up), height=_BAR_HEIGHT, color=colour)
        ax.barh(row, np.nan_to_num(entry.down), height=_BAR_HEIGHT, color=colour, alpha=_LIGHT)
    labels = [f"{places[entry.name]}  {entry.name}" for entry in shown]
    ax.set_yticks(np.arange(len(shown)), labels, fontsize=mpl.rcParams["xtick.labelsize"])
    ax.tick_params(axis="y", which="both", length=0, pad=10)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    reach = 1.15 * max(entry.size for entry in shown)
    ax.set_xlim(-reach, reach)
    ax.axvline(0.0, color="0.5", linewidth=1.5)
    ax.set_xlabel(f"Shift of {impact.parameter}")
    _add_legend(figure, impact, style)
    return figure, ax


def _add_legend(figure: Figure, impact: Impact, style: PlotStyle) -> None:
    handles = [
        Patch(color=style.adversarial_colour, label="Attack, up"),
        Patch(color=style.adversarial_colour, alpha=_LIGHT, label="down"),
        Patch(color=style.nominal_colour, label="Other nuisances, up"),
        Patch(color=style.nominal_colour, alpha=_LIGHT, label="down"),
    ]
    before, after = (
        rf"$^{{+{interval.up:.3f}}}_{{-{interval.down:.3f}}}$" for interval in (impact.before, impact.after)
    )
    title = f"Expected uncertainty on {impact.parameter}: {before}, with the attack {after}\n{impact.statement}"
    size = style.text_size
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=len(handles),
        fontsize=size,
        title=title,
        title_fontsize=size,
        alignment="left",
    )
