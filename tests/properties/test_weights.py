# SPDX-License-Identifier: BSD-3-Clause
"""Signed weights: an attack keeps its caps, or is refused before its first iteration."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable
from hepfool.statistics.bins import merge_negative
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier, events

JS_CAP, SHIFT_CAP = 0.08, 0.06
FINITE = st.floats(-10.0, 10.0, allow_subnormal=False)
SIGNED = st.one_of(
    st.floats(0.0, 0.5).map(lambda share: ("negative", share)),
    st.floats(-3.0, 12.0).map(lambda power: ("dominant", power)),
    st.floats(-6.0, 1.0).map(lambda level: ("missing", level)),
    st.lists(FINITE, min_size=4, max_size=4).map(lambda few: ("repeated", few)),
)


def _weights(kind: str, number: float | list[float], table: EventTable, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.2, 2.0, size=table.n_events)
    if kind == "negative":
        weights[rng.uniform(size=len(weights)) < number] *= -1.0
    elif kind == "dominant":
        weights[rng.integers(len(weights))] = 10.0 ** float(number)  # type: ignore[arg-type]
    elif kind == "missing":
        weights[table.missing.any(axis=1)] = number
    else:
        weights = np.resize(np.array(number), len(weights))
    return weights


def _distance(result: AttackResult, j: int) -> float:
    """Jensen-Shannon distance from the tables alone, in the bins that have no negative content."""
    nominal, edges = result.nominal, result.binning.edges[j].copy()
    edges[[0, -1]] = -np.inf, np.inf
    weights = nominal.weights[nominal.constrained]
    rows = []
    for table in (nominal, result.adversarial):
        column = table.values[nominal.constrained, j]
        present = ~np.isnan(column)
        inside = np.histogram(column[present], bins=edges, weights=weights[present])[0]
        rows.append([*inside, weights[~present].sum()])
    pair = np.array(rows)
    groups = merge_negative(pair)
    p, q = (np.bincount(groups, weights=row) / weights.sum() for row in pair)
    m = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(x > 0, x * np.log2(x / m), 0.0).sum() for x in (p, q)]
    return float(np.sqrt(max(0.5 * sum(terms), 0.0)))


def _shift(result: AttackResult) -> float:
    """Relative change of the matrix of correlations, from weighted sums in two passes."""
    nominal = result.nominal
    weights = nominal.weights[nominal.constrained]
    before, after = (table.values[nominal.constrained] for table in (nominal, result.adversarial))
    present = ~np.isnan(before)
    fill = (weights[:, np.newaxis] * np.where(present, before, 0.0)).sum(axis=0) / (weights @ present)
    matrices = []
    for values in (before, after):
        filled = np.where(np.isnan(values), fill, values)
        centred = filled - weights @ filled / weights.sum()
        cross = (centred * weights[:, np.newaxis]).T @ centred
        matrices.append(cross / np.sqrt(np.outer(np.diag(cross), np.diag(cross))))
    return float(np.linalg.norm(matrices[1] - matrices[0]) / np.linalg.norm(matrices[0]))


@example(kind=("missing", -2.8e-55), seed=0, strategy="frugal")
@given(kind=SIGNED, seed=st.integers(0, 2**16), strategy=st.sampled_from(["paper", "frugal"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_attack_on_signed_weights_keeps_its_caps_or_is_refused_before_it_starts(
    kind: tuple[str, float | list[float]], seed: int, strategy: str
) -> None:
    table = events(120, seed=seed % 50, regions=False)
    table = replace(table, weights=_weights(*kind, table, seed))
    attack = CONSERVAttack(
        n_iterations=2,
        n_bins=12,
        max_js_distance=JS_CAP,
        max_correlation_shift=SHIFT_CAP,
        strategy=strategy,  # type: ignore[arg-type]
    )
    started: list[tuple[str, float]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            result = run_attack(
                attack,
                SineClassifier(),
                table,
                rng=np.random.default_rng(seed),
                progress=lambda *told: started.append(told),
            )
        except ValueError:
            result = None
    if result is None:
        assert not started
        return
    assert result.compatibility.max_js_distance <= JS_CAP
    assert result.compatibility.correlation_shift <= SHIFT_CAP
    assert max(_distance(result, j) for j in range(table.n_features)) <= JS_CAP * (1.0 + 1e-6)
    assert _shift(result) <= SHIFT_CAP * (1.0 + 1e-6)
