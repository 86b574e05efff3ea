# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special

from hepfool.attacks import PGD, Attack, AttackResult, MiniFool, run_attack, scan_strength
from hepfool.attacks._minifool import StrengthScan
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import GradientsUnavailableError
from hepfool.features import Derived, Feature
from hepfool.models import CallableClassifier
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
SIGMA = (6.0, 0.1, 0.2, 1.0, 1.0, 8.0)


def attacked(attack: Attack, table: EventTable, **options: Any) -> AttackResult:
    return run_attack(attack, SineClassifier(), table, rng=np.random.default_rng(1), **options)


def cost(attack: MiniFool, table: EventTable, values: FloatArray) -> FloatArray:
    """The published formula for continuous features alone."""
    classifier = SineClassifier()
    margin, _ = classifier.margin_and_gradient(values, classifier.predict(table.values))
    width = attack.strength * np.asarray(attack.sigma)
    chi2 = (((values - table.values) / width) ** 2).sum(axis=1) / table.n_features
    return np.asarray(attack.alpha * chi2 + attack.beta * (special.expit(-margin) - attack.goal) ** 2)


def lowest_cost(attack: MiniFool, table: EventTable, event: int) -> float:
    """Of a bounded quasi-Newton search from several starts."""
    classifier, start = SineClassifier(), table.values[event]
    label = classifier.predict(table.values[event : event + 1])
    width = attack.strength * np.asarray(attack.sigma)

    def objective(pull: FloatArray) -> tuple[float, FloatArray]:
        margin, slope = classifier.margin_and_gradient((start + pull * width)[np.newaxis], label)
        score = special.expit(-margin[0])
        value = attack.alpha * (pull**2).mean() + attack.beta * (score - attack.goal) ** 2
        rise = -score * (1 - score) * slope[0] * width
        return value, 2 * attack.alpha * pull / len(pull) + 2 * attack.beta * (score - attack.goal) * rise

    low, high = ((limit - start) / width for limit in (table.values.min(axis=0), table.values.max(axis=0)))
    _, slope = classifier.margin_and_gradient(start[np.newaxis], label)
    way = -slope[0] * width / np.linalg.norm(slope[0] * width)
    starts = [np.clip(length * way, low, high) for length in (0.0, 0.5, 1.5, 3.0)]
    bounds = list(zip(low, high, strict=True))
    return min(optimize.minimize(objective, s, jac=True, bounds=bounds, method="L-BFGS-B").fun for s in starts)


@pytest.fixture
def continuous(rng: np.random.Generator) -> EventTable:
    values = rng.normal(size=(300, 6)) * np.array([60.0, 2.0, 1.0, 4.0, 1.0, 80.0])
    return EventTable.from_arrays(values, labels=SineClassifier().predict(values))


@pytest.mark.parametrize("options", [{}, {"strength": 5.0}, {"strength": 5.0, "goal": 0.6}, {"alpha": 0.05}])
def test_the_published_cost_is_minimised(continuous: EventTable, options: dict[str, float]) -> None:
    attack = MiniFool(sigma=SIGMA, unit="absolute", **options)  # type: ignore[arg-type]
    found = cost(attack, continuous, attacked(attack, continuous).adversarial.values)
    assert (found <= cost(attack, continuous, continuous.values) + 1e-9).all()
    gaps = np.array([found[event] - lowest_cost(attack, continuous, event) for event in range(60)])
    # Waves have many minima; neither search finds the lowest always.
    assert np.median(gaps) < 1e-4
    assert gaps.mean() < 0.02
    assert (gaps < 0.02).mean() > 0.85


def test_no_event_pays_more_than_a_flip_is_worth(continuous: EventTable) -> None:
    attack = MiniFool(sigma=SIGMA, unit="absolute", strength=3.0, alpha=0.5)
    result = attacked(attack, continuous)
    pulls = (result.adversarial.values - continuous.values) / SIGMA
    length = np.sqrt((pulls**2).mean(axis=1))
    assert 0.2 < result.fooling_ratio < 1.0
    assert length.max() <= 3.0 / np.sqrt(0.5)
    assert length[result.fooled].min() > 0.0


def test_features_at_their_bound_leave_the_way_to_others() -> None:
    """The steepest feature cannot move, so the other has to go all the way."""
    classifier = SineClassifier(weights=np.array([300.0, 100.0]), scales=np.array([1000.0, 1000.0]), offset=0.0)
    values = np.array([[0.0, -1.0], [0.0, -0.5], [-2.0, 2.0], [0.0, 3.0]])
    table = EventTable.from_arrays(values, labels=np.zeros(4, dtype=int))
    attack = MiniFool(sigma=1.0, unit="absolute", strength=10.0)
    result = run_attack(attack, classifier, table, rng=np.random.default_rng(1), target=np.arange(4) < 2)
    assert result.fooled.tolist() == [True, True, False, False]
    assert (result.adversarial.values[:2, 0] == 0.0).all()


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.NetworkWarning")
def test_labels_do_not_matter() -> None:
    table = events(300)
    flipped = replace(table, labels=1 - table.labels)
    attack = MiniFool(sigma=0.05)
    first, second = (attacked(attack, t, target="all").adversarial.values for t in (table, flipped))
    assert np.array_equal(first, second, equal_nan=True)


def test_a_flip_is_cheaper_than_that_of_equal_steps() -> None:
    table = events(400, regions=False)
    mini = attacked(MiniFool(sigma=SIGMA, unit="absolute", strength=2.0), table)
    pgd = attacked(PGD(step=tuple(0.2 * s for s in SIGMA), unit="absolute"), table)
    both = mini.fooled & pgd.fooled

    def length(result: AttackResult) -> FloatArray:
        moved = np.nan_to_num(result.adversarial.values - table.values)[both][:, [0, 1, 5]]
        return np.asarray(np.sqrt(((moved / np.array(SIGMA)[[0, 1, 5]]) ** 2).mean(axis=1)))

    assert both.sum() > 30
    assert np.median(length(mini)) < 0.8 * np.median(length(pgd))


def test_a_near_goal_stops_just_beyond_the_boundary() -> None:
    table = events(400, regions=False)
    near, far = (attacked(MiniFool(sigma=0.1, strength=3.0, goal=goal), table) for goal in (0.55, 1.0))
    both = near.fooled & far.fooled
    certainty = [np.abs(result.adversarial_scores[both, 1] - 0.5) for result in (near, far)]
    assert both.sum() > 30
    assert np.median(certainty[0]) < 0.1 < np.median(certainty[1])


def test_features_without_uncertainty_stay() -> None:
    table = events(300)
    result = attacked(MiniFool(sigma=(0.1, 0.0, 0.1, 0.1, 0.1, 0.1), strength=3.0), table)
    moved = (result.adversarial.values != table.values) & ~table.missing
    assert moved[:, 0].any()
    assert not moved[:, 1].any()


def test_half_the_width_of_the_envelope_is_a_unit() -> None:
    table = events(300, regions=False)
    sigma = np.array([*SIGMA[:4], np.inf, SIGMA[5]])
    envelope = Envelope.absolute(table, sigma, n_sigma=4.0)
    absolute = attacked(MiniFool(sigma=SIGMA, unit="absolute", strength=2.0), table, envelope=envelope)
    assert absolute.fooling_ratio > 0.05
    with pytest.raises(ValueError, match="needs one; pass envelope="):
        attacked(MiniFool(sigma=0.25, unit="envelope"), table)
    unbounded = Envelope.absolute(table, [np.inf, 0.1, 0.2, 1.0, np.inf, 8.0])
    with pytest.raises(ValueError, match="does not bound 'pt'"):
        attacked(MiniFool(sigma=0.25, unit="envelope"), table, envelope=unbounded)
    in_envelope = attacked(MiniFool(sigma=0.5, unit="envelope"), table, envelope=envelope)
    np.testing.assert_allclose(in_envelope.adversarial.values, absolute.adversarial.values, rtol=1e-6)


def test_derived_features_follow(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 300))
    features = [Feature(name="x"), Feature(name="y"), Feature(name="xy", derived=Derived(["x", "y"], np.multiply))]
    table = EventTable.from_arrays(np.stack([x, y, x * y], axis=1), features=features)
    classifier = SineClassifier(weights=np.ones(3), scales=np.ones(3), offset=0.0)
    result = run_attack(MiniFool(sigma=0.1), classifier, table, rng=rng, target="all")
    after = result.adversarial.values
    assert (after[:, 2] != table.values[:, 2]).sum() > 50
    np.testing.assert_allclose(after[:, 2], after[:, 0] * after[:, 1])


@pytest.fixture(scope="module")
def scan() -> tuple[EventTable, StrengthScan]:
    table = events(300)
    attack = MiniFool(sigma=SIGMA, unit="absolute")
    return table, scan_strength(attack, SineClassifier(), table, [0.3, 1.0, 3.0, 10.0], target="all")


def test_more_events_flip_at_larger_strengths(scan: tuple[EventTable, StrengthScan]) -> None:
    table, found = scan
    assert found.n_attacked == table.n_events
    assert found.fooling_ratios[0] < 0.1
    assert found.fooling_ratios[-1] > 0.6
    assert (np.diff(found.fooling_ratios) > 0.0).all()
    assert (np.diff(found.max_js_distances) > 0.0).all()
    assert (found.errors[found.fooling_ratios > 0] > 0.005).all()
    assert found.errors.max() < 0.05


def test_every_point_of_a_scan_is_that_of_the_attack_alone(scan: tuple[EventTable, StrengthScan]) -> None:
    table, found = scan
    alone = attacked(replace(found.attack, strength=3.0), table, target="all")
    assert alone.fooling_ratio == found.fooling_ratios[2]
    assert alone.fooling_ratio_error == found.errors[2]
    assert alone.compatibility.correlation_shift == found.correlation_shifts[2]
    assert (found.flip_strengths[alone.fooled] <= 3.0).all()


def test_flip_strengths_are_those_of_the_scan(scan: tuple[EventTable, StrengthScan]) -> None:
    _, found = scan
    assert set(found.flip_strengths[np.isfinite(found.flip_strengths)]) <= set(found.strengths)
    assert 0.0 < np.isinf(found.flip_strengths).mean() < 0.5
    seen: list[tuple[str, float]] = []
    part = scan_strength(found.attack, SineClassifier(), events(300), [1.0], progress=lambda *told: seen.append(told))
    assert seen == [(f"strength 1: fooled {part.fooling_ratios[0]:.1%}", 1.0)]
    assert np.isnan(part.flip_strengths).sum() == 300 - part.n_attacked > 0


@pytest.mark.parametrize("strengths", [[], [0.0, 1.0], [2.0, 1.0], [1.0, np.inf], [1.0, 1.0]])
def test_strengths_grow(strengths: list[float]) -> None:
    with pytest.raises(ValueError, match="strengths must be positive, finite and growing"):
        scan_strength(MiniFool(sigma=0.1), SineClassifier(), events(100), strengths)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": -0.1}, "sigma must not be negative"),
        ({"strength": 0.0}, "strength must be positive"),
        ({"alpha": np.inf}, "alpha must be positive and finite"),
        ({"beta": -1.0}, "beta must be positive"),
        ({"goal": 0.5}, "goal must lie above 0.5"),
        ({"goal": 1.1}, "goal must lie above 0.5"),
        ({"n_steps": 0}, "n_steps must be at least 1"),
        ({"unit": "sigma"}, "unit must be one of range, absolute, relative, envelope"),
    ],
)
def test_impossible_hyper_parameters_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MiniFool(**{"sigma": 0.1, **options})


def test_scores_alone_are_not_enough() -> None:
    classifier = CallableClassifier(SineClassifier().scores, n_features=6)
    with pytest.raises(GradientsUnavailableError, match="gives no gradients, which MiniFool follows"):
        run_attack(MiniFool(sigma=0.1), classifier, events(100), rng=np.random.default_rng(1))
