# SPDX-License-Identifier: BSD-3-Clause
"""What an attack finds when it keeps the score, each region or each process, and what that costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable, Region
from hepfool.models.pytorch import TorchClassifier
from hepfool.validation import Correlations, Marginals, Validation
from tests.benchmarks.conftest import Record
from tests.benchmarks.test_conserv import Wall, higgs  # noqa: F401 - a fixture

CAP, SHIFT = 0.0337, 0.02
INPUTS = Marginals(max_js_distance=CAP, n_bins=200, n_quantiles=0)
SCORE = Marginals(max_js_distance=CAP, n_bins=25, n_quantiles=25)
POOLED = Validation(inputs=INPUTS, correlations=Correlations(max_shift=SHIFT), score=SCORE, separately="union")
BY_PROCESS: dict[str, Any] = {
    "inputs": replace(INPUTS, separately="processes"),
    "correlations": Correlations(max_shift=SHIFT, separately="processes"),
}


def in_two_regions(table: EventTable) -> EventTable:
    name = table.features.names[0]
    median = float(np.median(table.column(name)))
    low = table.column(name) < median
    regions = (
        Region("low", low, "control", {name: (-np.inf, median)}),
        Region("high", ~low, "control", {name: (median, np.inf)}),
    )
    return replace(table, regions=regions)


def attacked(table: EventTable, classifier: TorchClassifier, validation: Validation) -> tuple[AttackResult, float]:
    """Result and CPU seconds, after a first attack that compiles."""
    attack = CONSERVAttack(strategy="frugal", validation=validation)
    run_attack(replace(attack, n_iterations=1), classifier, table, rng=1)
    start = time.process_time()
    return run_attack(attack, classifier, table, rng=1), time.process_time() - start


@pytest.mark.parametrize(
    ("name", "validation", "regions", "target"),
    [
        ("score pooled", POOLED, False, ">= 0.565"),
        ("score in each of two regions", replace(POOLED, separately="regions"), True, ">= 0.559"),
        ("inputs per process, no score", replace(POOLED, **BY_PROCESS, score=None), False, ">= 0.70"),
        ("inputs per process, score pooled", replace(POOLED, **BY_PROCESS), False, ">= 0.33"),
        (
            "inputs per process and region, score per region",
            replace(POOLED, **BY_PROCESS, separately="regions"),
            True,
            ">= 0.22",
        ),
    ],
)
def test_fooling_ratio_with_everything_kept(
    higgs: tuple[EventTable, TorchClassifier],  # noqa: F811 - the fixture
    record: Record,
    name: str,
    validation: Validation,
    regions: bool,
    target: str,
) -> None:
    table, classifier = higgs[0].select(np.arange(2000)), higgs[1]
    result, seconds = attacked(in_two_regions(table) if regions else table, classifier, validation)
    assert result.validated is not None
    assert result.validated.kept
    remark = f"higgs2014, N = 2000, {result.iterations_done} iterations, {seconds:.1f} CPU s"
    record(f"fooling ratio, {name}", result.fooling_ratio, target=target, remark=remark)


def test_two_groups_on_two_threads(
    higgs: tuple[EventTable, TorchClassifier],  # noqa: F811 - the fixture
    record: Record,
    wall: Wall,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, classifier = in_two_regions(higgs[0]), higgs[1]
    attack = CONSERVAttack(
        strategy="frugal", validation=replace(POOLED, score=None, separately="regions"), n_iterations=5, start="nominal"
    )
    seconds, found = [], []
    for n_threads in (1, 2):
        monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", n_threads)
        seconds.append(wall(lambda: run_attack(attack, classifier, table, rng=1)))
        found.append(run_attack(attack, classifier, table, rng=1).adversarial.values)
    assert np.array_equal(found[0], found[1])
    remark = f"higgs2014, {table.n_events} x {table.n_features}, two regions, {seconds[0]:.2f} s, equal bits"
    record("two groups, one thread / two", seconds[0] / seconds[1], target=">= 1.7", remark=remark)


FIRST = """
import resource
import numpy as np
import torch
before = resource.getrusage(resource.RUSAGE_SELF)
from hepfool import CONSERVAttack, EventTable, TorchClassifier, run_attack
x = np.random.default_rng(1).normal(size=(2000, 30))
table = EventTable.from_arrays(x, labels=(x.sum(axis=1) > 0).astype(int))
module = torch.nn.Linear(30, 1)
torch.nn.init.ones_(module.weight)
attack = CONSERVAttack(strategy="STRATEGY", n_iterations=1, max_js_distance=0.03, max_correlation_shift=0.03)
run_attack(attack, TorchClassifier(module), table, rng=1)
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


@pytest.mark.parametrize("strategy", ["paper", "frugal"])
def test_the_first_attack_without_a_cache(record: Record, tmp_path: Path, strategy: str) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    program = FIRST.replace("STRATEGY", strategy)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    record(f"first attack, {strategy}, CPU s", float(done.stdout), target="<= 8", remark="2000 x 30, empty cache")
