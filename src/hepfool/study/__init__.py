# SPDX-License-Identifier: BSD-3-Clause
"""
The procedure from events to a verdict.

You have a table and a network: :func:`run_table_attack` attacks, measures systematics in the same units and judges;
you have sums from many workers: :func:`judged` judges them; :func:`write_study` draws and writes.  You want everything, from files or a coffea output to the report:
:meth:`Study.from_yaml` and :meth:`Study.run`, or the command ``hepfool workflow``.
"""

from __future__ import annotations

from hepfool.study.inputs import check_inputs
from hepfool.study.outcome import (
    Outcome,
    draw_study,
    judged,
    run_table_attack,
    thin,
    with_checks,
    with_frontier,
    with_impact,
    write_study,
)
from hepfool.study.plan import Study, workflow_schema
from hepfool.study.procedure import run_workflow
from hepfool.study.schedule import PlannedStep, plan_workflow
from hepfool.study.yaml_file import read_configuration

__all__ = [
    "Outcome",
    "PlannedStep",
    "Study",
    "check_inputs",
    "draw_study",
    "judged",
    "plan_workflow",
    "read_configuration",
    "run_table_attack",
    "run_workflow",
    "thin",
    "with_checks",
    "with_frontier",
    "with_impact",
    "workflow_schema",
    "write_study",
]
