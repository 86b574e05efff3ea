# SPDX-License-Identifier: BSD-3-Clause
"""
Figures of every result, one function each.

Each takes a result and, as the keyword ``style``, a :class:`PlotStyle`, and returns ``(figure, axes)``; none of them
saves, computes a result, or changes Matplotlib's global settings.
"""

from __future__ import annotations

from hepfool.plots.comparison import AttackPoint, plot_attack_comparison
from hepfool.plots.contact_sheet import plot_contact_sheet
from hepfool.plots.correlations import plot_correlations
from hepfool.plots.cross_run import plot_cross_runs
from hepfool.plots.defences import plot_robustness
from hepfool.plots.detection import plot_detection
from hepfool.plots.detector import plot_detector
from hepfool.plots.fooling import fooling_by_part, plot_fooling
from hepfool.plots.frontier import plot_frontier
from hepfool.plots.impacts import plot_impacts
from hepfool.plots.marginals import Marginal, marginal, plot_marginal, plot_marginals, representative_marginals
from hepfool.plots.misclassification import plot_misclassification
from hepfool.plots.partitions import plot_partition_cost
from hepfool.plots.projections import Projection, plot_projection, projection
from hepfool.plots.region_yields import plot_region_yields
from hepfool.plots.score import plot_score, plot_score_stack, score_histogram
from hepfool.plots.style import PlotStyle
from hepfool.plots.threshold_scan import plot_threshold_scan

__all__ = [
    "AttackPoint",
    "Marginal",
    "PlotStyle",
    "Projection",
    "fooling_by_part",
    "marginal",
    "plot_attack_comparison",
    "plot_contact_sheet",
    "plot_correlations",
    "plot_cross_runs",
    "plot_detection",
    "plot_detector",
    "plot_fooling",
    "plot_frontier",
    "plot_impacts",
    "plot_marginal",
    "plot_marginals",
    "plot_misclassification",
    "plot_partition_cost",
    "plot_projection",
    "plot_region_yields",
    "plot_robustness",
    "plot_score",
    "plot_score_stack",
    "plot_threshold_scan",
    "projection",
    "representative_marginals",
    "score_histogram",
]
