# SPDX-License-Identifier: BSD-3-Clause
"""
Convert one column of NumPy, masked, pandas, awkward or list type to numbers, exactly, or refuse it.

Every way to make an event table (arrays, data frames, files, processors) uses these functions, so that a
missing value, a whole number or a sentinel means the same wherever it comes from.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepfool.typing import BoolArray, FloatArray

#: Whole numbers up to here are exact in double precision.
LARGEST_EXACT = 2**53

_KINDS = {
    "U": "text",
    "S": "text",
    "M": "a date",
    "m": "a time span",
    "c": "complex",
    "V": "a record",
}


def plain(name: str, column: Any) -> tuple[NDArray[Any], BoolArray]:
    """Return a column as a native NumPy array and mark what is masked, None or NA in it."""
    source = type(column).__module__.partition(".")[0]
    if source in {"dask", "dask_awkward"}:
        msg = f"{name} is not computed yet ({type(column).__name__}); call its compute() first"
        raise ValueError(msg)
    if source == "awkward":
        column = _from_awkward(name, column)
    elif source == "pandas":
        column = _from_pandas(column)
    array = np.ma.asanyarray(column) if isinstance(column, np.ma.MaskedArray) else _asarray(name, column)
    missing = np.array(np.ma.getmaskarray(array)) if array.dtype.names is None else np.zeros(array.shape, np.bool_)
    array = np.ma.getdata(array)
    if array.dtype.kind == "O":
        array, absent = _from_objects(array)
        missing |= absent
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array, missing


def numbers_of(name: str, column: Any, sentinel: float | None = None) -> FloatArray:
    """Return a column of any origin in double precision, NaN where a value is missing."""
    array, missing = plain(name, column)
    if array.ndim != 1:
        msg = f"column {name!r} has shape {array.shape}, not one number per event; flatten it or pick one entry"
        raise ValueError(msg)
    return to_double(f"column {name!r}", array, missing, sentinel)


def to_double(what: str, array: NDArray[Any], missing: BoolArray, sentinel: float | None = None) -> FloatArray:
    """Convert numbers of any shape, NaN where missing."""
    if array.dtype.kind not in "biuf":
        found: list[Any] = array[~missing].ravel()[:1].tolist()
        kind = _KINDS.get(array.dtype.kind) or (f"of type {type(found[0]).__name__}" if found else "without a type")
        kind = "text" if found and isinstance(found[0], str | bytes) else kind
        repair = "give seconds since a common start" if array.dtype.kind in "Mm" else "flatten or encode it first"
        msg = f"{what} is {kind}, not one number per event; {repair}"
        raise ValueError(msg)
    if sentinel is not None:
        _remark_on_wrapping(what, array, sentinel)
        missing = missing | is_sentinel(array, sentinel)
    refuse_inexact(what, array, missing)
    if missing.any():
        result = array.astype(np.float64)
        result[missing] = np.nan
        return result
    return np.asarray(array, dtype=np.float64)


def complete(what: str, column: Any) -> FloatArray:
    """Return numbers of which none may be missing, such as weights."""
    array, missing = plain(what, column)
    if missing.any():
        msg = (
            f"{what}: {int(missing.sum())} of {missing.size} are missing (masked, None or NA), first at event "
            f"{int(np.argmax(missing))}; drop these events or give them a value"
        )
        raise ValueError(msg)
    return to_double(what, array, missing)


def spectator(name: str, column: Any) -> NDArray[Any]:
    """Return a column that travels along in its own type; numbers with gaps become doubles with NaN."""
    if type(column) is np.ndarray and column.dtype.kind != "O":
        return column
    array, missing = plain(f"spectator {name!r}", column)
    if not missing.any():
        return array
    if array.dtype.kind in "biuf":
        return to_double(f"spectator {name!r}, which has gaps,", array, missing)
    msg = f"spectator {name!r} is missing in {int(missing.sum())} events and no number; fill its gaps or drop it"
    raise ValueError(msg)


def is_sentinel(array: NDArray[Any], sentinel: float) -> BoolArray:
    """
    Mark the values that a sentinel stands for, compared in the column's own precision.

    Single precision holds -999.90002 for -999.9, also after a conversion to double.
    """
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        whole = np.isfinite(sentinel) and sentinel == int(sentinel) and limits.min <= int(sentinel) <= limits.max
        return np.asarray(array == int(sentinel)) if whole else np.zeros(array.shape, dtype=np.bool_)
    if array.dtype.kind != "f":
        return np.zeros(array.shape, dtype=np.bool_)
    found = np.zeros(array.shape, dtype=np.bool_)
    for image in _images(array.dtype, float(sentinel)):
        found |= array == image
    return found


def _remark_on_wrapping(what: str, array: NDArray[Any], sentinel: float) -> None:
    """Warn of an unsigned column whose largest number is what a negative sentinel becomes in it."""
    if array.dtype.kind != "u" or not array.size or not (sentinel < 0 and float(sentinel).is_integer()):
        return
    wrapped = int(sentinel) % 2 ** (8 * array.dtype.itemsize)
    if int(array.max()) == wrapped:
        warnings.warn(
            f"{what} is {array.dtype} and cannot hold {sentinel:g}, but its largest number, {wrapped}, is what {sentinel:g} becomes in it; "
            f"if that stands for a missing value, convert the column to a signed type or mask it",
            UserWarning,
            stacklevel=4,
        )


def _images(dtype: np.dtype[Any], sentinel: float) -> Iterable[Any]:
    """Numbers of a type that may stand for the sentinel."""
    with np.errstate(over="ignore"):
        own, single = dtype.type(sentinel), np.float32(sentinel)
    images = {own} if np.isfinite(own) == np.isfinite(sentinel) else set()
    if dtype.itemsize >= 8 and np.isfinite(single):
        # As single precision holds it, and the short decimal that single precision shows for it.
        images |= {dtype.type(single), dtype.type(float(str(single))) if float(single) == sentinel else own}
    return images


def refuse_inexact(what: str, array: NDArray[Any], missing: BoolArray | None = None) -> None:
    """Refuse whole numbers that double precision would round."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not array.size:
        return
    size = np.abs(array).view(np.uint64) if array.dtype.kind == "i" else array
    large = size > LARGEST_EXACT
    if missing is not None:
        large = large & ~missing
    if not large.any():
        return
    lowest = size & (~size + np.uint64(1))
    rounded = large & (size // np.maximum(lowest, np.uint64(1)) > LARGEST_EXACT)
    if rounded.any():
        msg = (
            f"{what} holds {array[rounded][0]}, which double precision would round; "
            "if it identifies an event, carry it along as a spectator"
        )
        raise ValueError(msg)


def joined(name: str, arrays: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate a column's parts; whole numbers stay whole and exact, text stays apart from numbers."""
    parts = list(arrays)
    filled = [part for part in parts if len(part)] or parts
    kinds = {part.dtype.kind for part in filled}
    if kinds & set("US") and kinds - set("US"):
        others = ", ".join(sorted({str(part.dtype) for part in filled if part.dtype.kind not in "US"}))
        msg = f"{name} is text in some parts and {others} in others; give it one type"
        raise ValueError(msg)
    if kinds <= set("biu") and "u" in kinds and "i" in kinds:
        return np.concatenate([_whole(name, part, filled) for part in parts])
    if "f" in kinds:
        for part in filled:
            refuse_inexact(f"{name}, a float in other parts,", part)
    return np.concatenate(filled)


def _whole(name: str, part: NDArray[Any], parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Convert signed and unsigned numbers to the type that holds all of them."""
    low, high = min(int(p.min()) for p in parts), max(int(p.max()) for p in parts)
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return part.astype(dtype)
    msg = f"{name} holds {low} and {high}, which no 64-bit whole number covers; give its parts one type"
    raise ValueError(msg)


def _asarray(name: str, column: Any) -> NDArray[Any]:
    try:
        array = np.asarray(column)
        if isinstance(column, list | tuple) and array.dtype.kind == "f" and (np.abs(array) > LARGEST_EXACT).any():
            array = np.array(column, dtype=object)  # may hold whole numbers that were rounded
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        msg = f"{name} cannot be read as one array: {' '.join(str(error).split())}; give one number per event"
        raise ValueError(msg) from error
    return array


def _from_awkward(name: str, column: Any) -> Any:
    import awkward as ak  # noqa: PLC0415 - as slow as the rest of the package

    array = ak.Array(column)
    if ak.fields(array):
        msg = f"column {name!r} is a record of {', '.join(ak.fields(array))}; pick one of them"
        raise ValueError(msg)
    if array.ndim != 1:
        msg = f"column {name!r} has {array.ndim} dimensions; pick one object per event, as in leading(jets, 1)[:, 0].pt"
        raise ValueError(msg)
    if not len(array) or ak.all(ak.is_none(array)):
        return np.full(len(array), np.nan)
    try:
        return ak.to_numpy(array, allow_missing=True)
    except (TypeError, ValueError) as error:
        msg = f"column {name!r} holds {array.type.content}; give one number per event"
        raise ValueError(msg) from error


def _from_pandas(column: Any) -> Any:
    """Return a series with its own numbers: NumPy alone would round whole numbers beside a gap."""
    missing = np.asarray(column.isna())
    dtype = column.dtype
    if hasattr(dtype, "categories"):
        codes, categories = np.asarray(getattr(column, "cat", column).codes), np.asarray(dtype.categories)
        values = categories[np.maximum(codes, 0)] if len(categories) else np.full(len(codes), np.nan)
        return np.ma.MaskedArray(values, mask=missing)
    own = getattr(dtype, "numpy_dtype", None)
    if own is not None and own.kind in "biuf":
        return np.ma.MaskedArray(column.to_numpy(dtype=own, na_value=own.type(0)), mask=missing)
    array = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    return np.ma.MaskedArray(array, mask=missing) if array.dtype.kind == "O" and missing.any() else array


def _from_objects(array: NDArray[Any]) -> tuple[NDArray[Any], BoolArray]:
    """Find numbers or text in an array of Python objects; None and NA are missing."""
    flat = array.ravel()
    missing = np.array(
        [value is None or type(value).__name__ in {"NAType", "NaTType"} for value in flat], dtype=np.bool_
    )
    present = flat[~missing].tolist()
    if all(isinstance(value, bool | np.bool_) for value in present):
        dtype: Any = np.bool_ if present else np.float64
    elif all(isinstance(value, numbers.Integral) and not isinstance(value, bool) for value in present):
        dtype = np.int64 if all(-(2**63) <= int(value) < 2**63 for value in present) else np.uint64
    elif all(isinstance(value, numbers.Real) for value in present):
        _refuse_inexact_mixture(present)
        dtype = np.float64
    elif all(isinstance(value, str) for value in present):
        dtype = np.str_
    else:
        return array, missing.reshape(array.shape)
    try:
        found = np.array(present, dtype=dtype)
    except (OverflowError, TypeError, ValueError):
        return array, missing.reshape(array.shape)
    if dtype is np.float64:
        missing[~missing] = np.isnan(found)
        found = found[~np.isnan(found)]
    result = np.zeros(len(flat), dtype=found.dtype)
    result[~missing] = found
    return result.reshape(array.shape), missing.reshape(array.shape)


def _refuse_inexact_mixture(values: list[Any]) -> None:
    for value in values:
        if isinstance(value, numbers.Integral) and int(float(value)) != value:
            msg = f"a column holds floats and {value}, which double precision would round; give it one type"
            raise ValueError(msg)
