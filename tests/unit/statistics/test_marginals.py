# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepfool.events import EventTable
from hepfool.statistics import Binning, js_distance


def table(seed: int, n_events: int = 400) -> EventTable:
    """A long tail, a value that most events share, whole numbers, and missing values."""
    rng = np.random.default_rng(seed)
    shared = np.where(rng.uniform(size=n_events) < 0.6, 0.0, rng.exponential(40.0, n_events))
    partly = np.where(rng.uniform(size=n_events) < 0.3, np.nan, rng.normal(size=n_events))
    columns = [rng.exponential(30.0, n_events), shared, rng.integers(0, 5, n_events).astype(float), partly]
    return EventTable.from_arrays(np.stack(columns, axis=1), features=["tail", "shared", "whole", "partly"])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_quantile_bins_hold_equally_many_or_a_single_value(seed: int, n_bins: int) -> None:
    events = table(seed)
    binning = Binning.quantiles(events, n_bins=n_bins)
    assert binning.n_bins == n_bins
    yields = binning.yields(events.values, events.weights)[:, :n_bins]
    assert yields.sum() == (~events.missing).sum()
    for j in (0, 3):
        n_present = (~events.missing[:, j]).sum()
        assert yields[j].max() <= np.ceil(n_present / n_bins) + 1
    if n_bins >= 20:  # below, other bins hold the zeros too
        zeros = events.values[:, 1] == 0.0
        assert yields[1, binning.indices(np.array([[1.0, 0.0, 1.0, 0.0]]))[0, 1]] == zeros.sum()
        assert np.diff(binning.edges[1])[0] < 1e-30


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_a_distance_in_united_bins_is_at_least_that_in_either(seed: int, n_first: int, n_second: int) -> None:
    nominal, other = table(seed), table(seed + 1)
    first = Binning.uniform(nominal, n_bins=n_first)
    second = Binning.quantiles(nominal, n_bins=n_second)
    both = first.united(second)
    assert both.n_bins == n_first + n_second - 1
    distances = [
        js_distance(*(binning.yields(events.values, events.weights) for events in (nominal, other)))
        for binning in (both, first, second)
    ]
    assert (distances[0] >= np.maximum(distances[1], distances[2]) - 1e-7).all()
    assert np.isin(first.edges, both.edges).all()
    assert np.isin(second.edges, both.edges).all()


def test_binnings_of_different_features_are_not_united() -> None:
    one, two = Binning(np.array([[0.0, 1.0]])), Binning(np.array([[0.0, 1.0], [0.0, 2.0]]))
    with pytest.raises(ValueError, match="binnings of 1 and 2 features cannot be united"):
        one.united(two)


@pytest.mark.parametrize("build", [Binning.uniform, Binning.quantiles])
def test_a_constant_feature_has_no_bins(build: object) -> None:
    assert callable(build)
    events = EventTable.from_arrays([[1.0, 2.0], [1.0, 3.0]], features=["same", "other"])
    with pytest.raises(ValueError, match=r"'same' is constant \(1\)"):
        build(events, n_bins=4)
