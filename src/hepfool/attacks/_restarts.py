# SPDX-License-Identifier: BSD-3-Clause
"""Gradient descent from many starting points, for events that nothing but their own limits keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np

from hepfool.attacks._bounds import Bounds
from hepfool.attacks._limits import admissible, movable
from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._search.columns import total_slope
from hepfool.features import FeatureSpace
from hepfool.models.blackbox import FiniteDifference
from hepfool.models.protocols import DifferentiableClassifier, is_fooled
from hepfool.typing import BoolArray, FloatArray, IntArray

_N_RESTARTS: Final = 10
_N_STEPS: Final = 20
#: First and last step, as fractions of half the width.
_STEPS: Final = (0.5, 0.02)
#: Events that descend together: what is computed for them stays in the cache.
_AT_A_TIME: Final = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    r"""
    What values events may take: :math:`\{c + G\,e:\ |e_k|\le 1\}`, with a diagonal :math:`G` for a box.

    Attributes
    ----------
    centre : FloatArray, shape (n_sets, n_features)
        Middle.
    spread : FloatArray, shape (n_sets, n_features) or (n_sets, n_features, n_coordinates)
        Half widths of boxes, or generators.
    """

    centre: FloatArray
    spread: FloatArray

    @classmethod
    def between(cls, low: FloatArray, high: FloatArray) -> Sets:
        """Boxes."""
        return cls((low + high) / 2.0, np.where(high > low, (high - low) / 2.0, 0.0))

    def select(self, chosen: Any) -> Sets:
        """Return some of the sets."""
        return Sets(self.centre[chosen], self.spread[chosen])

    def at(self, coordinates: FloatArray) -> FloatArray:
        """Values at coordinates between -1 and 1, of shape (n_sets, n_coordinates)."""
        if self.spread.ndim == 2:
            return self.centre + self.spread * coordinates
        return self.centre + (self.spread @ coordinates[..., np.newaxis])[..., 0]

    def along(self, slopes: FloatArray) -> FloatArray:
        """Slopes along the coordinates, of shape (n_sets, n_functions, n_coordinates)."""
        return slopes * self.spread[:, np.newaxis] if self.spread.ndim == 2 else slopes @ self.spread

    def least(self, slopes: FloatArray, constant: FloatArray) -> FloatArray:
        """Least values of linear functions, of shape (n_sets, n_functions)."""
        middle = (slopes @ self.centre[..., np.newaxis])[..., 0] + constant
        return np.asarray(middle - np.abs(self.along(slopes)).sum(axis=-1))


def ends(problem: AttackProblem, free: BoolArray) -> tuple[FloatArray, FloatArray]:
    """
    Find the ends of what the bounds allow.

    Parameters
    ----------
    problem : AttackProblem
        Events and their bounds.
    free : BoolArray, shape (n_events, n_features)
        Values that move; the others stay as the network takes them.

    Returns
    -------
    low, high : FloatArray, shape (n_events, n_features)
        Whole for whole numbers; of an angle at most one period, which may reach beyond its ends.
    """
    features, bounds, nominal = problem.table.features, problem.bounds, problem.table.network_values
    low, high = bounds.lower[bounds.row], bounds.upper[bounds.row]
    whole, angles = features.of_kind("integer"), features.of_kind("angle")
    half = np.where(angles, (features.upper - features.lower) / 2.0, np.inf)
    low, high = np.maximum(low, nominal - half), np.minimum(high, nominal + half)
    low, high = np.where(whole, np.ceil(low), low), np.where(whole, np.floor(high), high)
    free = free & (low < high)
    return np.where(free, low, nominal), np.where(free, high, nominal)


def some_events(problem: AttackProblem, events: IntArray) -> AttackProblem:
    """
    Restrict a problem.

    Parameters
    ----------
    problem : AttackProblem
        Of all events.
    events : IntArray, shape (n_chosen,)
        Their positions.

    Returns
    -------
    AttackProblem
        Of these events, within the same bounds.
    """
    bounds, table = problem.bounds, replace(problem.table, shape_variations={}, weight_variations={}, spectators={})
    return replace(
        problem,
        # Counted from the end, so that no positions are taken for flags of 0 and 1.
        table=table.select(events - table.n_events),
        bounds=Bounds(bounds.lower, bounds.upper, bounds.row[events]),
        memo={},
        **{name: getattr(problem, name)[events] for name in ("attacked", "classes", "constrained", "frozen")},
    )


def restarted(
    problem: AttackProblem,
    wanted: BoolArray,
    rng: np.random.Generator,
    *,
    sets: Callable[[], Sets] | None = None,
    n_restarts: int = _N_RESTARTS,
) -> tuple[IntArray, FloatArray]:
    """
    Look for values with which events change their class.

    Parameters
    ----------
    problem : AttackProblem
        Events, bounds and network, which needs gradients.
    wanted : BoolArray, shape (n_events,)
        Events to be moved.
    rng : numpy.random.Generator
        Of the starting points: first the middle, then random points and corners in turns.
    sets : callable, optional
        For each starting point anew, what values the events may take, freely; by default all that the bounds allow.
    n_restarts : int
        Starting points.

    Returns
    -------
    events : IntArray, shape (n_found,)
        Positions of those that have changed their class.
    values : FloatArray, shape (n_found, n_features)
        NaN where missing.
    """
    left = np.flatnonzero(wanted)
    events, values = [left[:0]], [problem.table.values[:0]]
    for k in range(n_restarts):
        if not len(left):
            break
        part = some_events(problem, left)
        reach = Sets.between(*ends(part, movable(part))) if sets is None else sets().select(left)
        start, found = _start(k, len(left), reach.spread.shape[-1], rng), np.zeros(len(left), dtype=np.bool_)
        scale = reach.spread.max(axis=0) if sets is None else None
        for first in range(0, len(left), _AT_A_TIME):
            own = np.arange(first, min(first + _AT_A_TIME, len(left)))
            block = some_events(problem, left[own])
            found[own], points = _descended(block, reach.select(own), start[own], scale)
            values.append(points[found[own]])
        events.append(left[found])
        left = left[~found]
    return np.concatenate(events), np.concatenate(values)


def finished_within_envelope(problem: AttackProblem, values: FloatArray, rng: np.random.Generator) -> FloatArray:
    """
    End a search: try events anew that it has not fooled, and that nothing but an envelope keeps.

    Parameters
    ----------
    problem : AttackProblem
        Events and rules.
    values : FloatArray, shape (n_events, n_features)
        What the search has reached.
    rng : numpy.random.Generator
        Of the starting points.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        The same where an event is fooled already, is compared with data, or has no envelope; all of them with finite differences, of
        which every step would cost two calls per feature.
    """
    envelope = problem.envelope
    if envelope is None or isinstance(problem.classifier, FiniteDifference):
        return values
    bounded = (np.isfinite(envelope.lower) | np.isfinite(envelope.upper)).any(axis=1)
    wanted = problem.attacked & ~problem.frozen & ~problem.constrained & bounded
    chosen = np.flatnonzero(wanted)
    if not len(chosen):
        return values
    wanted[chosen] = ~is_fooled(problem.classifier, problem.network_values(values, chosen), problem.classes[chosen])
    events, points = restarted(problem, wanted, rng)
    values = values.copy()
    values[events] = points
    return values


def _start(k: int, n_events: int, n_coordinates: int, rng: np.random.Generator) -> FloatArray:
    if k == 0:
        return np.zeros((n_events, n_coordinates))
    start = rng.uniform(-1.0, 1.0, (n_events, n_coordinates))
    return start if k % 2 else np.sign(start)


def _descended(
    problem: AttackProblem, sets: Sets, coordinates: FloatArray, scale: FloatArray | None
) -> tuple[BoolArray, FloatArray]:
    """
    Follow the slope of the margin; return the first point of each event at which its class is another one.

    With a scale of each feature, events stay within the bounds of the problem; without, wherever the sets take them.
    """
    table, classifier = problem.table, cast("DifferentiableClassifier", problem.classifier)
    points, crossed = table.values.copy(), np.zeros(table.n_events, dtype=np.bool_)
    for length in np.append(_STEPS[0] * (1.0 - np.arange(_N_STEPS) / _N_STEPS) + _STEPS[1], 0.0):
        moved = np.where(table.missing, np.nan, sets.at(coordinates))
        moved = single(moved) if scale is None else admissible(problem, table.values, moved)
        margin, slope = classifier.margin_and_gradient(problem.network_values(moved), problem.classes)
        there = (np.isnan(moved) == table.missing).all(axis=1)  # a shift may take an event to where it cannot be
        new = ~crossed & (margin <= 0.0) & there & (scale is not None or within_limits(table.features, moved))
        points[new], crossed = moved[new], crossed | new
        slope = np.nan_to_num(slope)
        if scale is not None:
            slope = total_slope(table.features, moved, slope, np.maximum(scale, 1e-12))
        coordinates = coordinates - length * np.sign(sets.along(slope[:, np.newaxis])[:, 0])
        coordinates = np.clip(coordinates, -1.0, 1.0)
    crossed &= is_fooled(classifier, problem.network_values(points), problem.classes)
    return crossed, points


def within_limits(features: FeatureSpace, values: FloatArray) -> BoolArray:
    """
    Mark the events that are within the limits of all features.

    Parameters
    ----------
    features : FeatureSpace
        With the limits.
    values : FloatArray, shape (n_events, n_features)
        NaN where missing.

    Returns
    -------
    BoolArray, shape (n_events,)
        True within.
    """
    return np.asarray(~((values < features.lower) | (values > features.upper)).any(axis=1))


def single(values: FloatArray) -> FloatArray:
    """
    Round values as files of single precision hold them.

    Parameters
    ----------
    values : FloatArray
        In double precision.

    Returns
    -------
    FloatArray
        Of the same shape, in double precision.
    """
    return np.asarray(values.astype(np.float32), dtype=np.float64)
