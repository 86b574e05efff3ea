# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis_examples.papers.conservattack import limited_runs
from analysis_examples.papers.conservattack.limited_runs import LimitedData, LimitedDataPlan, run_limited_data
from hepfool.attacks import PGD, CONSERVAttack, run_attack
from hepfool.defences import DetectorSettings, train_detector
from hepfool.events import EventTable
from hepfool.models import Standardise, mlp
from hepfool.samples.toys import donut
from hepfool.statistics import distance_correlation
from hepfool.training import TrainingSettings

pytestmark = pytest.mark.torch

QUICK = TrainingSettings(max_epochs=10, learning_rate=0.02, batch_size=100)
PEARSON = CONSERVAttack(n_candidates=20, n_bins=20, n_iterations=2, max_js_distance=0.1, max_correlation_shift=0.02)
PLAN = LimitedDataPlan(
    network=lambda table: mlp(2, (8,), batch_norm=False, preprocessing=Standardise.of(table)),
    attacks={"Pearson": PEARSON, "distance": replace(PEARSON, dependence="distance")},
    n_events=(200, 120, 100),
    sizes=(20, 200),
    n_runs=3,
    training=QUICK,
    detector=DetectorSettings(hidden=(8,), training=QUICK),
)


def table(n_events: int = 1200) -> EventTable:
    values, labels = donut(n_events, rng=np.random.default_rng(4))
    return EventTable.from_arrays(values, labels=labels)


@pytest.fixture(scope="module")
def study() -> LimitedData:
    return run_limited_data(PLAN, table(), seed=1)


def test_attacks_share_events_and_networks(study: LimitedData) -> None:
    assert study.names == ("Pearson", "distance")
    for run in study.runs:
        first, second = run.attacks.values()
        assert first.report.n_attacked == second.report.n_attacked
        assert first.report.n_clean == second.report.n_clean == 100
        assert first.correlation_shift <= 0.02
        assert first.report.n_fooled > 0
    # The distance attack meets its cap on distance correlations, the other one does not know of it.
    assert (study.values("distance", "distance_correlation_shift") <= 0.02).all()
    assert study.difference("Pearson", "distance", "distance_correlation_shift").value > 0
    assert len({run.attacks["Pearson"].report.n_attacked for run in study.runs}) > 1


def test_shifts_are_those_of_the_test_events(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []

    def remembered(*arguments: Any, **options: Any) -> Any:
        results.append(run_attack(*arguments, **options))
        return results[-1]

    monkeypatch.setattr(limited_runs, "run_attack", remembered)
    plan = replace(PLAN, attacks={"Pearson": PEARSON}, sizes=(), adaptive=False, n_runs=2)
    study = run_limited_data(plan, table(), seed=1)
    assert [result.nominal.n_events for result in results[:3]] == [200, 120, 100]
    before, after = (distance_correlation(t.values, t.weights) for t in (results[2].nominal, results[2].adversarial))
    expected = np.linalg.norm(after - before) / np.linalg.norm(before)
    assert study.values("Pearson", "distance_correlation_shift")[0] == pytest.approx(expected)
    assert study.runs[0].curve == ()
    with pytest.raises(ValueError, match="no adaptive attacks"):
        study.values("Pearson", "adaptive.fooling_ratio")


def test_means_are_over_runs_and_differences_paired(study: LimitedData) -> None:
    values = [study.values(name) for name in study.names]
    difference = study.difference("distance", "Pearson")
    assert difference.value == pytest.approx(np.mean(values[1] - values[0]))
    assert difference.error == pytest.approx(np.std(values[1] - values[0], ddof=1) / np.sqrt(3))
    mean = study.mean("distance", "adaptive.corrected_fooling_ratio")
    numbers = [run.attacks["distance"].adaptive.corrected_fooling_ratio for run in study.runs]  # type: ignore[union-attr]
    assert (mean.value, mean.error) == pytest.approx((np.mean(numbers), np.std(numbers, ddof=1) / np.sqrt(3)))


def test_the_learning_curve_trains_on_half_nominal_half_fooled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def remembered(train: Any, *arguments: Any, clean: Any = None, **options: Any) -> Any:
        if clean is not None:
            seen.append((clean[0].n_events, int(train.fooled.sum()), set(np.flatnonzero(train.fooled))))
        return train_detector(train, *arguments, clean=clean, **options)

    monkeypatch.setattr(limited_runs, "train_detector", remembered)
    study = run_limited_data(replace(PLAN, adaptive=False, n_runs=2), table(), seed=1)
    assert [sizes[:2] for sizes in seen] == [(10, 10), (100, 100)] * 2
    assert seen[0][2] < seen[1][2]
    # All of them are judged on the attack on all test events.
    assert {report.n_clean for run in study.runs for report in run.curve} == {300}
    curve = study.learning_curve("clean_efficiency")
    assert curve[1].value == pytest.approx(np.mean([run.curve[1].clean_efficiency for run in study.runs]))


def test_more_events_make_a_better_detector() -> None:
    plan = replace(PLAN, attacks={"PGD": PGD(step=0.1, n_iterations=3, n_bins=20)}, sizes=(6, 400), adaptive=False)
    first, last = run_limited_data(plan, table(), seed=1).learning_curve()
    assert last.value > first.value + first.error


def test_the_same_seed_gives_the_same_and_runs_do_not_depend_on_their_number(study: LimitedData) -> None:
    told: list[tuple[str, float]] = []
    again = run_limited_data(replace(PLAN, n_runs=2), table(), seed=1, progress=lambda *done: told.append(done))
    assert [done for _, done in told] == [0.5, 1.0]
    for ours, theirs in zip(again.runs, study.runs, strict=False):
        assert ours.attacks == theirs.attacks
        assert ours.curve == theirs.curve


def test_test_events_may_have_settings_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    used: list[tuple[Any, int]] = []

    def remembered(attack: Any, classifier: Any, table: EventTable, **options: Any) -> Any:
        used.append((attack, table.n_events))
        return run_attack(attack, classifier, table, **options)

    monkeypatch.setattr(limited_runs, "run_attack", remembered)
    weaker = replace(PEARSON, max_js_distance=0.05)
    plan = replace(PLAN, attacks={"Pearson": PEARSON}, test_attacks={"Pearson": weaker}, sizes=(), n_runs=2)
    first = run_limited_data(plan, table(), seed=1, resume=tmp_path)
    assert used == [(PEARSON, 200), (PEARSON, 120), (weaker, 100)] * 2
    assert (first.values("Pearson", "mean_js_distance") < 0.05).all()
    again = run_limited_data(plan, table(), seed=1, resume=tmp_path)
    assert len(used) == 6
    assert [run.attacks for run in again.runs] == [run.attacks for run in first.runs]
    with pytest.raises(ValueError, match="names \\['other'\\]"):
        replace(plan, test_attacks={"other": weaker})


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(ValueError, match="at least 1 attack and 2 runs"):
        replace(PLAN, n_runs=1)
    with pytest.raises(ValueError, match="rising order"):
        replace(PLAN, sizes=(200, 100))
    with pytest.raises(ValueError, match="301 test events, there are 300"):
        run_limited_data(replace(PLAN, n_events=(10, 10, 301)), table(), seed=1)
    with pytest.raises(ValueError, match="500 nominal and as many fooled"):
        run_limited_data(replace(PLAN, sizes=(1000,), adaptive=False), table(), seed=1)


def test_an_interrupted_attack_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        return replace(run_attack(*arguments, **options), iterations_done=1)

    monkeypatch.setattr(limited_runs, "run_attack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_limited_data(PLAN, table(), seed=1)
