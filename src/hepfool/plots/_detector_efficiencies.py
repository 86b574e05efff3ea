# SPDX-License-Identifier: BSD-3-Clause
"""Clean events that the detectors of several trainings leave, in data and simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots._style import DEFAULT_STYLE, PlotStyle, stacked_panels, styled

if TYPE_CHECKING:
    from hepfool.studies._detector_efficiencies import DetectorEfficiencies

#: Every so many thresholds a point of data is drawn.
_EVERY = 5


@styled
def plot_detector_efficiencies(
    found: DetectorEfficiencies, *, data_label: str = "Data", style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw the mean efficiency for clean events against the threshold, and below it data less simulation.

    Parameters
    ----------
    found : DetectorEfficiencies
        From :func:`hepfool.studies.detector_efficiencies`.
    data_label : str
        Name of the data, such as ``Pseudo-data``.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Bands and bars are standard deviations between trainings; the statistical one is dashed below.
    """
    figure = style.figure(width=1.15, height=1.15)
    ((upper, lower),) = stacked_panels(figure)
    cuts, few = found.thresholds, slice(None, None, _EVERY)
    colour, n = style.nominal_colour, len(found.simulation)
    mean, spread = found.mean("simulation"), found.spread("simulation")
    upper.plot(cuts, mean, color=colour, linewidth=3, label=f"Simulation ({found.n_simulation:.0f} events)")
    upper.fill_between(cuts, mean - spread, mean + spread, color=colour, alpha=0.25, linewidth=0)
    points = found.mean("data")[few], found.spread("data")[few]
    label = f"{data_label} ({found.n_data:.0f} events)"
    upper.errorbar(cuts[few], *points, fmt="o", color="black", markersize=8, capsize=3, label=label)
    upper.set_ylim(0.0, 1.05)
    upper.set_ylabel("Clean events not flagged")
    title = f"Mean of {n} detectors, standard deviation\nbetween trainings"
    upper.legend(loc="lower right", fontsize=style.text_size, title=title, title_fontsize=style.text_size)
    value, between, statistical = found.difference
    lower.axhline(0.0, color="0.4", linewidth=1.5)
    lower.errorbar(cuts[few], value[few], between[few], fmt="o", color="black", markersize=8, capsize=3)
    for sign in (-1.0, 1.0):
        lower.plot(cuts, sign * statistical, color="0.4", linestyle="--", linewidth=2)
    highest = max(float(np.abs(value).max() + between.max()), float(statistical.max()), 1e-3)
    lower.set_ylim(-1.15 * highest, 1.15 * highest)
    lower.set_ylabel(f"{data_label} $-$ sim.")
    lower.set_xlabel("Threshold on the detector score")
    lower.set_xlim(0.0, 1.0)
    return figure, (upper, lower)
