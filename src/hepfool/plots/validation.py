# SPDX-License-Identifier: BSD-3-Clause
"""Detection of an attack: by the checks of an analysis, and by a detector at its own and at every threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled
from hepfool.statistics.checks import STANDARD_CHECKS, DetectionPower, DetectionTable
from hepfool.studies.systematics import Measured

if TYPE_CHECKING:
    from hepfool.defences._detector_curves import Calibration, DetectorCurves
    from hepfool.studies.threshold_scan import ThresholdScan


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
    shown = _strongest(table, max_shown)
    regions = {row.region for row in shown}
    figure = style.figure(width=1.5, height=max(0.7, 0.4 + 0.08 * len(shown)))
    ax = figure.subplots()
    for k, row in enumerate(shown):
        colour = style.nominal_colour if row.check in STANDARD_CHECKS else style.colours[1]
        error = row.power.error or None
        ax.barh(k, row.power.value, height=_BAR_HEIGHT, xerr=error, color=colour, ecolor="black")
    names = [row.title + (f" ({row.region})" if len(regions) > 1 else "") for row in shown]
    ax.set_yticks(np.arange(len(shown)), names, fontsize=style.text_size)
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


def _strongest(table: DetectionTable, max_shown: int) -> list[DetectionPower]:
    if not table.rows:
        msg = "no check to show; evaluate at least one"
        raise ValueError(msg)
    best = {row.check: row for row in reversed(table.rows)}
    room = max(max_shown - len(best), 0)
    others = [row for row in table.rows if row is not best[row.check]][:room]
    return [row for row in table.rows if row in others or row is best[row.check]]


@styled
def plot_detector(curves: DetectorCurves, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw the ROC curve of a detector and the calibration of its score.

    Parameters
    ----------
    curves : DetectorCurves
        From :func:`hepfool.defences._detector_curves.detector_curves`.
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


#: Every so many thresholds a point of data is drawn: neighbours are nearly the same events.
_EVERY = 4
_SMALLEST = 1e-3


@styled
def plot_threshold_scan(scan: ThresholdScan, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, ...]]:
    """
    Draw fooled and not flagged fraction, flagged nominal fraction, and data against simulation, as functions of the threshold.

    Parameters
    ----------
    scan : ThresholdScan
        From :func:`hepfool.sums.scan_thresholds`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of matplotlib.axes.Axes
        Attack and nominal events; where data were compared, also data and simulation.
    """
    n_panels = 2 if scan.checks else 1
    figure = style.figure(width=1.0 * n_panels + 0.1, height=0.95)
    axes = tuple(figure.subplots(1, n_panels, squeeze=False)[0])
    _draw_band(axes[0], scan, scan.corrected, style.adversarial_colour, "Fooled and not flagged / attacked")
    _draw_band(axes[0], scan, scan.nominal, style.nominal_colour, "Nominal events flagged")
    axes[0].set_ylabel("Fraction of events")
    if scan.checks:
        _draw_checks(axes[1], scan, style)
    for ax in axes:
        ax.axvline(scan.own, ymax=0.65, color="0.3", linestyle=":", linewidth=3, label="Threshold of the detector")
        ax.set_xlim(0.0, 1.0)
        ax.set_xlabel("Threshold on the detector score")
        ax.set_ylim(0.0, 1.5 * max(ax.get_ylim()[1], _SMALLEST))
        ax.set_yticks([tick for tick in ax.get_yticks() if tick <= 1.0])
        ax.legend(loc="upper right", fontsize=style.text_size)
    return figure, axes


def _draw_checks(ax: Axes, scan: ThresholdScan, style: PlotStyle) -> None:
    for check, colour in zip(scan.checks, style.colours, strict=False):
        _draw_band(ax, scan, check.simulation, colour, f"Simulation, {check.region} ({check.n_simulated})")
        _draw_points(ax, scan, check.data, colour, f"Data, {check.region} ({check.n_data})")
    ax.set_ylabel("Flagged fraction of events")


def _draw_band(ax: Axes, scan: ThresholdScan, numbers: Sequence[Measured], colour: str, label: str) -> None:
    values, errors = np.array([(number.value, number.error) for number in numbers]).T
    ax.plot(scan.thresholds, values, color=colour, linewidth=3, label=label)
    ax.fill_between(scan.thresholds, values - errors, values + errors, color=colour, alpha=0.25, linewidth=0)


def _draw_points(ax: Axes, scan: ThresholdScan, numbers: Sequence[Measured], colour: str, label: str) -> None:
    values, errors = np.array([(number.value, number.error) for number in numbers])[::_EVERY].T
    options: dict[str, Any] = {"fmt": "o", "color": "black", "markeredgecolor": colour, "markersize": 8, "capsize": 3}
    ax.errorbar(scan.thresholds[::_EVERY], values, yerr=errors, label=label, **options)
