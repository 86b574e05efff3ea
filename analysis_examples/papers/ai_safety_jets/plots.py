# SPDX-License-Identifier: BSD-3-Clause
"""Figures of the search: significance, checkpoints, validation without the signal region, and observables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import mplhep
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepfool.plots import DEFAULT_STYLE, PlotStyle, set_headroom, stacked_panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis_examples.papers.ai_safety_jets.blinded_validation import (
        BlindedValidation,
        PairedObservable,
        ValidationHistogram,
    )
    from analysis_examples.papers.ai_safety_jets.checkpoints import CheckpointRecord
    from analysis_examples.papers.ai_safety_jets.significance import SignificanceCurve, SignificanceStudy
    from hepfool.typing import FloatArray, IntArray

__all__ = ["plot_blinded_validation", "plot_checkpoints", "plot_observables", "plot_significance"]

_RATIO = r"$\varepsilon_S/\sqrt{\varepsilon_B}$"
_MARKERS = "osD^vP"
_OPTIMUM: dict[str, Any] = {"color": "0.2", "linestyle": ":", "linewidth": 3}
_SCARCE: dict[str, Any] = {"facecolor": "0.9", "edgecolor": "0.7", "linewidth": 1.0, "zorder": 0}


@styled
def plot_significance(
    study: SignificanceStudy, *, note: str = "", style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw the relative significance against the threshold, and its ratio to nominal below.

    Parameters
    ----------
    study : SignificanceStudy
        Nominal and varied curves.
    note : str
        Remark, such as the network.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Significances, and ratios with their bootstrap bands where the background suffices.
    """
    colours = cycle(c for c in style.colours if c != style.nominal_colour)
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
    return figure, (ax, below)


@styled
def plot_checkpoints(
    networks: Mapping[str, Sequence[CheckpointRecord]], *, note: str = "", style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw significance and its change under attack against the AUROC of networks.

    Parameters
    ----------
    networks : mapping of str to sequence of CheckpointRecord
        Stages of the training of each network; points are joined by epoch.
    note : str
        Remark, such as the attack.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Significance at each network's expected optimum before (full) and after (open markers), and its relative change.

    Raises
    ------
    ValueError
        If there is no record.
    """
    if not any(networks.values()):
        msg = "no checkpoint to show; give the records of at least one network"
        raise ValueError(msg)
    figure = style.figure()
    figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0, rect=(0.005, 0.01, 0.99, 0.98))
    ax, below = figure.subplots(2, 1, sharex=True)
    figure.align_ylabels([ax, below])
    handles = []
    for (name, records), colour, marker in zip(networks.items(), cycle(style.colours), cycle(_MARKERS), strict=False):
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


_BLINDED: dict[str, Any] = {"facecolor": "0.85", "edgecolor": "0.6", "linewidth": 1.0, "zorder": 0}
_BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.4", "hatch": "////", "linewidth": 0.0}
_EXPECTED: dict[str, Any] = {"color": "black", "linewidth": 3, "linestyle": "-."}


@styled
def plot_blinded_validation(
    validation: BlindedValidation, *, style: PlotStyle = DEFAULT_STYLE, log_y: bool = False
) -> tuple[Figure, tuple[tuple[Axes, Axes], ...]]:
    """
    Draw score and observables side by side, each with data over prediction below.

    Errors and chi-square are those of independent events: pseudo-data and
    prediction share none.

    Parameters
    ----------
    validation : BlindedValidation
        Histograms; pseudo-data are not drawn where they are blinded.
    log_y : bool
        Logarithmic yields.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields and ratio of each panel, the score first.
    """
    shown = (validation.score, *validation.observables)
    figure = style.figure(width=len(shown), height=1.3)
    columns = stacked_panels(figure, len(shown))
    handles = _handles(style)
    for k, (histogram, (ax, below)) in enumerate(zip(shown, columns, strict=True)):
        _draw_yields(ax, histogram, style, log_y=log_y)
        _draw_data_ratio(below, histogram)
        remark = f"$\\chi^2$/ndf = {histogram.chi2:.1f}/{histogram.ndf}, p = {histogram.p_value:.2g}"
        if k == 0:
            handles += _mark_blinded((ax, below), validation)
        else:
            remark = f"Control region\n{remark}"
        mplhep.add_text(remark, ax=ax, loc="upper right", fontsize=style.text_size)
    figure.legend(handles=handles, loc="outside lower left", ncols=2, fontsize=style.text_size)
    return figure, columns


def _draw_yields(ax: Axes, histogram: ValidationHistogram, style: PlotStyle, *, log_y: bool) -> None:
    expected = histogram.expected
    visible = histogram.visible & (histogram.observed + expected > 0)
    spread = np.sqrt(histogram.expected_variance)
    ax.stairs(expected, histogram.edges, fill=True, color=style.nominal_colour, alpha=0.5)
    ax.stairs(expected + spread, histogram.edges, baseline=expected - spread, fill=True, **_BAND)
    centres = _centres(histogram.edges)
    errors = np.sqrt(histogram.observed_variance)
    ax.errorbar(
        centres[visible], histogram.observed[visible], yerr=errors[visible], fmt="o", color="black", markersize=6
    )
    set_headroom(ax, float(max(expected.max(), histogram.observed[visible].max(initial=0.0))), log_y=log_y)
    ax.set_ylabel("Events / bin")


def _draw_data_ratio(ax: Axes, histogram: ValidationHistogram) -> None:
    known = histogram.visible & (histogram.expected > 0)
    expected = np.where(known, histogram.expected, 1.0)
    relative = np.where(known, np.sqrt(histogram.expected_variance) / expected, 0.0)
    ax.stairs(1.0 + relative, histogram.edges, baseline=1.0 - relative, fill=True, **_BAND)
    ratio, errors = histogram.observed / expected, np.sqrt(histogram.observed_variance) / expected
    centres = _centres(histogram.edges)
    ax.errorbar(centres[known], ratio[known], yerr=errors[known], fmt="o", color="black", markersize=6)
    ax.axhline(1.0, color="0.3", linewidth=1.5)
    ax.set_ylim(0.45, 1.55)
    ax.set_xlim(histogram.edges[0], histogram.edges[-1])
    ax.set_xlabel(histogram.label)
    ax.set_ylabel("Ratio", loc="center")


def _handles(style: PlotStyle) -> list[Any]:
    return [
        Line2D([], [], color="black", marker="o", linestyle="none", label="Pseudo-data, attacked background"),
        Patch(color=style.nominal_colour, alpha=0.5, label="Expected, nominal background"),
    ]


def _mark_blinded(panels: tuple[Axes, Axes], validation: BlindedValidation) -> list[Any]:
    """Shade what is blinded and draw the expected optimum."""
    handles: list[Any] = [Patch(label="Blinded", **_BLINDED)]
    for k, panel in enumerate(panels):
        panel.axvspan(validation.control_threshold, validation.score.edges[-1], **_BLINDED)
        if validation.optimum is not None:
            panel.axvline(validation.optimum, ymax=1.0 if k else 0.6, **_EXPECTED)
    if validation.optimum is not None:
        handles.append(Line2D([], [], label="Expected optimum", **_EXPECTED))
    return handles


def _centres(edges: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (edges[:-1] + edges[1:]))


_N_COLUMNS = 2


@styled
def plot_observables(
    observables: Sequence[PairedObservable],
    labels: IntArray,
    *,
    weights: FloatArray | None = None,
    label_names: Sequence[str] = ("Background", "Signal"),
    note: str = "",
    style: PlotStyle = DEFAULT_STYLE,
) -> tuple[Figure, tuple[Axes, ...]]:
    """
    Draw the shapes of each class, nominal (filled) and adversarial (dashed), one panel per observable.

    Both are the same events, so that no statistical error of their difference is drawn.

    Parameters
    ----------
    observables : sequence of PairedObservable
        Values of the same events.
    labels : IntArray, shape (n_events,)
        Classes from 0.
    weights : FloatArray, shape (n_events,), optional
        Event weights; 1 when left out.
    label_names : sequence of str
        Names of the classes from label 0.
    note : str
        Remark in the first panel, such as the attack.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of matplotlib.axes.Axes
        One per observable.

    Raises
    ------
    ValueError
        If there is nothing to show, or labels and observables are of different events.
    """
    _check(observables, labels)
    used = np.ones(len(labels)) if weights is None else weights
    n_columns = min(_N_COLUMNS, len(observables))
    n_rows = -(-len(observables) // n_columns)
    figure = style.figure(width=n_columns, height=0.8 * n_rows if n_rows > 1 else 1.0)
    panels = tuple(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for ax, observable in zip(panels, observables, strict=False):
        _draw(ax, observable, labels, used, style, len(label_names))
    for ax in panels[len(observables) :]:
        ax.set_axis_off()
    _add_legend(panels[0], label_names, note, style)
    return figure, panels[: len(observables)]


def _check(observables: Sequence[PairedObservable], labels: IntArray) -> None:
    if not observables:
        msg = "no observable to show; give at least one"
        raise ValueError(msg)
    for observable in observables:
        if observable.nominal.shape != labels.shape:
            msg = f"{observable.label}: {len(observable.nominal)} values for {len(labels)} labels; give the same events"
            raise ValueError(msg)


def _draw(
    ax: Axes, observable: PairedObservable, labels: IntArray, weights: FloatArray, style: PlotStyle, n_classes: int
) -> None:
    widths = np.diff(observable.edges)
    highest = 0.0
    for k in range(n_classes):
        own = labels == k
        colour = style.colours[k]
        norm = weights[own].sum() or 1.0
        before, after = (
            observable.yields(values[own], weights[own]) / norm / widths
            for values in (observable.nominal, observable.adversarial)
        )
        ax.stairs(before, observable.edges, fill=True, color=colour, alpha=0.35)
        ax.stairs(after, observable.edges, color=colour, linewidth=3, linestyle="--")
        highest = max(highest, float(before.max()), float(after.max()))
    set_headroom(ax, highest, log_y=False)
    ax.set_xlim(observable.edges[0], observable.edges[-1])
    ax.set_xlabel(observable.label)
    ax.set_ylabel("Probability density")


def _add_legend(ax: Axes, label_names: Sequence[str], note: str, style: PlotStyle) -> None:
    handles = [Patch(color=colour, label=name) for colour, name in zip(style.colours, label_names, strict=False)]
    handles.append(Patch(color="0.5", alpha=0.35, label="Nominal"))
    dashed = Line2D([], [], color="0.2", linewidth=3, linestyle="--", label="Adversarial")
    ax.legend(handles=[*handles, dashed], loc="upper right", ncols=2, fontsize=style.text_size)
    ax.text(0.03, 0.97, note, transform=ax.transAxes, va="top", fontsize=style.text_size)
