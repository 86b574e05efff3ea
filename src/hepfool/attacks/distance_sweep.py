# SPDX-License-Identifier: BSD-3-Clause
"""
The sweep of the paper with distance correlations in place of Pearson's.

Each candidate's effect is exact, although one move changes the distances of its event to
all others: see :mod:`hepfool.statistics.distance_correlation`.
"""

from __future__ import annotations

import numpy as np

from hepfool.attacks.base import AttackProblem
from hepfool.attacks.candidates import FIXED, Course, Layout, candidate, course_of, grid_of, move_free
from hepfool.attacks.search import Choice, Grid, Rules
from hepfool.kernels import allocating_kernel
from hepfool.statistics.dataset_state import GROUP, DatasetState, find_bin
from hepfool.statistics.dependence import fill_missing, present_mean
from hepfool.statistics.distance_correlation import (
    DistanceState,
    Tableau,
    evaluate,
    move,
    new_distance_state,
    new_tableau,
    tabulate,
)
from hepfool.statistics.incremental import Probe, commit, deviate, divergence_after, probe
from hepfool.typing import FloatArray, IntArray

__all__ = ["distance_state", "sweep"]


def distance_state(problem: AttackProblem, values: FloatArray) -> DistanceState:
    """
    Measure the distance correlations of the constrained events.

    Parameters
    ----------
    problem : AttackProblem
        Nominal events and weights.
    values : FloatArray, shape (n_events, n_features)
        Events as they are now.

    Returns
    -------
    DistanceState
        In units of each feature's nominal range, missing values at the nominal mean.
    """
    chosen, weights = problem.constrained, problem.table.weights[problem.constrained]
    before = problem.table.values[chosen]
    fill = present_mean(before, weights)
    nominal = problem.once(
        "distance correlations", lambda: new_distance_state(fill_missing(before, fill), weights).current
    )
    return new_distance_state(fill_missing(values[chosen], fill), weights, nominal)


@allocating_kernel
def _best(
    bins: FloatArray,
    rules: Rules,
    item: Probe,
    distances: DistanceState,
    tableau: Tableau,
    place: tuple[int, int],
    proposed: FloatArray,
    unit: tuple[float, float],
) -> Choice:
    """Cheapest admissible of the proposed values; the last of them is the present one."""
    low, width = unit
    n_places = proposed.shape[0]
    value = proposed[n_places - 1]
    tableau.places[:n_places] = np.sort((proposed - low) / width)
    places = tableau.places[:n_places]
    tabulate(distances, tableau, place[0], place[1], n_places)
    old = int(np.searchsorted(places, (value - low) / width))
    norm = np.sqrt((distances.nominal**2).sum())
    apart = ((distances.current - distances.nominal) ** 2).sum()
    row = np.empty(distances.x.shape[1])
    best = Choice(np.inf, 0.0, 0.0, -1)
    for t in range(n_places - 1):
        delta = proposed[t] - value
        new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, proposed[t])])
        divergence = divergence_after(bins, item, new_bin)
        if delta == 0.0 or not (divergence <= rules.max_divergence or divergence <= item.divergence):
            continue
        new = int(np.searchsorted(places, (proposed[t] - low) / width))
        gained, changed = evaluate(distances, tableau, place, (old, new), n_places, row)
        shift = np.sqrt(max(apart + gained, 0.0)) / norm
        cost = rules.alpha * np.sqrt(divergence) + rules.beta * shift
        cheaper = cost < best.cost or (cost == best.cost and abs(delta) < abs(best.delta))
        if cheaper and shift <= rules.max_shift and np.sqrt(changed) <= rules.max_change * norm:
            best = Choice(cost, delta, proposed[t], new_bin)
    return best


@allocating_kernel
def _apply(
    distances: DistanceState, tableau: Tableau, place: tuple[int, int], ends: tuple[float, float], n_places: int
) -> None:
    """Move one value in the sums over pairs."""
    places = tableau.places[:n_places]
    old, new = int(np.searchsorted(places, ends[0])), int(np.searchsorted(places, ends[1]))
    row = np.empty(distances.x.shape[1])
    evaluate(distances, tableau, place, (old, new), n_places, row)
    move(distances, tableau, place, (old, new), n_places, row)


@allocating_kernel
def _proposed(course: Course, grid: Grid, seed: int) -> FloatArray:
    """All candidates, and the present value at the end."""
    values = np.empty(grid.n + 1)
    for t in range(grid.n):
        values[t] = candidate(course, grid, t, seed)
    values[grid.n] = grid.origin
    return values


@allocating_kernel
def sweep(
    state: DatasetState,
    distances: DistanceState,
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
        Marginals (and Pearson moments), updated with every move.
    distances : DistanceState
        Sums over pairs of the constrained events, updated with every move.
    rules : Rules
        Prices and caps; shifts and changes are those of the distance correlations.
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
    n_features = values.shape[1]
    position = np.cumsum(layout.constrained) - 1
    deviation = np.empty(n_features)
    tableau = new_tableau(1, n_features)
    for index in range(events.shape[0]):
        i = events[index]
        weight = layout.weights[i]
        deviate(state.vectors, values[i], deviation)
        for j in range(n_features):
            gradient, value = direction[index, j], values[i, j]
            if gradient == 0.0 or np.isnan(gradient) or np.isnan(value) or layout.kinds[j] == FIXED:
                continue
            sign = 1.0 if gradient > 0.0 else -1.0
            course = course_of(layout, i, j)
            if not layout.constrained[i]:
                values[i, j] = move_free(course, value, sign, seed)
                continue
            grid = grid_of(course, value, sign)
            if grid.n <= 0:
                continue
            proposed = _proposed(course, grid, seed)
            if tableau.places.shape[0] < proposed.shape[0]:
                tableau = new_tableau(2 * proposed.shape[0], n_features)
            place = (position[i], j)
            unit = (distances.origin[j], distances.width[j])
            item = probe(state, j, value, weight, deviation)
            best = _best(state.bins[j], rules, item, distances, tableau, place, proposed, unit)
            if best.new_bin >= 0:
                ends = ((value - unit[0]) / unit[1], (best.value - unit[0]) / unit[1])
                _apply(distances, tableau, place, ends, proposed.shape[0])
                commit(state, j, item, best.delta, best.new_bin, weight, deviation)
                values[i, j] = best.value
