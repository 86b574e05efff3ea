# SPDX-License-Identifier: BSD-3-Clause
"""Events of every kind, and an analytic network to attack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy import special

from hepfool.events import EventTable, Region
from hepfool.features import Feature, FeatureSpace
from hepfool.typing import FloatArray, IntArray

#: A momentum, an angle, a count, a charge that is fixed, and a momentum that only events with jets have.
FEATURES: Final = FeatureSpace(
    [
        Feature(name="pt", unit="GeV", lower=0.0),
        Feature(name="eta", lower=-2.5, upper=2.5),
        Feature(name="phi", lower=-np.pi, upper=np.pi, kind="angle"),
        Feature(name="n_jets", lower=0.0, kind="integer"),
        Feature(name="charge", lower=-1.0, upper=1.0, kind="fixed"),
        Feature(name="jet_pt", unit="GeV", lower=30.0),
    ]
)
#: What the network sees for a missing value.
SENTINEL: Final = -999.0


@dataclass(frozen=True)
class SineClassifier:
    """Log-odds ``gain * (sum_j w_j sin(x_j / scale_j) + offset)``; missing values count as zero."""

    weights: FloatArray = field(default_factory=lambda: np.array([1.5, 1.0, 0.8, 0.7, 0.3, 0.9]))
    scales: FloatArray = field(default_factory=lambda: np.array([60.0, 2.0, 1.0, 4.0, 1.0, 80.0]))
    offset: float = -1.6
    gain: float = 4.0
    n_classes: int = 2
    digest: str = "a" * 64

    @property
    def n_features(self) -> int:
        """One per weight."""
        return len(self.weights)

    def log_odds(self, values: FloatArray) -> FloatArray:
        """Log-odds of class 1."""
        waves = np.sin(values / self.scales) * (values != SENTINEL)
        return np.asarray(self.gain * (waves @ self.weights + self.offset))

    def scores(self, values: FloatArray) -> FloatArray:
        """Probabilities of both classes."""
        probability = special.expit(self.log_odds(values))
        return np.stack([1.0 - probability, probability], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        """Class 1 where its log-odds are positive."""
        return (self.log_odds(values) > 0.0).astype(np.int64)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Log-odds of the labels, and their slopes."""
        sign = np.where(labels == 1, 1.0, -1.0)
        slope = self.gain * self.weights * np.cos(values / self.scales) / self.scales * (values != SENTINEL)
        return sign * self.log_odds(values), sign[:, np.newaxis] * slope

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross entropy, and its slopes."""
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -special.expit(-margin)[:, np.newaxis] * gradient


def events(
    n_events: int, seed: int = 1, *, weighted: bool = True, negative: float = 0.0, regions: bool = True
) -> EventTable:
    """Correlated events with missing values, weights, and a control and a signal region cut in pt."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n_events, 3))
    pt = np.exp(4.0 + 0.5 * hidden[:, 0] + 0.2 * rng.normal(size=n_events))
    n_jets = rng.poisson(1.5 + 0.3 * np.abs(hidden[:, 1]))
    jet_pt = 30.0 + rng.exponential(40.0, size=n_events) * np.exp(0.3 * hidden[:, 0])
    jet_pt[n_jets == 0] = np.nan
    values = np.stack(
        [
            pt,
            np.clip(hidden[:, 1] + 0.3 * hidden[:, 0], -2.5, 2.5),
            rng.uniform(-np.pi, np.pi, size=n_events),
            n_jets,
            rng.choice([-1.0, 1.0], size=n_events),
            jet_pt,
        ],
        axis=1,
    )
    weights = rng.uniform(0.2, 2.0, size=n_events) if weighted else np.ones(n_events)
    weights[rng.uniform(size=n_events) < negative] *= -1.0
    cut = 60.0
    chosen = (
        Region("low_pt", pt < cut, "control", cuts={"pt": (-np.inf, cut)}),
        Region("high_pt", pt >= cut, "signal", cuts={"pt": (cut, np.inf)}),
    )
    labels = SineClassifier().predict(np.nan_to_num(values, nan=SENTINEL))
    labels = np.where(rng.uniform(size=n_events) < 0.1, 1 - labels, labels)
    return EventTable.from_arrays(
        values,
        features=FEATURES,
        labels=labels,
        weights=weights,
        regions=chosen if regions else (),
        sentinel=SENTINEL,
    )
