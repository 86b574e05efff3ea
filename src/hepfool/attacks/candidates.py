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
from hepfool.kernels import inline_kernel
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "ANGLE",
    "CONTINUOUS",
    "FIXED",
    "INTEGER",
    "Layout",
    "candidate",
    "counter_of",
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
        Whether staying competes on cost.
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
            nominal=problem.table.values,
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


@inline_kernel
def wrapped(layout: Layout, j: int, value: float) -> float:
    """Value of an angle within its interval."""
    period = layout.period[j]
    return float(value - period * np.floor((value - layout.origin[j]) / period))


@inline_kernel
def reach(layout: Layout, i: int, j: int, value: float, sign: float) -> float:
    """Distance from a value to its bound in one direction, in the feature's unit."""
    r = layout.row[i]
    lower, upper = layout.lower[r, j], layout.upper[r, j]
    room = upper - value if sign > 0 else value - lower
    if layout.kinds[j] == ANGLE:
        period = layout.period[j]
        travelled = value - layout.nominal[i, j]
        travelled -= period * np.round(travelled / period)
        room = upper - layout.nominal[i, j] - travelled if sign > 0 else layout.nominal[i, j] + travelled - lower
        room = min(room, 0.5 * period)
    return float(room)


@inline_kernel
def grid_of(layout: Layout, i: int, j: int, value: float, sign: float) -> Grid:
    """Candidates of one value; whole numbers for an integer."""
    first, step, n = layout.first[j], layout.step[j], 0
    room = reach(layout, i, j, value, sign)
    if layout.kinds[j] == INTEGER:
        first, step = max(np.ceil(first), 1.0), max(np.ceil(step), 1.0)
    elif layout.n_candidates > 0:
        n = layout.n_candidates
        step = (room - first) / (n if layout.random else max(n - 1, 1))
    if room < first:
        n = 0
    elif n == 0:
        n = int(np.floor((room - first) / step + 1e-9)) + 1
        # Rounding to single precision may step over the bound.
        if abs(grid_value(Grid(value, sign, first, step, n), n - 1) - value) > room:
            n -= 1
    return Grid(value, sign, first, step, n)


@inline_kernel
def candidate(layout: Layout, i: int, j: int, grid: Grid, t: int, seed: int, counter: int) -> float:
    """
    Value of the t-th candidate, drawn or on the grid, wrapped if it is an angle.

    The value itself, which is no move, where rounding would step over the bound.
    """
    value = grid_value(grid, t)
    if layout.n_candidates > 0 and layout.random and layout.kinds[j] != INTEGER:
        distance = grid.first + grid.n * grid.step * uniform(seed, counter + t)
        value = float(np.float32(grid.origin + grid.sign * distance))
    if layout.kinds[j] == ANGLE:
        inside = abs(value - grid.origin) <= reach(layout, i, j, grid.origin, grid.sign)
        value = wrapped(layout, j, value) if inside else grid.origin
    elif not layout.lower[layout.row[i], j] <= value <= layout.upper[layout.row[i], j]:
        value = grid.origin
    return value


@inline_kernel
def counter_of(layout: Layout, i: int, j: int) -> int:
    """Where a value's own sequence of random numbers starts."""
    return int((i * layout.kinds.shape[0] + j) * max(layout.n_candidates, 1))


@inline_kernel
def move_free(layout: Layout, values: FloatArray, i: int, j: int, sign: float, seed: int) -> None:
    """Take a random candidate: nothing constrains an event outside of the validated regions."""
    grid = grid_of(layout, i, j, values[i, j], sign)
    if grid.n > 0:
        counter = counter_of(layout, i, j)
        t = int(uniform(seed, counter) * grid.n)
        values[i, j] = candidate(layout, i, j, grid, t, seed, counter)
