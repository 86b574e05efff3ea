# SPDX-License-Identifier: BSD-3-Clause
"""Figures of studies: several attacks, partitions, detectors of several trainings, and adversarial training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, StyledFigure, stacked_panels, styled
from hepfool.typing import FloatArray

if TYPE_CHECKING:
    from hepfool.defences.robustness import Ratio, Robustness
    from hepfool.processors.partition_caps import CapTrial, PartitionCost
    from hepfool.studies.cross_run import CrossRuns, Knowledge
    from hepfool.studies.misclassification import Misclassification


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
    max_js_distance : float
        Cap on the distances; runs that keep it have full markers, others open ones.
    published : mapping of str to AttackPoint, optional
        Results of others, drawn as stars.
    floor : float, optional
        Correlation shift between two independent samples of this size.
    note : str
        Remark, such as the data set.

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
    _finish_comparison(ax, handles, note, max_js_distance, style)
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


def _finish_comparison(ax: Axes, handles: list[Line2D], note: str, cap: float, style: PlotStyle) -> None:
    ax.set_xscale("log")
    ax.set_ylim(0.0, 1.45)
    ax.set_yticks(np.linspace(0.0, 1.0, 6))
    ax.set_xlabel(r"Correlation shift $\Delta$FN")
    ax.set_ylabel("Fooling ratio")
    remark = f"{note}\nfull markers: all JS distances $\\leq$ {cap:.3g}".strip()
    ax.text(0.03, 0.97, remark, transform=ax.transAxes, va="top", fontsize=style.text_size)
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, 0.89), ncols=2, fontsize=style.text_size)


_CAPS = ("Caps on every partition", "Caps on all events (raised)")


@styled
def plot_partition_cost(cost: PartitionCost, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, tuple[Axes, Axes]]:
    """
    Draw fooling ratio, and how much of the caps was used, against the size of the partitions.

    Points are means over the seeds of :func:`~hepfool.processors.partition_caps.partition_cost`, bars their
    standard deviations.

    Parameters
    ----------
    cost : PartitionCost
        Attacks on the same events in partitions of several sizes.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, tuple of (matplotlib.axes.Axes, matplotlib.axes.Axes)
        Fooling ratio, and below it the figures of all events over their caps.

    Raises
    ------
    ValueError
        If there is no partition to show.
    """
    if not cost.n_partitions:
        msg = "no partition to show; give at least one number of partitions"
        raise ValueError(msg)
    sizes = cost.n_events / np.array(cost.n_partitions)
    figure = style.figure(width=1.15, height=1.1)
    ((upper, lower),) = stacked_panels(figure)
    for label, trials, colour, marker in zip(
        _CAPS, (cost.kept, cost.raised), (style.nominal_colour, style.adversarial_colour), "os", strict=True
    ):
        options = {"color": colour, "marker": marker, "markersize": 9, "linewidth": 2, "capsize": 4}
        _draw_means(upper, sizes, _mean_and_spread(trials, lambda t: t.fooling_ratio), label=label, **options)
        _draw_means(
            lower, sizes, _mean_and_spread(trials, lambda t: t.max_js_distance / cost.max_js_distance), **options
        )
        shifts = _mean_and_spread(trials, lambda t: t.correlation_shift / cost.max_correlation_shift)
        _draw_means(lower, sizes, shifts, linestyle="--", **{**options, "markerfacecolor": "white"})
    _finish_partitions(upper, lower, cost, style)
    return figure, (upper, lower)


def _mean_and_spread(
    trials: Sequence[Sequence[CapTrial]], value: Callable[[CapTrial], float]
) -> tuple[FloatArray, FloatArray | None]:
    """Mean and spread over the seeds; no spread of a single seed."""
    found = np.array([[value(trial) for trial in seeds] for seeds in trials])
    return found.mean(axis=1), found.std(axis=1, ddof=1) if found.shape[1] > 1 else None


def _draw_means(ax: Axes, sizes: FloatArray, summary: tuple[FloatArray, FloatArray | None], **options: object) -> None:
    mean, spread = summary
    if np.isfinite(mean).all() and mean.any():
        ax.errorbar(sizes, mean, yerr=spread, **options)  # type: ignore[arg-type]


def _finish_partitions(upper: Axes, lower: Axes, cost: PartitionCost, style: PlotStyle) -> None:
    sizes = [cost.n_events / n for n in cost.n_partitions]
    upper.set_xscale("log")
    upper.set_ylim(0.0, 1.35)
    upper.set_yticks(np.linspace(0.0, 1.0, 6))
    upper.set_ylabel("Fooling ratio")
    upper.legend(loc="upper left", fontsize=style.text_size)
    lower.axhline(1.0, color="0.3", linewidth=1.5)
    lower.set_ylim(0.0, 1.29)
    lower.set_ylabel("Used / cap", loc="center")
    lower.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    lower.xaxis.set_minor_locator(NullLocator())
    lower.set_xlabel("Events per partition")
    handles = [
        Line2D([], [], color="black", marker="o", markersize=7, label="JS distance"),
        Line2D(
            [],
            [],
            color="black",
            marker="o",
            markersize=7,
            linestyle="--",
            markerfacecolor="white",
            label="$\\Delta$FN",
        ),
    ]
    lower.legend(handles=handles, loc="lower right", ncols=2, fontsize=0.8 * style.text_size)


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
    figure = style.figure(width=2.25, height=1.5)
    left, right = figure.subplots(1, 2)
    plain = [[f"{value:.2f}" for value in row] for row in ratios]
    _draw_matrix(figure, left, ratios, plain, "Fooled", style.text_size)
    _draw_matrix(
        figure, right, corrected, _cells(corrected, errors, products), "Fooled and not flagged", style.text_size
    )
    for ax, name in ((left, "fooling_ratio"), (right, "corrected_fooling_ratio")):
        text = _means(runs, name)
        ax.text(0.0, -0.17, text, transform=ax.transAxes, va="top", fontsize=style.text_size)
    return figure, (left, right)


def _cells(values: FloatArray, errors: FloatArray, products: FloatArray) -> list[list[str]]:
    if len(values) > _MOST_WITH_ERRORS:
        return [[f"{value:.2f}" for value in row] for row in values]
    rows = zip(values, errors, products, strict=True)
    return [[f"{v:.2f}\n$\\pm$ {e:.2f}\n({p:.2f})" for v, e, p in zip(*row, strict=True)] for row in rows]


def _draw_matrix(
    figure: StyledFigure, ax: Axes, matrix: FloatArray, texts: list[list[str]], title: str, size: float
) -> None:
    n_runs = len(matrix)
    edges = np.arange(n_runs + 1) - 0.5
    mesh = ax.pcolormesh(edges, edges, np.clip(matrix, 0.0, 1.0), cmap="Blues", vmin=0.0, vmax=1.0, rasterized=True)
    figure.colorbar(mesh, ax=ax, fraction=0.05, aspect=25, pad=0.02).set_label(f"{title} / attacked")
    size = min(size, 130.0 / n_runs)
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


def _means(runs: CrossRuns, quantity: str) -> str:
    lines = []
    kinds: dict[Knowledge, str] = {"white_box": "White-box (framed)", "grey_box": "Grey-box"}
    if runs.adaptive and quantity == "corrected_fooling_ratio":
        kinds["adaptive"] = "White-box, knows the detector"
    for knowledge, name in kinds.items():
        mean = runs.mean(knowledge, quantity)
        text = f"{name}: {mean.value:.3f} $\\pm$ {mean.error:.3f}"
        lines.append(text)
        further = []
        if np.isfinite(mean.split_std):
            further.append(f"{mean.split_std:.3f} between {mean.n_splits} splits")
        if quantity == "corrected_fooling_ratio" and knowledge != "adaptive":
            further.append(f"(product form {runs.mean(knowledge, 'product_fooling_ratio').value:.3f})")
        lines += [f"    {' '.join(further)}"] if further else []
    if quantity == "corrected_fooling_ratio" and runs.auroc.shape[1] <= _MOST_WITH_ERRORS:
        lines.append("Cells: joint count, error, (product form)")
    return "\n".join(lines)


_LOWEST = 0.2
_HEADROOM = 1.45


@styled
def plot_misclassification(study: Misclassification, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw observed and expected numbers of events, and stars above significant excesses.

    Parameters
    ----------
    study : Misclassification
        From :func:`hepfool.studies.misclassification.systematic_misclassification`.
    """
    edges = np.arange(len(study.times) + 1) - 0.5
    highest = float(max(study.observed.max(), study.expected.max()))
    top = _LOWEST * (highest / _LOWEST) ** _HEADROOM
    figure = style.figure(width=1.1)
    ax = figure.subplots()
    expected = f"Expected by chance, $p$ = {study.probability:.3g}"
    ax.stairs(study.expected, edges, baseline=_LOWEST, fill=True, color="0.75", label=expected)
    colour, seen = style.adversarial_colour, study.observed > 0
    errors = np.sqrt(study.observed[seen])
    ax.errorbar(study.times[seen], study.observed[seen], yerr=errors, fmt="o", color=colour, markersize=9)
    ax.plot([], [], "o", color=colour, markersize=9, label="Observed")
    stars = study.times[study.significant]
    heights = np.maximum(study.observed, study.expected)[study.significant]
    label = f"Excess with $p$-value < {study.level:g}"
    ax.plot(stars, 2.5 * heights, "*", color=colour, markersize=20, linestyle="none", label=label)
    ax.set_yscale("log")
    ax.set_ylim(_LOWEST, top)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xticks(study.times, minor=False)
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_xlabel(f"Times flagged in {study.n_runs} runs")
    ax.set_ylabel("Clean events")
    note = f"{study.n_events} events, $p$-value of repeated flags {study.p_value:.2g}"
    ax.legend(loc="upper right", fontsize=style.text_size, title=note, title_fontsize=style.text_size)
    return figure, ax


@styled
def plot_robustness(robustness: Robustness, *, style: PlotStyle = DEFAULT_STYLE) -> tuple[Figure, Axes]:
    """
    Draw fooling ratios of test events by iteration of an adversarial training.

    Parameters
    ----------
    robustness : Robustness
        From :func:`hepfool.defences.robustness.judge_robustness`.

    Returns
    -------
    figure, axes : matplotlib.figure.Figure, matplotlib.axes.Axes
        Iterations, with 0 for the first network.
    """
    figure = style.figure(width=1.15)
    ax = figure.subplots()
    same = [robustness.before, *robustness.by_iteration]
    _draw_ratios(ax, np.arange(len(same)), same, "o", style.nominal_colour, "Same adversarial events")
    anew = [robustness.white_box_before, robustness.white_box_after]
    _draw_ratios(ax, [0, robustness.best], anew, "s", style.adversarial_colour, "Attack repeated on the network")
    mean, error = robustness.mean_iteration
    band: dict[str, Any] = {
        "color": style.nominal_colour,
        "alpha": 0.25,
        "linewidth": 0,
        "label": "Mean of the iterations",
    }
    ax.fill_between([0.5, len(same) - 0.5], mean - error, mean + error, **band)
    best: dict[str, Any] = {"color": "0.6", "linestyle": ":", "linewidth": 2, "label": "Best on validation events"}
    ax.axvline(robustness.best, ymax=0.6, **best)
    ax.set_xlabel("Iteration")
    ax.set_ylabel("Fooling ratio")
    ax.set_xlim(-0.5, len(same) - 0.5)
    ax.set_xticks(np.arange(len(same)), ["clean", *map(str, range(1, len(same)))])
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.set_ylim(0.0, 1.7 * max(ratio.value + ratio.error for ratio in (*same, *anew)))
    loss = f"{robustness.auroc_loss:.4f} $\\pm$ {robustness.auroc_loss_error:.4f}"
    note = f"{robustness.n_events} events, AUROC lost on clean ones {loss}"
    ax.legend(loc="upper right", fontsize=style.text_size, title=note, title_fontsize=style.text_size)
    return figure, ax


def _draw_ratios(ax: Axes, x: object, ratios: list[Ratio], marker: str, colour: str, label: str) -> None:
    values, errors = np.array(ratios).T
    ax.errorbar(x, values, yerr=errors, fmt=marker, color=colour, markersize=9, capsize=4, label=label)  # type: ignore[arg-type]
