# SPDX-License-Identifier: BSD-3-Clause
"""A network of jets, pairs or permutations of jets, of which each event takes the best one."""

from __future__ import annotations

import hashlib

import numpy as np
from scipy.special import expit, logit

from hepfool.events import EventTable
from hepfool.models._tree_kernels import Trees
from hepfool.models.protocols import DifferentiableClassifier, spectators_of
from hepfool.typing import BoolArray, FloatArray, IntArray

#: By how much the first of equal candidates leads, in log-odds.
_LEAD = 1e-9
_SMALLEST = 1e-12


class PerGroup:
    """
    The candidate that an event takes: of its rows in the table the one with the highest score, the first of equal ones.

    A row is of class 1 if its event takes it.  What it has to beat, the best other row of the event, is computed from all rows as
    they are now, and comes behind the inputs; within an iteration of an attack it stays.  An attack on the rows that are taken,
    ``run_attack(..., target=grouped.taken(table))``, has as its fooling ratio the fraction of events that take another one.

    Parameters
    ----------
    classifier : DifferentiableClassifier
        Two classes; its score says how good a row is.
    by : str
        Spectator that the rows of an event have in common, such as the event number.

    Raises
    ------
    ValueError
        If the classifier has more classes, or asks for spectators itself.
    """

    def __init__(self, classifier: DifferentiableClassifier, *, by: str = "event") -> None:
        if classifier.n_classes != 2 or spectators_of(classifier):
            msg = f"need a classifier of two classes without spectators, got {classifier!r}"
            raise ValueError(msg)
        self.classifier, self.by = classifier, by
        self._boundary = float(logit(getattr(classifier, "threshold", 0.5)))

    @property
    def n_classes(self) -> int:
        """Not taken, taken."""
        return 2

    @property
    def n_features(self) -> int | None:
        """Input width, without what a row has to beat."""
        return self.classifier.n_features

    @property
    def threshold(self) -> float:
        """Score above which a row is taken."""
        return 0.5

    @property
    def digest(self) -> str:
        """SHA-256 of classifier and grouping."""
        return hashlib.sha256(f"per {self.by} {self.classifier.digest}".encode()).hexdigest()

    @property
    def trees(self) -> Trees | None:
        """Those of the classifier, whose margin changes alike."""
        found: Trees | None = getattr(self.classifier, "trees", None)
        return found

    def __repr__(self) -> str:
        return f"PerGroup({self.classifier!r}, by={self.by!r})"

    def context(self, table: EventTable, values: FloatArray) -> FloatArray:
        """
        Find what each row has to beat.

        Parameters
        ----------
        table : EventTable
            Says which rows belong together.
        values : FloatArray, shape (n_rows, n_features)
            All rows as they are now, with the sentinel where missing.

        Returns
        -------
        FloatArray, shape (n_rows,)
            In log-odds: the best other row, and for the first of equal ones a little less.
        """
        if self.by not in table.spectators:
            msg = f"the rows of an event are found by the spectator {self.by!r}, which the table has not; pass spectators={{{self.by!r}: ...}}"
            raise ValueError(msg)
        _, event = np.unique(table.spectators[self.by], return_inverse=True)
        own = self._log_odds(values)
        # By event, then the best first; the sort is stable, so that the first of equal ones leads.
        order = np.lexsort((-own, event))
        first = np.flatnonzero(np.diff(event[order], prepend=-1))
        second = np.append(first[1:], len(order)) > first + 1
        best = own[order[first]]
        result = best[event]
        behind = np.where(second, own[order[np.minimum(first + 1, len(order) - 1)]], logit(_SMALLEST))
        result[order[first]] = np.minimum(behind, best - _LEAD)
        return result

    def taken(self, table: EventTable) -> BoolArray:
        """
        Mark the row that each event takes.

        Parameters
        ----------
        table : EventTable
            All rows of all events.

        Returns
        -------
        BoolArray, shape (n_rows,)
            One per event.
        """
        values = table.network_values
        return np.asarray(self._log_odds(values) > self.context(table, values))

    def scores(self, values: FloatArray) -> FloatArray:
        """Odds against the best other row, as probabilities; values of shape (n_rows, n_features + 1)."""
        return self._scores(self._log_odds(values[:, :-1]) - values[:, -1])

    def predict(self, values: FloatArray) -> IntArray:
        """1 for the rows that are taken."""
        return (self._log_odds(values[:, :-1]) > values[:, -1]).astype(np.int64)

    def margin(self, values: FloatArray, labels: IntArray) -> FloatArray:
        """Lead over the best other row in log-odds; of a row that is not taken, by how much it lies behind."""
        return np.asarray((2 * np.asarray(labels) - 1) * (self._log_odds(values[:, :-1]) - values[:, -1]))

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Margin and its slope in the inputs, the other rows as they are."""
        sign = 2 * np.asarray(labels) - 1
        margin, gradient = self.classifier.margin_and_gradient(values[:, :-1], np.ones(len(values), dtype=np.int64))
        return sign * (margin + self._boundary - values[:, -1]), sign[:, np.newaxis] * gradient

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross-entropy and its slope in the inputs, the other rows as they are."""
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -expit(-margin)[:, np.newaxis] * gradient

    def _log_odds(self, values: FloatArray) -> FloatArray:
        ask = getattr(self.classifier, "margin", None)
        labels = np.ones(len(values), dtype=np.int64)
        return (
            self.classifier.margin_and_gradient(values, labels)[0] if ask is None else ask(values, labels)
        ) + self._boundary

    @staticmethod
    def _scores(lead: FloatArray) -> FloatArray:
        return np.stack([expit(-lead), expit(lead)], axis=1)
