# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import PGD, Attack, AttackResult, run_attack
from hepfool.attacks._transfer import transferred
from hepfool.defences import (
    AdversarialTraining,
    AdversarialTrainingSettings,
    Robustness,
    judge_robustness,
    successes,
    train_adversarially,
)
from hepfool.defences import _adversarial_training as module
from hepfool.defences._adversarial_training import auroc_loss
from hepfool.events import EventTable
from hepfool.models import CallableClassifier, Standardise, mlp
from hepfool.samples.toys import donut
from hepfool.training import TrainingSettings, auroc, fit

pytestmark = pytest.mark.torch

JUDGE = PGD(step=0.02, n_iterations=3, n_bins=20)
SETTINGS = AdversarialTrainingSettings(
    n_iterations=3,
    training=TrainingSettings(max_epochs=20, learning_rate=0.02, batch_size=200),
    target=0,
    max_auroc_loss=0.05,
)


def network(table: EventTable) -> Any:
    return mlp(2, (16,), preprocessing=Standardise.of(table))


def draw(rng: np.random.Generator) -> Attack:
    return PGD(step=float(rng.uniform(0.015, 0.02)), n_iterations=3, n_bins=20)


def table(seed: int, n_events: int = 1000) -> EventTable:
    values, labels = donut(n_events, rng=np.random.default_rng(seed))
    return EventTable.from_arrays(values, labels=labels, weights=0.5 + labels)


def train(**changes: Any) -> AdversarialTraining:
    options: dict[str, Any] = {"draw": draw, "judge": JUDGE, "seed": 1, "settings": SETTINGS}
    return train_adversarially(network, table(1), table(2), **{**options, **changes})


@pytest.fixture(scope="module")
def training() -> AdversarialTraining:
    return train()


@pytest.fixture(scope="module")
def attacks(training: AdversarialTraining) -> list[AttackResult]:
    test = table(3)
    return [
        run_attack(replace(JUDGE, step=step), training.initial, test, rng=np.random.default_rng(1), target=0)
        for step in (0.015, 0.02)
    ]


@pytest.fixture(scope="module")
def robustness(training: AdversarialTraining, attacks: list[AttackResult]) -> Robustness:
    return judge_robustness(training, attacks, attack=JUDGE, rng=np.random.default_rng(1))


def test_events_are_added_to_all_earlier_ones(training: AdversarialTraining) -> None:
    added = [iteration.n_added for iteration in training.iterations]
    assert [iteration.n_train for iteration in training.iterations] == (1000 + np.cumsum(added)).tolist()
    assert all(n > 50 for n in added)
    assert len({repr(iteration.attack) for iteration in training.iterations}) == 3
    assert [iteration.index for iteration in training.iterations] == [1, 2, 3]
    assert training.stopped == ""


def test_it_hardens_against_the_attack(training: AdversarialTraining) -> None:
    assert training.auroc > 0.95
    for iteration in training.iterations:
        assert iteration.fooling_ratio < 0.8 * training.fooling_ratio
    best = training.best
    assert best is not None
    assert best.fooling_ratio == min(i.fooling_ratio for i in training.iterations)


def test_the_loss_on_clean_events_is_recorded(training: AdversarialTraining) -> None:
    validation = table(2)
    assert training.iterations
    for iteration in training.iterations:
        scores = iteration.classifier.scores(validation.values)
        expected = training.auroc - auroc(validation.labels, scores, validation.weights)
        assert iteration.auroc_loss == pytest.approx(expected, abs=1e-12)
        assert 0.0 < iteration.auroc_loss_error < 0.02


def test_several_classes_have_a_loss_without_an_error() -> None:
    events = EventTable.from_arrays([[0.1, 0.2], [0.7, 0.1], [0.2, 0.7]], labels=[0, 1, 2])
    good = CallableClassifier(lambda values: np.column_stack([1.0 - values.sum(axis=1), values]), 3)
    bad = CallableClassifier(lambda values: np.full((len(values), 3), 1 / 3), 3)
    loss, error = auroc_loss(events, good, bad)
    assert loss == pytest.approx(0.5)
    assert math.isnan(error)


def test_successes_keep_their_true_labels(attacks: list[AttackResult]) -> None:
    events = successes(attacks[0])
    assert events.n_events == attacks[0].fooled.sum()
    assert (events.labels == 0).all()
    np.testing.assert_array_equal(events.values, attacks[0].adversarial.values[attacks[0].fooled])


def test_it_stops_when_it_costs_too_much() -> None:
    brutal = PGD(step=0.2, n_iterations=5, n_bins=20)
    found = train(draw=lambda _: brutal, settings=replace(SETTINGS, max_auroc_loss=0.005))
    assert found.stopped == "auroc"
    assert len(found.iterations) == 1
    assert found.iterations[0].auroc_loss > 0.005
    assert found.accepted == ()
    assert found.best is None
    with pytest.raises(ValueError, match="no iteration was accepted"):
        judge_robustness(found, [], attack=JUDGE, rng=np.random.default_rng(1))


@pytest.mark.parametrize("against", ["initial", "latest"])
def test_attacked_events_and_available_knowledge_are_stated(against: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    attacked, trained = [], []

    def fit_and_record(start: Any, events: EventTable, *arguments: Any, **options: Any) -> Any:
        trained.append(events)
        return fit(start, events, *arguments, **options)

    def record(attack: Attack, classifier: Any, *arguments: Any, **options: Any) -> AttackResult:
        attacked.append(classifier.digest)
        return run_attack(attack, classifier, *arguments, **options)

    monkeypatch.setattr(module, "fit", fit_and_record)
    monkeypatch.setattr(module, "run_attack", record)
    found = train(settings=replace(SETTINGS, against=against, n_iterations=2))
    first, later = found.initial.digest, found.iterations[0].classifier.digest
    assert attacked == [first, first, first if against == "initial" else later]
    assert [events.n_events for events in trained] == [1000, *(iteration.n_train for iteration in found.iterations)]
    np.testing.assert_array_equal(trained[2].values[: trained[1].n_events], trained[1].values)


def test_same_seed_same_networks(training: AdversarialTraining) -> None:
    settings = replace(SETTINGS, n_iterations=1)
    again, other = train(settings=settings), train(settings=settings, seed=2)
    assert again.initial.digest == training.initial.digest != other.initial.digest
    assert again.iterations[0].classifier.digest == training.iterations[0].classifier.digest


def test_an_interrupt_keeps_the_finished_iterations() -> None:
    def interrupt(found: str, fraction: float) -> None:
        if fraction >= 2 / SETTINGS.n_iterations:
            raise KeyboardInterrupt

    found = train(progress=interrupt)
    assert found.stopped == "interrupted"
    assert len(found.iterations) == 2


def test_ratios_on_test_events(
    training: AdversarialTraining, attacks: list[AttackResult], robustness: Robustness
) -> None:
    assert robustness.before.value == pytest.approx(np.mean([result.fooling_ratio for result in attacks]))
    for iteration, ratio in zip(training.iterations, robustness.by_iteration, strict=True):
        expected = np.mean([transferred(result, iteration.classifier).fooling_ratio for result in attacks])
        assert ratio.value == pytest.approx(expected)
    assert robustness.mean_iteration.value == pytest.approx(np.mean([r.value for r in robustness.by_iteration]))
    best = training.best
    assert best is not None
    assert robustness.best == best.index
    assert robustness.best_iteration == robustness.by_iteration[best.index - 1]
    assert robustness.best_iteration.value < 0.8 * robustness.before.value
    assert (robustness.auroc_loss, robustness.auroc_loss_error) == auroc_loss(
        table(3), training.initial, best.classifier
    )


def test_an_attack_that_knows_the_new_network_is_stronger(robustness: Robustness) -> None:
    assert robustness.white_box_after.value > robustness.best_iteration.value
    assert robustness.white_box_after.value < robustness.white_box_before.value


def test_errors_of_ratios(training: AdversarialTraining, attacks: list[AttackResult], robustness: Robustness) -> None:
    one = judge_robustness(training, attacks[:1], attack=JUDGE, rng=np.random.default_rng(1))
    result = attacks[0]
    weights = result.nominal.weights[result.attacked]
    effective = weights.sum() ** 2 / (weights**2).sum()
    p = result.fooling_ratio
    # All attacked events have the same weight here.
    assert one.before.error == pytest.approx(math.sqrt(p * (1 - p) / effective))
    # The same events twice are no more than once.
    twice = judge_robustness(training, [result, result], attack=JUDGE, rng=np.random.default_rng(1))
    assert twice.before == pytest.approx(one.before)
    singles = [ratio.error for ratio in robustness.by_iteration]
    assert np.mean(singles) / math.sqrt(3) < robustness.mean_iteration.error < max(singles)


def test_attacks_must_be_on_the_same_events(training: AdversarialTraining, attacks: list[AttackResult]) -> None:
    other = replace(attacks[0], nominal=table(3))
    for wrong in ([], [attacks[0], other]):
        with pytest.raises(ValueError, match="one and the same table"):
            judge_robustness(training, wrong, attack=JUDGE, rng=np.random.default_rng(1))


@pytest.mark.parametrize("wrong", [{"n_iterations": 0}, {"max_auroc_loss": -0.1}, {"against": "all"}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AdversarialTrainingSettings(**wrong)
