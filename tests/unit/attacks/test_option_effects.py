# SPDX-License-Identifier: BSD-3-Clause
"""Each hyper-parameter changes what an attack does, or is refused by name: none is ignored."""

from __future__ import annotations

import dataclasses
import pickle
from functools import cache
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import PRESETS, AttackProblem, CONSERVAttack, from_nominal, run_attack, scaled_to
from hepfool.attacks._bounds import Bounds
from hepfool.attacks._problem import bins_of
from hepfool.events import EventTable
from hepfool.features import Derived, Feature
from hepfool.models import FiniteDifference
from hepfool.typing import FloatArray
from hepfool.validation import Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")

#: One other value of every hyper-parameter.
CHANGES: dict[str, Any] = {
    "min_change": 0.2,
    "step": 0.2,
    "step_unit": "absolute",
    "n_candidates": 3,
    "candidates": "even",
    "n_iterations": 1,
    "n_bins": 7,
    "alpha": 400.0,
    "beta": 0.0,
    "max_js_distance": 0.01,
    "max_js_change": 0.02,
    "max_correlation_change": 1e-5,
    "max_correlation_shift": 0.003,
    "use_no_change": False,
    "compete": True,
    "optimize_already_fooled": True,
    "dependence": "distance",
    "strategy": "frugal",
    "direction": "loss",
    "converge": True,
    "n_ahead": 16,
    "reward": 0.1,
    "validation": Validation(score=Marginals(max_js_distance=0.1, n_bins=10, n_quantiles=5), separately="union"),
    "start": "exchange",
    "helpers": True,
}
BASE: dict[str, Any] = {"n_iterations": 3, "n_bins": 30, "beta": 20.0, "max_js_distance": 0.2, "step": 0.02}
FRUGAL = {key: value for key, value in BASE.items() if key != "step"} | {"strategy": "frugal"}
#: Settings that an option may be tried beside.
SITUATIONS: dict[str, dict[str, Any]] = {
    "paper": BASE,
    "few candidates": BASE | {"n_candidates": 8},
    "paper with a cap on one move": BASE | {"max_correlation_change": 3e-3},
    "paper, chosen ahead": BASE | {"n_ahead": 4},
    "paper, repaired": BASE | {"optimize_already_fooled": True},
    "distance": BASE | {"dependence": "distance", "step": 0.1},
    "frugal": FRUGAL,
    "frugal with a cap on one move": FRUGAL | {"max_correlation_change": 1e-3},
    "frugal from nominal": FRUGAL | {"start": "nominal"},
    "score kept": {"n_iterations": 3, "beta": 20.0, "validation": CHANGES["validation"]},
    "derived": {**FRUGAL, "strategy": "paper", "n_candidates": 8},
    "three classes": {**FRUGAL, "strategy": "paper", "n_candidates": 8},
    "frugal, three classes": FRUGAL,
}


@cache
def table(situation: str) -> EventTable:
    if "three" in situation:
        values = np.random.default_rng(2).normal(size=(150, 3))
        return EventTable.from_arrays(values, labels=Three().predict(values))
    if situation != "derived":
        return events(150, regions=False)
    rng = np.random.default_rng(2)
    values = rng.normal(size=(150, 3))
    features: list[Feature | str] = ["x", "y", Feature(name="sum", derived=Derived(["x", "y"], np.add))]
    values[:, 2] = values[:, 0] + values[:, 1]
    return EventTable.from_arrays(values, labels=(values[:, 0] > 0).astype(int), features=features)


class Smooth:
    """Answers with a wave of all columns."""

    n_classes = 2
    n_features = 3
    digest = "smooth"

    def scores(self, values: FloatArray) -> FloatArray:
        signal = 1.0 / (1.0 + np.exp(-3.0 * np.sin(values.sum(axis=1))))
        return np.stack([1.0 - signal, signal], axis=1)

    def predict(self, values: FloatArray) -> Any:
        return self.scores(values).argmax(axis=1)


class Three(Smooth):
    """Answers with a wave of one column per class."""

    n_classes = 3
    digest = "three"

    def scores(self, values: FloatArray) -> FloatArray:
        odds = np.exp(2.0 * np.sin(values))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@cache
def moved(situation: str, change: str = "") -> FloatArray:
    settings = SITUATIONS[situation] | ({change: CHANGES[change]} if change else {})
    classifier: SineClassifier | FiniteDifference = SineClassifier()
    if "three" in situation or situation == "derived":
        classifier = FiniteDifference(Three() if "three" in situation else Smooth(), step=np.full(3, 1e-3))
    attack = CONSERVAttack(**settings)
    return run_attack(attack, classifier, table(situation), rng=np.random.default_rng(1)).adversarial.values


def test_every_hyper_parameter_is_tried() -> None:
    assert CHANGES.keys() == {field.name for field in dataclasses.fields(CONSERVAttack)}
    for field in dataclasses.fields(CONSERVAttack):
        assert CHANGES[field.name] != field.default


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", CHANGES)
def test_an_option_has_an_effect_or_is_refused(name: str, situation: str) -> None:
    if SITUATIONS[situation].get(name) == CHANGES[name]:
        pytest.skip("this is the situation")
    if name == "start" and situation.startswith("frugal") and "start" not in SITUATIONS[situation]:
        pytest.skip("this is what the strategy does when start is left out")
    try:
        after = moved(situation, name)
    except ValueError as error:
        assert name in str(error)  # noqa: PT017 - either is right
        return
    assert not np.array_equal(after, moved(situation), equal_nan=True)


def test_an_exchange_moves_events_of_equal_weight_and_is_refused_where_there_are_none() -> None:
    equal = events(150, regions=False, weighted=False)
    found = [
        run_attack(
            CONSERVAttack(**FRUGAL, start=start),
            SineClassifier(),
            equal,
            rng=np.random.default_rng(1),
        ).adversarial.values
        for start in (None, "exchange", "nominal")
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[1], found[2], equal_nan=True)
    with pytest.raises(ValueError, match="start='exchange' has no effect: no two attacked events"):
        moved("frugal", "start")


def test_staying_competes_only_for_what_has_moved() -> None:
    attack = scaled_to(from_nominal(PRESETS["higgs"]), 150, published_n_events=63_000)
    nominal = table("paper")
    after = {
        (compete, n): run_attack(
            dataclasses.replace(attack, compete=compete, n_iterations=n),
            SineClassifier(),
            nominal,
            rng=np.random.default_rng(1),
        )
        for compete in (False, True)
        for n in (1, 3)
    }
    first, competing, plain = after[True, 1], after[True, 3], after[False, 3]
    assert (first.adversarial.values != nominal.values).any()
    np.testing.assert_array_equal(first.adversarial.values, after[False, 1].adversarial.values)
    assert not np.array_equal(competing.adversarial.values, plain.adversarial.values, equal_nan=True)
    assert competing.compatibility.mean_js_distance < plain.compatibility.mean_js_distance


def test_along_the_loss_all_other_classes_count() -> None:
    network, nominal = FiniteDifference(Three(), step=np.full(3, 1e-4)), table("three classes")
    problem = AttackProblem(
        table=nominal,
        classifier=network,
        attacked=np.ones(nominal.n_events, dtype=bool),
        classes=network.predict(nominal.values),
        constrained=nominal.constrained,
        bounds=Bounds.of(nominal),
        binning=bins_of(CONSERVAttack(), nominal),
        frozen=np.zeros(nominal.n_events, dtype=bool),
    )
    every, search = np.arange(nominal.n_events), CONSERVAttack()._search(problem)

    def log_odds(values: FloatArray) -> FloatArray:
        own = network.scores(values)[every, problem.classes]
        return np.asarray(np.log(own) - np.log1p(-own))

    steps = 1e-4 * np.eye(3)
    expected = [(log_odds(nominal.values + step) - log_odds(nominal.values - step)) / 2e-4 for step in steps]
    both = search.moving(nominal.values, every, along_loss=True)
    np.testing.assert_allclose(both.slope, np.transpose(expected), rtol=1e-4, atol=1e-6)
    alone = search.moving(nominal.values, every)
    np.testing.assert_array_equal(both.margin, alone.margin)
    assert not np.allclose(both.slope, alone.slope, rtol=0.1)


def test_published_attacks_are_sound() -> None:
    assert "higgs" in PRESETS
    for preset in PRESETS.values():
        assert dataclasses.replace(preset) == preset


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "frugal", "step": 0.01}, 'step=0.01 has no effect with strategy="frugal"'),
        ({"strategy": "frugal", "compete": True}, "compete=True has no effect"),
        ({"candidates": "even"}, "candidates='even' has no effect without n_candidates"),
        ({"reward": 10.0}, 'reward=10.0 has no effect with strategy="paper"'),
    ],
)
def test_the_refusal_names_option_value_and_reason(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CONSERVAttack(**settings)


def test_the_direction_is_refused_with_two_classes() -> None:
    with pytest.raises(ValueError, match="direction='loss' has no effect with two classes"):
        moved("paper", "direction")


def test_the_number_of_iterations_follows_the_strategy_unless_it_is_stated() -> None:
    paper, stated = CONSERVAttack(), CONSERVAttack(n_iterations=10)
    frugal = dataclasses.replace(paper, strategy="frugal")
    assert (paper.n_iterations, frugal.n_iterations) == (10, 100)
    assert "n_iterations=100" in repr(frugal)
    assert paper == stated
    assert dataclasses.replace(frugal, strategy="paper") == paper
    assert pickle.loads(pickle.dumps(paper)) == paper
    assert dataclasses.replace(pickle.loads(pickle.dumps(paper)), strategy="frugal").n_iterations == 100
    assert dataclasses.replace(stated, strategy="frugal").n_iterations == 10
    left_out: dict[str, Any] = {"n_iterations": None}
    assert dataclasses.replace(stated, strategy="frugal", **left_out).n_iterations == 100


@pytest.mark.parametrize("changed", [{"detection_power": 0.4}, {"n_data": 400}, {"level": 0.01}, {"ks": True}])
def test_what_states_a_cap_at_a_power_has_an_effect(changed: dict[str, Any]) -> None:
    def found(**options: Any) -> FloatArray:
        validation = Validation.at_power(**{"detection_power": 0.2, "n_data": 100, **options}, score=None)
        attack = CONSERVAttack(strategy="frugal", n_iterations=3, converge=False, validation=validation)
        return run_attack(attack, SineClassifier(), table("paper"), rng=1).adversarial.values

    assert not np.array_equal(found(), found(**changed), equal_nan=True)
