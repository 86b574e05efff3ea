# SPDX-License-Identifier: BSD-3-Clause
"""
The sweep of the paper: every feature of an event takes its cheapest candidate along the gradient.

The direction alone is the network's; how far a value goes is decided by what the move does
to marginals and correlations (arXiv:2603.13970, sec. 3).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from hepfool.attacks.bounded_search import cheapest_on_grid
from hepfool.attacks.candidates import (
    CONTINUOUS,
    FIXED,
    Course,
    Layout,
    candidate,
    course_of,
    grid_of,
    move_free,
)
from hepfool.attacks.search import Choice, Grid, Rules, consider, no_choice
from hepfool.kernels import inline_kernel, kernel, threads
from hepfool.statistics.dataset_state import DatasetState
from hepfool.statistics.incremental import Probe, commit, deviate, probe
from hepfool.typing import FloatArray, IntArray

__all__ = ["sweep"]


class _Space(NamedTuple):
    """Working space: an event's deviations from the means, and the bounds of the blocks of bins."""

    deviation: FloatArray
    bounds: FloatArray

    @classmethod
    def of(cls, state: DatasetState) -> _Space:
        """Allocate."""
        return cls(np.empty(state.vectors.shape[1]), np.empty(state.blocks.shape[1]))


def sweep(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    events: IntArray,
    direction: FloatArray,
    seed: int,
    *,
    n_ahead: int = 1,
) -> None:
    """
    Move each event once along its direction, feature by feature, always to the cheapest candidate.

    Parameters
    ----------
    state : DatasetState
        Updated with every move.
    rules : Rules
        Prices and caps.
    layout : Layout
        Events and features.
    values : FloatArray, shape (n_events, n_features)
        Updated in place.
    events : IntArray, shape (n_moved,)
        Events to move, in this order.
    direction : FloatArray, shape (n_moved, n_features)
        Only its signs count; 0 stays.
    seed : int
        Of the random candidates.
    n_ahead : int
        Events whose candidates are chosen at a time, by several threads if there are any, before the first
        of them moves; what is chosen does not depend on the number of threads.
    """
    moves = _Moves(values, events, direction, seed)
    if n_ahead == 1:
        _move(state, rules, layout, moves, np.full((1, 0), np.nan), _Space.of(state))
        return
    n_threads = min(threads(), n_ahead)
    spaces = [_Space.of(state) for _ in range(n_threads)]
    proposed = np.empty((n_ahead, values.shape[1]))
    with ThreadPoolExecutor(n_threads) as pool:
        for start in range(0, len(events), n_ahead):
            part = slice(start, start + n_ahead)
            block = moves._replace(events=events[part], direction=direction[part])
            lanes = np.array_split(np.arange(len(block.events)), n_threads)
            jobs = [
                pool.submit(_propose, state, rules, layout, block, lane, proposed, space)
                for lane, space in zip(lanes, spaces, strict=True)
            ]
            for job in jobs:
                job.result()
            _move(state, rules, layout, block, proposed, spaces[0])


class _Moves(NamedTuple):
    """Events to be moved: all values, which events, along what, and the seed of random candidates."""

    values: FloatArray
    events: IntArray
    direction: FloatArray
    seed: int


@inline_kernel
def _sign(kind: int, gradient: float, value: float) -> float:
    """Direction of a move; 0 for a value that stays."""
    stays = gradient == 0.0 or np.isnan(gradient) or np.isnan(value) or kind == FIXED
    return 0.0 if stays else (1.0 if gradient > 0.0 else -1.0)


@inline_kernel
def _choose(
    bins: FloatArray,
    blocks: FloatArray,
    rules: Rules,
    course: Course,
    item: Probe,
    grid: Grid,
    seed: int,
    bounds: FloatArray,
) -> Choice:
    """Cheapest admissible candidate of a constrained event."""
    if course.kind == CONTINUOUS and course.n_candidates == 0:
        best = cheapest_on_grid(bins, blocks, item, rules, grid, bounds)
    else:
        best = no_choice()
        for t in range(grid.n):
            best = consider(bins, item, rules, grid.origin, candidate(course, grid, t, seed), best)
    return best


@kernel
def _propose(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    moves: _Moves,
    lane: IntArray,
    proposed: FloatArray,
    space: _Space,
) -> None:
    """Choose new values for some events, as if each value were the only one to move; NaN to stay."""
    values, events, direction, seed = moves
    for index in lane:
        i = events[index]
        deviate(state.vectors, values[i], space.deviation)
        for j in range(values.shape[1]):
            proposed[index, j] = np.nan
            sign = _sign(layout.kinds[j], direction[index, j], values[i, j])
            if sign == 0.0 or not layout.constrained[i]:
                continue
            course = course_of(layout, i, j)
            grid = grid_of(course, values[i, j], sign)
            item = probe(state, j, values[i, j], layout.weights[i], space.deviation)
            best = _choose(state.bins[j], state.blocks[j], rules, course, item, grid, seed, space.bounds)
            if best.new_bin >= 0:
                proposed[index, j] = best.value


@kernel
def _move(
    state: DatasetState, rules: Rules, layout: Layout, moves: _Moves, proposed: FloatArray, space: _Space
) -> None:
    """
    Move events one after the other, each value to what is proposed for it if that is still admissible.

    If it is not, and if there are no proposals, the cheapest candidate is searched for.
    """
    values, events, direction, seed = moves
    for index in range(events.shape[0]):
        i = events[index]
        weight = layout.weights[i]
        deviate(state.vectors, values[i], space.deviation)
        for j in range(values.shape[1]):
            sign = _sign(layout.kinds[j], direction[index, j], values[i, j])
            if sign == 0.0:
                continue
            course = course_of(layout, i, j)
            if not layout.constrained[i]:
                values[i, j] = move_free(course, values[i, j], sign, seed)
                continue
            item = probe(state, j, values[i, j], weight, space.deviation)
            best = no_choice()
            if proposed.shape[1] > 0 and not np.isnan(proposed[index, j]):
                best = consider(state.bins[j], item, rules, values[i, j], proposed[index, j], best)
            if best.new_bin < 0:
                grid = grid_of(course, values[i, j], sign)
                best = _choose(state.bins[j], state.blocks[j], rules, course, item, grid, seed, space.bounds)
            staying = rules.alpha * np.sqrt(item.divergence) + rules.beta * np.sqrt(item.distance / item.norm)
            # At the nominal events staying costs nothing: what has not moved yet has to move first.
            stays = layout.compete and staying <= best.cost and values[i, j] != layout.nominal[i, j]
            if best.new_bin >= 0 and not stays:
                commit(state, j, item, best.delta, best.new_bin, weight, space.deviation)
                values[i, j] = best.value
