# SPDX-License-Identifier: BSD-3-Clause
"""Independent simulation and data for limits on the fraction of an attack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepfool.summary import ControlYields
from hepfool.summary.allowed_fraction import cls_of
from hepfool.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Truth:
    """
    Weighted events with their bins before and after an attack.

    Attributes
    ----------
    weights : FloatArray, shape (n_events,)
        They sum to the expected number of data events.
    before, after : IntArray, shape (n_events,)
        Bins.
    sources : dict of str to IntArray pairs
        Bins of the events up and down.
    share : float
        Size of the simulation of a toy over that of these events.
    n_parts : int
        Parts of the bins that are not joined with each other.
    """

    weights: FloatArray
    before: IntArray
    after: IntArray
    sources: dict[str, tuple[IntArray, IntArray]]
    share: float = 1.0
    n_parts: int = 1

    def yields(self, bins: IntArray, weights: FloatArray) -> FloatArray:
        return np.bincount(bins, weights, self.n_bins).astype(np.float64)

    @property
    def n_bins(self) -> int:
        highest = int(max(self.before.max(), self.after.max())) + 1
        return -(-highest // self.n_parts) * self.n_parts

    def toy(self, fraction: float, rng: np.random.Generator, min_yield: float = 5.0) -> ControlYields:
        """Simulation of other events than those that data follow; the true shifts of the sources differ from toy to toy."""
        w = self.weights * rng.poisson(self.share, len(self.weights)) / self.share
        expected = (1.0 - fraction) * self.yields(self.before, self.weights) + fraction * self.yields(
            self.after, self.weights
        )
        for sides in self.sources.values():
            shift = rng.normal()
            bins = sides[0] if shift > 0 else sides[1]
            expected = expected + abs(shift) * (
                self.yields(bins, self.weights) - self.yields(self.before, self.weights)
            )
        return ControlYields(
            nominal=self.yields(self.before, w),
            attacked=self.yields(self.after, w),
            nominal_variance=self.yields(self.before, w**2),
            attacked_variance=self.yields(self.after, w**2),
            sources={k: (self.yields(up, w), self.yields(down, w)) for k, (up, down) in self.sources.items()},
            data=rng.poisson(np.maximum(expected, 0.0)).astype(np.float64),
        ).joined(min_yield, self.n_parts)

    def coverage(self, fraction: float, n_toys: int, rng: np.random.Generator) -> float:
        """How often the 95 % limit is not below the truth."""
        tested = max(fraction, 2e-3)
        return float(np.mean([cls_of(self.toy(fraction, rng), tested) > 0.05 for _ in range(n_toys)]))


def small_truth(rng: np.random.Generator, *, n_data: float = 300.0, n_events: int = 1500) -> Truth:
    """A falling spectrum of six bins, of which the attack empties the first, and a source that shifts all."""
    score = rng.exponential(1.3, n_events)
    attacked = np.where(rng.random(n_events) < 0.35, rng.uniform(0.0, 6.0, n_events), score)

    def binned(values: FloatArray) -> IntArray:
        return np.clip(values, 0.0, 5.5).astype(np.int64)

    weights = np.full(n_events, n_data / n_events)
    return Truth(weights, binned(score), binned(attacked), {"scale": (binned(1.1 * score), binned(0.9 * score))})
