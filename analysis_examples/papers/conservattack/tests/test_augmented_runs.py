# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis_examples.papers.conservattack import augmented_runs
from analysis_examples.papers.conservattack.augmented_runs import (
    Augmentation,
    AugmentationPlan,
    AugmentedRun,
    noisy_control,
    run_augmentation,
)
from hepfool.attacks import PGD, run_attack
from hepfool.events import EventTable
from hepfool.models import Standardise, mlp
from hepfool.samples.toys import donut
from hepfool.training import TrainingSettings
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.torch

PLAN = AugmentationPlan(
    network=lambda table: mlp(2, (8,), preprocessing=Standardise.of(table)),
    attack=PGD(step=0.01, n_iterations=3, n_bins=20),
    n_train=200,
    n_seeds=2,
    training=TrainingSettings(max_epochs=8, learning_rate=0.02, batch_size=50),
)


def table(seed: int, n_events: int) -> EventTable:
    values, labels = donut(n_events, rng=np.random.default_rng(seed))
    return EventTable.from_arrays(values, labels=labels)


def study(plan: AugmentationPlan = PLAN, **options: Any) -> Augmentation:
    return run_augmentation(plan, table(1, 500), table(2, 300), table(3, 1000), seed=1, **options)


@pytest.fixture(scope="module")
def found() -> Augmentation:
    return study()


def fixed(augmented: list[float], control: list[float]) -> Augmentation:
    runs = tuple(
        AugmentedRun(baseline=0.8, augmented=a, control=c, n_train=100, n_added=10, fooling_ratio=0.1)
        for a, c in zip(augmented, control, strict=True)
    )
    return Augmentation(runs=runs, n_test=1000, seed=1)


def test_three_trainings_for_each_seed(found: Augmentation) -> None:
    assert len(found.runs) == 2
    assert found.n_test == 1000
    for run in found.runs:
        assert run.n_train == 200
        assert 0 < run.n_added <= 200
        assert 0.85 < run.baseline < 1.0
        assert len({run.baseline, run.augmented, run.control}) == 3
    # Other events and another start for each seed.
    assert found.runs[0].baseline != found.runs[1].baseline


def test_same_seed_same_result(found: Augmentation) -> None:
    told: list[float] = []
    again = study(progress=lambda _, fraction: told.append(fraction))
    assert again == found
    assert told == [(k + 1) / len(found.runs) for k in range(len(found.runs))]


def test_finished_seeds_are_not_run_again(found: Augmentation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert study(resume=tmp_path) == found

    def again(*_: Any) -> None:
        raise LookupError

    monkeypatch.setattr(augmented_runs, "_run", again)
    assert study(resume=tmp_path) == found
    with pytest.raises(LookupError):
        study(replace(PLAN, n_seeds=3), resume=tmp_path)


def test_events_on_the_wrong_side_hurt_and_noise_does_not() -> None:
    far = replace(PLAN, attack=PGD(step=0.1, n_iterations=5, n_bins=20))
    result = study(far)
    assert result.gain().mean < -0.02
    assert result.gain("augmented", "control").mean < -0.02
    assert result.gain().n_better == 0


def test_all_events_are_used_unless_told_otherwise() -> None:
    result = study(replace(PLAN, n_train=None))
    assert [run.n_train for run in result.runs] == [500, 500]


def test_the_control_moves_the_same_events_by_as_much() -> None:
    classifier = SineClassifier()
    nominal = events(2000, regions=False)
    result = run_attack(PGD(step=0.004, n_iterations=5), classifier, nominal, rng=np.random.default_rng(1))
    control = noisy_control(result, classifier, rng=np.random.default_rng(2))
    chosen, adversarial = nominal.select(result.fooled), result.adversarial.select(result.fooled)
    np.testing.assert_array_equal(control.labels, chosen.labels)
    np.testing.assert_array_equal(control.missing, chosen.missing)
    np.testing.assert_array_equal(control.column("charge"), chosen.column("charge"))
    for name in ("pt", "eta"):
        sizes = [np.sqrt(np.mean((moved.column(name) - chosen.column(name)) ** 2)) for moved in (adversarial, control)]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.1)
        moves = np.stack([moved.column(name) - chosen.column(name) for moved in (adversarial, control)])
        assert abs(np.asarray(np.corrcoef(moves))[0, 1]) < 0.15


def test_gains_are_paired() -> None:
    augmented, control = [0.82, 0.85, 0.79, 0.84], [0.81, 0.83, 0.80, 0.80]
    result = fixed(augmented, control)
    gain = result.gain("augmented", "control")
    differences = np.subtract(augmented, control)
    assert gain.mean == pytest.approx(differences.mean())
    assert gain.error == pytest.approx(stats.sem(differences))
    assert gain.p_value == pytest.approx(stats.ttest_rel(augmented, control).pvalue)
    assert (gain.n_better, gain.n_seeds) == (3, 4)
    assert result.gain("control").mean == pytest.approx(np.mean(control) - 0.8)
    nothing = fixed([0.8, 0.8], [0.8, 0.8]).gain()
    assert (nothing.mean, nothing.error, nothing.p_value) == (0.0, 0.0, 1.0)


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds"):
        replace(PLAN, n_seeds=1)
    with pytest.raises(ValueError, match="exceeds the 500 events"):
        study(replace(PLAN, n_train=501))
    with pytest.raises(ValueError, match="nothing to add"):
        study(replace(PLAN, attack=PGD(step=1e-9, n_iterations=1)))
