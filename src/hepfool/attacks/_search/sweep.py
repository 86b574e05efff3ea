# SPDX-License-Identifier: BSD-3-Clause
"""
Move events one after the other, each value to its best candidate: the sweep of the common case.

Here every event counts in one group at most and no other column follows a move.  :mod:`hepfool.attacks._search.rounds` does
the same for every problem, by trying all candidates, and is this sweep's slow twin.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from hepfool._kernels import inline_kernel, kernel, threads
from hepfool.attacks._search.bounded import Hunt, best_of_bins, cheapest_on_grid
from hepfool.attacks._search.candidates import (
    CONTINUOUS,
    FIXED,
    Layout,
    Options,
    candidate,
    course_of,
    grid_of,
    move_free,
    spot_of,
    travel_of,
)
from hepfool.attacks._search.ledger import Ledger, rules_of, state_of
from hepfool.attacks._search.price import Choice, Rules, Worth, consider, no_choice, staying, worthless
from hepfool.statistics._dataset_state import EDGE, DatasetState
from hepfool.statistics._incremental import Probe, commit, deviate, probe
from hepfool.typing import FloatArray, IntArray


class Goals(NamedTuple):
    """
    What each event of a sweep is to achieve.

    Attributes
    ----------
    slope : FloatArray, shape (n_moved, n_columns)
        Gradient of the margin, per unit of each column.
    needed : FloatArray, shape (n_moved,)
        Margin to be taken from an event; 0 for one that is to keep its class.
    low, high : FloatArray, shape (n_moved,)
        Smallest and largest margin that all moves of the event together may take.
    reward : FloatArray, shape (n_moved,)
        What fooling the event is worth, in units of the price.
    """

    slope: FloatArray
    needed: FloatArray
    low: FloatArray
    high: FloatArray
    reward: FloatArray

    def part(self, chosen: IntArray | slice) -> Goals:
        """Select events; arrays are copied."""
        return Goals(*(np.ascontiguousarray(field[chosen]) for field in self))


class Task(NamedTuple):
    """
    Events to be moved, and how.

    Attributes
    ----------
    layout : Layout
        Events and columns.
    options : Options
        How candidates are proposed.
    values : FloatArray, shape (n_events, n_columns)
        Updated in place.
    events : IntArray, shape (n_moved,)
        Events to move, in this order.
    goals : Goals
        What each of them is to achieve.
    seed : int
        Of the candidates.
    """

    layout: Layout
    options: Options
    values: FloatArray
    events: IntArray
    goals: Goals
    seed: int

    def part(self, chosen: slice) -> Task:
        """Select events."""
        return self._replace(events=self.events[chosen], goals=self.goals.part(chosen))


class Space(NamedTuple):
    """
    Working space.

    Attributes
    ----------
    deviation : FloatArray, shape (n_columns,)
        From the means.
    order : IntArray, shape (n_columns,)
        The features in the order in which they move.
    gain : FloatArray, shape (n_columns,)
        What orders them.
    bounds : FloatArray, shape (3, n_blocks)
        Of the prices within blocks of bins, and their displacements.
    nothing : FloatArray, shape (1, 0)
        No proposals.
    """

    deviation: FloatArray
    order: IntArray
    gain: FloatArray
    bounds: FloatArray
    nothing: FloatArray

    @classmethod
    def of(cls, ledger: Ledger) -> Space:
        """Allocate."""
        n_columns, n_blocks = ledger.blocks.shape[1:]
        gain, bounds = np.empty(n_columns), np.empty((3, n_blocks))
        return cls(np.empty(n_columns), np.arange(n_columns), gain, bounds, np.full((1, 0), np.nan))


def sweep(ledger: Ledger, task: Task, *, n_ahead: int = 1) -> FloatArray:
    """
    Move each event towards its goal at the lowest price.

    Parameters
    ----------
    ledger : Ledger
        Updated with every move.
    task : Task
        Events to be moved; its values are updated.
    n_ahead : int
        Events whose moves are chosen at a time, by several threads if there are any, before the first of them
        moves; what is chosen does not depend on the number of threads.

    Returns
    -------
    FloatArray, shape (n_moved,)
        What the moves should have taken from each margin.
    """
    taken = np.zeros(len(task.events))
    if n_ahead == 1:
        space = Space.of(ledger)
        _sweep(ledger, task, space.nothing, taken, space)
        return taken
    n_threads = min(threads(), n_ahead)
    spaces = [Space.of(ledger) for _ in range(n_threads)]
    with ThreadPoolExecutor(n_threads) as pool:
        for start in range(0, len(task.events), n_ahead):
            part = task.part(slice(start, start + n_ahead))
            proposed = np.full((len(part.events), task.values.shape[1]), np.nan)
            lanes = np.array_split(np.arange(len(part.events)), n_threads)
            jobs = [
                pool.submit(_propose, ledger, part, proposed, lane, space)
                for lane, space in zip(lanes, spaces, strict=True)
            ]
            for job in jobs:
                job.result()
            _sweep(ledger, part, proposed, taken[start : start + n_ahead], spaces[0])
    return taken


@kernel
def _sweep(ledger: Ledger, task: Task, proposed: FloatArray, taken: FloatArray, space: Space) -> None:
    """
    Move events one after the other, each value to what is proposed for it if that is still admissible.

    If it is not, and if there are no proposals, the best candidate is searched for.
    """
    for index in range(task.events.shape[0]):
        taken[index] = move_event(ledger, task, index, proposed, space)


@inline_kernel
def move_event(ledger: Ledger, task: Task, index: int, proposed: FloatArray, space: Space) -> float:
    """Move one event, and return what that should take from its margin."""
    i = task.events[index]
    at = ledger.first[i]
    constrained = ledger.first[i + 1] > at
    g = ledger.member[at] if constrained else 0
    if task.options.per_bin:
        order_by_gain(task.layout.kinds, ledger.bins[g], task.goals.slope[index], space.gain, space.order)
    if constrained:
        return _move(ledger, task, (index, i, g), proposed, space)
    return _move_freely(task, index, space.order)


@kernel
def _propose(ledger: Ledger, task: Task, proposed: FloatArray, lane: IntArray, space: Space) -> None:
    """Choose new values for some events, as if each value were the only one to move."""
    for index in lane:
        i = task.events[index]
        at = ledger.first[i]
        if ledger.first[i + 1] == at:
            continue
        g, taken = ledger.member[at], 0.0
        if task.options.per_bin:
            order_by_gain(task.layout.kinds, ledger.bins[g], task.goals.slope[index], space.gain, space.order)
        state = state_of(ledger, g)
        deviate(state.vectors, task.values[i], space.deviation)
        for j in space.order:
            if not _able(task, index, j, taken):
                continue
            value = task.values[i, j]
            item, rules = probe(state, j, value, task.layout.weights[i], space.deviation), rules_of(ledger, g, j)
            best = _best(state, rules, item, task, (index, i, j), taken, space.bounds)
            if best.new_bin >= 0:
                proposed[index, j] = best.value
                taken -= task.goals.slope[index, j] * travel_of(course_of(task.layout, i, j), value, best.value)


@inline_kernel
def order_by_gain(kinds: IntArray, bins: FloatArray, slope: FloatArray, gains: FloatArray, order: IntArray) -> None:
    """Order features by what crossing their range would take from the margin, the largest first."""
    for j in range(slope.shape[0]):
        gain = 0.0
        if kinds[j] != FIXED and np.isfinite(slope[j]):
            gain = abs(slope[j]) * (bins[j, EDGE, bins.shape[2] - 1] - bins[j, EDGE, 0])
        place = j
        while place > 0 and gains[place - 1] < gain:
            gains[place], order[place] = gains[place - 1], order[place - 1]
            place -= 1
        gains[place], order[place] = gain, j


@inline_kernel
def _able(task: Task, index: int, j: int, taken: float) -> bool:
    """Tell whether it is a value's turn to move."""
    slope, wanted = task.goals.slope[index, j], task.goals.needed[index]
    value = task.values[task.events[index], j]
    able = task.layout.kinds[j] != FIXED and not np.isnan(value) and np.isfinite(slope)
    if task.options.per_bin:
        return bool(able and not (wanted > 0.0 and taken >= wanted))
    return bool(able and slope != 0.0)


@inline_kernel
def _worth(task: Task, index: int, j: int, taken: float, base: float) -> Worth:
    """Weigh a move after other values have taken a part of the margin."""
    goals, wanted = task.goals, task.goals.needed[index]
    needed = max(wanted - taken, 0.0)
    reward = goals.reward[index] * needed / wanted if wanted > 0.0 else 0.0
    return Worth(goals.slope[index, j], needed, goals.low[index] - taken, goals.high[index] - taken, reward, base)


@inline_kernel
def _best(
    state: DatasetState,
    rules: Rules,
    item: Probe,
    task: Task,
    place: tuple[int, int, int],
    taken: float,
    bounds: FloatArray,
) -> Choice:
    """Find the best candidate of one value; its bin is -1 to stay."""
    index, i, j = place
    options, value = task.options, task.values[i, j]
    if options.per_bin:
        worth = _worth(task, index, j, taken, staying(item, rules))
        course, hunt = course_of(task.layout, i, j), Hunt(item, rules, worth, np.inf, -np.inf, np.inf)
        spot = spot_of(course, options, value)
        best = best_of_bins(state.bins[j], state.blocks[j], hunt, options, course, spot, task.seed, bounds)
    else:
        best = _cheapest(state, rules, item, task, place, bounds)
        # At the nominal events staying costs nothing: what has not moved yet has to move first.
        if options.compete and staying(item, rules) <= best.cost and value != task.layout.nominal[i, j]:
            best = no_choice()
    return best


@inline_kernel
def _cheapest(
    state: DatasetState, rules: Rules, item: Probe, task: Task, place: tuple[int, int, int], bounds: FloatArray
) -> Choice:
    """Find the cheapest admissible candidate of the grid along the slope."""
    index, i, j = place
    options, value, course = task.options, task.values[i, j], course_of(task.layout, i, j)
    grid = grid_of(course, options, value, -1.0 if task.goals.slope[index, j] > 0.0 else 1.0)
    if course.kind == CONTINUOUS and options.n_candidates == 0:
        best = cheapest_on_grid(state.bins[j], state.blocks[j], item, rules, grid, bounds)
    else:
        best = no_choice()
        for t in range(grid.n):
            new = candidate(course, options, grid, t, task.seed)
            best = consider(state.bins[j], item, rules, worthless(), (new - value, new - value, new), best)
    return best


@inline_kernel
def _again(
    state: DatasetState, rules: Rules, item: Probe, task: Task, place: tuple[int, int, int], taken: float, new: float
) -> Choice:
    """Take what was chosen ahead, if it is still admissible and, where that counts, better than staying."""
    index, i, j = place
    value, now = task.values[i, j], staying(item, rules)
    best, worth = no_choice(), worthless()
    if task.options.per_bin:
        best = Choice(0.0, 0.0, value, -1)
        worth = _worth(task, index, j, taken, now)
    elif task.options.compete and value != task.layout.nominal[i, j]:
        best = Choice(now, 0.0, value, -1)
    travel = travel_of(course_of(task.layout, i, j), value, new)
    return consider(state.bins[j], item, rules, worth, (new - value, travel, new), best)


@inline_kernel
def _move(ledger: Ledger, task: Task, place: tuple[int, int, int], proposed: FloatArray, space: Space) -> float:
    """Move the features of one event until its goal is reached; return what that should take from its margin."""
    index, i, g = place
    state, deviation = state_of(ledger, g), space.deviation
    weight, taken = task.layout.weights[i], 0.0
    deviate(state.vectors, task.values[i], deviation)
    for j in space.order:
        if not _able(task, index, j, taken):
            continue
        value = task.values[i, j]
        item, rules = probe(state, j, value, weight, deviation), rules_of(ledger, g, j)
        best = no_choice()
        if proposed.shape[1] > 0 and not np.isnan(proposed[index, j]):
            best = _again(state, rules, item, task, (index, i, j), taken, proposed[index, j])
        if best.new_bin < 0:
            best = _best(state, rules, item, task, (index, i, j), taken, space.bounds)
        if best.new_bin >= 0:
            taken -= task.goals.slope[index, j] * travel_of(course_of(task.layout, i, j), value, best.value)
            commit(state, j, item, best.delta, best.new_bin, weight, deviation)
            task.values[i, j] = best.value
    return taken


@inline_kernel
def _move_freely(task: Task, index: int, order: IntArray) -> float:
    """Take random candidates along the slope; with one candidate per bin, until the margin should be gone."""
    i, needed, taken = task.events[index], task.goals.needed[index], 0.0
    for j in order:
        value, slope = task.values[i, j], task.goals.slope[index, j]
        able = task.layout.kinds[j] != FIXED and not np.isnan(value) and np.isfinite(slope) and slope != 0.0
        if able and (needed > taken or not task.options.per_bin):
            course = course_of(task.layout, i, j)
            task.values[i, j] = move_free(course, task.options, value, -1.0 if slope > 0.0 else 1.0, task.seed)
            taken += abs(slope * travel_of(course, value, task.values[i, j]))
    return taken
