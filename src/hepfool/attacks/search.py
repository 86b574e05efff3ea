# SPDX-License-Identifier: BSD-3-Clause
r"""
What a move costs, where it may go, and which of two candidates is better.

The cost of a candidate is :math:`\alpha\,\mathrm{JSD}_j+\beta\,\Delta\mathrm{FN}`; of equal costs the smaller
displacement wins.  :mod:`hepfool.attacks.bounded_search` finds the best one without trying all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool.kernels import inline_kernel
from hepfool.statistics.dataset_state import GROUP, find_bin
from hepfool.statistics.incremental import Probe, correlation_shift_after, divergence_after, row_change, row_distance
from hepfool.typing import FloatArray

__all__ = ["Choice", "Grid", "Rules", "better", "consider", "grid_value", "no_choice", "scan_grid"]


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


@inline_kernel
def no_choice() -> Choice:
    """Return the choice of an empty list of candidates."""
    return Choice(np.inf, 0.0, 0.0, -1)


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
def better(item: Probe, rules: Rules, there: tuple[int, float], origin: float, value: float, best: Choice) -> Choice:
    """
    Compare a candidate whose bin is known with the best so far.

    Parameters
    ----------
    item : Probe
        The value to move.
    rules : Rules
        Prices and caps.
    there : (int, float)
        Merged bin of the candidate, and the feature's divergence, in bits, once the event is there.
    origin, value : float
        Current and proposed value in the feature's unit.
    best : Choice
        Best so far.

    Returns
    -------
    Choice
        The candidate if it is admissible and cheaper, or equally cheap and nearer; else ``best``.
    """
    delta, (new_bin, divergence) = value - origin, there
    shift = correlation_shift_after(item, row_distance(item, delta))
    cost = rules.alpha * np.sqrt(divergence) + rules.beta * shift
    admissible = shift <= rules.max_shift and (divergence <= rules.max_divergence or divergence <= item.divergence)
    cheaper = cost < best.cost or (cost == best.cost and abs(delta) < abs(best.delta))
    if delta != 0.0 and admissible and cheaper and row_change(item, delta) <= rules.max_change:
        best = Choice(cost, delta, value, new_bin)
    return best


@inline_kernel
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
    new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, value)])
    return better(item, rules, (new_bin, divergence_after(bins, item, new_bin)), origin, value, best)


@inline_kernel
def scan_grid(bins: FloatArray, item: Probe, rules: Rules, grid: Grid, best: Choice) -> Choice:
    """
    Try every candidate: the slow twin of :func:`~hepfool.attacks.bounded_search.cheapest_on_grid`.

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
