# SPDX-License-Identifier: BSD-3-Clause
"""
The network's score before and after an attack.

:func:`plot_score` overlays the classes or processes, to see where events move;
:func:`plot_score_stack` adds the processes up as an analysis would, to see what
happens to the yield above the threshold.  Both take one histogram with the axes
``process``, ``variation`` and ``score``: from :func:`score_histogram`, or a
coffea output.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import cycle, islice
from operator import add
from typing import Any, Literal

import mplhep
import numpy as np
from hist import Hist
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hepfool.events._labels import class_name
from hepfool.plots._style import (
    DEFAULT_STYLE,
    PlotStyle,
    band_handle,
    draw_ratio,
    relative_uncertainty,
    set_headroom,
    stacked_panels,
    styled,
    yield_title,
)
from hepfool.sums import AttackSums

_AXES = ("process", "variation", "score")
_VARIATIONS = ("nominal", "adversarial")
#: Part of the axis above all yields, and opacity of statistical errors.
_FREE, _BAND = 0.1, 0.25
_SOLID: dict[str, Any] = {"linestyle": "-", "linewidth": 2}
_DASHED: dict[str, Any] = {"linestyle": "--", "linewidth": 3}


def score_histogram(
    sums: AttackSums,
    *,
    by: Literal["label", "dataset"] = "label",
    label_names: Sequence[str] | None = None,
    region: str | None = None,
    score_class: int = 1,
    n_bins: int = 40,
) -> Hist[Any]:
    """
    Give the scores of an attack.

    Parameters
    ----------
    sums : AttackSums
        Sums of nominal and adversarial events.
    by : {"label", "dataset"}
        What the categories of the axis ``process`` are.
    label_names : sequence of str, optional
        Names of the classes from label 0; background and signal by default if there are two.
    region : str, optional
        Region of the events; all events by default.
    score_class : int
        Class whose score is shown.
    n_bins : int
        Bins in [0, 1], a divisor of 600; the last one includes 1.

    Returns
    -------
    hist.Hist
        Axes ``process``, ``variation`` (``nominal``, ``adversarial``) and ``score``; weighted.
    """
    n_classes, place = sums.facts["n_classes"], region or "all"
    held = sums.names("score", by, region=place, variation="nominal")
    known = [*(label_names or [class_name(k, n_classes).capitalize() for k in range(n_classes)]), "Unlabelled"]
    names = {key: known[int(key)] if by == "label" else key for key in held}
    title = "Score" if n_classes == 2 else f"Score of class {score_class}"
    histogram: Hist[Any] = (
        Hist.new.StrCat(sorted(names.values()), name="process")
        .StrCat(list(_VARIATIONS), name="variation")
        .Reg(n_bins, 0.0, 1.0, name="score", label=title, flow=False)
        .Weight()
    )
    for key, name in names.items():
        for variation in _VARIATIONS:
            of: dict[str, Any] = {by: key, "region": place, "variation": variation}
            yields, variances = sums.score_yields(n_bins, score_class=score_class, **of)
            histogram[{"process": name, "variation": variation}] = np.stack([yields, variances], axis=-1)
    return histogram


@styled
def plot_score(
    histogram: Hist[Any],
    *,
    threshold: float | None = None,
    density: bool = False,
    style: PlotStyle = DEFAULT_STYLE,
    log_y: bool = False,
) -> tuple[Figure, Axes]:
    """
    Overlay the scores of the processes, nominal and adversarial.

    Bands are the statistical errors of the nominal yields; the adversarial events are the same ones.

    Parameters
    ----------
    histogram : hist.Hist
        Axes ``process``, ``variation`` (``nominal``, ``adversarial``) and ``score``.
    threshold : float, optional
        Cut on the score, dimensionless.
    density : bool
        Normalise every curve to unit area.

    Raises
    ------
    ValueError
        If an axis is absent.
    """
    processes = _processes(histogram)
    figure = style.figure()
    ax = figure.subplots()
    handles = _draw_overlay(ax, processes, style, density=density)
    every = [h for pair in processes.values() for h in pair]
    highest = max(float(np.max(h.density() if density else h.values())) for h in every)
    set_headroom(ax, highest, log_y=log_y, free=_FREE)
    if not log_y:
        # Its lowest label would touch that of the other axis.
        ax.yaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], prune="lower"))
    ax.set_xlabel(histogram.axes["score"].label)
    ax.set_ylabel("Probability density" if density else yield_title(every[0]))
    _finish(figure, (ax,), handles, threshold, style)
    return figure, ax


@styled
def plot_score_stack(
    histogram: Hist[Any], *, threshold: float | None = None, style: PlotStyle = DEFAULT_STYLE, log_y: bool = False
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Stack the nominal scores of the processes and draw the adversarial sum over it.

    Parameters
    ----------
    histogram : hist.Hist
        Axes ``process``, ``variation`` (``nominal``, ``adversarial``) and ``score``.
    threshold : float, optional
        Cut on the score, dimensionless.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields, and the ratio of adversarial to nominal sums.

    Raises
    ------
    ValueError
        If an axis or a variation is absent.
    """
    processes = _processes(histogram)
    before, after = (reduce(add, histograms) for histograms in zip(*processes.values(), strict=True))
    figure = style.figure()
    ((ax, below),) = stacked_panels(figure)
    handles = _draw_stack(ax, [pair[0] for pair in processes.values()], tuple(processes), style)
    mplhep.histplot(after, ax=ax, yerr=False, flow="none", color="black", linewidth=3)
    draw_ratio(below, before, after, colour="black")
    set_headroom(ax, float(max(before.values().max(), after.values().max())), log_y=log_y, free=_FREE)
    ax.set_xlabel("")
    ax.set_ylabel(yield_title(before))
    below.set_xlabel(histogram.axes["score"].label)
    _finish(figure, (ax, below), [*handles, band_handle()], threshold, style)
    return figure, (ax, below)


def _processes(histogram: Hist[Any]) -> dict[str, tuple[Hist[Any], Hist[Any]]]:
    """Nominal and adversarial scores of each process."""
    if set(histogram.axes.name) != set(_AXES):
        msg = f"the histogram has the axes {histogram.axes.name}, expected {_AXES}; sum or rename axes first"
        raise ValueError(msg)
    absent = [name for name in _VARIATIONS if name not in histogram.axes["variation"]]
    if absent:
        msg = f"the histogram has no variation {absent[0]!r}, only {', '.join(histogram.axes['variation'])}"
        raise ValueError(msg)
    selected: Any = {
        process: tuple(histogram[{"process": process, "variation": v}] for v in _VARIATIONS)
        for process in histogram.axes["process"]
    }
    return dict(selected)


def _draw_overlay(
    ax: Axes, processes: dict[str, tuple[Hist[Any], Hist[Any]]], style: PlotStyle, *, density: bool
) -> list[Artist]:
    handles: list[Artist] = []
    for colour, (process, (before, after)) in zip(cycle(style.colours), processes.items(), strict=False):
        options = {"ax": ax, "density": density, "color": colour, "flow": "none", "yerr": False}
        _draw_errors(ax, before, colour, density=density)
        mplhep.histplot(before, **_SOLID, **options)
        mplhep.histplot(after, **_DASHED, **options)
        handles.append(Patch(color=colour, label=process))
    handles.append(Line2D([], [], color="0.2", label="Nominal", **_SOLID))
    handles.append(Line2D([], [], color="0.2", label="Adversarial", **_DASHED))
    return handles


def _draw_errors(ax: Axes, nominal: Hist[Any], colour: str, *, density: bool) -> None:
    """Draw a band of the statistical errors."""
    edges, values = nominal.axes[0].edges, np.asarray(nominal.values(), dtype=np.float64)
    width = np.nan_to_num(relative_uncertainty(nominal)) * np.abs(values)
    scale = 1.0 / (values.sum() * np.diff(edges)) if density and values.sum() else np.ones(len(values))
    ax.stairs(scale * (values + width), edges, baseline=scale * (values - width), fill=True, color=colour, alpha=_BAND)


def _draw_stack(ax: Axes, histograms: list[Hist[Any]], names: tuple[str, ...], style: PlotStyle) -> list[Artist]:
    colours = list(islice(cycle(style.colours), len(names)))
    mplhep.histplot(histograms, ax=ax, stack=True, histtype="fill", color=colours, flow="none")
    patches: list[Artist] = [Patch(color=c, label=name) for c, name in zip(colours, names, strict=True)]
    return [*patches, Line2D([], [], color="black", linewidth=3, label="Adversarial, sum")]


def _finish(
    figure: Figure, panels: tuple[Axes, ...], handles: list[Artist], threshold: float | None, style: PlotStyle
) -> None:
    """Add threshold, legend and label."""
    if threshold is not None:
        options: dict[str, Any] = {"color": "0.2", "linestyle": ":", "linewidth": 3}
        for ax in panels:
            ax.axvline(threshold, **options)
        handles = [*handles, Line2D([], [], label=f"Threshold {threshold:g}", **options)]
    panels[0].set_xlim(0.0, 1.0)
    figure.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=style.text_size)
