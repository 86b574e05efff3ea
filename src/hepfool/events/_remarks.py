# SPDX-License-Identifier: BSD-3-Clause
"""Warnings about probable mistakes in a table."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from hepfool.events._columns import is_sentinel
from hepfool.features import FeatureSpace
from hepfool.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from hepfool.events._table import EventTable


#: What analyses write for a value that does not exist.
_USUAL = (
    -9999.0,
    -999.0,
    -99.0,
    -9999.9,
    -999.9,
    -99.9,
    float(np.finfo(np.float32).max),
    -float(np.finfo(np.float32).max),
    -(2.0**31),
    2.0**31 - 1.0,
)
#: A value that stands apart: in so many events, with so many others whose range is smaller than the gap to it.
_PILED, _OTHERS = 3, 20
#: Among fewer events a feature may look like a label by chance.
_FEWEST_EVENTS = 20


def remark_on_sentinels(values: FloatArray, features: FeatureSpace, *, stacklevel: int) -> None:
    """Warn of a usual number for "missing" at the end of a feature's range that nobody has named as such."""
    for j, feature in enumerate(features):
        column = values[:, j]
        if not len(column) or np.isnan(column).all():
            continue
        low, high = np.nanmin(column), np.nanmax(column)
        for value, where in ((low, "below"), (high, "above")):
            usual = any(is_sentinel(np.array([value]), usual)[0] for usual in _USUAL)
            if low == high or not (usual or _stands_apart(column, value)):
                continue
            warnings.warn(
                f"feature {feature.name!r} is {value:g} in {np.mean(column == value):.1%} of the events "
                f"and never {where}; if that stands for a missing value, say so (sentinel of EventTable.from_arrays, "
                "missing_value of files)",
                UserWarning,
                stacklevel=stacklevel + 1,
            )


def _stands_apart(column: FloatArray, value: float) -> bool:
    """Whether a frequent value lies farther from all others than these do from each other."""
    others = column[(column != value) & ~np.isnan(column)]
    if (column == value).sum() < _PILED or len(others) < _OTHERS or len(np.unique(others[: 10 * _OTHERS])) < _OTHERS:
        return False
    return bool(np.abs(others - value).min() > np.ptp(others))


def remark_on_weights(weights: FloatArray, sentinel: float | None, *, stacklevel: int) -> None:
    """Warn of event weights that are a number for "missing"."""
    if not len(weights):
        return
    low = weights.min()
    named = sentinel is not None and sentinel < 0 and low == sentinel
    if not named and not any(is_sentinel(np.array([low]), usual)[0] for usual in _USUAL[:6]):
        return
    warnings.warn(
        f"{int((weights == low).sum())} event weights are {low:g}, which usually stands for a missing value; drop these events, or give them "
        "their weight",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def remark_on_labels(table: EventTable, *, stacklevel: int) -> None:
    """Warn of a feature that equals the true class, or the event weight, in every event."""
    if table.n_events < _FEWEST_EVENTS:
        return
    weights = table.weights if np.ptp(table.weights) > 0 else None
    classes, codes = np.unique(table.labels, return_inverse=True)
    for j, name in enumerate(table.features.names):
        column = table.values[:, j]
        what = ""
        if len(classes) > 1 and _same_partition(column, codes, len(classes)):
            what = "the label"
        elif weights is not None and np.array_equal(column.astype(np.float32), weights.astype(np.float32)):
            what = "the event weight"
        if what:
            warnings.warn(
                f"feature {name!r} equals {what} in every event; if it is {what}, a network would learn nothing else: "
                "remove it from the features",
                UserWarning,
                stacklevel=stacklevel + 1,
            )


def _same_partition(column: FloatArray, codes: IntArray, n_classes: int) -> bool:
    """Whether a column has exactly one value per class, different between classes."""
    first = [column[int(np.argmax(codes == k))] for k in range(n_classes)]
    values = np.array(first)
    return len(np.unique(values)) == n_classes and bool(np.array_equal(column, values[codes]))
