# SPDX-License-Identifier: BSD-3-Clause
"""p-values of data against simulation, from sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hepfool.attacks.base import run_attack
from hepfool.events import EventTable, Region
from hepfool.features import Derived, Feature
from hepfool.summary import observed_checks
from hepfool.summary.observed import ObservedCheck
from hepfool.sums import AttackSums, data_sums
from hepfool.typing import FloatArray
from tests.unit.conftest import Shift, SignClassifier


class SignOfFirst(SignClassifier):
    n_features = 3


class Together(Shift):
    """Shift a, and the sum that follows from it."""

    def iterate(self, problem, values, iteration, rng):  # type: ignore[no-untyped-def]
        new = values + np.array([self.amount, 0.0, self.amount])
        inside = (problem.bounds.clip(new) == new).all(axis=1)
        return np.where(inside[:, np.newaxis], new, values)


def table_of(values: FloatArray, *, labels: int | None = 0, **varied: FloatArray) -> EventTable:
    following = Feature(name="sum", derived=Derived.by("a + b"))
    return EventTable.from_arrays(
        values,
        features=["a", "b", following],
        labels=np.full(len(values), -1) if labels is None else (values[:, 0] > 0).astype(int),
        regions=(
            Region("cr", values[:, 1] < 1.0, cuts={"b": (-np.inf, 1.0)}),
            Region("sr", values[:, 1] >= 1.0, role="signal", cuts={"b": (1.0, np.inf)}),
        ),
        shape_variations=varied,
    )


def drawn(rng: np.random.Generator, n: int, shift: float = 0.0) -> FloatArray:
    a, b = rng.uniform(-1.0, 1.0, n) + shift, rng.normal(size=n)
    return np.stack([a, b, a + b], axis=1)


def sums_of(
    rng: np.random.Generator, n: int = 4000, *, amount: float = 0.1, data: FloatArray | None = None, **varied: float
) -> AttackSums:
    values = drawn(rng, n)
    moved = {name: values + np.array([by, 0.0, by]) for name, by in varied.items()}
    table = table_of(values, **moved)
    result = run_attack(Together(amount), SignOfFirst(), table, rng=rng)
    found = result.sums(SignOfFirst())
    if data is None:
        return found
    unvaried = dict.fromkeys(varied, data)
    return found + data_sums(table_of(data, labels=None, **unvaried), SignOfFirst(), result.binning)


def of(checks: tuple[ObservedCheck, ...], quantity: str, check: str = "chi2") -> ObservedCheck:
    (found,) = (one for one in checks if (one.quantity, one.check) == (quantity, check))
    return found


def test_without_data_and_in_signal_regions_nothing_is_compared(rng: np.random.Generator) -> None:
    assert observed_checks(sums_of(rng)) == ()
    found = observed_checks(sums_of(rng, data=drawn(rng, 500)))
    assert {one.region for one in found} == {"cr"}
    assert {one.quantity for one in found} == {"a", "b", "sum", "score", "identities"}
    assert {one.check for one in found if one.quantity == "a"} == {"chi2", "ks"}


def test_p_values_are_those_of_independent_tests(rng: np.random.Generator) -> None:
    """Without weights and systematics they are the usual tests of two samples, in bins."""
    data = drawn(rng, 800)
    data = data[data[:, 1] < 1.0]
    sums = sums_of(rng, data=data)
    counts, simulated = (sums.total("inputs", variation=v, region="cr")[0, 0, :-1] for v in ("data", "nominal"))
    found = of(observed_checks(sums), "a")
    expected = stats.chi2_contingency(np.stack([counts, simulated]), correction=False)
    assert found.n_bins == expected.dof + 1 == 20
    assert found.p_nominal == pytest.approx(expected.pvalue, abs=0.05)
    first, second = (np.repeat(np.arange(20), contents.astype(int)) for contents in (counts, simulated))
    exact = stats.ks_2samp(first, second, method="asymp")
    assert of(observed_checks(sums), "a", "ks").p_nominal == pytest.approx(exact.pvalue, abs=0.02)


@pytest.mark.slow
def test_they_reject_with_the_level_when_nothing_is_wrong(rng: np.random.Generator) -> None:
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(300):
        for one in observed_checks(sums_of(rng, 1500, amount=0.0, data=drawn(rng, 400))):
            found.setdefault((one.quantity, one.check), []).append(one.p_nominal)
    for quantity in ("a", "b", "sum"):
        assert np.mean(np.array(found[quantity, "chi2"]) < 0.05) == pytest.approx(0.05, abs=0.026)
        # Bins hide a part of the largest difference.
        assert np.mean(np.array(found[quantity, "ks"]) < 0.05) <= 0.05 + 0.026


def test_systematics_explain_what_they_move(rng: np.random.Generator) -> None:
    data = drawn(rng, 2000, shift=0.06)
    bare = of(observed_checks(sums_of(rng, data=data)), "a")
    known = of(observed_checks(sums_of(rng, data=data, scale_up=0.06, scale_down=-0.06)), "a")
    assert bare.p_nominal < 1e-3
    assert known.p_nominal > 0.05


def test_data_that_break_an_identity_are_seen(rng: np.random.Generator) -> None:
    data = drawn(rng, 500)
    assert of(observed_checks(sums_of(rng, data=data)), "identities").p_nominal == 1.0
    data[:20, 2] += 0.1
    assert of(observed_checks(sums_of(rng, data=data)), "identities").p_nominal < 1e-6
