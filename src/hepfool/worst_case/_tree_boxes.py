# SPDX-License-Identifier: BSD-3-Clause
"""Decide exactly whether an ensemble of trees can change the class of an event within a box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._restarts import some_events
from hepfool.models._trees import Ensemble
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case._reach import boxed, confirmed_points

#: Sums that differ by no more are equal up to rounding: there the model itself decides.
_MARGIN: Final = 1e-9
#: Numbers that a batch of boxes may hold at a time.
_BATCH: Final = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    owner: IntArray
    low: FloatArray
    high: FloatArray

    def __len__(self) -> int:
        return len(self.owner)

    def select(self, chosen: IntArray | BoolArray | slice) -> _Boxes:
        return _Boxes(self.owner[chosen], self.low[chosen], self.high[chosen])

    def joined(self, other: _Boxes) -> _Boxes:
        return _Boxes(*(np.concatenate([getattr(self, n), getattr(other, n)]) for n in ("owner", "low", "high")))


@dataclass(frozen=True, slots=True, eq=False)
class _Forest:
    """Trees by depth, for many boxes at a time."""

    trees: Ensemble
    levels: tuple[IntArray, ...]
    leaves: IntArray
    first_leaf: IntArray
    ends: IntArray

    @classmethod
    def of(cls, trees: Ensemble) -> _Forest:
        levels, nodes = [], trees.root
        while len(nodes := nodes[trees.feature[nodes] >= 0]):
            levels.append(nodes)
            nodes = np.concatenate([trees.left[nodes], trees.right[nodes]])
        leaves = np.flatnonzero(trees.feature < 0)
        ends = np.append(trees.root, len(trees.feature))
        return cls(trees, tuple(levels), leaves, np.searchsorted(leaves, trees.root), ends)

    def within(self, kept: IntArray) -> _Forest:
        """Return some of the nodes; the others become one leaf that nothing reaches."""
        trees = self.trees
        place = np.full(len(trees.feature), len(kept))
        place[kept] = np.arange(len(kept))
        return _Forest.of(
            replace(
                trees,
                feature=np.append(trees.feature[kept], -1),
                threshold=np.append(trees.threshold[kept], 0.0),
                left=np.append(place[trees.left[kept]], len(kept)),
                right=np.append(place[trees.right[kept]], len(kept)),
                missing_left=np.append(trees.missing_left[kept], np.False_),
                value=np.concatenate([trees.value[kept], 0.0 * trees.value[:1]]),
                root=place[trees.root],
            )
        )

    def reached(self, low: FloatArray, high: FloatArray, missing: BoolArray) -> tuple[BoolArray, BoolArray]:
        """Nodes that a box reaches, and those of which it reaches both sides; of shape (n_nodes, n_boxes)."""
        trees = self.trees
        reached = np.zeros((len(trees.feature), len(low)), dtype=np.bool_)
        both = np.zeros_like(reached)
        reached[trees.root] = True
        ends = low.T, high.T
        for nodes in self.levels:
            column, threshold = trees.feature[nodes], trees.threshold[nodes, np.newaxis]
            gone, to_left = missing.T[column], trees.missing_left[nodes, np.newaxis]
            left = reached[nodes] & np.where(gone, to_left, ends[0][column] <= threshold)
            right = reached[nodes] & np.where(gone, ~to_left, ends[1][column] > threshold)
            reached[trees.left[nodes]], reached[trees.right[nodes]], both[nodes] = left, right, left & right
        return reached, both

    def least(self, reached: BoolArray, row: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Least sums of a function of the outputs, and by how much each tree varies, of shape (n_trees, n_boxes)."""
        values, reached = (self.trees.value[self.leaves] @ row)[:, np.newaxis], reached[self.leaves]
        lowest = np.minimum.reduceat(np.where(reached, values, np.inf), self.first_leaf, axis=0)
        highest = np.maximum.reduceat(np.where(reached, values, -np.inf), self.first_leaf, axis=0)
        return lowest.sum(axis=0) + row @ self.trees.base, highest - lowest

    def bounded(self, boxes: _Boxes, missing: BoolArray, classes: IntArray) -> tuple[FloatArray, IntArray]:
        """Least margin over each box, and the node to divide it at; -1 where every tree has one leaf."""
        least, node = np.full(len(boxes), np.inf), np.full(len(boxes), -1)
        size = max(_BATCH // len(self.trees.feature), 1)
        for start in range(0, len(boxes), size):
            batch = slice(start, start + size)
            owner = boxes.owner[batch]
            reached, both = self.reached(boxes.low[batch], boxes.high[batch], missing[owner])
            for c in np.unique(classes[owner]):
                mine = np.flatnonzero(classes[owner] == c)
                found, varies = np.full(len(mine), np.inf), np.zeros((len(self.trees.root), len(mine)))
                for row in _rows(int(c), len(self.trees.base)):
                    low, spread = self.least(reached[:, mine], row)
                    varies = np.where(low < found, spread, varies)
                    found = np.minimum(low, found)
                least[start + mine] = found
                for box, tree in zip(mine, varies.argmax(axis=0), strict=True):
                    nodes = slice(self.ends[tree], self.ends[tree + 1])
                    if both[nodes, box].any():
                        node[start + box] = nodes.start + both[nodes, box].argmax()
        return least, node


def _rows(c: int, n_outputs: int) -> FloatArray:
    """Functions of the outputs of which none may reach 0, or the class is not this one."""
    if n_outputs == 1:
        return np.array([[2.0 * c - 1.0]])
    each = np.eye(n_outputs)
    return np.asarray(each[c] - np.delete(each, c, axis=0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TreeProver:
    """
    What is asked of trees.

    Attributes
    ----------
    problem : AttackProblem
        Attacked events, bounds and classifier.
    forest : _Forest
        The classifier.
    boxes : _Boxes
        What the events may be.
    relaxed : tuple of str
        Where they hold more than the events can be.
    margin : float
        Difference from the threshold that a proof leaves to rounding.
    shifts : None
        Trees are proved within boxes only.
    """

    problem: AttackProblem
    forest: _Forest
    boxes: _Boxes
    relaxed: tuple[str, ...]
    margin: float = _MARGIN
    shifts: None = None

    @classmethod
    def of(cls, problem: AttackProblem, trees: Ensemble) -> TreeProver:
        """
        Lay out what the events may be.

        Parameters
        ----------
        problem : AttackProblem
            Attacked events, bounds and classifier.
        trees : Ensemble
            The classifier.

        Returns
        -------
        TreeProver
            Ready.
        """
        owner, low, high, relaxed = boxed(problem)
        if trees.single:  # as the trees see them
            low, high = (side.astype(np.float32).astype(np.float64) for side in (low, high))
        return cls(problem=problem, forest=_Forest.of(trees), boxes=_Boxes(owner, low, high), relaxed=relaxed)

    @property
    def group(self) -> int:
        """Events that are divided at a time: few in large trees, of which each reaches another part."""
        return int(np.clip(_BATCH // 8 // len(self.forest.trees.feature), 1, 256))

    def root(self) -> FloatArray:
        """Least margin of every event, by the leaves that it may reach."""
        least = np.full(self.problem.table.n_events, np.inf)
        missing = np.isnan(self.problem.table.network_values)
        np.minimum.at(least, self.boxes.owner, self.forest.bounded(self.boxes, missing, self.problem.classes)[0])
        return least

    def search(self, wanted: BoolArray, _rng: np.random.Generator, _restarts: int) -> tuple[IntArray, FloatArray]:
        """Nothing: dividing finds what there is."""
        return np.flatnonzero(wanted & False), self.problem.table.values[:0]

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
            Most boxes per event.
        stop : callable
            Whether to give up.

        Returns
        -------
        state : IntArray, shape (n_chosen,)
            1 if the class cannot change, -1 if it does, 0 if neither is known.
        boxes : IntArray, shape (n_chosen,)
            Boxes that were bounded.
        values : FloatArray, shape (n_chosen, n_features)
            Where the class is another one; nominal elsewhere.
        """
        problem = some_events(self.problem, events)
        values, n_events = problem.table.values.copy(), len(events)
        state, used = np.zeros(n_events, dtype=np.int64), np.zeros(n_events, dtype=np.int64)
        order = np.argsort(events)
        left = self.boxes.select(np.isin(self.boxes.owner, events))
        left = _Boxes(order[np.searchsorted(events[order], left.owner)], left.low, left.high)
        missing = np.isnan(problem.table.network_values)
        reached, _ = self.forest.reached(left.low, left.high, missing[left.owner])
        forest = self.forest.within(np.flatnonzero(reached.any(axis=1)))
        open_, given_up = np.bincount(left.owner, minlength=n_events), np.zeros(n_events, dtype=np.bool_)
        while len(left) and not stop():
            least, node = forest.bounded(left, missing, problem.classes)
            np.add.at(used, left.owner, 1)
            points, hit = confirmed_points(some_events(problem, left.owner), (left.low + left.high) / 2.0)
            state[left.owner[hit]] = -1
            values[left.owner[hit]] = points[hit]
            safe = (least > _MARGIN) | ((node < 0) & ~hit & (least > -_MARGIN))
            np.add.at(open_, left.owner[safe], -1)
            given_up[left.owner[~safe & (node < 0)]] = True
            given_up |= used >= max_boxes
            go = ~safe & (state[left.owner] == 0) & ~given_up[left.owner]
            np.add.at(open_, left.owner[go], -1)
            left = _halves(forest.trees, problem, left.select(go), node[go])
            np.add.at(open_, left.owner, 1)
        state[(open_ == 0) & (state == 0)] = 1
        return state, used, values


def _halves(trees: Ensemble, problem: AttackProblem, boxes: _Boxes, node: IntArray) -> _Boxes:
    """Cut every box at the threshold of a node; whole numbers between two of them."""
    each, column, threshold = np.arange(len(boxes)), trees.feature[node], trees.threshold[node]
    whole = problem.table.features.of_kind("integer")[column]
    below, above = _last(threshold, single=trees.single), _next(threshold, single=trees.single)
    low, high = boxes.low.copy(), boxes.high.copy()
    low[each, column] = np.where(whole, np.ceil(above), above)
    high[each, column] = np.where(whole, np.floor(below), below)
    both = _Boxes(boxes.owner, boxes.low, high).joined(_Boxes(boxes.owner, low, boxes.high))
    # Without a number of the precision in between there is nothing on one side.
    return both.select(np.flatnonzero(~(both.low > both.high).any(axis=1)))


def _last(threshold: FloatArray, *, single: bool) -> FloatArray:
    """Largest number that is not above."""
    if not single:
        return threshold
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float64)


def _next(threshold: FloatArray, *, single: bool) -> FloatArray:
    """Smallest number above."""
    if not single:
        return np.nextafter(threshold, np.inf)
    last = _last(threshold, single=True).astype(np.float32)
    return np.asarray(np.nextafter(last, np.float32(np.inf)), dtype=np.float64)
