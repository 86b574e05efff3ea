# SPDX-License-Identifier: BSD-3-Clause
"""Prove of events that a fully connected network cannot change their class within what they may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, cast

import numpy as np

from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._restarts import Sets, restarted, some_events
from hepfool.exceptions import NotCertifiableError
from hepfool.models._layers import Folded
from hepfool.models.protocols import DifferentiableClassifier
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case._branch import Parts, bounded, divided
from hepfool.worst_case._derived import followed
from hepfool.worst_case._reach import boxed, confirmed_points
from hepfool.worst_case._shifts import Shifts
from hepfool.worst_case._splits import decided_by_signs

#: Log-odds that a proof leaves to rounding at least.
_MARGIN: Final = 1e-5
#: Whether signs of activations or inputs are divided, and with which share of the boxes, in turns: signs decide where many inputs
#: move, inputs where few do, and signs of what is left of these what neither does alone.
_ROUNDS: Final = ((True, 0.3), (False, 0.05), (True, 0.35), (False, 0.3))
#: Beyond this, relative to the log-odds, a difference of the layers from the network is more than rounding.
_ROUNDING: Final = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkProver:
    """
    What is asked of a network.

    Attributes
    ----------
    problem : AttackProblem
        Attacked events, bounds and classifier.
    network : Folded
        The classifier in double precision.
    parts : Parts
        What the events may be.
    margin : float
        Log-odds that a proof leaves to rounding.
    relaxed : tuple of str
        Where ``parts`` hold more than the events can be.
    shifts : Shifts, optional
        Of sources that the events follow, instead of moving every input by itself.
    boxes : Parts, optional
        The same with derived inputs that take any value within their bounds, where ``parts`` have them follow from others.
    group : int
        Events that are divided at a time.
    """

    problem: AttackProblem
    network: Folded
    parts: Parts
    margin: float
    relaxed: tuple[str, ...]
    shifts: Shifts | None = None
    boxes: Parts | None = None
    group: int = 32

    @classmethod
    def of(cls, problem: AttackProblem, network: Folded, shifts: Shifts | None) -> NetworkProver:
        """
        Lay out what the events may be.

        Parameters
        ----------
        problem : AttackProblem
            Attacked events, bounds and classifier.
        network : Folded
            The classifier in double precision.
        shifts : Shifts, optional
            Of sources that the events follow.

        Returns
        -------
        NetworkProver
            Ready.
        """
        owner, sets, relaxed = _boxed(problem) if shifts is None else shifts.enclosed()
        table = problem.table
        _check_sentinel(problem, network, sets, owner)
        present = network.present(table.network_values)
        sets = Sets(np.where(table.missing[owner], present[owner], sets.centre), sets.spread)
        rows = _rows(problem.classes, len(network.layers[-1].bias))
        margin = max(_MARGIN, 2.0 * _rounding(problem, network, rows))
        parts, boxes = Parts(owner, sets, rows[owner]), None
        if shifts is None and relaxed:
            low, high = sets.centre - sets.spread, sets.centre + sets.spread
            tied, linear = followed(table.features, owner, low, high, np.where(table.missing, present, table.values))
            boxes, parts = parts, replace(parts, sets=tied)
            relaxed = _relaxed(problem, linear, np.asarray((high > low).any(axis=0)))
        return cls(
            problem=problem, network=network, parts=parts, margin=margin, relaxed=relaxed, shifts=shifts, boxes=boxes
        )

    def root(self) -> FloatArray:
        """Least margin of every event, by one bound over all that it may be."""
        least = np.full(self.problem.table.n_events, np.inf)
        found = bounded(self.network.layers, self.parts)[0]
        if self.boxes is not None:
            found = np.maximum(found, bounded(self.network.layers, self.boxes)[0])
        np.minimum.at(least, self.parts.owner, found)
        return least

    def search(self, wanted: BoolArray, rng: np.random.Generator, restarts: int) -> tuple[IntArray, FloatArray]:
        """Look for values of events that change their class; see :func:`hepfool.attacks._restarts.restarted`."""
        sets = None if self.shifts is None else partial(self.shifts.orthant, rng)
        return restarted(self.problem, wanted, rng, sets=sets, n_restarts=restarts)

    def divide(
        self, events: IntArray, max_boxes: int, stop: Callable[[], bool]
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """
        Decide about some events.

        Parameters
        ----------
        events : IntArray, shape (n_chosen,)
            Their positions.
        max_boxes : int
            Most parts per event.
        stop : callable
            Whether to give up.

        Returns
        -------
        state, boxes : IntArray, shape (n_chosen,)
            See :func:`hepfool.worst_case._branch.divided`.
        values : FloatArray, shape (n_chosen, n_features)
            Where the class is another one; nominal elsewhere.
        """
        problem = some_events(self.problem, events)
        values, rows = problem.table.values.copy(), _rows(problem.classes, len(self.network.layers[-1].bias))
        state, boxes = np.zeros(len(events), dtype=np.int64), np.zeros(len(events), dtype=np.int64)

        def fooled(owner: IntArray, points: FloatArray) -> BoolArray:
            hit = _margins(rows[owner], self.network(points)) <= 0.0
            if hit.any():
                some, freely = some_events(problem, owner[hit]), self.shifts is not None
                points, confirmed = confirmed_points(some, points[hit], freely=freely)
                hit[hit] = confirmed
                values[owner[hit]], state[owner[hit]] = points[confirmed], -1
            return hit

        left, whole = self._parts(events), problem.table.features.of_kind("integer") & (self.shifts is None)
        for by_signs, share in _ROUNDS if self._straight else ((False, 1.0),):
            most = max(int(share * max_boxes), 1)
            decide = decided_by_signs if by_signs else partial(divided, whole=whole)
            if len(left):
                more, left = decide(
                    self.network.layers, left, margin=self.margin, max_boxes=most, fooled=fooled, stop=stop
                )
                boxes[: len(more)] += more
        open_ = np.isin(np.arange(len(events)), left.owner)
        return np.where(open_ | (state < 0), state, 1), boxes, values

    @property
    def _straight(self) -> bool:
        """Whether all activations are straight on either side of 0."""
        activations = [layer.activation for layer in self.network.layers if layer.activation is not None]
        return bool(activations) and all(one.curvature == 0.0 for one in activations)

    def _parts(self, events: IntArray) -> Parts:
        order = np.argsort(events)
        mine = self.parts.select(np.isin(self.parts.owner, events))
        mine = replace(mine, owner=order[np.searchsorted(events[order], mine.owner)])
        if self.shifts is None or not self.shifts.divisible:
            return mine
        owner, sets = self.shifts.orthants(events)
        where = np.empty(len(events), dtype=np.int64)
        where[mine.owner] = np.arange(len(mine))
        # Missing values are what the network puts in their place.
        spread = sets.spread
        centre = np.where(self.problem.table.missing[events][owner], mine.sets.centre[where[owner]], sets.centre)
        return Parts(owner, Sets(centre, spread), mine.rows[where[owner]])


def _boxed(problem: AttackProblem) -> tuple[IntArray, Sets, tuple[str, ...]]:
    owner, low, high, relaxed = boxed(problem)
    return owner, Sets.between(low, high), relaxed


def _relaxed(problem: AttackProblem, linear: BoolArray, moving: BoolArray) -> tuple[str, ...]:
    """Say what events with derived inputs may be beyond what they can be."""
    features = problem.table.features
    derived = np.isin(np.arange(len(features)), features.derived)
    sentences = {
        "derived inputs lie between linear bounds of their formulas: {}": derived & linear & moving,
        "derived inputs take any value within their bounds: {}": derived & ~linear & moving,
        "whole numbers take any value between their ends: {}": features.of_kind("integer") & moving,
    }
    return tuple(
        text.format(", ".join(features.names[j] for j in np.flatnonzero(which)))
        for text, which in sentences.items()
        if which.any()
    )


def _rows(classes: IntArray, n_outputs: int) -> FloatArray:
    """Functions of the outputs, of shape (n_events, n_functions, n_outputs), of which none may reach 0, or the class changes."""
    if n_outputs == 1:
        return np.asarray(2.0 * classes - 1.0, dtype=np.float64)[:, np.newaxis, np.newaxis]
    others = np.array([[k for k in range(n_outputs) if k != c] for c in range(n_outputs)])
    each = np.eye(n_outputs)
    return np.asarray(each[classes][:, np.newaxis] - each[others[classes]])


def _margins(rows: FloatArray, outputs: FloatArray) -> FloatArray:
    return np.asarray((rows @ outputs[..., np.newaxis])[..., 0].min(axis=1))


def _rounding(problem: AttackProblem, network: Folded, rows: FloatArray) -> float:
    """How far the classifier is from its layers in double precision, in log-odds."""
    inputs, classifier = problem.table.network_values, cast("DifferentiableClassifier", problem.classifier)
    given, _ = classifier.margin_and_gradient(inputs, problem.classes)
    found = _margins(rows, network(network.present(inputs)))
    worst = float(np.abs(given - found).max(initial=0.0))
    if not worst <= _ROUNDING * (1.0 + float(np.abs(given).max(initial=0.0))):
        msg = f"the network's log-odds differ from those of its layers by {worst:.3g}; has it hooks, or a layer with a forward() of its own?"
        raise NotCertifiableError(msg)
    return worst


def _check_sentinel(problem: AttackProblem, network: Folded, sets: Sets, owner: IntArray) -> None:
    """Refuse sets that hold the number which stands for a missing value: there the network jumps."""
    half = sets.spread if sets.spread.ndim == 2 else np.abs(sets.spread).sum(axis=2)
    hit = (np.abs(sets.centre - network.sentinel) <= half) & ~problem.table.missing[owner]
    if hit.any():
        name = problem.table.features.names[int(np.argmax(hit.any(axis=0)))]
        msg = f"{name} may become {network.sentinel:g}, which the network takes for missing, so that nothing is proved; give the feature limits without it"
        raise NotCertifiableError(msg)
