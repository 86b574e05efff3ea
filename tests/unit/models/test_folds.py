# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from hepfool import AttackResult, CONSERVAttack, EventTable, run_attack
from hepfool.attacks._transfer import transferred
from hepfool.defences import DefendedClassifier, Detector
from hepfool.models import CallableClassifier, FiniteDifference, FoldedClassifier
from hepfool.models.protocols import inputs_of
from hepfool.statistics import compare
from hepfool.surrogate import Surrogate
from hepfool.training import TrainingSettings
from hepfool.typing import FloatArray
from hepfool.validation import Marginals, Validation

SLOPES = np.array([[1.0, 0.6, 0.0], [0.4, -1.0, 0.3]])
STEPS = np.full(3, 1e-3)


class Linear:
    """Log-odds that are linear in three inputs, and refuse any other number of them."""

    def __init__(self, slopes: FloatArray) -> None:
        self.slopes = slopes

    def __call__(self, values: FloatArray) -> FloatArray:
        assert values.shape[1] == 3
        return np.asarray(expit(2.0 * values @ self.slopes))


def parts() -> list[FiniteDifference]:
    return [FiniteDifference(CallableClassifier(Linear(slopes), n_features=3), STEPS) for slopes in SLOPES]


@pytest.fixture(scope="module")
def folded() -> FoldedClassifier:
    return FoldedClassifier(parts())


@pytest.fixture(scope="module")
def table() -> EventTable:
    rng = np.random.default_rng(3)
    values, fold = rng.normal(size=(400, 3)), rng.integers(2, size=400)
    values[rng.random(400) < 0.1, 2] = -9.0
    labels = ((values * SLOPES[fold]).sum(axis=1) + rng.normal(scale=0.3, size=400) > 0).astype(np.int64)
    return EventTable.from_arrays(
        values, labels=labels, sentinel=-9.0, spectators={"fold": fold}, weights=rng.uniform(0.5, 1.5, 400)
    )


@pytest.fixture(scope="module")
def result(table: EventTable, folded: FoldedClassifier) -> AttackResult:
    validation = Validation(score=Marginals(max_js_distance=0.1, n_bins=10, n_quantiles=0))
    return run_attack(CONSERVAttack(strategy="frugal", validation=validation, n_iterations=8), folded, table, rng=5)


def by_hand(table: EventTable) -> FloatArray:
    """One event after the other, each by its own network."""
    return np.array(
        [
            Linear(SLOPES[k])(row[np.newaxis])[0]
            for row, k in zip(table.network_values, table.spectators["fold"], strict=True)
        ]
    )


def test_every_event_is_judged_by_the_network_of_its_fold(result: AttackResult, folded: FoldedClassifier) -> None:
    for table, scores in ((result.nominal, result.nominal_scores), (result.adversarial, result.adversarial_scores)):
        np.testing.assert_allclose(scores[:, 1], by_hand(table), atol=1e-12)
        np.testing.assert_array_equal(folded.predict(inputs_of(folded, table)), by_hand(table) > 0.5)
    np.testing.assert_array_equal(result.adversarial.spectators["fold"], result.nominal.spectators["fold"])
    before, after = (by_hand(table) > 0.5 for table in (result.nominal, result.adversarial))
    np.testing.assert_array_equal(result.fooled, result.attacked & (before != after))
    assert result.fooled.sum() > 20


def test_caps_hold_for_the_inputs_alone(result: AttackResult) -> None:
    assert result.adversarial.n_features == 3
    found = compare(result.nominal, result.adversarial, result.binning)
    assert found.correlation_shift <= 0.03
    assert found.max_js_distance <= 0.03


def test_sums_are_filled_by_fold(result: AttackResult, folded: FoldedClassifier) -> None:
    sums = result.sums(folded)
    weights = result.nominal.weights
    expected = weights[result.fooled].sum() / weights[result.attacked].sum()
    assert sums.fooling_ratio == pytest.approx(expected)


def test_transfer_asks_the_network_of_each_fold(result: AttackResult, folded: FoldedClassifier) -> None:
    again = transferred(result, folded, attacked=result.attacked)
    np.testing.assert_array_equal(again.fooled, result.fooled)
    swapped = FoldedClassifier(parts()[::-1])
    assert (transferred(result, swapped).fooled != result.fooled).any()


def test_a_detector_does_not_see_the_fold(table: EventTable, folded: FoldedClassifier) -> None:
    watch = CallableClassifier(Linear(np.array([0.0, 0.0, 1.0])), n_features=3)
    guide: Any = FiniteDifference(watch, STEPS)
    detector = Detector(classifier=guide, threshold=0.9, features=table.features.names, hidden=())
    defended = DefendedClassifier(classifier=folded, detector=detector)
    assert defended.spectators == ("fold",)
    inputs = inputs_of(defended, table)
    opposite = 1 - defended.predict(inputs)
    expected = ~(Linear(np.array([0.0, 0.0, 1.0]))(table.network_values) > 0.9)
    np.testing.assert_array_equal(defended.fooled(inputs, opposite), expected)
    margin, slope = defended.margin_and_gradient(inputs, defended.predict(inputs))
    assert margin.shape == (400,)
    assert slope.shape == (400, 3)


@pytest.mark.torch
def test_a_surrogate_is_guided_without_the_fold(table: EventTable, folded: FoldedClassifier) -> None:
    surrogate = Surrogate.of(folded, table, table, seed=1, hidden=(4,), settings=TrainingSettings(max_epochs=1))
    inputs = inputs_of(surrogate, table)
    np.testing.assert_array_equal(surrogate.scores(inputs), folded.scores(inputs))
    assert surrogate.margin_and_gradient(inputs, surrogate.predict(inputs))[1].shape == (400, 3)


def test_folds_that_cannot_be_are_refused(table: EventTable, folded: FoldedClassifier) -> None:
    with pytest.raises(ValueError, match=r"asks for the spectator 'fold'.* the table has none"):
        run_attack(CONSERVAttack(), folded, replace(table, spectators={}), rng=1)
    with pytest.raises(ValueError, match=r"whole number from 0 to 1, found 2; for instance .*event % 2"):
        run_attack(CONSERVAttack(), folded, replace(table, spectators={"fold": np.full(400, 2)}), rng=1)
    with pytest.raises(ValueError, match="two classifiers or more of the same"):
        FoldedClassifier(parts()[:1])
    with pytest.raises(ValueError, match="two classifiers or more of the same"):
        FoldedClassifier([parts()[0], CallableClassifier(lambda x: x[:, 0], n_features=2)])
    with pytest.raises(ValueError, match=r"expected \(n_events, 4\): the inputs, then 'fold'"):
        folded.scores(table.network_values)
