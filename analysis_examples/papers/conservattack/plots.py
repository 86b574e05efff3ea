# SPDX-License-Identifier: BSD-3-Clause
"""Figures where events are few: attacks under different constraints with their detectors, and added adversarial events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots import DEFAULT_STYLE, PlotStyle, styled

if TYPE_CHECKING:
    from analysis_examples.papers.conservattack.augmented_runs import Augmentation, PairedGain
    from analysis_examples.papers.conservattack.limited_runs import LimitedData

__all__ = ["plot_augmentation", "plot_limited_data"]

_SPREAD = 0.2
_HEADROOM = 1.55


@styled
def plot_limited_data(study: LimitedData, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw fooling ratios of each attack, and the learning curve of the detector beside the detectors of few events.

    Parameters
    ----------
    study : LimitedData
        From :func:`analysis_examples.papers.conservattack.limited_runs.run_limited_data`, with a learning curve.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Fooling ratios, and areas under the ROC curve.
    """
    figure = style.figure(width=2.2, height=0.95)
    left, right = figure.subplots(1, 2)
    _draw_ratios(left, study, style)
    _draw_areas(right, study, style)
    return figure, (left, right)


def _draw_ratios(ax: Axes, study: LimitedData, style: PlotStyle) -> None:
    kinds = [
        ("fooling_ratio", "Fooled", style.adversarial_colour, "o"),
        ("corrected_fooling_ratio", "and not flagged", style.nominal_colour, "s"),
    ]
    if all(attack.adaptive is not None for run in study.runs for attack in run.attacks.values()):
        kinds.append(("adaptive.corrected_fooling_ratio", "and not flagged, attack knows detector", "black", "^"))
    highest = 0.0
    steps = np.linspace(-0.5, 0.5, len(study.runs)) * _SPREAD
    for k, (quantity, title, colour, marker) in enumerate(kinds):
        for x, name in enumerate(study.names):
            values, mean = study.values(name, quantity), study.mean(name, quantity)
            place = x + 0.28 * (k - 0.5 * (len(kinds) - 1))
            ax.plot(place + steps, values, marker, color=colour, markersize=7, markerfacecolor="none", linestyle="none")
            label = title if x == 0 else None
            ax.errorbar(place, mean.value, mean.error, fmt=marker, color=colour, markersize=11, capsize=5, label=label)
            highest = max(highest, float(values.max()))
    ax.set_xlim(-0.5, len(study.names) - 0.5)
    ax.set_ylim(0.0, _HEADROOM * highest)
    ax.set_xticks(np.arange(len(study.names)), study.names)
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_ylabel("Fraction of attacked events")
    note = f"{study.n_events[2]} test events, {len(study.runs)} runs (open) and mean"
    ax.legend(loc="upper right", fontsize=style.text_size, title=note, title_fontsize=style.text_size)


def _draw_areas(ax: Axes, study: LimitedData, style: PlotStyle) -> None:
    curve = study.learning_curve()
    values = np.array([area.value for area in curve])
    errors = [area.error for area in curve]
    label = f"{study.names[0]}, half nominal, half fooled"
    ax.errorbar(study.sizes, values, errors, fmt="o-", color="black", markersize=9, capsize=4, label=label)
    lowest, highest = values.min(), values.max()
    for name, colour, hatch in zip(
        study.names, style.colours, ("", "//", "\\\\", "xx") * len(study.names), strict=False
    ):
        area = study.mean(name, "auroc")
        label = f"{name}, {study.n_events[0]} events: {area.value:.3f} $\\pm$ {area.error:.3f}"
        low, high = area.value - area.error, area.value + area.error
        ax.axhspan(low, high, facecolor=mpl.colors.to_rgba(colour, 0.3), edgecolor=colour, hatch=hatch, label=label)
        lowest, highest = min(lowest, low), max(highest, high)
    span = highest - lowest
    ax.set_ylim(lowest - 0.7 * span, highest + 0.15 * span)
    ax.set_xscale("log")
    ax.set_xticks(study.sizes, [str(size) for size in study.sizes], minor=False)
    ax.tick_params(axis="x", which="minor", labelbottom=False)
    ax.set_xlabel("Training events of the detector")
    ax.set_ylabel("AUROC of the detector")
    ax.legend(loc="lower right", fontsize=style.text_size)


@styled
def plot_augmentation(augmentation: Augmentation, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw what added events change on clean test events, seed by seed.

    Parameters
    ----------
    augmentation : Augmentation
        From :func:`analysis_examples.papers.conservattack.augmented_runs.run_augmentation`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, matplotlib.axes.Axes
        Areas under the ROC curve less that of the baseline; bands are means with their errors.
    """
    kinds = (
        ("augmented", "Adversarial events added", style.adversarial_colour, "o"),
        ("control", "Same events, random moves", style.nominal_colour, "s"),
    )
    seeds = np.arange(1, len(augmentation.runs) + 1)
    figure = style.figure(width=1.15)
    ax = figure.subplots()
    ax.axhline(0.0, color="0.3", linewidth=1.5)
    values = [0.0]
    for kind, title, colour, marker in kinds:
        gain: PairedGain = augmentation.gain(kind)  # type: ignore[arg-type]
        differences = [getattr(run, kind) - run.baseline for run in augmentation.runs]
        values += differences
        ax.axhspan(gain.mean - gain.error, gain.mean + gain.error, color=colour, alpha=0.25, linewidth=0)
        label = f"{title}: {_signed(gain.mean)} $\\pm$ {gain.error:.4f}, better for {gain.n_better} of {gain.n_seeds}"
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
    return figure, ax


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")
