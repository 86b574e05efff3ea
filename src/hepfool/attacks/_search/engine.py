# SPDX-License-Identifier: BSD-3-Clause
r"""
One iteration of the search: which events move in which order, to what end, within which groups.

Groups that share no event are independent.  Each such *island* is swept by itself, on as many threads as there are, with the
bits of the serial run.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hepfool._kernels import threads
from hepfool.attacks._bounds import Bounds
from hepfool.attacks._checks import check_slope, leaving
from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._search.candidates import Layout, Options
from hepfool.attacks._search.ledger import Group, Ledger
from hepfool.attacks._search.profile import sweep_profiles
from hepfool.attacks._search.rounds import Accounts, Columns, Pairs, most_candidates, sweep_rounds, total_slope
from hepfool.attacks._search.score import (
    FOOLED,
    PLANNED,
    VICTIM,
    Crowd,
    Landed,
    ScoreAxis,
    ScoreGroup,
    ScoreLedger,
    aim_and_move,
    expect,
    plan,
    replay,
    settle_block,
)
from hepfool.attacks._search.sweep import Goals, Space, Task, sweep
from hepfool.events import EventTable
from hepfool.models._tree_kernels import Trees
from hepfool.models.protocols import DifferentiableClassifier, inputs_of, is_fooled, threshold_of
from hepfool.statistics._dataset_state import DISTANCE, DIVERGENCE, NORM, Nominal
from hepfool.statistics._dependence import fill_missing, present_mean
from hepfool.statistics._distance_correlation import DistanceState, new_distance_state, no_distance_state
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Validation

_TINY: Final = 1e-9
#: Loss, in nats, below which single precision does not tell it from none.
_RESOLVED: Final = 1e-5
#: Events about which the network is asked at a time, so that its inputs need no second table.
_ASKED: Final = 1 << 16
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


class Prices(Protocol):
    """What an attack asks for a distance and a shift, and what one move may do."""

    @property
    def per_bin(self) -> bool:
        """Whether there is one candidate per bin, in either direction."""
        ...

    def alpha_of(self, cap: float) -> float:
        """Price of a distance under a cap."""
        ...

    def beta_of(self, cap: float) -> float:
        """Price of the correlation shift under a cap."""
        ...

    @property
    def reward(self) -> float:
        """What fooling all attacked events is worth."""
        ...

    @property
    def max_correlation_change(self) -> float:
        """Cap on what one move does to the correlations."""
        ...

    @property
    def max_js_change(self) -> float:
        """Cap on what one move does to a marginal."""
        ...


class Moving(NamedTuple):
    """Events that an iteration moves, and what the network says of them."""

    events: IntArray
    margin: FloatArray
    slope: FloatArray
    fooled: BoolArray

    def select(self, chosen: BoolArray | IntArray) -> Moving:
        """Return some of the events; all of them are not copied."""
        if chosen.dtype == np.bool_ and chosen.all():
            return self
        return Moving(self.events[chosen], self.margin[chosen], self.slope[chosen], self.fooled[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Island:
    """
    Events whose groups share no event with other groups.

    Attributes
    ----------
    number : int
        Position among the islands.
    events : BoolArray, shape (n_events,)
        Members.
    groups : tuple of Group
        What is compared by itself.
    nominal : tuple of Nominal
        The nominal sums of each group.
    score_groups : tuple of ScoreGroup
        Whose scores are compared by themselves.
    """

    number: int
    events: BoolArray
    groups: tuple[Group, ...]
    nominal: tuple[Nominal, ...]
    score_groups: tuple[ScoreGroup, ...]


class _Score(NamedTuple):
    """Bins of the score: edges per node, those of a single score in log-odds too, and nominal bins."""

    edges: tuple[FloatArray, ...]
    axis: ScoreAxis
    nominal: IntArray
    n_bins: int


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """
    A problem as the sweeps see it.

    Attributes
    ----------
    problem : AttackProblem
        Events and rules.
    table : EventTable
        Nominal events with the observables as further columns.
    columns : Columns
        What moves with what.
    layout : Layout
        Events and columns.
    binning : Binning
        Bins of all columns.
    islands : tuple of Island
        Independent parts.
    score : _Score, optional
        Bins of the score, if it is kept.
    trees : Trees, optional
        The network, if the exact profiles of its margin take the place of slopes.
    distance : bool
        Whether correlations are distance correlations.
    """

    problem: AttackProblem
    validation: Validation
    table: EventTable
    columns: Columns
    layout: Layout
    binning: Binning
    islands: tuple[Island, ...]
    score: _Score | None
    trees: Trees | None = None

    @classmethod
    def of(
        cls,
        problem: AttackProblem,
        validation: Validation,
        prices: Prices,
        steps: tuple[FloatArray, FloatArray],
    ) -> Search:
        """
        Lay out a problem.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        validation : Validation
            What must be kept.
        prices : Prices
            Of the attack.
        steps : (FloatArray, FloatArray), shape (n_columns,) each
            Smallest displacement and spacing of the candidates.

        Returns
        -------
        Search
            For all iterations.
        """
        table = _with_observables(problem.table, validation)
        binning = problem.binning
        if validation.observables and len(binning.edges) < len(table.features):
            binning = validation.binning(problem.table, binning)
        n_inputs = problem.table.n_features
        unit = binning.edges[:, -1] - binning.edges[:, 0]
        more = np.zeros(len(unit) - n_inputs)
        bounds = problem.bounds
        wide = np.full((len(bounds.lower), len(more)), np.inf)
        extended = replace(
            problem,
            table=table,
            bounds=Bounds(np.hstack([bounds.lower, -wide]), np.hstack([bounds.upper, wide]), bounds.row),
        )
        groups, score_groups = _groups(problem, table, binning, validation, prices)
        return cls(
            problem=problem,
            validation=validation,
            table=table,
            columns=Columns.of(table.features, n_inputs),
            layout=Layout.of(extended, (np.append(steps[0][:n_inputs], more), np.append(steps[1][:n_inputs], more))),
            binning=binning,
            islands=_islands(table, groups, score_groups, binning),
            score=_score_of(problem, validation) if score_groups else None,
        )

    @property
    def distance(self) -> bool:
        """Whether correlations are distance correlations."""
        return self.validation.correlations is not None and self.validation.correlations.kind == "distance"

    @property
    def overlapping(self) -> bool:
        """Whether an event counts in more than one group of inputs, observables or correlations."""
        groups = [group.events for island in self.islands for group in island.groups]
        return bool(groups) and bool((np.sum(groups, axis=0) > 1).any())

    def profiled(self) -> Search:
        """Return the search that follows exact profiles of the margin, where the network has them and every input moves by itself."""
        alone = self.columns.alone and not (self.distance or self.overlapping)
        return replace(self, trees=getattr(self.problem.classifier, "trees", None)) if alone else self

    @property
    def membership(self) -> BoolArray:
        """Groups of each event, shape (n_events, n_groups)."""
        columns = [group.events for island in self.islands for group in island.groups]
        columns += [group.events for island in self.islands for group in island.score_groups]
        return np.stack(columns, axis=1) if columns else np.zeros((self.table.n_events, 0), dtype=np.bool_)

    def extended(self, values: FloatArray) -> FloatArray:
        """Append the observables to the network's inputs, shape (n_events, n_columns); a copy."""
        n_inputs, n_columns = values.shape[1], len(self.table.features)
        result = np.empty((len(values), n_columns))
        result[:, :n_inputs] = values
        for column in range(n_inputs, n_columns):
            result[:, column] = self.table.features.derive(result, column)
        return result

    def moving(self, values: FloatArray, events: IntArray, *, along_loss: bool = False) -> Moving:
        """
        Ask the network about events: one pass gives class, margin and slope.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            As they are now.
        events : IntArray, shape (n_asked,)
            Which ones.
        along_loss : bool
            Whether slopes are those of the log-odds of the own class against all others together, which a second pass gives, in place
            of those of the margin.

        Returns
        -------
        Moving
            With slopes along what may move, derived features included.
        """
        problem, classifier = self.problem, self.problem.classifier
        assert isinstance(classifier, DifferentiableClassifier)  # noqa: S101 - refused before
        n_columns = len(self.table.features)
        if not len(events):
            return Moving(events, np.zeros(0), np.zeros((0, n_columns)), np.zeros(0, dtype=np.bool_))
        margin, gradient = np.empty(len(events)), np.zeros((len(events), values.shape[1]))
        fooled = np.empty(len(events), dtype=np.bool_)
        for start in range(0, len(events), _ASKED):
            part = slice(start, start + _ASKED)
            inputs, classes = problem.network_values(values, events[part]), problem.classes[events[part]]
            if self.trees is not None:
                margin[part] = classifier.margin(inputs, classes)  # type: ignore[attr-defined]
            else:
                margin[part], gradient[part] = classifier.margin_and_gradient(inputs, classes)
            if along_loss:
                loss, of_loss = classifier.loss_and_gradient(inputs, classes)
                # Where the loss is lost to rounding, the margin says the way.
                own_odds = of_loss / np.expm1(-np.maximum(loss, _RESOLVED))[:, np.newaxis]
                gradient[part] = np.where((loss > _RESOLVED)[:, np.newaxis], own_odds, gradient[part])
            fooled[part] = self._fooled(inputs, classes, margin[part])
        if self.trees is None:
            check_slope(problem, gradient)
        # The class decides; rounding may give a margin of 0 the other sign.
        margin = np.where(fooled, np.minimum(margin, -_TINY), np.maximum(margin, _TINY))
        slope = gradient
        if gradient.shape[1] < n_columns:
            slope = np.zeros((len(events), n_columns))
            slope[:, : gradient.shape[1]] = gradient
        if self.table.features.derived:
            ranges = self.binning.edges[:, -1] - self.binning.edges[:, 0]
            slope = total_slope(self.table.features, self.extended(values[events]), slope, ranges)
        return Moving(events, margin, slope, fooled)

    def _fooled(self, inputs: FloatArray, classes: IntArray, margin: FloatArray) -> BoolArray:
        """Mark the fooled events; the network is asked unless, at the first question, all margins had the right sign."""
        classifier, found = self.problem.classifier, margin < 0.0

        def agree() -> bool:
            return bool((found == is_fooled(classifier, inputs, classes))[np.abs(margin) >= _TINY].all())

        unsure = np.abs(margin) < _TINY
        if not self.problem.once("margin decides", agree):
            unsure[:] = True
        if unsure.any():
            found[unsure] = is_fooled(classifier, inputs[unsure], classes[unsure])
        return found

    def sweep(
        self,
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
        rows = self.extended(values)
        sweeps = [
            _Sweep(
                self,
                island,
                rows,
                moving,
                np.flatnonzero(island.events[moving.events]),
                options,
                reward,
                tuning,
                seed,
                last,
            )
            for island in self.islands
        ]
        sweeps = [part for part in sweeps if len(part.own)]
        n_threads, executor = min(threads(), len(sweeps)), self.problem.crew.executor
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

    def within_caps(self, values: FloatArray) -> bool:
        """Whether every cap is kept, by a measurement from scratch."""
        rows = self.extended(values)
        return all(self._keeps_inputs(island, rows) and self._keeps_score(island, rows) for island in self.islands)

    def _keeps_inputs(self, island: Island, rows: FloatArray) -> bool:
        if not island.groups:
            return True
        ledger = self.ledger(island, rows)
        # Without the room that the sweeps leave for the rounding of this measurement.
        limits = np.stack([g.max_js_distance for g in island.groups]) ** 2
        if not (ledger.vectors[:, DIVERGENCE] <= limits).all():
            return False
        for group, scalars in zip(island.groups, ledger.scalars, strict=True):
            shift = float(np.sqrt(scalars[DISTANCE] / scalars[NORM]))
            if self.distance and group.correlated:
                shift = self._distances(group, rows).correlation_shift
            if group.correlated and not shift <= group.max_shift:
                return False
        return True

    def _keeps_score(self, island: Island, rows: FloatArray) -> bool:
        if not island.score_groups or self.score is None:
            return True
        book = self.book(island, self.current_bins(island, rows))
        limits = np.array([group.max_js_distance for group in island.score_groups]) ** 2
        return bool((book.divergence <= limits[:, np.newaxis]).all())

    def current_bins(self, island: Island, rows: FloatArray) -> IntArray:
        """Bins of the scores of all events as they are now, where they belong to an island, shape (n_events, n_nodes)."""
        assert self.score is not None  # noqa: S101 - asked for only if it is kept
        bins = self.score.nominal.copy()
        touched = np.flatnonzero(~self._unmoved(rows) & island.events)
        if len(touched):
            bins[touched] = self.score_bins(rows, touched)
        return bins

    def _unmoved(self, rows: FloatArray) -> BoolArray:
        """Mark the events that are as they were, shape (n_events,)."""
        nominal = self.table.values
        return np.asarray(((rows == nominal) | (np.isnan(rows) & np.isnan(nominal))).all(axis=1))

    def book(self, island: Island, bins: IntArray) -> ScoreLedger:
        """Fill the distributions of an island's scores."""
        assert self.score is not None  # noqa: S101 - asked for only if it is kept
        weights = self.layout.weights
        return ScoreLedger.of(island.score_groups, weights, self.score.nominal, bins, self.score.n_bins)

    def ledger(self, island: Island, rows: FloatArray) -> Ledger:
        """Measure the groups of one island."""
        current = self.table.values if self._unmoved(rows).all() else rows
        return Ledger.of(self.table, current, island.groups, self.binning, island.nominal, self.columns.counted)

    def pairs(self, island: Island, rows: FloatArray, n_candidates: int) -> Pairs | None:
        """Measure the distance correlations of an island's groups."""
        if not self.distance:
            return None
        nobody = np.zeros(len(rows), dtype=np.bool_)
        return Pairs.of(
            [
                (
                    group.events if group.correlated else nobody,
                    self._distances(group, rows if group.correlated else None),
                )
                for group in island.groups
            ],
            n_candidates,
        )

    def _distances(self, group: Group, rows: FloatArray | None) -> DistanceState:
        """Measure the distance correlations of a group; without rows, those of nobody."""
        n_inputs = self.problem.table.n_features
        if rows is None:
            return no_distance_state(n_inputs)
        before, weights = self.table.values[group.events, :n_inputs], self.table.weights[group.events]
        fill = present_mean(before, weights)
        nominal = self.problem.once(
            f"distance correlations of {group.name}",
            lambda: new_distance_state(fill_missing(before, fill), weights).current,
        )
        return new_distance_state(fill_missing(rows[group.events, :n_inputs], fill), weights, nominal)

    def outside(self, rows: FloatArray, events: IntArray) -> BoolArray:
        """Mark the events that have left a region that a function decides, shape (n_asked,)."""
        if all(region.select is None for region in self.problem.table.regions):
            return np.zeros(len(events), dtype=np.bool_)
        return leaving(self.problem.table, rows[:, : self.problem.table.n_features])[events]

    def score_bins(self, values: FloatArray, events: IntArray) -> IntArray:
        """
        Bins of the events' scores, above the number of bins where a detector flags them.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_columns)
            As they are now.
        events : IntArray, shape (n_asked,)
            Which ones.

        Returns
        -------
        IntArray, shape (n_asked, n_nodes)
            From 0.
        """
        assert self.score is not None  # noqa: S101 - asked for only if it is kept
        inputs = self.problem.network_values(values[:, : self.problem.table.n_features], events)
        with self.problem.crew.lock:
            return _bins_of(self.problem, self.validation, self.score.edges, inputs)


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
            n_places = most_candidates(self.search.layout, self._options(), self.search.binning.edges)
            pairs = self.search.pairs(self.island, self.rows, n_places)
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

    def _options(self) -> Options:
        """Limit the candidates of moves that take other columns along."""
        if self.search.columns.alone or self.options.n_candidates:
            return self.options
        return self.options._replace(n_candidates=_FOLLOWED_CANDIDATES)

    def _task(self, moving: Moving, goals: Goals) -> Task:
        return Task(self.search.layout, self._options(), self.rows, moving.events, goals, self.seed)

    def _simple(self, ledger: Ledger, pairs: Pairs | None) -> bool:
        """Whether every event counts in one group at most and no other column follows a move."""
        single = self.search.problem.once(f"single {self.island.number}", lambda: ledger.single)
        return self.search.columns.alone and pairs is None and single

    def _move(self, ledger: Ledger, pairs: Pairs | None, task: Task) -> FloatArray:
        if self.search.trees is not None:
            return sweep_profiles(ledger, task, self.search.trees, self.search.problem.classes[task.events])
        if self._simple(ledger, pairs):
            return sweep(ledger, task, n_ahead=self.tuning.n_ahead)
        return sweep_rounds(ledger, task, self.search.columns, pairs)

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


def _with_observables(table: EventTable, validation: Validation) -> EventTable:
    if not validation.observables:
        return table
    space = validation.columns(table)
    values = np.full((table.n_events, len(space)), np.nan)
    values[:, : table.n_features] = table.values
    for column in range(table.n_features, len(space)):
        values[:, column] = space.derive(values, column)
    return replace(table, features=space, values=values, missing=np.isnan(values), shape_variations={})


def _groups(
    problem: AttackProblem, table: EventTable, binning: Binning, validation: Validation, prices: Prices
) -> tuple[list[Group], list[ScoreGroup]]:
    """Sort what the validation compares by the events that it looks at."""
    found: dict[bytes, Group] = {}
    scored: dict[bytes, ScoreGroup] = {}
    inputs, classifier, n_columns = problem.table, problem.classifier, table.n_features
    scores = None if validation.score is None else (classifier.scores(inputs_of(classifier, inputs)),) * 2
    edges = Binning(binning.edges[: inputs.n_features])
    for one in validation.comparisons(inputs, inputs, binning=edges, scores=scores, threshold=threshold_of(classifier)):
        key, caps = one.events.tobytes(), np.array(one.caps)
        if one.scored:
            cap = min(float(caps.min()), scored[key].max_js_distance if key in scored else math.inf)
            if not math.isinf(cap):
                scored[key] = ScoreGroup(name=one.part, events=one.events, max_js_distance=cap)
            continue
        free = np.full(n_columns, np.inf)
        empty = Group(
            name=one.part, events=one.events, alpha=np.zeros(n_columns), max_js_distance=free, max_step=free.copy()
        )
        group = found.setdefault(key, empty)
        if one.binning is None:
            shift, change = min(one.caps[0], group.max_shift), prices.max_correlation_change
            found[key] = replace(group, beta=prices.beta_of(shift), max_shift=shift, max_change=change, correlated=True)
            continue
        columns = [table.features.index(name) for name in one.columns]
        caps = np.minimum(caps, group.max_js_distance[columns])
        group.max_js_distance[columns], group.alpha[columns] = caps, [prices.alpha_of(float(cap)) for cap in caps]
        group.max_step[columns] = prices.max_js_change
    return list(found.values()), list(scored.values())


def _islands(
    table: EventTable, groups: list[Group], score_groups: list[ScoreGroup], binning: Binning
) -> tuple[Island, ...]:
    """Join groups that share events."""
    everything: list[Group | ScoreGroup] = [*groups, *score_groups]
    if everything:
        member = np.stack([g.events for g in everything]).astype(np.int64)
        _, label = connected_components(csr_array(member @ member.T), directed=False)
    else:
        label = np.zeros(0, dtype=np.int64)
    islands = []
    free = np.ones(table.n_events, dtype=np.bool_)
    for number in range(int(label.max(initial=-1)) + 1):
        own = [g for g, of in zip(everything, label, strict=True) if of == number]
        events = np.logical_or.reduce([g.events for g in own])
        free &= ~events
        islands.append(
            Island(
                number,
                events,
                tuple(g for g in own if isinstance(g, Group)),
                tuple(Nominal.of(table, g.events, binning) for g in own if isinstance(g, Group)),
                tuple(g for g in own if isinstance(g, ScoreGroup)),
            )
        )
    if free.any():
        islands.append(Island(len(islands), free, (), (), ()))
    return tuple(islands)


def _logit(score: FloatArray) -> FloatArray:
    clipped = np.clip(score, 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _nodes(problem: AttackProblem, scores: FloatArray) -> FloatArray:
    """Scores that are independent of each other: that of class 1 of two, else all."""
    return scores[:, 1:] if problem.classifier.n_classes == 2 else scores


def _bins_of(
    problem: AttackProblem, validation: Validation, edges: tuple[FloatArray, ...], inputs: FloatArray
) -> IntArray:
    nodes = _nodes(problem, problem.classifier.scores(inputs))
    bins = np.stack([np.searchsorted(e, nodes[:, k], side="left") for k, e in enumerate(edges)], axis=1)
    if validation.flagged is not None:
        n_score = max(len(e) for e in edges) + 1
        bins = (
            bins + n_score * np.asarray(validation.flagged.flags(inputs[:, : problem.table.n_features]))[:, np.newaxis]
        )
    return np.ascontiguousarray(bins)


def _score_of(problem: AttackProblem, validation: Validation) -> _Score:
    """Find the bins of the score."""
    inputs = inputs_of(problem.classifier, problem.table)
    nodes = _nodes(problem, problem.classifier.scores(inputs))
    threshold = threshold_of(problem.classifier)
    edges = tuple(validation.score_edges(nodes[:, k], problem.constrained, threshold) for k in range(nodes.shape[1]))
    bins = _bins_of(problem, validation, edges, inputs)
    n_score = max(len(e) for e in edges) + 1
    log_odds = _logit(edges[0]) - float(_logit(np.array([threshold]))[0])
    typical = _logit(nodes[:, 0]) - float(_logit(np.array([threshold]))[0])
    place = bins[:, 0] % n_score
    middle = np.empty(len(log_odds) + 1)
    padded = np.concatenate([[log_odds[0] - 1.0], log_odds, [log_odds[-1] + 1.0]])
    for k in range(len(middle)):
        own = typical[place == k]
        middle[k] = own.mean() if len(own) else 0.5 * (padded[k] + padded[k + 1])
    return _Score(edges, ScoreAxis(log_odds, middle), bins, n_score * (1 if validation.flagged is None else 2))
