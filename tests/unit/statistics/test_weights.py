# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import re
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.attacks._result import FoolingCounts, warn_of_ratio
from hepfool.events import EventTable, Region
from hepfool.exceptions import DominantEventWarning, LowStatisticsWarning
from hepfool.statistics import Binning, CheckSettings, CorrelationCheck, auroc_with_error, compare, run_checks
from hepfool.statistics._bins import merge_negative
from hepfool.statistics._dependence import Moments
from hepfool.statistics._toys import Toys, correlation_power
from hepfool.statistics._weights import check_sums, check_weights, effective_number, unusable_sums
from hepfool.validation import Validation
from tests.specimens import SineClassifier, events

ATTACK = CONSERVAttack(n_iterations=2, n_bins=20, max_js_distance=0.05, max_correlation_shift=0.05)


def _weighted(weights: Any, n_events: int = 400) -> EventTable:
    return replace(events(n_events, regions=False), weights=np.asarray(weights, dtype=np.float64))


def _reason(table: EventTable, attacked: Any = None) -> str | None:
    chosen = np.ones(table.n_events, dtype=np.bool_) if attacked is None else attacked
    return unusable_sums(table, Binning.uniform(table, n_bins=20), chosen)


@pytest.mark.parametrize(
    ("contents", "groups"),
    [
        ([1.0, 2.0, 3.0, 0.0], [0, 1, 2, 3]),
        ([1.0, 2.0, 3.0, -1.0], [0, 1, 2, 2]),
        ([1.0, 2.0, 3.0, -4.0], [0, 1, 1, 1]),
        ([-1.0, 2.0, 3.0, 4.0], [0, 0, 2, 3]),
        ([-1.0, -2.0, -3.0, 9.0], [0, 0, 0, 0]),
    ],
)
def test_negative_bins_join_a_neighbour_and_that_of_missing_values_the_last(
    contents: list[float], groups: list[int]
) -> None:
    assert merge_negative(np.array([contents])).tolist() == groups


def test_a_negative_bin_of_missing_values_does_not_lose_the_attack() -> None:
    table = events(600, regions=False)
    missing = table.missing.any(axis=1)
    table = replace(table, weights=np.where(missing, -0.05, 1.0))
    result = run_attack(ATTACK, SineClassifier(), table, rng=np.random.default_rng(1))
    assert result.fooled.any()
    assert result.compatibility.n_merged_bins >= 1
    assert result.compatibility.max_js_distance <= 0.05
    assert result.compatibility.correlation_shift <= 0.05


def test_a_region_of_negative_weight_is_announced_and_given_as_nan(rng: np.random.Generator) -> None:
    table = events(600)
    pt = table.column("pt")
    table = replace(table, weights=np.where(pt < 30.0, -1.0, 1.0), regions=())
    table = replace(
        table, regions=(Region("low", pt < 30.0, "control"), Region("all_pt", np.ones(600, dtype=np.bool_), "control"))
    )
    with pytest.warns(LowStatisticsWarning, match=r"events of region 'low' sum to -\d+: no distance exists"):
        check_weights(table)
    found = compare(table, table, Binning.uniform(table, n_bins=10), events=table.regions[0].mask, region="low")
    assert np.isnan(found.max_js_distance)
    assert np.isnan(found.correlation_shift)
    comparisons = Validation(score=None).comparisons(table, table)
    checked = run_checks(comparisons, CheckSettings(n_data=100.0, checks=("chi2",)), rng=rng)
    assert {row.region for row in checked.rows} == {"all_pt"}


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (np.zeros(400), "constrained events do not sum to a positive number"),
        (-np.ones(400), "constrained events do not sum to a positive number"),
        (np.where(np.arange(400) == 0, 1e-7, np.resize([1.0, -1.0], 400)), "constrained events "),
        (np.full(400, 1e-300), "squares of the weights leave the range"),
        (np.full(400, 1e200), "squares of the weights leave the range"),
        (np.where(np.arange(400) == 7, 1e18, 1.0), "one constrained event outweighs all others"),
    ],
)
def test_weights_without_a_usable_sum_have_a_reason(weights: np.ndarray, reason: str) -> None:
    table = _weighted(weights)
    found = _reason(table)
    assert found is not None
    assert reason in found
    with pytest.raises(ValueError, match="400 constrained events with a net weight of"):
        check_sums(table, Binning.uniform(table, n_bins=20), np.ones(400, dtype=np.bool_))


def test_a_variance_that_negative_weights_take_away_has_a_reason() -> None:
    values = np.concatenate([np.zeros(60), np.ones(40), [9.0, -9.0]])[:, np.newaxis]
    weights = np.concatenate([np.ones(100), [-0.4, -0.4]])
    table = EventTable.from_arrays(values, weights=weights, labels=np.arange(102) % 2)
    found = unusable_sums(table, Binning(np.array([[-10.0, 0.5, 10.0]])), np.ones(102, dtype=np.bool_))
    assert found == "the weighted variance of 'x0' is not positive"


def test_a_marginal_that_merging_leaves_with_one_bin_has_a_reason() -> None:
    values = np.concatenate([np.zeros(50), np.ones(30)])[:, np.newaxis]
    table = EventTable.from_arrays(values, weights=np.where(values[:, 0] > 0, -0.5, 1.0), labels=np.arange(80) % 2)
    found = unusable_sums(table, Binning(np.array([[0.0, 0.5, 1.0]])), np.ones(80, dtype=np.bool_))
    assert found == "a single bin of 'x0' is left once those of negative content are merged"


def test_sound_weights_have_no_reason_and_no_warning() -> None:
    table = events(400, negative=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_weights(table)
        check_weights(_weighted(np.random.default_rng(1).exponential(size=400) ** 2))
    assert _reason(table) is None


def test_weights_whose_squares_overflow_name_the_event() -> None:
    with pytest.raises(ValueError, match=r"largest event weight is 1e\+200 \(event 5\)"):
        check_weights(_weighted(np.where(np.arange(400) == 5, 1e200, 1.0)))


@pytest.mark.parametrize("weight", [1e3, 1e18])
def test_one_event_that_decides_alone_is_named_with_its_share(weight: float) -> None:
    table = _weighted(np.where(np.arange(400) == 7, weight, 1.0))
    share = weight / (weight + 399.0)
    with pytest.warns(
        DominantEventWarning, match=re.escape(f"event 7 has the weight {weight:g} and with it {share:.1%}")
    ):
        check_weights(table)


def test_the_caps_hold_beside_an_event_of_large_weight() -> None:
    table = _weighted(np.where(np.arange(400) == 7, 2e3, 1.0))
    with pytest.warns(DominantEventWarning):
        result = run_attack(ATTACK, SineClassifier(), table, rng=np.random.default_rng(1))
    assert result.compatibility.correlation_shift <= 0.05
    assert result.compatibility.max_js_distance <= 0.05


def test_a_constant_has_no_correlation_despite_rounding() -> None:
    rng = np.random.default_rng(2)
    values = np.stack([np.full(50, 0.1), rng.normal(size=50), rng.normal(size=50)], axis=1)
    moments = Moments.of(values, rng.normal(0.3, 1.0, size=50))
    assert moments.variances[0] == 0.0
    np.testing.assert_array_equal(moments.correlation[0], [1.0, 0.0, 0.0])


def test_the_effective_number_of_tiny_and_of_zero_weights_is_finite() -> None:
    assert effective_number(np.full(9, 1e-300)) == pytest.approx(9.0)
    assert effective_number(np.full(9, 1e200)) == pytest.approx(9.0)
    assert effective_number(np.zeros(9)) == 0.0


def test_a_fooling_ratio_outside_of_zero_to_one_is_warned_of() -> None:
    counts = FoolingCounts(n_events=4, n_attacked=4, n_fooled=1, weight_attacked=1.0, weight_fooled=-1.0)
    with pytest.warns(LowStatisticsWarning, match="ratio -1 is no fraction.*1 of 4 events were fooled"):
        warn_of_ratio(counts)


def test_roc_areas_of_tiny_and_huge_weights_are_those_of_ordinary_ones(rng: np.random.Generator) -> None:
    labels, scores = np.arange(100) % 2, rng.normal(size=100)
    weights = rng.uniform(0.5, 2.0, size=100)
    expected = auroc_with_error(labels, scores, weights)
    for scale in (1e-300, 1e300):
        assert auroc_with_error(labels, scores, scale * weights) == pytest.approx(expected)
    with pytest.raises(ValueError, match="all weights of class 1 are zero"):
        auroc_with_error(labels, scores, 1.0 - labels)


def test_correlations_of_toys_without_events_are_accepted(rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 2))
    few = Toys(n_data=0.05, n_simulated=10.0, n_toys=20)
    assert 0.0 <= correlation_power(values, 2.0 * values, np.ones(40), few, rng=rng).value <= 1.0
    assert correlation_power(values, values, -np.ones(40), few, rng=rng).value == few.level


def test_a_cap_at_a_power_that_signed_weights_do_not_allow_is_refused(rng: np.random.Generator) -> None:
    values = rng.normal(size=(40, 2))
    values[0] = 30.0
    weights = np.where(np.arange(40) == 0, -1.0, 1.0)
    with pytest.raises(ValueError, match="no cap on correlations follows from weights without"):
        CorrelationCheck.of(EventTable.from_arrays(values, weights=weights), n_data=100.0)
