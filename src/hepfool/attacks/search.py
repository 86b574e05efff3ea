# SPDX-License-Identifier: BSD-3-Clause
r"""
Find the cheapest admissible move of one value, exactly.

The cost of a candidate is :math:`\alpha\,\mathrm{JSD}_j+\beta\,\Delta\mathrm{FN}`.  On a dense grid of
candidates most bins cannot win: a bin's divergence is one number, and the
correlation part is smooth, so that a bound over an interval follows from value,
slope and curvature in its middle.  Blocks of bins, then bins, whose bound exceeds
the best cost found are skipped; what is chosen is what a scan of every
candidate chooses.  Of equal costs the smaller displacement wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from hepfool.statistics.incremental import (
    BLOCK,
    EDGE,
    GROUP,
    UPHILL,
    Probe,
    correlation_shift_after,
    divergence_after,
    find_bin,
    row_change,
    row_distance,
)
from hepfool.typing import FloatArray

__all__ = ["Choice", "Grid", "Rules", "cheapest_on_grid", "consider", "grid_value", "no_choice", "scan_grid"]

_jit = numba.njit(cache=True, error_model="numpy", forceinline=True)

#: Grids shorter than this are scanned, which is then faster than bounding.
SHORT_GRID = 12
_SAFETY = 1e-12


class Rules(NamedTuple):
    """
    Prices and caps of a move.

    Attributes
    ----------
    alpha, beta : float
        Price of the feature's distance and of the correlation shift.
    max_divergence : float
        Cap on the feature's divergence, the square of the distance.
    max_change : float
        Cap on the correlation change of one move.
    max_shift : float
        Cap on the total correlation shift.
    """

    alpha: float
    beta: float
    max_divergence: float
    max_change: float
    max_shift: float


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


class Choice(NamedTuple):
    """
    The best candidate so far.

    Attributes
    ----------
    cost : float
        Infinite while there is none.
    delta : float
        Displacement in the feature's unit.
    value : float
        New value in the feature's unit.
    new_bin : int
        Merged bin of the new value.
    """

    cost: float
    delta: float
    value: float
    new_bin: int


@_jit
def no_choice() -> Choice:
    """Return the choice of an empty list of candidates."""
    return Choice(np.inf, 0.0, 0.0, -1)


@_jit
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


@_jit
def consider(bins: FloatArray, item: Probe, rules: Rules, origin: float, value: float, best: Choice) -> Choice:
    """
    Compare one candidate with the best so far.

    Parameters
    ----------
    bins : FloatArray, shape (6, n_bins + 1)
        The feature's part of :attr:`DatasetState.bins`.
    item : Probe
        The value to move.
    rules : Rules
        Prices and caps.
    origin, value : float
        Current and proposed value in the feature's unit.
    best : Choice
        Best so far.

    Returns
    -------
    Choice
        The candidate if it is admissible and cheaper, or equally cheap and nearer; else ``best``.
    """
    delta = value - origin
    new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, value)])
    divergence = divergence_after(bins, item, new_bin)
    shift = correlation_shift_after(item, row_distance(item, delta))
    cost = rules.alpha * np.sqrt(divergence) + rules.beta * shift
    admissible = shift <= rules.max_shift and (divergence <= rules.max_divergence or divergence <= item.divergence)
    cheaper = cost < best.cost or (cost == best.cost and abs(delta) < abs(best.delta))
    if delta != 0.0 and admissible and cheaper and row_change(item, delta) <= rules.max_change:
        best = Choice(cost, delta, value, new_bin)
    return best


@_jit
def scan_grid(bins: FloatArray, item: Probe, rules: Rules, grid: Grid, best: Choice) -> Choice:
    """
    Try every candidate: the slow twin of :func:`cheapest_on_grid`.

    Parameters
    ----------
    bins : FloatArray, shape (6, n_bins + 1)
        The feature's part of :attr:`DatasetState.bins`.
    item : Probe
        The value to move.
    rules : Rules
        Prices and caps.
    grid : Grid
        Candidates.
    best : Choice
        Best so far.

    Returns
    -------
    Choice
        The cheapest admissible candidate.
    """
    for t in range(grid.n):
        best = consider(bins, item, rules, grid.origin, grid_value(grid, t), best)
    return best


@_jit
def _third_derivative_bound(item: Probe, reach: float) -> float:
    """
    Bound on the third derivative of the row distance for displacements up to ``reach``.

    The row is ``y = n v - c`` with ``n`` linear in the displacement and ``v`` the inverse
    sigma; the distance ``|y|^2`` has the third derivative ``6 y1.y2 + 2 y.y3``.
    """
    # The variance is a parabola that opens upwards; its smallest value lies at an end or at its vertex.
    vertex = min(abs(item.slope) / max(item.curvature, 1e-300), reach)
    low = item.variance - vertex * (2.0 * abs(item.slope) - item.curvature * vertex)
    bound = np.inf
    if low > 0.0 and item.curvature >= 0.0:
        v = 1.0 / np.sqrt(low)
        s, c = 2.0 * (abs(item.slope) + item.curvature * reach) / low, 2.0 * item.curvature / low
        v1, v2, v3 = 0.5 * s * v, (0.75 * s * s + 0.5 * c) * v, (1.875 * s * s + 2.25 * c) * s * v
        u = np.sqrt(item.u)
        n = np.sqrt(item.a) + u * reach
        y1, y2, y3 = u * v + n * v1, 2.0 * u * v1 + n * v2, 3.0 * u * v2 + n * v3
        y0 = np.sqrt(max(item.row, 0.0)) + y1 * reach
        bound = 6.0 * y1 * y2 + 2.0 * y0 * y3
    return bound


@_jit
def _interval_bound(item: Probe, middle: float, half: float, third: float) -> tuple[float, float, float]:
    """
    Lower bound of the row distance within ``half`` of ``middle``.

    Also returns its slope in the middle, and by how much the slope can change within.
    """
    variance = item.variance + middle * (2.0 * item.slope + middle * item.curvature)
    v = 1.0 / np.sqrt(variance)
    s, c = 2.0 * (item.slope + middle * item.curvature) * v * v, 2.0 * item.curvature * v * v
    # Derivatives of the inverse sigma, divided by itself.
    v1, v2 = -0.5 * s, 0.75 * s * s - 0.5 * c
    n0 = item.a + middle * (2.0 * item.b + middle * item.u)
    n1 = 2.0 * (item.b + middle * item.u)
    g = item.d + middle * item.e
    value = (n0 * v - 2.0 * g) * v + item.f
    slope = ((n1 + 2.0 * n0 * v1) * v - 2.0 * (item.e + g * v1)) * v
    bend = ((2.0 * item.u + 4.0 * n1 * v1 + 2.0 * n0 * (v1 * v1 + v2)) * v - 4.0 * item.e * v1 - 2.0 * g * v2) * v
    dip = -abs(slope) * half + 0.5 * bend * half * half
    if bend * half > abs(slope):
        dip = -0.5 * slope * slope / bend
    rest = third * half * half
    return value + dip - rest * half / 6.0, slope, abs(bend) * half + 0.5 * rest


@_jit
def _search_bin(bins: FloatArray, item: Probe, rules: Rules, grid: Grid, k: int, third: float, best: Choice) -> Choice:
    """Best candidate of one bin; candidates of a neighbour next to the edge may be tried twice."""
    near, far = bins[EDGE, k], bins[EDGE, k + 1]
    if grid.sign < 0:
        near, far = far, near
    start = int(np.floor(((near - grid.origin) * grid.sign - grid.first) / grid.step)) - 1
    stop = int(np.floor(((far - grid.origin) * grid.sign - grid.first) / grid.step)) + 2
    start, stop = max(start, 0), min(stop, grid.n - 1)
    if start > stop:
        return best
    low, high = grid.first + start * grid.step, grid.first + stop * grid.step
    middle, half = grid.sign * 0.5 * (low + high), 0.5 * (high - low)
    row, slope, change = _interval_bound(item, middle, half, third)
    shift = correlation_shift_after(item, row) * (1.0 - _SAFETY)
    if shift > rules.max_shift:
        return best
    divergence = item.divergence
    merged = int(bins[GROUP, k])
    if merged != item.old_bin:
        divergence = max(divergence + item.down + item.weight * bins[UPHILL, merged], 0.0)
    if _cannot_win(rules, divergence, shift, best):
        return best
    # Without a price of the correlations the nearest admissible candidate wins, wherever it is.
    if stop - start <= 6 or rules.beta == 0.0 or abs(slope) <= change * (1.0 + 1e-6) + 1e-9 * abs(row):
        return scan_range(bins, item, rules, grid, start, stop, best)
    # The correlation part is monotonic here, so its best candidate sits at one end.
    left, right = (start, start + 3) if slope * grid.sign > 0 else (stop - 3, stop)
    largest = max(
        row_change(item, grid_value(grid, left) - grid.origin),
        row_change(item, grid_value(grid, right) - grid.origin),
    )
    if largest > rules.max_change * (1.0 - _SAFETY):
        left, right = start, stop
    return scan_range(bins, item, rules, grid, left, right, best)


@_jit
def _cannot_win(rules: Rules, divergence: float, shift: float, best: Choice) -> bool:
    bound = rules.alpha * np.sqrt(divergence) * (1.0 - _SAFETY) + rules.beta * shift
    return bool(bound - 1e-15 > best.cost)


@_jit
def scan_range(bins: FloatArray, item: Probe, rules: Rules, grid: Grid, start: int, stop: int, best: Choice) -> Choice:
    """Try the candidates from ``start`` to ``stop``, both included."""
    for t in range(start, stop + 1):
        best = consider(bins, item, rules, grid.origin, grid_value(grid, t), best)
    return best


@_jit
def _block_bound(item: Probe, rules: Rules, span: tuple[float, float], third: float, change: float) -> float:
    """Lower bound on the cost of any move into a block whose divergence changes by ``change`` at least."""
    row, _, _ = _interval_bound(item, 0.5 * (span[0] + span[1]), 0.5 * abs(span[1] - span[0]), third)
    shift = correlation_shift_after(item, row) * (1.0 - _SAFETY)
    divergence = max(item.divergence + change, 0.0)
    bound = rules.alpha * np.sqrt(divergence) * (1.0 - _SAFETY) + rules.beta * shift - 1e-15
    return bound if shift <= rules.max_shift else np.inf


@_jit
def _own_blocks(bins: FloatArray, item: Probe) -> tuple[int, int]:
    """First and last block with a bin that is merged with the current one."""
    member = item.old_bin
    while member + 1 < bins.shape[1] - 1 and bins[GROUP, member + 1] == item.old_bin:
        member += 1
    return item.old_bin // BLOCK, member // BLOCK


@_jit
def _block_span(bins: FloatArray, grid: Grid, block: int) -> tuple[float, float]:
    """Displacements of the candidates within a block of bins."""
    low, high = bins[EDGE, block * BLOCK], bins[EDGE, min((block + 1) * BLOCK, bins.shape[1] - 1)]
    if grid.sign < 0:
        low, high = high, low
    reach = grid.first + (grid.n - 1) * grid.step
    slack = 1e-6 * (abs(grid.origin) + reach)
    near = max((low - grid.origin) * grid.sign - slack, grid.first - slack)
    far = min((high - grid.origin) * grid.sign + slack, reach + slack)
    return grid.sign * near, grid.sign * far


@_jit
def _search_block(
    bins: FloatArray, item: Probe, rules: Rules, grid: Grid, block: int, third: float, best: Choice
) -> Choice:
    """Best candidate of one block, bin by bin."""
    span = _block_span(bins, grid, block)
    row, _, _ = _interval_bound(item, 0.5 * (span[0] + span[1]), 0.5 * abs(span[1] - span[0]), third)
    shift = correlation_shift_after(item, row) * (1.0 - _SAFETY)
    base = item.divergence + item.down
    first = block * BLOCK
    last = min(first + BLOCK, bins.shape[1] - 1) - 1
    for index in range(last - first + 1):
        k = first + index if grid.sign > 0 else last - index
        group = int(bins[GROUP, k])
        # Without square roots: the largest divergence that could still win.
        room = (best.cost - rules.beta * shift) / rules.alpha if rules.alpha > 0.0 else np.inf
        divergence = (base + item.weight * bins[UPHILL, group]) * (1.0 - _SAFETY) - 1e-15
        hopeless = room < 0.0 or divergence > min(room * room, rules.max_divergence)
        if group == item.old_bin or not hopeless:
            best = _search_bin(bins, item, rules, grid, k, third, best)
    return best


@_jit
def _bounded_search(
    bins: FloatArray, blocks: FloatArray, item: Probe, rules: Rules, grid: Grid, third: float, bounds: FloatArray
) -> Choice:
    """Search the most promising block first, then those that could still win."""
    first = find_bin(bins, item.inverse_width, grid_value(grid, 0)) // BLOCK
    last = find_bin(bins, item.inverse_width, grid_value(grid, grid.n - 1)) // BLOCK
    own_first, own_last = _own_blocks(bins, item)
    low, high = min(first, last), max(first, last)
    seed = low
    for block in range(low, high + 1):
        change = item.down + item.weight * blocks[block]
        if own_first <= block <= own_last:
            change = min(change, 0.0)
        bounds[block] = _block_bound(item, rules, _block_span(bins, grid, block), third, change)
        if bounds[block] < bounds[seed]:
            seed = block
    best = _search_block(bins, item, rules, grid, seed, third, no_choice())
    for block in range(low, high + 1):
        if block != seed and bounds[block] <= best.cost:
            best = _search_block(bins, item, rules, grid, block, third, best)
    return best


@_jit
def cheapest_on_grid(
    bins: FloatArray, blocks: FloatArray, item: Probe, rules: Rules, grid: Grid, bounds: FloatArray
) -> Choice:
    """
    Find the cheapest admissible candidate without trying all of them.

    Parameters
    ----------
    bins : FloatArray, shape (6, n_bins + 1)
        The feature's part of :attr:`DatasetState.bins`.
    blocks : FloatArray, shape (n_blocks,)
        The feature's part of :attr:`DatasetState.blocks`.
    item : Probe
        The value to move.
    rules : Rules
        Prices and caps.
    grid : Grid
        Candidates.
    bounds : FloatArray, shape (n_blocks,)
        Working space.

    Returns
    -------
    Choice
        The same as from :func:`scan_grid`.
    """
    third = np.inf
    if grid.n >= SHORT_GRID and item.weight >= item.smallest:
        third = _third_derivative_bound(item, grid.first + grid.n * grid.step)
    if np.isfinite(third):
        best = _bounded_search(bins, blocks, item, rules, grid, third, bounds)
    else:
        best = scan_grid(bins, item, rules, grid, no_choice())
    return best
