# SPDX-License-Identifier: BSD-3-Clause
"""
A pair of features before and after an attack, and where its events went.

Bins hold equally many nominal events along each axis and are drawn equally wide, so that a dependence shows wherever most
events are; the axes name the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from hepfool.attacks.base import AttackResult
from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, StyledFigure, styled
from hepfool.statistics.marginals import Binning
from hepfool.statistics.migration import Migration
from hepfool.statistics.projections import rank_projections
from hepfool.typing import BoolArray, FloatArray

__all__ = ["Projection", "plot_projection", "projection"]

_HEADROOM = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """
    The joint distribution of two features before and after an attack.

    Attributes
    ----------
    labels : (str, str)
        Axis titles, horizontal and vertical.
    edges : (FloatArray, FloatArray)
        Bin edges of both axes.
    nominal, adversarial : FloatArray, shape (n_x, n_y)
        Weighted yields of the same events.
    migration : Migration
        Net change of each bin, shape (n_x * n_y,), in the order of the flattened yields.
    js_distance, js_floor : float, optional
        Distance of this projection and its sampling floor, dimensionless; in bins of their own.
    note : str
        Remark for the reader, such as the region.
    """

    labels: tuple[str, str]
    edges: tuple[FloatArray, FloatArray]
    nominal: FloatArray
    adversarial: FloatArray
    migration: Migration
    js_distance: float | None = None
    js_floor: float | None = None
    note: str = ""


def projection(
    result: AttackResult,
    features: tuple[str, str] | None = None,
    *,
    region: str | None = None,
    n_bins: int = 10,
    note: str = "",
) -> Projection:
    """
    Fill a pair of features of an attack.

    Parameters
    ----------
    result : AttackResult
        Nominal and adversarial events.
    features : (str, str), optional
        Horizontal and vertical feature; by default the pair whose projection changes most.
    region : str, optional
        Region of the events; all constrained events by default.
    n_bins : int
        Bins per axis with equal nominal content, fewer where values repeat.  Values beyond count in the outer bins;
        events without one of both values are left out.
    note : str
        Remark for the reader.

    Returns
    -------
    Projection
        With the distance and its floor in bins of equal content.

    Raises
    ------
    ValueError
        If a feature or the region is unknown, or there is no pair of features.
    """
    table = result.nominal
    chosen = table.constrained if region is None else table.region(region).mask
    ranked = rank_projections(table, result.adversarial, events=chosen)
    pair = ranked[0].features if features is None else features
    columns = [table.features.index(name) for name in pair]
    present = chosen & ~table.missing[:, columns].any(axis=1)
    edges = tuple(_edges(table.column(name)[present], n_bins) for name in pair)
    yields, migration = _filled(result, columns, edges, present)
    change = next((c for c in ranked if set(c.features) == set(pair)), None)
    return Projection(
        labels=(table.features[pair[0]].title, table.features[pair[1]].title),
        edges=(edges[0], edges[1]),
        nominal=yields[0],
        adversarial=yields[1],
        migration=migration,
        js_distance=None if change is None else change.js_distance,
        js_floor=None if change is None else change.js_floor,
        note=note or (region or "constrained events").replace("_", " "),
    )


def _edges(values: FloatArray, n_bins: int) -> FloatArray:
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, n_bins + 1))) if len(values) else np.zeros(1)
    return edges if len(edges) > 1 else edges[0] + np.array([-0.5, 0.5])


def _filled(
    result: AttackResult, columns: list[int], edges: tuple[FloatArray, ...], present: BoolArray
) -> tuple[list[FloatArray], Migration]:
    shape = (len(edges[0]) - 1, len(edges[1]) - 1)
    before, after = (
        np.ravel_multi_index(
            [
                Binning(e[np.newaxis]).indices(table.values[present, j, np.newaxis])[:, 0]
                for j, e in zip(columns, edges, strict=True)
            ],
            shape,
        )
        for table in (result.nominal, result.adversarial)
    )
    weights = result.nominal.weights[present]
    n_bins = shape[0] * shape[1]
    yields: list[Any] = [np.bincount(bins, weights=weights, minlength=n_bins) for bins in (before, after)]
    return [flat.reshape(shape) for flat in yields], Migration.between(before, after, weights, n_bins=n_bins)


@styled
def plot_projection(shown: Projection, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, Axes, Axes]]:
    """
    Draw a pair of features: nominal, adversarial, and the net change of each bin in units of its paired error.

    The paired error is that of the events that entered or left a bin; bins that no event entered or left stay white.

    Parameters
    ----------
    shown : Projection
        From :func:`projection`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of three matplotlib.axes.Axes
        Nominal, adversarial, change.
    """
    highest = float(max(shown.nominal.max(), shown.adversarial.max())) or 1.0
    pull = shown.migration.pull.reshape(shown.nominal.shape)
    largest = float(np.nanmax(np.abs(pull))) if np.isfinite(pull).any() else 1.0
    figure = style.figure(width=3.0, height=1.0)
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    for ax, yields in zip(axes[:2], (shown.nominal, shown.adversarial), strict=True):
        # The square root shows tails too; what is negative by its weights counts as empty.
        mesh = _draw(ax, shown, np.maximum(yields, 0.0), "Blues", PowerNorm(0.5, vmin=0.0, vmax=highest))
    _add_scale(figure, mesh, axes[:2], "Events / bin")
    mesh = _draw(axes[2], shown, pull, "RdBu_r", Normalize(-largest, largest))
    _add_scale(figure, mesh, axes[2], "Net change / paired error")
    remarks = (f"Nominal, {shown.note}", "Adversarial, same events", _distance(shown))
    for ax, remark in zip(axes, remarks, strict=True):
        ax.set_xlabel(shown.labels[0])
        ax.text(0.04, 0.975, remark, transform=ax.transAxes, va="top", fontsize=style.text_size)
    _name_edges(axes, shown.edges, style)
    axes[0].set_ylabel(shown.labels[1])
    return figure, (axes[0], axes[1], axes[2])


def _draw(ax: Axes, shown: Projection, values: FloatArray, colours: str, norm: Normalize) -> QuadMesh:
    masked = np.ma.masked_invalid(values.T)
    places = (np.arange(len(edges)) for edges in shown.edges)
    return ax.pcolormesh(*places, masked, cmap=colours, norm=norm, rasterized=True)


def _name_edges(axes: Sequence[Axes], edges: tuple[FloatArray, FloatArray], style: PlotStyle) -> None:
    x, y = (np.arange(len(e)) for e in edges)
    for ax in axes:
        ax.set_xticks(x, [f"{edge:.3g}" for edge in edges[0]], rotation=45, ha="right", rotation_mode="anchor")
        ax.tick_params(which="both", top=False, right=False, labelsize=style.text_size, direction="out")
        ax.minorticks_off()
    axes[0].set_yticks(y, [f"{edge:.3g}" for edge in edges[1]])
    axes[0].set_xlim(0, x[-1])
    # The remarks stand above all events.
    axes[0].set_ylim(0, y[-1] * (1.0 + _HEADROOM))


def _distance(shown: Projection) -> str:
    lines = ["Adversarial \N{MINUS SIGN} nominal"]
    if shown.js_distance is not None:
        lines.append(f"JS distance {shown.js_distance:.2g}")
    if shown.js_floor is not None:
        lines[-1] += f", stat. floor {shown.js_floor:.2g}"
    return "\n".join(lines)


def _add_scale(figure: StyledFigure, mesh: QuadMesh, axes: Axes | Sequence[Axes], title: str) -> None:
    bar = figure.colorbar(mesh, ax=axes, fraction=0.05, aspect=30, pad=0.02)
    bar.set_label(title)
