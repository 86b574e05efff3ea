# SPDX-License-Identifier: BSD-3-Clause
"""``python -m tests.faulty_run FOLDER CHECKPOINT OUTPUT``: a run to be disturbed from outside; prints its digest."""

from __future__ import annotations

import logging
import sys
import warnings

from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, Runner

from hepfool.processors.driver import AttackPlan, run_analysis
from hepfool.processors.output import write_run
from tests.toy_analysis import FaultyAnalysis, Logistic, Push, listed

if __name__ == "__main__":
    folder, checkpoint, output = sys.argv[1:]
    logging.basicConfig(level="WARNING")
    warnings.simplefilter("ignore")
    runner = Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=100)
    plan = AttackPlan(classifier=Logistic(), attack=Push(), scope="chunk", seed=7)
    run = run_analysis(runner, listed(folder), FaultyAnalysis(seconds=0.05), plan, checkpoint=checkpoint)
    sys.stdout.write(f"{run.completeness.n_expected} {run.completeness.n_processed} {run.digest}\n")
    sys.stdout.flush()
    write_run(output, run)
