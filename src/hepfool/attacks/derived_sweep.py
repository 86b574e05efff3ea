# SPDX-License-Identifier: BSD-3-Clause
"""
The sweep of the paper for inputs of which some are functions of others.

A move of a primary feature takes along every feature that is derived from it: all of them count in the
marginals, in the correlations and in their ranges.  The derived values of all candidates of many events
are computed in one call, as they depend on the event's own values only; the moves are then chosen one
after the other, exactly.
"""

from __future__ import annotations

import numpy as np

from hepfool.attacks.base import AttackProblem
from hepfool.attacks.candidates import FIXED, Layout, candidate, course_of, grid_of, uniform
from hepfool.attacks.search import Rules
from hepfool.features import FeatureSpace
from hepfool.kernels import allocating_kernel
from hepfool.statistics.dataset_state import (
    CORRELATION,
    CROSS,
    GROUP,
    INVERSE_SIGMA,
    VARIANCE,
    DatasetState,
    find_bin,
)
from hepfool.statistics.incremental import Probe, commit, deviate, divergence_after, probe
from hepfool.typing import FloatArray, IntArray

__all__ = ["sweep", "total_slope"]

_BLOCK = 512
#: Displacement of numerical derivatives, in units of each feature's range.
_SMALL = 1e-4


def total_slope(features: FeatureSpace, values: FloatArray, slope: FloatArray, ranges: FloatArray) -> FloatArray:
    """
    Add what the derived features contribute to the slope along the primary ones.

    Parameters
    ----------
    features : FeatureSpace
        Says which features are derived.
    values : FloatArray, shape (n_events, n_features)
        Where.
    slope : FloatArray, shape (n_events, n_features)
        Partial derivatives with respect to all inputs.
    ranges : FloatArray, shape (n_features,)
        Range of each feature.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        Total derivatives, by central differences of the functions; 0 for derived features.
    """
    result = slope.copy()
    for d in features.derived:
        for name in _inputs(features, d):
            j = features.index(name)
            up, down = values.copy(), values.copy()
            up[:, j] += _SMALL * ranges[j]
            down[:, j] -= _SMALL * ranges[j]
            change = (features.derive(up, d) - features.derive(down, d)) / (2.0 * _SMALL * ranges[j])
            result[:, j] += np.nan_to_num(slope[:, d] * change, nan=0.0, posinf=0.0, neginf=0.0)
    result[:, list(features.derived)] = 0.0
    return result


def sweep(
    problem: AttackProblem,
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    events: IntArray,
    direction: FloatArray,
    seed: int,
) -> None:
    """
    Move each event once along its direction, always to the cheapest candidate.

    Parameters
    ----------
    problem : AttackProblem
        Supplies the features and their functions.
    state : DatasetState
        Updated with every move.
    rules : Rules
        Prices and caps; the price of the distance is that of the largest one among the touched features.
    layout : Layout
        Events and features, with a number of candidates.
    values : FloatArray, shape (n_events, n_features)
        Updated in place.
    events : IntArray, shape (n_moved,)
        Events to move, in this order.
    direction : FloatArray, shape (n_moved, n_features)
        Only its signs count; 0 stays.
    seed : int
        Of the random candidates.
    """
    features = problem.table.features
    touched = {
        j: [j, *(d for d in features.derived if features.names[j] in _inputs(features, d))]
        for j in range(len(features))
        if j not in features.derived and layout.kinds[j] != FIXED
    }
    for start in range(0, len(events), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = events[part]
        for j, columns in touched.items():
            proposed = _proposals(layout, values, block, np.ascontiguousarray(direction[part, j]), j, seed)
            moved = np.empty((len(block), layout.n_candidates, len(columns)))
            moved[:, :, 0] = proposed
            for t, d in enumerate(columns[1:], start=1):
                moved[:, :, t] = _derived(features, values[block], d, j, proposed)
            _move_block(state, rules, layout, values, block, np.array(columns), moved, seed)


def _inputs(features: FeatureSpace, column: int) -> tuple[str, ...]:
    derived = features[column].derived
    return () if derived is None else tuple(derived.inputs)


def _derived(features: FeatureSpace, values: FloatArray, d: int, j: int, proposed: FloatArray) -> FloatArray:
    """Compute a derived feature for all candidates, shape (n_events, n_candidates)."""
    n_candidates = proposed.shape[1]
    repeated = np.repeat(values, n_candidates, axis=0)
    repeated[:, j] = proposed.reshape(-1)
    with np.errstate(all="ignore"):  # no candidate, no value
        return features.derive(repeated, d).reshape(proposed.shape)


@allocating_kernel
def _proposals(
    layout: Layout, values: FloatArray, block: IntArray, direction: FloatArray, j: int, seed: int
) -> FloatArray:
    """Candidates of one feature, NaN in free places."""
    proposed = np.full((block.shape[0], layout.n_candidates), np.nan)
    for index in range(block.shape[0]):
        i = block[index]
        value, along = values[i, j], direction[index]
        if along != 0.0 and not np.isnan(along) and not np.isnan(value):
            course = course_of(layout, i, j)
            grid = grid_of(course, value, 1.0 if along > 0.0 else -1.0)
            for t in range(min(grid.n, layout.n_candidates)):
                new = candidate(course, grid, t, seed)
                if new != value:
                    proposed[index, t] = new
    return proposed


@allocating_kernel
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
def _correlation_changes(
    state: DatasetState, item: Probe, columns: IntArray, delta: FloatArray, weight: float, deviation: FloatArray
) -> tuple[float, float]:
    """By how much a joint move changes the squared distance from nominal, and the current matrix, squared."""
    cross, nominal = state.matrices[CROSS], state.matrices[CORRELATION]
    variance, inverse = state.vectors[VARIANCE], state.vectors[INVERSE_SIGMA]
    n_features = deviation.shape[0]
    shift, new_inverse = np.zeros(n_features), inverse.copy()
    for t in range(columns.shape[0]):
        k = columns[t]
        shift[k] = delta[t]
        widened = variance[k] + delta[t] * (2.0 * weight * deviation[k] + delta[t] * item.curvature)
        if widened <= 0.0:
            return np.inf, np.inf
        new_inverse[k] = 1.0 / np.sqrt(widened)
    apart, changed = 0.0, 0.0
    for t in range(columns.shape[0]):
        c = columns[t]
        for k in range(n_features):
            if k != c:
                joint = (
                    weight * (delta[t] * deviation[k] + deviation[c] * shift[k]) + item.curvature * delta[t] * shift[k]
                )
                after = (cross[c, k] + joint) * new_inverse[c] * new_inverse[k]
                before = cross[c, k] * inverse[c] * inverse[k]
                among = 2.0
                for other in columns:
                    if other == k:
                        among = 1.0
                apart += among * ((after - nominal[c, k]) ** 2 - (before - nominal[c, k]) ** 2)
                changed += among * (after - before) ** 2
    return apart, changed


@allocating_kernel
def _largest_divergence(
    state: DatasetState, rules: Rules, items: list[Probe], columns: IntArray, before: FloatArray, after: FloatArray
) -> float:
    """Largest divergence among the touched features, infinite if one exceeds its cap."""
    largest = 0.0
    for t in range(columns.shape[0]):
        if not np.isnan(after[t]) and after[t] != before[columns[t]]:
            bins, item = state.bins[columns[t]], items[t]
            new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, after[t])])
            divergence = divergence_after(bins, item, new_bin)
            if divergence > rules.max_divergence and divergence > item.divergence:
                divergence = np.inf
            largest = max(largest, divergence)
    return largest


@allocating_kernel
def _choose(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    i: int,
    columns: IntArray,
    before: FloatArray,
    moved: FloatArray,
    deviation: FloatArray,
) -> int:
    """Cheapest admissible candidate of a constrained event; -1 without any."""
    weight = layout.weights[i]
    values = [0.0 if np.isnan(before[c]) else before[c] for c in columns]
    items = [probe(state, columns[t], values[t], weight, deviation) for t in range(columns.shape[0])]
    first = items[0]
    best, lowest, nearest = -1, np.inf, np.inf
    for t in range(moved.shape[0]):
        if not _allowed(layout, i, columns, before, moved[t]):
            continue
        divergence = _largest_divergence(state, rules, items, columns, before, moved[t])
        cost = rules.alpha * np.sqrt(divergence)
        if cost > lowest or np.isinf(cost):
            continue
        delta = np.array(
            [0.0 if np.isnan(moved[t, c]) else moved[t, c] - before[columns[c]] for c in range(len(items))]
        )
        apart, changed = _correlation_changes(state, first, columns, delta, weight, deviation)
        shift = np.sqrt(max(first.distance + apart, 0.0) / first.norm)
        cost += rules.beta * shift
        near = cost < lowest or (cost == lowest and abs(delta[0]) < nearest)
        if near and shift <= rules.max_shift and np.sqrt(changed / first.norm) <= rules.max_change:
            best, lowest, nearest = t, cost, abs(delta[0])
    return best


@allocating_kernel
def _any_allowed(layout: Layout, i: int, columns: IntArray, before: FloatArray, moved: FloatArray, draw: float) -> int:
    """Random candidate of an event that nothing constrains but its bounds; -1 without any."""
    found = [t for t in range(moved.shape[0]) if _allowed(layout, i, columns, before, moved[t])]
    return found[int(draw * len(found))] if len(found) > 0 else -1


@allocating_kernel
def _move_block(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    block: IntArray,
    columns: IntArray,
    moved: FloatArray,
    seed: int,
) -> None:
    """Move one primary feature, and what is derived from it, of some events, one after the other."""
    n_features = values.shape[1]
    deviation = np.empty(n_features)
    for index in range(block.shape[0]):
        i = block[index]
        weight = layout.weights[i]
        deviate(state.vectors, values[i], deviation)
        if layout.constrained[i]:
            best = _choose(state, rules, layout, i, columns, values[i], moved[index], deviation)
        else:
            draw = uniform(seed, i * n_features + columns[0])
            best = _any_allowed(layout, i, columns, values[i], moved[index], draw)
        if best < 0:
            continue
        for t in range(columns.shape[0]):
            c, new = columns[t], moved[index, best, t]
            if np.isnan(new) or new == values[i, c]:
                continue
            if layout.constrained[i]:
                item = probe(state, c, values[i, c], weight, deviation)
                new_bin = int(state.bins[c, GROUP, find_bin(state.bins[c], item.inverse_width, new)])
                commit(state, c, item, new - values[i, c], new_bin, weight, deviation)
            values[i, c] = new
