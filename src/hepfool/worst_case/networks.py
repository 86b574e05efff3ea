# SPDX-License-Identifier: BSD-3-Clause
"""Prove of events that a fully connected network cannot change their class within what they may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from hepfool.attacks.checks import leaving
from hepfool.attacks.limits import admissible, movable
from hepfool.attacks.problem import AttackProblem
from hepfool.attacks.restarts import Sets, boxes, restarted, single, some_events, within_limits
from hepfool.exceptions import NotCertifiableError
from hepfool.models.layers import Folded
from hepfool.models.protocols import DifferentiableClassifier, is_fooled
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case.branch import Parts, bounded, divided, narrowed
from hepfool.worst_case.shifts import Shifts
from hepfool.worst_case.splits import decided_by_signs

__all__ = ["NetworkProver"]

#: Log-odds that a proof leaves to rounding at least.
_MARGIN: Final = 1e-5
#: What is tried in turns, with the share of the boxes: inputs where few move, signs where many do.
_TRIES: Final = ((divided, 0.03), (decided_by_signs, 0.3), (divided, 1.0))
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
    """

    problem: AttackProblem
    network: Folded
    parts: Parts
    margin: float
    relaxed: tuple[str, ...]
    shifts: Shifts | None = None

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
        parts = Parts(owner, sets, rows[owner])
        return cls(problem=problem, network=network, parts=parts, margin=margin, relaxed=relaxed, shifts=shifts)

    def root(self) -> FloatArray:
        """Least margin of every event, by one bound over all that it may be."""
        least = np.full(self.problem.table.n_events, np.inf)
        np.minimum.at(least, self.parts.owner, bounded(self.network.layers, self.parts)[0])
        return least

    def search(self, wanted: BoolArray, rng: np.random.Generator, restarts: int) -> tuple[IntArray, FloatArray]:
        """Look for values of events that change their class; see :func:`hepfool.attacks.restarts.restarted`."""
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
            See :func:`hepfool.worst_case.branch.divided`.
        values : FloatArray, shape (n_chosen, n_features)
            Where the class is another one; nominal elsewhere.
        """
        problem = some_events(self.problem, events)
        values = problem.table.values.copy()
        rows = _rows(problem.classes, len(self.network.layers[-1].bias))

        def fooled(owner: IntArray, points: FloatArray) -> BoolArray:
            hit = _margins(rows[owner], self.network(points)) <= 0.0
            if hit.any():
                points, confirmed = self._confirmed(some_events(problem, owner[hit]), points[hit])
                values[owner[hit][confirmed]] = points[confirmed]
                hit[hit] = confirmed
            return hit

        layers, parts = self.network.layers, self._parts(events)
        whole = problem.table.features.of_kind("integer") & (self.shifts is None)
        state, boxes = np.zeros((2, len(events)), dtype=np.int64)
        for decide, share in _TRIES if self._straight else _TRIES[-1:]:
            left = np.flatnonzero(state == 0)
            if not len(left):
                break
            mine = parts.select(np.isin(parts.owner, left))
            state[left], more = decide(
                layers,
                replace(mine, owner=np.searchsorted(left, mine.owner)),
                whole=whole,
                margin=self.margin,
                max_boxes=max(int(share * max_boxes), 1),
                fooled=lambda owner, points, left=left: fooled(left[owner], points),
                stop=stop,
            )
            boxes[left] += more
        return state, boxes, values

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

    def _confirmed(self, problem: AttackProblem, points: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Bring points to values that the events may have, and ask the classifier itself."""
        table = problem.table
        points = np.where(table.missing, np.nan, points)
        points = single(points) if self.shifts is not None else admissible(problem, table.values, points)
        fooled = is_fooled(problem.classifier, problem.network_values(points), problem.classes)
        return points, fooled & ~leaving(table, points) & within_limits(table.features, points)


def _boxed(problem: AttackProblem) -> tuple[IntArray, Sets, tuple[str, ...]]:
    """Boxes of what the bounds allow; one that an angle leaves at an end of its period comes in at the other."""
    features, missing = problem.table.features, problem.table.missing
    derived = np.isin(np.arange(len(features)), features.derived)
    free = movable(problem) | (derived & ~missing)
    sets, owner = boxes(problem, free), np.arange(problem.table.n_events)
    for j in np.flatnonzero(features.of_kind("angle")):
        owner, sets = _wrapped(owner, sets, int(j), features[int(j)].lower, features[int(j)].upper)
    names = ", ".join(features.names[j] for j in np.flatnonzero(derived & (sets.spread > 0.0).any(axis=0)))
    return owner, sets, (f"derived inputs take any value within their bounds: {names}",) if names else ()


def _wrapped(owner: IntArray, sets: Sets, j: int, first: float, last: float) -> tuple[IntArray, Sets]:
    low, high = sets.centre[:, j] - sets.spread[:, j], sets.centre[:, j] + sets.spread[:, j]
    moving, period = sets.spread[:, j] > 0.0, last - first
    over, under = moving & (high > last), moving & (low < first)
    pieces = (
        narrowed(sets, j, np.where(moving, np.maximum(low, first), low), np.where(moving, np.minimum(high, last), high)),
        narrowed(sets.select(over), j, np.full(int(over.sum()), first), high[over] - period),
        narrowed(sets.select(under), j, low[under] + period, np.full(int(under.sum()), last)),
    )
    centre, spread = (np.concatenate([getattr(one, name) for one in pieces]) for name in ("centre", "spread"))
    return np.concatenate([owner, owner[over], owner[under]]), Sets(centre, spread)


def _rows(classes: IntArray, n_outputs: int) -> FloatArray:
    """Functions of the outputs, of shape (n_events, n_functions, n_outputs), of which none may reach 0, or the class changes."""
    if n_outputs == 1:
        return (2.0 * classes - 1.0)[:, np.newaxis, np.newaxis]
    others = np.array([[k for k in range(n_outputs) if k != c] for c in range(n_outputs)])
    each = np.eye(n_outputs)
    return np.asarray(each[classes][:, np.newaxis] - each[others[classes]])


def _margins(rows: FloatArray, outputs: FloatArray) -> FloatArray:
    return np.asarray((rows @ outputs[..., np.newaxis])[..., 0].min(axis=1))


def _rounding(problem: AttackProblem, network: Folded, rows: FloatArray) -> float:
    """How far the classifier is from its layers in double precision, in log-odds."""
    inputs, classifier = problem.table.network_values, problem.classifier
    assert isinstance(classifier, DifferentiableClassifier)
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
        msg = f"{name} may become {network.sentinel:g}, which the network takes for missing; give the feature limits"
        raise ValueError(msg)
