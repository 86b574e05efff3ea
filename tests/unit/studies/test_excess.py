# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hepfool.attacks import AttackResult
from hepfool.models import Classifier
from hepfool.studies import Measured, attack_contributions, excess_of, excess_over_mean, total, variation_contributions
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._systematics import attack_effect
from tests.effects import run_excess, run_systematics


@pytest.fixture
def result(shifted_result: AttackResult, rng: np.random.Generator) -> AttackResult:
    """A weighted attack with variations that flip partly the same events."""
    weights = rng.uniform(0.5, 2.0, 1000)
    nominal = dataclasses.replace(
        shifted_result.nominal,
        weights=weights,
        shape_variations={
            "jes_up": shifted_result.nominal.values + np.array([0.06, 0.0]),
            "jes_down": shifted_result.nominal.values - np.array([0.02, 0.0]),
            "tes_down": shifted_result.nominal.values - np.array([0.05, 0.0]),
        },
        weight_variations={"pileup_up": weights * rng.uniform(0.9, 1.3, 1000)},
    )
    return dataclasses.replace(shifted_result, nominal=nominal)


def bootstrap(result: AttackResult, classifier: Classifier, **options: object) -> dict[str, np.ndarray]:
    """Spread of both differences over resampled events."""
    rng = np.random.default_rng(5)
    found: dict[str, list[float]] = {"flips": [], "low_met": []}
    for _ in range(400):
        events = rng.integers(0, 1000, 1000)
        nominal, adversarial = (table.select(events) for table in (result.nominal, result.adversarial))
        part = dataclasses.replace(result, nominal=nominal, adversarial=adversarial, attacked=result.attacked[events])
        excess = run_excess(part, classifier, **options)  # type: ignore[arg-type]
        found["flips"].append(excess.flips.value)
        found["low_met"].append(excess.yield_shift["low_met"].value)
    return {name: np.array(numbers) for name, numbers in found.items()}


@pytest.mark.parametrize("correlations", [None, {("jes", "tes"): 0.7}])
def test_the_error_is_that_of_a_bootstrap(
    correlations: dict[tuple[str, str], float] | None, result: AttackResult, sign_classifier: Classifier
) -> None:
    excess = run_excess(result, sign_classifier, correlations=correlations)
    replicas = bootstrap(result, sign_classifier, correlations=correlations)
    for name, number in (("flips", excess.flips), ("low_met", excess.yield_shift["low_met"])):
        assert number.error == pytest.approx(replicas[name].std(), rel=0.15), name
    # As if attack and systematics were independent, the error would be another one.
    attack = attack_effect(result, sign_classifier)
    added = total(run_systematics(sign_classifier, result.nominal, attacked=result.attacked), correlations)
    assert attack.flips is not None
    assert excess.flips.value == pytest.approx(attack.flips.value - added.flips.value)
    apart = np.hypot(attack.flips.error, added.flips.error)
    assert abs(apart - excess.flips.error) > 0.1 * excess.flips.error
    shift, size = attack.yield_shift["low_met"], added.yield_shift["low_met"]
    assert excess.yield_shift["low_met"].value == pytest.approx(abs(shift.value) - size.value)


def test_an_attack_that_a_detector_recognises_has_no_excess(result: AttackResult, sign_classifier: Classifier) -> None:
    excess = run_excess(result, sign_classifier, flagged=result.fooled)
    added = total(run_systematics(sign_classifier, result.nominal, attacked=result.attacked))
    assert excess.flips.value == pytest.approx(-added.flips.value)
    # The total takes its sources as independent, which is nearly right here.
    assert excess.flips.error == pytest.approx(added.flips.error, rel=0.05)


def test_effects_of_other_events_are_independent(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    lumi = SystematicEffect(name="lumi_up", kind="yield", flips=None, yield_shift={"low_met": Measured(0.03, 0.004)})
    excess = run_excess(shifted_result, sign_classifier, others=[lumi])
    attack = attack_effect(shifted_result, sign_classifier)
    assert attack.flips is not None
    assert (excess.flips.value, excess.flips.error) == pytest.approx((attack.flips.value, attack.flips.error))
    shift = attack.yield_shift["low_met"]
    assert excess.yield_shift["low_met"].value == pytest.approx(abs(shift.value) - 0.03)
    assert excess.yield_shift["low_met"].error == pytest.approx(np.hypot(shift.error, 0.004))


def test_nothing_to_compare_with_is_refused(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="no systematic effect"):
        run_excess(shifted_result, sign_classifier)


def test_the_excess_over_a_mean_is_that_of_a_bootstrap(rng: np.random.Generator) -> None:
    weights = rng.uniform(0.5, 2.0, 500)
    attack = weights * (rng.random(500) < 0.2)
    draws = [weights * rng.choice([-1.0, 0.0, 1.0], size=500, p=p) for p in ([0.1, 0.6, 0.3], [0.3, 0.6, 0.1])]
    draws.append(np.minimum(attack, draws[0].clip(0.0)))
    mean, excess = excess_over_mean((-attack, weights), [(draw, weights) for draw in draws])
    assert mean.value == pytest.approx(np.mean([abs(draw.sum()) / weights.sum() for draw in draws]))
    assert excess.value == pytest.approx(attack.sum() / weights.sum() - mean.value)
    replicas = []
    for _ in range(500):
        chosen = rng.integers(0, 500, 500)
        again = [(draw[chosen], weights[chosen]) for draw in draws]
        replicas.append([m.value for m in excess_over_mean((-attack[chosen], weights[chosen]), again)])
    assert [mean.error, excess.error] == pytest.approx(np.std(replicas, axis=0), rel=0.15)
    with pytest.raises(ValueError, match="nothing to compare"):
        excess_over_mean((attack, weights), [])


def test_contributions_give_the_same_excess(result: AttackResult, sign_classifier: Classifier) -> None:
    varied = variation_contributions(sign_classifier, result.nominal, attacked=result.attacked)
    assert excess_of(attack_contributions(result, sign_classifier), varied) == run_excess(result, sign_classifier)
