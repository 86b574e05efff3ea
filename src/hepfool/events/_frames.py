# SPDX-License-Identifier: BSD-3-Clause
"""Tables of other packages: columns by name, in any order, or one matrix by position."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from hepfool.events._columns import numbers_of, plain, to_double
from hepfool.typing import FloatArray


class Named(dict[str, Any]):
    """Columns by name, and which names stand for more than one."""

    repeated: frozenset[str] = frozenset()


def named_columns(values: Any) -> Named | None:
    """Return the columns of a data frame, record array, structured array or mapping; None for a plain matrix."""
    source = type(values).__module__.partition(".")[0]
    if isinstance(values, Mapping):
        return Named({str(name): column for name, column in values.items()})
    if source == "pandas" and hasattr(values, "iloc") and hasattr(values, "columns"):
        return _of_frame(values)
    if source == "awkward":
        return Named({name: values[name] for name in values.fields}) if values.fields else None
    names = getattr(getattr(values, "dtype", None), "names", None)
    if names:
        return Named({name: values[name] for name in names})
    if hasattr(values, "columns") or hasattr(values, "column_names"):
        msg = f"a {type(values).__module__}.{type(values).__name__} is not a table that can be taken by name; pass to_pandas() or a dict of its columns"
        raise ValueError(msg)
    return None


def _of_frame(frame: Any) -> Named:
    if frame.columns.nlevels > 1:
        msg = f"the data frame has columns of {frame.columns.nlevels} levels; give each column one name"
        raise ValueError(msg)
    names = [str(name) for name in frame.columns]
    columns = Named({name: frame.iloc[:, j] for j, name in enumerate(names)})
    columns.repeated = frozenset(name for name, n in Counter(names).items() if n > 1)
    return columns


def pick(columns: Named, names: Iterable[str]) -> list[Any]:
    """Return some columns, or refuse what is not there once."""
    wanted = list(names)
    twice = [name for name in wanted if name in columns.repeated]
    if twice:
        msg = f"more than one column is called {', '.join(map(repr, twice))}; rename all but one"
        raise ValueError(msg)
    absent = [name for name in wanted if name not in columns]
    if absent:
        raise ValueError(_absent(absent, list(columns)))
    return [columns[name] for name in wanted]


def _absent(absent: Sequence[str], known: Sequence[str]) -> str:
    hints = []
    for name in absent[:5]:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hints.append(f"{name!r} (did you mean {', '.join(close)}?)" if close else repr(name))
    shown = ", ".join(known[:20]) + (" ..." if len(known) > 20 else "")
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    return f"there is no column {', '.join(hints)}{more}; there are: {shown or 'none'}"


def matrix_of(
    values: Any, names: Sequence[str] | None, sentinel: float | None = None
) -> tuple[FloatArray, tuple[str, ...]]:
    """
    Return network inputs as a matrix of doubles with NaN where missing, and their names.

    Columns that have names are taken by them, in the order of ``names`` or in their own; a matrix without
    is taken by position.
    """
    columns = named_columns(values)
    if columns is None:
        matrix = _by_position(values, sentinel)
        return matrix, tuple(names or (f"x{j}" for j in range(matrix.shape[1])))
    wanted = tuple(columns if names is None else names)
    if not wanted:
        msg = "there is no column in the table; give at least one feature"
        raise ValueError(msg)
    found = [numbers_of(name, column, sentinel) for name, column in zip(wanted, pick(columns, wanted), strict=True)]
    sizes = {name: len(column) for name, column in zip(wanted, found, strict=True)}
    if len(set(sizes.values())) > 1:
        msg = f"columns have different lengths ({', '.join(f'{k}: {n}' for k, n in sizes.items())}); one entry per event is needed"
        raise ValueError(msg)
    return np.stack(found, axis=1), wanted


def _by_position(values: Any, sentinel: float | None) -> FloatArray:
    if type(values).__module__.partition(".")[0] == "awkward":
        import awkward as ak  # noqa: PLC0415 - as slow as the rest of the package

        try:
            values = ak.to_numpy(values, allow_missing=True)
        except ValueError as error:
            msg = "values have a different number of entries per event; pick one object per event, by name"
            raise ValueError(msg) from error
    array, missing = plain("values", values)
    if array.ndim != 2:
        msg = (
            f"values have shape {array.shape}, expected (n_events, n_features); one feature alone is values[:, np.newaxis]"
            if array.dtype.kind != "O"
            else f"a {type(values).__name__} is not a table; give an array of shape (n_events, n_features) or columns by name"
        )
        raise ValueError(msg)
    return np.array(to_double("values", array, missing, sentinel))


def check_order(**given: Any) -> None:
    """Refuse pandas objects whose index differs: their rows belong to other events, or come in another order."""
    found: list[tuple[str, Any]] = []
    for name, value in given.items():
        items = value.values() if isinstance(value, Mapping) else [value]
        found += [
            (name, item.index) for item in items if type(item).__module__.startswith("pandas") and hasattr(item, "iloc")
        ]
    for name, index in found[1:]:
        if not index.equals(found[0][1]):
            msg = (
                f"{name} and {found[0][0]} are pandas objects with different indices, so their rows belong to different events or come "
                "in another order; use .loc to align them, or .to_numpy() if position is meant"
            )
            raise ValueError(msg)
