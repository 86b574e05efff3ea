# SPDX-License-Identifier: BSD-3-Clause
"""Figure of several attacks: what they fool against what they do to correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.lines import Line2D

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["AttackPoint", "plot_attack_comparison"]

_MARKERS = "osD^vP"


class AttackPoint(NamedTuple):
    """
    One run of an attack.

    Attributes
    ----------
    fooling_ratio : float
        Fooled over attacked.
    correlation_shift : float
        Relative Frobenius norm of the change of the correlations.
    max_js_distance : float
        Largest distance of a marginal.
    """

    fooling_ratio: float
    correlation_shift: float
    max_js_distance: float


@styled
def plot_attack_comparison(
    curves: Mapping[str, Sequence[AttackPoint]],
    *,
    max_js_distance: float,
    published: Mapping[str, AttackPoint] | None = None,
    floor: float | None = None,
    note: str = "",
    style: PlotStyle = DEFAULT_STYLE,
) -> tuple[Figure, Axes]:
    """
    Draw fooling ratio against correlation shift, one line per attack.

    Parameters
    ----------
    curves : mapping of str to sequence of AttackPoint
        Runs of each attack.
    max_js_distance : float
        Cap on the distances; runs that keep it have full markers, others open ones.
    published : mapping of str to AttackPoint, optional
        Results of others, drawn as stars.
    floor : float, optional
        Correlation shift between two independent samples of this size.
    note : str
        Remark, such as the data set.

    Returns
    -------
    figure, ax : matplotlib.figure.Figure, matplotlib.axes.Axes
        Its axes.

    Raises
    ------
    ValueError
        If there is no run, or a shift is not positive.
    """
    if not any(curves.values()):
        msg = "no run to show; give at least one point of one attack"
        raise ValueError(msg)
    known = published or {}
    figure = style.figure(width=1.15)
    ax = figure.subplots()
    handles = []
    for k, (name, points) in enumerate(curves.items()):
        colour, marker = style.colours[k % len(style.colours)], _MARKERS[k % len(_MARKERS)]
        _draw_curve(ax, sorted(points, key=lambda point: point.correlation_shift), colour, marker, max_js_distance)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=9, label=name))
    for name, point in known.items():
        ax.plot(point.correlation_shift, point.fooling_ratio, "*", color="black", markersize=20)
        handles.append(Line2D([], [], color="black", marker="*", markersize=16, linestyle="none", label=name))
    if floor is not None:
        ax.axvline(floor, color="0.5", linestyle=":", linewidth=2)
        handles.append(Line2D([], [], color="0.5", linestyle=":", label="Two independent samples"))
    _finish(ax, handles, note, max_js_distance, style)
    return figure, ax


def _draw_curve(ax: Axes, points: list[AttackPoint], colour: str, marker: str, cap: float) -> None:
    shifts = np.array([point.correlation_shift for point in points])
    if not (shifts > 0).all():
        msg = f"correlation shifts must be positive on a logarithmic axis, found {shifts.min()}"
        raise ValueError(msg)
    ratios = [point.fooling_ratio for point in points]
    fills = [colour if point.max_js_distance <= cap else "white" for point in points]
    ax.plot(shifts, ratios, color=colour, linewidth=2)
    for shift, ratio, fill in zip(shifts, ratios, fills, strict=True):
        ax.plot(shift, ratio, marker, color=colour, markerfacecolor=fill, markersize=9, markeredgewidth=2)


def _finish(ax: Axes, handles: list[Line2D], note: str, cap: float, style: PlotStyle) -> None:
    ax.set_xscale("log")
    ax.set_ylim(0.0, 1.45)
    ax.set_yticks(np.linspace(0.0, 1.0, 6))
    ax.set_xlabel(r"Correlation shift $\Delta$FN")
    ax.set_ylabel("Fooling ratio")
    remark = f"{note}\nfull markers: all JS distances $\\leq$ {cap:.3g}".strip()
    ax.text(0.03, 0.97, remark, transform=ax.transAxes, va="top", fontsize=style.text_size)
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 0.89), ncols=2, fontsize=style.text_size)
