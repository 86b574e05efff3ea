# SPDX-License-Identifier: BSD-3-Clause
"""
Where one value of one event may go: the candidates of a move.

Distances are limited by the event's bounds; integers stay whole, angles wrap, and every
candidate is a single precision number, as networks and ROOT files store it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import allocating_part, inline_kernel
from hepfool.attacks._problem import AttackProblem
from hepfool.statistics._dataset_state import EDGE
from hepfool.typing import FloatArray, IntArray

CONTINUOUS, INTEGER, ANGLE, FIXED = range(4)
_KINDS = {"continuous": CONTINUOUS, "integer": INTEGER, "angle": ANGLE, "fixed": FIXED}


class Options(NamedTuple):
    """
    How candidates are proposed and chosen.

    Attributes
    ----------
    per_bin : bool
        One candidate per bin in either direction, in place of a grid along the slope.
    n_candidates : int
        Candidates per move; 0 for all at ``step``, or one in every bin.
    random : bool
        Whether candidates are drawn, or lie at equal distances and in the middle of bins.
    compete : bool
        Whether staying competes on cost.
    homewards : bool
        Whether moves may only lead back towards nominal.
    """

    per_bin: bool
    n_candidates: int
    random: bool
    compete: bool
    homewards: bool


class Layout(NamedTuple):
    """
    What a sweep knows about events and features.

    Attributes
    ----------
    weights : FloatArray, shape (n_events,)
        Event weights.
    kinds : IntArray, shape (n_columns,)
        ``CONTINUOUS``, ``INTEGER``, ``ANGLE`` or ``FIXED``, which derived features and observables are here.
    first, step : FloatArray, shape (n_columns,)
        Smallest displacement and spacing of the candidates, in each feature's unit.
    lower, upper, row
        As in :class:`~hepfool.attacks.base.Bounds`.
    origin, period : FloatArray, shape (n_columns,)
        Lower end and length of an angle's interval.
    nominal : FloatArray, shape (n_events, n_columns)
        Values before the attack.
    """

    weights: FloatArray
    kinds: IntArray
    first: FloatArray
    step: FloatArray
    lower: FloatArray
    upper: FloatArray
    row: IntArray
    origin: FloatArray
    period: FloatArray
    nominal: FloatArray

    @classmethod
    def of(cls, problem: AttackProblem, steps: tuple[FloatArray, FloatArray]) -> Layout:
        """
        Lay out a problem.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        steps : (FloatArray, FloatArray), shape (n_features,) each
            Smallest displacement and spacing.

        Returns
        -------
        Layout
            Plain arrays for the kernels.
        """
        features = problem.table.features
        # In rows, as a DataFrame's are not: each layout of an array would be compiled anew.
        nominal = np.ascontiguousarray(problem.table.values)
        nominal.flags.writeable = False
        kinds = np.array([_KINDS[f.kind] for f in features])
        kinds[list(features.derived)] = FIXED
        return cls(
            weights=np.array(problem.table.weights),
            kinds=kinds,
            first=steps[0],
            step=steps[1],
            lower=problem.bounds.lower,
            upper=problem.bounds.upper,
            row=problem.bounds.row,
            origin=features.lower,
            period=features.upper - features.lower,
            nominal=nominal,
        )


class Grid(NamedTuple):
    """
    Equidistant candidates on one side of a value.

    Attributes
    ----------
    origin : float
        Current value, in the feature's unit.
    sign : float
        +1 or -1, the direction of the move.
    first, step : float
        Smallest displacement and spacing, in the feature's unit.
    n : int
        Number of candidates.
    """

    origin: float
    sign: float
    first: float
    step: float
    n: int


class Course(NamedTuple):
    """
    What the candidates of one value depend on: numbers only.

    Each array of a tuple is seven arguments of a compiled function, which cost time to compile and to pass.

    Attributes
    ----------
    kind : int
        Of the feature.
    first, step : float
        Smallest displacement and spacing of the candidates, in the feature's unit.
    lower, upper : float
        Limits of the value.
    origin, period : float
        Lower end and length of an angle's interval.
    nominal : float
        The value before the attack.
    number : int
        Of the value among all, where its own sequence of random numbers starts.
    """

    kind: int
    first: float
    step: float
    lower: float
    upper: float
    origin: float
    period: float
    nominal: float
    number: int


class Spot(NamedTuple):
    """A value, the smallest displacement, and how far it may go down and up."""

    value: float
    first: float
    down: float
    up: float


@inline_kernel
def course_of(layout: Layout, i: int, j: int) -> Course:
    """Gather what the candidates of one value depend on."""
    row = layout.row[i]
    return Course(
        layout.kinds[j],
        layout.first[j],
        layout.step[j],
        layout.lower[row, j],
        layout.upper[row, j],
        layout.origin[j],
        layout.period[j],
        layout.nominal[i, j],
        i * layout.kinds.shape[0] + j,
    )


@inline_kernel
def travel_of(course: Course, start: float, end: float) -> float:
    """Displacement between two values, the shorter way round for an angle."""
    distance = end - start
    if course.kind == ANGLE:
        distance -= course.period * np.rint(distance / course.period)
    return float(distance)


@inline_kernel
def grid_value(grid: Grid, t: int) -> float:
    """
    Value of a candidate, rounded to single precision.

    Networks and ROOT files store single precision: what the attack found
    survives both unchanged.

    Parameters
    ----------
    grid : Grid
        The candidates.
    t : int
        From 0 to ``grid.n - 1``.

    Returns
    -------
    float
        In the feature's unit.
    """
    return np.float64(np.float32(grid.origin + grid.sign * (grid.first + t * grid.step)))


@inline_kernel
def uniform(seed: int, counter: int) -> float:
    """Random number in [0, 1) that depends on its arguments only (SplitMix64)."""
    z = np.uint64(seed) + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@inline_kernel
def wrapped(course: Course, value: float) -> float:
    """Value of an angle within its interval."""
    return float(value - course.period * np.floor((value - course.origin) / course.period))


@inline_kernel
def reach(course: Course, value: float, sign: float) -> float:
    """Distance from a value to its bound in one direction, in the feature's unit."""
    lower, upper = course.lower, course.upper
    room = upper - value if sign > 0 else value - lower
    if course.kind == ANGLE:
        period, nominal = course.period, course.nominal
        travelled = value - nominal
        travelled -= period * np.rint(travelled / period)
        room = upper - nominal - travelled if sign > 0 else nominal + travelled - lower
        room = min(room, 0.5 * period)
    return float(room)


@inline_kernel
def grid_of(course: Course, options: Options, value: float, sign: float) -> Grid:
    """Candidates of one value; whole numbers for an integer."""
    first, step, n = course.first, course.step, 0
    room = reach(course, value, sign)
    if course.kind == INTEGER:
        first, step = max(np.ceil(first), 1.0), max(np.ceil(step), 1.0)
    elif options.n_candidates > 0:
        n = options.n_candidates
        step = (room - first) / (n if options.random else max(n - 1, 1))
    if room < first:
        n = 0
    elif n == 0:
        n = int(np.floor((room - first) / step + 1e-9)) + 1
        # Rounding to single precision may step over the bound, far from zero with many candidates.
        while n > 0 and _beyond(course, Grid(value, sign, first, step, n), room):
            n -= 1
        # And there it may step back.
        while n > 0 and sign * (grid_value(Grid(value, sign, first, step, n), 0) - value) < 0.0:
            first, n = first + step, n - 1
    return Grid(value, sign, first, step, n)


@inline_kernel
def _beyond(course: Course, grid: Grid, room: float) -> bool:
    """Tell whether the last candidate lies beyond the bound."""
    last = grid_value(grid, grid.n - 1)
    outside = not course.lower <= last <= course.upper
    return bool(abs(last - grid.origin) > room or (outside and course.kind != ANGLE))


@inline_kernel
def candidate(course: Course, options: Options, grid: Grid, t: int, seed: int) -> float:
    """
    Value of the t-th candidate, drawn or on the grid, wrapped if it is an angle.

    The value itself, which is no move, where rounding would step over the bound.
    """
    value = grid_value(grid, t)
    if options.n_candidates > 0 and options.random and course.kind != INTEGER:
        distance = grid.first + grid.n * grid.step * uniform(seed, course.number * options.n_candidates + t)
        value = float(np.float32(grid.origin + grid.sign * distance))
    if course.kind == ANGLE:
        near = abs(value - grid.origin) <= reach(course, grid.origin, grid.sign)
        value = wrapped(course, value) if near else grid.origin
    elif not course.lower <= value <= course.upper:
        value = grid.origin
    return value


@inline_kernel
def spot_of(course: Course, options: Options, value: float) -> Spot:
    """Limits of one value: its bounds or, on the way home, its nominal value."""
    home = travel_of(course, value, course.nominal)
    down, up = max(-home, 0.0), max(home, 0.0)
    if not options.homewards:
        down, up = reach(course, value, -1.0), reach(course, value, 1.0)
    first = max(course.first, 1.0) if course.kind == INTEGER else course.first
    return Spot(value, first, down, up)


@inline_kernel
def n_bin_candidates(options: Options, n_bins: int) -> int:
    """Count the bins that are tried."""
    return min(options.n_candidates, n_bins) if options.n_candidates > 0 else n_bins


@inline_kernel
def bin_candidate(bins: FloatArray, options: Options, course: Course, spot: Spot, t: int, seed: int) -> float:
    """
    One value within a bin, or the nominal value after the last of them.

    NaN where there is none, such as for a bin without a whole number if the feature is an integer.
    """
    n_bins = bins.shape[1] - 1
    n_tried = n_bin_candidates(options, n_bins)
    value = course.nominal
    if t < n_tried:
        counter = course.number * (n_bins + 1) + t
        fraction, k = uniform(seed, counter), t
        if n_tried < n_bins:
            k = min(int((t + uniform(seed ^ 0x5DEECE66D, counter)) * n_bins / n_tried), n_bins - 1)
        low, high = bins[EDGE, k], bins[EDGE, k + 1]
        value = float(np.float32(low + (high - low) * fraction))
        if course.kind == INTEGER:
            first, last = np.ceil(low), np.floor(high)
            value = first + np.floor(fraction * (last - first + 1.0)) if last >= first else np.nan
        elif course.kind == ANGLE:
            value = wrapped(course, value)
    travel = travel_of(course, spot.value, value)
    # Only the way back to nominal may be shorter than the smallest displacement.
    inside = -spot.down <= travel <= spot.up and value != spot.value and (t == n_tried or abs(travel) >= spot.first)
    return value if inside else np.nan


@allocating_part
def propose(
    course: Course,
    options: Options,
    bins: FloatArray,
    moved: tuple[float, float],
    seed: int,
    proposed: FloatArray,
) -> int:
    """
    List the candidates of one value.

    Parameters
    ----------
    course : Course
        What they depend on.
    options : Options
        How candidates are proposed.
    bins : FloatArray, shape (6, n_bins + 1)
        The feature's part of :attr:`DatasetState.bins`.
    moved : (float, float)
        Present value, and the slope of the margin there.
    seed : int
        Of the candidates.
    proposed : FloatArray, shape (n_candidates,)
        Receives the candidates in the feature's unit.

    Returns
    -------
    int
        How many there are.
    """
    value, slope = moved
    n = 0
    if options.per_bin:
        spot = spot_of(course, options, value)
        for t in range(n_bin_candidates(options, bins.shape[1] - 1) + 1):
            new = bin_candidate(bins, options, course, spot, t, seed)
            if not np.isnan(new):
                proposed[n] = new
                n += 1
    elif slope != 0.0:
        grid = grid_of(course, options, value, -1.0 if slope > 0.0 else 1.0)
        for t in range(min(grid.n, proposed.shape[0])):
            new = candidate(course, options, grid, t, seed)
            if new != value:
                proposed[n] = new
                n += 1
    return n


@inline_kernel
def move_free(course: Course, options: Options, value: float, sign: float, seed: int) -> float:
    """Take a random candidate: nothing constrains an event outside of the validated regions."""
    grid = grid_of(course, options, value, sign)
    result = value
    if grid.n > 0:
        t = int(uniform(seed, course.number * max(options.n_candidates, 1)) * grid.n)
        result = candidate(course, options, grid, t, seed)
    return result
