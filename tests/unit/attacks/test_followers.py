# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.attacks._search.accounts import correlation_changes
from hepfool.attacks._search.columns import total_slope
from hepfool.events import EventTable, Region
from hepfool.exceptions import ConstraintError
from hepfool.features import Derived, Feature, FeatureSpace
from hepfool.statistics import Binning
from hepfool.statistics._dataset_state import FILL, MEAN, new_state
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


def product(x: FloatArray, y: FloatArray) -> FloatArray:
    return x * y


SPACE = FeatureSpace(
    [
        Feature(name="x", lower=-4.0, upper=4.0),
        Feature(name="xy", derived=Derived(["x", "y"], product)),
        Feature(name="y", lower=-4.0, upper=4.0),
        Feature(name="phi", kind="angle"),
        Feature(name="yz", derived=Derived(["y", "z"], product)),
        Feature(name="z", lower=0.0),
    ]
)
CLASSIFIER = SineClassifier(scales=np.array([1.0, 2.0, 1.0, 1.0, 2.0, 1.0]), offset=-0.6)


def table(n_events: int, seed: int = 1, *, regions: bool = False) -> EventTable:
    rng = np.random.default_rng(seed)
    x, y, phi = (
        rng.normal(size=n_events).clip(-4, 4),
        rng.normal(size=n_events).clip(-4, 4),
        rng.uniform(-3, 3, n_events),
    )
    z = rng.exponential(size=n_events)
    z[rng.uniform(size=n_events) < 0.2] = np.nan
    values = np.stack([x, x * y, y, phi, y * z, z], axis=1)
    labels = CLASSIFIER.predict(np.nan_to_num(values, nan=-999.0))
    chosen = (
        Region("low", x < 0.5, cuts={"x": (-np.inf, 0.5)}),
        Region("high", x >= 0.5, "signal", {"x": (0.5, np.inf)}),
    )
    return EventTable.from_arrays(
        values,
        features=SPACE,
        labels=labels,
        regions=chosen if regions else (),
        sentinel=-999.0,
        weights=rng.uniform(0.5, 2, n_events),
    )


def attack(events: EventTable, **settings: Any) -> AttackResult:
    configuration = CONSERVAttack(**{"n_iterations": 3, "n_bins": 25, "n_candidates": 20, "beta": 10.0, **settings})
    return run_attack(configuration, CLASSIFIER, events, rng=np.random.default_rng(1))


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("caps", [{}, {"max_js_distance": 0.03, "max_correlation_shift": 0.02}])
@pytest.mark.parametrize("way", [{}, {"optimize_already_fooled": True}, {"strategy": "frugal", "n_candidates": None}])
def test_derived_features_follow_and_caps_count_them(
    regions: bool, caps: dict[str, float], way: dict[str, Any]
) -> None:
    result = attack(table(600, regions=regions), **caps, **way)
    after = result.adversarial.values
    assert result.fooling_ratio > 0.05
    for j in SPACE.derived:
        np.testing.assert_allclose(after[:, j], SPACE.derive(after, j), atol=1e-12)
    assert (after[:, 1] != result.nominal.values[:, 1]).sum() > 20
    assert np.array_equal(np.isnan(after), result.nominal.missing)
    assert result.compatibility.max_js_distance <= caps.get("max_js_distance", 1.0)
    assert result.compatibility.correlation_shift <= caps.get("max_correlation_shift", 10.0)
    inside = result.nominal.constrained
    for j in range(6):
        before = result.nominal.values[inside, j]
        moved = after[inside, j][(after[inside, j] != before) & ~np.isnan(before)]
        if j != 3:
            assert (moved >= np.nanmin(before)).all()
            assert (moved <= np.nanmax(before)).all()


def test_joint_move_changes_the_correlations_as_measured_again(rng: np.random.Generator) -> None:
    events = table(200)
    binning = Binning.uniform(events, n_bins=20)
    state = new_state(events, events.values, events.constrained, binning)
    columns, i = np.array([2, 1, 4]), int(np.argmax(~events.missing[:, 5]))
    fill, nominal = state.vectors[FILL], state.vectors[MEAN]
    deviation = events.values[i] - nominal
    after = events.values.copy()
    after[i, columns] += rng.normal(size=3)
    counted = np.ones(6, dtype=np.bool_)
    apart, changed = correlation_changes(
        state, columns, counted, events.values[i], after[i, columns], events.weights[i], deviation
    )

    def pearson(values: FloatArray) -> FloatArray:
        covariance = np.cov(np.where(np.isnan(values), fill, values), rowvar=False, aweights=events.weights)
        sigma = np.sqrt(np.diag(covariance))
        return np.asarray(covariance / np.outer(sigma, sigma))

    difference = pearson(after) - pearson(events.values)
    assert apart == pytest.approx((difference**2).sum(), abs=1e-10)
    assert changed == pytest.approx((difference**2).sum(), abs=1e-10)


def test_total_slope_is_the_change_of_the_margin_along_a_consistent_move() -> None:
    events = table(300)
    values = events.values
    labels = np.zeros(300, dtype=np.int64)

    def margin(x: FloatArray) -> FloatArray:
        return CLASSIFIER.margin_and_gradient(np.nan_to_num(x, nan=-999.0), labels)[0]

    partial = CLASSIFIER.margin_and_gradient(np.nan_to_num(values, nan=-999.0), labels)[1]
    total = total_slope(SPACE, values, partial, np.full(6, 8.0))
    for j in (0, 2):
        steps = []
        for sign in (1.0, -1.0):
            moved = values.copy()
            moved[:, j] += sign * 1e-5
            for d in SPACE.derived:
                moved[:, d] = SPACE.derive(moved, d)
            steps.append(margin(moved))
        np.testing.assert_allclose(total[:, j], (steps[0] - steps[1]) / 2e-5, rtol=1e-4, atol=1e-5)
    assert not total[:, list(SPACE.derived)].any()


def test_nominal_values_must_be_those_of_the_function() -> None:
    events = table(50)
    wrong = events.values.copy()
    wrong[7, 1] += 0.1
    labels = events.labels
    broken = EventTable.from_arrays(wrong, features=SPACE, labels=labels, sentinel=-999.0)
    with pytest.raises(ValueError, match=r"nominal 'xy' of event 7 is .* \(1 such events\)"):
        attack(broken)


def test_an_attack_that_forgets_them_is_found_out() -> None:
    class Careless:
        n_iterations, n_bins = 1, 10

        def iterate(self, problem: Any, values: FloatArray, iteration: int, rng: np.random.Generator) -> FloatArray:
            moved = values.copy()
            moved[:, 0] = problem.bounds.clip(moved * 0.5)[:, 0]
            return moved

    with pytest.raises(ConstraintError, match="adversarial 'xy'"):
        run_attack(Careless(), CLASSIFIER, table(50), rng=np.random.default_rng(1))


def test_distance_correlations_are_refused_beside_derived_features() -> None:
    with pytest.raises(ValueError, match="every input must move by itself"):
        attack(table(50), dependence="distance")


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([Feature(name="a", derived=Derived(["b"], np.negative))], "derived from b, which is absent"),
        (
            [
                "b",
                Feature(name="a", derived=Derived(["b"], np.negative)),
                Feature(name="c", derived=Derived(["a"], np.negative)),
            ],
            "derived from a",
        ),
    ],
)
def test_functions_of_unknown_or_derived_features_are_refused(features: list[Feature | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FeatureSpace(features)


@pytest.mark.parametrize("n_events", [3, 200])
@pytest.mark.parametrize("as_formula", [True, False])
def test_candidates_of_an_input_are_derived_as_one_by_one(n_events: int, as_formula: bool) -> None:
    def function(first: Any, second: Any) -> Any:
        return np.sqrt(first * first + 2.0 * np.cosh(second))

    derived = (
        Derived.by("sqrt(first * first + 2 * cosh(second))") if as_formula else Derived(("first", "second"), function)
    )
    space = FeatureSpace(["first", "second", Feature(name="both", derived=derived)])
    rng = np.random.default_rng(1)
    values, candidates = rng.normal(size=(n_events, 3)), rng.normal(size=(n_events, 7))
    candidates[0, 3:] = np.nan
    found = space.following(2, 1)(values, candidates)
    for k in range(7):
        values[:, 1] = candidates[:, k]
        np.testing.assert_array_equal(found[:, k], space.derive(values, 2))
