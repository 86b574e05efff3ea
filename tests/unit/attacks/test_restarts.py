# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepfool.attacks import PGD, AttackResult, CONSERVAttack, run_attack
from hepfool.events import Envelope, EventTable, Region
from hepfool.typing import BoolArray, FloatArray, IntArray

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


class Valley:
    """Class 1 in two strips far from nominal, of which the slope at nominal points to the further one."""

    n_classes, n_features, digest = 2, 2, "7" * 64

    @staticmethod
    def _log_odds(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        x = values[:, 0]
        slope = np.where(x > -0.5, 1.0, -8.0)
        return np.where(x > -0.5, x - 1.6, -2.1 - 8.0 * (x + 0.5)), np.stack([slope, np.zeros_like(x)], axis=1)

    def scores(self, values: FloatArray) -> FloatArray:
        score = 1.0 / (1.0 + np.exp(-self._log_odds(values)[0]))
        return np.stack([1.0 - score, score], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return (self._log_odds(values)[0] > 0.0).astype(np.int64)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        log_odds, slope = self._log_odds(values)
        sign = 2.0 * labels - 1.0
        return sign * log_odds, sign[:, np.newaxis] * slope

    loss_and_gradient = margin_and_gradient


def table(rng: np.random.Generator) -> tuple[EventTable, BoolArray]:
    """Events around 0, half of them in a control region."""
    values = rng.uniform(-0.3, 0.3, (400, 2))
    values[:4, 0] = [-2.0, 2.0, -2.0, 2.0]  # the range
    control = np.arange(400) < 200
    regions = (Region("control", control, role="control"), Region("signal", ~control, role="signal"))
    return EventTable.from_arrays(values, labels=np.zeros(400, dtype=int), regions=regions), control


def attacked(attack: CONSERVAttack | PGD, rng: np.random.Generator) -> tuple[AttackResult, BoolArray]:
    events, control = table(rng)
    free = control[:, np.newaxis]
    envelope = Envelope(
        np.where(free, -np.inf, events.values - [1.2, 0.1]),
        np.where(free, np.inf, events.values + np.array([0.8, 0.1])),
    )
    return run_attack(attack, Valley(), events, rng=7, envelope=envelope), control


def test_a_search_within_an_envelope_ends_with_restarts(rng: np.random.Generator) -> None:
    """The slope leads upwards, where the envelope ends before the class changes; it changes downwards."""
    result, control = attacked(CONSERVAttack(max_js_distance=0.02, max_correlation_shift=0.05, n_iterations=3), rng)
    signal = result.attacked & ~control
    possible = signal & (result.nominal.values[:, 0] - 1.2 < -0.77)
    assert possible.sum() > 150
    assert result.fooled[signal].sum() > 0.97 * possible.sum()
    assert result.compatibility.max_js_distance <= 0.02


def test_pgd_reaches_the_far_end_of_an_asymmetric_envelope(rng: np.random.Generator) -> None:
    events, _ = table(rng)
    events = replace(events, regions=())
    envelope = Envelope(events.values - [0.1, 0.1], events.values + np.array([1.7, 0.1]))
    for norm in ("inf", "2"):
        attack = PGD(step=0.2, epsilon=1.0, unit="envelope", n_iterations=20, norm=norm)
        moved = (
            run_attack(attack, Valley(), events, rng=1, envelope=envelope, target=0).adversarial.values - events.values
        )
        room = np.minimum(events.values[:, 0] + 1.7, 2.0) - events.values[:, 0]
        chosen = (room == 1.7) & (np.abs(events.values[:, 0]) < 1.0)
        assert chosen.sum() > 100
        assert np.allclose(moved[chosen, 0], 1.7, atol=1e-3)
