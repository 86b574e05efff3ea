# SPDX-License-Identifier: BSD-3-Clause
"""A problem that no price was tuned on, with as many independent events as are asked for."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np

from hepfool.events import EventTable
from hepfool.models import Standardise, TorchClassifier, mlp
from hepfool.training import TrainingSettings, fit

N_HIDDEN, N_FEATURES, N_TRAINING = 8, 30, 12_000


def _events(n_events: int, *, seed: int) -> EventTable:
    """Momenta, plain and bounded quantities of a few hidden ones, in which two classes differ."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(30)
    mixing, direction = fixed.normal(size=(N_HIDDEN, N_FEATURES)), fixed.normal(size=N_HIDDEN)
    labels = (rng.uniform(size=n_events) < 0.45).astype(np.int64)
    hidden = rng.normal(size=(n_events, N_HIDDEN)) + 0.9 * np.where(labels[:, np.newaxis], direction, 0.0)
    hidden[:, 0] += 0.5 * labels * hidden[:, 1] * hidden[:, 2]
    plain = hidden @ mixing / np.sqrt(N_HIDDEN) + 0.5 * rng.normal(size=(n_events, N_FEATURES))
    momenta, bounded = np.exp(0.7 * plain[:, :10]), np.tanh(plain[:, 20:])
    return EventTable.from_arrays(np.hstack([momenta, plain[:, 10:20], bounded]), labels=labels)


@lru_cache(maxsize=1)
def _classifier() -> TorchClassifier:
    train, validation = (_events(n, seed=seed) for n, seed in ((N_TRAINING, 1), (N_TRAINING // 4, 2)))
    network = partial(mlp, N_FEATURES, (64, 32), preprocessing=Standardise.of(train))
    return fit(network, train, validation, seed=1, settings=TrainingSettings(max_epochs=6)).classifier


def synthetic(n_events: int) -> tuple[EventTable, TorchClassifier]:
    """Correctly classified events, as in the reference inputs, and the network."""
    table, classifier = _events(2 * n_events, seed=3), _classifier()
    right = classifier.predict(table.network_values) == table.labels
    return table.select(np.flatnonzero(right)[:n_events]), classifier
