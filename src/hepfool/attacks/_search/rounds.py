# SPDX-License-Identifier: BSD-3-Clause
r"""
Move any event: in several groups, with columns that follow, with distance correlations.

What is derived from a moved feature moves with it and counts in marginals and correlations, and so do
observables, which count in marginals only.  Their values for all candidates of many events are computed in one call,
as they depend on the event's own values only; the moves are then chosen one after the other, exactly.
Events go by rounds: in each, every event of a block moves one of its features.  The price of a candidate is the sum over
the groups and columns that it touches.
"""

from __future__ import annotations

import numpy as np

from hepfool._kernels import allocating_kernel, allocating_part
from hepfool.attacks._search.accounts import Accounts, price_of_correlations, price_of_marginals, price_of_staying, put
from hepfool.attacks._search.candidates import (
    ANGLE,
    FIXED,
    INTEGER,
    Layout,
    Options,
    course_of,
    n_bin_candidates,
    propose,
    travel_of,
    uniform,
)
from hepfool.attacks._search.columns import Columns
from hepfool.attacks._search.ledger import Ledger, owned_state_of
from hepfool.attacks._search.pairs import Pairs, tabulate_all
from hepfool.attacks._search.price import Worth, earned
from hepfool.attacks._search.sweep import Task, order_by_gain
from hepfool.statistics._incremental import deviate, probe
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Events whose candidates are proposed at a time.
_BLOCK = 512


def sweep_rounds(
    ledger: Ledger, task: Task, columns: Columns, pairs: Pairs | None, n_places: int, *, block: int = _BLOCK
) -> FloatArray:
    """
    Move each event towards its goal at the lowest price, block by block and feature by feature.

    Parameters
    ----------
    ledger : Ledger
        Updated with every move.
    task : Task
        Events to be moved; its values are updated.
    columns : Columns
        What moves with what.
    pairs : Pairs, optional
        Sums over pairs of events, updated with every move.
    n_places : int
        Candidates of a move at most, see :func:`most_candidates`.
    block : int
        Events whose candidates are proposed at a time; with one, events move one after the other.

    Returns
    -------
    FloatArray, shape (n_moved,)
        What the moves should have taken from each margin.
    """
    accounts = Accounts(ledger, task.layout, columns.counted)
    taken = np.zeros(len(task.events))
    for start in range(0, len(task.events), block):
        part, here = task.part(slice(start, start + block)), taken[start : start + block]
        order = _orders(ledger, part)
        for turn in range(order.shape[1]):
            waiting = _waiting(part, here, order[:, turn])
            for j in np.unique(order[waiting, turn]):
                of = np.flatnonzero(waiting & (order[:, turn] == j))
                proposed = np.full((len(of), n_places), np.nan)
                _propose_all(ledger, part, of, int(j), proposed)
                moved = _with_followers(columns, part.values[part.events[of]], int(j), proposed)
                _settle(accounts, pairs, part, columns.touched[int(j)], of, moved, here)
    return taken


def _waiting(task: Task, taken: FloatArray, feature: IntArray) -> BoolArray:
    """Mark the events whose turn it is to move a feature."""
    index = np.arange(len(task.events))
    slope, values = task.goals.slope[index, feature], task.values[task.events, feature]
    able = (task.layout.kinds[feature] != FIXED) & ~np.isnan(values) & np.isfinite(slope)
    if task.options.per_bin:
        return np.asarray(able & ~((task.goals.needed > 0.0) & (taken >= task.goals.needed)))
    return np.asarray(able & (slope != 0.0))


@allocating_kernel
def _orders(ledger: Ledger, task: Task) -> IntArray:
    """Order the features of each event as they move, shape (n_events, n_columns)."""
    slope = task.goals.slope
    order = np.empty(slope.shape, dtype=np.int64)
    gains = np.empty(slope.shape[1])
    for index in range(task.events.shape[0]):
        for j in range(slope.shape[1]):
            order[index, j] = j
        if task.options.per_bin:
            at = ledger.first[task.events[index]]
            g = ledger.member[at] if ledger.first[task.events[index] + 1] > at else 0
            order_by_gain(task.layout.kinds, ledger.bins[g], slope[index], gains, order[index])
    return order


def most_candidates(layout: Layout, options: Options, edges: FloatArray) -> int:
    """
    Count the places that the candidates of any value may need.

    Parameters
    ----------
    layout : Layout
        Events and columns.
    options : Options
        How candidates are proposed.
    edges : FloatArray, shape (n_columns, n_bins + 1)
        Bin edges of the columns.

    Returns
    -------
    int
        At least 1.
    """
    if options.per_bin:
        return n_bin_candidates(options, edges.shape[1] - 1) + 1
    span = layout.upper - layout.lower
    width = np.where(np.isfinite(span), span, 0.0).max(axis=0)
    width = np.where(layout.kinds == ANGLE, layout.period, np.where(layout.kinds == FIXED, 0.0, width))
    whole = layout.kinds == INTEGER
    steps = np.where(whole, np.maximum(np.ceil(layout.step), 1.0), np.where(layout.step > 0.0, layout.step, np.inf))
    # A fixed number of candidates does not limit whole numbers.
    counted = whole if options.n_candidates else np.ones(len(width), dtype=np.bool_)
    return max(options.n_candidates, int((width / steps)[counted].max(initial=0.0)) + 3)


@allocating_kernel
def _propose_all(ledger: Ledger, task: Task, of: IntArray, j: int, proposed: FloatArray) -> None:
    """List the candidates of one feature; free places stay as they are."""
    for position in range(of.shape[0]):
        index = of[position]
        i = task.events[index]
        at = ledger.first[i]
        g = ledger.member[at] if ledger.first[i + 1] > at else 0
        moved = (task.values[i, j], task.goals.slope[index, j])
        propose(course_of(task.layout, i, j), task.options, ledger.bins[g, j], moved, task.seed, proposed[position])


def _with_followers(columns: Columns, rows: FloatArray, j: int, proposed: FloatArray) -> FloatArray:
    """Values of a feature and of what follows it, for all candidates, shape (n_events, n_candidates, n_touched)."""
    following = columns.following[j]
    moved = np.empty((*proposed.shape, 1 + len(following)))
    moved[:, :, 0] = proposed
    with np.errstate(all="ignore"):  # no candidate, no value
        for t, follow in enumerate(following, start=1):
            moved[:, :, t] = follow(rows, proposed)
    return moved


@allocating_part
def _allowed(layout: Layout, i: int, columns: IntArray, before: FloatArray, after: FloatArray) -> bool:
    """Whether derived values exist as before and lie within their bounds."""
    row = layout.row[i]
    result = not np.isnan(after[0])
    for t in range(1, columns.shape[0]):
        c = columns[t]
        missing = np.isnan(before[c])
        inside = missing or layout.lower[row, c] <= after[t] <= layout.upper[row, c]
        result = result and inside and missing == np.isnan(after[t])
    return bool(result)


@allocating_kernel
def _settle(
    accounts: Accounts,
    pairs: Pairs | None,
    task: Task,
    columns: IntArray,
    of: IntArray,
    moved: FloatArray,
    taken: FloatArray,
) -> None:
    """Move one feature, and what follows it, of some events, one after the other."""
    j, goals, ledger = columns[0], task.goals, accounts.ledger
    for position in range(of.shape[0]):
        index = of[position]
        i, slope = task.events[index], goals.slope[index, j]
        needed = max(goals.needed[index] - taken[index], 0.0)
        free = ledger.first[i + 1] == ledger.first[i]
        if free:
            draw = uniform(task.seed, i * task.values.shape[1] + j)
            best = _any_allowed(task, columns, i, moved[position], draw, needed, slope)
        else:
            worth = Worth(0.0, 0.0, -np.inf, np.inf, 0.0, 0.0)
            if task.options.per_bin:
                reward = goals.reward[index] * needed / goals.needed[index] if goals.needed[index] > 0.0 else 0.0
                low, high = goals.low[index] - taken[index], goals.high[index] - taken[index]
                worth = Worth(slope, needed, low, high, reward, 0.0)
            best = _choose(accounts, pairs, task.options, columns, i, task.values[i], moved[position], worth)
        if best >= 0:
            travel = travel_of(course_of(task.layout, i, j), task.values[i, j], moved[position, best, 0])
            taken[index] += abs(slope * travel) if free else -slope * travel
            put(accounts, pairs, columns, i, task.values[i], moved[position, best])


@allocating_part
def _any_allowed(
    task: Task, columns: IntArray, i: int, moved: FloatArray, draw: float, needed: float, slope: float
) -> int:
    """Draw a candidate along the slope for an event that nothing constrains but its bounds; -1 without any."""
    course, before = course_of(task.layout, i, columns[0]), task.values[i]
    found = [-1]
    for t in range(moved.shape[0]):
        along = not task.options.per_bin
        along = along or (needed > 0.0 and slope * travel_of(course, before[columns[0]], moved[t, 0]) < 0.0)
        if along and _allowed(task.layout, i, columns, before, moved[t]):
            found.append(t)
    return found[1 + int(draw * (len(found) - 1))] if len(found) > 1 else -1


@allocating_part
def _choose(
    accounts: Accounts,
    pairs: Pairs | None,
    options: Options,
    columns: IntArray,
    i: int,
    before: FloatArray,
    moved: FloatArray,
    worth: Worth,
) -> int:
    """Find the best admissible candidate of a constrained event; -1 to stay."""
    ledger, layout = accounts.ledger, accounts.layout
    groups = ledger.member[ledger.first[i] : ledger.first[i + 1]]
    deviation = np.empty((groups.shape[0], before.shape[0]))
    base = 0.0
    for place in range(groups.shape[0]):
        deviate(ledger.vectors[groups[place]], before, deviation[place])
        base += price_of_staying(accounts, pairs, groups[place], columns)
    items = [
        probe(
            owned_state_of(ledger, groups[place]),
            c,
            0.0 if np.isnan(before[c]) else before[c],
            layout.weights[i],
            deviation[place],
        )
        for place in range(groups.shape[0])
        for c in columns
    ]
    course, value = course_of(layout, i, columns[0]), before[columns[0]]
    tabulate_all(pairs, groups, i, columns[0], value, moved)
    best, lowest, nearest = -1, np.inf, np.inf
    if options.per_bin:
        lowest = -1e-12
    elif options.compete and value != course.nominal:
        lowest, nearest = base, 0.0
    base = base if options.per_bin else 0.0
    for t in range(moved.shape[0]):
        gain = 0.0 if worth.slope == 0.0 else -worth.slope * travel_of(course, value, moved[t, 0])
        distance = abs(moved[t, 0] - value)
        allowed = distance > 0.0 and worth.low <= gain <= worth.high
        if not allowed or not _allowed(layout, i, columns, before, moved[t]):
            continue
        cost = price_of_marginals(ledger, groups, items, columns, before, moved[t]) - base - earned(worth, gain)
        for place in range(groups.shape[0]):
            if cost <= lowest:
                cost += price_of_correlations(
                    accounts, pairs, groups[place], columns, i, before, moved[t], deviation[place]
                )
        # The price of what breaks a cap is infinite.
        if cost < np.inf and (cost < lowest or (cost == lowest and distance < nearest)):
            best, lowest, nearest = t, cost, distance
    return best
