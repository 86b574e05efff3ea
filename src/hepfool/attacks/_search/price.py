# SPDX-License-Identifier: BSD-3-Clause
r"""
What a move costs, what it is worth, which caps it must keep, and which of two candidates is better.

The price of a candidate is :math:`\alpha\,\mathrm{JSD}_j+\beta\,\Delta\mathrm{FN}`, less what it takes from the network's margin;
of equal prices the smaller displacement wins.  :mod:`hepfool.attacks._search.bounded` finds the best one without trying all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import inline_kernel
from hepfool.statistics._dataset_state import CURRENT, GROUP, find_bin, term
from hepfool.statistics._incremental import Probe, correlation_shift_after, divergence_after, row_change, row_distance
from hepfool.typing import FloatArray


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
    max_step : float
        Cap on the divergence between the feature's marginals before and after one move.
    """

    alpha: float
    beta: float
    max_divergence: float
    max_change: float
    max_shift: float
    max_step: float


class Worth(NamedTuple):
    """
    What moving one value is worth.

    Attributes
    ----------
    slope : float
        Of the margin, per unit of the feature.
    needed : float
        Margin still to be taken from the event; 0 for an event that is to keep its class.
    low, high : float
        Smallest and largest margin that the move may take.
    reward : float
        What taking all that is needed is worth, in units of the price.
    base : float
        Price of staying.
    """

    slope: float
    needed: float
    low: float
    high: float
    reward: float
    base: float


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
        Merged bin of the new value; -1 to stay.
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
def worthless() -> Worth:
    """Return the worth of a move whose price alone counts."""
    return Worth(0.0, 0.0, -np.inf, np.inf, 0.0, 0.0)


@inline_kernel
def earned(worth: Worth, gain: float) -> float:
    """Value what a move takes from the margin."""
    return worth.reward * min(gain, worth.needed) / worth.needed if worth.needed > 0.0 else 0.0


@inline_kernel
def keeps(after: float, before: float, cap: float) -> bool:
    """Whether a move keeps a cap: the rule of all caps.  What is above it already may not get worse."""
    return bool(after <= cap or after <= before)


@inline_kernel
def staying(item: Probe, rules: Rules) -> float:
    """Price of leaving a value where it is."""
    return float(rules.alpha * np.sqrt(item.divergence) + rules.beta * np.sqrt(item.distance / item.norm))


@inline_kernel
def step_divergence(bins: FloatArray, item: Probe, new_bin: int) -> float:
    """Divergence between a feature's marginals before and after one move, in bits."""
    result = 0.0
    if new_bin != item.old_bin:
        old, new = bins[CURRENT, item.old_bin], bins[CURRENT, new_bin]
        result = term(old, max(old - item.weight, 0.0)) + term(new, max(new + item.weight, 0.0))
    return result


@inline_kernel
def better(
    item: Probe, rules: Rules, worth: Worth, there: tuple[int, float], move: tuple[float, float, float], best: Choice
) -> Choice:
    """
    Compare a candidate whose bin is known with the best so far.

    Parameters
    ----------
    item : Probe
        The value to move.
    rules : Rules
        Prices and caps.
    worth : Worth
        What the move is worth.
    there : (int, float)
        Merged bin of the candidate, and the feature's divergence, in bits, once the event is there.
    move : (float, float, float)
        Displacement, the same the shorter way round (for an angle), and new value, in the feature's unit.
    best : Choice
        Best so far.

    Returns
    -------
    Choice
        The candidate if it is admissible and cheaper, or equally cheap and nearer; else ``best``.
    """
    (new_bin, divergence), (delta, travel, value) = there, move
    gain = -worth.slope * travel
    cost = rules.alpha * np.sqrt(divergence) - worth.base - earned(worth, gain)
    if delta != 0.0 and worth.low <= gain <= worth.high and cost <= best.cost:
        shift = correlation_shift_after(item, row_distance(item, delta))
        cost += rules.beta * shift
        cheaper = cost < best.cost or (cost == best.cost and abs(delta) < abs(best.delta))
        if (
            cheaper
            and keeps(divergence, item.divergence, rules.max_divergence)
            and keeps(shift, np.sqrt(item.distance / item.norm), rules.max_shift)
            and row_change(item, delta) <= rules.max_change
        ):
            best = Choice(cost, delta, value, new_bin)
    return best


@inline_kernel
def consider(
    bins: FloatArray, item: Probe, rules: Rules, worth: Worth, move: tuple[float, float, float], best: Choice
) -> Choice:
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
    worth : Worth
        What the move is worth.
    move : (float, float, float)
        Displacement, the same the shorter way round (for an angle), and new value, in the feature's unit.
    best : Choice
        Best so far.

    Returns
    -------
    Choice
        The candidate if it is admissible and cheaper, or equally cheap and nearer; else ``best``.
    """
    new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, move[2])])
    if rules.max_step == np.inf or step_divergence(bins, item, new_bin) <= rules.max_step:
        best = better(item, rules, worth, (new_bin, divergence_after(bins, item, new_bin)), move, best)
    return best
