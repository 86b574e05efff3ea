# SPDX-License-Identifier: BSD-3-Clause
"""Distance correlations after any sequence of moves are those of the definition, which starts afresh."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepfool.statistics import distance_correlation
from hepfool.statistics._distance_correlation import evaluate, move, new_distance_state, new_tableau, tabulate
from hepfool.typing import FloatArray

FEW = settings(max_examples=15)


def slow_twin(x: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted V-statistics, from doubly centred distances."""
    w = weights / weights.sum()
    centred = []
    for column in x.T:
        a = np.abs(column[:, np.newaxis] - column)
        rows = a @ w
        centred.append(a - rows - rows[:, np.newaxis] + w @ rows)
    covariance = np.array([[w @ (a * b) @ w for b in centred] for a in centred])
    variance = np.diag(covariance)
    return np.asarray(np.sqrt(covariance.clip(0.0) / np.sqrt(np.outer(variance, variance))))


def dependent(rng: np.random.Generator, n_events: int) -> FloatArray:
    x = rng.normal(size=(n_events, 4))
    x[:, 1] += x[:, 0] ** 2
    x[:, 3] = np.round(x[:, 3])  # ties
    return x


def test_the_definition_is_that_of_another_library() -> None:
    """Numbers of dcor 0.7, which takes 20 s to compile itself."""
    found = slow_twin(dependent(np.random.default_rng(0), 60), np.ones(60))[np.triu_indices(4, 1)]
    expected = [0.4613969232096695, 0.1985517210227964, 0.2804507914285156, 0.2032473392148758]
    np.testing.assert_allclose(found, [*expected, 0.1542720138366865, 0.2585119168335142], atol=1e-12)


@FEW
@given(st.integers(0, 2**32 - 1))
def test_any_sequence_of_moves_equals_starting_afresh(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = dependent(rng, 60)
    state = new_distance_state(x, np.ones(60))
    nominal = slow_twin(x, np.ones(60))
    np.testing.assert_allclose(state.current, nominal, atol=1e-10)
    low, width = x.min(axis=0), np.ptp(x, axis=0)
    tableau, row, n_places = new_tableau(8, 4), np.empty(4), 9
    for _ in range(40):
        i, j = int(rng.integers(60)), int(rng.integers(4))
        present = state.x[i, j]
        places = np.sort(np.append(rng.uniform(-0.2, 1.2, size=8), present))
        tableau.places[:] = places
        old, new = int(np.searchsorted(places, present)), int(rng.integers(n_places))
        before = state.current.copy()
        tabulate(state, tableau, i, j, n_places)
        gained, changed = evaluate(state, tableau, (i, j), (old, new), n_places, row)
        move(state, tableau, (i, j), (old, new), n_places, row)
        x[i, j] = low[j] + places[new] * width[j]
        expected = slow_twin(x, np.ones(60))
        np.testing.assert_allclose(state.current, expected, atol=1e-10)
        assert changed == pytest.approx(((expected - before) ** 2).sum(), abs=1e-10)
        apart = [((matrix - nominal) ** 2).sum() for matrix in (before, expected)]
        assert gained == pytest.approx(apart[1] - apart[0], abs=1e-10)


@FEW
@given(st.integers(0, 2**32 - 1))
def test_weights_count_as_in_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weights = dependent(rng, 50), rng.uniform(0.1, 3.0, size=50)
    np.testing.assert_allclose(distance_correlation(x, weights), slow_twin(x, weights), atol=1e-10)
    state = new_distance_state(x, weights)
    tableau, row = new_tableau(1, 4), np.empty(4)
    for i, j in ((3, 0), (3, 1), (20, 3), (3, 0)):
        present = state.x[i, j]
        tableau.places[:] = np.sort([present, present + 0.3])
        tabulate(state, tableau, i, j, 2)
        evaluate(state, tableau, (i, j), (0, 1), 2, row)
        move(state, tableau, (i, j), (0, 1), 2, row)
    np.testing.assert_allclose(state.current, slow_twin(state.x, weights), atol=1e-10)


def test_a_repeated_event_counts_like_its_weight(rng: np.random.Generator) -> None:
    x = dependent(rng, 30)
    weights = np.array([2.0] + [1.0] * 29)
    repeated = np.concatenate([x[:1], x])
    np.testing.assert_allclose(distance_correlation(x, weights), distance_correlation(repeated), atol=1e-12)


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([[0.0], [np.nan]], [1.0, 1.0], "need finite values"),
        ([[0.0], [1.0]], [1.0, -1.0], "weights of at least 0"),
    ],
)
def test_impossible_input_is_refused(values: list[list[float]], weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distance_correlation(np.array(values), np.array(weights))
