# SPDX-License-Identifier: BSD-3-Clause
"""Figure of what it costs to attack events in partitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from hepfool.plots.panels import stacked_panels
from hepfool.plots.style import DEFAULT_STYLE, PlotStyle, styled
from hepfool.processors.partition_caps import CapTrial, PartitionCost
from hepfool.typing import FloatArray

__all__ = ["plot_partition_cost"]

_LABELS = ("Caps on every partition", "Caps on all events (raised)")


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
        _LABELS, (cost.kept, cost.raised), (style.nominal_colour, style.adversarial_colour), "os", strict=True
    ):
        options = {"color": colour, "marker": marker, "markersize": 9, "linewidth": 2, "capsize": 4}
        _draw(upper, sizes, _summary(trials, lambda t: t.fooling_ratio), label=label, **options)
        _draw(lower, sizes, _summary(trials, lambda t: t.max_js_distance / cost.max_js_distance), **options)
        shifts = _summary(trials, lambda t: t.correlation_shift / cost.max_correlation_shift)
        _draw(lower, sizes, shifts, linestyle="--", **{**options, "markerfacecolor": "white"})
    _finish(upper, lower, cost, style)
    return figure, (upper, lower)


def _summary(
    trials: Sequence[Sequence[CapTrial]], value: Callable[[CapTrial], float]
) -> tuple[FloatArray, FloatArray | None]:
    """Mean and spread over the seeds; no spread of a single seed."""
    found = np.array([[value(trial) for trial in seeds] for seeds in trials])
    return found.mean(axis=1), found.std(axis=1, ddof=1) if found.shape[1] > 1 else None


def _draw(ax: Axes, sizes: FloatArray, summary: tuple[FloatArray, FloatArray | None], **options: object) -> None:
    mean, spread = summary
    if np.isfinite(mean).all() and mean.any():
        ax.errorbar(sizes, mean, yerr=spread, **options)  # type: ignore[arg-type]


def _finish(upper: Axes, lower: Axes, cost: PartitionCost, style: PlotStyle) -> None:
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
