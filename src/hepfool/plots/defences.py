# SPDX-License-Identifier: BSD-3-Clause
"""Figures of training with adversarial events: against the attack, and where training events are few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots.style import PlotStyle, add_experiment_label

if TYPE_CHECKING:
    from hepfool.defences.augmentation import Augmentation, PairedGain
    from hepfool.defences.robustness import Ratio, Robustness

__all__ = ["plot_augmentation", "plot_robustness"]


def plot_robustness(robustness: Robustness, *, style: PlotStyle | None = None) -> tuple[Figure, Axes]:
    """
    Draw fooling ratios of test events by iteration of an adversarial training.

    Parameters
    ----------
    robustness : Robustness
        From :func:`hepfool.defences.robustness.judge_robustness`.
    style : PlotStyle, optional
        Experiment and label.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : matplotlib.axes.Axes
        Iterations, with 0 for the first network.
    """
    style = style or PlotStyle()
    with style.context():
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
        add_experiment_label(ax, style)
    return figure, ax


def plot_augmentation(augmentation: Augmentation, *, style: PlotStyle | None = None) -> tuple[Figure, Axes]:
    """
    Draw what added events change on clean test events, seed by seed.

    Parameters
    ----------
    augmentation : Augmentation
        From :func:`hepfool.defences.augmentation.run_augmentation`.
    style : PlotStyle, optional
        Experiment and label.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : matplotlib.axes.Axes
        Areas under the ROC curve less that of the baseline; bands are means with their errors.
    """
    style = style or PlotStyle()
    kinds = (
        ("augmented", "Adversarial events added", style.adversarial_colour, "o"),
        ("control", "Same events, random moves", style.nominal_colour, "s"),
    )
    seeds = np.arange(1, len(augmentation.runs) + 1)
    with style.context():
        figure = style.figure(width=1.15)
        ax = figure.subplots()
        ax.axhline(0.0, color="0.3", linewidth=1.5)
        values = [0.0]
        for kind, title, colour, marker in kinds:
            gain: PairedGain = augmentation.gain(kind)  # type: ignore[arg-type]
            differences = [getattr(run, kind) - run.baseline for run in augmentation.runs]
            values += differences
            ax.axhspan(gain.mean - gain.error, gain.mean + gain.error, color=colour, alpha=0.25, linewidth=0)
            label = (
                f"{title}: {_signed(gain.mean)} $\\pm$ {gain.error:.4f}, better for {gain.n_better} of {gain.n_seeds}"
            )
            ax.plot(seeds, differences, marker, color=colour, markersize=9, linestyle="none", label=label)
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        ax.set_ylim(low - 0.1 * span, high + 0.6 * span)
        ax.set_xlim(0.5, len(seeds) + 0.5)
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        ax.tick_params(axis="x", which="minor", bottom=False, top=False)
        ax.set_xlabel("Seed")
        ax.set_ylabel("AUROC \N{MINUS SIGN} baseline")
        run = augmentation.runs[0]
        note = f"{run.n_train} training and {augmentation.n_test} test events"
        ax.legend(loc="upper left", fontsize=style.text_size, title=note, title_fontsize=style.text_size)
        add_experiment_label(ax, style)
    return figure, ax


def _draw_points(ax: Axes, x: object, ratios: list[Ratio], marker: str, colour: str, label: str) -> None:
    values, errors = np.array(ratios).T
    ax.errorbar(x, values, yerr=errors, fmt=marker, color=colour, markersize=9, capsize=4, label=label)  # type: ignore[arg-type]


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")
