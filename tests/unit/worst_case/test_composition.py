# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepfool.attacks import PGD, AttackProblem, AttackResult, CONSERVAttack, run_attack
from hepfool.attacks._bounds import Bounds
from hepfool.attacks._search.exchange import matched_pairs
from hepfool.events import Envelope, EventTable, Region
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Correlations, Marginals, Validation
from hepfool.worst_case import compositions
from hepfool.worst_case.composition import Sides, _kinds, exchangeable, most_fooled, reach
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


def divergence(p: float, q: float) -> float:
    """In bits, written from the formula."""
    total = 0.0
    for a, b in ((p, q), (1.0 - p, 1.0 - q)):
        for one in (a, b):
            total += 0.5 * one * math.log2(2.0 * one / (a + b)) if one > 0.0 else 0.0
    return total


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.2))
def test_the_share_above_the_threshold_reaches_exactly_the_cap(share: float, cap: float) -> None:
    down, up = reach(share, cap)
    for end in (max(share - down, 0.0), min(share + up, 1.0)):
        assert divergence(share, end) <= cap**2 + 1e-12
    for end in (share - down - 1e-6, share + up + 1e-6):
        assert not 0.0 <= end <= 1.0 or divergence(share, end) > cap**2 - 1e-13


def test_the_published_shares() -> None:
    """Of the prototype: 0.040 at one half, and 2 d² where the network is always right about one class."""
    assert reach(0.27, 0.0337)[1] == pytest.approx(0.0337 * math.sqrt(8 * math.log(2) * 0.27 * 0.73), rel=0.03)
    assert reach(1.0, 0.0337)[0] == pytest.approx(2 * 0.0337**2, rel=0.02)
    assert np.allclose(reach(0.3, 2.0), (0.3, 0.7))
    with pytest.raises(ValueError, match="between 0 and 1"):
        reach(1.5, 0.1)


def brute_force(weights: FloatArray, above: BoolArray, role: list[str], cap: float) -> float:
    """Try every assignment of the events that may move to the two sides."""
    total = weights.sum()
    share, best = weights[above].sum() / total, 0.0
    moving = [i for i, r in enumerate(role) if r != "still"]
    for crossing in itertools.product([False, True], repeat=len(moving)):
        after, fooled = above.copy(), 0.0
        for i, crosses in zip(moving, crossing, strict=True):
            after[i] ^= crosses
            fooled += weights[i] * (crosses and role[i] == "attacked")
        if divergence(share, min(weights[after].sum() / total, 1.0)) <= cap**2:
            best = max(best, fooled)
    return float(best)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.5, 1.0, 1.7, 3.0]), st.booleans(), st.sampled_from(["attacked", "helping", "still"])
        ),
        min_size=1,
        max_size=9,
    ),
    st.floats(0.0, 0.6),
)
def test_no_assignment_of_events_to_the_sides_fools_more(drawn: list[tuple[float, bool, str]], cap: float) -> None:
    weights, above = np.array([w for w, _, _ in drawn]), np.array([a for _, a, _ in drawn])
    role = [r for _, _, r in drawn]

    def by_side(wanted: str | None) -> tuple[float, float]:
        chosen = np.array([wanted in {None, r} for r in role])
        return float(weights[chosen & ~above].sum()), float(weights[chosen & above].sum())

    sides = Sides(attacked=by_side("attacked"), helping=by_side("helping"), total=by_side(None))
    best, limit = brute_force(weights, above, role, cap), most_fooled(sides, cap)
    assert best <= limit * (1.0 + 1e-12) + 1e-9
    if len(set(weights)) == 1:  # whole events only: at most one of each side is missing
        assert limit <= best + 2.0 * weights[0] + 1e-9


def kept(cap: float = 0.05, *, separately: Any = "union", score: float | None = None) -> Validation:
    return Validation(
        inputs=Marginals(max_js_distance=cap, n_bins=20, n_quantiles=0),
        score=Marginals(max_js_distance=cap if score is None else score, n_bins=10, n_quantiles=10),
        correlations=Correlations(max_shift=cap),
        separately=separately,
    )


def attacked(table: EventTable, validation: Validation, **options: Any) -> AttackResult:
    more = {k: options.pop(k) for k in ("helpers",) if k in options}
    attack = CONSERVAttack(n_iterations=3, validation=validation, strategy="frugal", **more)
    return run_attack(attack, SineClassifier(), table, rng=1, **options)


@pytest.mark.parametrize("separately", ["union", "regions", "processes"])
@pytest.mark.parametrize("target", ["correct", "all", 1])
@pytest.mark.parametrize("helpers", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_an_attack_that_keeps_the_score_stays_below_its_limit(
    separately: str, target: Any, helpers: bool, weighted: bool
) -> None:
    result = attacked(
        events(300, weighted=weighted),
        kept(separately=separately),
        target=target,
        helpers=helpers,
    )
    found = compositions(result, SineClassifier())
    assert [one.name for one in found] == ["all", "low_pt", "high_pt"]
    region = found[1]
    assert region.limit is not None
    assert region.reason == ""
    assert region.exchange <= region.opposite + 1e-12
    assert region.fooling_ratio <= region.limit + 1e-12
    assert found[0].limit is not None
    assert found[0].fooling_ratio <= found[0].limit + 1e-12
    # The score of the signal region is not compared.
    assert (found[2].limit, found[2].reason) == (None, "the attack does not keep the score here")


def test_an_exchange_alone_reaches_what_is_said_of_it() -> None:
    """Caps of nothing: only exchanges are left, within each region."""
    table = events(300, weighted=False)
    result = attacked(table, kept(1e-9), target="all")
    for one in compositions(result, SineClassifier())[:2]:
        assert one.exchange > 0.2
        assert one.fooling_ratio >= one.exchange - 1e-12
    low = compositions(result, SineClassifier())[1]
    assert low.limit == pytest.approx(low.opposite, abs=1e-6)
    assert low.limit is not None
    assert low.fooling_ratio <= low.limit


@pytest.mark.parametrize("n_weights", [1, 4, 50])
def test_what_is_exchangeable_is_what_the_search_pairs(n_weights: int) -> None:
    table = events(400, weighted=False)
    weights: FloatArray = np.arange(400, dtype=np.float64) % n_weights + 1.0
    table = replace(table, weights=np.asarray(weights, dtype=np.float64))
    result = attacked(table, kept(), target="all")
    problem = AttackProblem(
        table=table,
        classifier=SineClassifier(),
        attacked=result.attacked,
        classes=result.classes,
        constrained=table.constrained,
        bounds=Bounds.of(table),
        binning=result.binning,
        frozen=np.zeros(400, dtype=np.bool_),
    )
    pairs = matched_pairs(problem, table.constrained[:, np.newaxis], np.random.default_rng(1))
    paired = np.concatenate([np.concatenate(pair) for pair in pairs])
    assert len(np.unique(paired)) == len(paired)
    found = compositions(result, SineClassifier())[0].exchange * table.weights.sum()
    assert found == pytest.approx(table.weights[paired].sum())


def test_a_pair_of_negative_weight_is_left_alone() -> None:
    kinds, classes = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert exchangeable(kinds, classes, np.array([1.0, 1.0, -1.0, -1.0])) == 2.0


def test_events_of_one_kind_may_take_each_others_values() -> None:
    """A region by two cuts: outside of it lie events on different sides of each."""
    some = events(300, weighted=False)
    pt, eta = some.values[:, 0], some.values[:, 1]
    corner = Region("corner", (pt < 60.0) & (eta < 0.0), cuts={"pt": (-np.inf, 60.0), "eta": (-np.inf, 0.0)})
    table = replace(some, regions=(corner,))
    result = attacked(table, kept(), target="all")
    kinds, bounds = _kinds(result, SineClassifier(), kept()), Bounds.of(table)
    lower, upper = bounds.lower[bounds.row], bounds.upper[bounds.row]
    assert len(np.unique(kinds)) < 50
    for kind in np.unique(kinds):
        own = kinds == kind
        values = table.values[own][:, ~table.missing[own].any(axis=0)]
        assert (values.min(axis=0) >= lower[own][:, ~table.missing[own].any(axis=0)].max(axis=0)).all()
        assert (values.max(axis=0) <= upper[own][:, ~table.missing[own].any(axis=0)].min(axis=0)).all()


def test_a_defence_may_notice_an_exchange() -> None:
    class Watched(SineClassifier):
        def fooled(self, values: FloatArray, classes: IntArray) -> BoolArray:
            return np.asarray(self.predict(values) != classes)

    result = attacked(events(300, weighted=False), kept())
    plain, watched = (compositions(result, c)[1] for c in (SineClassifier(), Watched()))
    assert plain.exchange > watched.exchange == 0.0
    assert plain.limit == watched.limit


def test_only_pairs_of_equal_weight_count() -> None:
    some = events(300, weighted=False)
    weights: FloatArray = np.ones(300)
    weights[::3] = 2.0
    sloping: FloatArray = 1.0 + np.arange(300) / 300.0
    chosen: tuple[FloatArray, ...] = (np.ones(300), weights, sloping)
    equal, three, all_differ = (
        compositions(attacked(replace(some, weights=w), kept()), SineClassifier())[1] for w in chosen
    )
    assert equal.exchange > three.exchange > all_differ.exchange == 0.0
    assert all_differ.opposite > 0.2


def test_events_with_an_envelope_do_not_change_places() -> None:
    table = events(300, weighted=False)
    sigma = np.where(table.features.of_kind("fixed"), 0.0, 0.01)
    result = attacked(table, kept(), envelope=Envelope.absolute(table, sigma))
    assert [one.exchange for one in compositions(result, SineClassifier())] == [0.0, 0.0, 0.0]


def test_by_process_nothing_can_be_exchanged() -> None:
    found = compositions(attacked(events(300, weighted=False), kept(separately="processes")), SineClassifier())[1]
    assert found.exchange == 0.0
    assert found.limit is not None
    assert found.limit < found.opposite


def test_a_limit_without_its_conditions_is_none_and_says_why() -> None:
    table = events(300, weighted=False)
    result = attacked(table, kept())
    negative = replace(
        result, nominal=replace(table, weights=np.where(np.arange(300) == np.argmax(table.constrained), -1.0, 1.0))
    )
    assert "negative weight" in compositions(negative, SineClassifier())[1].reason

    class Elsewhere(SineClassifier):
        threshold = 0.9

    assert "which side of 0.9" in compositions(result, Elsewhere())[1].reason

    class Outside(SineClassifier):
        threshold = 1.0

    assert "no edge" in compositions(result, Outside())[1].reason

    assert "3 classes" in compositions(result, SineClassifier(n_classes=3))[1].reason
    for attack in (result, negative):
        for one in compositions(attack, SineClassifier()):
            assert (one.limit is None) == bool(one.reason)


def test_an_attack_without_a_validation_has_no_composition() -> None:
    result = run_attack(PGD(n_iterations=1), SineClassifier(), events(100), rng=1)
    assert compositions(result, SineClassifier()) == ()
