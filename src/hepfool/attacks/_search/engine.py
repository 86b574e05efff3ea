# SPDX-License-Identifier: BSD-3-Clause
r"""
One iteration of the search: which events move in which order, to what end, within which groups.

Groups that share no event are independent.  Each such *island* is swept by itself, on as many threads as there are, with the
bits of the serial run.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from hepfool._kernels import threads
from hepfool.attacks._search.accounts import Accounts
from hepfool.attacks._search.candidates import Options
from hepfool.attacks._search.groups import Island
from hepfool.attacks._search.ledger import Ledger
from hepfool.attacks._search.pairs import Pairs
from hepfool.attacks._search.profile import sweep_profiles
from hepfool.attacks._search.rounds import most_candidates, sweep_rounds
from hepfool.attacks._search.score import (
    FOOLED,
    PLANNED,
    VICTIM,
    Crowd,
    Landed,
    ScoreLedger,
    aim_and_move,
    expect,
    plan,
    replay,
    settle_block,
)
from hepfool.attacks._search.sweep import Goals, Space, Task, sweep
from hepfool.attacks._search.view import Moving, Search
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Parts of a large island's events between which the network is called, where the score is kept.
_BLOCKS: Final = 32
#: Fooled events that are moved where the score is kept, for each that is not fooled; at least a quarter of them.
_REPAIRED: Final = 2
#: Candidates of a move that takes other columns along, unless stated: each costs a call of their functions.
_FOLLOWED_CANDIDATES: Final = 50


#: How far beyond the boundary an event is moved where its margin is known exactly.
_BEYOND = 1e-4


class Tuning(NamedTuple):
    """
    How far the search goes for each event.

    Attributes
    ----------
    overshoot : float
        By how much more than its margin an event is moved: the margin is a curve, its gradient a line.
    spare : float
        Fraction of a fooled event's margin that repairs may use up.
    block : int
        Events between two calls of the network, where the score is kept; more of them where there are many.
    n_ahead : int
        Events whose moves are chosen before the first of them moves.
    """

    overshoot: float = 0.3
    spare: float = 0.5
    block: int = 128
    n_ahead: int = 1


def sweep_islands(
    search: Search,
    values: FloatArray,
    moving: Moving,
    options: Options,
    reward: float,
    tuning: Tuning,
    seed: int,
    *,
    last: bool = False,
) -> FloatArray:
    """
    Move events once.

    Parameters
    ----------
    search : Search
        The problem.
    values : FloatArray, shape (n_events, n_features)
        As they are now.
    moving : Moving
        Events to move.
    options : Options
        How candidates are proposed and chosen.
    reward : float
        What fooling all attacked events is worth.
    tuning : Tuning
        How far the search goes for each event.
    seed : int
        Of candidates and order.
    last : bool
        Whether nothing follows, so that fooled events should stay as they are.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        As they are afterwards.
    """
    rows = search.extended(values)
    own = [np.flatnonzero(island.events[moving.events]) for island in search.islands]
    if not (search.columns.alone or options.n_candidates):
        # Moves that take other columns along cost more.
        options = options._replace(n_candidates=_FOLLOWED_CANDIDATES)
    n_places = most_candidates(search.layout, options, search.binning.edges)
    sweeps = [
        _Sweep(search, island, rows, moving, places, options, n_places, reward, tuning, seed, last)
        for island, places in zip(search.islands, own, strict=True)
        if len(places)
    ]
    n_threads, executor = min(threads(), len(sweeps)), search.problem.crew.executor
    if executor is not None:
        for part, future in [(part, executor.submit(_Sweep.run, part)) for part in sweeps]:
            rows[part.events] = future.result()  # of a copy, where it ran in another process
    elif n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(_Sweep.run, sweeps))
    else:
        for part in sweeps:
            part.run()
    return rows[:, : values.shape[1]]


class _Before(NamedTuple):
    """State before some events move."""

    ledger: Ledger
    pairs: list[FloatArray]
    rows: FloatArray

    @classmethod
    def of(cls, ledger: Ledger, pairs: Pairs | None, rows: FloatArray, events: IntArray) -> _Before:
        """Keep it."""
        return cls(ledger.copy(), [] if pairs is None else [array.copy() for array in pairs.state], rows[events])

    def moved(self, rows: FloatArray, events: IntArray) -> BoolArray:
        """Mark the events that have moved, shape (n_asked,)."""
        return np.asarray(~((rows[events] == self.rows) | np.isnan(self.rows)).all(axis=1))

    def restore(self, ledger: Ledger, pairs: Pairs | None, rows: FloatArray, events: IntArray) -> None:
        """Return to it."""
        rows[events] = self.rows
        ledger.restore(self.ledger)
        for array, before in zip(() if pairs is None else pairs.state, self.pairs, strict=True):
            array[:] = before


@dataclass(frozen=True, slots=True, eq=False)
class _Sweep:
    """One sweep over the events of one island; rows of other events are not touched."""

    search: Search
    island: Island
    rows: FloatArray
    moving: Moving
    own: IntArray
    options: Options
    n_places: int
    reward: float
    tuning: Tuning
    seed: int
    last: bool

    @property
    def events(self) -> IntArray:
        """Events that move."""
        return self.moving.events[self.own]

    def run(self) -> FloatArray:
        """Move the events, and return where they are, shape (n_own, n_columns)."""
        self._run()
        return np.asarray(self.rows[self.events])

    def _run(self) -> None:
        ledger = self.search.ledger(self.island, self.rows) if self.island.groups else _no_ledger(self.search)
        pairs: Pairs | None = None
        if self.island.groups:
            pairs = self.search.pairs(self.island, self.rows, self.n_places)
        if self.island.score_groups and self.search.score is not None:
            self._keep_score(ledger, pairs)
        else:
            self._keep_inputs(ledger, pairs)

    def _keep_inputs(self, ledger: Ledger, pairs: Pairs | None) -> None:
        """Move all events; if some leave a region, go back and take over the moves of the others as far as the caps allow."""
        ordered = self.moving.select(self._by_margin() if self.options.per_bin else self.own)
        events = ordered.events
        decided = any(region.select is not None for region in self.search.problem.table.regions)
        before = _Before.of(ledger, pairs, self.rows, events) if decided else None
        self._move(ledger, pairs, self._task(ordered, self._goals(ordered)))
        outside = self.search.outside(self.rows, events)
        if before is not None and outside.any():
            nowhere = np.zeros((len(self.rows), 1), dtype=np.int64)
            welcome = before.moved(self.rows, events) & ~outside
            landed = Landed(events, self.rows[events].copy(), nowhere[events], welcome, np.ones(len(events)))
            before.restore(ledger, pairs, self.rows, events)
            accounts = Accounts(ledger, self.search.layout, self.search.columns.counted)
            replay(ScoreLedger.of_nobody(len(self.rows)), accounts, pairs, self.rows, nowhere, landed)

    def _task(self, moving: Moving, goals: Goals) -> Task:
        return Task(self.search.layout, self.options, self.rows, moving.events, goals, self.seed)

    def _simple(self, ledger: Ledger, pairs: Pairs | None) -> bool:
        """Whether every event counts in one group at most and no other column follows a move."""
        single = self.search.problem.once(f"single {self.island.number}", lambda: ledger.single)
        return self.search.columns.alone and pairs is None and single

    def _move(self, ledger: Ledger, pairs: Pairs | None, task: Task) -> FloatArray:
        if self.search.trees is not None:
            return sweep_profiles(ledger, task, self.search.trees, self.search.problem.classes[task.events])
        if self._simple(ledger, pairs):
            return sweep(ledger, task, n_ahead=self.tuning.n_ahead)
        return sweep_rounds(ledger, task, self.search.columns, pairs, self.n_places)

    def _by_margin(self) -> IntArray:
        """Places of the events: fooled ones first, then those with the smallest margin."""
        return np.asarray(self.own[np.argsort(self.moving.margin[self.own], kind="stable")])

    def _goals(self, moving: Moving) -> Goals:
        fooled = moving.fooled
        n = len(moving.events)
        needed, low = (1.0 + self.tuning.overshoot) * moving.margin, self.tuning.spare * moving.margin
        if self.search.trees is not None:
            needed = low = moving.margin + _BEYOND
        return Goals(
            slope=np.ascontiguousarray(moving.slope),
            needed=np.where(fooled, 0.0, needed),
            low=np.where(fooled, np.minimum(low, 0.0), -np.inf),
            high=np.full(n, np.inf),
            reward=self._rewards(moving.events),
        )

    def _rewards(self, events: IntArray) -> FloatArray:
        problem, weights = self.search.problem, self.search.table.weights
        total = problem.once("attacked weight", lambda: np.abs(weights[problem.attacked]).sum())
        return np.asarray(self.reward * np.abs(weights[events]) / total)

    def _keep_score(self, ledger: Ledger, pairs: Pairs | None) -> None:
        """Move the events block by block, between calls of the network."""
        search, turns = self.search, self._in_turns()
        bins = search.current_bins(self.island, self.rows)
        book = search.book(self.island, bins)
        block = max(self.tuning.block, len(turns) // _BLOCKS)
        for start in range(0, len(turns), block):
            self._block(ledger, pairs, book, bins, self.moving.select(turns[start : start + block]))

    def _in_turns(self) -> IntArray:
        """
        Places of the events: fooled ones in random order, then the others by margin, the classes in turns.

        Where most are fooled, a part of them makes enough room for the others.
        """
        order = self._by_margin()
        fooled, rest = order[self.moving.fooled[order]], order[~self.moving.fooled[order]]
        classes = self.search.problem.classes[self.moving.events[rest]]
        place = np.empty(len(rest))
        for name in np.unique(classes):
            own = classes == name
            place[own] = (np.arange(own.sum()) + 0.5) / own.sum()
        rest = rest[np.argsort(place, kind="stable")]
        rng = np.random.default_rng([self.seed & (2**63 - 1), self.island.number])
        n_repaired = max(_REPAIRED * len(rest), len(fooled) // 4)
        return rest if self.last else np.concatenate([rng.permutation(fooled)[:n_repaired], rest])

    def _aim_and_move(
        self, ledger: Ledger, pairs: Pairs | None, book: ScoreLedger, bins: IntArray, part: Moving
    ) -> None:
        """Move the events of a block to where they disturb the score least."""
        search, events, goals = self.search, part.events, self._goals(part)
        score, task = search.score, self._task(part, goals)
        assert score is not None  # noqa: S101 - asked for only if it is kept
        if len(score.edges) > 1:
            for few in _few(len(events)):
                self._move(ledger, pairs, task.part(slice(*few)))
            return
        sign, nowhere = np.where(search.problem.classes[events] == 1, 1.0, -1.0), np.empty((len(events), 1), np.int64)
        role, taken = np.where(part.fooled, FOOLED, VICTIM), np.zeros(len(events))
        crowd, settings = (
            Crowd(events, role, part.margin, sign, nowhere, taken),
            (self.tuning.overshoot, self.tuning.spare),
        )
        if self._simple(ledger, pairs) and self.tuning.n_ahead == 1 and search.trees is None:
            aim_and_move(book, bins, crowd, score.axis, settings, ledger, task, Space.of(ledger))
            return
        weights = search.layout.weights
        for few in _few(len(events)):
            plan(book, weights, bins, crowd, score.axis, goals, settings, few)
            taken[slice(*few)] = self._move(ledger, pairs, task.part(slice(*few)))
            expect(book, weights, crowd, score.axis.edges, few)

    def _block(self, ledger: Ledger, pairs: Pairs | None, book: ScoreLedger, bins: IntArray, part: Moving) -> None:
        search, events = self.search, part.events
        weights = search.layout.weights
        before, kept_score = _Before.of(ledger, pairs, self.rows, events), book.copy()
        self._aim_and_move(ledger, pairs, book, bins, part)
        moved = before.moved(self.rows, events)
        actual = bins[events].copy()
        if moved.any():
            actual[moved] = search.score_bins(self.rows, events[moved])
        outside = search.outside(self.rows, events)
        if settle_block(book, kept_score, events, weights, bins, actual) and not outside.any():
            bins[events] = actual
            return
        score, rows = search.score, self.rows[events].copy()
        assert score is not None  # noqa: S101 - asked for only if it is kept
        before.restore(ledger, pairs, self.rows, events)
        book.current[:], book.divergence[:] = kept_score.current, kept_score.divergence
        welcome, changed = moved & ~outside, ~part.fooled
        if len(score.edges) == 1:
            # A repair that loses its event is none.
            half = int(np.searchsorted(score.axis.edges, 0.0, side="right"))
            n_score = len(score.axis.edges) + 1
            as_before = (actual[:, 0] % n_score >= half) == (search.problem.classes[events] == 1)
            welcome, changed = welcome & ~(part.fooled & as_before), changed & ~as_before
        accounts = Accounts(ledger, search.layout, search.columns.counted)
        replay(
            book, accounts, pairs, self.rows, bins, Landed(events, rows, actual, welcome, changed.astype(np.float64))
        )


def _few(n_events: int) -> list[tuple[int, int]]:
    """Split the events of a block into those that are told where to go before the first of them moves."""
    return [(start, min(start + PLANNED, n_events)) for start in range(0, n_events, PLANNED)]


def _no_ledger(search: Search) -> Ledger:
    """Ledger of events that nothing constrains: edges only, no members."""
    edges = search.binning.edges
    n_columns, n_bins = len(edges), search.binning.n_bins
    bins = np.zeros((1, n_columns, 6, n_bins + 1))
    bins[0, :, 0] = edges
    return Ledger(
        bins,
        np.zeros((1, n_columns, 1)),
        np.zeros((1, 7, n_columns)),
        np.zeros((1, 2, n_columns, n_columns)),
        np.zeros((1, 4)),
        np.zeros((1, 3, n_columns)),
        np.zeros((1, 3)),
        np.zeros(search.table.n_events + 1, dtype=np.int64),
        np.zeros(0, dtype=np.int64),
    )
