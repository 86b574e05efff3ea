# SPDX-License-Identifier: BSD-3-Clause
"""
Studies that put numbers beside an attack.

What physics systematics do in the same units: :func:`variation_contributions` and :func:`total`, beside
:func:`attack_contributions` and :func:`excess_of`.  How the attack grows with its caps: :func:`run_frontier`.  What a detector does at
every threshold, and whether data and simulation are flagged alike: :func:`hepfool.sums.scan_thresholds`.  Networks and detectors of several
trainings, each against each: :func:`run_cross_runs`.  Whether these detectors flag the same clean events:
:func:`systematic_misclassification`; whether they leave as many of data as of simulation: :func:`detector_efficiencies`.  Studies of a single paper are in ``analysis_examples/papers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool._interrupts import completed
    from hepfool.studies._contributions import (
        ALL_EVENTS,
        Contributions,
        Measured,
        Summands,
        attack_contributions,
        variation_contributions,
    )
    from hepfool.studies._cross_run import CrossRuns, run_cross_runs
    from hepfool.studies._detector_efficiencies import DetectorEfficiencies, detector_efficiencies
    from hepfool.studies._excess import excess_of, excess_over_mean
    from hepfool.studies._frontier import OperatingPoint, run_frontier
    from hepfool.studies._misclassification import systematic_misclassification
    from hepfool.studies._region_yields import feature_variable, region_yields, score_variable
    from hepfool.studies._runs import RunPlan, Splits, attack_events, prepare_run, split_events
    from hepfool.studies._systematics import total
    from hepfool.studies._variations import correction_variations, envelope_variations, weight_variations
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "ALL_EVENTS",
    "Contributions",
    "CrossRuns",
    "DetectorEfficiencies",
    "Measured",
    "OperatingPoint",
    "RunPlan",
    "Splits",
    "Summands",
    "attack_contributions",
    "attack_events",
    "completed",
    "correction_variations",
    "detector_efficiencies",
    "envelope_variations",
    "excess_of",
    "excess_over_mean",
    "feature_variable",
    "prepare_run",
    "region_yields",
    "run_cross_runs",
    "run_frontier",
    "score_variable",
    "split_events",
    "systematic_misclassification",
    "total",
    "variation_contributions",
    "weight_variations",
]
