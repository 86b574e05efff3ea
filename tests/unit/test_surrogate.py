# SPDX-License-Identifier: BSD-3-Clause
"""Boosted trees, which have no gradient, attacked by both ways to find a direction."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.events import EventTable
from hepfool.models import CallableClassifier, DifferentiableClassifier, FiniteDifference, TorchClassifier, mlp
from hepfool.surrogate import Surrogate
from hepfool.training import TrainingSettings
from hepfool.typing import FloatArray

pytestmark = pytest.mark.torch
ATTACK = CONSERVAttack(n_iterations=5, n_bins=30, beta=20.0, max_js_distance=0.05, strategy="frugal")


def classes(x: FloatArray, n_classes: int) -> np.ndarray:
    return np.digitize(x[:, 0] + x[:, 1] * x[:, 2], np.linspace(-1, 1, n_classes + 1)[1:-1] if n_classes > 2 else [0.0])


def trees(n_classes: int) -> tuple[CallableClassifier, EventTable]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1500, 4))
    model = HistGradientBoostingClassifier(max_iter=30, random_state=1).fit(x, classes(x, n_classes))
    y = model.predict(x).astype(np.int64)
    return CallableClassifier(model.predict_proba, n_classes=n_classes), EventTable.from_arrays(x, labels=y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_surrogate_points_and_the_trees_decide(n_classes: int) -> None:
    classifier, table = trees(n_classes)
    guided = Surrogate.of(classifier, table, table, seed=1, settings=TrainingSettings(max_epochs=15, batch_size=128))
    assert isinstance(guided, DifferentiableClassifier)
    result = run_attack(ATTACK, guided, table, rng=np.random.default_rng(1))
    before, after = (classifier.predict(t.network_values) for t in (result.nominal, result.adversarial))
    assert np.array_equal(result.fooled, before != after)
    assert result.fooling_ratio > 0.3
    assert result.compatibility.max_js_distance <= 0.05


def test_finite_differences_work_with_steps_as_wide_as_the_trees_bins() -> None:
    classifier, table = trees(2)
    guided = FiniteDifference.of(classifier, table, fraction=0.05)
    result = run_attack(ATTACK, guided, table, rng=np.random.default_rng(1))
    assert result.fooling_ratio > 0.3


def test_a_guide_of_other_classes_is_refused() -> None:
    classifier, _ = trees(2)
    with pytest.raises(ValueError, match="has 2 classes, its guide 3"):
        Surrogate(classifier, TorchClassifier(mlp(4, (4,), n_outputs=3)))
