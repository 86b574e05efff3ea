# SPDX-License-Identifier: BSD-3-Clause
"""p-values of data against simulation in several inputs at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepfool.attacks import AttackResult, run_attack
from hepfool.events import EventTable, Region
from hepfool.summary._observed import ObservedCheck
from hepfool.summary._observed_jointly import observed_jointly
from hepfool.typing import FloatArray
from tests.unit.conftest import Shift, SignClassifier

KINDS = ("chi2", "correlations", "projection", "classifier")


class SignOfFirst(SignClassifier):
    n_features = 3


class Along(Shift):
    """Move the first of three features."""

    def iterate(self, problem, values, iteration, rng):  # type: ignore[no-untyped-def]
        return problem.bounds.clip(values + np.array([self.amount, 0.0, 0.0]))


def drawn(rng: np.random.Generator, n: int, correlation: float = 0.0) -> FloatArray:
    values = rng.normal(size=(n, 3))
    values[:, 1] = correlation * values[:, 0] + np.sqrt(1.0 - correlation**2) * values[:, 1]
    values[:, 2] = np.exp(values[:, 2])  # with a tail, so that normal theory does not hold
    return values


def table_of(
    values: FloatArray, varied: dict[str, FloatArray] | None = None, *, label: int | None = None
) -> EventTable:
    return EventTable.from_arrays(
        values,
        features=["a", "b", "c"],
        labels=(values[:, 0] > 0).astype(int) if label is None else np.full(len(values), label),
        shape_variations=varied or {},
        regions=(Region("cr", np.ones(len(values), dtype=np.bool_), cuts={"a": (-np.inf, np.inf)}),),
    )


def attacked(rng: np.random.Generator, n: int = 1500, amount: float = 0.3, **varied: float) -> AttackResult:
    values = drawn(rng, n)
    moved = {
        name: np.stack([values[:, 0], values[:, 1] + by * values[:, 0], values[:, 2]], axis=1)
        for name, by in varied.items()
    }
    return run_attack(Along(amount), SignOfFirst(), table_of(values, moved), rng=rng)


def found_in(
    result: AttackResult, data: FloatArray, kinds: tuple[str, ...] = KINDS
) -> dict[tuple[str, str], ObservedCheck]:
    checks = observed_jointly(result, table_of(data, label=-1), kinds, seed=1)
    return {(check.check, check.quantity): check for check in checks}


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_each_sees_what_single_inputs_hide(rng: np.random.Generator) -> None:
    result = attacked(rng)
    same, other = found_in(result, drawn(rng, 700)), found_in(result, drawn(rng, 700, correlation=0.4))
    assert set(same) == {
        ("correlations", "all inputs"),
        ("classifier", "all inputs"),
        *(("projection", pair) for pair in ("a and b", "a and c", "b and c")),
    }
    for key in (("correlations", "all inputs"), ("projection", "a and b"), ("classifier", "all inputs")):
        assert same[key].p_nominal > 0.001
        assert other[key].p_nominal < 0.001
    assert other["projection", "b and c"].p_nominal > 0.001
    # Data of the nominal distribution exclude an attack that moves a by .3.
    assert same["projection", "a and b"].p_attacked < 0.01


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_true_simulation_is_rejected_as_often_as_stated(rng: np.random.Generator) -> None:
    rejected: dict[str, list[bool]] = {}
    for _ in range(60):
        checks = found_in(attacked(rng, 800, 0.0), drawn(rng, 400), ("correlations", "projection"))
        for (kind, pair), check in checks.items():
            if pair != "a and c":
                rejected.setdefault(kind, []).append(check.p_nominal < 0.05)
    for kind, marks in rejected.items():
        assert np.mean(marks) < 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / len(marks)), kind
        assert np.mean(marks) > 0.0, kind


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_systematics_of_the_table_cover_a_difference(rng: np.random.Generator) -> None:
    data = drawn(rng, 700, correlation=0.25)
    bare = found_in(attacked(rng), data, ("correlations", "projection"))
    known = found_in(attacked(rng, tilt_up=0.25, tilt_down=-0.25), data, ("correlations", "projection"))
    for key in (("correlations", "all inputs"), ("projection", "a and b")):
        assert bare[key].p_nominal < 0.01 < known[key].p_nominal


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_few_events_give_nothing(rng: np.random.Generator) -> None:
    assert found_in(attacked(rng), drawn(rng, 20)) == {}


def test_data_without_the_region_are_not_taken_for_it(rng: np.random.Generator) -> None:
    data = replace(table_of(drawn(rng, 200), label=-1), regions=())
    with pytest.raises(ValueError, match="no region named 'cr'"):
        observed_jointly(attacked(rng), data, ["correlations"], seed=1)
