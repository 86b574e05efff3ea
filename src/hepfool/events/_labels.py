# SPDX-License-Identifier: BSD-3-Clause
"""True classes from whole numbers, booleans or text."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepfool.events._columns import plain
from hepfool.typing import IntArray

#: Label of events whose class is unknown, such as collision data.
UNLABELLED = -1

_SIGNAL_NAMES = ("s", "sig", "signal", "1")
_MAX_CLASSES = 100
#: Whole numbers beyond are not exact in double precision.
_LARGEST = 2.0**53
#: By how much smoothed labels, such as 0.9 and 0.1, may differ from their class.
_LARGEST_SMOOTHING = 0.25


def classes_of(
    column: Any, what: str = "labels:", classes: Mapping[Any, int] | None = None, *, number_text: bool = False
) -> IntArray:
    """Return the class of each event; text needs ``classes`` unless it may be numbered in sorted order."""
    raw, missing = plain(what, column)
    if raw.ndim != 1:
        msg = f"{what} shape {raw.shape} is not one class per event; use ravel() on a column, argmax(axis=1) on one-hot labels"
        raise ValueError(msg)
    if missing.any():
        msg = f"{what} {int(missing.sum())} are missing (masked, None or NA), first at event {int(np.argmax(missing))}; use {UNLABELLED} for an unknown class"
        raise ValueError(msg)
    if not raw.size:
        return np.zeros(0, dtype=np.int64)
    boolean = raw.dtype.kind == "b"
    raw = _comparable(raw, what)
    found, index = np.unique(raw, return_inverse=True)
    if len(found) > _MAX_CLASSES:
        msg = f"{what} {len(found)} different values are too many for classes; check that it is the right column"
        raise ValueError(msg)
    if classes is not None:
        numbered = _mapped(found, what, classes, boolean=boolean)
    elif found.dtype.kind == "i":
        numbered = _counted(found, what)
    else:
        numbered = _numbered(found, what, allowed=number_text)
    return np.asarray(numbered, dtype=np.int64)[index]


def _comparable(raw: NDArray[Any], what: str) -> NDArray[Any]:
    if raw.dtype.kind in "biuf":
        values = raw.astype(np.float64)
        odd = (values != np.round(values)) | ~(np.abs(values) < _LARGEST)
        finite = np.abs(values) < _LARGEST
        near = finite & (np.abs(np.remainder(np.where(finite, values, 0.5) + 0.5, 1.0) - 0.5) <= _LARGEST_SMOOTHING)
        if odd.any() and near.all():
            _say_smoothed(values, what)
        elif odd.any():
            msg = f"{what} {values[odd][0]:g} is not a class; labels are whole numbers from 0 or strings"
            raise ValueError(msg)
        return np.round(values).astype(np.int64)
    if raw.dtype.kind in "US":
        return raw.astype(np.str_)
    msg = f"{what} holds values that are neither numbers nor text; give every event one class"
    raise ValueError(msg)


def _say_smoothed(values: NDArray[Any], what: str) -> None:
    odd = values != np.round(values)
    warnings.warn(
        f"{what} {values[odd][0]:g} is taken as class {round(values[odd][0])}, the nearest one, as {int(odd.sum())} labels are "
        "within a quarter of a class (label smoothing); pass whole numbers to be sure",
        UserWarning,
        stacklevel=5,
    )


def _counted(found: NDArray[Any], what: str) -> list[int]:
    values: list[int] = found.tolist()
    if min(values) < UNLABELLED or values == [-1, 1]:
        mapping = ", ".join(f"'{value}': {k}" for k, value in enumerate(values[:3])) + (", ..." if values[3:] else "")
        msg = f"{what} {min(values)} is not a class, they count from 0 ({UNLABELLED} is unknown); pass classes={{{mapping}}} or similar"
        raise ValueError(msg)
    return values


def _numbered(found: NDArray[Any], what: str, *, allowed: bool) -> list[int]:
    values = found.tolist()
    if not allowed:
        mapping = ", ".join(f"{value!r}: {k}" for k, value in enumerate(values[:3])) + (", ..." if values[3:] else "")
        msg = f"{what} {values[0]!r} is text; say which class it is, such as classes={{{mapping}}}"
        raise ValueError(msg)
    signal = [value.lower() in _SIGNAL_NAMES for value in values]
    if len(values) <= 2 and sum(signal) == 1:
        return [int(is_signal) for is_signal in signal]
    return list(range(len(values)))


def _mapped(found: NDArray[Any], what: str, classes: Mapping[Any, int], *, boolean: bool) -> list[int]:
    known: dict[str, int] = {}
    for value, number in classes.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            msg = f"{what} class {number!r} of {value!r} is not a whole number; classes count from 0"
            raise ValueError(msg)  # noqa: TRY004 - as for any other setting out of range
        name = _name(value, boolean=boolean)
        if known.setdefault(name, int(number)) != number:
            msg = f"{what} {name!r} has the classes {known[name]} and {number}; give it one"
            raise ValueError(msg)
    unknown = [str(value) for value in found.tolist() if str(value) not in known]
    if unknown:
        msg = f"{what} {unknown[0]!r} belongs to no class; known are {', '.join(known)}"
        raise ValueError(msg)
    return [known[str(value)] for value in found.tolist()]


def _name(value: Any, *, boolean: bool) -> str:
    """Write a value as a label of the same value is written: 1, 1.0 and "1" are one."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if boolean and str(value) in {"True", "False"}:
        return str(int(str(value) == "True"))
    return str(value)


def class_name(label: int, n_classes: int) -> str:
    """Name a class as a physicist does where there are two."""
    return ("background", "signal")[label] if n_classes == 2 and label in {0, 1} else f"class {label}"
