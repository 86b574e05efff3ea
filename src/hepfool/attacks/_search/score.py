# SPDX-License-Identifier: BSD-3-Clause
r"""
Keep the network's score while events change their class.

The score depends on every input, so that it is not known for each candidate, but for each event and after its moves.
Events therefore move in blocks.  Before a block every event is given a bin of the score to go to, and a range of margins
to stay in; after it, one call of the network gives the actual bins.  If these keep every cap the block is taken, else
its events are taken one after the other, as far as the caps allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hepfool._kernels import allocating_kernel, inline_kernel, kernel
from hepfool.attacks._search.accounts import Accounts, give_row
from hepfool.attacks._search.ledger import Ledger
from hepfool.attacks._search.pairs import Pairs
from hepfool.attacks._search.price import keeps
from hepfool.attacks._search.sweep import Goals, Space, Task, move_event
from hepfool.statistics._bins import merge_negative
from hepfool.statistics._dataset_state import term
from hepfool.typing import BoolArray, FloatArray, IntArray

#: What an event is to do: change its class, or keep the class it was given.
VICTIM, FOOLED = range(2)
#: How often the events of a block that breaks a cap are gone through.
_PASSES = 3
#: By how much more than needed a victim may overshoot its bin, in log-odds.
_SLACK = 1.0
#: Events that are told where to go before the first of them moves.
PLANNED = 8
#: What is left of a content by rounding.
_EMPTY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreGroup:
    """
    Events whose scores are compared by themselves.

    Attributes
    ----------
    name : str
        Such as ``low_mt``.
    events : BoolArray, shape (n_events,)
        Members.
    max_js_distance : float
        Cap on the distance of each output's distribution.
    """

    name: str
    events: BoolArray
    max_js_distance: float


class ScoreLedger(NamedTuple):
    """
    Distributions of every output node in every group.

    Attributes
    ----------
    nominal, current : FloatArray, shape (n_groups, n_nodes, n_bins)
        Contents, normalised to unit sum.
    merged : IntArray, shape (n_groups, n_nodes, n_bins)
        Bin that each bin is merged into, where signed weights leave one negative.
    divergence : FloatArray, shape (n_groups, n_nodes)
        In bits.
    cap, alpha, total : FloatArray, shape (n_groups,)
        Cap on the divergence, price of the distance, and sum of weights.
    first, member : IntArray
        Groups of each event, as in :class:`~hepfool.attacks._search.ledger.Ledger`.
    """

    nominal: FloatArray
    current: FloatArray
    merged: IntArray
    divergence: FloatArray
    cap: FloatArray
    alpha: FloatArray
    total: FloatArray
    first: IntArray
    member: IntArray

    @classmethod
    def of(
        cls, groups: Sequence[ScoreGroup], weights: FloatArray, nominal: IntArray, current: IntArray, n_bins: int
    ) -> ScoreLedger:
        """
        Fill every distribution from scratch.

        Parameters
        ----------
        groups : sequence of ScoreGroup
            What is compared by itself.
        weights : FloatArray, shape (n_events,)
            Event weights.
        nominal, current : IntArray, shape (n_events, n_nodes)
            Bins of the events before the attack and now.
        n_bins : int
            Number of bins.

        Returns
        -------
        ScoreLedger
            Exact to rounding.
        """
        n_nodes = nominal.shape[1]
        contents = np.zeros((2, len(groups), n_nodes, n_bins))
        merged = np.zeros((len(groups), n_nodes, n_bins), dtype=np.int64)
        for g, group in enumerate(groups):
            for node in range(n_nodes):
                for which, bins in enumerate((nominal, current)):
                    np.add.at(contents[which, g, node], bins[group.events, node], weights[group.events])
                row = np.append(contents[0, g, node], 0.0)
                merged[g, node] = merge_negative(row[np.newaxis])[:n_bins]
                for which in range(2):
                    whole = np.zeros(n_bins)
                    np.add.at(whole, merged[g, node], contents[which, g, node])
                    contents[which, g, node] = whole
        total = np.array([weights[group.events].sum() for group in groups])
        contents /= total[:, np.newaxis, np.newaxis]
        membership = np.stack([group.events for group in groups], axis=1)
        caps = np.array([group.max_js_distance for group in groups])
        result = cls(
            contents[0],
            contents[1],
            merged,
            np.zeros((len(groups), n_nodes)),
            (caps * (1.0 - 1e-9)) ** 2,
            0.135 / np.maximum(caps, 1e-12),
            total,
            np.concatenate([[0], np.cumsum(membership.sum(axis=1))]),
            np.ascontiguousarray(np.nonzero(membership)[1]),
        )
        _measure(result)
        return result

    @classmethod
    def of_nobody(cls, n_events: int) -> ScoreLedger:
        """Keep no scores."""
        none, bins = np.zeros(0), np.zeros((0, 1, 0))
        first = np.zeros(n_events + 1, dtype=np.int64)
        return cls(bins, bins, bins.astype(np.int64), np.zeros((0, 1)), none, none, none, first, first[:0])

    def copy(self) -> ScoreLedger:
        """Keep the contents as they are now, to return to them."""
        return self._replace(current=self.current.copy(), divergence=self.divergence.copy())


@kernel
def _measure(score: ScoreLedger) -> None:
    for g in range(score.nominal.shape[0]):
        for node in range(score.nominal.shape[1]):
            total = 0.0
            for k in range(score.nominal.shape[2]):
                total += term(score.nominal[g, node, k], max(score.current[g, node, k], 0.0))
            score.divergence[g, node] = max(total, 0.0)


@inline_kernel
def _after(score: ScoreLedger, g: int, node: int, ends: tuple[int, int], weight: float) -> float:
    """Divergence of one distribution once an event has gone from one bin to another."""
    old, new = score.merged[g, node, ends[0]], score.merged[g, node, ends[1]]
    result = score.divergence[g, node]
    if old != new:
        w = weight / score.total[g]
        p, q = score.nominal[g, node], score.current[g, node]
        result += term(p[old], max(q[old] - w, 0.0)) - term(p[old], max(q[old], 0.0))
        result += term(p[new], max(q[new] + w, 0.0)) - term(p[new], max(q[new], 0.0))
    return float(max(result, 0.0))


@inline_kernel
def _take_node(score: ScoreLedger, i: int, node: int, ends: tuple[int, int], weight: float) -> None:
    """Move an event between bins of one output in all its groups."""
    for at in range(score.first[i], score.first[i + 1]):
        g = score.member[at]
        a, b = score.merged[g, node, ends[0]], score.merged[g, node, ends[1]]
        if a != b:
            score.divergence[g, node] = _after(score, g, node, ends, weight)
            score.current[g, node, a] -= weight / score.total[g]
            score.current[g, node, b] += weight / score.total[g]


@inline_kernel
def _take(score: ScoreLedger, i: int, old: IntArray, new: IntArray, weight: float) -> None:
    """Move an event between bins of all outputs in all its groups."""
    for node in range(old.shape[0]):
        _take_node(score, i, node, (old[node], new[node]), weight)


@inline_kernel
def _allows(score: ScoreLedger, i: int, old: IntArray, new: IntArray, weight: float, share: float) -> bool:
    """Whether an event may move between bins in all its groups: a share of the caps is kept and no content turns negative."""
    result = True
    for at in range(score.first[i], score.first[i + 1]):
        g = score.member[at]
        w = weight / score.total[g]
        for node in range(old.shape[0]):
            a, b = score.merged[g, node, old[node]], score.merged[g, node, new[node]]
            if a != b:
                result = result and min(score.current[g, node, a] - w, score.current[g, node, b] + w) > -_EMPTY
            after = _after(score, g, node, (old[node], new[node]), weight)
            result = result and keeps(after, score.divergence[g, node], share * score.cap[g])
    return bool(result)


@kernel
def _best_bin(
    score: ScoreLedger, i: int, bins: IntArray, side: tuple[int, int], weight: float, trial: IntArray
) -> tuple[int, float]:
    """Admissible bin within an interval of bins where an event disturbs the score least, and the price of that."""
    best, lowest = -1, np.inf
    for k in range(side[0], side[1]):
        trial[0] = k
        if not _allows(score, i, bins, trial, weight, 1.0):
            continue
        price = 0.0
        for at in range(score.first[i], score.first[i + 1]):
            g = score.member[at]
            after = _after(score, g, 0, (bins[0], k), weight)
            price += score.alpha[g] * (np.sqrt(after) - np.sqrt(score.divergence[g, 0]))
        if price < lowest:
            best, lowest = k, price
    return best, lowest


@kernel
def _span(
    score: ScoreLedger, i: int, bins: IntArray, side: tuple[int, int], weight: float, trial: IntArray
) -> tuple[int, int]:
    """First and last of the bins next to an event's own, on its side, to which it may go without disturbing the score."""
    first = last = bins[0]
    trial[0] = first - 1
    while first > side[0] and _allows(score, i, bins, trial, weight, 0.0):
        first -= 1
        trial[0] = first - 1
    trial[0] = last + 1
    while last < side[1] - 1 and _allows(score, i, bins, trial, weight, 0.0):
        last += 1
        trial[0] = last + 1
    return first, last


class ScoreAxis(NamedTuple):
    """
    Bins of a single score, in log-odds over the threshold.

    Attributes
    ----------
    edges : FloatArray, shape (n_score - 1,)
        Inner edges, 0 among them.
    middle : FloatArray, shape (n_score,)
        Typical log-odds of the events in each bin.
    """

    edges: FloatArray
    middle: FloatArray


class Crowd(NamedTuple):
    """
    Events of a block, and what they are to do.

    Attributes
    ----------
    events : IntArray, shape (n_block,)
        Which ones.
    role : IntArray, shape (n_block,)
        ``VICTIM`` or ``FOOLED``.
    margin, sign : FloatArray, shape (n_block,)
        Margin of the class that each event had, and on which side of the threshold that class lies.
    aimed : IntArray, shape (n_block, 1)
        Receives the bins of the score that they are to go to.
    taken : FloatArray, shape (n_block,)
        Receives what the moves should take from the margins.
    """

    events: IntArray
    role: IntArray
    margin: FloatArray
    sign: FloatArray
    aimed: IntArray
    taken: FloatArray


@kernel
def plan(
    score: ScoreLedger,
    weights: FloatArray,
    bins: IntArray,
    crowd: Crowd,
    axis: ScoreAxis,
    goals: Goals,
    settings: tuple[float, float],
    span: tuple[int, int],
) -> None:
    r"""
    Tell some events of a block where to go, for a network with one score.

    A victim gets the bin beyond the threshold whose filling leaves the score nearest to nominal, deficits first, so that no
    spike stands at the threshold; all others stay within their bin and those beside it that lack events.  The bins count at
    once, so that later events of the block see them.

    Parameters
    ----------
    score : ScoreLedger
        Updated as if everybody arrived.
    weights : FloatArray, shape (n_events,)
        Event weights.
    bins : IntArray, shape (n_events, 1)
        Present bins; those from ``n_score`` up hold flagged events.
    crowd : Crowd
        Events of the block.
    axis : ScoreAxis
        Bins of the score.
    goals : Goals
        ``needed``, ``low`` and ``high`` are set.
    settings : (float, float)
        Overshoot, and the part of a fooled event's margin that it may give back.
    span : (int, int)
        First of the events, and the one after the last.
    """
    _plan(score, weights, bins, crowd, axis, goals, settings, span)


@inline_kernel
def _plan(
    score: ScoreLedger,
    weights: FloatArray,
    bins: IntArray,
    crowd: Crowd,
    axis: ScoreAxis,
    goals: Goals,
    settings: tuple[float, float],
    span: tuple[int, int],
) -> None:
    events, role, margin, sign, aimed, _ = crowd
    edges, middle = axis
    n_score = edges.shape[0] + 1
    half = np.searchsorted(edges, 0.0, side="right")
    overshoot, spare = settings
    for index in range(span[0], span[1]):
        i = events[index]
        k = bins[i, 0]
        part = (k // n_score) * n_score
        goals.needed[index], goals.low[index], goals.high[index] = 0.0, -np.inf, np.inf
        aimed[index, 0] = k
        constrained = score.first[i + 1] > score.first[i]
        if role[index] == VICTIM and not constrained:
            goals.needed[index] = (1.0 + overshoot) * margin[index]
        elif role[index] == VICTIM:
            side = (part, part + half) if sign[index] > 0.0 else (part + half, part + n_score)
            target, price = _best_bin(score, i, bins[i], side, weights[i], aimed[index])
            aimed[index, 0] = k
            if target >= 0 and price <= goals.reward[index]:
                beyond = max(abs(middle[target - part]), overshoot * margin[index])
                goals.needed[index] = margin[index] + beyond
                goals.high[index] = goals.needed[index] + _SLACK
                aimed[index, 0] = target
                _take(score, i, bins[i], aimed[index], weights[i])
        if role[index] == FOOLED:
            goals.low[index] = spare * margin[index]
        if goals.needed[index] == 0.0 and constrained:
            own = (part + half, part + n_score) if k - part >= half else (part, part + half)
            first, last = _span(score, i, bins[i], own, weights[i], aimed[index])
            aimed[index, 0] = k
            _stay(goals, index, margin[index], sign[index], edges, (first - part, last - part))


@kernel
def expect(
    score: ScoreLedger,
    weights: FloatArray,
    crowd: Crowd,
    edges: FloatArray,
    span: tuple[int, int],
) -> None:
    """
    Put the bins where events should be after their moves in place of those that they were to go to.

    Parameters
    ----------
    score : ScoreLedger
        Updated.
    weights : FloatArray, shape (n_events,)
        Event weights.
    crowd : Crowd
        Events of the block, with the bins from :func:`plan`, which are updated, and what the moves should have taken.
    edges : FloatArray, shape (n_score - 1,)
        Inner edges in log-odds over the threshold.
    span : (int, int)
        First of the events, and the one after the last.
    """
    _expect(score, weights, crowd, edges, span)


@inline_kernel
def _expect(
    score: ScoreLedger,
    weights: FloatArray,
    crowd: Crowd,
    edges: FloatArray,
    span: tuple[int, int],
) -> None:
    events, aimed = crowd.events, crowd.aimed
    n_score = edges.shape[0] + 1
    for index in range(span[0], span[1]):
        k = aimed[index, 0]
        now = (k // n_score) * n_score + np.searchsorted(
            edges, crowd.sign[index] * (crowd.margin[index] - crowd.taken[index]), side="left"
        )
        if now != k:
            _take_node(score, events[index], 0, (k, now), weights[events[index]])
            aimed[index, 0] = now


@kernel
def aim_and_move(
    score: ScoreLedger,
    bins: IntArray,
    crowd: Crowd,
    axis: ScoreAxis,
    settings: tuple[float, float],
    ledger: Ledger,
    task: Task,
    space: Space,
) -> None:
    """
    Tell a few events of a block where to go and move them, then the next few: :func:`plan`, the sweep and :func:`expect` in one.

    Parameters
    ----------
    score, bins, crowd, axis, settings
        As for :func:`plan`.
    ledger, task, space
        As for :func:`~hepfool.attacks._search.sweep.move_event`.
    """
    weights = task.layout.weights
    for start in range(0, task.events.shape[0], PLANNED):
        span = (start, min(start + PLANNED, task.events.shape[0]))
        _plan(score, weights, bins, crowd, axis, task.goals, settings, span)
        for index in range(span[0], span[1]):
            crowd.taken[index] = move_event(ledger, task, index, space.nothing, space)
        _expect(score, weights, crowd, axis.edges, span)


@inline_kernel
def _stay(goals: Goals, index: int, margin: float, sign: float, edges: FloatArray, span: tuple[int, int]) -> None:
    """Limit an event's moves to those that should leave it within some bins."""
    low = edges[span[0] - 1] if span[0] > 0 else -np.inf
    high = edges[span[1]] if span[1] < edges.shape[0] else np.inf
    first, second = margin - sign * low, margin - sign * high
    goals.low[index] = min(max(goals.low[index], min(first, second)), 0.0)
    goals.high[index] = max(min(goals.high[index], max(first, second)), 0.0)


def settle_block(
    score: ScoreLedger, kept: ScoreLedger, events: IntArray, weights: FloatArray, bins: IntArray, actual: IntArray
) -> bool:
    """
    Put the actual bins of a block in place of the expected ones, if every cap allows.

    Parameters
    ----------
    score : ScoreLedger
        Receives the contents with the actual bins.
    kept : ScoreLedger
        As it was before the block.
    events : IntArray, shape (n_block,)
        Events of the block.
    weights : FloatArray, shape (n_events,)
        Event weights.
    bins : IntArray, shape (n_events, n_nodes)
        Bins before the block.
    actual : IntArray, shape (n_block, n_nodes)
        Bins after it.

    Returns
    -------
    bool
        Whether all caps are kept, or what was above one did not get worse, and no content is negative.
    """
    score.current[:] = kept.current
    score.divergence[:] = kept.divergence
    _take_all(score, events, weights, bins, actual)
    worst = np.maximum(score.cap[:, np.newaxis], kept.divergence)
    return bool((score.divergence <= worst).all() and (score.current > -_EMPTY).all())


@kernel
def _take_all(score: ScoreLedger, events: IntArray, weights: FloatArray, bins: IntArray, actual: IntArray) -> None:
    for index in range(events.shape[0]):
        i = events[index]
        _take(score, i, bins[i], actual[index], weights[i])


class Landed(NamedTuple):
    """
    Events of a block after their moves.

    Attributes
    ----------
    events : IntArray, shape (n_block,)
        Which ones.
    rows : FloatArray, shape (n_block, n_columns)
        Their new values.
    bins : IntArray, shape (n_block, n_nodes)
        Bins of their new scores.
    welcome : BoolArray, shape (n_block,)
        Events that moved and did what they were to do.
    share : FloatArray, shape (n_block,)
        Of the score's caps that they may use: 1 for those that changed their class, 0 for all others, which may not take the
        score further from nominal.
    """

    events: IntArray
    rows: FloatArray
    bins: IntArray
    welcome: BoolArray
    share: FloatArray


@allocating_kernel
def replay(
    score: ScoreLedger, accounts: Accounts, pairs: Pairs | None, values: FloatArray, bins: IntArray, landed: Landed
) -> int:
    """
    From the state before a block, take over its events one after the other as far as every cap allows.

    Parameters
    ----------
    score, accounts, pairs
        As they were before the block, updated.
    values : FloatArray, shape (n_events, n_columns)
        As they were before the block, updated.
    bins : IntArray, shape (n_events, n_nodes)
        Bins before the block, updated.
    landed : Landed
        Events after the block.

    Returns
    -------
    int
        Number of events taken over.
    """
    pending, accepted = landed.welcome.copy(), 0
    for _ in range(_PASSES):
        before = accepted
        for index in range(pending.shape[0]):
            i = landed.events[index]
            weight = accounts.layout.weights[i]
            if not pending[index] or not _allows(score, i, bins[i], landed.bins[index], weight, landed.share[index]):
                continue
            if give_row(accounts, pairs, i, values[i], landed.rows[index]):
                _take(score, i, bins[i], landed.bins[index], weight)
                for node in range(bins.shape[1]):
                    bins[i, node] = landed.bins[index, node]
                pending[index] = False
                accepted += 1
        if accepted == before:
            break
    return accepted
