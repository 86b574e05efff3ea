# SPDX-License-Identifier: BSD-3-Clause
"""Figure of a detector: ROC curve and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled

if TYPE_CHECKING:
    from hepfool.defences.detector_curves import Calibration, DetectorCurves

__all__ = ["plot_detector"]


@styled
def plot_detector(curves: DetectorCurves, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw what a detector finds against what it loses, and its score against the truth.

    Parameters
    ----------
    curves : DetectorCurves
        From :func:`hepfool.defences.detector_curves.detector_curves`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        ROC curve and calibration.
    """
    figure = style.figure(width=2.0, height=0.95)
    left, right = figure.subplots(1, 2)
    _draw_roc(left, curves, style)
    _draw_calibration(right, curves.calibration, style)
    for ax in (left, right):
        ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=2, zorder=1)
        ax.set_xlim(0.0, 1.0)
        ax.set_xticks(np.linspace(0.0, 1.0, 6))
        ax.set_yticks(np.linspace(0.2, 1.0, 5))  # zero would touch that of the other axis
    return figure, (left, right)


def _draw_roc(ax: Axes, curves: DetectorCurves, style: PlotStyle) -> None:
    area = f"AUROC = {curves.auroc:.3f} $\\pm$ {curves.auroc_error:.3f}"
    ax.plot(curves.flagged_nominal, curves.flagged_fooled, color=style.adversarial_colour, linewidth=3, label=area)
    ax.plot(*curves.working_point, "*", color="black", markersize=22, linestyle="none", label="Threshold")
    ax.set_xlabel("Flagged fraction of nominal events")
    ax.set_ylabel("Flagged fraction of fooled events")
    ax.set_ylim(0.0, 1.05)
    note = f"{curves.n_nominal} nominal, {curves.n_fooled} fooled events"
    ax.legend(loc="lower right", fontsize=style.text_size, title=note, title_fontsize=style.text_size)


def _draw_calibration(ax: Axes, calibration: Calibration, style: PlotStyle) -> None:
    below, above = calibration.fraction - calibration.lower, calibration.upper - calibration.fraction
    ax.errorbar(
        calibration.mean_score,
        calibration.fraction,
        # Rounding may leave a length a little below zero.
        yerr=np.maximum([below, above], 0.0),
        fmt="o",
        color=style.nominal_colour,
        markersize=9,
        capsize=4,
        label=f"Mean distance {calibration.expected_error:.3f}",
    )
    ax.set_xlabel("Detector score")
    ax.set_ylabel("Fraction of fooled events")
    ax.set_ylim(0.0, 1.05)
    note = "Nominal and fooled equally frequent"
    ax.legend(loc="upper left", fontsize=style.text_size, title=note, title_fontsize=style.text_size)
