# SPDX-License-Identifier: BSD-3-Clause
"""A region or process whose weights cancel is left out and named; the attack goes on for the others."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hepfool._parts import Separately
from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.events import EventTable, Region
from hepfool.validation import Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
BINS: dict[str, Any] = {"max_js_distance": 0.1, "n_bins": 10, "n_quantiles": 5}


def table(*negative: str) -> EventTable:
    """Three control regions; the weights of some of them sum to less than nothing."""
    nominal = events(400)
    eta = nominal.values[:, 1]
    masks = {"left": eta < -0.5, "middle": (eta >= -0.5) & (eta < 0.5), "right": eta >= 0.5}
    weights = nominal.weights.copy()
    for name in negative:
        weights[masks[name] & (np.arange(len(eta)) % 4 > 0)] *= -1.0
    cuts = {"left": (-np.inf, -0.5), "middle": (-0.5, 0.5), "right": (0.5, np.inf)}
    regions = tuple(Region(name, mask, cuts={"eta": cuts[name]}) for name, mask in masks.items())
    return replace(nominal, weights=weights, regions=regions)


def attacked(
    nominal: EventTable, separately: Separately = "regions", strategy: Any = "frugal", **options: Any
) -> AttackResult:
    validation = Validation(inputs=Marginals(**BINS), score=Marginals(**BINS), separately=separately)
    attack = CONSERVAttack(strategy=strategy, validation=validation, n_iterations=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_attack(attack, SineClassifier(), nominal, rng=1, **options)


@pytest.mark.parametrize("names", [("left",), ("left", "middle")])
def test_a_region_of_negative_weight_is_left_as_it_is(names: tuple[str, ...]) -> None:
    nominal = table(*names)
    result = attacked(nominal)
    moved = ((result.adversarial.values != nominal.values) & ~nominal.missing).any(axis=1)
    assert tuple(part.name for part in result.not_attacked) == names
    for part in result.not_attacked:
        mask = nominal.region(part.name).mask
        assert (part.n_events, part.weight) == (mask.sum(), nominal.weights[mask].sum())
        assert part.weight <= 0.0
        assert not (result.attacked | moved)[mask].any()
    assert moved.sum() > 20
    assert result.fooled.any()
    assert {figure.part for figure in result.validated.figures} == {"left", "middle", "right"} - set(names)
    assert result.validated.kept


def test_a_process_of_negative_weight_is_left_out_and_its_partner_is_not() -> None:
    nominal = table()
    weights = np.where((nominal.labels == 1) & nominal.region("left").mask, -0.1, nominal.weights)
    result = attacked(replace(nominal, weights=weights), separately="processes")
    assert [part.name for part in result.not_attacked] == ["left, class 1"]
    other = nominal.region("left").mask & (nominal.labels == 0)
    assert (result.attacked & other).any()


@pytest.mark.parametrize("strategy", ["frugal", "paper"])
def test_a_region_of_negative_variance_is_left_as_it_is(strategy: Any) -> None:
    nominal = table()
    left, weights = nominal.region("left").mask, nominal.weights.copy()
    pt = nominal.values[:, 0]
    weights[left & (pt > np.quantile(pt[left], 0.9))] *= -1.0
    nominal = replace(nominal, weights=weights)
    assert weights[left].sum() > 0
    result = attacked(nominal, strategy=strategy)
    assert [(part.name, part.weight > 0) for part in result.not_attacked] == [("left", True)]
    moved = ((result.adversarial.values != nominal.values) & ~nominal.missing).any(axis=1)
    assert not (result.attacked | moved)[left].any()
    assert moved.any()
    assert {f.part for f in result.validated.figures if f.comparison == "correlations"} == {"middle", "right"}
    assert result.validated.kept


def test_nobody_left_is_an_error_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CONSERVAttack, "iterate", lambda *_: pytest.fail("the attack has begun"))
    nominal = table("left", "middle", "right")
    with pytest.raises(ValueError, match=r"no event is left to attack.*left \(\d+ events of weight -.*, middle \("):
        attacked(nominal)
    with pytest.raises(ValueError, match=r"no event is left to attack"):
        attacked(table("left"), target=table().region("left").mask)


def test_where_all_sums_are_positive_nothing_is_left_out() -> None:
    assert attacked(table()).not_attacked == ()
