# SPDX-License-Identifier: BSD-3-Clause
"""Figure of adversarial training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled

if TYPE_CHECKING:
    from hepfool.defences.robustness import Ratio, Robustness

__all__ = ["plot_robustness"]


@styled
def plot_robustness(robustness: Robustness, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw fooling ratios of test events by iteration of an adversarial training.

    Parameters
    ----------
    robustness : Robustness
        From :func:`hepfool.defences.robustness.judge_robustness`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, matplotlib.axes.Axes
        Iterations, with 0 for the first network.
    """
    figure = style.figure(width=1.15)
    ax = figure.subplots()
    same = [robustness.before, *robustness.by_iteration]
    _draw_points(ax, np.arange(len(same)), same, "o", style.nominal_colour, "Same adversarial events")
    anew = [robustness.white_box_before, robustness.white_box_after]
    _draw_points(ax, [0, robustness.best], anew, "s", style.adversarial_colour, "Attack repeated on the network")
    mean, error = robustness.mean_iteration
    band: dict[str, Any] = {
        "color": style.nominal_colour,
        "alpha": 0.25,
        "linewidth": 0,
        "label": "Mean of the iterations",
    }
    ax.fill_between([0.5, len(same) - 0.5], mean - error, mean + error, **band)
    best: dict[str, Any] = {"color": "0.6", "linestyle": ":", "linewidth": 2, "label": "Best on validation events"}
    ax.axvline(robustness.best, ymax=0.6, **best)
    ax.set_xlabel("Iteration")
    ax.set_ylabel("Fooling ratio")
    ax.set_xlim(-0.5, len(same) - 0.5)
    ax.set_xticks(np.arange(len(same)), ["clean", *map(str, range(1, len(same)))])
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_ylim(0.0, 1.7 * max(ratio.value + ratio.error for ratio in (*same, *anew)))
    loss = f"{robustness.auroc_loss:.4f} $\\pm$ {robustness.auroc_loss_error:.4f}"
    note = f"{robustness.n_events} events, AUROC lost on clean ones {loss}"
    ax.legend(loc="upper right", fontsize=style.text_size, title=note, title_fontsize=style.text_size)
    return figure, ax


def _draw_points(ax: Axes, x: object, ratios: list[Ratio], marker: str, colour: str, label: str) -> None:
    values, errors = np.array(ratios).T
    ax.errorbar(x, values, yerr=errors, fmt=marker, color=colour, markersize=9, capsize=4, label=label)  # type: ignore[arg-type]
