# SPDX-License-Identifier: BSD-3-Clause
"""
The sweep of the paper: every feature of an event takes its cheapest candidate along the gradient.

The direction alone is the network's; how far a value goes is decided by what the move does
to marginals and correlations (arXiv:2603.13970, sec. 3).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool.attacks.bounded_search import cheapest_on_grid
from hepfool.attacks.candidates import (
    CONTINUOUS,
    FIXED,
    Layout,
    candidate,
    counter_of,
    grid_of,
    move_free,
)
from hepfool.attacks.search import Choice, Grid, Rules, consider, no_choice
from hepfool.kernels import inline_kernel, kernel
from hepfool.statistics.incremental import FILL, MEAN, DatasetState, Probe, commit, probe
from hepfool.typing import FloatArray, IntArray

__all__ = ["sweep"]


@inline_kernel
def _choose(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    item: Probe,
    place: tuple[int, int],
    grid: Grid,
    seed: int,
    bounds: FloatArray,
) -> Choice:
    """Cheapest admissible candidate of a constrained event."""
    i, j = place
    if layout.kinds[j] == CONTINUOUS and layout.n_candidates == 0:
        best = cheapest_on_grid(state.bins[j], state.blocks[j], item, rules, grid, bounds)
    else:
        best = no_choice()
        counter = counter_of(layout, i, j)
        for t in range(grid.n):
            value = candidate(layout, i, j, grid, t, seed, counter)
            best = consider(state.bins[j], item, rules, grid.origin, value, best)
    return best


def sweep(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    events: IntArray,
    direction: FloatArray,
    seed: int,
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
    """
    space = _Space(np.empty(values.shape[1]), np.empty(state.blocks.shape[1]))
    _sweep(state, rules, layout, values, events, direction, seed, space)


class _Space(NamedTuple):
    """Working space: an event's deviations from the means, and the bounds of the blocks of bins."""

    deviation: FloatArray
    bounds: FloatArray


@kernel
def _sweep(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    events: IntArray,
    direction: FloatArray,
    seed: int,
    space: _Space,
) -> None:
    n_features = values.shape[1]
    deviation, bounds = space
    for index in range(events.shape[0]):
        i = events[index]
        weight = layout.weights[i]
        for k in range(n_features):
            deviation[k] = (state.vectors[FILL, k] if np.isnan(values[i, k]) else values[i, k]) - state.vectors[MEAN, k]
        for j in range(n_features):
            gradient, value = direction[index, j], values[i, j]
            if gradient == 0.0 or np.isnan(gradient) or np.isnan(value) or layout.kinds[j] == FIXED:
                continue
            sign = 1.0 if gradient > 0.0 else -1.0
            if not layout.constrained[i]:
                move_free(layout, values, i, j, sign, seed)
                continue
            grid = grid_of(layout, i, j, value, sign)
            if grid.n <= 0:
                continue
            item = probe(state, j, value, weight, deviation)
            best = _choose(state, rules, layout, item, (i, j), grid, seed, bounds)
            if best.new_bin < 0:
                continue
            if layout.compete:
                staying = rules.alpha * np.sqrt(item.divergence) + rules.beta * np.sqrt(item.distance / item.norm)
                if staying <= best.cost:
                    continue
            commit(state, j, item, best.delta, best.new_bin, weight, deviation)
            values[i, j] = best.value
