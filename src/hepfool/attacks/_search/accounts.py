# SPDX-License-Identifier: BSD-3-Clause
"""What a move costs in all groups and columns that it touches, and how it is entered there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import allocating_part, inline_kernel
from hepfool.attacks._search.candidates import Layout
from hepfool.attacks._search.ledger import Ledger, owned_state_of, rules_of
from hepfool.attacks._search.pairs import Pairs, evaluate_one, put_pair, tabulate_one
from hepfool.attacks._search.price import keeps, step_divergence
from hepfool.statistics._dataset_state import (
    CORRELATION,
    CROSS,
    DISTANCE,
    DIVERGENCE,
    GROUP,
    INVERSE_SIGMA,
    NORM,
    VARIANCE,
    DatasetState,
    find_bin,
)
from hepfool.statistics._incremental import Probe, commit, commit_content, deviate, divergence_after, probe
from hepfool.typing import BoolArray, FloatArray, IntArray


class Accounts(NamedTuple):
    """
    Everything that a move is entered in.

    Attributes
    ----------
    ledger : Ledger
        Marginals and moments of all groups.
    layout : Layout
        Events and columns.
    counted : BoolArray, shape (n_columns,)
        Columns that count in the correlations.
    """

    ledger: Ledger
    layout: Layout
    counted: BoolArray


@allocating_part
def price_of_staying(accounts: Accounts, pairs: Pairs | None, g: int, columns: IntArray) -> float:
    """Price, in one group, of the columns that a move touches and of the correlations, as they are."""
    ledger = accounts.ledger
    state, rules = owned_state_of(ledger, g), rules_of(ledger, g, columns[0])
    result = rules.beta * shift_of(accounts, pairs, g)
    for c in columns:
        result += rules_of(ledger, g, c).alpha * np.sqrt(state.vectors[DIVERGENCE, c])
    return result


@allocating_part
def price_of_marginals(
    ledger: Ledger, groups: IntArray, items: list[Probe], columns: IntArray, before: FloatArray, after: FloatArray
) -> float:
    """Price of all touched marginals in all groups, infinite if a cap would be broken."""
    total = 0.0
    n_touched = columns.shape[0]
    for place in range(groups.shape[0]):
        g = groups[place]
        for t in range(n_touched):
            c = columns[t]
            item, rules = items[place * n_touched + t], rules_of(ledger, g, c)
            divergence = item.divergence
            if not np.isnan(after[t]) and after[t] != before[c]:
                bins = ledger.bins[g, c]
                new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, after[t])])
                divergence = divergence_after(bins, item, new_bin)
                if not keeps(divergence, item.divergence, rules.max_divergence):
                    return np.inf
                if step_divergence(bins, item, new_bin) > rules.max_step:
                    return np.inf
            total += rules.alpha * np.sqrt(divergence)
    return total


@allocating_part
def price_of_correlations(
    accounts: Accounts,
    pairs: Pairs | None,
    g: int,
    columns: IntArray,
    i: int,
    before: FloatArray,
    after: FloatArray,
    deviation: FloatArray,
) -> float:
    """Price of the correlations in one group, infinite if a cap would be broken."""
    rules = rules_of(accounts.ledger, g, columns[0])
    state, weight = owned_state_of(accounts.ledger, g), accounts.layout.weights[i]
    if pairs is not None:
        if pairs.first[g + 1] == pairs.first[g]:
            return 0.0
        current, nominal = pairs.state.current[g], pairs.state.nominal[g]
        now, norm = ((current - nominal) ** 2).sum(), (nominal**2).sum()
        apart, changed = evaluate_one(pairs, g, i, columns[0], before[columns[0]], after[0])
    else:
        now, norm = state.scalars[DISTANCE], state.scalars[NORM]
        apart, changed = correlation_changes(state, columns, accounts.counted, before, after, weight, deviation)
    shift = np.sqrt(max(now + apart, 0.0) / norm)
    if not keeps(shift, np.sqrt(now / norm), rules.max_shift) or np.sqrt(max(changed, 0.0) / norm) > rules.max_change:
        return np.inf
    return float(rules.beta * shift)


@allocating_part
def correlation_changes(
    state: DatasetState,
    columns: IntArray,
    counted: BoolArray,
    before: FloatArray,
    after: FloatArray,
    weight: float,
    deviation: FloatArray,
) -> tuple[float, float]:
    """By how much a joint move changes the squared distance from nominal, and the current matrix, squared."""
    cross, nominal = state.matrices[CROSS], state.matrices[CORRELATION]
    variance, inverse = state.vectors[VARIANCE], state.vectors[INVERSE_SIGMA]
    curvature = weight * (1.0 - weight / state.scalars[0])
    n_columns = deviation.shape[0]
    shift, new_inverse = np.zeros(n_columns), inverse.copy()
    moved = np.zeros(n_columns, dtype=np.bool_)
    for t in range(columns.shape[0]):
        k = columns[t]
        if counted[k] and not np.isnan(after[t]):
            shift[k], moved[k] = after[t] - before[k], True
            widened = variance[k] + shift[k] * (2.0 * weight * deviation[k] + shift[k] * curvature)
            if widened <= 0.0:
                return np.inf, np.inf
            new_inverse[k] = 1.0 / np.sqrt(widened)
    apart, changed = 0.0, 0.0
    for c in columns:
        if not moved[c]:
            continue
        for k in range(n_columns):
            if k != c and counted[k]:
                joint = weight * (shift[c] * deviation[k] + deviation[c] * shift[k]) + curvature * shift[c] * shift[k]
                now = cross[c, k] * inverse[c] * inverse[k]
                then = (cross[c, k] + joint) * new_inverse[c] * new_inverse[k]
                among = 1.0 if moved[k] else 2.0
                apart += among * ((then - nominal[c, k]) ** 2 - (now - nominal[c, k]) ** 2)
                changed += among * (then - now) ** 2
    return apart, changed


@allocating_part
def put(accounts: Accounts, pairs: Pairs | None, columns: IntArray, i: int, row: FloatArray, after: FloatArray) -> None:
    """Give one event other values in some columns, in every group, whatever that costs."""
    ledger, counted, weight = accounts.ledger, accounts.counted, accounts.layout.weights[i]
    groups = ledger.member[ledger.first[i] : ledger.first[i + 1]]
    deviation = np.empty(row.shape[0])
    for t in range(columns.shape[0]):
        c = columns[t]
        if np.isnan(after[t]) or after[t] == row[c]:
            continue
        for g in groups:
            state = owned_state_of(ledger, g)
            deviate(state.vectors, row, deviation)
            item = probe(state, c, row[c], weight, deviation)
            new_bin = int(state.bins[c, GROUP, find_bin(state.bins[c], item.inverse_width, after[t])])
            if counted[c]:
                commit(state, c, item, after[t] - row[c], new_bin, weight, deviation)
            else:
                commit_content(state, c, item, new_bin)
            if pairs is not None and counted[c] and pairs.first[g + 1] > pairs.first[g]:
                put_pair(pairs, g, i, c, row[c], after[t])
        row[c] = after[t]


@inline_kernel
def _copy(source: FloatArray, target: FloatArray) -> None:
    """Copy a matrix; as an assignment it would take seconds to compile, for the message that shapes differ."""
    for a in range(source.shape[0]):
        for b in range(source.shape[1]):
            target[a, b] = source[a, b]


@allocating_part
def give_row(accounts: Accounts, pairs: Pairs | None, i: int, row: FloatArray, after: FloatArray) -> bool:
    """
    Give an event all its new values if every cap allows, those on one move too, or none of them.

    Parameters
    ----------
    accounts : Accounts
        Updated if the values are taken.
    pairs : Pairs, optional
        Likewise.
    i : int
        Event.
    row, after : FloatArray, shape (n_columns,)
        Present values, updated likewise, and new ones.

    Returns
    -------
    bool
        Whether the values were taken.
    """
    ledger = accounts.ledger
    groups = ledger.member[ledger.first[i] : ledger.first[i + 1]]
    if not _keeps_marginals(accounts, groups, i, row, after):
        return False
    columns, before = np.arange(row.shape[0]), row.copy()
    vectors, matrices, scalars = ledger.vectors[groups], ledger.matrices[groups], ledger.scalars[groups]
    shift = np.array([shift_of(accounts, pairs, g) for g in groups])
    kept = True
    for c in range(row.shape[0]):
        if np.isnan(after[c]) or after[c] == row[c]:
            continue
        for g in groups:
            kept = kept and _changes_little(accounts, pairs, g, i, c, row, after[c])
        if kept:
            put(accounts, pairs, columns[c : c + 1], i, row, after[c : c + 1])
    for place in range(groups.shape[0]):
        g = groups[place]
        kept = kept and keeps(shift_of(accounts, pairs, g), shift[place], rules_of(ledger, g, 0).max_shift)
    if not kept:
        put(accounts, pairs, columns, i, row, before)
        # To the bit: a variance that had become negative would leave no number behind.
        for place in range(groups.shape[0]):
            state = owned_state_of(ledger, groups[place])
            _copy(vectors[place], state.vectors)
            _copy(matrices[place].reshape(-1, row.shape[0]), state.matrices.reshape(-1, row.shape[0]))
            for k in range(scalars.shape[1]):
                state.scalars[k] = scalars[place, k]
    return kept


@allocating_part
def _changes_little(
    accounts: Accounts, pairs: Pairs | None, g: int, i: int, c: int, row: FloatArray, new: float
) -> bool:
    """Whether moving one value keeps the cap on what one move does to the correlations of a group."""
    state, cap = owned_state_of(accounts.ledger, g), rules_of(accounts.ledger, g, c).max_change
    if cap == np.inf or not accounts.counted[c]:
        return True
    if pairs is not None:
        tabulate_one(pairs, g, i, c, row[c], np.array([[new]]))
        norm, changed = (pairs.state.nominal[g] ** 2).sum(), evaluate_one(pairs, g, i, c, row[c], new)[1]
    else:
        deviation = np.empty(row.shape[0])
        deviate(state.vectors, row, deviation)
        weight, moved = accounts.layout.weights[i], np.array([new])
        norm = state.scalars[NORM]
        changed = correlation_changes(state, np.array([c]), accounts.counted, row, moved, weight, deviation)[1]
    return bool(np.sqrt(max(changed, 0.0) / norm) <= cap)


@allocating_part
def _keeps_marginals(accounts: Accounts, groups: IntArray, i: int, row: FloatArray, after: FloatArray) -> bool:
    """Whether all marginals of all groups keep their caps if an event gets other values."""
    ledger, weight = accounts.ledger, accounts.layout.weights[i]
    deviation = np.zeros(row.shape[0])
    result = True
    for g in groups:
        state = owned_state_of(ledger, g)
        for c in range(row.shape[0]):
            if np.isnan(after[c]) or after[c] == row[c]:
                continue
            item = probe(state, c, row[c], weight, deviation)
            new_bin = int(state.bins[c, GROUP, find_bin(state.bins[c], item.inverse_width, after[c])])
            divergence = divergence_after(state.bins[c], item, new_bin)
            result = result and divergence < np.inf
            rules = rules_of(ledger, g, c)
            result = result and keeps(divergence, item.divergence, rules.max_divergence)
            result = result and (
                rules.max_step == np.inf or step_divergence(state.bins[c], item, new_bin) <= rules.max_step
            )
    return bool(result)


@allocating_part
def shift_of(accounts: Accounts, pairs: Pairs | None, g: int) -> float:
    """Present correlation shift of a group."""
    if pairs is not None:
        current, nominal = pairs.state.current[g], pairs.state.nominal[g]
        compared = pairs.first[g + 1] > pairs.first[g]
        return float(np.sqrt(((current - nominal) ** 2).sum() / (nominal**2).sum())) if compared else 0.0
    scalars = accounts.ledger.scalars[g]
    return float(np.sqrt(scalars[DISTANCE] / scalars[NORM]))
