# SPDX-License-Identifier: BSD-3-Clause
"""Signed weights: an attack keeps its caps, or is refused before its first iteration for the reason that holds."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.events import EventTable
from hepfool.statistics import Binning
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier, events

JS_CAP, SHIFT_CAP, N_BINS = 0.08, 0.06, 12
FINITE = st.floats(-10.0, 10.0, allow_subnormal=False)
FEATURE = st.integers(0, 5)
WEIGHTS = st.one_of(
    st.floats(0.0, 0.5).map(lambda share: ("negative", share)),
    st.floats(-3.0, 12.0).map(lambda power: ("dominant", power)),
    st.floats(-6.0, 1.0).map(lambda level: ("missing", level)),
    st.lists(FINITE, min_size=4, max_size=4).map(lambda few: ("repeated", *few)),
    st.tuples(FEATURE, st.floats(1e-4, 0.2)).map(lambda falling: ("falling", *falling)),
    st.tuples(FEATURE, st.floats(0.05, 0.45)).map(lambda tails: ("tails", *tails)),
)


def _weights(kind: str, numbers: list[float], table: EventTable, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.2, 2.0, size=table.n_events)
    if kind == "negative":
        weights[rng.uniform(size=len(weights)) < numbers[0]] *= -1.0
    elif kind == "dominant":
        weights[rng.integers(len(weights))] = 10.0 ** numbers[0]
    elif kind == "missing":
        weights[table.missing.any(axis=1)] = numbers[0]
    elif kind == "repeated":
        weights = np.resize(np.array(numbers), len(weights))
    else:
        values = np.nan_to_num(table.values[:, int(numbers[0])])
        if kind == "tails":
            values = np.abs(values - np.median(values))
            weights[values > np.quantile(values, 1.0 - numbers[1])] *= -1.0
        else:  # what is negative leaves only a part of what is positive
            high = values > np.median(values)
            weights[high] *= -(1.0 - numbers[1]) * weights[~high].sum() / max(weights[high].sum(), 0.1)
    return weights


def _contents(table: EventTable, binning: Binning, j: int) -> FloatArray:
    """Sums of weights in the bins of one feature, missing values last."""
    edges = binning.edges[j].copy()
    edges[[0, -1]] = -np.inf, np.inf
    column, weights = table.values[:, j], table.weights
    present = ~np.isnan(column)
    inside = np.histogram(column[present], bins=edges, weights=weights[present])[0]
    return np.array([*inside, weights[~present].sum()])


def _merged(rows: FloatArray) -> FloatArray:
    """Contents after each negative one joined its left neighbour, or its right one at the left end."""
    least = -1e-12 * np.abs(rows).sum(axis=1)
    groups: list[FloatArray] = []
    for content in rows.T:
        groups.append(content)
        while len(groups) > 1 and ((groups[-1] < least) | (groups[-2] < least)).any():
            last = groups.pop()
            groups[-1] = groups[-1] + last
    return np.stack(groups, axis=1)


def _apart(value: float, limit: float) -> bool:
    """Leave out what rounding may put on either side of a limit."""
    assume(not 0.5 * limit < value < 2.0 * limit)
    return value < limit


def _problems(table: EventTable, attacked: FloatArray) -> list[str]:
    """Say from exact sums what forbids the attack."""
    weights = table.weights
    sizes = np.abs(weights)
    total, net, largest = math.fsum(sizes), math.fsum(weights), sizes.max()
    if largest < 1e-150:
        return ["whose square is no number" if largest else "do not sum to a positive number"]
    assume(net <= 0.0 or net > 1e-14 * total)
    if net <= 0.0:
        return ["the weights of the constrained events do not sum to a positive number"]
    if _apart(net, 1e-6 * total):
        return ["the weights of the constrained events cancel to rounding"]
    if np.count_nonzero(weights) > 1 and _apart(math.fsum(sorted(sizes)[:-1]), 1e-6 * largest):
        return ["one constrained event outweighs all others to rounding"]
    of_attacked = math.fsum(weights[attacked])
    assume(abs(of_attacked) > 1e-14 * total)
    found = ["the weights of the attacked events do not sum to a positive number"] if of_attacked < 0.0 else []
    return [*found, *_problems_of_features(table)] if (weights < 0.0).any() else found


def _problems_of_features(table: EventTable) -> Iterator[str]:
    binning = Binning.uniform(table, n_bins=N_BINS)
    for j, name in enumerate(table.features.names):
        contents = _contents(table, binning, j)
        relative = np.abs(contents) / np.abs(contents).sum()
        assume(not ((relative > 1e-20) & (relative < 1e-9)).any())
        left = _merged(contents[np.newaxis])
        if np.count_nonzero(contents) > 1 and np.count_nonzero(left > 1e-12 * np.abs(contents).sum()) < 2:
            yield f"a single bin of {name!r} is left once those of negative content are merged"
    for j, name in enumerate(table.features.names):
        signed, unsigned = (_variance(table, j, weights) for weights in (table.weights, np.abs(table.weights)))
        if unsigned > 0 and _apart(signed, 1e-6 * unsigned):
            yield f"the weighted variance of {name!r} is not positive"


def _filled(values: FloatArray, nominal: EventTable) -> FloatArray:
    """Missing values at the weighted mean of the present ones."""
    weights, present = nominal.weights[:, np.newaxis], ~nominal.missing
    fill = (weights * np.where(present, nominal.values, 0.0)).sum(axis=0) / (weights * present).sum(axis=0)
    return np.where(present, values, fill)


def _variance(table: EventTable, j: int, weights: FloatArray) -> float:
    values = _filled(table.values, table)[:, j]
    return float(weights @ (values - weights @ values / weights.sum()) ** 2 / weights.sum())


def _distance(result: AttackResult, j: int) -> float:
    """Jensen-Shannon distance from the tables alone, in the bins that have no negative content."""
    pair = np.stack([_contents(table, result.binning, j) for table in (result.nominal, result.adversarial)])
    p, q = _merged(pair) / result.nominal.weights.sum()
    m = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(x > 0, x * np.log2(x / m), 0.0).sum() for x in (p, q)]
    return float(np.sqrt(max(0.5 * sum(terms), 0.0)))


def _shift(result: AttackResult) -> float:
    """Relative change of the matrix of correlations, from weighted sums in two passes."""
    weights = result.nominal.weights
    matrices = []
    for table in (result.nominal, result.adversarial):
        filled = _filled(table.values, result.nominal)
        centred = filled - weights @ filled / weights.sum()
        cross = (centred * weights[:, np.newaxis]).T @ centred
        matrices.append(cross / np.sqrt(np.outer(np.diag(cross), np.diag(cross))))
    return float(np.linalg.norm(matrices[1] - matrices[0]) / np.linalg.norm(matrices[0]))


@example(kind=("missing", -2.8e-55), seed=0, strategy="frugal")
@example(kind=("missing", -0.3), seed=0, strategy="paper")
@example(kind=("falling", 0, 0.02), seed=1, strategy="frugal")
@example(kind=("tails", 1, 0.3), seed=0, strategy="frugal")
@example(kind=("repeated", 1.0, -1.0, 1.0, -1.1), seed=0, strategy="frugal")
@example(kind=("dominant", 9.0), seed=0, strategy="frugal")
@given(kind=WEIGHTS, seed=st.integers(0, 2**16), strategy=st.sampled_from(["paper", "frugal"]))
@settings(max_examples=40)
def test_an_attack_on_signed_weights_keeps_its_caps_or_is_refused_for_the_reason_that_holds(
    kind: tuple[str, *tuple[float, ...]], seed: int, strategy: str
) -> None:
    table = events(120, seed=seed % 50, regions=False)
    table = replace(table, weights=_weights(kind[0], list(kind[1:]), table, seed))
    attack = CONSERVAttack(
        n_iterations=2,
        n_bins=N_BINS,
        max_js_distance=JS_CAP,
        max_correlation_shift=SHIFT_CAP,
        strategy=strategy,  # type: ignore[arg-type]
    )
    network = SineClassifier()
    problems = _problems(table, network.predict(table.network_values) == table.labels)
    started: list[tuple[str, float]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)

        def attacked() -> AttackResult:
            rng = np.random.default_rng(seed)
            return run_attack(attack, network, table, rng=rng, progress=lambda *told: started.append(told))

        if problems:
            with pytest.raises(ValueError, match="|".join(map(re.escape, problems))):
                attacked()
            assert not started
            return
        result = attacked()
    assert result.compatibility.max_js_distance <= JS_CAP
    assert result.compatibility.correlation_shift <= SHIFT_CAP
    assert max(_distance(result, j) for j in range(table.n_features)) <= JS_CAP * (1.0 + 1e-6)
    assert _shift(result) <= SHIFT_CAP * (1.0 + 1e-6)
