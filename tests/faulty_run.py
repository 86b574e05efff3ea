# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.faulty_run FOLDER CHECKPOINT OUTPUT``: a run to be disturbed from outside; prints its digest."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path

from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, Runner

from hepfool.io import read_store
from hepfool.processors import AttackPlan, run_analysis, write_run
from tests.toy_analysis import FaultyAnalysis, Logistic, Push, listed


def disturbed_run(folder: str | Path, checkpoint: str | Path, output: str | Path) -> None:
    logging.basicConfig(level="WARNING")
    warnings.simplefilter("ignore")
    runner = Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=100)
    plan = AttackPlan(Logistic(), Push(), seed=7)
    run = run_analysis(runner, listed(folder), FaultyAnalysis(seconds=0.1), plan, scope="chunk", resume=checkpoint)
    sys.stdout.write(f"{run.completeness.n_expected} {run.completeness.n_processed} {run.digest}\n")
    sys.stdout.flush()
    write_run(output, run)


def read_result(output: str | Path) -> tuple[int, int, str]:
    metadata = read_store(output).metadata
    numbers = metadata["provenance"]["completeness"]
    return numbers["expected"], numbers["processed"], metadata["digest"]


if __name__ == "__main__":
    disturbed_run(*sys.argv[1:])
