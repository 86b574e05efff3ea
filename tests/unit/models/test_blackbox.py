# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from hepfool.events import EventTable
from hepfool.models import CallableClassifier, Classifier, DifferentiableClassifier, FiniteDifference

VALUES = np.array([[0.1, 0.3], [0.6, 0.8]])


def test_it_gives_no_gradients_by_itself() -> None:
    classifier = CallableClassifier(lambda values: values[:, 0])
    assert isinstance(classifier, Classifier)
    assert not isinstance(classifier, DifferentiableClassifier)
    assert isinstance(FiniteDifference(classifier, [0.1, 0.1]), DifferentiableClassifier)


def test_the_threshold_moves_the_boundary() -> None:
    assert CallableClassifier(lambda values: values[:, 0], threshold=0.7).predict(VALUES).tolist() == [0, 0]
    assert CallableClassifier(lambda values: values[:, :1], threshold=0.05).predict(VALUES).tolist() == [1, 1]


def test_boosted_trees(rng: np.random.Generator) -> None:
    values = rng.normal(size=(300, 2))
    labels = (values[:, 0] > 0).astype(int)
    trees = HistGradientBoostingClassifier(max_iter=5).fit(values, labels)
    classifier = CallableClassifier(trees, n_features=2)
    np.testing.assert_array_equal(classifier.predict(values), trees.predict(values))
    _, gradient = FiniteDifference(classifier, [1.0, 1.0]).margin_and_gradient(values, np.ones(300, dtype=np.int64))
    assert gradient[:, 0].mean() > 10 * abs(gradient[:, 1].mean())


def test_steps_follow_the_ranges() -> None:
    table = EventTable.from_arrays([[0.0, 5.0, -1.0], [20.0, 5.0, -1.0], [10.0, 5.0, 3.0]], sentinel=-1.0)
    estimate = FiniteDifference.of(CallableClassifier(lambda values: values[:, 0] / 30.0), table, fraction=0.1)
    assert "step=[2.0, 0.1, 0.1]" in repr(estimate)
    assert estimate.loss_and_gradient(np.array([[15.0, 5.0, 3.0]]), np.array([1]))[1][0, 1:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("function", "rule"),
    [
        (lambda values: np.ones(7), "check n_classes"),
        (lambda values: 3.0 * values[:, 0], "not probabilities"),
        (lambda values: np.full(len(values), np.nan), "not probabilities"),
        (lambda values: 0.2 * np.ones((len(values), 2)), "sum to one"),
    ],
)
def test_outputs_that_are_not_scores_are_refused(function: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        CallableClassifier(function).scores(VALUES)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(TypeError, match="predict_proba"):
        CallableClassifier(3.0)
    with pytest.raises(ValueError, match="at least 2"):
        CallableClassifier(np.mean, n_classes=1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        CallableClassifier(np.mean, threshold=0.0)
    with pytest.raises(ValueError, match=r"expected \(n_events, 3\)"):
        CallableClassifier(np.mean, n_features=3).scores(VALUES)
    with pytest.raises(ValueError, match="one positive number"):
        FiniteDifference(CallableClassifier(np.mean), [0.0])
    with pytest.raises(ValueError, match="2 steps for a classifier of 3"):
        FiniteDifference(CallableClassifier(np.mean, n_features=3), [1.0, 1.0])
