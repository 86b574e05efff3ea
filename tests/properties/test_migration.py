# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepfool.statistics._migration import Migration
from hepfool.typing import FloatArray, IntArray

N_BINS = 5
Moves = tuple[IntArray, IntArray, FloatArray]


@st.composite
def moves(draw: st.DrawFn) -> Moves:
    bins = st.integers(0, N_BINS - 1)
    # Whole numbers, negative ones included: sums are exact.
    events = draw(st.lists(st.tuples(bins, bins, st.integers(-9, 99)), max_size=40))
    before, after, weights = (np.array([event[k] for event in events], dtype=np.int64) for k in range(3))
    return before, after, weights.astype(np.float64)


def plain(before: IntArray, after: IntArray, weights: FloatArray) -> tuple[list[float], list[float]]:
    """Count event by event."""
    net, variance = [0.0] * N_BINS, [0.0] * N_BINS
    for start, end, weight in zip(before, after, weights, strict=True):
        if start != end:
            net[end] += weight
            net[start] -= weight
            variance[end] += weight**2
            variance[start] += weight**2
    return net, variance


@given(moves())
def test_migration_is_what_counting_event_by_event_gives(given: Moves) -> None:
    migration = Migration.between(*given, n_bins=N_BINS)
    net, variance = plain(*given)
    assert migration.net.tolist() == net
    assert migration.variance.tolist() == variance


@given(moves())
def test_nothing_is_lost_when_nothing_leaves_the_range(given: Moves) -> None:
    assert Migration.between(*given, n_bins=N_BINS).net.sum() == 0.0


@given(moves())
def test_net_change_is_the_difference_of_the_histograms(given: Moves) -> None:
    before, after, weights = given
    yields = [np.bincount(bins, weights=weights, minlength=N_BINS) for bins in (before, after)]
    migration = Migration.between(before, after, weights, n_bins=N_BINS)
    np.testing.assert_array_equal(migration.net, yields[1] - yields[0])


@given(moves())
def test_the_way_back_has_the_other_sign_and_the_same_error(given: Moves) -> None:
    before, after, weights = given
    there, back = (Migration.between(*pair, weights, n_bins=N_BINS) for pair in ((before, after), (after, before)))
    np.testing.assert_array_equal(there.net, -back.net)
    np.testing.assert_array_equal(there.error, back.error)


def test_paired_error_is_the_spread_over_samples_of_events() -> None:
    rng = np.random.default_rng(3)
    nets = []
    for _ in range(2000):
        n_events = rng.poisson(400)
        before = rng.integers(0, N_BINS, n_events)
        after = np.where(rng.random(n_events) < 0.1, (before + 1) % N_BINS, before)
        nets.append(Migration.between(before, after, np.full(n_events, 2.0), n_bins=N_BINS).net)
    # 8 events enter and 8 leave each bin, of weight 2; independent samples would differ by 2 * sqrt(160).
    np.testing.assert_allclose(np.std(nets, axis=0), 2.0 * np.sqrt(16.0), rtol=0.06)


def test_pull_is_unknown_where_nothing_moved() -> None:
    migration = Migration.between(np.array([0, 0, 2]), np.array([1, 1, 2]), np.ones(3), n_bins=3)
    np.testing.assert_allclose(migration.pull, [-np.sqrt(2.0), np.sqrt(2.0), np.nan])


def test_other_events_are_refused() -> None:
    with pytest.raises(ValueError, match="other events"):
        Migration.between(np.zeros(2, int), np.zeros(3, int), np.ones(3), n_bins=2)
