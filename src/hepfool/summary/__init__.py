# SPDX-License-Identifier: BSD-3-Clause
"""
Judge an attack against the physics systematics of the same analysis.

:class:`Evidence` collects the numbers, :func:`decide` applies every criterion
and gives the :class:`Verdict`, and :func:`summarise` writes it all down as plain
values for ``summary.json``.
"""

from __future__ import annotations

from hepfool.settings import Thresholds
from hepfool.summary.criteria import (
    AttackConverged,
    CorrelationsWithinFloor,
    Criterion,
    DataAgree,
    DetectorPrice,
    EnoughEvents,
    FlaggedFractionsAgree,
    FoolingWithinSystematics,
    MarginalsWithinFloor,
    YieldsWithinSystematics,
)
from hepfool.summary.evidence import Evidence, FlaggedFraction, FlaggedSignal, flagged_fractions
from hepfool.summary.observed import ObservedCheck, observed_checks
from hepfool.summary.on_demand import frontier_record, spread_record, worst_case_record
from hepfool.summary.record import Summary, detection_record, detector_report, summarise, summary_schema
from hepfool.summary.robustness import Robustness, other_choices, robustness, robustness_record
from hepfool.summary.verdict import Decision, RegionVerdict, Sensitivity, Verdict, decide

__all__ = [
    "AttackConverged",
    "CorrelationsWithinFloor",
    "Criterion",
    "DataAgree",
    "Decision",
    "DetectorPrice",
    "EnoughEvents",
    "Evidence",
    "FlaggedFraction",
    "FlaggedFractionsAgree",
    "FlaggedSignal",
    "FoolingWithinSystematics",
    "MarginalsWithinFloor",
    "ObservedCheck",
    "RegionVerdict",
    "Robustness",
    "Sensitivity",
    "Summary",
    "Thresholds",
    "Verdict",
    "YieldsWithinSystematics",
    "decide",
    "detection_record",
    "detector_report",
    "flagged_fractions",
    "frontier_record",
    "observed_checks",
    "other_choices",
    "robustness",
    "robustness_record",
    "spread_record",
    "summarise",
    "summary_schema",
    "worst_case_record",
]
