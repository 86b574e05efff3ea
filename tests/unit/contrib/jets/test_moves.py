# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch

from hepfool import EventTable, Validation, run_attack
from hepfool.attacks import AttackResult
from hepfool.contrib.jets import ConstituentLayout, ConstituentMoves, jet_d2, jet_mass, jet_observables, jet_pt
from hepfool.contrib.jets._moves import MOVES, MoveSizes
from hepfool.events import Envelope
from hepfool.models import CallableClassifier
from hepfool.statistics import js_distance
from hepfool.typing import FloatArray
from hepfool.validation import Correlations, Marginals

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")]
LAYOUT = ConstituentLayout(12)
SIZES = MoveSizes(max_angle=0.02, max_soft=0.005, radius=0.8)


def jets(rng: np.random.Generator, n: int = 60) -> FloatArray:
    """Jets of four to twelve constituents around φ = π, in falling pt."""
    found = np.zeros((n, 12, 3))
    for jet in found:
        k = int(rng.integers(4, 13))
        jet[:k, 0] = np.sort(rng.exponential(30.0, k) + 1.0)[::-1]
        jet[:k, 1] = rng.normal(0.8, 0.3, k)
        jet[:k, 2] = np.angle(np.exp(1j * rng.normal(np.pi, 0.3, k)))
    found[:40, 1, 1:] = found[:40, 0, 1:] - 0.005
    return found


def momentum(jet: FloatArray) -> tuple[float, ...]:
    """Sum px, py, pz and E of a jet, constituent by constituent."""
    rows = [(pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta), pt * math.cosh(eta)) for pt, eta, phi in jet]
    return tuple(math.fsum(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("name", ["split", "radiate", "merge"])
def test_the_momentum_of_a_jet_is_kept(name: str, rng: np.random.Generator) -> None:
    before = jets(rng)
    after, possible = MOVES[name](before, SIZES, rng)
    np.testing.assert_array_equal(after[~possible], before[~possible])
    assert possible.sum() >= 3
    for old, new in zip(before[possible], after[possible], strict=True):
        assert momentum(new)[:3] == pytest.approx(momentum(old)[:3], rel=1e-12, abs=1e-9)
        assert not np.array_equal(old, new)
        change = {"split": 1, "radiate": 1, "merge": -1}[name]
        assert (new[:, 0] > 0).sum() == (old[:, 0] > 0).sum() + change
        assert (np.abs(new[:, 2]) <= np.pi).all()


def test_turning_keeps_every_pt_and_bounds_the_angle(rng: np.random.Generator) -> None:
    before = jets(rng)
    after, _ = MOVES["turn"](before, SIZES, rng)
    np.testing.assert_array_equal(after[..., 0], before[..., 0])
    assert (np.any(after != before, axis=2).sum(axis=1) == 1).all()
    eta, phi = (after - before)[..., 1], np.angle(np.exp(1j * (after - before)[..., 2]))
    assert 0.5 * SIZES.max_angle < np.hypot(eta, phi).max() <= SIZES.max_angle + 1e-12


def test_parts_of_a_splitting_are_collinear_and_neither_is_soft(rng: np.random.Generator) -> None:
    before = jets(rng, 300)
    after, possible = MOVES["split"](before, SIZES, rng)
    widest = 0.0
    for old, new in zip(before[possible], after[possible], strict=True):
        parts = new[np.any(new != old, axis=1)]
        parent = old[np.any(new != old, axis=1) & (old[:, 0] > 0)][0]
        assert len(parts) == 2
        distance = math.hypot(parts[0, 1] - parts[1, 1], math.remainder(parts[0, 2] - parts[1, 2], 2 * math.pi))
        widest = max(widest, distance)
        assert parts[:, 0].min() > 0.08 * parent[0]
    assert 0.015 < widest < 1.02 * SIZES.max_angle


@pytest.mark.parametrize(("name", "size"), [("split", "max_angle"), ("merge", "max_angle"), ("radiate", "max_soft")])
def test_safe_observables_change_less_the_more_collinear_or_soft_a_move_is(
    name: str, size: str, rng: np.random.Generator
) -> None:
    before = jets(rng, 200)
    if name == "merge":
        before[:, 1, 1:] = before[:, 0, 1:] + 1e-4  # a pair that is always near enough
    changes = []
    for value in (1e-2, 1e-3):
        sizes = replace(SIZES, **{size: value})
        after, _ = MOVES[name](before, sizes, np.random.default_rng(3))
        old, new = (torch.from_numpy(values.reshape(len(values), -1)) for values in (before, after))
        pt, mass, d2 = (
            ((f(new) - f(old)) / f(old).clamp(min=1e-3)).abs().quantile(0.9).item() for f in (jet_pt, jet_mass, jet_d2)
        )
        assert pt < 1e-9
        changes.append((mass, d2))
    # A tenth of the size: at most about a tenth of the change; e2 of D2 enters to the third power.
    for wide, narrow in zip(*changes, strict=True):
        assert narrow < max(0.2 * wide, 1e-6)
        assert wide < 0.5


def counting(values: FloatArray) -> FloatArray:
    """Answer by the number of constituents, which is neither soft nor collinear safe."""
    number = (values.reshape(len(values), -1, 3)[..., 0] > 0).sum(axis=1)
    score = 1.0 / (1.0 + np.exp(-(number - 8.5)))
    return np.stack([1.0 - score, score], axis=1)


CLASSIFIER = CallableClassifier(counting, n_features=36)


def table(n: int = 150, **fields: Any) -> EventTable:
    values = jets(np.random.default_rng(5), n).astype(np.float32).astype(np.float64)
    columns = values[values[..., 0] > 0]
    constituents = ak.zip(dict(zip(("pt", "eta", "phi"), columns.T, strict=True)))
    given = ak.zip({"constituents": ak.unflatten(constituents, (values[..., 0] > 0).sum(axis=1))}, depth_limit=1)
    return LAYOUT.table(given, free_places=True, labels=(values[..., 0] > 0).sum(axis=1) > 8, **fields)


def kept(cap: float = 0.08) -> Validation:
    observables = jet_observables(LAYOUT, max_js_distance=cap, n_bins=10, n_quantiles=0)
    score = Marginals(max_js_distance=0.3, n_bins=5, n_quantiles=0)
    return Validation(inputs=None, score=score, correlations=None, observables=observables)


def attacked(events: EventTable | None = None, **options: Any) -> AttackResult:
    attack = ConstituentMoves(n_iterations=4, n_candidates=4, n_bins=10, **options)
    return run_attack(attack, CLASSIFIER, table() if events is None else events, rng=2)


def test_what_cannot_be_seen_in_observables_fools_a_network_of_multiplicities() -> None:
    free, within = attacked(), attacked(validation=kept())
    assert 0.1 < within.fooling_ratio < free.fooling_ratio
    assert within.validated.kept
    # The caps hold in a plain recomputation, and bind.
    observable = kept().observables["jet_mass"]
    assert observable.of is not None
    before, after = (observable.of.function(*t.values.T) for t in (within.nominal, within.adversarial))
    edges = kept().binning(within.nominal).edges[36]
    edges = edges[: 1 + int(np.argmax(edges))]
    bins = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    counts = [np.histogram(values, bins)[0].astype(float)[None] for values in (before, after)]
    assert js_distance(*counts)[0] <= 0.08 + 1e-6
    figures = {figure.column: figure.value for figure in within.validated.figures}
    assert figures["jet_mass"] == pytest.approx(js_distance(*counts)[0], abs=1e-6)
    assert max(figures[name] / 0.08 for name in ("jet_mass", "jet_pt", "jet_d2")) > 0.5


def test_only_some_events_move_and_the_same_seed_moves_them_alike() -> None:
    events = table()
    before, mask = events.values.copy(), np.arange(events.n_events) % 3 == 0
    attack = ConstituentMoves(n_iterations=2, n_candidates=3)
    first, second = (run_attack(attack, CLASSIFIER, events, rng=4, target=mask) for _ in range(2))
    np.testing.assert_array_equal(first.adversarial.values, second.adversarial.values)
    np.testing.assert_array_equal(events.values, before)
    moved = (first.adversarial.values != before).any(axis=1)
    assert moved.any()
    assert not moved[~mask].any()
    values = first.adversarial.values.reshape(-1, 12, 3)[..., :2]
    np.testing.assert_array_equal(values, values.astype(np.float32))


def test_nothing_moves_within_an_envelope_without_width() -> None:
    events = table()
    nothing = Envelope.absolute(events, np.zeros(events.n_features))
    result = run_attack(ConstituentMoves(), CLASSIFIER, events, rng=1, envelope=nothing)
    np.testing.assert_array_equal(result.adversarial.values, events.values)


def test_every_kind_of_move_can_be_taken_alone() -> None:
    ratios = {move: attacked(moves=(move,)).fooling_ratio for move in MOVES}
    # Multiplicity falls by merging only, and turning changes none.
    assert ratios["turn"] == 0.0
    assert min(ratios["split"], ratios["radiate"]) > ratios["merge"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"moves": ("split", "boost")}, "moves must be some of split, radiate, merge, turn, got boost"),
        ({"moves": ()}, "got none"),
        ({"max_soft": 0.7}, "max_soft must be positive and small, got 0.7"),
        ({"max_angle": 0.0}, "max_angle must be positive and small, got 0.0"),
        ({"validation": Validation(correlations=Correlations())}, "keep distributions only"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConstituentMoves(**options)


def test_missing_places_and_other_columns_are_refused() -> None:
    missing = EventTable.from_arrays(np.where(table().values == 0.0, np.nan, table().values), labels=table().labels)
    with pytest.raises(ValueError, match=r"empty places are missing values.*free_places=True"):
        attacked(replace(missing, sentinel=0.0))
    other = EventTable.from_arrays(np.random.default_rng(1).normal(size=(400, 4)), labels=np.arange(400) % 2)
    classifier = CallableClassifier(lambda values: 1.0 / (1.0 + np.exp(-values[:, 0])), n_features=4)
    with pytest.raises(ValueError, match="the 4 columns are not pt, eta, phi of constituents"):
        run_attack(ConstituentMoves(), classifier, other, rng=1)


def test_names_of_moves_are_those_of_functions() -> None:
    assert all(function.__name__ == name for name, function in MOVES.items())
    assert list(itertools.chain(ConstituentMoves().moves)) == list(MOVES)
