# SPDX-License-Identifier: BSD-3-Clause
"""What the driver refuses before work starts, and what it does about regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

from hepfool.attacks import CONSERVAttack, Noise, run_attack
from hepfool.events import EventTable, Region
from hepfool.exceptions import ConstraintError, RegionWarning
from hepfool.features import Feature
from hepfool.typing import FloatArray, IntArray
from hepfool.validation import Correlations, Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
NOISE = Noise(size=0.1, n_bins=10)


def table(**fields: Any) -> EventTable:
    values = np.random.default_rng(1).normal(size=(100, 6))
    return EventTable.from_arrays(**{"values": values, "labels": np.arange(100) % 2, **fields})


def constant() -> EventTable:
    values = np.random.default_rng(1).normal(size=(100, 6))
    values[:, 2] = 3.0
    return table(values=values)


class NotFinite(SineClassifier):
    def scores(self, values: FloatArray) -> FloatArray:
        scores = super().scores(values)
        scores[7] = np.nan
        return scores


class Never(SineClassifier):
    def predict(self, values: FloatArray) -> IntArray:
        return np.full(len(values), 5)


@pytest.mark.parametrize(
    ("make", "classifier", "options", "message"),
    [
        (lambda: table(values=np.zeros((0, 6)), labels=[]), SineClassifier(), {}, "holds no events"),
        (lambda: table(labels=np.full(100, 2)), SineClassifier(), {}, r"label 2 is outside of the network's 2 classes"),
        (lambda: table(values=np.ones((100, 5))), SineClassifier(), {}, "takes 6 inputs but the table has 5 features"),
        (table, NotFinite(), {}, "score is not finite for 1 of 100 nominal events, first at event 7"),
        (table, Never(), {}, "'correct' selects no event"),
        (table, SineClassifier(), {"target": "wrong"}, "target 'wrong' is unknown"),
        (table, SineClassifier(), {"target": np.ones(3, dtype=bool)}, r"booleans of shape \(100,\)"),
        (constant, SineClassifier(), {}, "'x2'"),
        (
            lambda: table(regions=(Region("empty", np.zeros(100, dtype=bool)),)),
            SineClassifier(),
            {},
            "region 'empty' holds no event",
        ),
        (
            lambda: table(regions=(Region("all", np.ones(100, dtype=bool), "signal"),)),
            SineClassifier(),
            {},
            "no control or validation region",
        ),
    ],
)
def test_input_that_cannot_be_attacked_is_refused(
    make: Callable[[], EventTable], classifier: SineClassifier, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_attack(NOISE, classifier, make(), rng=np.random.default_rng(1), **options)


def test_an_unknown_feature_is_answered_with_close_names() -> None:
    with pytest.raises(ValueError, match=r"no feature named 'jet_tp'; did you mean jet_pt"):
        events(50).column("jet_tp")


def test_events_whose_region_is_decided_by_a_function_stay_in_it() -> None:
    values = np.random.default_rng(1).normal(size=(400, 6))

    def select(x: FloatArray) -> np.ndarray:
        return np.asarray(x[:, 0] + x[:, 1] > 0.0)

    mask = select(values)
    regions = (Region("above", mask, "control", select=select), Region("below", ~mask, "signal"))
    classifier = SineClassifier(scales=np.ones(6), offset=0.0)
    start = table(values=values, labels=classifier.predict(values), regions=regions)
    for attack in (Noise(size=0.2, n_bins=20), CONSERVAttack(n_iterations=3, n_bins=20, beta=10.0)):
        result = run_attack(attack, classifier, start, rng=np.random.default_rng(1))
        assert np.array_equal(select(result.adversarial.values), mask)
        assert (result.adversarial.values != values).any(axis=1).mean() > 0.3


class Asked(SineClassifier):
    """Counts how often it was asked for slopes."""

    asked: int = 0

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        object.__setattr__(self, "asked", self.asked + 1)
        return super().margin_and_gradient(values, labels)


@pytest.mark.parametrize("strategy", ["paper", "frugal"])
@pytest.mark.parametrize("score", [None, Marginals(max_js_distance=0.1)])
def test_a_region_decided_by_a_function_costs_no_further_sweeps_and_breaks_no_cap(
    strategy: Literal["paper", "frugal"], score: Any
) -> None:
    values = np.random.default_rng(1).normal(size=(400, 6))

    def select(x: FloatArray) -> np.ndarray:
        return np.asarray(x[:, 0] + x[:, 1] > 0.0)

    mask = select(values)
    regions = (Region("above", mask, "control", select=select), Region("below", ~mask, "control"))
    classifier = Asked(scales=np.ones(6), offset=0.0)
    start = table(values=values, labels=classifier.predict(values), regions=regions)
    validation = Validation(
        inputs=Marginals(max_js_distance=0.1, n_bins=20), correlations=Correlations(max_shift=0.1), score=score
    )
    attack = CONSERVAttack(strategy=strategy, validation=validation, n_iterations=5, start="nominal", converge=False)
    result = run_attack(attack, classifier, start, rng=1)
    assert np.array_equal(select(result.adversarial.values), mask)
    assert (result.adversarial.values != values).any(axis=1).mean() > 0.2
    assert result.validated is not None
    assert result.validated.kept
    assert classifier.asked == 5


def test_a_step_that_always_throws_some_event_out_is_given_up_with_a_warning() -> None:
    values = np.random.default_rng(1).normal(size=(100, 6))

    def first_to_move_leaves(x: FloatArray) -> np.ndarray:
        mask = np.ones(100, dtype=bool)
        mask[np.flatnonzero((x != values).any(axis=1))[:1]] = False
        return mask

    regions = (Region("all", np.ones(100, dtype=bool), select=first_to_move_leaves),)
    with pytest.warns(RegionWarning, match=r"iteration 1 moves nothing: after 20 tries .* state the region by cuts"):
        result = run_attack(
            Noise(size=0.1, n_bins=10),
            SineClassifier(scales=np.ones(6), offset=0.0),
            table(values=values, regions=regions),
            rng=np.random.default_rng(1),
            target="all",
        )
    assert np.array_equal(result.adversarial.values, values)


class Rogue:
    """An attack that breaks one promise."""

    n_iterations, n_bins = 1, 10

    def __init__(self, column: int, change: float) -> None:
        self.column, self.change = column, change

    def iterate(self, problem: Any, values: FloatArray, iteration: int, rng: np.random.Generator) -> FloatArray:
        moved = values.copy()
        moved[:, self.column] += self.change
        return moved


@pytest.mark.filterwarnings("ignore:the network says class 0 for all")
@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        (0, 1e3, "moved 'a' of event .* out of its bounds"),
        (1, 0.1, "moved 'b', which is fixed"),
        (0, np.nan, "missing"),
    ],
)
def test_broken_promises_are_found_out(column: int, change: float, message: str) -> None:
    features = [Feature(name="a"), Feature(name="b", kind="fixed"), *"cdef"]
    with pytest.raises(ConstraintError, match=message):
        run_attack(Rogue(column, change), SineClassifier(), table(features=features), rng=np.random.default_rng(1))


def test_attacked_weights_that_cancel_are_refused_before_the_first_iteration() -> None:
    weights = np.where(np.arange(100) % 2, 1.0, -1.0)
    weights[0] = 0.5
    target = np.zeros(100, dtype=bool)
    target[1:3] = True
    history: list[tuple[str, float]] = []
    with pytest.raises(ValueError, match=r"attacked events do not sum to a positive number \(.*2 attacked ones of 0"):
        run_attack(
            NOISE,
            SineClassifier(),
            table(weights=weights),
            rng=np.random.default_rng(1),
            target=target,
            progress=lambda *told: history.append(told),
        )
    assert not history


@pytest.mark.filterwarnings("ignore:only 10 constrained events")
def test_missing_values_that_the_network_does_not_take_as_nan_are_named(rng: np.random.Generator) -> None:
    values = 1.0 + np.arange(60.0).reshape(10, 6)
    values[1, 1] = np.nan
    table = EventTable.from_arrays(values, labels=[0, 1] * 5)
    with pytest.raises(ValueError, match=r"1 of 10 nominal events.*missing values reach the network as NaN"):
        run_attack(Noise(size=0.1), SineClassifier(), table, rng=rng)
