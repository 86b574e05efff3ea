# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from hepfool import AttackResult, CONSERVAttack, EventTable, TorchClassifier, run_attack
from hepfool.models import (
    CallableClassifier,
    Classifier,
    DifferentiableClassifier,
    FiniteDifference,
    PerGroup,
    TreeClassifier,
)
from hepfool.models.protocols import inputs_of
from hepfool.testing import ClassifierConformance, GradientConformance
from hepfool.typing import BoolArray, FloatArray


def linear(seed: int) -> FiniteDifference:
    slopes = np.random.default_rng(seed).normal(size=3)
    return FiniteDifference(CallableClassifier(lambda x: expit(x @ slopes), n_features=3), np.full(3, 1e-3))


def trees() -> TreeClassifier:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 3))
    return TreeClassifier.of(HistGradientBoostingClassifier(max_iter=15).fit(values, values[:, 0] * values[:, 1] > 0))


class TestPerGroup(ClassifierConformance, GradientConformance):
    @pytest.fixture
    def build(self) -> Callable[[int], Classifier]:
        return lambda seed: PerGroup(linear(seed))

    @pytest.fixture
    def values(self, rng: np.random.Generator) -> FloatArray:
        return rng.normal(size=(50, 4))


@pytest.fixture(scope="module")
def table() -> EventTable:
    """Events of one to four candidates, in disorder; numbers of events as in a file."""
    rng = np.random.default_rng(5)
    event = rng.permutation(np.repeat(np.arange(150), rng.integers(1, 5, 150))) + 3_000_000_000
    values = rng.normal(size=(len(event), 3))
    return EventTable.from_arrays(
        values, labels=np.zeros(len(event)).astype(np.int64), features=["a", "b", "c"], spectators={"event": event}
    )


def by_hand(classifier: Classifier, table: EventTable) -> BoolArray:
    """Event by event, the first of the best."""
    taken = np.zeros(table.n_events, dtype=np.bool_)
    for number in set(table.spectators["event"].tolist()):
        rows = np.flatnonzero(table.spectators["event"] == number)
        taken[rows[classifier.scores(table.values[rows])[:, 1].argmax()]] = True
    return taken


@pytest.mark.parametrize("make", [lambda: linear(3), trees], ids=["slopes", "trees"])
def test_an_event_that_takes_another_candidate_is_fooled(
    make: Callable[[], DifferentiableClassifier], table: EventTable
) -> None:
    classifier = make()
    grouped = PerGroup(classifier)
    np.testing.assert_array_equal(grouped.taken(table), by_hand(classifier, table))
    np.testing.assert_array_equal(grouped.predict(inputs_of(grouped, table)), by_hand(classifier, table))
    settings = CONSERVAttack(
        max_js_distance=0.1, max_correlation_shift=0.1, n_bins=20, strategy="frugal", n_iterations=4, converge=False
    )
    result: AttackResult = run_attack(settings, grouped, table, rng=2, target=grouped.taken(table))
    after = by_hand(classifier, result.adversarial)
    assert after.sum() == 150
    np.testing.assert_array_equal(result.attacked, by_hand(classifier, table))
    np.testing.assert_array_equal(result.fooled, result.attacked & ~after)
    assert result.fooled.sum() > 30
    assert result.compatibility.correlation_shift <= 0.1


def test_the_first_of_equal_candidates_is_taken(table: EventTable) -> None:
    grouped = PerGroup(trees())
    equal = replace(table.select(np.arange(6)), spectators={"event": np.array([1, 1, 1, 2, 2, 3])})
    equal = equal.with_values(np.tile(table.values[:1], (6, 1)))
    assert grouped.taken(equal).tolist() == [True, False, False, True, False, True]
    assert grouped.predict(inputs_of(grouped, equal)).tolist() == [1, 0, 0, 1, 0, 1]


def test_what_a_row_has_to_beat_follows_from_all_rows(table: EventTable) -> None:
    grouped = pickle.loads(pickle.dumps(PerGroup(trees())))
    own = logit(trees().scores(table.values)[:, 1])
    found = grouped.context(table, table.network_values)
    for i, number in enumerate(table.spectators["event"]):
        others = [own[k] for k in np.flatnonzero(table.spectators["event"] == number) if k != i]
        if others and max(others) != own[i]:
            assert found[i] == pytest.approx(max(others))
        if not others:
            assert found[i] < -20


def test_groups_that_cannot_be_are_refused(table: EventTable) -> None:
    with pytest.raises(ValueError, match="spectator 'event', which the table has not"):
        run_attack(CONSERVAttack(), PerGroup(linear(3)), replace(table, spectators={}), rng=1)
    three = FiniteDifference(CallableClassifier(lambda x: np.full((len(x), 3), 1 / 3), 3), np.ones(3))
    with pytest.raises(ValueError, match="classifier of two classes without spectators"):
        PerGroup(three)


@pytest.mark.torch
def test_a_network_of_pytorch_is_attacked_too(table: EventTable) -> None:
    network = TorchClassifier(nn.Linear(3, 1))
    classifier = PerGroup(network)
    attack = CONSERVAttack(strategy="frugal", n_iterations=2, max_js_distance=0.3, max_correlation_shift=0.3)
    result = run_attack(attack, classifier, table, rng=1, target=classifier.taken(table))
    assert result.fooling_ratio > 0.1
