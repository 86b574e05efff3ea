# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks inside coffea.

A processor that exists: :func:`collect` in its ``process``, :func:`attack_collected` on the output of the runner.  A new
one: write an :class:`Analysis`, and run an :class:`AttackProcessor` through :func:`run_processor`, or let
:func:`run_analysis` make all passes of a long run, and resume it after an interruption.

Names are loaded when they are first asked for: :func:`collect` and :func:`attack_collected` need no coffea.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.processors._digest import digest
    from hepfool.processors.analysis import Analysis, feature_matrix, leading
    from hepfool.processors.chunk import attack_table
    from hepfool.processors.collected import attack_collected, collect, table_of
    from hepfool.processors.completeness import run_processor
    from hepfool.processors.driver import run_analysis
    from hepfool.processors.output import write_run
    from hepfool.processors.partition_caps import PartitionCost, partition_cost, raise_caps
    from hepfool.processors.partitioned_attack import PartitionedAttack
    from hepfool.processors.partitions import PartitionProcessor
    from hepfool.processors.passes import RangeProcessor, TableProcessor
    from hepfool.processors.plan import AttackPlan, RunSettings
    from hepfool.processors.processor import AttackProcessor, ChunkProcessor
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "Analysis",
    "AttackPlan",
    "AttackProcessor",
    "ChunkProcessor",
    "PartitionCost",
    "PartitionProcessor",
    "PartitionedAttack",
    "RangeProcessor",
    "RunSettings",
    "TableProcessor",
    "attack_collected",
    "attack_table",
    "collect",
    "digest",
    "feature_matrix",
    "leading",
    "partition_cost",
    "raise_caps",
    "run_analysis",
    "run_processor",
    "table_of",
    "write_run",
]
