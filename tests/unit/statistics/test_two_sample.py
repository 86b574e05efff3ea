# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hepfool.statistics import _two_sample as two_sample
from hepfool.statistics import classifier_power
from hepfool.statistics._toys import Toys
from hepfool.statistics._two_sample import auc_significance
from hepfool.typing import FloatArray


def test_the_area_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    data, prediction = np.floor(rng.uniform(1, 11, size=60)), np.floor(rng.uniform(0, 10, size=80))
    weights = rng.uniform(0.5, 2.0, size=80)
    expected = roc_auc_score(
        np.repeat([1, 0], [60, 80]), np.concatenate([data, prediction]), sample_weight=np.append(np.ones(60), weights)
    )
    assert auc_significance(data, prediction, weights)[0] == pytest.approx(expected)


def test_the_significance_is_normal_where_nothing_differs(rng: np.random.Generator) -> None:
    found = np.array(
        [
            auc_significance(rng.normal(size=200), rng.normal(size=300), rng.exponential(size=300))[1]
            for _ in range(1500)
        ]
    )
    assert found.mean() == pytest.approx(0.0, abs=0.1)
    assert found.std() == pytest.approx(1.0, abs=0.08)
    assert (found > 1.645).mean() == pytest.approx(0.05, abs=0.02)
    assert auc_significance(np.ones(3), np.ones(4), np.ones(4)) == (0.5, 0.0)


def test_a_dependence_without_correlation_is_seen(rng: np.random.Generator) -> None:
    before = rng.normal(size=(3000, 2))
    after = before.copy()
    # The sign of the second follows the size of the first: marginals and correlations stay.
    after[:, 1] = np.abs(after[:, 1]) * np.sign(np.abs(after[:, 0]) - 0.6745)
    seen = classifier_power(before, after, np.ones(3000), Toys(n_data=400.0, n_simulated=1500.0, n_toys=4), rng=rng)
    assert seen.power.value == 1.0
    assert seen.auroc > 0.7
    assert seen.n_data == 400


@pytest.mark.slow
def test_nothing_is_seen_where_nothing_moved(rng: np.random.Generator) -> None:
    values, weights = rng.normal(size=(800, 3)), rng.uniform(0.2, 1.0, size=800)
    seen = classifier_power(values, values, weights, Toys(n_data=1e4, n_simulated=800.0, n_toys=30), rng=rng)
    assert seen.power.value <= 0.2
    assert seen.auroc == pytest.approx(0.5, abs=0.02)
    # Unweighting leaves about 60 % of one half.
    assert seen.n_data == pytest.approx(0.6 * 400, rel=0.1)


def test_no_event_is_on_both_sides_or_of_negative_weight(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    number = np.arange(100.0)[:, np.newaxis]
    weights = np.where(np.arange(100) % 5, 1.0, -1.0)
    calls = []

    def record(prediction: tuple[FloatArray, FloatArray], data: FloatArray, *, seed: int) -> tuple[float, float]:
        calls.append((prediction[0][:, 0], data[:, 0] - 1000.0))
        return 0.5, 0.0

    monkeypatch.setattr(two_sample, "tell_apart", record)
    classifier_power(number, number + 1000.0, weights, Toys(n_data=1e3, n_simulated=80.0, n_toys=5), rng=rng)
    assert len(calls) == 5
    for prediction, data in calls:
        assert not set(prediction) & set(data)
        assert len(set(data)) == len(data) == len(set(prediction)) == 40
        assert not np.any(np.append(prediction, data) % 5 == 0)
    assert {tuple(calls[0][1])} != {tuple(calls[1][1])}


def test_too_few_events_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="at least 8 events of positive weight, got 3"):
        classifier_power(np.ones((4, 1)), np.ones((4, 1)), np.array([1.0, 1.0, 1.0, -1.0]), TOYS, rng=rng)


TOYS = Toys(n_data=10.0, n_simulated=10.0, n_toys=1)
