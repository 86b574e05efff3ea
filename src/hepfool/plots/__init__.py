# SPDX-License-Identifier: BSD-3-Clause
"""
Figures of every result, one function each.

Each takes a result and, as the keyword ``style``, a :class:`PlotStyle`, and returns ``(figure, axes)``; none of them
saves, computes a result, or changes Matplotlib's global settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.plots._attack import fooling_by_part, plot_fooling, plot_frontier
    from hepfool.plots._contact_sheet import plot_contact_sheet
    from hepfool.plots._detector_efficiencies import plot_detector_efficiencies
    from hepfool.plots._explain import plot_allowed_fraction, plot_explanation
    from hepfool.plots._inputs import (
        marginal,
        plot_correlations,
        plot_marginal,
        plot_marginals,
        plot_projection,
        projection,
        representative_marginals,
    )
    from hepfool.plots._scores import plot_score, plot_score_stack, score_histogram
    from hepfool.plots._studies import (
        AttackPoint,
        plot_attack_comparison,
        plot_cross_runs,
        plot_misclassification,
        plot_partition_cost,
        plot_robustness,
    )
    from hepfool.plots._style import (
        DEFAULT_STYLE,
        PlotStyle,
        add_experiment_label,
        set_headroom,
        stacked_panels,
        styled,
    )
    from hepfool.plots._systematics import plot_impacts, plot_region_yields
    from hepfool.plots._validation import plot_detection, plot_detector, plot_threshold_scan
    from hepfool.plots._verdict import plot_verdict, verdict_panels
    from hepfool.plots._worst_case import plot_ladder
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "DEFAULT_STYLE",
    "AttackPoint",
    "PlotStyle",
    "add_experiment_label",
    "fooling_by_part",
    "marginal",
    "plot_allowed_fraction",
    "plot_attack_comparison",
    "plot_contact_sheet",
    "plot_correlations",
    "plot_cross_runs",
    "plot_detection",
    "plot_detector",
    "plot_detector_efficiencies",
    "plot_explanation",
    "plot_fooling",
    "plot_frontier",
    "plot_impacts",
    "plot_ladder",
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
    "plot_verdict",
    "projection",
    "representative_marginals",
    "score_histogram",
    "set_headroom",
    "stacked_panels",
    "styled",
    "verdict_panels",
]
