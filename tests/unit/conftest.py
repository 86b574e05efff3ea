# SPDX-License-Identifier: BSD-3-Clause
"""A small finished attack with known numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hepfool.attacks import AttackProblem, AttackResult, run_attack
from hepfool.defences import DetectorReport
from hepfool.events import EventTable, Region
from hepfool.typing import FloatArray, IntArray


class SignClassifier:
    """Class 1 where the first feature is positive."""

    n_classes = 2
    n_features = 2
    digest = "5" * 64

    def scores(self, values: FloatArray) -> FloatArray:
        score = np.where(values[:, 0] > 0, 0.9, 0.1)
        return np.stack([1 - score, score], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return (values[:, 0] > 0).astype(np.int64)


@dataclass(frozen=True)
class Shift:
    """Move every event's first feature by a constant within its bounds."""

    amount: float
    n_iterations: int = 1
    n_bins: int = 20

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        return problem.bounds.clip(values + np.array([self.amount, 0.0]))


@pytest.fixture
def sign_classifier() -> SignClassifier:
    return SignClassifier()


@pytest.fixture
def shifted_result(rng: np.random.Generator, sign_classifier: SignClassifier) -> AttackResult:
    values = rng.uniform(-1.0, 1.0, size=(1000, 2))
    table = EventTable.from_arrays(
        values,
        labels=(values[:, 0] > 0).astype(int),
        features=["lead_jet_pt", "met"],
        dataset=np.where(values[:, 0] > 0, "signal", "ttbar"),
        regions=(
            Region("low_met", values[:, 1] < 0, cuts={"met": (-np.inf, 0.0)}),
            Region("high_met", values[:, 1] >= 0, role="signal", cuts={"met": (0.0, np.inf)}),
        ),
    )
    return run_attack(Shift(0.1), sign_classifier, table, rng=rng)


@pytest.fixture
def detector_report() -> DetectorReport:
    return DetectorReport(
        n_clean=1000,
        n_attacked=1000,
        n_fooled=50,
        n_fooled_unflagged=10,
        threshold=0.8,
        clean_efficiency=0.85,
        clean_efficiency_by_class={0: 0.9, 1: 0.8},
        efficiency_fooled=0.8,
        efficiency_unfooled=0.3,
        efficiency_adversarial=0.4,
        fooling_ratio=0.05,
        corrected_fooling_ratio=0.01,
        corrected_fooling_ratio_error=0.003,
        product_fooling_ratio=0.03,
        auroc=float("nan"),
    )
