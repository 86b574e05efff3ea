# SPDX-License-Identifier: BSD-3-Clause
"""What events may be within their bounds, and whether they may be at a certain point."""

from __future__ import annotations

import numpy as np

from hepfool.attacks._checks import leaving
from hepfool.attacks._limits import admissible, movable
from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._restarts import ends, single, within_limits
from hepfool.models.protocols import is_fooled
from hepfool.typing import BoolArray, FloatArray, IntArray


def boxed(problem: AttackProblem) -> tuple[IntArray, FloatArray, FloatArray, tuple[str, ...]]:
    """
    Enclose what the bounds allow.

    Parameters
    ----------
    problem : AttackProblem
        Events and bounds.

    Returns
    -------
    owner : IntArray, shape (n_boxes,)
        Event of each box.
    low, high : FloatArray, shape (n_boxes, n_features)
        Ends; a box that an angle leaves at an end of its period comes in at the other as a second one.
    relaxed : tuple of str
        Where boxes hold more than the events can be.

    Raises
    ------
    ValueError
        If a value may be as large or small as it likes.
    """
    features, missing = problem.table.features, problem.table.missing
    derived = np.isin(np.arange(len(features)), features.derived)
    low, high = ends(problem, movable(problem) | (derived & ~missing))
    if (endless := np.isinf(low) | np.isinf(high)).any():
        name = features.names[int(np.argmax(endless.any(axis=0)))]
        msg = (
            f"nothing bounds {name!r} of {int(endless.any(axis=1).sum())} attacked events, of which nothing can be proved then; "
            "give the envelope ends, or the feature limits"
        )
        raise ValueError(msg)
    owner = np.arange(problem.table.n_events)
    for j in np.flatnonzero(features.of_kind("angle")):
        owner, low, high = _wrapped(owner, low, high, int(j), features.lower[j], features.upper[j])
    names = ", ".join(features.names[j] for j in np.flatnonzero(derived & (high > low).any(axis=0)))
    return owner, low, high, (f"derived inputs take any value within their bounds: {names}",) if names else ()


def _wrapped(
    owner: IntArray, low: FloatArray, high: FloatArray, j: int, first: float, last: float
) -> tuple[IntArray, FloatArray, FloatArray]:
    moving, period = high[:, j] > low[:, j], last - first
    over, under = moving & (high[:, j] > last), moving & (low[:, j] < first)
    owner = np.concatenate([owner, owner[over], owner[under]])
    starts = np.concatenate([np.where(under, first, low[:, j]), np.full(over.sum(), first), low[under, j] + period])
    stops = np.concatenate([np.where(over, last, high[:, j]), high[over, j] - period, np.full(under.sum(), last)])
    low, high = (np.concatenate([side, side[over], side[under]]) for side in (low, high))
    low[:, j], high[:, j] = starts, stops
    return owner, low, high


def confirmed_points(
    problem: AttackProblem, points: FloatArray, *, freely: bool = False
) -> tuple[FloatArray, BoolArray]:
    """
    Bring points to values that the events may have, and ask the classifier itself.

    Parameters
    ----------
    problem : AttackProblem
        Events, bounds and classifier.
    points : FloatArray, shape (n_events, n_features)
        One per event.
    freely : bool
        Whether only the limits of the features count, not the bounds of the events.

    Returns
    -------
    values : FloatArray, shape (n_events, n_features)
        NaN where missing.
    fooled : BoolArray, shape (n_events,)
        Whether the class is another one there.
    """
    table = problem.table
    points = np.where(table.missing, np.nan, points)
    points = single(points) if freely else admissible(problem, table.values, points)
    fooled = is_fooled(problem.classifier, problem.network_values(points), problem.classes)
    return points, fooled & ~leaving(table, points) & within_limits(table.features, points)
