# SPDX-License-Identifier: BSD-3-Clause
"""Outputs of trees, and how they change with one input over all candidates at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import inline_kernel, kernel
from hepfool.models._trees import Ensemble
from hepfool.typing import BoolArray, FloatArray, IntArray

_SMALLEST = 1e-12


class Trees(NamedTuple):
    """
    An ensemble as arrays for compiled functions.

    Attributes
    ----------
    feature, threshold, left, right, missing_left, value, root, base, single
        See :class:`~hepfool.models._trees.Ensemble`.
    uses : BoolArray, shape (n_features, n_trees)
        Which trees ask for a feature.
    logarithm : bool
        Whether outputs are probabilities, whose log-odds or logarithms make the margin.
    offset : float
        Log-odds of the threshold; 0 for three and more classes.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    missing_left: BoolArray
    value: FloatArray
    root: IntArray
    base: FloatArray
    single: bool
    uses: BoolArray
    logarithm: bool
    offset: float

    @classmethod
    def of(cls, trees: Ensemble, n_features: int, *, logarithm: bool, offset: float) -> Trees:
        """Lay out an ensemble."""
        uses = np.zeros((n_features, len(trees.root)), dtype=np.bool_)
        inner = trees.feature >= 0
        tree = np.searchsorted(trees.root, np.arange(len(trees.feature)), side="right") - 1
        uses[trees.feature[inner], tree[inner]] = True
        plain = np.ascontiguousarray
        return cls(
            feature=plain(trees.feature),
            threshold=plain(trees.threshold),
            left=plain(trees.left),
            right=plain(trees.right),
            missing_left=plain(trees.missing_left),
            value=plain(trees.value),
            root=plain(trees.root),
            base=plain(trees.base),
            single=trees.single,
            uses=uses,
            logarithm=logarithm,
            offset=offset,
        )


class Profile(NamedTuple):
    """Working space: candidates, the same as trees see them, margins there, changes of the outputs, open branches, the event."""

    candidates: FloatArray
    seen: FloatArray
    margin: FloatArray
    change: FloatArray
    stack: IntArray
    leaves: IntArray
    now: FloatArray

    @classmethod
    def of(cls, trees: Trees, n_candidates: int) -> Profile:
        """Allocate."""
        n_outputs, largest = len(trees.base), int(np.diff([*trees.root, len(trees.feature)]).max())
        change, stack = np.empty((n_candidates + 1, n_outputs)), np.empty((largest, 3), dtype=np.int64)
        candidates, places, margin = (np.empty(n_candidates) for _ in range(3))
        return cls(
            candidates, places, margin, change, stack, np.empty(len(trees.root), dtype=np.int64), np.empty(n_outputs)
        )


@inline_kernel
def seen(trees: Trees, value: float) -> float:
    """Return a value as the trees see it."""
    return float(np.float32(value)) if trees.single else value


@inline_kernel
def _next(trees: Trees, row: FloatArray, node: int) -> int:
    """Follow one decision of an event."""
    value = row[trees.feature[node]]
    to_left = trees.missing_left[node] if np.isnan(value) else seen(trees, value) <= trees.threshold[node]
    return int(trees.left[node] if to_left else trees.right[node])


@inline_kernel
def sum_up(trees: Trees, row: FloatArray, leaves: IntArray, out: FloatArray) -> None:
    """Find the leaves of one event, and sum them."""
    for o in range(out.shape[0]):
        out[o] = trees.base[o]
    for t in range(leaves.shape[0]):
        node = trees.root[t]
        while trees.feature[node] >= 0:
            node = _next(trees, row, node)
        leaves[t] = node
        for o in range(out.shape[0]):
            out[o] += trees.value[node, o]


@inline_kernel
def _power(trees: Trees, output: float) -> float:
    """Logarithm of a probability, log-odds as they are."""
    return float(np.log(min(max(output, _SMALLEST), 1.0 - _SMALLEST))) if trees.logarithm else output


@inline_kernel
def margin_of(trees: Trees, now: FloatArray, change: FloatArray, label: int) -> float:
    """Margin of a class at outputs ``now + change``."""
    if now.shape[0] == 1:
        z = now[0] + change[0]
        if trees.logarithm:
            z = min(max(z, _SMALLEST), 1.0 - _SMALLEST)
            z = np.log(z) - np.log1p(-z)
        return float((2 * label - 1) * (z - trees.offset))
    best = -np.inf
    for o in range(now.shape[0]):
        if o != label:
            best = max(best, _power(trees, now[o] + change[o]))
    return float(_power(trees, now[label] + change[label]) - best)


@inline_kernel
def _above(places: FloatArray, threshold: float, low: int, high: int) -> int:
    """Find the first of some ascending candidates that is above a threshold."""
    while low < high:
        middle = (low + high) // 2
        if places[middle] <= threshold:
            low = middle + 1
        else:
            high = middle
    return low


@inline_kernel
def _spread(trees: Trees, row: FloatArray, j: int, n: int, root: int, space: Profile) -> None:
    """Add what one tree gives for each candidate, as steps from the candidate before."""
    change, stack, top = space.change, space.stack, 0
    stack[0, 0], stack[0, 1], stack[0, 2] = root, 0, n
    while top >= 0:
        node, low, high = stack[top, 0], stack[top, 1], stack[top, 2]
        top -= 1
        while trees.feature[node] >= 0:
            if trees.feature[node] != j:
                node = _next(trees, row, node)
                continue
            first = _above(space.seen, trees.threshold[node], low, high)
            if first == high:
                node = trees.left[node]
            elif first == low:
                node = trees.right[node]
            else:
                top += 1
                stack[top, 0], stack[top, 1], stack[top, 2] = trees.right[node], first, high
                node, high = trees.left[node], first
        for o in range(change.shape[1]):
            change[low, o] += trees.value[node, o]
            change[high, o] -= trees.value[node, o]


@inline_kernel
def profile(trees: Trees, row: FloatArray, j: int, n: int, label: int, space: Profile) -> None:
    """
    Compute the margin at ``n`` ascending candidates of one input, the others as they are.

    ``space`` holds leaves and outputs of the event, see :func:`sum_up`, and receives the margins.
    """
    change = space.change
    for k in range(n + 1):
        for o in range(change.shape[1]):
            change[k, o] = 0.0
    for t in range(trees.root.shape[0]):
        if trees.uses[j, t]:
            for o in range(change.shape[1]):
                change[0, o] -= trees.value[space.leaves[t], o]
            _spread(trees, row, j, n, trees.root[t], space)
    for k in range(n):
        if k > 0:
            for o in range(change.shape[1]):
                change[k, o] += change[k - 1, o]
        space.margin[k] = margin_of(trees, space.now, change[k], label)


@kernel
def outputs(trees: Trees, values: FloatArray, leaves: IntArray, out: FloatArray) -> None:
    """Compute the outputs of events, shape (n_events, n_outputs)."""
    for i in range(values.shape[0]):
        sum_up(trees, values[i], leaves, out[i])


@kernel
def margins(trees: Trees, raw: FloatArray, labels: IntArray, nothing: FloatArray, out: FloatArray) -> None:
    """Compute the margins of events from their outputs, shape (n_events,)."""
    for i in range(raw.shape[0]):
        out[i] = margin_of(trees, raw[i], nothing, labels[i])


@kernel
def profiles(
    trees: Trees, values: FloatArray, labels: IntArray, j: int, candidates: FloatArray, out: FloatArray, space: Profile
) -> None:
    """Compute the margins at ascending candidates of one input, shape (n_events, n_candidates)."""
    n = candidates.shape[1]
    for i in range(values.shape[0]):
        sum_up(trees, values[i], space.leaves, space.now)
        for k in range(n):
            space.seen[k] = seen(trees, candidates[i, k])
        profile(trees, values[i], j, n, labels[i], space)
        for k in range(n):
            out[i, k] = space.margin[k]
