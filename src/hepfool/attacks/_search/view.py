# SPDX-License-Identifier: BSD-3-Clause
"""An attack's problem as the sweeps see it: columns, bins, independent parts, and what the network says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from hepfool.attacks._bounds import Bounds
from hepfool.attacks._checks import check_slope, leaving
from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._search.candidates import Layout
from hepfool.attacks._search.columns import Columns, total_slope
from hepfool.attacks._search.groups import Island, Prices, groups_of, islands_of
from hepfool.attacks._search.ledger import Group, Ledger
from hepfool.attacks._search.pairs import Pairs
from hepfool.attacks._search.score import ScoreLedger
from hepfool.attacks._search.score_bins import ScoreBins, bins_of, score_bins_of
from hepfool.events import EventTable
from hepfool.models._tree_kernels import Trees
from hepfool.models.protocols import DifferentiableClassifier, is_fooled
from hepfool.statistics._dataset_state import DISTANCE, DIVERGENCE, NORM
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
    score : ScoreBins, optional
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
    score: ScoreBins | None
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
        groups, score_groups = groups_of(problem, table, binning, validation, prices)
        return cls(
            problem=problem,
            validation=validation,
            table=table,
            columns=Columns.of(table.features, n_inputs),
            layout=Layout.of(extended, (np.append(steps[0][:n_inputs], more), np.append(steps[1][:n_inputs], more))),
            binning=binning,
            islands=islands_of(table, groups, score_groups, binning),
            score=score_bins_of(problem, validation) if score_groups else None,
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
            return bins_of(self.problem, self.validation, self.score.edges, inputs)


def _with_observables(table: EventTable, validation: Validation) -> EventTable:
    if not validation.observables:
        return table
    space = validation.columns(table)
    values = np.full((table.n_events, len(space)), np.nan)
    values[:, : table.n_features] = table.values
    for column in range(table.n_features, len(space)):
        values[:, column] = space.derive(values, column)
    return replace(table, features=space, values=values, missing=np.isnan(values), shape_variations={})
