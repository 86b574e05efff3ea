# SPDX-License-Identifier: BSD-3-Clause
"""
Move events whose network is an ensemble of trees: what a candidate takes from the margin is known, not estimated by a slope.

The order of the values, what each is worth after those before it, and the candidates are those of
:mod:`hepfool.attacks._search.sweep`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import inline_kernel, kernel
from hepfool.attacks._search.bounded import NOTICEABLE
from hepfool.attacks._search.candidates import FIXED, bin_candidate, course_of, n_bin_candidates, spot_of
from hepfool.attacks._search.ledger import Ledger, rules_of, state_of
from hepfool.attacks._search.price import Choice, Rules, Worth, consider, earned, staying
from hepfool.attacks._search.sweep import Task
from hepfool.models._tree_kernels import Profile, Trees, margin_of, profile, seen, sum_up
from hepfool.statistics._incremental import Probe, commit, deviate, probe
from hepfool.typing import FloatArray, IntArray

#: Differences of margins that come from the order of the sums: a candidate in the same leaves takes nothing.
ROUNDING = 1e-12


class _Space(NamedTuple):
    """Working space: deviations from the means, the features in order, their largest gains, no change, and profiles."""

    deviation: FloatArray
    order: IntArray
    gain: FloatArray
    nothing: FloatArray
    profile: Profile


def sweep_profiles(ledger: Ledger, task: Task, trees: Trees, labels: IntArray) -> FloatArray:
    """
    Move each event towards its goal at the lowest price.

    Parameters
    ----------
    ledger : Ledger
        Updated with every move.
    task : Task
        Events to be moved, with one candidate per bin; its values are updated, its slopes are not used.
    trees : Trees
        The network.
    labels : IntArray, shape (n_moved,)
        Class of each event whose margin counts.

    Returns
    -------
    FloatArray, shape (n_moved,)
        What the moves have taken from each margin.
    """
    n_columns, n_bins = task.values.shape[1], ledger.bins.shape[-1] - 1
    taken = np.zeros(len(task.events))
    made = Profile.of(trees, n_bins + 1)
    space = _Space(np.empty(n_columns), np.arange(n_columns), np.empty(n_columns), np.zeros(len(trees.base)), made)
    _sweep(ledger, task, trees, labels, taken, space)
    return taken


@kernel
def _sweep(ledger: Ledger, task: Task, trees: Trees, labels: IntArray, taken: FloatArray, space: _Space) -> None:
    for index in range(task.events.shape[0]):
        i = task.events[index]
        at = ledger.first[i]
        constrained = ledger.first[i + 1] > at
        g = ledger.member[at] if constrained else 0
        _order(ledger.bins[g], task, trees, (index, labels[index]), space)
        taken[index] = _move(ledger, task, trees, (index, labels[index], g), constrained, space)


@inline_kernel
def _able(task: Task, i: int, j: int) -> bool:
    return bool(task.layout.kinds[j] != FIXED and not np.isnan(task.values[i, j]))


@inline_kernel
def _gains(
    bins: FloatArray, task: Task, trees: Trees, place: tuple[int, int, int], margin: float, space: Profile
) -> int:
    """List the candidates of one value in ascending order, with what each takes from the margin; return their number."""
    i, j, label = place
    course = course_of(task.layout, i, j)
    spot, n = spot_of(course, task.options, task.values[i, j]), 0
    for t in range(n_bin_candidates(task.options, bins.shape[1] - 1) + 1):
        value = bin_candidate(bins, task.options, course, spot, t, task.seed)
        if np.isnan(value):
            continue
        k = n
        while k > 0 and space.candidates[k - 1] > value:  # of the last one, which is nominal
            space.candidates[k] = space.candidates[k - 1]
            k -= 1
        space.candidates[k] = value
        n += 1
    for k in range(n):
        space.seen[k] = seen(trees, space.candidates[k])
    profile(trees, task.values[i], j, n, label, space)
    for k in range(n):
        gain = margin - space.margin[k]
        space.margin[k] = gain if abs(gain) > ROUNDING else 0.0
    return n


@inline_kernel
def _order(bins: FloatArray, task: Task, trees: Trees, place: tuple[int, int], space: _Space) -> None:
    """Order features by the most that one move may take from the margin."""
    index, label = place
    i = task.events[index]
    sum_up(trees, task.values[i], space.profile.leaves, space.profile.now)
    margin = margin_of(trees, space.profile.now, space.nothing, label)
    for j in range(task.values.shape[1]):
        gain = -np.inf
        if _able(task, i, j):
            for k in range(_gains(bins[j], task, trees, (i, j, label), margin, space.profile)):
                gain = max(gain, space.profile.margin[k])
        rank = j
        while rank > 0 and space.gain[rank - 1] < gain:
            space.gain[rank], space.order[rank] = space.gain[rank - 1], space.order[rank - 1]
            rank -= 1
        space.gain[rank], space.order[rank] = gain, j


@inline_kernel
def _move(
    ledger: Ledger, task: Task, trees: Trees, place: tuple[int, int, int], constrained: bool, space: _Space
) -> float:
    """Move the features of one event until its goal is reached; return what that took from its margin."""
    index, label, g = place
    i, row, wanted, taken = task.events[index], task.values[task.events[index]], task.goals.needed[index], 0.0
    state, weight = state_of(ledger, g), task.layout.weights[i]
    if constrained:
        deviate(state.vectors, row, space.deviation)
    for j in space.order:
        if not _able(task, i, j) or (wanted > 0.0 and taken >= wanted) or (wanted <= 0.0 and not constrained):
            continue
        sum_up(trees, row, space.profile.leaves, space.profile.now)
        margin = margin_of(trees, space.profile.now, space.nothing, label)
        n = _gains(ledger.bins[g, j], task, trees, (i, j, label), margin, space.profile)
        if constrained:
            item, rules = probe(state, j, row[j], weight, space.deviation), rules_of(ledger, g, j)
            worth = _worth(task, index, taken, staying(item, rules))
            best, gain = _best(state.bins[j], item, rules, worth, row[j], n, space.profile)
            if best.new_bin >= 0:
                commit(state, j, item, best.delta, best.new_bin, weight, space.deviation)
        else:
            best, gain = _largest(row[j], n, space.profile)
        if best.new_bin >= 0:
            row[j] = best.value
            taken += gain
    return taken


@inline_kernel
def _worth(task: Task, index: int, taken: float, base: float) -> Worth:
    """Weigh a move; of a slope of -1, so that the gain is the distance that a candidate is away."""
    goals, wanted = task.goals, task.goals.needed[index]
    needed = max(wanted - taken, 0.0)
    reward = goals.reward[index] * needed / wanted if wanted > 0.0 else 0.0
    return Worth(-1.0, needed, goals.low[index] - taken, goals.high[index] - taken, reward, base)


@inline_kernel
def _best(
    bins: FloatArray, item: Probe, rules: Rules, worth: Worth, start: float, n: int, space: Profile
) -> tuple[Choice, float]:
    """Find the best candidate, and what it takes from the margin."""
    best, gain = Choice(NOTICEABLE, 0.0, start, -1), 0.0
    for k in range(n):
        value, taken = space.candidates[k], space.margin[k]
        if -worth.base - earned(worth, taken) <= best.cost:  # else it would cost too much if it changed nothing
            chosen = consider(bins, item, rules, worth, (value - start, taken, value), best)
            if chosen.value != best.value:
                best, gain = chosen, taken
    return best, gain


@inline_kernel
def _largest(start: float, n: int, space: Profile) -> tuple[Choice, float]:
    """Find the candidate that takes most from the margin."""
    best, gain = Choice(0.0, 0.0, start, -1), 0.0
    for k in range(n):
        if space.margin[k] > gain:
            best, gain = Choice(0.0, 0.0, space.candidates[k], 0), space.margin[k]
    return best, gain
