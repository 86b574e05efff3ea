# SPDX-License-Identifier: BSD-3-Clause
"""Observables of signal and background before and after an attack, such as jet mass or score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hepfool.plots.panels import set_headroom
from hepfool.plots.style import PlotStyle, add_experiment_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hepfool.studies.blinded_validation import PairedObservable
    from hepfool.typing import FloatArray, IntArray

__all__ = ["plot_observables"]

_N_COLUMNS = 2


def plot_observables(
    observables: Sequence[PairedObservable],
    labels: IntArray,
    *,
    weights: FloatArray | None = None,
    label_names: Sequence[str] = ("Background", "Signal"),
    note: str = "",
    style: PlotStyle | None = None,
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
    style : PlotStyle, optional
        Experiment and label.

    Returns
    -------
    figure : matplotlib.figure.Figure
        To be saved by the caller.
    axes : tuple of matplotlib.axes.Axes
        One per observable.

    Raises
    ------
    ValueError
        If there is nothing to show, or labels and observables are of different events.
    """
    _check(observables, labels)
    style = style or PlotStyle()
    used = np.ones(len(labels)) if weights is None else weights
    n_columns = min(_N_COLUMNS, len(observables))
    n_rows = -(-len(observables) // n_columns)
    with style.context():
        figure = style.figure(width=n_columns, height=0.8 * n_rows if n_rows > 1 else 1.0)
        panels = tuple(figure.subplots(n_rows, n_columns, squeeze=False).flat)
        for ax, observable in zip(panels, observables, strict=False):
            _draw(ax, observable, labels, used, style, len(label_names))
        for ax in panels[len(observables) :]:
            ax.set_axis_off()
        _add_legend(panels[0], label_names, note, style)
        add_experiment_label(panels[0], style, right=n_columns == 1)
        if n_columns > 1:
            add_experiment_label(panels[n_columns - 1], style, left=False)
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
