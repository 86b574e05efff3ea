# SPDX-License-Identifier: BSD-3-Clause
"""Figure of attacks and detectors of independent trainings, each against each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, StyledFigure, styled
from hepfool.typing import FloatArray

if TYPE_CHECKING:
    from hepfool.studies.cross_run import CrossRuns, Knowledge

__all__ = ["plot_cross_runs"]

#: With more runs there is no room for errors in the cells.
_MOST_WITH_ERRORS = 6
_DARK = 0.5


@styled
def plot_cross_runs(
    runs: CrossRuns, *, split: int = 0, style: PlotStyle = DEFAULT_STYLE
) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw the fooling ratio of every attack on every network, before and after the detector.

    The mean values below the matrices are those of all splits.  The cells of few runs show the joint
    count, its error, and in brackets the product of fooling ratio and unflagged fraction, which the literature gives.

    Parameters
    ----------
    runs : CrossRuns
        From :func:`hepfool.studies.cross_run.run_cross_runs`.
    split : int
        Which split to draw.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Fooled events, and fooled events that are not flagged.
    """
    ratios, corrected, errors, products = (
        runs.matrix(name)[split]
        for name in (
            "fooling_ratio",
            "corrected_fooling_ratio",
            "corrected_fooling_ratio_error",
            "product_fooling_ratio",
        )
    )
    figure = style.figure(width=2.25, height=1.1)
    left, right = figure.subplots(1, 2)
    plain = [[f"{value:.2f}" for value in row] for row in ratios]
    _draw(figure, left, ratios, plain, "Fooled")
    _draw(figure, right, corrected, _texts(corrected, errors, products), "Fooled and not flagged")
    for ax, name in ((left, "fooling_ratio"), (right, "corrected_fooling_ratio")):
        text = _summary(runs, name)
        ax.text(0.0, -0.15, text, transform=ax.transAxes, va="top", fontsize=style.text_size)
    return figure, (left, right)


def _texts(values: FloatArray, errors: FloatArray, products: FloatArray) -> list[list[str]]:
    if len(values) > _MOST_WITH_ERRORS:
        return [[f"{value:.2f}" for value in row] for row in values]
    rows = zip(values, errors, products, strict=True)
    return [[f"{v:.2f}\n$\\pm$ {e:.2f}\n({p:.2f})" for v, e, p in zip(*row, strict=True)] for row in rows]


def _draw(figure: StyledFigure, ax: Axes, matrix: FloatArray, texts: list[list[str]], title: str) -> None:
    n_runs = len(matrix)
    edges = np.arange(n_runs + 1) - 0.5
    mesh = ax.pcolormesh(edges, edges, np.clip(matrix, 0.0, 1.0), cmap="Blues", vmin=0.0, vmax=1.0, rasterized=True)
    figure.colorbar(mesh, ax=ax, fraction=0.05, aspect=25, pad=0.02).set_label(f"{title} / attacked")
    size = min(
        0.8 * mpl.font_manager.FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size_in_points(), 130.0 / n_runs
    )
    for (attacked, judging), value in np.ndenumerate(matrix):
        colour = "white" if value > _DARK else "black"
        text = texts[attacked][judging]
        ax.text(judging, attacked, text, ha="center", va="center", color=colour, fontsize=size)
    for k in range(n_runs):
        ax.add_patch(mpl.patches.Rectangle((k - 0.5, k - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2.5))
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(edges[-1], edges[0])
    ax.set_xticks(np.arange(n_runs), np.arange(1, n_runs + 1))
    ax.set_yticks(np.arange(n_runs), np.arange(1, n_runs + 1))
    ax.tick_params(which="both", length=0)
    ax.set_xlabel("Judging run")
    ax.set_ylabel("Attacked run")


def _summary(runs: CrossRuns, quantity: str) -> str:
    lines = []
    kinds: dict[Knowledge, str] = {"white_box": "White-box (framed)", "grey_box": "Grey-box"}
    if runs.adaptive and quantity == "corrected_fooling_ratio":
        kinds["adaptive"] = "White-box, knows the detector"
    for knowledge, name in kinds.items():
        mean = runs.mean(knowledge, quantity)
        text = f"{name}: {mean.value:.3f} $\\pm$ {mean.error:.3f}"
        if np.isfinite(mean.split_std):
            text += f", {mean.split_std:.3f} between {mean.n_splits} splits"
        if quantity == "corrected_fooling_ratio" and knowledge != "adaptive":
            text += f" (product form {runs.mean(knowledge, 'product_fooling_ratio').value:.3f})"
        lines.append(text)
    if quantity == "corrected_fooling_ratio" and runs.auroc.shape[1] <= _MOST_WITH_ERRORS:
        lines.append("Cells: joint count, error, (product form)")
    return "\n".join(lines)
