# SPDX-License-Identifier: BSD-3-Clause
"""What every attack that moves many values at once must respect, and the units of its moves."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from hepfool.attacks.base import AttackProblem
from hepfool.features import FeatureSpace
from hepfool.typing import BoolArray, FloatArray

__all__ = ["MoveUnit", "admissible", "check_size", "movable", "sizes", "travel"]

#: Units of a move: each feature's nominal range, its own unit, or a fraction of the nominal value.
MoveUnit = Literal["range", "absolute", "relative"]


def check_size(name: str, size: float | tuple[float, ...], unit: MoveUnit) -> None:
    """
    Refuse a size or a unit that means nothing.

    Parameters
    ----------
    name : str
        Hyper-parameter.
    size : float or tuple of float
        Common, or one per feature.
    unit : {"range", "absolute", "relative"}
        Its unit.

    Raises
    ------
    ValueError
        If a size is negative or not finite, or the unit unknown.
    """
    if unit not in get_args(MoveUnit):
        msg = f"unit must be one of {', '.join(get_args(MoveUnit))}, got {unit!r}"
        raise ValueError(msg)
    array = np.atleast_1d(np.asarray(size, dtype=np.float64))
    if not (np.isfinite(array).all() and (array >= 0).all()):
        msg = f"{name} must not be negative, and finite, got {size}"
        raise ValueError(msg)


def sizes(problem: AttackProblem, size: float | tuple[float, ...], unit: MoveUnit) -> FloatArray:
    """
    Convert a size to each feature's unit.

    Parameters
    ----------
    problem : AttackProblem
        Nominal values and ranges.
    size : float or tuple of float
        Common, or one per feature.
    unit : {"range", "absolute", "relative"}
        Of the size.

    Returns
    -------
    FloatArray, shape (n_events or 1, n_features)
        Not negative; 0 for a missing value.

    Raises
    ------
    ValueError
        If there is neither one size nor one per feature.
    """
    table = problem.table
    array = np.atleast_1d(np.asarray(size, dtype=np.float64))
    if array.shape not in {(1,), (table.n_features,)}:
        msg = f"{len(array)} sizes for {table.n_features} features; give one, or one per feature"
        raise ValueError(msg)
    if unit == "relative":
        return np.asarray(array * np.abs(np.nan_to_num(table.values)))
    edges = problem.binning.edges
    scale = edges[:, -1] - edges[:, 0] if unit == "range" else np.ones(table.n_features)
    return np.asarray(np.atleast_2d(array * scale))


def movable(problem: AttackProblem) -> BoolArray:
    """
    Mark the values that an attack may move.

    Parameters
    ----------
    problem : AttackProblem
        Events and rules.

    Returns
    -------
    BoolArray, shape (n_events, n_features)
        Present values of attacked events, neither fixed nor derived.
    """
    features = problem.table.features
    free = ~features.of_kind("fixed")
    free[list(features.derived)] = False
    events = problem.attacked & ~problem.frozen
    return np.asarray(events[:, np.newaxis] & free & ~problem.table.missing)


def admissible(problem: AttackProblem, values: FloatArray, moved: FloatArray) -> FloatArray:
    """
    Bring moved values to the nearest ones that are allowed.

    Integers become whole, angles wrap, all become single precision numbers within their bounds; derived
    features follow, and an event of which one would leave its bounds stays.

    Parameters
    ----------
    problem : AttackProblem
        Events and rules.
    values, moved : FloatArray, shape (n_events, n_features)
        Before and after the move; unmoved values are kept to the last bit.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        Allowed values.
    """
    features, bounds = problem.table.features, problem.bounds
    lower, upper = bounds.lower[bounds.row], bounds.upper[bounds.row]
    whole, angles = features.of_kind("integer"), features.of_kind("angle")
    new = np.where(whole, np.round(moved), moved)
    new = np.where(angles, _wrapped(problem, new, lower, upper), np.clip(new, lower, upper))
    whole_numbers = np.clip(new, np.ceil(lower), np.floor(upper))
    new = np.where(whole, whole_numbers, np.where(angles, new, _single_precision(new, values, lower, upper)))
    new = np.where(movable(problem) & (moved != values), new, values)
    return _with_derived(problem, values, new)


def _single_precision(new: FloatArray, values: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Nearest single precision numbers within the bounds; the old values where there is none."""
    single = new.astype(np.float32)
    single = np.where(single > upper, np.nextafter(single, np.float32(-np.inf)), single)
    single = np.where(single < lower, np.nextafter(single, np.float32(np.inf)), single)
    rounded = single.astype(np.float64)
    return np.where((rounded >= lower) & (rounded <= upper), rounded, values)


def travel(features: FeatureSpace, start: FloatArray, end: FloatArray) -> FloatArray:
    """
    Displacement between values, the shorter way round for angles.

    Parameters
    ----------
    features : FeatureSpace
        Says which features are angles.
    start, end : FloatArray, shape (n_events, n_features)
        Values in each feature's unit.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        In each feature's unit.
    """
    angles = features.of_kind("angle")
    period = np.where(angles, features.upper - features.lower, 1.0)
    distance = end - start
    return np.asarray(distance - np.where(angles, period * np.round(distance / period), 0.0))


def _wrapped(problem: AttackProblem, values: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Angles within their interval and, where an envelope limits their travel, within that."""
    features, nominal = problem.table.features, problem.table.values
    angles = features.of_kind("angle")
    period = np.where(angles, features.upper - features.lower, 1.0)
    origin = np.where(angles, features.lower, 0.0)
    limits = (np.where(angles, bound - nominal, 0.0) for bound in (lower, upper))
    distance = np.clip(travel(features, nominal, values), *limits)
    reached = nominal + distance
    return np.where(distance == 0.0, nominal, reached - period * np.floor((reached - origin) / period))


def _with_derived(problem: AttackProblem, values: FloatArray, new: FloatArray) -> FloatArray:
    features, bounds = problem.table.features, problem.bounds
    changed = (new != values) & ~np.isnan(values)
    outside = np.zeros(len(new), dtype=np.bool_)
    for d in features.derived:
        derived = features[d].derived
        inputs = [] if derived is None else [features.index(name) for name in derived.inputs]
        touched = changed[:, inputs].any(axis=1)
        found = features.derive(new, d)
        new[:, d] = np.where(touched & ~problem.table.missing[:, d], found, new[:, d])
        low, high = bounds.lower[bounds.row, d], bounds.upper[bounds.row, d]
        outside |= touched & ((new[:, d] < low) | (new[:, d] > high))
    return np.where(outside[:, np.newaxis], values, new)
