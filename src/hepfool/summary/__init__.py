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
    AttackFinished,
    CorrelationsWithinFloor,
    Criterion,
    EnoughEvents,
    FlaggedFractionsAgree,
    FoolingWithinSystematics,
    MarginalsWithinFloor,
    YieldsWithinSystematics,
)
from hepfool.summary.evidence import Evidence, FlaggedFraction, flagged_fractions
from hepfool.summary.on_demand import frontier_record, spread_record, worst_case_record
from hepfool.summary.record import Summary, detection_record, detector_report, summarise, summary_schema
from hepfool.summary.verdict import Decision, Sensitivity, Verdict, decide

__all__ = [
    "AttackConverged",
    "AttackFinished",
    "CorrelationsWithinFloor",
    "Criterion",
    "Decision",
    "EnoughEvents",
    "Evidence",
    "FlaggedFraction",
    "FlaggedFractionsAgree",
    "FoolingWithinSystematics",
    "MarginalsWithinFloor",
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
    "spread_record",
    "summarise",
    "summary_schema",
    "worst_case_record",
]
