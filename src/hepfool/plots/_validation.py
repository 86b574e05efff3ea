# SPDX-License-Identifier: BSD-3-Clause
"""Detection of an attack: by the checks of an analysis, and by a detector at its own and at every threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, cycle
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepfool.plots._style import DEFAULT_STYLE, PlotStyle, height_of_lines, styled
from hepfool.statistics._checks import STANDARD_CHECKS, CheckKind, DetectionPower, DetectionTable
from hepfool.statistics._toys import Power
from hepfool.studies._contributions import Measured

if TYPE_CHECKING:
    from hepfool.defences._detector_curves import Calibration, DetectorCurves
    from hepfool.studies._threshold_scan import ThresholdScan


_BAR_HEIGHT = 0.3
#: Height of a line of text, where a bar with its name has a height of 1.
_LINE = 0.6
_FURTHER, _COMBINED = "0.6", "0.25"
#: A check that looks at a smaller share of the data says at how many events.
_MOST_EVENTS = 0.95


#: Short names of checks; the columns that they look at follow.
_CHECKS: Final[dict[CheckKind, str]] = {
    "chi2": r"$\chi^2$",
    "ks": "KS",
    "correlations": "linear correlations",
    "projection": r"$\chi^2$ in 2D",
    "classifier": "classifier test",
    "identity": "identity",
}


@styled
def plot_detection(
    table: DetectionTable,
    *,
    max_shown: int = 10,
    labels: Mapping[str, str] | None = None,
    style: PlotStyle = DEFAULT_STYLE,
) -> tuple[Figure, Axes]:
    """
    Draw the detection power of the strongest checks as horizontal bars.

    Parameters
    ----------
    table : DetectionTable
        From :func:`hepfool.statistics.run_checks`.
    max_shown : int
        Largest number of checks; the strongest of every kind is always among them.
    labels : mapping of str to str, optional
        What inputs and regions are called, such as ``AttackSums.labels``; their names by default.

    Returns
    -------
    figure, ax : matplotlib.figure.Figure, matplotlib.axes.Axes
        One row per check, the strongest on top.

    Raises
    ------
    ValueError
        If there is no check to show.
    """
    shown = shown_powers(table, max_shown, labels or {}, style)
    figure = style.figure(width=1.15, height=height_of_lines(2.1 * len(shown) + 6.0, width=1.15))
    ax = figure.subplots()
    draw_powers(ax, shown, table.level)
    name_powers(ax, [name for name, *_ in shown], table.level, mpl.rcParams["xtick.labelsize"])
    ax.set_xlabel(power_title(table))
    figure.legend(handles=power_handles(table, style), loc="outside lower left", ncols=2, fontsize=style.text_size)
    return figure, ax


def name_powers(ax: Axes, names: Sequence[str], level: float, size: float) -> None:
    """Write the name of each check above its bar."""
    places = _places(names)
    for place, name in zip(places, names, strict=True):
        ax.text(level + 0.03, place - 0.22, name, va="bottom", fontsize=size)
    ax.set_ylim(places[-1] + 0.4, -1.0)
    ax.set_yticks([])
    ax.tick_params(axis="y", which="both", length=0)


def _places(names: Iterable[str]) -> list[float]:
    """Give each bar a place, lower by what the further lines of the names above it and of its own need."""
    return list(accumulate((1.0 + _LINE * name.count("\n") for name in names), initial=-1.0))[1:]


def height_of_powers(names: Iterable[str]) -> float:
    """Height of an axes of powers, in units of a bar with its name."""
    return _places(names)[-1] + 1.4


def shown_powers(
    table: DetectionTable, max_shown: int, labels: Mapping[str, str], style: PlotStyle
) -> list[tuple[str, Power, str]]:
    """Name, power and colour of all standard checks together, and of the strongest checks."""
    rows = _strongest(table, max_shown)
    regions = _n_data(table.rows)
    colours = {True: style.nominal_colour, False: _FURTHER}
    shown = [(_check_label(row, regions, labels), row.power, colours[row.check in STANDARD_CHECKS]) for row in rows]
    if (combined := table.combined) is not None:
        shown.insert(0, (f"all {combined.n_checks} standard checks together", combined.power, _COMBINED))
    return shown


def draw_powers(ax: Axes, shown: Sequence[tuple[str, Power, str]], level: float) -> None:
    """Draw powers as bars with their errors, which end where powers do, and the power of chance."""
    for place, (_, power, colour) in zip(_places(name for name, *_ in shown), shown, strict=True):
        sides = [[min(power.error, power.value)], [min(power.error, 1.0 - power.value)]]
        ax.barh(place, power.value, height=_BAR_HEIGHT, color=colour)
        if power.error:
            ax.errorbar(power.value, place, xerr=sides, color="black", elinewidth=2, capsize=4)
    ax.set_xlim(0.0, 1.04)
    ax.axvline(level, color="0.3", linestyle=":", linewidth=3)


def power_handles(table: DetectionTable, style: PlotStyle) -> list[Artist]:
    """Legend of :func:`draw_powers`."""
    together = [] if table.combined is None else [Patch(color=_COMBINED, label="All standard checks")]
    return [
        *together,
        Patch(color=style.nominal_colour, label="Standard check"),
        Patch(color=_FURTHER, label="Further check"),
        Line2D([], [], color="0.3", linestyle=":", linewidth=3, label=f"Type-I error {table.level:g}"),
    ]


def _n_data(rows: Iterable[DetectionPower]) -> dict[str, float]:
    """Count the data events of each region; a check of a small part of them says so."""
    found: dict[str, float] = {}
    for row in rows:
        found[row.region] = max(found.get(row.region, 0.0), row.n_data)
    return found


def power_title(table: DetectionTable) -> str:
    """Axis title with the number of data events in all regions together."""
    regions = _n_data(table.rows)
    parts = {name: n for name, n in regions.items() if len(regions) == 1 or name != "constrained"}
    return f"Detection power, {sum(parts.values()):.0f} data events"


def _check_label(row: DetectionPower, regions: Mapping[str, float], labels: Mapping[str, str]) -> str:
    columns = " and ".join(labels.get(name, name.replace("_", " ")) for name in row.features)
    label = f"{_CHECKS[row.check]} of {columns}" if columns else _CHECKS[row.check]
    if len(regions) > 1:
        label += f", {labels.get(row.region, row.region.replace('_', ' '))}"
    few = row.n_data < _MOST_EVENTS * regions[row.region]
    return f"{label} ({row.n_data:.0f} events)" if few else label


def _strongest(table: DetectionTable, max_shown: int) -> list[DetectionPower]:
    """Choose the strongest rows, with the strongest of every kind of check of every kind of quantity among them."""
    if not table.rows:
        msg = "no check to show; evaluate at least one"
        raise ValueError(msg)
    best = {(row.check, row.comparison): row for row in reversed(table.rows)}
    room = max(max_shown - len(best), 0)
    others = [row for row in table.rows if row is not best[row.check, row.comparison]][:room]
    return [row for row in table.rows if row in others or row is best[row.check, row.comparison]]


@styled
def plot_detector(curves: DetectorCurves, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw the ROC curve of a detector and the calibration of its score.

    Parameters
    ----------
    curves : DetectorCurves
        From :func:`hepfool.defences.detector_curves`.
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
    ax.set_xlabel("Nominal events flagged")
    ax.set_ylabel("Fooled events flagged")
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
        label=f"Mean distance from the diagonal {calibration.expected_error:.3f}",
    )
    ax.set_xlabel("Detector score")
    ax.set_ylabel("Fooled / (fooled + nominal)")
    ax.set_ylim(0.0, 1.05)
    note = "As many fooled as nominal events, by weight"
    ax.legend(loc="upper left", fontsize=style.text_size, title=note, title_fontsize=style.text_size)


#: Every so many thresholds a point of data is drawn: neighbours are nearly the same events.
_EVERY = 4
_SMALLEST = 1e-3
#: Lines of the classes whose nominal events are flagged, and the part of the axis below the legend.
_PRICES, _BELOW_LEGEND = ("--", "-.", ":"), 0.66


@styled
def plot_threshold_scan(
    scan: ThresholdScan, *, labels: Mapping[str, str] | None = None, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, ...]]:
    """
    Draw what a detector leaves of the attack, the nominal events that it costs, and data against simulation, by threshold.

    Parameters
    ----------
    scan : ThresholdScan
        From :func:`hepfool.sums.scan_thresholds`.
    labels : mapping of str to str, optional
        What regions are called, such as ``AttackSums.labels``; their names by default.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of matplotlib.axes.Axes
        Attack and nominal events; where data were compared, also data and simulation.
    """
    n_panels = 2 if scan.checks else 1
    figure = style.figure(width=1.0 * n_panels + 0.1, height=0.95)
    axes = tuple(figure.subplots(1, n_panels, squeeze=False)[0])
    _draw_band(axes[0], scan, scan.corrected, style.adversarial_colour, "Fooled and not flagged / attacked")
    for price, line in zip(scan.by_class or (("Nominal events", scan.nominal),), cycle(_PRICES)):
        _draw_band(axes[0], scan, price[1], style.nominal_colour, f"{price[0].capitalize()} flagged", line)
    axes[0].set_ylabel("Fraction of events")
    if scan.checks:
        _draw_checks(axes[1], scan, labels or {}, style)
    for ax in axes:
        ax.axvline(scan.own, ymax=_BELOW_LEGEND, color="0.3", linestyle=":", linewidth=3, label="Chosen threshold")
        ax.set_xlim(0.0, 1.0)
        ax.set_xlabel("Threshold on the detector score")
        ax.set_ylim(0.0, 1.5 * max(ax.get_ylim()[1], _SMALLEST))
        # Zero would touch that of the other axis, and no fraction is above one.
        for minor in (False, True):
            ax.set_yticks([tick for tick in ax.get_yticks(minor=minor) if 0.0 < tick <= 1.0], minor=minor)
        ax.legend(loc="upper right", fontsize=style.text_size)
    return figure, axes


def _draw_checks(ax: Axes, scan: ThresholdScan, labels: Mapping[str, str], style: PlotStyle) -> None:
    for check, colour in zip(scan.checks, style.colours, strict=False):
        region = labels.get(check.region, check.region.replace("_", " "))
        _draw_band(ax, scan, check.simulation, colour, f"Simulation, {region} ({check.n_simulated})")
        _draw_points(ax, scan, check.data, colour, f"Data, {region} ({check.n_data})")
    ax.set_ylabel("Flagged fraction of events")


def _draw_band(
    ax: Axes, scan: ThresholdScan, numbers: Sequence[Measured], colour: str, label: str, line: str = "-"
) -> None:
    values, errors = np.array([(number.value, number.error) for number in numbers]).T
    ax.plot(scan.thresholds, values, color=colour, linewidth=3, linestyle=line, label=label)
    ax.fill_between(scan.thresholds, values - errors, values + errors, color=colour, alpha=0.25, linewidth=0)


def _draw_points(ax: Axes, scan: ThresholdScan, numbers: Sequence[Measured], colour: str, label: str) -> None:
    values, errors = np.array([(number.value, number.error) for number in numbers])[::_EVERY].T
    options: dict[str, Any] = {"fmt": "o", "color": "black", "markeredgecolor": colour, "markersize": 8, "capsize": 3}
    ax.errorbar(scan.thresholds[::_EVERY], values, yerr=errors, label=label, **options)
