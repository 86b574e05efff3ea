# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hepfool.statistics import auroc_with_error
from hepfool.statistics._roc import auroc_difference
from hepfool.typing import FloatArray, IntArray


def sample(rng: np.random.Generator, n_events: int = 400) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Labels, two correlated scores and weights; rounded, so that there are ties."""
    labels = rng.integers(0, 2, n_events)
    common = labels + rng.normal(size=n_events)
    first, second = (np.round(common + 0.5 * rng.normal(size=n_events), 1) for _ in range(2))
    return labels, first, second, rng.uniform(-0.2, 1.0, n_events)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_area_is_that_of_scikit_learn(rng: np.random.Generator, weighted: bool) -> None:
    labels, score, _, weights = sample(rng)
    area, _ = auroc_with_error(labels, score, weights if weighted else None)
    expected = roc_auc_score(labels, score, sample_weight=np.abs(weights) if weighted else None)
    assert area == pytest.approx(expected, abs=1e-12)


def test_the_difference_is_that_of_the_areas(rng: np.random.Generator) -> None:
    labels, first, second, weights = sample(rng)
    areas = [auroc_with_error(labels, score, weights)[0] for score in (first, second)]
    difference, error = auroc_difference(labels, first, second, weights)
    assert difference == pytest.approx(areas[1] - areas[0], abs=1e-12)
    assert auroc_difference(labels, second, first, weights) == pytest.approx((-difference, error))


def test_errors_describe_the_spread_over_samples(rng: np.random.Generator) -> None:
    areas, differences = [], []
    for _ in range(400):
        labels, first, second, weights = sample(rng)
        areas.append(auroc_with_error(labels, first, weights))
        differences.append(auroc_difference(labels, first, second, weights))
    for found in (np.array(areas), np.array(differences)):
        assert found[:, 0].std() == pytest.approx(found[:, 1].mean(), rel=0.12)
    assert np.array(differences)[:, 1].mean() < 0.7 * np.array(areas)[:, 1].mean()


@pytest.mark.parametrize("labels", [[0, 0], [0, 2], [-1, 1]])
def test_both_classes_are_needed(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="needs the classes 0 and 1"):
        auroc_with_error(np.array(labels), np.array([0.1, 0.2]))
