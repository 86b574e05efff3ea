# SPDX-License-Identifier: BSD-3-Clause
"""What every attack that moves many values at once must respect, and the units of its moves."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hepfool.attacks._problem import AttackProblem
from hepfool.features import FeatureSpace
from hepfool.typing import BoolArray, FloatArray

#: Units of a move: each feature's nominal range, its own unit, a fraction of the nominal value, or
#: half the width of the event's envelope, which is its uncertainty.
MoveUnit = Literal["range", "absolute", "relative", "envelope"]

#: A common unit, or one per feature.
MoveUnits = MoveUnit | tuple[MoveUnit, ...]


def check_size(name: str, size: float | tuple[float, ...], unit: MoveUnits) -> None:
    """
    Refuse a size or a unit that means nothing.

    Parameters
    ----------
    name : str
        Hyper-parameter.
    size : float or tuple of float
        Common, or one per feature.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Its unit, common or one per feature.

    Raises
    ------
    ValueError
        If a size is negative or not finite, a unit unknown, or their numbers differ.
    """
    units = unit if isinstance(unit, tuple) else (unit,)
    for one in units:
        if one not in get_args(MoveUnit):
            msg = f"unit must be one of {', '.join(get_args(MoveUnit))}, got {one!r}"
            raise ValueError(msg)
    array = np.atleast_1d(np.asarray(size, dtype=np.float64))
    if not (np.isfinite(array).all() and (array >= 0).all()):
        msg = f"{name} must not be negative, and finite, got {size}"
        raise ValueError(msg)
    if 1 not in {len(array), len(units)} and len(array) != len(units):
        msg = f"{name} has {len(array)} sizes and {len(units)} units; give one, or one per feature"
        raise ValueError(msg)


def sizes(problem: AttackProblem, size: float | tuple[float, ...], unit: MoveUnits) -> FloatArray:
    """
    Convert a size to each feature's unit.

    Parameters
    ----------
    problem : AttackProblem
        Nominal values, ranges and envelope.
    size : float or tuple of float
        Common, or one per feature.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Of the size, common or one per feature.

    Returns
    -------
    FloatArray, shape (n_events or 1, n_features)
        Not negative and finite; 0 for a missing value unless it is the same for all events.

    Raises
    ------
    ValueError
        If there is neither one size or unit nor one per feature, or the envelope does not bound what may move.
    """
    table = problem.table
    array, columns = _per_feature(problem, size, unit)
    scale = np.where(columns == "range", _ranges(problem), 1.0)[np.newaxis]
    relative, envelope = columns == "relative", columns == "envelope"
    if relative.any():
        scale = np.where(relative, np.abs(np.nan_to_num(table.values)), scale)
    if envelope.any():
        scale = np.where(envelope, _half_widths(problem, envelope), scale)
    return np.asarray(array * scale)


def reaches(problem: AttackProblem, size: float | tuple[float, ...], unit: MoveUnits) -> tuple[FloatArray, FloatArray]:
    """
    Convert a size to the largest distances from nominal.

    Parameters
    ----------
    problem : AttackProblem
        Nominal values, ranges and envelope.
    size : float or tuple of float
        Common, or one per feature.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Of the size; in units of the envelope, a fraction of the way to either end of it.

    Returns
    -------
    down, up : FloatArray, shape (n_events or 1, n_features)
        As :func:`sizes`.
    """
    common = sizes(problem, size, unit)
    array, columns = _per_feature(problem, size, unit)
    if problem.envelope is None or not (columns == "envelope").any():
        return common, common
    nominal, envelope = problem.table.values, problem.envelope
    ways = (nominal - envelope.lower, envelope.upper - nominal)
    down, up = (array * np.where(np.isfinite(way), np.maximum(way, 0.0), 0.0) for way in ways)
    of_envelope = columns == "envelope"
    return np.where(of_envelope, down, common), np.where(of_envelope, up, common)


def in_own_units(
    problem: AttackProblem, size: float | tuple[float, ...], unit: MoveUnits
) -> tuple[tuple[float, ...], tuple[MoveUnit, ...]]:
    """
    Convert fractions of the range to the features' own units, so that they mean the same for other events.

    Parameters
    ----------
    problem : AttackProblem
        Ranges.
    size : float or tuple of float
        Common, or one per feature.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Of the size, common or one per feature.

    Returns
    -------
    size : tuple of float
        One per feature.
    unit : tuple of str
        One per feature, none of them ``range``.
    """
    array, columns = _per_feature(problem, size, unit)
    ranged = columns == "range"
    units: list[MoveUnit] = np.where(ranged, "absolute", columns).tolist()
    return tuple((array * np.where(ranged, _ranges(problem), 1.0)).tolist()), tuple(units)


def _ranges(problem: AttackProblem) -> FloatArray:
    edges = problem.binning.edges
    return np.asarray(edges[:, -1] - edges[:, 0])


def _per_feature(
    problem: AttackProblem, size: float | tuple[float, ...], unit: MoveUnits
) -> tuple[FloatArray, NDArray[np.str_]]:
    n_features = problem.table.n_features
    array = np.atleast_1d(np.asarray(size, dtype=np.float64))
    units = np.atleast_1d(np.asarray(unit))
    for name, given in (("sizes", array), ("units", units)):
        if len(given) not in {1, n_features}:
            msg = f"{len(given)} {name} for {n_features} features; give one, or one per feature"
            raise ValueError(msg)
    return np.broadcast_to(array, n_features), np.broadcast_to(units, n_features)


def _half_widths(problem: AttackProblem, columns: BoolArray) -> FloatArray:
    """Half the width of the envelope; 0 where there is none, and nothing moves."""
    if problem.envelope is None:
        msg = "a size in units of the envelope needs one; pass envelope= to run_attack, or choose another unit"
        raise ValueError(msg)
    width = problem.envelope.upper - problem.envelope.lower
    unbounded = ~np.isfinite(width) & columns
    open_ended = (unbounded & movable(problem)).any(axis=0)
    if open_ended.any():
        name = problem.table.features.names[int(np.argmax(open_ended))]
        msg = f"the envelope does not bound {name!r}, so its width is no unit; bound it, or choose another unit for it"
        raise ValueError(msg)
    return np.where(np.isfinite(width), width, 0.0) / 2.0


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


def wrapped(features: FeatureSpace, values: FloatArray, missing: BoolArray) -> FloatArray:
    """
    Bring angles back into their intervals.

    Parameters
    ----------
    features : FeatureSpace
        Says which features are angles.
    values : FloatArray, shape (n_events, n_features)
        In each feature's unit.
    missing : BoolArray, shape (n_events, n_features)
        Where a number stands for a missing value, which is no angle.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        The same where nothing is outside.
    """
    angles = features.of_kind("angle")
    lower, period = np.where(angles, features.lower, 0.0), np.where(angles, features.upper - features.lower, 1.0)
    outside = angles & ~missing & ((values < features.lower) | (values > features.upper))
    return np.where(outside, lower + np.mod(values - lower, period), values)


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
