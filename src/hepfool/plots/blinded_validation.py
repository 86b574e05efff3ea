# SPDX-License-Identifier: BSD-3-Clause
"""Pseudo-data of an attack against the prediction, with the signal region blinded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mplhep
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepfool.plots.panels import set_headroom, stacked_panels
from hepfool.plots.style import PlotStyle, add_experiment_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepfool.studies.blinded_validation import BlindedValidation, ValidationHistogram
    from hepfool.typing import FloatArray

__all__ = ["plot_blinded_validation"]

_BLINDED: dict[str, Any] = {"facecolor": "0.85", "edgecolor": "0.6", "linewidth": 1.0, "zorder": 0}
_BAND: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.4", "hatch": "////", "linewidth": 0.0}
_OPTIMUM: dict[str, Any] = {"color": "black", "linewidth": 3, "linestyle": "-."}


def plot_blinded_validation(
    validation: BlindedValidation, *, style: PlotStyle | None = None, log_y: bool = False
) -> tuple[Figure, tuple[tuple[Axes, Axes], ...]]:
    """
    Draw score and observables side by side, each with data over prediction below.

    Errors and chi-square are those of independent events: pseudo-data and
    prediction share none.

    Parameters
    ----------
    validation : BlindedValidation
        Histograms; pseudo-data are not drawn where they are blinded.
    style : PlotStyle, optional
        Experiment and label.
    log_y : bool
        Logarithmic yields.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Yields and ratio of each panel, the score first.
    """
    style = style or PlotStyle()
    shown = (validation.score, *validation.observables)
    with style.context():
        figure = style.figure(width=len(shown))
        columns = stacked_panels(figure, len(shown))
        for k, (histogram, (ax, below)) in enumerate(zip(shown, columns, strict=True)):
            _draw_yields(ax, histogram, style, log_y=log_y)
            _draw_ratio(below, histogram)
            handles = _handles(style)
            remark = f"$\\chi^2$/ndf = {histogram.chi2:.1f}/{histogram.ndf}, p = {histogram.p_value:.2g}"
            if k == 0:
                handles += _mark_blinded((ax, below), validation)
            else:
                remark = f"Control region\n{remark}"
            ax.legend(handles=handles, loc="upper right", fontsize=style.text_size)
            mplhep.add_text(remark, ax=ax, loc="upper left", fontsize=style.text_size)
        add_experiment_label(columns[0][0], style, right=len(shown) == 1)
        if len(shown) > 1:
            add_experiment_label(columns[-1][0], style, left=False)
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


def _draw_ratio(ax: Axes, histogram: ValidationHistogram) -> None:
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
    ax.set_ylabel("Data / exp.", loc="center")


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
            panel.axvline(validation.optimum, ymax=1.0 if k else 0.6, **_OPTIMUM)
    if validation.optimum is not None:
        handles.append(Line2D([], [], label="Expected optimum", **_OPTIMUM))
    return handles


def _centres(edges: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (edges[:-1] + edges[1:]))
