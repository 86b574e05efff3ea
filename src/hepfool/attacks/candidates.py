# SPDX-License-Identifier: BSD-3-Clause
"""
Where one value of one event may go: the candidates of a move.

Distances are limited by the event's bounds; integers stay whole, angles wrap, and every
candidate is a single precision number, as networks and ROOT files store it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool.attacks.base import AttackProblem
from hepfool.attacks.search import Grid, grid_value
from hepfool.events.arrays import frozen
from hepfool.kernels import inline_kernel
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "ANGLE",
    "CONTINUOUS",
    "FIXED",
    "INTEGER",
    "Course",
    "Layout",
    "candidate",
    "course_of",
    "grid_of",
    "move_free",
    "reach",
    "uniform",
    "wrapped",
]

CONTINUOUS, INTEGER, ANGLE, FIXED = range(4)
_KINDS = {"continuous": CONTINUOUS, "integer": INTEGER, "angle": ANGLE, "fixed": FIXED}


class Layout(NamedTuple):
    """
    What a sweep knows about events and features.

    Attributes
    ----------
    weights : FloatArray, shape (n_events,)
        Event weights.
    constrained : BoolArray, shape (n_events,)
        Events whose moves cost something.
    kinds : IntArray, shape (n_features,)
        ``CONTINUOUS``, ``INTEGER``, ``ANGLE`` or ``FIXED``.
    first, step : FloatArray, shape (n_features,)
        Smallest displacement and spacing of the candidates, in each feature's unit.
    lower, upper, row
        As in :class:`~hepfool.attacks.base.Bounds`.
    origin, period : FloatArray, shape (n_features,)
        Lower end and length of an angle's interval.
    nominal : FloatArray, shape (n_events, n_features)
        Values before the attack.
    n_candidates : int
        Candidates per move; 0 for all at ``step``.
    random : bool
        Whether these are drawn.
    compete : bool
        Whether staying competes on cost with another move of a value that has moved already.
    """

    weights: FloatArray
    constrained: BoolArray
    kinds: IntArray
    first: FloatArray
    step: FloatArray
    lower: FloatArray
    upper: FloatArray
    row: IntArray
    origin: FloatArray
    period: FloatArray
    nominal: FloatArray
    n_candidates: int
    random: bool
    compete: bool

    @classmethod
    def of(
        cls,
        problem: AttackProblem,
        steps: tuple[FloatArray, FloatArray],
        *,
        n_candidates: int,
        random: bool,
        compete: bool,
    ) -> Layout:
        """
        Lay out a problem.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        steps : (FloatArray, FloatArray), shape (n_features,) each
            Smallest displacement and spacing.
        n_candidates, random, compete
            See the attributes.

        Returns
        -------
        Layout
            Plain arrays for the kernels.
        """
        features = problem.table.features
        return cls(
            weights=np.array(problem.table.weights),
            constrained=np.array(problem.constrained),
            kinds=np.array([_KINDS[f.kind] for f in features]),
            first=steps[0],
            step=steps[1],
            lower=problem.bounds.lower,
            upper=problem.bounds.upper,
            row=problem.bounds.row,
            origin=features.lower,
            period=features.upper - features.lower,
            # In rows, as a DataFrame's are not: each layout of an array would be compiled anew.
            nominal=frozen(np.ascontiguousarray(problem.table.values)),
            n_candidates=n_candidates,
            random=random,
            compete=compete,
        )


@inline_kernel
def uniform(seed: int, counter: int) -> float:
    """Random number in [0, 1) that depends on its arguments only (SplitMix64)."""
    z = np.uint64(seed) + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


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
    n_candidates : int
        Candidates per move; 0 for all at ``step``.
    random : bool
        Whether these are drawn.
    counter : int
        Where the value's own sequence of random numbers starts.
    """

    kind: int
    first: float
    step: float
    lower: float
    upper: float
    origin: float
    period: float
    nominal: float
    n_candidates: int
    random: bool
    counter: int


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
        layout.n_candidates,
        layout.random,
        (i * layout.kinds.shape[0] + j) * max(layout.n_candidates, 1),
    )


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
def grid_of(course: Course, value: float, sign: float) -> Grid:
    """Candidates of one value; whole numbers for an integer."""
    first, step, n = course.first, course.step, 0
    room = reach(course, value, sign)
    if course.kind == INTEGER:
        first, step = max(np.ceil(first), 1.0), max(np.ceil(step), 1.0)
    elif course.n_candidates > 0:
        n = course.n_candidates
        step = (room - first) / (n if course.random else max(n - 1, 1))
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
def candidate(course: Course, grid: Grid, t: int, seed: int) -> float:
    """
    Value of the t-th candidate, drawn or on the grid, wrapped if it is an angle.

    The value itself, which is no move, where rounding would step over the bound.
    """
    value = grid_value(grid, t)
    if course.n_candidates > 0 and course.random and course.kind != INTEGER:
        distance = grid.first + grid.n * grid.step * uniform(seed, course.counter + t)
        value = float(np.float32(grid.origin + grid.sign * distance))
    if course.kind == ANGLE:
        inside = abs(value - grid.origin) <= reach(course, grid.origin, grid.sign)
        value = wrapped(course, value) if inside else grid.origin
    elif not course.lower <= value <= course.upper:
        value = grid.origin
    return value


@inline_kernel
def move_free(course: Course, value: float, sign: float, seed: int) -> float:
    """Take a random candidate: nothing constrains an event outside of the validated regions."""
    grid = grid_of(course, value, sign)
    result = value
    if grid.n > 0:
        result = candidate(course, grid, int(uniform(seed, course.counter) * grid.n), seed)
    return result
