# SPDX-License-Identifier: BSD-3-Clause
"""Linear correlations of nominal and adversarial events, and what the attack changed."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, StyledFigure, styled
from hepfool.statistics.compatibility import Compatibility
from hepfool.typing import FloatArray

__all__ = ["plot_correlations"]

_SMALLEST_SCALE = 1e-3


@styled
def plot_correlations(
    compatibility: Compatibility, *, labels: Sequence[str] | None = None, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes, Axes]]:
    """
    Draw the lower triangles of both Pearson matrices and of their difference.

    Both matrices share one colour scale.  The difference has its own, because an attack that passes a validation
    changes each coefficient by a few per cent at most.  All are symmetric around zero.  A frame marks the coefficient that
    changes most.

    Parameters
    ----------
    compatibility : Compatibility
        Both matrices, the correlation shift and its sampling floor.
    labels : sequence of str, optional
        Axis titles of the features; their names by default.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of three matplotlib.axes.Axes
        Nominal, adversarial, difference.

    Raises
    ------
    ValueError
        If there is not one label per feature.
    """
    names = tuple(labels or compatibility.features)
    if len(names) != len(compatibility.features):
        msg = f"{len(names)} labels for {len(compatibility.features)} features; give one each"
        raise ValueError(msg)
    nominal, adversarial = compatibility.correlation_nominal, compatibility.correlation_adversarial
    figure = style.figure(width=3.3, height=max(1.2, _needed_height(names)))
    axes = figure.subplots(1, 3, sharey=True)
    shift = (
        rf"$\Delta$FN = {compatibility.correlation_shift:.2g}"
        f"\nstat. floor {compatibility.correlation_floor:.2g}"
    )
    _draw_matrix(axes[0], nominal, f"Nominal\n{_events(compatibility)}", 1.0)
    mesh = _draw_matrix(axes[1], adversarial, "Adversarial\nsame events", 1.0)
    _add_scale(figure, mesh, axes[:2], "Pearson correlation")
    difference = adversarial - nominal
    largest = _mark_largest(axes[2], difference, names)
    mesh = _draw_matrix(axes[2], difference, f"Difference\n{shift}\n{largest}", _scale(difference))
    _add_scale(figure, mesh, axes[2], "Adversarial \N{MINUS SIGN} nominal correlation")
    for ax in axes:
        _name_features(ax, names, left=ax is axes[0])
    return figure, tuple(axes)


def _events(compatibility: Compatibility) -> str:
    return f"{compatibility.region.replace('_', ' ')}\n{compatibility.n_events} events"


def _scale(difference: FloatArray) -> float:
    """Largest entry, rounded up to two digits."""
    largest = float(np.abs(difference).max())
    if largest < _SMALLEST_SCALE:
        return _SMALLEST_SCALE
    digit = 10.0 ** (np.floor(np.log10(largest)) - 1)
    return float(np.ceil(largest / digit) * digit)


def _mark_largest(ax: Axes, difference: FloatArray, names: Sequence[str]) -> str:
    """Frame the largest change and say what it is; nothing if there is none."""
    below = np.abs(np.tril(difference, k=-1))
    row, column = divmod(int(below.argmax()), len(difference))
    if below[row, column] == 0.0:
        return ""
    ax.add_patch(
        Rectangle((column, row), 1.0, 1.0, fill=False, edgecolor="black", linewidth=3, clip_on=False, zorder=3)
    )
    return f"largest: {difference[row, column]:+.2g}\n{names[column]}\n{names[row]}".replace("-", "\N{MINUS SIGN}", 1)


def _draw_matrix(ax: Axes, matrix: FloatArray, remark: str, scale: float) -> QuadMesh:
    n_features = len(matrix)
    hidden = np.triu(np.ones_like(matrix, dtype=bool), k=1)
    shown = np.ma.masked_where(hidden, np.clip(matrix, -scale, scale))
    edges = np.arange(n_features + 1)
    mesh = ax.pcolormesh(edges, edges, shown, cmap="RdBu_r", vmin=-scale, vmax=scale, rasterized=True)
    ax.set_xlim(0, n_features)
    ax.set_ylim(n_features, 0)
    ax.text(0.96, 0.95, remark, transform=ax.transAxes, ha="right", va="top", fontsize=_text_size(), linespacing=1.4)
    return mesh


def _add_scale(figure: StyledFigure, mesh: QuadMesh, axes: Axes | Sequence[Axes], title: str) -> None:
    bar = figure.colorbar(mesh, ax=axes, fraction=0.05, aspect=30, pad=0.02)
    bar.set_label(title, fontsize=_text_size())


def _text_size() -> float:
    """Give the size of the tick labels in points."""
    return FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points()


def _name_size(names: Sequence[str]) -> float:
    """Give the size of the features' names in points: many share the height of a figure."""
    return min(_text_size(), 500.0 / len(names))


def _needed_height(names: Sequence[str]) -> float:
    """Height at which no name covers another, in units of the style's single figure."""
    size = _name_size(names)
    rows, below, above = 1.1 * size * len(names), 0.6 * size * max(map(len, names)), 3.0 * _text_size()
    return float((rows + below + above) / (72.0 * mpl.rcParams["figure.figsize"][1]))


def _name_features(ax: Axes, names: Sequence[str], *, left: bool) -> None:
    centres = np.arange(len(names)) + 0.5
    size = _name_size(names)
    ax.set_xticks(centres, names, rotation=90, fontsize=size)
    ax.set_yticks(centres, names, fontsize=size)
    ax.tick_params(which="both", length=0, labelleft=left)
    ax.minorticks_off()
