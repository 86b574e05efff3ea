# SPDX-License-Identifier: BSD-3-Clause
"""
What an attack costs in discovery significance.

:func:`plot_significance` shows one network at every threshold;
:func:`plot_checkpoints` the change at the optimum against the quality of several
networks, such as one at several stages of its training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepfool.plots.panels import stacked_panels
from hepfool.plots.style import PlotStyle, add_experiment_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepfool.studies.checkpoints import CheckpointRecord
    from hepfool.studies.significance import SignificanceCurve, SignificanceStudy

__all__ = ["plot_checkpoints", "plot_significance"]

_RATIO = r"$\varepsilon_S/\sqrt{\varepsilon_B}$"
_MARKERS = "osD^vP"
_OPTIMUM: dict[str, Any] = {"color": "0.2", "linestyle": ":", "linewidth": 3}
_SCARCE: dict[str, Any] = {"facecolor": "0.9", "edgecolor": "0.7", "linewidth": 1.0, "zorder": 0}


def plot_significance(
    study: SignificanceStudy, *, note: str = "", style: PlotStyle | None = None
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw the relative significance against the threshold, and its ratio to nominal below.

    Parameters
    ----------
    study : SignificanceStudy
        Nominal and varied curves.
    note : str
        Remark, such as the network.
    style : PlotStyle, optional
        Experiment and label.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Significances, and ratios with their bootstrap bands where the background suffices.
    """
    style = style or PlotStyle()
    colours = cycle(c for c in style.colours if c != style.nominal_colour)
    with style.context():
        figure = style.figure()
        ((ax, below),) = stacked_panels(figure)
        x, enough = study.thresholds, study.enough_background
        ax.plot(x, study.nominal.significance, color=style.nominal_colour, linewidth=3)
        handles: list[Any] = [Line2D([], [], color=style.nominal_colour, linewidth=3, label="Nominal")]
        for curve, colour in zip(study.varied, colours, strict=False):
            ax.plot(x, curve.significance, color=colour, linewidth=2, linestyle="--")
            _draw_ratio(below, x, curve, enough, colour)
            text = f"{curve.name}, {100 * study.change(curve.name).value:+.1f} %"
            handles.append(Line2D([], [], color=colour, linewidth=2, linestyle="--", label=text))
        handles.append(Line2D([], [], label=f"Expected optimum {study.threshold:.3g}", **_OPTIMUM))
        handles.append(Patch(label=f"Below {study.settings.min_background:g} background events", **_SCARCE))
        for k, panel in enumerate((ax, below)):
            panel.axvline(study.threshold, ymax=1.0 if k else 0.6, **_OPTIMUM)
            _shade_scarce(panel, x, enough)
        _set_axes(ax, below, study)
        ax.legend(handles=handles, loc="upper right", fontsize=style.text_size)
        numbers = f"{study.n_signal} signal,\n{study.n_background} background events"
        ax.text(0.03, 0.97, f"{note}\n{numbers}".strip(), transform=ax.transAxes, va="top", fontsize=style.text_size)
        add_experiment_label(ax, style)
    return figure, (ax, below)


def plot_checkpoints(
    networks: Mapping[str, Sequence[CheckpointRecord]], *, note: str = "", style: PlotStyle | None = None
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw significance and its change under attack against the AUROC of networks.

    Parameters
    ----------
    networks : mapping of str to sequence of CheckpointRecord
        Stages of the training of each network; points are joined by epoch.
    note : str
        Remark, such as the attack.
    style : PlotStyle, optional
        Experiment and label.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Significance at each network's expected optimum before (full) and after (open markers), and its relative change.

    Raises
    ------
    ValueError
        If there is no record.
    """
    if not any(networks.values()):
        msg = "no checkpoint to show; give the records of at least one network"
        raise ValueError(msg)
    style = style or PlotStyle()
    with style.context():
        figure = style.figure()
        figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0, rect=(0.005, 0.01, 0.99, 0.98))
        ax, below = figure.subplots(2, 1, sharex=True)
        figure.align_ylabels([ax, below])
        handles = []
        for (name, records), colour, marker in zip(
            networks.items(), cycle(style.colours), cycle(_MARKERS), strict=False
        ):
            _draw_network((ax, below), sorted(records, key=lambda record: record.epoch), colour, marker, style)
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=9, label=name))
        common: dict[str, Any] = {"color": "0.3", "marker": "o", "markersize": 9, "linestyle": "none"}
        handles += [Line2D([], [], label="Nominal", **common)]
        handles += [Line2D([], [], markerfacecolor="white", label="Adversarial", **common)]
        below.axhline(0.0, color="0.3", linewidth=1.5)
        below.set_xlabel("AUROC of nominal events")
        below.set_ylabel("Relative change", loc="center")
        ax.set_ylabel(_RATIO)
        ax.set_ylim(0.0, 1.6 * ax.get_ylim()[1])
        below.margins(x=0.1)
        ax.legend(handles=handles, loc="upper right", ncols=2, fontsize=style.text_size)
        remark = f"{note}\nNumbers: epochs of training".strip()
        ax.text(0.03, 0.95, remark, transform=ax.transAxes, va="top", fontsize=style.text_size)
        add_experiment_label(ax, style)
    return figure, (ax, below)


def _draw_ratio(ax: Axes, x: np.ndarray, curve: SignificanceCurve, enough: np.ndarray, colour: str) -> None:
    ax.plot(x[enough], curve.ratio[enough], color=colour, linewidth=2)
    ax.fill_between(x[enough], *curve.ratio_band[:, enough], color=colour, alpha=0.3, linewidth=0)


def _shade_scarce(ax: Axes, x: np.ndarray, enough: np.ndarray) -> None:
    """Thresholds above the last one that leaves enough background."""
    last = x[enough][-1] if enough.any() else 0.0
    ax.axvspan(last, 1.0, **_SCARCE)


def _set_axes(ax: Axes, below: Axes, study: SignificanceStudy) -> None:
    shown = study.enough_background
    curves = (study.nominal, *study.varied)
    highest = max(np.nanmax(curve.significance[shown], initial=1.0) for curve in curves)
    ax.set_ylim(0.0, 1.75 * highest)
    ax.set_ylabel(f"Relative significance {_RATIO}")
    ax.axhline(1.0, color="0.5", linewidth=1)
    below.axhline(1.0, color="0.3", linewidth=1.5)
    ratios = np.stack([curve.ratio[shown] for curve in study.varied])
    lowest, largest = np.nanmin(ratios, initial=1.0), np.nanmax(ratios, initial=1.0)
    margin = max(0.05, 0.15 * (largest - lowest))
    below.set_ylim(lowest - margin, largest + margin)
    below.set_xlim(0.0, 1.0)
    below.set_xlabel("Threshold of the score")
    below.set_ylabel("To nominal", loc="center")


def _draw_network(
    panels: tuple[Axes, Axes], records: list[CheckpointRecord], colour: str, marker: str, style: PlotStyle
) -> None:
    ax, below = panels
    points: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 9, "markeredgewidth": 2}
    x = [record.auroc for record in records]
    changes = [record.significance.change(record.significance.varied[0].name) for record in records]
    before = np.array([record.significance.expected for record in records])
    values = np.array([change.value for change in changes])
    ax.plot(x, before, linewidth=2, **points)
    ax.plot(x, before * (1.0 + values), linewidth=2, linestyle="--", markerfacecolor="white", **points)
    errors = np.array([(c.value - c.lower, c.upper - c.value) for c in changes]).T
    below.errorbar(x, values, yerr=errors, linewidth=2, capsize=4, **points)
    for record, place, height in zip(records, x, before, strict=True):
        text = f"{record.epoch}"
        ax.annotate(text, (place, height), (0, 10), textcoords="offset points", ha="center", fontsize=style.text_size)
