# SPDX-License-Identifier: BSD-3-Clause
"""Every move of every combination of options is a cheapest admissible one, judged by brute force."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import AttackProblem, CONSERVAttack
from hepfool.attacks._bounds import Bounds
from hepfool.attacks._checks import check_parts, in_parts
from hepfool.attacks._search.engine import sweep_islands
from hepfool.events import Envelope, EventTable, Region
from hepfool.features import Derived, Feature, FeatureSpace
from hepfool.typing import FloatArray
from hepfool.validation import Correlations, Marginals, Validation
from tests.replay import Replay, Truth
from tests.specimens import SineClassifier

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")]

STRATEGIES = ("paper", "frugal")
KINDS = ("plain", "distance", "derived", "observables")
GROUPS = ("union", "regions", "overlapping", "processes", "inputs by process", "no inputs")
WAYS = ("one by one", "ahead", "repaired")
#: Problems per combination, of the seeds that may be tried: negative weights may leave a group of few events without a sum.
N_PROBLEMS, SEEDS = 1, range(12)
REFUSALS = ("the weighted variance of", "constrained events sum to", "constrained events do not sum to")


def product(x: FloatArray, y: FloatArray) -> FloatArray:
    return x * y


def some_events(rng: np.random.Generator, *, derived: bool, overlapping: bool, signed: bool) -> EventTable:
    """Events of every kind in two or three regions, in units of any size."""
    n = int(rng.integers(26, 40))
    scale = float(rng.choice([1e-6, 1.0, 1e6]))
    x, y = rng.normal(size=(2, n)).clip(-2.5, 2.5)
    x *= scale
    y += 0.5 * x / scale
    y[rng.uniform(size=n) < 0.15] = np.nan
    columns = [x, rng.poisson(2.0, size=n), rng.uniform(-np.pi, np.pi, size=n), rng.choice([-1.0, 1.0], size=n), y]
    features = [
        Feature(name="x"),
        Feature(name="n", kind="integer", lower=0.0),
        Feature(name="phi", kind="angle", lower=-np.pi, upper=np.pi),
        Feature(name="charge", kind="fixed"),
        Feature(name="y"),
    ]
    if derived:
        columns[2] = x * y
        features[2] = Feature(name="xy", derived=Derived(["x", "y"], product, tolerance=1e-6 * scale))
    values = np.stack(columns, axis=1).astype(np.float32).astype(np.float64)
    if derived:
        values[:, 2] = values[:, 0] * values[:, 4]
    weights = rng.choice([0.5, 1.0, 2.0], size=n) if rng.uniform() < 0.5 else rng.uniform(0.5, 2.0, size=n)
    if signed:
        weights[rng.uniform(size=n) < 0.12] *= -1.0
    cut = 0.3 * scale
    regions = [
        Region("low", values[:, 0] < cut, cuts={"x": (-np.inf, cut)}),
        Region("high", values[:, 0] >= cut, str(rng.choice(["control", "signal"])), {"x": (cut, np.inf)}),  # type: ignore[arg-type]
    ]
    if overlapping:
        regions = [
            Region("all", np.arange(n) > 2),
            Region("some", np.arange(n) % 3 > 0),
            Region("few", np.arange(n) < 20),
        ]
    labels = (np.nan_to_num(values[:, 4]) + 0.5 * values[:, 0] / scale > 0).astype(int)
    return EventTable.from_arrays(
        values, features=FeatureSpace(features), labels=labels, weights=weights, regions=tuple(regions), sentinel=-999.0
    )


def some_validation(rng: np.random.Generator, kind: str, groups: str) -> Validation:
    cap, shift = (float(rng.choice([np.inf, 0.2, 0.05, 0.01, 0.0], p=[0.2, 0.3, 0.3, 0.1, 0.1])) for _ in range(2))
    separately = {"overlapping": "regions", "inputs by process": "union", "no inputs": "regions"}.get(groups, groups)
    bins: dict[str, Any] = {"n_bins": int(rng.integers(3, 40)), "n_quantiles": int(rng.choice([0, 5]))}
    inputs = Marginals(max_js_distance=cap, separately="processes" if groups == "inputs by process" else None, **bins)
    observables = (
        {"xy": Marginals(max_js_distance=cap, of=Derived(["x", "y"], product), **bins)} if kind == "observables" else {}
    )
    return Validation(
        inputs=None if groups == "no inputs" else inputs,
        score=None,
        observables=observables,
        correlations=Correlations(max_shift=shift, kind="distance" if kind == "distance" else "pearson"),
        separately=separately,  # type: ignore[arg-type]
    )


def some_attack(rng: np.random.Generator, strategy: str, kind: str, groups: str, way: str) -> CONSERVAttack:
    options: dict[str, Any] = {"strategy": strategy, "validation": some_validation(rng, kind, groups)}
    if rng.uniform() < 0.5:
        options |= {"alpha": float(rng.choice([0.0, 4.0])), "beta": float(rng.choice([0.0, 1.0, 30.0]))}
    if groups == "no inputs" and kind != "observables":
        options.pop("alpha", None)
    elif rng.uniform() < 0.3:
        options["max_js_change"] = float(rng.choice([0.2, 0.05]))
    if rng.uniform() < 0.3:
        options |= {
            "max_correlation_change": float(rng.choice([0.1, 0.01])),
            "use_no_change": bool(rng.uniform() < 0.7),
        }
    followed = kind in {"derived", "observables"}
    if rng.uniform() < 0.4 or followed:
        options["n_candidates"] = int(rng.integers(1, 9))
    if strategy == "paper":
        options["compete"] = bool(rng.uniform() < 0.3)
        if "n_candidates" in options:
            options["candidates"] = str(rng.choice(["random", "even"]))
        else:
            options["step"] = 0.03
        options["optimize_already_fooled"] = way == "repaired"
    options["min_change"] = float(rng.choice([5e-4, 0.05]))
    options["n_ahead"] = 3 if way == "ahead" else 1
    return CONSERVAttack(**options)


def some_problem(rng: np.random.Generator, attack: CONSERVAttack, table: EventTable) -> AttackProblem:
    scales = np.nanmax(np.abs(table.values), axis=0) / 2.0
    classifier = SineClassifier(weights=np.array([1.0, 0.5, 0.7, 0.3, 1.2]), scales=scales, offset=0.0)
    envelope = Envelope.absolute(table, rng.uniform(0.3, 1.0) * scales * (scales > 0)) if rng.uniform() < 0.25 else None
    bare = attack.validation or Validation()
    wanted = rng.uniform(size=table.n_events) < 0.9
    unusable = attack.kept.unusable(table)
    check_parts(table, unusable, wanted)
    return AttackProblem(
        table=table,
        classifier=classifier,
        attacked=wanted & ~in_parts(table, unusable),
        classes=classifier.predict(table.network_values),
        constrained=table.constrained,
        bounds=Bounds.of(table, envelope),
        binning=bare.binning(table),
        frozen=np.zeros(table.n_events, dtype=np.bool_),
        envelope=envelope,
    )


def replayed(strategy: str, kind: str, groups: str, way: str, seed: int) -> list[Replay]:
    """Sweep twice and go through all moves; the second time from where the first one ended."""
    rng = np.random.default_rng([zlib.crc32(repr((strategy, kind, groups, way)).encode()), seed])
    attack = some_attack(rng, strategy, kind, groups, way)
    signed = kind != "distance" and bool(rng.uniform() < 0.4)
    table = some_events(rng, derived=kind == "derived", overlapping=groups == "overlapping", signed=signed)
    problem = some_problem(rng, attack, table)
    attack._check_table(table)
    search = attack._search(problem)
    truth, values, found = Truth.of(search, attack), table.values, []
    homewards = way == "repaired" and strategy == "paper"
    for number in range(2):
        back = homewards and number == 1
        asked = attack._asked(search, values)
        moving = asked.select(asked.fooled if back else ~asked.fooled | (strategy == "frugal"))
        if strategy == "frugal" or back:
            moving = moving.select(np.argsort(moving.margin, kind="stable"))
        options, draw = attack._options(homewards=back), int(rng.integers(2**62))
        after = sweep_islands(search, values, moving, options, attack._worth, attack._tuning, draw)
        if not search.columns.alone and not options.n_candidates:
            options = options._replace(n_candidates=50)
        replay = Replay(truth, options, moving, draw, values, after)
        replay.run(attack.n_ahead)
        found.append(replay)
        values = after
    return found


def refused(kind: str, groups: str, way: str) -> str | None:
    """Reason why a combination is refused, if it is."""
    if way != "ahead":
        return None
    if kind == "distance":
        return "goes with Pearson correlations"
    if kind in {"derived", "observables"}:
        return "needs inputs that move by themselves"
    return "compared in one group each" if groups in {"overlapping", "inputs by process"} else None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_move_is_a_cheapest_admissible_one(strategy: str, kind: str, groups: str, way: str) -> None:
    reason = refused(kind, groups, way)
    if reason is not None:
        with pytest.raises(ValueError, match=reason):
            replayed(strategy, kind, groups, way, 0)
        return
    n_problems, checked = 0, 0
    for seed in SEEDS:
        try:
            found = replayed(strategy, kind, groups, way, seed)
        except ValueError as error:
            assert any(text in str(error) for text in REFUSALS)  # noqa: PT017 - either is right
            continue
        n_problems += 1
        checked += sum(replay.n_checked for replay in found)
        if n_problems >= N_PROBLEMS and checked > 20:
            break
    assert n_problems >= N_PROBLEMS
    assert checked > 20
