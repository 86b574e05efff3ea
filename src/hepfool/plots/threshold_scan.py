# SPDX-License-Identifier: BSD-3-Clause
"""Figure of a detector at every threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled
from hepfool.studies.systematics import Measured

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.studies.threshold_scan import ThresholdScan

__all__ = ["plot_threshold_scan"]

#: Every so many thresholds a point of data is drawn: neighbours are nearly the same events.
_EVERY = 4
_SMALLEST = 1e-3


@styled
def plot_threshold_scan(scan: ThresholdScan, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, ...]]:
    """
    Draw what a detector leaves of an attack, what it costs, and whether data agree.

    Parameters
    ----------
    scan : ThresholdScan
        From :func:`hepfool.studies.threshold_scan.scan_thresholds`.

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
