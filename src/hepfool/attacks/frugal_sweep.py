# SPDX-License-Identifier: BSD-3-Clause
"""
A sweep that spends the data set's budget where it fools most.

What a move does to marginals and correlations is a price, what it takes from the
network's margin, in linear approximation, is worth a reward.  Of one candidate in
every bin each feature takes the best bargain, in either direction; an event stops
as soon as its margin should be gone.  Fooled events that have margin to spare,
and moves against the gradient, repair what the others have spent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool.attacks.candidates import (
    ANGLE,
    FIXED,
    INTEGER,
    Course,
    Layout,
    course_of,
    move_free,
    reach,
    uniform,
)
from hepfool.attacks.search import Choice, Rules
from hepfool.kernels import inline_kernel, kernel
from hepfool.statistics.dataset_state import EDGE, GROUP, DatasetState, find_bin
from hepfool.statistics.incremental import (
    Probe,
    commit,
    correlation_shift_after,
    deviate,
    divergence_after,
    probe,
    row_change,
    row_distance,
)
from hepfool.typing import FloatArray, IntArray

__all__ = ["Goals", "sweep"]


class Goals(NamedTuple):
    """
    What each event of a sweep is to achieve.

    Attributes
    ----------
    slope : FloatArray, shape (n_moved, n_features)
        Gradient of the margin, per unit of each feature.
    needed : FloatArray, shape (n_moved,)
        Margin to be taken from an event that is not fooled; 0 for a fooled one.
    spare : FloatArray, shape (n_moved,)
        Margin that a fooled event may give back; 0 for others.
    reward : FloatArray, shape (n_moved,)
        What fooling the event is worth, in units of the cost.
    homewards : bool
        Whether moves may only lead back towards nominal.
    """

    slope: FloatArray
    needed: FloatArray
    spare: FloatArray
    reward: FloatArray
    homewards: bool


@inline_kernel
def _travel(course: Course, start: float, end: float) -> float:
    """Displacement between two values, the shorter way round for an angle."""
    distance = end - start
    if course.kind == ANGLE:
        distance -= course.period * np.rint(distance / course.period)
    return float(distance)


@inline_kernel
def _value_in_bin(bins: FloatArray, course: Course, k: int, draw: float) -> float:
    """One value within a bin; NaN for a bin without a whole number if the feature is an integer."""
    low, high = bins[EDGE, k], bins[EDGE, k + 1]
    value = float(np.float32(low + (high - low) * draw))
    if course.kind == INTEGER:
        first, last = np.ceil(low), np.floor(high)
        value = first + np.floor(draw * (last - first + 1.0)) if last >= first else np.nan
    elif course.kind == ANGLE:
        value = float(value - course.period * np.floor((value - course.origin) / course.period))
    return float(value)


class _Aim(NamedTuple):
    """One feature's part of an event's goal."""

    slope: float
    needed: float
    spare: float
    reward: float
    nominal: float
    first: float
    down: float
    up: float


@inline_kernel
def _aim(course: Course, goal: tuple[float, float, float, float], value: float, homewards: bool) -> _Aim:
    """Add what limits the feature: its bounds or, on the way home, its nominal value."""
    slope, needed, spare, reward = goal
    home = _travel(course, value, course.nominal)
    down, up = max(-home, 0.0), max(home, 0.0)
    if not homewards:
        down, up = reach(course, value, -1.0), reach(course, value, 1.0)
    first = max(course.first, 1.0) if course.kind == INTEGER else course.first
    return _Aim(slope, needed, spare, reward, course.nominal, first, down, up)


@inline_kernel
def _surplus(
    bins: FloatArray, rules: Rules, item: Probe, aim: _Aim, travel: float, delta: float, value: float, best: Choice
) -> Choice:
    """Compare one candidate's cost less its reward with the best so far; staying is the first, at 0."""
    gain = -aim.slope * travel
    if aim.needed > 0.0:
        earned = aim.reward * min(gain, aim.needed) / aim.needed
        allowed = True
    else:
        earned, allowed = 0.0, -gain <= aim.spare
    new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, value)])
    divergence = divergence_after(bins, item, new_bin)
    staying = rules.alpha * np.sqrt(item.divergence) + rules.beta * np.sqrt(item.distance / item.norm)
    price = rules.alpha * np.sqrt(divergence) - staying - earned
    allowed = allowed and (divergence <= rules.max_divergence or divergence <= item.divergence)
    if allowed and price < best.cost:
        shift = correlation_shift_after(item, row_distance(item, delta))
        price += rules.beta * shift
        if price < best.cost and shift <= rules.max_shift and row_change(item, delta) <= rules.max_change:
            best = Choice(price, delta, value, new_bin)
    return best


@inline_kernel
def _bargain(
    bins: FloatArray, rules: Rules, course: Course, item: Probe, aim: _Aim, value: float, seed: int, counter: int
) -> Choice:
    """Best of one candidate per bin, and of the nominal value."""
    n_bins = bins.shape[1] - 1
    best = Choice(-1e-12, 0.0, value, -1)
    for k in range(n_bins + 1):
        proposed = aim.nominal
        if k < n_bins:
            proposed = _value_in_bin(bins, course, k, uniform(seed, counter + k))
        travel = _travel(course, value, proposed)
        inside = -aim.down <= travel <= aim.up and proposed != value and (abs(travel) >= aim.first or k == n_bins)
        if inside:
            best = _surplus(bins, rules, item, aim, travel, proposed - value, proposed, best)
    return best


class _Space(NamedTuple):
    """Working space: an event's deviations from the means, its features in order, and what orders them."""

    deviation: FloatArray
    order: IntArray
    gain: FloatArray


@inline_kernel
def _order_by_gain(kinds: IntArray, bins: FloatArray, slope: FloatArray, space: _Space) -> None:
    """Order features by what crossing their range would take from the margin, the largest first."""
    for j in range(slope.shape[0]):
        gain = 0.0
        if kinds[j] != FIXED and np.isfinite(slope[j]):
            gain = abs(slope[j]) * (bins[j, EDGE, bins.shape[2] - 1] - bins[j, EDGE, 0])
        place = j
        while place > 0 and space.gain[place - 1] < gain:
            space.gain[place], space.order[place] = space.gain[place - 1], space.order[place - 1]
            place -= 1
        space.gain[place], space.order[place] = gain, j


@inline_kernel
def _move_constrained(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    goals: Goals,
    place: tuple[int, int],
    seed: int,
    space: _Space,
) -> None:
    """Move the features of one event until its goal is reached."""
    index, i = place
    weight, slope = layout.weights[i], goals.slope[index]
    wanted = goals.needed[index]
    needed, spare = wanted, goals.spare[index]
    deviation = space.deviation
    deviate(state.vectors, values[i], deviation)
    _order_by_gain(layout.kinds, state.bins, slope, space)
    for j in space.order:
        value = values[i, j]
        if layout.kinds[j] == FIXED or np.isnan(value) or not np.isfinite(slope[j]) or (wanted > 0.0 >= needed):
            continue
        course = course_of(layout, i, j)
        reward = goals.reward[index] * needed / wanted if wanted > 0.0 else 0.0
        aim = _aim(course, (slope[j], needed, spare, reward), value, goals.homewards)
        item = probe(state, j, value, weight, deviation)
        counter = (i * values.shape[1] + j) * state.bins.shape[2]
        best = _bargain(state.bins[j], rules, course, item, aim, value, seed, counter)
        if best.new_bin < 0:
            continue
        gain = -slope[j] * _travel(course, value, best.value)
        commit(state, j, item, best.delta, best.new_bin, weight, deviation)
        values[i, j] = best.value
        needed -= gain
        spare += min(gain, 0.0)


@inline_kernel
def _move_unconstrained(
    state: DatasetState,
    layout: Layout,
    values: FloatArray,
    goals: Goals,
    place: tuple[int, int],
    seed: int,
    space: _Space,
) -> None:
    """Take random candidates along the gradient until the margin should be gone."""
    index, i = place
    needed, slope = goals.needed[index], goals.slope[index]
    _order_by_gain(layout.kinds, state.bins, slope, space)
    for j in space.order:
        value = values[i, j]
        movable = layout.kinds[j] != FIXED and np.isfinite(slope[j]) and slope[j] != 0.0
        if needed > 0.0 and movable and not np.isnan(value):
            course = course_of(layout, i, j)
            values[i, j] = move_free(course, value, -1.0 if slope[j] > 0.0 else 1.0, seed)
            needed -= abs(slope[j] * _travel(course, value, values[i, j]))


def sweep(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    events: IntArray,
    goals: Goals,
    seed: int,
) -> None:
    """
    Move each event towards its goal at the lowest price.

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
    goals : Goals
        What each of them is to achieve.
    seed : int
        Of the candidates.
    """
    n_features = values.shape[1]
    space = _Space(np.empty(n_features), np.empty(n_features, dtype=np.int64), np.empty(n_features))
    _sweep(state, rules, layout, values, events, goals, seed, space)


@kernel
def _sweep(
    state: DatasetState,
    rules: Rules,
    layout: Layout,
    values: FloatArray,
    events: IntArray,
    goals: Goals,
    seed: int,
    space: _Space,
) -> None:
    for index in range(events.shape[0]):
        i = events[index]
        if layout.constrained[i]:
            _move_constrained(state, rules, layout, values, goals, (index, i), seed, space)
        else:
            _move_unconstrained(state, layout, values, goals, (index, i), seed, space)
