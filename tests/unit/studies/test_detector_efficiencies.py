# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hepfool.events import EventTable
from hepfool.studies import detector_efficiencies
from hepfool.typing import FloatArray


@dataclass(frozen=True)
class Rising:
    """A detector whose score rises with one input."""

    power: float
    features: tuple[str, ...] = ("a", "b")

    def score(self, values: FloatArray) -> FloatArray:
        return np.asarray(values[:, 0] ** self.power)


DETECTORS: Any = [Rising(1.0), Rising(0.5), Rising(2.0)]


def events(rng: np.random.Generator, n: int, weights: FloatArray | None = None) -> EventTable:
    return EventTable.from_arrays(np.round(rng.random((n, 2)), 2), features=["a", "b"], weights=weights)


def test_efficiencies_are_those_of_a_plain_count(rng: np.random.Generator) -> None:
    simulation, data = events(rng, 300, rng.uniform(0.5, 2.0, 300)), events(rng, 120)
    cuts = np.array([0.1, 0.25, 0.81])
    found = detector_efficiencies(DETECTORS, simulation, data, thresholds=cuts)
    for of, table in (("simulation", simulation), ("data", data)):
        for row, detector in enumerate(DETECTORS):
            for column, cut in enumerate(cuts):
                kept = [w for w, s in zip(table.weights, detector.score(table.values), strict=True) if not s > cut]
                assert getattr(found, of)[row, column] == pytest.approx(sum(kept) / table.weights.sum())
        columns = getattr(found, of).T
        assert found.mean(of) == pytest.approx([np.mean(c) for c in columns])  # type: ignore[arg-type]
        assert found.spread(of) == pytest.approx([np.std(c, ddof=1) for c in columns])  # type: ignore[arg-type]
    value, spread, statistical = found.difference
    assert value == pytest.approx(found.mean("data") - found.mean("simulation"))
    assert spread == pytest.approx((found.data - found.simulation).std(axis=0, ddof=1))
    n = simulation.weights.sum() ** 2 / (simulation.weights**2).sum()
    variance = sum(e * (1 - e) / k for e, k in ((found.mean("simulation")[1], n), (found.mean("data")[1], 120)))
    assert statistical[1] == pytest.approx(np.sqrt(variance))


def test_what_cannot_be_compared_is_refused(rng: np.random.Generator) -> None:
    table = events(rng, 50)
    with pytest.raises(ValueError, match="at least two detectors, got 1"):
        detector_efficiencies(DETECTORS[:1], table, table)
    nothing = events(rng, 4, np.array([1.0, -1.0, 1.0, -1.0]))
    with pytest.raises(ValueError, match="the weights of data sum to 0"):
        detector_efficiencies(DETECTORS, table, nothing)
    other = EventTable.from_arrays(table.values, features=["a", "c"])
    with pytest.raises(ValueError, match="expected \\('a', 'b'\\) in this order"):
        detector_efficiencies(DETECTORS, other, table)
