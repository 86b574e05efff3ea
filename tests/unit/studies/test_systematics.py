# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hepfool.attacks import AttackProblem, run_attack
from hepfool.events import EventTable, Region
from hepfool.studies import ALL_EVENTS, Measured, total
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._systematics import attack_effect
from hepfool.typing import FloatArray, IntArray
from tests.effects import run_systematics


class StepClassifier:
    """Class 1 where the first feature is positive."""

    n_classes = 2
    n_features = 2
    digest = "0" * 64

    def scores(self, values: FloatArray) -> FloatArray:
        score = np.where(values[:, 0] > 0, 0.9, 0.1)
        return np.stack([1 - score, score], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return (values[:, 0] > 0).astype(np.int64)


@dataclass(frozen=True)
class Shift:
    """Move every event's first feature by a constant within its bounds."""

    amount: float
    n_iterations: int = 1
    n_bins: int = 10

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        return problem.bounds.clip(values + np.array([self.amount, 0.0]))


@pytest.fixture
def table() -> EventTable:
    values = np.array([[-1.5, 0.0], [-0.5, 1.0], [0.5, 0.0], [1.5, 1.0]])
    return EventTable.from_arrays(
        values,
        labels=[0, 0, 1, 0],
        weights=[1.0, 2.0, 3.0, 4.0],
        regions=(Region("right", values[:, 1] > 0.5, cuts={"x1": (0.5, np.inf)}), Region("left", values[:, 1] < 0.5)),
        shape_variations={
            "scale_up": values + np.array([1.0, 0.0]),
            "scale_down": values - np.array([1.0, 0.0]),
            "tilt_up": values + 0.6,
        },
        weight_variations={"pileup_up": np.array([1.0, 2.0, 3.0, 6.0])},
    )


def test_flips_are_counted_on_the_attacked_events(table: EventTable) -> None:
    effects = {e.name: e for e in run_systematics(StepClassifier(), table)}
    assert list(effects) == ["scale_up", "scale_down", "tilt_up", "pileup_up"]
    # Events 0, 1 and 2 are classified correctly and weigh 6; event 1 flips up, event 2 flips down.
    assert effects["scale_up"].flips is not None
    assert effects["scale_down"].flips is not None
    assert effects["scale_up"].flips.value == pytest.approx(2 / 6)
    assert effects["scale_down"].flips.value == pytest.approx(3 / 6)
    assert effects["pileup_up"].flips is None
    others = run_systematics(StepClassifier(), table, attacked=np.array([True, False, True, False]))
    assert [e.flips.value for e in others if e.flips] == pytest.approx([0.0, 3 / 4, 0.0])
    assert {e.kind for e in effects.values()} == {"shape", "weight"}


def test_yields_are_those_after_the_score_selection(table: EventTable) -> None:
    effects = {e.name: e for e in run_systematics(StepClassifier(), table)}
    # Selected nominal yields: right 4, left 3, all 7.
    assert {k: v.value for k, v in effects["scale_up"].yield_shift.items()} == pytest.approx(
        {"right": 2 / 4, "left": 0.0, ALL_EVENTS: 2 / 7}
    )
    assert {k: v.value for k, v in effects["pileup_up"].yield_shift.items()} == pytest.approx(
        {"right": 2 / 4, "left": 0.0, ALL_EVENTS: 2 / 7}
    )


def test_events_migrate_where_the_region_is_known_to_be_cuts(table: EventTable) -> None:
    effects = {e.name: e for e in run_systematics(StepClassifier(), table)}
    # +0.6 brings events 0 and 2 over the cut; event 2 is selected, and so becomes event 1.
    assert effects["tilt_up"].yield_shift["right"].value == pytest.approx((2 + 3) / 4)
    assert effects["tilt_up"].yield_shift["left"].value == pytest.approx(0.0)


def test_a_selection_function_is_evaluated_on_attacked_events(table: EventTable) -> None:
    values = table.values
    region = Region("above", values[:, 1] > 0.5, select=lambda x: np.asarray(x[:, 1] > 0.5))
    asked = EventTable.from_arrays(
        values, labels=[0, 0, 1, 0], regions=(region,), shape_variations={"tilt_up": values + 0.6}
    )
    (effect,) = run_systematics(StepClassifier(), asked)
    assert effect.yield_shift["above"].value == pytest.approx(2.0)


def test_the_error_is_that_of_a_bootstrap(rng: np.random.Generator) -> None:
    n = 4000
    values = rng.normal(size=(n, 2))
    weights = rng.normal(1.0, 0.5, n)
    table = EventTable.from_arrays(
        values, labels=(values[:, 0] > 0).astype(int), weights=weights, shape_variations={"s_up": values + 0.1}
    )
    (effect,) = run_systematics(StepClassifier(), table)
    assert effect.flips is not None
    flipped = (values[:, 0] + 0.1 > 0) != (values[:, 0] > 0)
    counts = rng.poisson(1.0, size=(2000, n)) * weights
    replicas = counts[:, flipped].sum(axis=1) / counts.sum(axis=1)
    assert effect.flips.error == pytest.approx(replicas.std(), rel=0.08)


def test_an_attack_is_measured_like_a_variation(table: EventTable, rng: np.random.Generator) -> None:
    table = EventTable.from_arrays(table.values, labels=table.labels, weights=table.weights, regions=table.regions)
    with pytest.warns(UserWarning, match="constrained events"):
        result = run_attack(Shift(1.0), StepClassifier(), table, rng=rng)
    effect = attack_effect(result, StepClassifier())
    assert (effect.name, effect.kind) == ("Shift", "attack")
    assert effect.flips is not None
    assert effect.flips.value == pytest.approx(result.fooling_ratio)
    assert effect.yield_shift["right"].value == pytest.approx(2 / 4)
    corrected = attack_effect(result, StepClassifier(), flagged=result.fooled)
    assert corrected.flips == Measured(0.0, 0.0)
    assert corrected.yield_shift["right"].value == 0.0


def test_sources_add_in_quadrature_with_their_larger_side() -> None:
    effects = [
        SystematicEffect(name="a_up", kind="shape", flips=Measured(0.01, 0.5), yield_shift={"r": Measured(0.2)}),
        SystematicEffect(
            name="a_down", kind="shape", flips=Measured(0.03, 0.01), yield_shift={"r": Measured(-0.3, 0.1)}
        ),
        SystematicEffect(name="b", kind="shape", flips=Measured(0.04, 0.02), yield_shift={"r": Measured(0.4, 0.1)}),
        SystematicEffect(name="c_up", kind="weight", flips=None, yield_shift={"r": Measured(0.0)}),
    ]
    added = total(effects)
    assert added.sources == ("a", "b", "c")
    assert added.flips.value == pytest.approx(0.05)
    assert added.flips.error == pytest.approx(np.hypot(0.03 * 0.01, 0.04 * 0.02) / 0.05)
    assert added.flips_envelope == 0.04
    assert added.yield_shift["r"].value == pytest.approx(0.5)
    assert added.yield_shift["r"].error == pytest.approx(0.1)
    assert added.yield_envelope["r"] == 0.4


def test_weight_variations_alone_flip_nothing() -> None:
    added = total([SystematicEffect(name="c_up", kind="weight", flips=None, yield_shift={"r": Measured(0.1)})])
    assert (added.flips.value, added.flips_envelope) == (0.0, 0.0)


def test_a_region_without_selected_events_has_no_shift(table: EventTable) -> None:
    lonely = EventTable.from_arrays(
        table.values,
        labels=table.labels,
        regions=(Region("low", table.values[:, 0] < 0),),
        weight_variations={"w_up": np.full(4, 2.0)},
    )
    (effect,) = run_systematics(StepClassifier(), lonely)
    assert np.isnan(effect.yield_shift["low"].value)


def test_nothing_to_measure_is_refused(table: EventTable) -> None:
    with pytest.raises(ValueError, match="no systematic effect"):
        total([])
    with pytest.raises(ValueError, match="at least one attacked"):
        run_systematics(StepClassifier(), table, attacked=np.zeros(4, dtype=np.bool_))
    with pytest.raises(ValueError, match="no region named"):
        run_systematics(StepClassifier(), table, regions=["middle"])


def shifts(first: float, second: float) -> list[SystematicEffect]:
    return [
        SystematicEffect(name="a_up", kind="shape", flips=Measured(0.03), yield_shift={"r": Measured(first, 0.1)}),
        SystematicEffect(name="b_up", kind="shape", flips=Measured(0.04), yield_shift={"r": Measured(second, 0.2)}),
    ]


def test_correlated_sources_add_or_cancel() -> None:
    together = total(shifts(0.3, 0.4), {("b", "a"): 1.0})
    assert together.yield_shift["r"].value == pytest.approx(0.7)
    assert together.yield_shift["r"].error == pytest.approx(np.hypot(0.1, 0.2))
    assert together.flips.value == pytest.approx(0.07)
    apart = total(shifts(0.3, -0.4), {("a", "b"): 1.0})
    assert apart.yield_shift["r"].value == pytest.approx(0.1)
    # Flips have no sign: they never cancel.
    assert total(shifts(0.3, 0.4), {("a", "b"): -1.0}).flips.value == pytest.approx(0.07)
    half = total(shifts(0.3, 0.4), {("a", "b"): 0.5}).yield_shift["r"].value
    assert half == pytest.approx(np.sqrt(0.09 + 0.16 + 0.12))


def test_the_down_side_counts_with_the_sign_of_its_source() -> None:
    down = SystematicEffect(name="b_down", kind="shape", flips=None, yield_shift={"r": Measured(-0.4)})
    assert total([shifts(0.3, 0.0)[0], down], {("a", "b"): 1.0}).yield_shift["r"].value == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("correlations", "message"),
    [
        ({("a", "c"): 0.5}, "0.5 of a and c: name two of a, b"),
        ({("a", "a"): 0.5}, "name two of a, b"),
        ({("a", "b"): 1.5}, r"a number in \[-1, 1\]"),
    ],
)
def test_impossible_correlations_are_refused(correlations: dict[tuple[str, str], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        total(shifts(0.3, 0.4), correlations)


def test_correlations_that_contradict_each_other_are_refused() -> None:
    third = SystematicEffect(name="c_up", kind="shape", flips=Measured(0.1))
    with pytest.raises(ValueError, match="contradict each other"):
        total([*shifts(0.3, 0.4), third], {("a", "b"): 1.0, ("b", "c"): 1.0, ("a", "c"): -1.0})
