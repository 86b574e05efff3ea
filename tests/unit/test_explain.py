# SPDX-License-Identifier: BSD-3-Clause
"""Shares of the inputs and the coherent part against enumeration and least squares."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from hepfool import explain as explaining
from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.events import Envelope, EventTable
from hepfool.explain import explain, explain_flags
from hepfool.studies import systematic_misclassification
from hepfool.typing import BoolArray, FloatArray, IntArray
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


def varied(table: EventTable, seed: int = 3) -> EventTable:
    """Two sources: one scales both momenta, the other turns the event and shifts its rapidity."""
    scale, turn = np.random.default_rng(seed).uniform(0.1, 0.4, (2, table.n_events))
    shapes: dict[str, FloatArray] = {}
    for sign, name in ((1.0, "up"), (-1.0, "down")):
        energy, angle = table.values.copy(), table.values.copy()
        energy[:, [0, 5]] *= 1.0 + sign * scale[:, np.newaxis]
        angle[:, 1] += sign * turn
        angle[:, 2] = (angle[:, 2] + 2.0 * sign * turn + np.pi) % (2.0 * np.pi) - np.pi
        moved = {f"energy_{name}": energy, f"angle_{name}": angle}
        shapes |= {k: np.clip(v, table.features.lower, table.features.upper) for k, v in moved.items()}
    return replace(table, shape_variations=shapes)


@pytest.fixture(scope="module")
def result() -> AttackResult:
    return run_attack(CONSERVAttack(n_iterations=2, validation=None), SineClassifier(), varied(events(500)), rng=1)


def moved_to(result: AttackResult, values: FloatArray) -> AttackResult:
    """The same result with other adversarial values."""
    adversarial = replace(result.adversarial, values=values)
    first, second = (SineClassifier().predict(t.network_values) for t in (result.nominal, adversarial))
    return replace(result, adversarial=adversarial, fooled=result.attacked & (first != second))


def enumerated(result: AttackResult) -> FloatArray:
    """Shapley values of every fooled event, from all coalitions of its inputs."""
    start, end = (t.select(result.fooled).network_values for t in (result.nominal, result.adversarial))
    classes, d = SineClassifier().predict(start), start.shape[1]
    shares = np.zeros_like(start)
    for j in range(d):
        others = [k for k in range(d) if k != j]
        for size in range(d):
            chance = math.factorial(size) * math.factorial(d - size - 1) / math.factorial(d)
            for coalition in itertools.combinations(others, size):
                values = start.copy()
                values[:, coalition] = end[:, coalition]
                without = SineClassifier().predict(values) != classes
                values[:, j] = end[:, j]
                shares[:, j] += chance * ((SineClassifier().predict(values) != classes).astype(float) - without)
    return shares


def test_shares_are_those_of_all_coalitions(result: AttackResult) -> None:
    n, exact, w = 400, enumerated(result), result.nominal.weights[result.fooled]
    found = explain(result, SineClassifier(), n_permutations=n)
    # A gain is -1, 0 or 1, so that its variance over the orders is 1 at most.
    largest = np.linalg.norm(w) / w.sum() / math.sqrt(n)
    for j, share in enumerate(found.whole.shares.values()):
        expected = float(np.average(exact[:, j], weights=w))
        assert share.value == pytest.approx(expected, abs=4.0 * largest)
        spread = np.linalg.norm(w * (exact[:, j] - expected)) / w.sum()
        assert spread <= share.error + 1e-3
        assert share.error <= math.hypot(spread, largest) + 1e-3
    assert {name for name, _ in found.whole.leading[:2]} <= {"pt", "eta", "phi", "jet_pt"}
    assert found.whole.shares["charge"].value == found.whole.shares["charge"].error == 0.0


def test_errors_are_those_of_repeated_orders(result: AttackResult) -> None:
    exact = enumerated(result)
    start, end = (t.select(result.fooled).network_values for t in (result.nominal, result.adversarial))
    classes = SineClassifier().predict(start)

    def fooled(values: FloatArray) -> BoolArray:
        return np.asarray(SineClassifier().predict(values) != classes)

    drawn = [
        explaining._shares(fooled, itertools.repeat(start), end, 5, np.random.default_rng(seed)) for seed in range(60)
    ]
    error = np.std(drawn, axis=0) / math.sqrt(60)
    pulls = (np.mean(drawn, axis=0) - exact)[error > 0] / error[error > 0]
    assert abs(pulls.mean()) < 0.15
    assert pulls.std() == pytest.approx(1.0, abs=0.15)


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_shares_sum_to_one_and_belong_to_what_moved(n_inputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    events_, bits = np.arange(20), 2 ** np.arange(n_inputs)
    end = (rng.random((20, n_inputs)) < 0.8).astype(np.float64)
    end[:, 0] = 1.0
    answers = rng.random((20, 2**n_inputs)) < 0.5
    answers[:, 0], answers[events_, (end @ bits).astype(int)] = False, True

    def outcome(values: FloatArray) -> BoolArray:
        return np.asarray(answers[events_, (values @ bits).astype(int)])

    shares = explaining._shares(outcome, itertools.repeat(np.zeros_like(end)), end, 7, rng)
    assert np.array_equal(np.rint(7 * shares).sum(axis=1), np.full(20, 7.0))
    assert not shares[end == 0.0].any()
    assert np.abs(shares).max() <= 1.0


def brute_force(displacement: FloatArray, up: FloatArray, down: FloatArray) -> float:
    """Least squares in every combination of signs, each with bounds."""
    sides = itertools.product(*zip(up.T, down.T, strict=True))
    return min(float(2.0 * optimize.lsq_linear(np.stack(s, axis=1), displacement, bounds=(0, 1)).cost) for s in sides)


@settings(max_examples=40)
@given(st.integers(1, 3), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_coherent_part_is_the_nearest(n_sources: int, n_inputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    up, down = rng.normal(size=(2, 4, n_inputs, n_sources))
    up[:, :, 0] *= rng.integers(0, 2)
    displacement = rng.normal(size=(4, n_inputs))
    nearest = explaining._nearest(displacement, up, down)
    for k in range(4):
        expected = brute_force(displacement[k], up[k], down[k])
        assert ((displacement[k] - nearest[k]) ** 2).sum() == pytest.approx(
            expected, abs=1e-4 * (displacement[k] ** 2).sum()
        )


def test_coherent_part_is_a_projection_where_no_shift_is_at_its_end(rng: np.random.Generator) -> None:
    up = rng.normal(size=(6, 5, 3))
    shift = rng.uniform(-0.6, 0.6, size=(6, 3))
    displacement = np.einsum("ndk,nk->nd", up, shift) + 0.01 * rng.normal(size=(6, 5))
    for k, found in enumerate(explaining._nearest(displacement, up, -up)):
        coefficients = np.linalg.lstsq(up[k], displacement[k])[0]
        assert found == pytest.approx(up[k] @ coefficients, abs=1e-6)


def test_many_sources_are_not_tied_to_their_signs(rng: np.random.Generator) -> None:
    up, down = rng.normal(size=(2, 3, 9, 7))
    displacement = 3.0 * rng.normal(size=(3, 9))
    nearest = explaining._nearest(displacement, up, down)
    for k in range(3):
        both = np.concatenate([up[k], down[k]], axis=1)
        expected = optimize.lsq_linear(both, displacement[k], bounds=(0, 1)).cost
        assert 0.5 * ((displacement[k] - nearest[k]) ** 2).sum() == pytest.approx(expected, rel=1e-5)


def test_an_attack_along_a_source_is_coherent(result: AttackResult) -> None:
    table = result.nominal
    along = moved_to(result, table.shape_variations["angle_up"])
    found = explain(along, SineClassifier(), envelope=Envelope.from_variations(table)).whole
    assert found.coherence is not None
    assert found.coherence.share.value == pytest.approx(1.0)
    assert found.coherence.alone.value == pytest.approx(1.0, abs=0.02)
    assert found.coherence.without.value == pytest.approx(0.0, abs=0.02)
    assert found.coherence.chance.value < 0.9
    assert set(dict(found.leading)) == {"eta", "phi"}
    other = explain(along, SineClassifier(), sources=["energy"]).whole.coherence
    assert other is not None
    assert (other.share.value, other.alone.value, other.without.value) == (0.0, 0.0, 1.0)


class Strict(SineClassifier):
    """Refuses angles beyond their range."""

    def predict(self, values: FloatArray) -> IntArray:
        assert np.abs(values[:, 2]).max() <= np.pi
        return super().predict(values)


def test_coherent_share_is_that_of_least_squares_in_standard_deviations(result: AttackResult) -> None:
    found = explain(result, Strict(), n_permutations=1).whole.coherence
    table, w = result.nominal.select(result.fooled), result.nominal.weights[result.fooled]
    sigma = np.nanstd(result.nominal.values, axis=0)

    def moves(values: FloatArray) -> FloatArray:
        change = np.nan_to_num(values - table.values)
        change[:, 2] = (change[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
        return np.asarray(change / sigma)

    displacement = moves(result.adversarial.values[result.fooled])
    sides = [
        np.stack([moves(table.shape_variations[f"{s}_{side}"]) for s in ("energy", "angle")], axis=2)
        for side in ("up", "down")
    ]
    left = [brute_force(*event) for event in zip(displacement, *sides, strict=True)]
    expected = 1.0 - (w * left).sum() / (w * (displacement**2).sum(axis=1)).sum()
    assert found is not None
    assert found.share.value == pytest.approx(expected, abs=1e-4)
    assert 0.01 < expected < 0.99


@pytest.mark.parametrize("enveloped", [True, False])
def test_chance_is_what_random_moves_have(result: AttackResult, rng: np.random.Generator, *, enveloped: bool) -> None:
    table = result.nominal
    envelope = Envelope.from_variations(table)
    if enveloped:
        values = np.where(rng.random(table.values.shape) < 0.5, envelope.lower, envelope.upper)
        values = np.where(table.missing, np.nan, values)
        values[:, 2] = (values[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
    else:
        step = [8.0, 0.4, 0.6, 0.0, 0.0, 8.0] * rng.choice([-1.0, 1.0], table.values.shape)
        values = table.values + step
        values[:, 2] = (values[:, 2] + np.pi) % (2.0 * np.pi) - np.pi
        values = np.clip(values, table.features.lower, table.features.upper)
    moved = moved_to(replace(result, attacked=np.ones(table.n_events, dtype=bool)), values)
    assert moved.fooled.sum() > 20
    found = explain(moved, SineClassifier(), envelope=envelope if enveloped else None, n_permutations=1).whole.coherence
    assert found is not None
    assert found.share.value == pytest.approx(found.chance.value, abs=4.0 * found.share.error)
    assert 0.0 < found.chance.error < found.share.error


def test_parts(result: AttackResult) -> None:
    found = explain(result, SineClassifier(), n_permutations=20)
    by_kind = {kind: [p for p in found.parts if p.kind == kind] for kind in ("all", "process", "region", "direction")}
    assert [p.name for p in by_kind["direction"]] == ["0 → 1", "1 → 0"]
    for kind, parts in by_kind.items():
        assert sum(p.n_events for p in parts) == result.fooled.sum(), kind
        assert sum(p.weight for p in parts) == pytest.approx(result.nominal.weights[result.fooled].sum())
        mean = sum(p.weight * p.shares["pt"].value for p in parts) / found.whole.weight
        assert mean == pytest.approx(found.whole.shares["pt"].value)
    for part in found.parts:
        assert math.fsum(s.value for s in part.shares.values()) == pytest.approx(1.0, abs=1e-12)
    region = result.nominal.region("low_pt").mask & result.fooled
    assert next(p for p in by_kind["region"] if p.name == "low_pt").n_events == region.sum()
    text = str(found)
    assert len(text.splitlines()) == 4 + len(found.whole.leading)
    assert f"{result.fooled.sum()} fooled events" in text
    assert "by chance" in text


def test_an_attack_without_variations_has_shares_only(result: AttackResult) -> None:
    bare = replace(result, nominal=replace(result.nominal, shape_variations={}))
    found = explain(bare, SineClassifier(), n_permutations=2)
    assert found.whole.coherence is None
    assert "by chance" not in str(found)


def test_what_cannot_be_explained_is_refused(result: AttackResult) -> None:
    none = replace(result, fooled=np.zeros_like(result.fooled))
    with pytest.raises(ValueError, match="fooled no event"):
        explain(none, SineClassifier())
    with pytest.raises(ValueError, match="change otherwise"):
        explain(result, SineClassifier(offset=-3.0))
    with pytest.raises(ValueError, match="no source 'jes'"):
        explain(result, SineClassifier(), sources=["jes"])
    with pytest.raises(ValueError, match="n_permutations"):
        explain(result, SineClassifier(), n_permutations=0)


def above(column: int, cut: float) -> explaining.Outcome:
    return lambda values: np.asarray(values[:, column] > cut)


def test_flags_are_explained_by_what_makes_them() -> None:
    table = events(400)
    cuts = [above(0, 80.0), above(0, 90.0), above(1, 1.0)]
    flagged = np.array([cut(table.network_values) for cut in cuts])
    study = systematic_misclassification(flagged)
    both = explain_flags(table, cuts, study, times=2, n_permutations=200)
    assert both.whole.n_events == study.repeated(2).sum()
    assert set(dict(both.whole.leading)) == {"pt", "eta"}
    # Above 90 GeV the momentum suffices; between 80 and 90 GeV both inputs have to stay, and share alike.
    pt, weights = table.values[study.repeated(2), 0], table.weights[study.repeated(2)]
    assert both.whole.shares["pt"].value == pytest.approx(
        np.average(np.where(pt > 90.0, 1.0, 0.5), weights=weights), abs=0.05
    )
    always = explain_flags(table, cuts, study, times=3, n_permutations=200).whole
    assert always.shares["pt"].value == pytest.approx(0.5, abs=0.05)
    assert both.of == "flagged"
    assert both.sources == ()
    assert str(both).startswith(f"{both.whole.n_events} flagged events, carried by\ninput  share\npt")
    assert {p.kind for p in both.parts} == {"all", "process", "region"}


def test_flags_are_explained_beside_all_that_are_never_flagged() -> None:
    table = events(200, weighted=False)
    cuts: list[explaining.Outcome] = [lambda values: np.asarray(values[:, 0] / 80.0 + values[:, 1] > 1.7)] * 2
    study = systematic_misclassification(np.array([cut(table.network_values) for cut in cuts]))
    found = explain_flags(table, cuts, study, times=2, n_permutations=400).whole
    (pt, eta), (other_pt, other_eta) = (table.values[study.counts == k][:, :2].T for k in (2, 0))
    alone = (pt[:, np.newaxis] / 80.0 + other_eta > 1.7).mean()
    without = (other_pt / 80.0 + eta[:, np.newaxis] > 1.7).mean()
    assert found.shares["pt"].value == pytest.approx(0.5 * (alone + 1.0 - without), abs=0.01)


def test_flags_that_nobody_sets_are_refused() -> None:
    table = events(50)
    cuts = [above(0, 1e6), above(0, 60.0)]
    study = systematic_misclassification(np.array([cut(table.network_values) for cut in cuts]))
    with pytest.raises(ValueError, match="0 events are flagged 2 times"):
        explain_flags(table, cuts, study, times=2)
    with pytest.raises(ValueError, match="change otherwise"):
        explain_flags(table, cuts[:1], study, times=1)
