# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks inside coffea.

A processor that exists: :func:`collect` in its ``process``, :func:`attack_collected` on the output of the runner.  A new
one: write an :class:`Analysis`, and run an :class:`AttackProcessor` through :func:`run_processor`, or let
:func:`run_analysis` make all passes of a long run, and resume it after an interruption.

Names are loaded when they are first asked for: :func:`collect` and :func:`attack_collected` need no coffea.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hepfool.extras import extras_named

if TYPE_CHECKING:
    from hepfool.processors.analysis import Analysis, feature_matrix, leading
    from hepfool.processors.chunk import attack_table
    from hepfool.processors.collected import Collected, attack_collected, collect, table_of
    from hepfool.processors.completeness import run_processor
    from hepfool.processors.driver import AnalysisRun, run_analysis
    from hepfool.processors.output import write_run
    from hepfool.processors.partition_caps import PartitionCost, partition_cost, raise_caps
    from hepfool.processors.partitioned_attack import PartitionedAttack, PartitionedResult
    from hepfool.processors.partitions import PartitionProcessor
    from hepfool.processors.passes import RangeProcessor, TableProcessor
    from hepfool.processors.plan import AttackPlan, RunSettings
    from hepfool.processors.processor import AttackProcessor, ChunkProcessor

__all__ = [
    "Analysis",
    "AnalysisRun",
    "AttackPlan",
    "AttackProcessor",
    "ChunkProcessor",
    "Collected",
    "PartitionCost",
    "PartitionProcessor",
    "PartitionedAttack",
    "PartitionedResult",
    "RangeProcessor",
    "RunSettings",
    "TableProcessor",
    "attack_collected",
    "attack_table",
    "collect",
    "feature_matrix",
    "leading",
    "partition_cost",
    "raise_caps",
    "run_analysis",
    "run_processor",
    "table_of",
    "write_run",
]

_MODULES = {
    "Analysis": "hepfool.processors.analysis",
    "AnalysisRun": "hepfool.processors.driver",
    "AttackPlan": "hepfool.processors.plan",
    "AttackProcessor": "hepfool.processors.processor",
    "ChunkProcessor": "hepfool.processors.processor",
    "Collected": "hepfool.processors.collected",
    "PartitionCost": "hepfool.processors.partition_caps",
    "PartitionProcessor": "hepfool.processors.partitions",
    "PartitionedAttack": "hepfool.processors.partitioned_attack",
    "PartitionedResult": "hepfool.processors.partitioned_attack",
    "RangeProcessor": "hepfool.processors.passes",
    "RunSettings": "hepfool.processors.plan",
    "TableProcessor": "hepfool.processors.passes",
    "attack_collected": "hepfool.processors.collected",
    "attack_table": "hepfool.processors.chunk",
    "collect": "hepfool.processors.collected",
    "feature_matrix": "hepfool.processors.analysis",
    "leading": "hepfool.processors.analysis",
    "partition_cost": "hepfool.processors.partition_caps",
    "raise_caps": "hepfool.processors.partition_caps",
    "run_analysis": "hepfool.processors.driver",
    "run_processor": "hepfool.processors.completeness",
    "table_of": "hepfool.processors.collected",
    "write_run": "hepfool.processors.output",
}


def __getattr__(name: str) -> Any:
    """Load a name of ``__all__`` when it is first asked for."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    with extras_named():
        value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)
