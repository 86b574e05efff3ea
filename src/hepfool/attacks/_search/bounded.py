# SPDX-License-Identifier: BSD-3-Clause
r"""
Find the best admissible move of one value, exactly and without trying all.

Most bins cannot win: a bin's divergence is one number, what a move earns is linear, and the correlation part is
smooth, so that a bound over an interval follows from value, slope and curvature in the middle of a
block of bins and from a bound on the third derivative.  Blocks, then bins, whose
bound exceeds the best price found are skipped; what is chosen is what trying every candidate would choose
(:func:`scan_grid`, :func:`scan_bins`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import inline_kernel, summing_kernel
from hepfool.attacks._search.candidates import (
    ANGLE,
    INTEGER,
    Course,
    Grid,
    Options,
    Spot,
    bin_candidate,
    grid_value,
    n_bin_candidates,
    travel_of,
)
from hepfool.attacks._search.price import (
    Choice,
    Rules,
    Worth,
    better,
    consider,
    earned,
    keeps,
    no_choice,
    step_divergence,
    worthless,
)
from hepfool.statistics._dataset_state import BLOCK, EDGE, GROUP, UPHILL, find_bin
from hepfool.statistics._incremental import Probe, correlation_shift_after, divergence_after, row_change
from hepfool.typing import FloatArray

#: Grids shorter than this are scanned, which is then faster than bounding.
SHORT_GRID = 12
#: Bins with fewer candidates are scanned.
_FEW = 6
_SAFETY = 1e-12
#: Rounding of a row distance in units of the sums that it is the difference of.
_CANCELLED = 1e-14
#: Relative spacing of single precision numbers, at most.
_SINGLE = 2.0**-23
#: Rows of the working space: price of a block at least, and its displacements.
_PRICE, _LEFT, _RIGHT = range(3)
#: By how much a move must be better than staying.
NOTICEABLE = -1e-12


class _Expansion(NamedTuple):
    """Row distance around one displacement: value and derivatives, the third as a bound on its size."""

    middle: float
    value: float
    slope: float
    bend: float
    third: float


class Hunt(NamedTuple):
    """What the search for one value's best candidate has in common: ``low`` and ``high`` bound its displacement."""

    item: Probe
    rules: Rules
    worth: Worth
    third: float
    low: float
    high: float


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
    ends = min(p * (x.slope + 0.5 * x.bend * p), q * (x.slope + 0.5 * x.bend * q))
    inside = (x.slope + x.bend * p < 0.0) & (x.slope + x.bend * q > 0.0)
    row = -0.5 * x.slope * x.slope / x.bend if inside else ends
    far = max(abs(p), abs(q))
    # Sums that nearly cancel are known to rounding only, which counts where nothing has shifted yet.
    row += x.value - x.third * far * far * far / 6.0 - _CANCELLED * (item.f + x.value)
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
def _search_bin(bins: FloatArray, hunt: Hunt, grid: Grid, k: int, x: _Expansion, best: Choice) -> Choice:
    """Best candidate of a grid within one bin."""
    item, rules = hunt.item, hunt.rules
    start, stop = _candidates_of(bins, grid, k)
    if start > stop:
        return best
    near, far = grid.sign * (grid.first + start * grid.step), grid.sign * (grid.first + stop * grid.step)
    left, right = min(near, far), max(near, far)
    shift = _least_shift(item, x, left, right)
    merged = int(bins[GROUP, k])
    divergence = divergence_after(bins, item, merged)
    cost = rules.alpha * np.sqrt(divergence) * (1.0 - _SAFETY) + rules.beta * shift
    if _hopeless(hunt, shift) or cost - 1e-15 > best.cost:
        return best
    if rules.max_step < np.inf and step_divergence(bins, item, merged) > rules.max_step:
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
            delta = value - grid.origin
            best = better(item, rules, hunt.worth, (merged, divergence), (delta, delta, value), best)
    return best


@inline_kernel
def _hopeless(hunt: Hunt, shift: float) -> bool:
    """Whether a correlation shift of at least ``shift`` breaks the cap."""
    return not keeps(shift, np.sqrt(hunt.item.distance / hunt.item.norm), hunt.rules.max_shift)


@inline_kernel
def _changes_little(hunt: Hunt, near: float, far: float) -> bool:
    """Whether the cap on one move is of no concern between two displacements."""
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
def _block_edges(bins: FloatArray, block: int) -> tuple[float, float]:
    return bins[EDGE, block * BLOCK], bins[EDGE, min((block + 1) * BLOCK, bins.shape[1] - 1)]


@inline_kernel
def _grid_span(bins: FloatArray, grid: Grid, block: int) -> tuple[float, float]:
    """Smallest and largest displacement of a grid's candidates within a block of bins."""
    low, high = _block_edges(bins, block)
    reach = grid.first + (grid.n - 1) * grid.step
    slack = 1e-6 * (abs(grid.origin) + reach)
    left, right = low - grid.origin - slack, high - grid.origin + slack
    near, far = grid.sign * (grid.first - slack), grid.sign * (reach + slack)
    return max(left, min(near, far)), min(right, max(near, far))


@summing_kernel
def _bound_blocks(hunt: Hunt, blocks: FloatArray, own: tuple[int, int], most: float, bounds: FloatArray) -> None:
    """
    Bound from below the price of any move into each block, given its displacements: infinite where there are none.

    A move takes up to ``most`` from the margin, or what its slope says if that is more.  Without branches, so that it vectorises.
    """
    item, rules, worth = hunt.item, hunt.rules, hunt.worth
    needed, reward = (worth.needed, worth.reward) if worth.needed > 0.0 else (1.0, 0.0)
    max_divergence = max(rules.max_divergence, item.divergence)
    max_shift = max(rules.max_shift, np.sqrt(item.distance / item.norm))
    for block in range(bounds.shape[1]):
        left, right = bounds[_LEFT, block], bounds[_RIGHT, block]
        change = item.down + item.weight * blocks[block]
        change = min(change, 0.0) if (block >= own[0]) & (block <= own[1]) else change
        divergence = max(item.divergence + change, 0.0) * (1.0 - _SAFETY)
        shift = _least_shift(item, _expand(item, 0.5 * (left + right), hunt.third), left, right)
        gain = max(most, -worth.slope * left, -worth.slope * right)
        price = (
            rules.alpha * np.sqrt(divergence) + rules.beta * shift - worth.base - reward * min(gain, needed) / needed
        )
        price -= 1e-14 * (1.0 + worth.base)
        able = (left <= right) & (divergence <= max_divergence) & (shift <= max_shift)
        bounds[_PRICE, block] = price if able else np.inf


@inline_kernel
def _largest_divergence(rules: Rules, best: Choice, shift: float) -> float:
    """Divergence above which no candidate of a grid can win."""
    room = (best.cost - rules.beta * shift) / rules.alpha if rules.alpha > 0.0 else np.inf
    return room * room if room >= 0.0 else -1.0


@inline_kernel
def _search_block(bins: FloatArray, hunt: Hunt, grid: Grid, block: int, best: Choice) -> Choice:
    """Best candidate of a grid within one block, bin by bin, the nearest first."""
    item, rules = hunt.item, hunt.rules
    span = _grid_span(bins, grid, block)
    x = _expand(item, 0.5 * (span[0] + span[1]), hunt.third)
    shift = _least_shift(item, x, span[0], span[1])
    base = item.divergence + item.down
    cap = max(rules.max_divergence, item.divergence)
    first = block * BLOCK
    last = min(first + BLOCK, bins.shape[1] - 1) - 1
    largest = min(_largest_divergence(rules, best, shift), cap)
    for index in range(last - first + 1):
        k = first + index if grid.sign > 0 else last - index
        group = int(bins[GROUP, k])
        divergence = (base + item.weight * bins[UPHILL, group]) * (1.0 - _SAFETY) - 1e-15
        if group == item.old_bin or divergence <= largest:
            best = _search_bin(bins, hunt, grid, k, x, best)
            largest = min(_largest_divergence(rules, best, shift), cap)
    return best


@inline_kernel
def cheapest_on_grid(
    bins: FloatArray, blocks: FloatArray, item: Probe, rules: Rules, grid: Grid, bounds: FloatArray
) -> Choice:
    """
    Find the cheapest admissible candidate of a grid.

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
    bounds : FloatArray, shape (3, n_blocks)
        Working space.

    Returns
    -------
    Choice
        The same as from :func:`scan_grid`.
    """
    third, reach = np.inf, grid.first + grid.n * grid.step
    # Where single precision is coarser than the grid, a candidate's place does not tell its bin.
    fine = _SINGLE * (abs(grid.origin) + reach) <= grid.step
    if fine and grid.n >= SHORT_GRID and item.weight >= item.smallest:
        third = _third_derivative_bound(item, reach)
    if not np.isfinite(third):
        return scan_grid(bins, item, rules, grid)
    hunt = Hunt(item, rules, worthless(), third, -np.inf, np.inf)
    first = find_bin(bins, item.inverse_width, grid_value(grid, 0)) // BLOCK
    last = find_bin(bins, item.inverse_width, grid_value(grid, grid.n - 1)) // BLOCK
    low, high = min(first, last), max(first, last)
    for block in range(bounds.shape[1]):
        bounds[_LEFT, block], bounds[_RIGHT, block] = _grid_span(bins, grid, block)
    _bound_blocks(hunt, blocks, _own_blocks(bins, item), 0.0, bounds)
    seed = low
    for block in range(low, high + 1):
        if bounds[_PRICE, block] < bounds[_PRICE, seed]:
            seed = block
    best, block = no_choice(), seed
    # The most promising block first, then those that could still win.
    for turn in range(low, high + 2):
        if turn > low:
            block = turn - 1
        if turn == low or (block != seed and bounds[_PRICE, block] <= best.cost):
            best = _search_block(bins, hunt, grid, block, best)
    return best


@inline_kernel
def scan_grid(bins: FloatArray, item: Probe, rules: Rules, grid: Grid) -> Choice:
    """
    Try every candidate of a grid: the slow twin of :func:`cheapest_on_grid`.

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

    Returns
    -------
    Choice
        The cheapest admissible candidate.
    """
    best = no_choice()
    for t in range(grid.n):
        value = grid_value(grid, t)
        delta = value - grid.origin
        best = consider(bins, item, rules, worthless(), (delta, delta, value), best)
    return best


@inline_kernel
def best_of_bins(
    bins: FloatArray,
    blocks: FloatArray,
    hunt: Hunt,
    options: Options,
    course: Course,
    spot: Spot,
    seed: int,
    bounds: FloatArray,
) -> Choice:
    """
    Find the best of one candidate per bin, and of the nominal value; staying is the first, at no price.

    Parameters
    ----------
    bins : FloatArray, shape (6, n_bins + 1)
        The feature's part of :attr:`DatasetState.bins`.
    blocks : FloatArray, shape (n_blocks,)
        The feature's part of :attr:`DatasetState.blocks`.
    hunt : Hunt
        The value to move, prices and caps, and what the move is worth.
    options : Options
        How candidates are proposed.
    course : Course
        What candidates depend on.
    spot : Spot
        Limits of the value.
    seed : int
        Of the candidates.
    bounds : FloatArray, shape (3, n_blocks)
        Working space.

    Returns
    -------
    Choice
        The same as from :func:`scan_bins`.
    """
    item, worth = hunt.item, hunt.worth
    n_bins, value = bins.shape[1] - 1, spot.value
    best = Choice(NOTICEABLE, 0.0, value, -1)
    down, up, widest = _room(bins, worth, course, spot)
    third = np.inf
    if item.weight >= item.smallest and course.kind != INTEGER and n_bin_candidates(options, n_bins) == n_bins:
        third = _third_derivative_bound(item, widest)
    if not np.isfinite(third):
        return _scan(bins, hunt, options, course, spot, (0, n_bin_candidates(options, n_bins) + 1), seed, best)
    hunt = Hunt(item, hunt.rules, worth, third, -down, up)
    best = _scan(bins, hunt, options, course, spot, (n_bins, n_bins + 1), seed, best)
    n_blocks, start = bounds.shape[1], -1
    for block in range(n_blocks):
        span = (block * BLOCK, min((block + 1) * BLOCK, n_bins))
        bounds[_LEFT, block], bounds[_RIGHT, block] = _reachable(bins, value, hunt, span)
    # The shorter way round, an angle may come from either side.
    most = abs(worth.slope) * max(spot.down, spot.up) if course.kind == ANGLE else -np.inf
    _bound_blocks(hunt, blocks, _own_blocks(bins, item), most, bounds)
    for block in range(n_blocks):
        if bounds[_PRICE, block] <= best.cost and (start < 0 or bounds[_PRICE, block] < bounds[_PRICE, start]):
            start = block
    for turn in range(-1, n_blocks if start >= 0 else -1):
        block = start if turn < 0 else turn
        if turn < 0 or (block != start and bounds[_PRICE, block] <= best.cost):
            best = _scan_block(bins, hunt, options, course, spot, block, seed, best)
    return best


@inline_kernel
def _scan_block(
    bins: FloatArray,
    hunt: Hunt,
    options: Options,
    course: Course,
    spot: Spot,
    block: int,
    seed: int,
    best: Choice,
) -> Choice:
    """Try the candidates of a block, without the correlations of those that lose by their marginal."""
    item, rules, worth = hunt.item, hunt.rules, hunt.worth
    first, last = block * BLOCK, min((block + 1) * BLOCK, bins.shape[1] - 1)
    span = _reachable(bins, spot.value, hunt, (first, last))
    least = rules.beta * _least_shift(item, _expand(item, 0.5 * (span[0] + span[1]), hunt.third), span[0], span[1])
    for k in range(first, last):
        span = _reachable(bins, spot.value, hunt, (k, k + 1))
        value = bin_candidate(bins, options, course, spot, k, seed) if span[0] <= span[1] else np.nan
        if np.isnan(value):
            continue
        travel = travel_of(course, spot.value, value)
        # In the bin where rounding puts it.
        divergence = divergence_after(bins, item, int(bins[GROUP, find_bin(bins, item.inverse_width, value)]))
        cost = rules.alpha * np.sqrt(divergence) + least - worth.base - earned(worth, -worth.slope * travel)
        if cost - 1e-14 * (1.0 + worth.base) <= best.cost:
            best = consider(bins, item, rules, worth, (value - spot.value, travel, value), best)
    return best


@inline_kernel
def _reachable(bins: FloatArray, value: float, hunt: Hunt, between: tuple[int, int]) -> tuple[float, float]:
    """Smallest and largest displacement into some bins, with room for rounding; none if the first is the larger."""
    low, high = bins[EDGE, between[0]] - value, bins[EDGE, between[1]] - value
    slack = 1e-6 * (abs(value) + max(abs(low), abs(high)))
    return max(low - slack, hunt.low), min(high + slack, hunt.high)


@inline_kernel
def _room(bins: FloatArray, worth: Worth, course: Course, spot: Spot) -> tuple[float, float, float]:
    """How far down and up a value may go at most within its limits and those of the margin, and the larger of both."""
    value, n_bins = spot.value, bins.shape[1] - 1
    widest = max(abs(bins[EDGE, 0] - value), abs(bins[EDGE, n_bins] - value), spot.down, spot.up) * 1.001
    slack = 1e-6 * (abs(value) + widest)
    if course.kind == ANGLE:
        return widest, widest, widest
    down, up = spot.down, spot.up
    if worth.slope != 0.0:
        low, high = worth.low / abs(worth.slope), worth.high / abs(worth.slope)
        if worth.slope > 0.0:
            low, high = -high, -low
        down, up = min(down, -low), min(up, high)
    return down + slack, up + slack, max(min(max(down, up), widest), 0.0) + slack


@inline_kernel
def _scan(
    bins: FloatArray,
    hunt: Hunt,
    options: Options,
    course: Course,
    spot: Spot,
    span: tuple[int, int],
    seed: int,
    best: Choice,
) -> Choice:
    """Try the candidates of some bins."""
    for t in range(span[0], span[1]):
        value = bin_candidate(bins, options, course, spot, t, seed)
        if not np.isnan(value):
            move = (value - spot.value, travel_of(course, spot.value, value), value)
            best = consider(bins, hunt.item, hunt.rules, hunt.worth, move, best)
    return best


@inline_kernel
def scan_bins(bins: FloatArray, hunt: Hunt, options: Options, course: Course, spot: Spot, seed: int) -> Choice:
    """
    Try one candidate in every bin: the slow twin of :func:`best_of_bins`, with the same parameters.

    Returns
    -------
    Choice
        The best admissible candidate.
    """
    n_tried = n_bin_candidates(options, bins.shape[1] - 1)
    return _scan(bins, hunt, options, course, spot, (0, n_tried + 1), seed, Choice(NOTICEABLE, 0.0, spot.value, -1))
