# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import PGD, AttackProblem
from hepfool.defences import DetectorReport, DetectorSettings
from hepfool.events import Envelope, EventTable
from hepfool.identity import table_digest
from hepfool.io import key_of
from hepfool.models import Standardise, mlp
from hepfool.samples.toys import donut
from hepfool.statistics import Binning
from hepfool.studies import CrossRuns, RunPlan, attack_events, prepare_run, run_cross_runs, split_events
from hepfool.studies import _runs as runs_module
from hepfool.training import TrainingSettings
from hepfool.typing import FloatArray

pytestmark = pytest.mark.torch

QUICK = TrainingSettings(max_epochs=12, learning_rate=0.02, batch_size=100)
PLAN = RunPlan(
    network=lambda table: mlp(2, (8,), batch_norm=False, preprocessing=Standardise.of(table)),
    attack=PGD(step=0.05, n_iterations=3, n_bins=20),
    training=QUICK,
    detector=DetectorSettings(hidden=(8,), training=QUICK),
)


def table(n_events: int = 800) -> EventTable:
    values, labels = donut(n_events, rng=np.random.default_rng(4))
    return EventTable.from_arrays(values, labels=labels, weights=0.5 + labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def study(folder: Path) -> CrossRuns:
    return run_cross_runs(PLAN, table(), seed=1, n_runs=3, resume=folder)


def report(value: float) -> DetectorReport:
    numbers = dict.fromkeys(DetectorReport.__slots__, value)
    return DetectorReport(**{**numbers, "clean_efficiency_by_class": {}})  # type: ignore[arg-type]


def fixed(matrices: FloatArray) -> CrossRuns:
    nothing = np.zeros((len(matrices), matrices.shape[1], 4), dtype=bool)
    return CrossRuns(
        cells=tuple(tuple(tuple(report(v) for v in row) for row in matrix) for matrix in matrices),
        flagged=nothing,
        correct=~nothing,
        auroc=np.ones(matrices.shape[:2]),
        seed=0,
    )


def test_bins_and_bounds_belong_to_a_run(tmp_path: Path) -> None:
    splits = split_events(table(), PLAN.fractions, 1)
    plain = prepare_run(PLAN, splits, seed=2, folder=tmp_path)
    tight = replace(
        PLAN,
        envelope=lambda part: Envelope.absolute(part, 0.02),
        binning=lambda part: Binning.quantiles(part, n_bins=7),
    )
    found = attack_events(tight, plain.classifier, splits[2], seed=2, folder=tmp_path)
    assert found.binning.n_bins == 7
    assert np.abs(found.adversarial.values - found.nominal.values).max() <= 0.02 + 1e-12
    # Not those of the other plan, which lie in the same folder.
    assert not np.array_equal(
        found.adversarial.values,
        attack_events(PLAN, plain.classifier, splits[2], seed=2, folder=tmp_path).adversarial.values,
    )
    n_detectors = len(list(tmp_path.glob("detector-*")))
    prepare_run(tight, splits, seed=2, folder=tmp_path)
    assert len(list(tmp_path.glob("detector-*"))) == 2 * n_detectors
    assert len(list(tmp_path.glob("network-*"))) == 1


def test_each_cell_is_an_attack_judged_by_another_run(study: CrossRuns) -> None:
    ratios, corrected = study.matrix("fooling_ratio"), study.matrix()
    assert ratios.shape == (1, 3, 3)
    white, grey = (study.mean(knowledge, "fooling_ratio") for knowledge in ("white_box", "grey_box"))
    assert white.value == pytest.approx(np.trace(ratios[0]) / 3)
    assert grey.value == pytest.approx((ratios[0].sum() - np.trace(ratios[0])) / 6)
    assert white.value > grey.value > 0.1
    assert (corrected <= ratios).all()
    assert (study.auroc > 0.9).all()
    assert study.flagged.shape == study.correct.shape == (1, 3, 200)
    assert study.misclassification().n_runs == 3
    # Different networks attack different events, and every judge counts those that it gets right.
    assert len(np.unique(study.matrix("n_attacked"))) > 1


def test_the_diagonal_is_the_white_box_attack(study: CrossRuns, folder: Path) -> None:
    job_seed = int(np.random.SeedSequence(1, spawn_key=(0, 1)).generate_state(1)[0])
    split_seed = int(np.random.SeedSequence(1, spawn_key=(0,)).generate_state(1)[0])
    splits = split_events(table(), PLAN.fractions, split_seed)
    run = prepare_run(PLAN, splits, seed=job_seed, folder=folder)
    np.testing.assert_array_equal(run.detector.flags(splits[2].network_values), study.flagged[0, 1])
    attack_seed = int(np.random.SeedSequence(1, spawn_key=(0, 1, 0)).generate_state(1)[0])
    result = runs_module.attack_events(PLAN, run.classifier, splits[2], seed=attack_seed, folder=folder)
    assert result.fooling_ratio == study.cells[0][1][1].fooling_ratio
    flagged = run.detector.flags(result.adversarial.network_values)
    weights = result.nominal.weights
    expected = weights[result.fooled & ~flagged].sum() / weights[result.attacked].sum()
    assert study.matrix()[0, 1, 1] == pytest.approx(expected)


def test_an_attack_that_knows_the_detector_stands_beside(study: CrossRuns) -> None:
    adaptive, naive = study.mean("adaptive"), study.mean("white_box")
    assert adaptive.value == pytest.approx(np.mean([run.corrected_fooling_ratio for run in study.adaptive[0]]))
    assert adaptive.value > naive.value + naive.error
    assert [run.n_attacked for run in study.adaptive[0]] == [study.cells[0][k][k].n_attacked for k in range(3)]
    assert [run.threshold for run in study.adaptive[0]] == [study.cells[0][k][k].threshold for k in range(3)]
    with pytest.raises(ValueError, match="no adaptive attacks"):
        fixed(np.eye(3)[None]).mean("adaptive")


def test_what_is_there_is_not_made_again(study: CrossRuns, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        pytest.fail("made again")

    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for name in ("fit", "train_detector"):
        monkeypatch.setattr(runs_module, name, never)
    monkeypatch.setattr(PGD, "iterate", never)
    monkeypatch.setattr("hepfool.studies._cross_run.evaluate", never)
    again = run_cross_runs(PLAN, table(), seed=1, n_runs=3, resume=folder)
    assert again.cells == study.cells
    assert again.adaptive == study.adaptive
    np.testing.assert_array_equal(again.flagged, study.flagged)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files


def test_a_study_grows(study: CrossRuns, folder: Path) -> None:
    part = run_cross_runs(PLAN, table(), seed=1, n_runs=2, resume=folder)
    np.testing.assert_array_equal(part.matrix(), study.matrix()[:, :2, :2])


def test_another_study_does_not_take_its_parts(study: CrossRuns, folder: Path) -> None:
    before = len(list(folder.glob("detector-*")))
    other = replace(PLAN, attack=replace(PLAN.attack, step=0.04))  # type: ignore[type-var]
    found = run_cross_runs(other, table(), seed=1, n_runs=2, resume=folder)
    assert len(list(folder.glob("network-*"))) == 3
    assert len(list(folder.glob("detector-*"))) == before + 2
    assert (found.matrix("fooling_ratio") != study.matrix("fooling_ratio")[:, :2, :2]).any()


def test_an_interrupted_attack_is_not_part_of_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PGD.iterate

    def interrupted(
        self: PGD, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        if iteration == 1:
            raise KeyboardInterrupt
        return original(self, problem, values, iteration, rng)

    with monkeypatch.context() as patch:
        patch.setattr(PGD, "iterate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_cross_runs(PLAN, table(), seed=1, n_runs=2, resume=tmp_path)
    assert not list(tmp_path.glob("detector-*"))
    whole = run_cross_runs(PLAN, table(), seed=1, n_runs=2, resume=tmp_path)
    np.testing.assert_array_equal(whole.matrix(), run_cross_runs(PLAN, table(), seed=1, n_runs=2).matrix())


@pytest.mark.parametrize("part", ["fit", "train_detector"])
def test_an_interrupted_training_is_not_part_of_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    original = getattr(runs_module, part)

    def interrupted(*arguments: Any, **options: Any) -> Any:
        def stop(found: str, fraction: float) -> None:
            if fraction >= 2 / QUICK.max_epochs:
                raise KeyboardInterrupt

        return original(*arguments, **options, progress=stop)

    monkeypatch.setattr(runs_module, part, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cross_runs(PLAN, table(), seed=1, n_runs=2, resume=tmp_path)
    assert len(list(tmp_path.glob("network-*"))) == (part == "train_detector")
    assert not list(tmp_path.glob("detector-*"))


@pytest.mark.slow
def test_processes_give_the_same(study: CrossRuns) -> None:
    told = []
    parallel = run_cross_runs(PLAN, table(), seed=1, n_runs=3, n_workers=2, progress=lambda *step: told.append(step))
    # Rounding differs between processes, and early stopping or a detector's threshold may make more of it.
    np.testing.assert_allclose(parallel.auroc, study.auroc, atol=0.01)
    np.testing.assert_allclose(parallel.matrix("fooling_ratio"), study.matrix("fooling_ratio"), atol=0.05)
    np.testing.assert_allclose(parallel.matrix(), study.matrix(), atol=0.15)
    assert (parallel.correct == study.correct).mean() > 0.97
    assert told == [(step, (k + 1) / 6) for k, step in enumerate(3 * ["Train and attack"] + 3 * ["Judge"])]


def test_splits_differ_and_keep_the_classes() -> None:
    study = run_cross_runs(replace(PLAN, adaptive=False), table(), seed=1, n_runs=2, n_splits=2)
    assert study.adaptive == ()
    assert study.matrix().shape == (2, 2, 2)
    assert study.mean("white_box").split_std > 0
    parts = split_events(table(), (0.5, 0.3, 0.2), 5)
    assert [part.n_events for part in parts] == [400, 240, 160]
    assert all(part.labels.mean() == pytest.approx(0.5, abs=0.01) for part in parts)
    assert len(np.unique(np.concatenate([part.values[:, 0] for part in parts]))) == 800


def test_errors_leave_out_one_run_with_all_its_cells() -> None:
    rng = np.random.default_rng(5)
    effects = rng.normal(size=(2000, 6))
    found = [fixed((e[:, None] + 0.5 * e)[None]).mean("grey_box") for e in effects]
    spread = np.std([mean.value for mean in found])
    assert spread == pytest.approx(1.5 / math.sqrt(6), rel=0.05)
    assert np.mean([mean.error for mean in found]) == pytest.approx(spread, rel=0.1)
    white = fixed(np.diag([1.0, 2.0, 4.0])[None]).mean("white_box")
    assert (white.value, white.error) == pytest.approx((7 / 3, np.std([1, 2, 4], ddof=1) / math.sqrt(3)))
    assert math.isnan(white.split_std)


def test_means_of_splits() -> None:
    matrices = np.array([[[1.0, 0.0], [0.0, 3.0]], [[3.0, 0.0], [0.0, 7.0]]])
    mean = fixed(matrices).mean("white_box")
    assert mean.value == 3.5
    assert mean.split_std == pytest.approx(np.std([2.0, 5.0], ddof=1))
    assert mean.error == pytest.approx(math.sqrt(1.0 + 4.0) / 2)
    assert mean.cell_std == pytest.approx((math.sqrt(2.0) + math.sqrt(8.0)) / 2)
    assert math.isnan(fixed(matrices).mean("grey_box").error)


def test_a_failing_run_says_which_it_is() -> None:
    harmless = replace(PLAN, attack=PGD(step=1e-9, n_iterations=1), adaptive=False)
    with pytest.raises(ValueError, match="fooled no training event") as caught:
        run_cross_runs(harmless, table(), seed=1)
    assert caught.value.__notes__ == ["in run 0 of split 0"]


def test_numbers_of_runs_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 2 runs"):
        run_cross_runs(PLAN, table(), seed=1, n_runs=1)
    with pytest.raises(ValueError, match="fractions"):
        replace(PLAN, fractions=(0.5, 0.5, 0.5))


def test_keys_tell_events_apart() -> None:
    events = table(100)
    assert table_digest(events) == table_digest(events.select(np.arange(100)))
    moved = events.values.copy()
    moved[7, 1] += 1e-12
    others = [events.with_values(moved), replace(events, weights=2 * events.weights), replace(events, sentinel=-1.0)]
    assert len({table_digest(t) for t in (events, *others)}) == 4
    assert key_of("a", 1) != key_of("a", 2)
