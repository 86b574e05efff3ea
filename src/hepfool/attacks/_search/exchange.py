# SPDX-License-Identifier: BSD-3-Clause
r"""
Swap all values of events of different class: a change that no comparison of the data set can see.

The joint distribution of the events stays exactly what it was, so that neither marginals, correlations, the score nor a
classifier that is trained to tell the two samples apart can notice, and both events of a pair are fooled.  This bounds
every pooled fooling ratio from below and says what such a ratio is about: the composition of the regions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from hepfool.attacks._problem import AttackProblem
from hepfool.events import EventTable
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Largest number of events of one class that are matched at a time; the time grows with the third power.
_CHUNK = 1000


def exchange(problem: AttackProblem, membership: BoolArray, rng: np.random.Generator) -> FloatArray:
    """
    Swap the values of as many pairs as possible.

    Parameters
    ----------
    problem : AttackProblem
        Events and rules.
    membership : BoolArray, shape (n_events, n_groups)
        Groups of each event; only events of the same groups change places.
    rng : numpy.random.Generator
        Divides large groups.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        Nominal values but for the pairs.
    """
    values = problem.table.values
    result = values.copy()
    for first, second in matched_pairs(problem, membership, rng):
        fits = _fits(problem, first, values[second]) & _fits(problem, second, values[first])
        result[first[fits]], result[second[fits]] = values[second[fits]], values[first[fits]]
    return result


def matched_pairs(
    problem: AttackProblem, membership: BoolArray, rng: np.random.Generator
) -> list[tuple[IntArray, IntArray]]:
    """
    Match attacked events of different class that are as similar as possible.

    Parameters
    ----------
    problem : AttackProblem
        Events and rules.
    membership : BoolArray, shape (n_events, n_groups)
        Groups of each event.
    rng : numpy.random.Generator
        Divides large groups.

    Returns
    -------
    list of (IntArray, IntArray)
        Events, and their partners: of the same groups, equal weight, equal fixed values and the same missing values.
    """
    table = problem.table
    able = np.flatnonzero(problem.attacked & ~problem.frozen)
    # An event keeps its regions, so that only events of the same ones change places.
    kind = alike(table, np.column_stack([membership, *(region.mask for region in table.regions)]))[able]
    scale = _Scale.of(table)
    pairs = []
    order = np.argsort(kind, kind="stable")
    for events in np.split(able[order], np.flatnonzero(np.diff(kind[order])) + 1):
        pairs.extend(_matched(events, problem.classes[events], scale, rng))
    return pairs


def alike(table: EventTable, membership: NDArray[Any]) -> IntArray:
    """
    Sort events into kinds that may swap all values without a trace.

    Parameters
    ----------
    table : EventTable
        Nominal events.
    membership : array, shape (n_events, n_groups)
        What else they must have in common.

    Returns
    -------
    IntArray, shape (n_events,)
        From 0; events of one kind have equal weight, equal fixed values and the same missing values.
    """
    kind = np.zeros(table.n_events, dtype=np.int64)
    fixed = table.values.T[table.features.of_kind("fixed")]
    # One key after the other: all of them at once would be sorted as whole rows, in many copies of the table.
    for keys in (np.asarray(membership).T, table.missing.T, [table.weights], np.nan_to_num(fixed)):
        for key in keys:
            distinct, number = np.unique(key, return_inverse=True)
            if len(distinct) > 1:
                _, kind = np.unique(kind * len(distinct) + number, return_inverse=True)
    return kind


class _Scale(NamedTuple):
    """Events in units of the ranges of their present values."""

    values: FloatArray
    low: FloatArray
    width: FloatArray

    @classmethod
    def of(cls, table: EventTable) -> _Scale:
        """Find the ranges."""
        low, width = np.zeros(table.n_features), np.ones(table.n_features)
        for j in range(table.n_features):
            present = table.values[~table.missing[:, j], j]
            if len(present):
                low[j] = present.min()
                width[j] = (present.max() - low[j]) or 1.0
        return cls(table.values, low, width)

    def of_events(self, events: IntArray) -> FloatArray:
        """Scale some events, missing values to 0."""
        return np.nan_to_num((self.values[events] - self.low) / self.width)


def _matched(
    events: IntArray, classes: IntArray, scale: _Scale, rng: np.random.Generator
) -> list[tuple[IntArray, IntArray]]:
    """Match the commonest class with the others, in parts of similar composition."""
    names, counts = np.unique(classes, return_counts=True)
    if len(names) < 2:
        return []
    common = classes == names[np.argmax(counts)]
    first, second = rng.permutation(events[common]), rng.permutation(events[~common])
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - takes longer to load than a small attack

    n_parts = -(-max(len(first), len(second)) // _CHUNK)
    pairs = []
    for left, right in zip(np.array_split(first, n_parts), np.array_split(second, n_parts), strict=True):
        a, b = linear_sum_assignment(cdist(scale.of_events(left), scale.of_events(right)))
        pairs.append((left[a], right[b]))
    return pairs


def _fits(problem: AttackProblem, events: IntArray, values: FloatArray) -> BoolArray:
    """Whether events may take these values."""
    bounds, angles = problem.bounds, problem.table.features.of_kind("angle")
    lower, upper = bounds.lower[bounds.row[events]], bounds.upper[bounds.row[events]]
    nominal = problem.table.values[events]
    period = np.where(angles, problem.table.features.upper - problem.table.features.lower, 1.0)
    distance = values - nominal
    travel = np.where(angles, distance - period * np.round(distance / period), distance)
    at = nominal + travel
    return np.asarray((np.isnan(values) | ((at >= lower) & (at <= upper))).all(axis=1))
