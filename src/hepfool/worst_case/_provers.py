# SPDX-License-Identifier: BSD-3-Clause
"""What can be proved of a classifier, and by which prover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._restarts import some_events
from hepfool.exceptions import NotCertifiableError
from hepfool.models._folds import FoldedClassifier
from hepfool.models.protocols import Classifier, Defended
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case._networks import NetworkProver
from hepfool.worst_case._shifts import Shifts
from hepfool.worst_case._tree_boxes import TreeProver


class Prover(Protocol):
    """What decides about events; see :class:`~hepfool.worst_case._networks.NetworkProver`."""

    @property
    def problem(self) -> AttackProblem:
        """Attacked events, bounds and classifier."""
        ...

    @property
    def shifts(self) -> Shifts | None:
        """Of sources that the events follow."""
        ...

    @property
    def margin(self) -> float:
        """Log-odds that a proof leaves to rounding."""
        ...

    @property
    def relaxed(self) -> tuple[str, ...]:
        """Where a proof covers more than the events can do."""
        ...

    @property
    def group(self) -> int:
        """Events that are divided at a time."""
        ...

    def root(self) -> FloatArray:
        """Least margin of every event."""
        ...

    def search(self, wanted: BoolArray, rng: np.random.Generator, restarts: int) -> tuple[IntArray, FloatArray]:
        """Look for values of events that change their class."""
        ...

    def divide(
        self, events: IntArray, max_boxes: int, stop: Callable[[], bool]
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Decide about some events: their states, boxes and values."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldsProver:
    """
    Of every event the prover of its fold.

    Attributes
    ----------
    problem : AttackProblem
        Attacked events, with their folds among the spectators.
    shifts : Shifts or None
        Of sources that the events follow.
    provers : tuple of Prover
        One per fold that has events.
    events : tuple of IntArray
        Positions of the events of each.
    """

    problem: AttackProblem
    shifts: Shifts | None
    provers: tuple[Prover, ...]
    events: tuple[IntArray, ...]

    @classmethod
    def of(cls, problem: AttackProblem, classifier: FoldedClassifier, shifts: Shifts | None) -> FoldsProver:
        """
        Divide the events among the networks.

        Parameters
        ----------
        problem : AttackProblem
            Attacked events, with their folds among the spectators.
        classifier : FoldedClassifier
            One network per fold.
        shifts : Shifts, optional
            Of sources that the events follow.

        Returns
        -------
        FoldsProver
            Ready.
        """
        fold = problem.table.spectators[classifier.by]
        parts = [(part, np.flatnonzero(fold == k)) for k, part in enumerate(classifier.classifiers)]
        parts = [(part, mine) for part, mine in parts if len(mine)]
        provers = (
            prover_of(
                replace(some_events(problem, mine), classifier=decides(part)),
                None if shifts is None else shifts.select(mine),
            )
            for part, mine in parts
        )
        return cls(problem=problem, shifts=shifts, provers=tuple(provers), events=tuple(mine for _, mine in parts))

    @property
    def margin(self) -> float:
        """The largest of all folds."""
        return max(prover.margin for prover in self.provers)

    @property
    def relaxed(self) -> tuple[str, ...]:
        """Of every fold."""
        return tuple(dict.fromkeys(text for prover in self.provers for text in prover.relaxed))

    @property
    def group(self) -> int:
        """Events that are divided at a time."""
        return min(prover.group for prover in self.provers)

    def root(self) -> FloatArray:
        """Least margin of every event."""
        least = np.empty(self.problem.table.n_events)
        for prover, mine in zip(self.provers, self.events, strict=True):
            least[mine] = prover.root()
        return least

    def search(self, wanted: BoolArray, rng: np.random.Generator, restarts: int) -> tuple[IntArray, FloatArray]:
        """Look for values of events that change their class."""
        found = [
            (mine[events], values)
            for prover, mine in zip(self.provers, self.events, strict=True)
            for events, values in (prover.search(wanted[mine], rng, restarts),)
        ]
        events, values = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return events, values

    def divide(
        self, events: IntArray, max_boxes: int, stop: Callable[[], bool]
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """Decide about some events: their states, boxes and values."""
        state, boxes = np.zeros(len(events), dtype=np.int64), np.zeros(len(events), dtype=np.int64)
        values = self.problem.table.values[events]
        for prover, mine in zip(self.provers, self.events, strict=True):
            own = np.flatnonzero(np.isin(events, mine))
            if len(own):
                asked = np.searchsorted(mine, events[own])
                state[own], boxes[own], values[own] = prover.divide(asked, max_boxes, stop)
        return state, boxes, values


def prover_of(problem: AttackProblem, shifts: Shifts | None) -> Prover:
    """
    Choose how to prove something of a classifier.

    Parameters
    ----------
    problem : AttackProblem
        Attacked events, bounds and classifier.
    shifts : Shifts, optional
        Of sources that the events follow.

    Returns
    -------
    Prover
        Ready.

    Raises
    ------
    NotCertifiableError
        If nothing can be proved of the classifier, or not of events that follow sources.
    """
    classifier = problem.classifier
    if isinstance(classifier, FoldedClassifier):
        return FoldsProver.of(problem, classifier, shifts)
    if hasattr(classifier, "folded"):
        return NetworkProver.of(problem, classifier.folded(), shifts)
    if hasattr(classifier, "ensemble"):
        trees = classifier.ensemble()
        if shifts is not None:
            msg = "coherent= needs a network: trees are proved within boxes only; leave it out"
            raise NotCertifiableError(msg)
        return TreeProver.of(problem, trees)
    msg = (
        f"nothing can be proved of a {type(classifier).__name__}; supported are a TorchClassifier of a Sequential, a "
        "TreeClassifier or CallableClassifier of trees, and a FoldedClassifier of these"
    )
    raise NotCertifiableError(msg)


def decides(classifier: Classifier) -> Classifier:
    """
    Find what decides about the classes: neither slopes nor a guide do.

    Parameters
    ----------
    classifier : Classifier
        Perhaps with finite differences or a surrogate around it.

    Returns
    -------
    Classifier
        The innermost one that decides in the same way.
    """
    inner = getattr(classifier, "classifier", None)
    own = isinstance(classifier, Defended) or hasattr(classifier, "context")  # it asks more than the class of one event
    return classifier if inner is None or own else decides(inner)
