# SPDX-License-Identifier: BSD-3-Clause
"""Figure of how often clean events are flagged in independent runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled

if TYPE_CHECKING:
    from hepfool.studies.misclassification import Misclassification

__all__ = ["plot_misclassification"]

_LOWEST = 0.2
_HEADROOM = 1.45


@styled
def plot_misclassification(study: Misclassification, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw observed and expected numbers of events, and stars above significant excesses.

    Parameters
    ----------
    study : Misclassification
        From :func:`hepfool.studies.misclassification.systematic_misclassification`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, matplotlib.axes.Axes
        Logarithmic numbers of events.
    """
    edges = np.arange(len(study.times) + 1) - 0.5
    highest = float(max(study.observed.max(), study.expected.max()))
    top = _LOWEST * (highest / _LOWEST) ** _HEADROOM
    figure = style.figure(width=1.1)
    ax = figure.subplots()
    expected = f"Expected by chance, $p$ = {study.probability:.3g}"
    ax.stairs(study.expected, edges, baseline=_LOWEST, fill=True, color="0.75", label=expected)
    colour, seen = style.adversarial_colour, study.observed > 0
    errors = np.sqrt(study.observed[seen])
    ax.errorbar(study.times[seen], study.observed[seen], yerr=errors, fmt="o", color=colour, markersize=9)
    ax.plot([], [], "o", color=colour, markersize=9, label="Observed")
    stars = study.times[study.significant]
    heights = np.maximum(study.observed, study.expected)[study.significant]
    label = f"Excess with $p$-value < {study.level:g}"
    ax.plot(stars, 2.5 * heights, "*", color=colour, markersize=20, linestyle="none", label=label)
    ax.set_yscale("log")
    ax.set_ylim(_LOWEST, top)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xticks(study.times, minor=False)
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_xlabel(f"Times flagged in {study.n_runs} runs")
    ax.set_ylabel("Clean events")
    note = f"{study.n_events} events, $p$-value of repeated flags {study.p_value:.2g}"
    ax.legend(loc="upper right", fontsize=style.text_size, title=note, title_fontsize=style.text_size)
    return figure, ax
