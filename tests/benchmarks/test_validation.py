# SPDX-License-Identifier: BSD-3-Clause
"""What an attack finds when it keeps the score, each region or each process, and what that costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.defences.detector import Detector
from hepfool.demo import demo_steps
from hepfool.events import EventTable, Region, signal_region_envelope
from hepfool.io.tables import read_table
from hepfool.models.networks import Standardise, mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.samples.higgsml import FEATURES, MISSING_VALUE
from hepfool.studies.runs import split_events
from hepfool.training import TrainingSettings, fit
from hepfool.validation import Correlations, Marginals, Validation
from hepfool.worst_case.composition import compositions
from tests.benchmarks.conftest import Record
from tests.benchmarks.samples import synthetic
from tests.benchmarks.test_conserv import Wall, higgs  # noqa: F401 - a fixture

CAP, SHIFT = 0.0337, 0.02
INPUTS = Marginals(max_js_distance=CAP, n_bins=200, n_quantiles=0)
SCORE = Marginals(max_js_distance=CAP, n_bins=25, n_quantiles=25)
POOLED = Validation(inputs=INPUTS, correlations=Correlations(max_shift=SHIFT), score=SCORE, separately="union")
BY_PROCESS: dict[str, Any] = {
    "inputs": replace(INPUTS, separately="processes"),
    "correlations": Correlations(max_shift=SHIFT, separately="processes"),
}


SAMPLES = ("higgs2014", "synthetic")
HIGGS_FILE = "higgsml2014/atlas-higgs-challenge-2014-v2-first22889.csv.gz"


def done(result: AttackResult) -> str:
    return f"{result.iterations_done} iterations"


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


@lru_cache(maxsize=1)
def of_the_demo() -> tuple[EventTable, TorchClassifier, Detector]:
    """Test events and network of the demo, and its detector."""
    steps = demo_steps(until="adaptive")
    return steps["events"].simulation["test"], steps["baseline"].classifier, steps["detector"]


@pytest.fixture
def problem(request: pytest.FixtureRequest, sample: str) -> tuple[EventTable, TorchClassifier]:
    if sample == "synthetic":
        return synthetic(2000)
    table, classifier = request.getfixturevalue("higgs")
    return table.select(np.arange(2000)), classifier


def possible(result: AttackResult, classifier: TorchClassifier) -> float:
    limit = compositions(result, classifier)[0].limit
    assert limit is not None
    return limit


@pytest.mark.parametrize(
    ("sample", "max_shift", "target"),
    [
        ("higgs2014", 0.02, ">= 0.97"),
        ("higgs2014", 0.005, ">= 0.96"),
        ("higgs2014", 0.002, ">= 0.93"),
        ("synthetic", 0.02, ">= 0.995"),
        ("synthetic", 0.005, ">= 0.99"),
    ],
)
def test_fooling_ratio_of_the_stronger_search(
    problem: tuple[EventTable, TorchClassifier], record: Record, sample: str, max_shift: float, target: str
) -> None:
    validation = replace(POOLED, score=None, correlations=Correlations(max_shift=max_shift))
    result, seconds = attacked(*problem, validation)
    assert result.validated.kept
    name = f"{sample}, shift <= {max_shift}"
    record(f"fooling ratio, frugal, {name}", result.fooling_ratio, target=target, remark=done(result))
    record(f"CPU s, frugal, {name}", seconds, target="<= 5")


@pytest.mark.parametrize(
    ("sample", "regions", "targets"),
    [(sample, *row) for sample in SAMPLES for row in ((False, (">= 0.98", "<= 3")), (True, (">= 0.97", "")))],
)
def test_score_kept_as_far_as_possible(
    problem: tuple[EventTable, TorchClassifier], record: Record, sample: str, regions: bool, targets: tuple[str, str]
) -> None:
    table, classifier = problem
    validation = replace(POOLED, separately="regions") if regions else POOLED
    result, seconds = attacked(in_two_regions(table) if regions else table, classifier, validation)
    assert result.validated.kept
    name, limit = f"score {'in each of two regions' if regions else 'pooled'}, {sample}", possible(result, classifier)
    remark = f"{result.fooling_ratio:.4f} of {limit:.4f}, {done(result)}"
    record(f"fooling ratio / possible, {name}", result.fooling_ratio / limit, target=targets[0], remark=remark)
    record(f"CPU s, {name}", seconds, target=targets[1])


@pytest.mark.parametrize(
    ("name", "validation", "regions", "sample", "target"),
    [
        (*row, sample, target)
        for row, targets in (
            (
                ("inputs per process, no score", replace(POOLED, **BY_PROCESS, score=None), False),
                (">= 0.70", ">= 0.50"),
            ),
            (("inputs per process, score pooled", replace(POOLED, **BY_PROCESS), False), (">= 0.33",) * 2),
            (
                (
                    "inputs per process and region, score per region",
                    replace(POOLED, **BY_PROCESS, separately="regions"),
                    True,
                ),
                (">= 0.22",) * 2,
            ),
            (("caps in each of two regions", replace(POOLED, score=None, separately="regions"), True), ("kept",) * 2),
        )
        for sample, target in zip(SAMPLES, targets, strict=True)
    ],
)
def test_fooling_ratio_with_parts_kept_by_themselves(
    problem: tuple[EventTable, TorchClassifier],
    record: Record,
    name: str,
    validation: Validation,
    regions: bool,
    sample: str,
    target: str,
) -> None:
    table, classifier = problem
    result, seconds = attacked(in_two_regions(table) if regions else table, classifier, validation)
    assert result.validated.kept
    remark = f"{done(result)}, {seconds:.1f} CPU s"
    record(f"fooling ratio, {name}, {sample}", result.fooling_ratio, target=target, remark=remark)


def test_twenty_thousand_events_with_the_score_kept(record: Record) -> None:
    table, classifier = synthetic(20_000)
    result, seconds = attacked(table, classifier, POOLED)
    assert result.validated.kept
    limit = possible(result, classifier)
    remark = f"{result.fooling_ratio:.4f} of {limit:.4f}, {done(result)}"
    # 0.955 of a possible 0.9623 with other events.
    record("fooling ratio / possible, N = 20 000", result.fooling_ratio / limit, target=">= 0.992", remark=remark)
    record("CPU s, N = 20 000", seconds, target="<= 5")


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_control_region_of_the_demo(record: Record) -> None:
    table, classifier, detector = of_the_demo()
    region, envelope = table.region("high_mt").mask, signal_region_envelope(table)
    validation = Validation(flagged=detector)
    kept = CONSERVAttack(strategy="frugal", validation=validation)
    twenty = Marginals(n_bins=20, n_quantiles=0)
    without = replace(validation, score=None, flagged=None)
    attacks = {
        "score and flags kept": (kept, ">= 0.06"),
        "score in 20 bins and flags kept": (replace(kept, validation=replace(validation, score=twenty)), ">= 0.06"),
        "score and flags kept, without helpers": (replace(kept, helpers=False), ""),
        "score not kept": (replace(kept, validation=without), ""),
    }
    for name, (attack, target) in attacks.items():
        result = run_attack(attack, classifier, table, rng=1, envelope=envelope)
        assert result.validated.kept
        limit = {one.name: one for one in compositions(result, classifier)}["high_mt"].limit
        remark = f"{'no limit' if limit is None else f'at most {limit:.4f}'}, {done(result)}"
        record(f"fooling ratio, demo, {name}", result.counts(region).fooling_ratio, target=target, remark=remark)


def test_derived_features_follow(test_data: Path, record: Record) -> None:
    layout: dict[str, Any] = {"features": FEATURES, "label": "Label", "classes": {"b": 0, "s": 1}}
    events = read_table(test_data / HIGGS_FILE, **layout, missing_value=MISSING_VALUE)
    train, validation, test = split_events(events, (0.5, 0.25, 0.25), 7)
    network = partial(mlp, 30, (64, 32), preprocessing=Standardise.of(train))
    classifier = fit(network, train, validation, seed=7, settings=TrainingSettings(max_epochs=10)).classifier
    right = np.flatnonzero(classifier.predict(test.network_values) == test.labels)[:2000]
    kept = replace(POOLED, score=None, correlations=Correlations(max_shift=0.03))
    result, seconds = attacked(test.select(right), classifier, kept)
    assert result.validated.kept
    remark = f"shift <= 0.03, N = {len(right)}, {done(result)}, {seconds:.1f} CPU s"
    record("fooling ratio, 11 derived features, Higgs file", result.fooling_ratio, target=">= 0.75", remark=remark)


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
    start, alone = time.process_time(), time.thread_time()
    run_attack(attack, classifier, table, rng=1)
    total, alone = time.process_time() - start, time.thread_time() - alone
    remark = f"{total:.2f} CPU s, of which {alone:.2f} are not shared: what two idle processors would gain"
    record("two groups, one thread / two, by CPU time", total / (alone + 0.5 * (total - alone)), remark=remark)


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
