# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepfool.events import EventTable, best_single_cut


def _two_classes(rng: np.random.Generator, n_events: int = 4000) -> EventTable:
    """One feature that separates, and one whose tail holds a few events of class 0 only."""
    labels = np.arange(n_events) % 2
    separating = rng.normal(np.where(labels == 1, 1.0, -1.0), 1.0)
    tail = rng.uniform(size=n_events)
    tail[:20:2] += 5.0
    return EventTable.from_arrays(np.stack([tail, separating], axis=1), labels=labels, features=["tail", "mass"])


def test_a_rare_signal_gets_the_cut_that_separates_it(rng: np.random.Generator) -> None:
    table = _two_classes(rng)
    expected = best_single_cut(table)
    rare = EventTable.from_arrays(
        table.values, labels=table.labels, features=["tail", "mass"], weights=np.where(table.labels == 1, 1e-3, 1.0)
    )
    cut = best_single_cut(rare)
    assert (cut.feature, cut.signal_above) == ("mass", True)
    assert cut.threshold == expected.threshold
    assert cut.accuracy == pytest.approx(expected.accuracy)
    above = rare.column("mass") >= cut.threshold
    assert 0.3 < above.mean() < 0.7


@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6), negative=st.floats(0.0, 0.3))
@settings(max_examples=30)
def test_the_accuracy_is_the_mean_of_both_efficiencies(seed: int, scale: float, negative: float) -> None:
    rng = np.random.default_rng(seed)
    labels, values = rng.permutation(np.arange(80) % 2), rng.normal(size=(80, 2)).round(1)
    weights = rng.uniform(0.5, 1.0, size=80) * np.where(labels == 1, scale, 1.0)
    weights[rng.uniform(size=80) < negative] *= -0.5
    table = EventTable.from_arrays(values, labels=labels, weights=weights)
    cut = best_single_cut(table)
    upper = table.column(cut.feature) >= cut.threshold
    efficiencies = [
        weights[(labels == label) & (upper == (cut.signal_above == bool(label)))].sum() / weights[labels == label].sum()
        for label in (0, 1)
    ]
    assert cut.accuracy == pytest.approx(np.clip(efficiencies, 0.0, 1.0).mean())
    assert 0.0 <= cut.accuracy <= 1.0
    assert 0 < upper.sum() < 80


def test_a_class_without_positive_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="the weights of class 1 sum to -1"):
        best_single_cut(EventTable.from_arrays([[0.0], [1.0], [2.0]], labels=[0, 1, 1], weights=[1.0, 1.0, -2.0]))
