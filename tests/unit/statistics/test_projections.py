# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from hepfool.events import EventTable
from hepfool.statistics._projections import rank_projections
from tests.specimens import events


def test_distances_are_those_of_plain_histograms() -> None:
    before, after = events(500, seed=2), events(500, seed=2)
    values = before.values.copy()
    values[:, 1] = np.roll(values[:, 1], 1)
    after = before.with_values(values)
    found = {change.features: change for change in rank_projections(before, after, n_bins=3)}
    assert set(found) == set(combinations(before.features.names, 2))
    mask, names = before.constrained, before.features.names
    for (j, k), (first, second) in zip(combinations(range(6), 2), combinations(names, 2), strict=True):
        cells = [[cell(before, table, i, mask) for i in (j, k)] for table in (before, after)]
        p, q = np.zeros((4, 4)), np.zeros((4, 4))
        for histogram, (x, y) in zip((p, q), cells, strict=True):
            for a, b, weight in zip(x, y, before.weights[mask], strict=True):
                histogram[a, b] += weight
        p, q = (h.ravel() / h.sum() for h in (p, q))
        m = 0.5 * (p + q)
        divergence = 0.5 * sum(v * np.log2(v / n) for h in (p, q) for v, n in zip(h, m, strict=True) if v > 0)
        assert found[first, second].js_distance == pytest.approx(np.sqrt(divergence), abs=1e-9)


def cell(nominal: EventTable, table: EventTable, column: int, mask: np.ndarray) -> list[int]:
    """Third of the nominal values, and 3 where the value is missing."""
    present = nominal.values[mask, column]
    thirds = sorted(set(np.nanquantile(present, [1 / 3, 2 / 3])))
    # With one edge instead of two, missing values have the number 2.
    return [len(thirds) + 1 if np.isnan(v) else sum(v >= edge for edge in thirds) for v in table.values[mask, column]]


def test_the_broken_pair_comes_first_although_no_marginal_moves() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(size=2000)
    table = EventTable.from_arrays(
        np.stack([first, first + 0.3 * rng.normal(size=2000), rng.normal(size=2000)], axis=1), features=["a", "b", "c"]
    )
    values = table.values.copy()
    values[:, 1] = np.sort(values[:, 1])[np.argsort(np.argsort(rng.permutation(values[:, 1])))]
    ranked = rank_projections(table, table.with_values(values))
    assert ranked[0].features == ("a", "b")
    assert ranked[0].js_distance > 5.0 * ranked[0].js_floor
    assert ranked[1].js_distance < 2.0 * ranked[1].js_floor


def test_what_cannot_be_compared_is_refused() -> None:
    table = EventTable.from_arrays([[1.0, 2.0], [2.0, 3.0]])
    with pytest.raises(ValueError, match="the same events before and after"):
        rank_projections(table, table.select(np.array([0])))
    with pytest.raises(ValueError, match="two features"):
        rank_projections(EventTable.from_arrays([[1.0]]), EventTable.from_arrays([[1.0]]))
