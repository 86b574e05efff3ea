# SPDX-License-Identifier: BSD-3-Clause
"""With the score kept, every cap holds on the returned events, whatever else is compared; and exchanges change nothing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import special

from hepfool.attacks import AttackProblem, CONSERVAttack, run_attack
from hepfool.attacks._bounds import Bounds
from hepfool.attacks._checks import in_parts
from hepfool.attacks._search.accounts import Accounts, give_row
from hepfool.attacks._search.candidates import FIXED
from hepfool.attacks._search.exchange import exchange, matched_pairs
from hepfool.events import Envelope, EventTable, Region
from hepfool.features import Derived, Feature, FeatureSpace
from hepfool.statistics._bins import merge_negative
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Correlations, Marginals, Validation
from tests.replay import Truth, divergence, parts
from tests.specimens import SENTINEL, SineClassifier, events

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")]
CAP, SHIFT, SCORE = 0.08, 0.05, 0.06


@dataclass(frozen=True)
class ThreeClasses:
    """Three waves; the largest one is the class."""

    n_features: int = 6
    n_classes: int = 3
    digest: str = "b" * 64

    def _waves(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        rng = np.random.default_rng(4)
        weights, scales = rng.normal(size=(3, 6)), np.array([60.0, 2.0, 1.0, 4.0, 1.0, 80.0])
        present = values != SENTINEL
        waves = 2.0 * (np.sin(values / scales) * present) @ weights.T
        slope = 2.0 * (np.cos(values / scales) * present / scales)[:, np.newaxis] * weights
        return waves, slope

    def scores(self, values: FloatArray) -> FloatArray:
        return np.asarray(special.softmax(self._waves(values)[0], axis=1))

    def predict(self, values: FloatArray) -> IntArray:
        return np.asarray(self._waves(values)[0].argmax(axis=1))

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        waves, slope = self._waves(values)
        index = np.arange(len(values))
        others = waves.copy()
        others[index, labels] = -np.inf
        strongest = others.argmax(axis=1)
        return waves[index, labels] - waves[index, strongest], slope[index, labels] - slope[index, strongest]

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        raise NotImplementedError


class LowMomentum:
    """A detector that flags events by their inputs alone."""

    def flags(self, values: FloatArray) -> BoolArray:
        return np.asarray(values[:, 0] < 40.0)


def product(x: FloatArray, y: FloatArray) -> FloatArray:
    return x * y


def table_of(kind: str, n_classes: int, seed: int = 2) -> EventTable:
    table = events(260, seed=seed, negative=0.05 if kind == "signed" else 0.0)
    n = table.n_events
    regions = table.regions
    if kind == "overlapping":
        regions = (Region("all", np.ones(n, dtype=bool)), Region("most", np.arange(n) % 4 > 0))
    elif kind != "one region":
        control = (table.values[:, 0] < 60.0) & (table.values[:, 1] < 0.0)
        cuts = {"pt": (-np.inf, 60.0), "eta": (-np.inf, 0.0)}
        other = {"pt": (-np.inf, 60.0), "eta": (0.0, np.inf)}
        regions = (
            Region("left", control, cuts=cuts),
            Region("right", (table.values[:, 0] < 60.0) & ~control, cuts=other),
            Region("high", table.values[:, 0] >= 60.0, "signal", {"pt": (60.0, np.inf)}),
        )
    classifier = SineClassifier() if n_classes == 2 else ThreeClasses()
    labels = classifier.predict(table.network_values)
    rng = np.random.default_rng(seed)
    labels = np.where(rng.uniform(size=n) < 0.1, (labels + 1) % n_classes, labels)
    values, features = table.values.copy(), list(table.features)
    if kind == "derived":
        features[5] = Feature(name="product", derived=Derived(["pt", "eta"], product))
        values[:, 5] = values[:, 0] * values[:, 1]
    return EventTable.from_arrays(
        values,
        features=FeatureSpace(features),
        labels=labels,
        weights=np.where(np.arange(n) % 2 == 0, 1.0, 0.5) if kind == "steps of weight" else table.weights,
        regions=regions,
        sentinel=SENTINEL,
    )


def validation_of(kind: str, separately: str, n_classes: int) -> Validation:
    bins: dict[str, Any] = {"n_bins": 12, "n_quantiles": 6}
    observables = {"p_eta": Marginals(max_js_distance=CAP, of=Derived(["pt", "eta"], product), **bins)}
    return Validation(
        inputs=Marginals(
            max_js_distance=CAP, separately="processes" if separately == "regions, inputs by process" else None, **bins
        ),
        score=Marginals(max_js_distance=SCORE, n_bins=10, n_quantiles=8),
        observables=observables if kind == "observables" else {},
        correlations=Correlations(max_shift=SHIFT, kind="distance" if kind == "distance" else "pearson"),
        separately=separately.split(",", maxsplit=1)[0],  # type: ignore[arg-type]
        flagged=LowMomentum() if kind == "flagged" else None,
    )


def score_distances(validation: Validation, classifier: Any, before: EventTable, after: EventTable) -> list[float]:
    """Distance of every output in every part, counted again; flagged events by themselves."""
    found = []
    nodes = [1] if classifier.n_classes == 2 else range(classifier.n_classes)
    scores = [classifier.scores(table.network_values) for table in (before, after)]
    for node in nodes:
        constrained = before.constrained
        edges = np.concatenate([[-np.inf], validation.score_edges(scores[0][:, node], constrained, 0.5), [np.inf]])
        for mask in parts(before, validation.separately):
            contents = []
            for table, score in zip((before, after), scores, strict=True):
                # (a, b] as the threshold belongs to class 0.
                place = np.searchsorted(edges, score[mask, node], side="left")
                if validation.flagged is not None:
                    place = place + 1000 * validation.flagged.flags(table.network_values[mask])
                contents.append(np.bincount(place, weights=before.weights[mask], minlength=2000))
            merged = merged_bins(contents[0])
            contents = [np.bincount(merged, weights=c, minlength=2000) for c in contents]
            assert (contents[1] >= -1e-9).all()
            found.append(np.sqrt(divergence(contents[0].clip(0.0), contents[1].clip(0.0))))
    return found


def merged_bins(contents: Any) -> IntArray:
    """Bins without a negative content, as those of every other distribution."""
    return np.asarray(merge_negative(np.append(contents, 0.0)[np.newaxis])[:-1])


def problem_of(attack: CONSERVAttack, classifier: Any, before: EventTable) -> AttackProblem:
    return AttackProblem(
        table=before,
        classifier=classifier,
        attacked=np.ones(before.n_events, dtype=bool),
        classes=classifier.predict(before.network_values),
        constrained=before.constrained,
        bounds=Bounds.of(before),
        binning=attack.kept.binning(before),
        frozen=np.zeros(before.n_events, dtype=bool),
    )


def distances(
    attack: CONSERVAttack, classifier: Any, before: EventTable, after: EventTable
) -> tuple[list[float], list[float]]:
    """Distances of inputs and observables, and correlation shifts, counted again."""
    search = attack._search(problem_of(attack, classifier, before))
    truth, rows = Truth.of(search, attack), search.extended(after.values)
    left_out = in_parts(before, attack.kept.unusable(before))
    places = [place for place, c in enumerate(truth.compared) if not (c.mask & left_out).any()]
    apart = {place: np.sqrt(truth.apart(place, truth.measured(place, rows))) for place in places}
    shift = [x for place, x in apart.items() if truth.compared[place].column < 0]
    return [x for place, x in apart.items() if truth.compared[place].column >= 0], shift


KINDS = (
    "plain",
    "one region",
    "overlapping",
    "signed",
    "steps of weight",
    "flagged",
    "observables",
    "derived",
    "distance",
)


#: The other strategies differ in their moves only, which ``test_replay.py`` judges.
CASES = [
    *itertools.product(["frugal"], KINDS, ["union", "regions", "processes", "regions, inputs by process"], [2, 3]),
    *itertools.product(["paper", "repaired"], KINDS, ["regions"], [2]),
]


@pytest.mark.parametrize(("strategy", "kind", "separately", "n_classes"), CASES)
def test_every_cap_holds_with_the_score_kept(strategy: str, kind: str, separately: str, n_classes: int) -> None:
    classifier: Any = SineClassifier() if n_classes == 2 else ThreeClasses()
    table, validation = table_of(kind, n_classes), validation_of(kind, separately, n_classes)
    options: dict[str, Any] = (
        {"strategy": "frugal"} if strategy == "frugal" else {"optimize_already_fooled": strategy == "repaired"}
    )
    if strategy != "frugal" and kind not in {"derived", "observables"}:
        options["step"] = 0.02
    attack = CONSERVAttack(n_iterations=3, validation=validation, **options)
    binning = None if kind == "observables" else validation.binning(table)
    result = run_attack(attack, classifier, table, rng=1, binning=binning)
    # A class of a few events there has no variance left.
    no_variance = kind == "signed" and n_classes == 3 and separately == "processes"
    assert [part.name for part in result.not_attacked] == ["right, class 1"] * no_variance
    marginals, shifts = distances(attack, classifier, table, result.adversarial)
    scores = score_distances(validation, classifier, table, result.adversarial)
    assert max(marginals) <= CAP
    assert max(shifts) <= SHIFT
    assert max(scores) <= SCORE
    assert max(scores) > 0.0
    assert ((result.adversarial.values != table.values) & ~table.missing).any(axis=1).sum() > 5


@pytest.mark.parametrize("cap", ["max_js_change", "max_correlation_change"])
@pytest.mark.parametrize("kind", ["plain", "overlapping", "signed", "derived", "distance"])
def test_an_event_is_taken_over_only_if_each_of_its_moves_keeps_the_caps_on_one_move(kind: str, cap: str) -> None:
    table, rng = table_of(kind, 2), np.random.default_rng(3)
    free = Validation(
        inputs=Marginals(max_js_distance=np.inf, n_bins=12, n_quantiles=6),
        score=None,
        correlations=Correlations(max_shift=np.inf, kind="distance" if kind == "distance" else "pearson"),
    )
    tight = kind == "overlapping" or (kind == "distance" and cap == "max_correlation_change")
    caps: dict[str, Any] = {cap: 0.01 if tight else 0.04}
    attack = CONSERVAttack(validation=free, **caps)
    search = attack._search(problem_of(attack, SineClassifier(), table))
    truth, rows, given = Truth.of(search, attack), search.extended(table.values), []
    movable = np.flatnonzero(search.layout.kinds != FIXED)
    for island in search.islands:
        if not island.groups:
            continue
        accounts = Accounts(search.ledger(island, rows), search.layout, search.columns.counted)
        pairs = search.pairs(island, rows, 2)
        for i, donor in rng.choice(np.flatnonzero(island.events), size=(20, 2)):
            now, before, after = rows.copy(), rows[i].copy(), rows[i].copy()
            for c in rng.permutation(movable)[:2]:
                after[c] = rows[donor, c] if not np.isnan(rows[[i, donor], c]).any() else after[c]
            for d in table.features.derived:
                after[d] = table.features.derive(after[np.newaxis], d)[0]
            verdicts = []
            for c in np.flatnonzero((after != rows[i]) & ~np.isnan(after)):
                then = now.copy()
                then[i, c] = after[c]
                verdicts.append(truth.judge(now, then, int(i), [c]))
                now = then
            given.append(give_row(accounts, pairs, int(i), rows[i], after))
            assert all(v.allowed for v in verdicts) if given[-1] else not all(v.surely for v in verdicts)
            np.testing.assert_array_equal(rows[i], after if given[-1] else before)
    assert 0.1 < np.mean(given) < 0.95


def exchange_problem(envelope: bool) -> AttackProblem:
    table = table_of("steps of weight", 2)
    sigma = Envelope.absolute(table, np.array([40.0, 2.0, 2.0, 4.0, 0.0, 60.0])) if envelope else None
    classifier = SineClassifier()
    return AttackProblem(
        table=table,
        classifier=classifier,
        attacked=np.arange(table.n_events) % 7 > 0,
        classes=classifier.predict(table.network_values),
        constrained=table.constrained,
        bounds=Bounds.of(table, sigma),
        binning=Validation().binning(table),
        frozen=np.arange(table.n_events) % 11 == 0,
        envelope=sigma,
    )


@pytest.mark.parametrize("envelope", [False, True])
def test_exchange_keeps_the_joint_distribution_of_every_group_exactly(envelope: bool) -> None:
    problem = exchange_problem(envelope)
    table = problem.table
    membership = np.stack([region.mask for region in table.regions if region.constrained], axis=1)
    values = exchange(problem, membership, np.random.default_rng(1))
    moved = ~((values == table.values) | (np.isnan(values) & np.isnan(table.values))).all(axis=1)
    assert moved.sum() > 20
    assert not moved[~problem.attacked | problem.frozen].any()
    for mask in [*membership.T, ~membership.any(axis=1)]:
        before, after = (
            np.column_stack([np.nan_to_num(v, nan=SENTINEL), table.weights])[mask] for v in (table.values, values)
        )
        np.testing.assert_array_equal(before[np.lexsort(before.T)], after[np.lexsort(after.T)])
    lower, upper = problem.bounds.lower[problem.bounds.row], problem.bounds.upper[problem.bounds.row]
    angle = table.features.of_kind("angle")
    present = ~table.missing & ~angle
    assert (values >= lower)[present].all()
    assert (values <= upper)[present].all()
    np.testing.assert_array_equal(np.isnan(values), table.missing)
    np.testing.assert_array_equal(values[:, 4], table.values[:, 4])
    now = problem.classifier.predict(np.nan_to_num(values, nan=SENTINEL))
    assert (now[moved] != problem.classes[moved]).all()


def test_events_that_change_places_differ_in_class_and_agree_in_the_rest() -> None:
    problem = exchange_problem(envelope=False)
    table = problem.table
    membership = np.stack([region.mask for region in table.regions], axis=1)
    pairs = matched_pairs(problem, membership, np.random.default_rng(1))
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    assert len(np.unique(np.concatenate([first, second]))) == 2 * len(first) > 40
    assert (problem.classes[first] != problem.classes[second]).all()
    for agreed in (membership, table.missing, table.weights, table.values[:, [4]]):
        np.testing.assert_array_equal(agreed[first], agreed[second])


@pytest.mark.parametrize("score", [None, Marginals(max_js_distance=0.1, n_bins=10, n_quantiles=5)])
@pytest.mark.parametrize("strategy", ["paper", "frugal"])
def test_regions_on_two_threads_give_the_bits_of_one(
    monkeypatch: pytest.MonkeyPatch, strategy: str, score: Marginals | None
) -> None:
    table, found = table_of("plain", 2), []
    validation = Validation(inputs=Marginals(max_js_distance=0.1, n_bins=12, n_quantiles=0), score=score)
    for n_threads in (1, 2, 4):
        monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", n_threads)
        attack = CONSERVAttack(n_iterations=4, strategy=strategy, validation=validation)  # type: ignore[arg-type]
        found.append(run_attack(attack, SineClassifier(), table, rng=3))
    assert found[0].fooling_ratio > 0.2
    for other in found[1:]:
        np.testing.assert_array_equal(found[0].adversarial.values, other.adversarial.values)


ONE_CAP: dict[str, dict[str, Any]] = {
    "inputs": {"inputs": Marginals(max_js_distance=0.05, n_bins=10, n_quantiles=0)},
    "correlations": {"correlations": Correlations(max_shift=0.05)},
    "distance correlations": {"correlations": Correlations(max_shift=0.05, kind="distance")},
    "score": {"score": Marginals(max_js_distance=0.05, n_bins=10, n_quantiles=0)},
}


@pytest.mark.parametrize("name", ONE_CAP)
def test_the_measurement_after_repairs_sees_every_cap(name: str) -> None:
    nothing: dict[str, Any] = {"inputs": None, "correlations": None, "score": None}
    attack = CONSERVAttack(validation=Validation(**nothing | ONE_CAP[name]))
    problem = exchange_problem(envelope=False)
    search = attack._search(problem)
    assert search.within_caps(problem.table.values)
    moved = problem.table.values.copy()
    moved[:, 0] = np.where(moved[:, 1] > 0.0, moved[:, 0], moved[:, 0].mean() * (1.0 + 0.1 * np.sign(moved[:, 2])))
    assert not search.within_caps(moved)


def test_repairs_that_break_a_cap_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    table, validation = table_of("plain", 2), validation_of("plain", "regions", 2)
    found = []
    for repaired, kept in ((False, True), (True, True), (True, False)):
        monkeypatch.setattr("hepfool.attacks._search.view.Search.within_caps", lambda *_, kept=kept: kept)
        attack = CONSERVAttack(n_iterations=1, step=0.02, validation=validation, optimize_already_fooled=repaired)
        values = run_attack(
            attack, SineClassifier(), table, rng=1, binning=validation.binning(table)
        ).adversarial.values
        found.append(values)
    assert not np.array_equal(found[0], found[1], equal_nan=True)
    np.testing.assert_array_equal(found[0], found[2])
