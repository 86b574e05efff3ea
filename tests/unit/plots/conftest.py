# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import AttackResult, run_attack
from hepfool.events import EventTable, Region
from hepfool.features import Feature
from hepfool.sums import AttackSums
from hepfool.typing import FloatArray, IntArray


class FirstFeature:
    """Score of class 1 is the first feature."""

    n_classes = 2
    n_features = None
    digest = "first"

    def scores(self, values: FloatArray) -> FloatArray:
        return np.stack([1.0 - values[:, 0], values[:, 0]], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return (values[:, 0] > 0.5).astype(np.int64)


@dataclass(frozen=True)
class Roll:
    """Give each event the first feature of the event before it: the marginal stays."""

    n_iterations: int = 1
    n_bins: int = 20

    def iterate(self, problem: Any, values: FloatArray, iteration: int, rng: np.random.Generator) -> FloatArray:
        moved = values.copy()
        moved[:, 0] = np.roll(moved[:, 0], 1)
        moved[:, 2] = np.clip(moved[:, 2] + 1.0, None, 4.0)
        return moved


@pytest.fixture(scope="session")
def result() -> AttackResult:
    """100 events with an unmoved marginal, a fixed and an integer feature; two processes, one region."""
    n_events = 100
    index = np.arange(n_events)
    values = np.stack([index / (n_events - 1), np.cos(index), index % 5], axis=1)
    values[3, 1] = np.nan
    table = EventTable.from_arrays(
        values,
        labels=(values[:, 0] > 0.5).astype(int),
        features=[
            Feature(name="score_like"),
            Feature(name="eta", label=r"$\eta$"),
            Feature(name="n_jets", label="Number of jets", kind="integer"),
        ],
        weights=np.where(index % 2, 2.0, 1.0),
        dataset=np.where(index % 10, "background", "signal"),
        regions=(Region(name="control_region", mask=index >= 0), Region(name="late", mask=index >= 50, role="signal")),
    )
    return run_attack(Roll(), FirstFeature(), table, rng=np.random.default_rng(1))


@pytest.fixture(scope="session")
def sums(result: AttackResult) -> AttackSums:
    return result.sums(FirstFeature())
