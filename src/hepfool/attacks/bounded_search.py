# SPDX-License-Identifier: BSD-3-Clause
r"""
Find the cheapest admissible move of one value on a dense grid, exactly.

Most bins cannot win: a bin's divergence is one number, and the correlation part is
smooth, so that a bound over an interval follows from value, slope and curvature in the middle of a
block of bins and from a bound on the third derivative.  Blocks, then bins, whose
bound exceeds the best cost found are skipped; what is chosen is what
:func:`~hepfool.attacks.search.scan_grid` chooses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool.attacks.search import Choice, Grid, Rules, better, grid_value, no_choice, scan_grid
from hepfool.kernels import inline_kernel
from hepfool.statistics.dataset_state import BLOCK, EDGE, GROUP, UPHILL, find_bin
from hepfool.statistics.incremental import Probe, correlation_shift_after, divergence_after, row_change
from hepfool.typing import FloatArray

__all__ = ["cheapest_on_grid"]


#: Grids shorter than this are scanned, which is then faster than bounding.
SHORT_GRID = 12
#: Bins with fewer candidates are scanned.
_FEW = 6
_SAFETY = 1e-12
#: Relative spacing of single precision numbers, at most.
_SINGLE = 2.0**-23


class _Expansion(NamedTuple):
    """Row distance around one displacement: value and derivatives, the third as a bound on its size."""

    middle: float
    value: float
    slope: float
    bend: float
    third: float


class _Hunt(NamedTuple):
    """What the search for one value's best candidate has in common."""

    item: Probe
    rules: Rules
    grid: Grid
    third: float


@inline_kernel
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


@inline_kernel
def _expand(item: Probe, middle: float, third: float) -> _Expansion:
    """Expand the row distance around a displacement."""
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
    return _Expansion(middle, value, slope, bend, third)


@inline_kernel
def _least_shift(item: Probe, x: _Expansion, left: float, right: float) -> float:
    """Lower bound of the correlation shift for displacements from ``left`` to ``right``."""
    p, q = left - x.middle, right - x.middle
    row = min(p * (x.slope + 0.5 * x.bend * p), q * (x.slope + 0.5 * x.bend * q))
    if x.slope + x.bend * p < 0.0 < x.slope + x.bend * q:
        row = -0.5 * x.slope * x.slope / x.bend
    far = max(abs(p), abs(q))
    row += x.value - x.third * far * far * far / 6.0
    return correlation_shift_after(item, row) * (1.0 - _SAFETY)


@inline_kernel
def _trend(x: _Expansion, left: float, right: float) -> int:
    """Tell whether the row distance rises (1) or falls (-1) throughout an interval; 0 if that is not sure."""
    p, q = left - x.middle, right - x.middle
    far = max(abs(p), abs(q))
    slack = 0.5 * x.third * far * far + 1e-6 * abs(x.bend) * far + 1e-9 * abs(x.value)
    at_left, at_right = x.slope + x.bend * p, x.slope + x.bend * q
    result = 0
    if min(at_left, at_right) > slack:
        result = 1
    elif max(at_left, at_right) < -slack:
        result = -1
    return result


@inline_kernel
def _candidates_of(bins: FloatArray, grid: Grid, k: int) -> tuple[int, int]:
    """First and last candidate of a bin, one more on both sides where rounding might put it there."""
    near, far = bins[EDGE, k], bins[EDGE, k + 1]
    if grid.sign < 0:
        near, far = far, near
    start = int(np.floor(((near - grid.origin) * grid.sign - grid.first) / grid.step)) - 1
    stop = int(np.floor(((far - grid.origin) * grid.sign - grid.first) / grid.step)) + 2
    return max(start, 0), min(stop, grid.n - 1)


@inline_kernel
def _search_bin(bins: FloatArray, hunt: _Hunt, k: int, x: _Expansion, best: Choice) -> Choice:
    """Best candidate of one bin."""
    item, rules, grid = hunt.item, hunt.rules, hunt.grid
    start, stop = _candidates_of(bins, grid, k)
    if start > stop:
        return best
    near, far = grid.sign * (grid.first + start * grid.step), grid.sign * (grid.first + stop * grid.step)
    left, right = min(near, far), max(near, far)
    shift = _least_shift(item, x, left, right)
    merged = int(bins[GROUP, k])
    divergence = divergence_after(bins, item, merged)
    cost = rules.alpha * np.sqrt(divergence) * (1.0 - _SAFETY) + rules.beta * shift
    if shift > rules.max_shift or cost - 1e-15 > best.cost:
        return best
    # Without a price of the correlations the nearest admissible candidate wins, wherever it is.
    enough = stop - start + 1
    trend = _trend(x, left, right)
    if enough > _FEW and rules.beta > 0.0 and trend != 0 and _changes_little(hunt, near, far):
        # The cheapest one sits at the end; the second one is for rounding.
        enough = 2
        if (trend > 0) != (grid.sign > 0):
            start, stop = stop, start
    step = 1 if stop >= start else -1
    t, found = start, 0
    while found < enough and (t - stop) * step <= 0:
        value = grid_value(grid, t)
        t += step
        if bins[EDGE, k] <= value < bins[EDGE, k + 1] or find_bin(bins, item.inverse_width, value) == k:
            found += 1
            best = better(item, rules, (merged, divergence), grid.origin, value, best)
    return best


@inline_kernel
def _changes_little(hunt: _Hunt, near: float, far: float) -> bool:
    """Tell whether the cap on one move is of no concern between two displacements."""
    cap = hunt.rules.max_change * (1.0 - _SAFETY)
    return bool(cap == np.inf or max(row_change(hunt.item, near), row_change(hunt.item, far)) <= cap)


@inline_kernel
def _own_blocks(bins: FloatArray, item: Probe) -> tuple[int, int]:
    """First and last block with a bin that is merged with the current one."""
    member = item.old_bin
    while member + 1 < bins.shape[1] - 1 and bins[GROUP, member + 1] == item.old_bin:
        member += 1
    return item.old_bin // BLOCK, member // BLOCK


@inline_kernel
def _block_span(bins: FloatArray, grid: Grid, block: int) -> tuple[float, float]:
    """Smallest and largest displacement of the candidates within a block of bins."""
    low, high = bins[EDGE, block * BLOCK], bins[EDGE, min((block + 1) * BLOCK, bins.shape[1] - 1)]
    reach = grid.first + (grid.n - 1) * grid.step
    slack = 1e-6 * (abs(grid.origin) + reach)
    left, right = low - grid.origin - slack, high - grid.origin + slack
    near, far = grid.sign * (grid.first - slack), grid.sign * (reach + slack)
    return max(left, min(near, far)), min(right, max(near, far))


@inline_kernel
def _block_bound(hunt: _Hunt, x: _Expansion, span: tuple[float, float], change: float) -> float:
    """Lower bound on the cost of any move into a block whose divergence changes by ``change`` at least."""
    rules = hunt.rules
    shift = _least_shift(hunt.item, x, span[0], span[1])
    divergence = max(hunt.item.divergence + change, 0.0)
    bound = rules.alpha * np.sqrt(divergence) * (1.0 - _SAFETY) + rules.beta * shift - 1e-15
    return bound if shift <= rules.max_shift else np.inf


@inline_kernel
def _largest_divergence(rules: Rules, best: Choice, shift: float) -> float:
    """Divergence above which no candidate can win."""
    room = (best.cost - rules.beta * shift) / rules.alpha if rules.alpha > 0.0 else np.inf
    return min(room * room, rules.max_divergence) if room >= 0.0 else -1.0


@inline_kernel
def _search_block(bins: FloatArray, hunt: _Hunt, block: int, best: Choice) -> Choice:
    """Best candidate of one block, bin by bin, the nearest first."""
    item, rules = hunt.item, hunt.rules
    span = _block_span(bins, hunt.grid, block)
    x = _expand(item, 0.5 * (span[0] + span[1]), hunt.third)
    shift = _least_shift(item, x, span[0], span[1])
    base = item.divergence + item.down
    first = block * BLOCK
    last = min(first + BLOCK, bins.shape[1] - 1) - 1
    largest = _largest_divergence(rules, best, shift)
    for index in range(last - first + 1):
        k = first + index if hunt.grid.sign > 0 else last - index
        group = int(bins[GROUP, k])
        divergence = (base + item.weight * bins[UPHILL, group]) * (1.0 - _SAFETY) - 1e-15
        if group == item.old_bin or divergence <= largest:
            best = _search_bin(bins, hunt, k, x, best)
            largest = _largest_divergence(rules, best, shift)
    return best


@inline_kernel
def _bounded_search(bins: FloatArray, blocks: FloatArray, hunt: _Hunt, bounds: FloatArray) -> Choice:
    """Search the most promising block first, then those that could still win."""
    item, grid = hunt.item, hunt.grid
    first = find_bin(bins, item.inverse_width, grid_value(grid, 0)) // BLOCK
    last = find_bin(bins, item.inverse_width, grid_value(grid, grid.n - 1)) // BLOCK
    own_first, own_last = _own_blocks(bins, item)
    low, high = min(first, last), max(first, last)
    seed = low
    for block in range(low, high + 1):
        change = item.down + item.weight * blocks[block]
        if own_first <= block <= own_last:
            change = min(change, 0.0)
        span = _block_span(bins, grid, block)
        x = _expand(item, 0.5 * (span[0] + span[1]), hunt.third)
        bounds[block] = _block_bound(hunt, x, span, change)
        if bounds[block] < bounds[seed]:
            seed = block
    best = _search_block(bins, hunt, seed, no_choice())
    for block in range(low, high + 1):
        if block != seed and bounds[block] <= best.cost:
            best = _search_block(bins, hunt, block, best)
    return best


@inline_kernel
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
        The same as from :func:`~hepfool.attacks.search.scan_grid`.
    """
    third, reach = np.inf, grid.first + grid.n * grid.step
    # Where single precision is coarser than the grid, a candidate's place does not tell its bin.
    fine = _SINGLE * (abs(grid.origin) + reach) <= grid.step
    if fine and grid.n >= SHORT_GRID and item.weight >= item.smallest:
        third = _third_derivative_bound(item, reach)
    if np.isfinite(third):
        best = _bounded_search(bins, blocks, _Hunt(item, rules, grid, third), bounds)
    else:
        best = scan_grid(bins, item, rules, grid, no_choice())
    return best
