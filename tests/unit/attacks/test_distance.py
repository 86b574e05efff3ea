# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.events import EventTable
from hepfool.statistics import distance_correlation_shift
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


def attack(table: EventTable, **settings: Any) -> AttackResult:
    options: dict[str, Any] = {"n_iterations": 2, "n_bins": 20, "min_change": 0.02}
    if settings.get("strategy") != "frugal":
        options["step"] = 0.05
    configuration = CONSERVAttack(dependence="distance", **options | settings)
    return run_attack(configuration, SineClassifier(), table, rng=np.random.default_rng(1))


def shift(result: AttackResult) -> float:
    return distance_correlation_shift(result.nominal, result.adversarial)


@pytest.mark.parametrize("cap", [0.01, 0.05])
@pytest.mark.parametrize("regions", [False, True])
def test_cap_on_the_total_shift_holds_on_the_returned_events(cap: float, regions: bool) -> None:
    result = attack(events(250, regions=regions), max_correlation_shift=cap, max_js_distance=0.1)
    assert result.fooling_ratio > 0.0
    assert 0.0 < shift(result) <= cap
    assert result.compatibility.max_js_distance <= 0.1


def test_cap_on_one_move_limits_their_sum() -> None:
    table = events(200, regions=False)
    result = attack(table, max_correlation_change=1e-4)
    n_moves = 2 * ((result.adversarial.values != table.values) & ~table.missing).sum()
    assert 0.0 < shift(result) <= n_moves * 1e-4


def test_price_of_the_correlations_keeps_them() -> None:
    table = events(300, regions=False)
    cheap, dear = (shift(attack(table, alpha=1.0, beta=beta)) for beta in (0.01, 100.0))
    assert dear < 0.7 * cheap


@pytest.mark.parametrize("way", [{"strategy": "frugal"}, {"step": 0.05, "optimize_already_fooled": True}])
def test_caps_hold_for_either_strategy_and_for_repairs(way: dict[str, Any]) -> None:
    result = attack(events(250), max_correlation_shift=0.03, max_js_distance=0.1, **way)
    assert result.fooling_ratio > 0.1
    assert 0.0 < shift(result) <= 0.03
    assert result.compatibility.max_js_distance <= 0.1


def test_negative_weights_are_refused_before_anything_moves() -> None:
    with pytest.raises(ValueError, match="events of negative weight"):
        attack(events(200, negative=0.1))
