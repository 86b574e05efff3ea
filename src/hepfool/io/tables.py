# SPDX-License-Identifier: BSD-3-Clause
"""
Event tables from and to files: flat ROOT, Parquet and CSV.

:func:`read_table` checks everything that can be checked before work starts, so
that a wrong branch name or a broken file costs seconds and not a night.
"""

from __future__ import annotations

import glob
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import uproot
from numpy.typing import NDArray

from hepfool.events import UNLABELLED, EventTable
from hepfool.exceptions import UnreadableFileError
from hepfool.features import Feature, FeatureSpace
from hepfool.io.columns import FORMATS, Columns, read_columns
from hepfool.io.files import written_whole
from hepfool.typing import FloatArray, IntArray

__all__ = ["check_writable", "read_table", "write_table"]

_SIGNAL_NAMES = ("s", "sig", "signal", "1")
_USUAL_SENTINELS = (-9999.0, -999.0, -99.0)
_MAX_CLASSES = 100
#: Whole numbers beyond are not exact in double precision.
_LARGEST_LABEL = 2.0**53
#: Files with three digits hold -3.142 for an angle of minus pi.
_ANGLE_ROUNDING = 1e-3


def read_table(  # noqa: PLR0913 - the layout of a file, all by keyword
    paths: str | Path | Iterable[str | Path],
    *,
    features: FeatureSpace | Iterable[Feature | str],
    label: str | None = None,
    weight: str | None = None,
    tree: str = "Events",
    missing_value: float | None = None,
    dataset: str | None = None,
    classes: Mapping[str, int] | None = None,
    spectators: Sequence[str] = (),
    allow_missing: bool = False,
) -> EventTable:
    r"""
    Read events from flat files.

    Parameters
    ----------
    paths : str, Path, or iterable of them
        Files ending in ``.root``, ``.parquet``, ``.csv`` or ``.csv.gz``; ``*`` and ``?`` are expanded.
    features : FeatureSpace or iterable of Feature or str
        Columns that enter the network, in its order.
    label : str, optional
        Column with the true class: whole numbers from 0, or strings.
    weight : str, optional
        Column with the event weight; 1 when left out.
    tree : str
        TTree or RNTuple of ROOT files.
    missing_value : float, optional
        Number that stands for "does not exist" besides NaN, such as -999; the network gets it back.
    dataset : str, optional
        Name of the process; each file's name without its suffix when left out.
    classes : mapping of str to int, optional
        Class of each value of the label column, or of each dataset if there is no such column.  By default
        strings are numbered in sorted order, with ``s``, ``sig``, ``signal`` or ``1`` of two strings as class 1.
    spectators : sequence of str
        Further columns that travel along, such as ``run`` and ``event``.
    allow_missing : bool
        Go on without files that are absent or damaged; they are warned of and listed in the table's metadata.

    Returns
    -------
    EventTable
        The events in the order of the files.

    Notes
    -----
    Angles that exceed their range by no more than the rounding to three digits are put at its end.

    Raises
    ------
    ValueError
        If a file is damaged or empty, a column is missing, not numeric, constant or without any value,
        a weight is not finite, or a label belongs to no class.
    FileNotFoundError
        If a name matches no file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "higgs.csv"
    ...     _ = path.write_text("tau_pt,met,Label\n30.5,12.0,s\n25.0,-999,b\n28.0,9.5,b\n")
    ...     table = read_table(path, features=["tau_pt", "met"], label="Label", missing_value=-999)
    >>> table.labels.tolist(), int(table.missing.sum()), table.datasets
    ([1, 0, 0], 1, ('higgs',))
    """
    space = features if isinstance(features, FeatureSpace) else FeatureSpace(features)
    given = _expand(paths)
    wanted = [*space.names, *(name for name in (label, weight) if name is not None), *spectators]
    found, missing = _read_parts(given, wanted, tree, allow_missing=allow_missing)
    files, parts = [path for path, _ in found], [part for _, part in found]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in dict.fromkeys(wanted)}
    origin = np.repeat([dataset or _stem(path) for path in files], [len(part[wanted[0]]) for part in parts])
    values = np.stack([_numeric(columns[name], name) for name in space.names], axis=1)
    _check_values(values, space, missing_value)
    _undo_rounding_of_angles(values, space)
    return EventTable.from_arrays(
        values,
        features=space,
        labels=_labels(columns, label, origin, classes),
        weights=None if weight is None else _numeric(columns[weight], weight),
        sentinel=missing_value,
        dataset=origin,
        spectators={name: columns[name] for name in spectators},
        metadata={"files": tuple(str(path) for path in files), **({"missing": missing} if missing else {})},
    )


def _undo_rounding_of_angles(values: FloatArray, features: FeatureSpace) -> None:
    """Bring angles such as -3.142 back to the end of their range, in place."""
    for j in np.flatnonzero(features.of_kind("angle")):
        column, lower, upper = values[:, j], features.lower[j], features.upper[j]
        column[(column < lower) & (column >= lower - _ANGLE_ROUNDING)] = lower
        column[(column > upper) & (column <= upper + _ANGLE_ROUNDING)] = upper


def _expand(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return existing names as they are; a pattern becomes its matches in sorted order."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files: list[Path] = []
    for name in given:
        exact = Path(name).exists() or not glob.has_magic(str(name))
        matches = [Path(name)] if exact else [Path(match) for match in sorted(glob.glob(str(name)))]  # noqa: PTH207 - absolute patterns
        if not matches:
            msg = f"no file matches {name}"
            raise FileNotFoundError(msg)
        files.extend(matches)
    if not files:
        msg = "no input file given; name at least one"
        raise ValueError(msg)
    return files


def _stem(path: Path) -> str:
    suffix = max((s for s in FORMATS if path.name.lower().endswith(s)), key=len, default="")
    return path.name[: len(path.name) - len(suffix)] or path.name


def _read_parts(
    paths: Sequence[Path], names: Sequence[str], tree: str, *, allow_missing: bool
) -> tuple[list[tuple[Path, Columns]], dict[str, str]]:
    """Return what the files hold, and why others could not be read."""
    parts, missing = [], {}
    for path in paths:
        try:
            parts.append((path, _read_part(path, names, tree)))
        except (FileNotFoundError, UnreadableFileError) as error:
            if not allow_missing or (path is paths[-1] and not parts):
                raise
            missing[str(path)] = str(error)
    if missing:
        warnings.warn(
            f"the events of {len(missing)} files lack: {'; '.join(missing.values())}", UserWarning, stacklevel=3
        )
    return parts, missing


def _read_part(path: Path, names: Sequence[str], tree: str) -> Columns:
    columns = read_columns(path, names, tree=tree)
    if not len(columns[names[0]]):
        msg = f"{path} holds no event; drop it from the list or write it again"
        raise ValueError(msg)
    return columns


def _numeric(column: NDArray[Any], name: str) -> FloatArray:
    if column.dtype.kind not in "biuf" or column.ndim != 1:
        kind = "text" if isinstance(column[0], str | bytes) else f"of type {type(column[0]).__name__}"
        msg = f"column {name!r} is {kind}, not one number per event; flatten or encode it first"
        raise ValueError(msg)
    return column.astype(np.float64)


def _check_values(values: FloatArray, space: FeatureSpace, missing_value: float | None) -> None:
    absent = np.isnan(values) if missing_value is None else np.isnan(values) | (values == missing_value)
    for j, feature in enumerate(space):
        present = values[~absent[:, j], j]
        if not len(present):
            msg = f"feature {feature.name!r} is missing in all {len(values)} events; drop it"
            raise ValueError(msg)
        if present.min() == present.max():
            msg = f"feature {feature.name!r} is {present[0]:g} in every event; drop it: it tells nothing"
            raise ValueError(msg)
        if missing_value is None and present.min() in _USUAL_SENTINELS:
            warnings.warn(
                f"feature {feature.name!r} is {present.min():g} in {np.mean(present == present.min()):.1%} of the events "
                "and never below; if that stands for a missing value, say so (missing_value)",
                UserWarning,
                stacklevel=3,
            )


def _labels(
    columns: Columns, label: str | None, origin: NDArray[np.str_], classes: Mapping[str, int] | None
) -> IntArray | None:
    if label is None and classes is None:
        return None
    if label is None:
        raw, what = origin.astype(object), "dataset"
    else:
        raw, what = columns[label], f"label column {label!r}:"
    if raw.dtype.kind in "biuf":
        numbers = raw.astype(np.float64)
        odd = (numbers != np.round(numbers)) | ~(np.abs(numbers) < _LARGEST_LABEL)
        if odd.any():
            bad = numbers[odd][0]
            msg = f"{what} {bad:g} is no class; labels are whole numbers from 0 or strings"
            raise ValueError(msg)
        raw = numbers.astype(np.int64)
    elif any(not isinstance(value, str) for value in raw):
        msg = f"{what} holds values that are neither numbers nor text; give every event one class"
        raise ValueError(msg)
    found, index = np.unique(raw if raw.dtype.kind == "i" else raw.astype(np.str_), return_inverse=True)
    if len(found) > _MAX_CLASSES:
        msg = f"{what} {len(found)} different values are too many for classes; is it the right column?"
        raise ValueError(msg)
    numbered = _default_classes(found, what) if classes is None else _mapped_classes(found, what, classes)
    return np.asarray(numbered, dtype=np.int64)[index]


def _default_classes(found: NDArray[Any], what: str) -> list[int]:
    values = found.tolist()
    if found.dtype.kind == "i":
        if min(values) < UNLABELLED or values == [-1, 1]:
            msg = (
                f"{what} {min(values)} is no class, they count from 0 ({UNLABELLED} is unknown); "
                "pass classes={'-1': 0, '1': 1} or similar"
            )
            raise ValueError(msg)
        return [int(value) for value in values]
    signal = [value.lower() in _SIGNAL_NAMES for value in values]
    if len(values) <= 2 and sum(signal) == 1:
        return [int(is_signal) for is_signal in signal]
    return list(range(len(values)))


def _mapped_classes(found: NDArray[Any], what: str, classes: Mapping[str, int]) -> list[int]:
    unknown = [str(value) for value in found.tolist() if str(value) not in classes]
    if unknown:
        msg = f"{what} {unknown[0]!r} belongs to no class; known are {', '.join(classes)}"
        raise ValueError(msg)
    return [classes[str(value)] for value in found.tolist()]


def write_table(
    table: EventTable,
    path: str | Path,
    *,
    tree: str = "Events",
    columns: Mapping[str, NDArray[Any]] | None = None,
    force: bool = False,
) -> None:
    """
    Write events to a flat file, completely or not at all.

    Features are 32-bit floats with the sentinel where a value is missing.  They
    are followed by ``label``, ``weight``, ``dataset`` (the position in the list
    of names that is stored beside the events), one flag ``in_<region>`` per
    region, the spectators and the extra columns.

    Parameters
    ----------
    table : EventTable
        Events to write.
    path : str or Path
        File ending in ``.root`` (a TTree) or ``.parquet``.
    tree : str
        Name of the TTree.
    columns : mapping of str to array, shape (n_events,), optional
        Extra columns, such as ``fooled``.
    force : bool
        Replace an existing file.

    Raises
    ------
    ValueError
        If the suffix is unknown, or two columns have the same name.
    FileExistsError
        If the file exists and ``force`` is False.

    Examples
    --------
    >>> import tempfile
    >>> table = EventTable.from_arrays([[1.0, 2.0], [3.0, 5.0]], labels=[0, 1], features=["pt", "eta"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(table, Path(folder) / "events.parquet")
    ...     back = read_table(Path(folder) / "events.parquet", features=["pt", "eta"], label="label")
    >>> back.values.tolist()
    [[1.0, 2.0], [3.0, 5.0]]
    """
    path = Path(path)
    if path.suffix not in {".root", ".parquet"}:
        msg = f"{path}: events are written to files that end in .root or .parquet"
        raise ValueError(msg)
    content = _columns(table, columns or {})
    datasets = json.dumps(table.datasets)
    with written_whole(path, force=force) as temporary:
        if path.suffix == ".root":
            with uproot.recreate(temporary) as file:
                file.mktree(tree, content)
                file["datasets"] = datasets
        else:
            flat = pa.table(content).replace_schema_metadata({"datasets": datasets})
            pyarrow.parquet.write_table(flat, temporary, write_page_checksum=True)


def check_writable(table: EventTable, extra: Iterable[str] = ()) -> None:
    """
    Tell before any work whether all columns of a table can stand in one file.

    Parameters
    ----------
    table : EventTable
        Events to be written.
    extra : iterable of str
        Names of further columns.

    Raises
    ------
    ValueError
        If two columns have the same name.
    """
    regions = [f"in_{region.name}" for region in table.regions]
    names = [*table.features.names, "label", "weight", "dataset", *regions, *table.spectators, *extra]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        msg = f"two columns would be called {', '.join(repeated)}; rename the feature or the extra column"
        raise ValueError(msg)


def _columns(table: EventTable, extra: Mapping[str, NDArray[Any]]) -> Columns:
    check_writable(table, extra)
    columns: Columns = {
        **dict(zip(table.features.names, table.network_values.T.astype(np.float32), strict=True)),
        "label": table.labels.astype(np.int32),
        "weight": table.weights,
        "dataset": table.dataset_index.astype(np.int32),
        **{f"in_{region.name}": region.mask for region in table.regions},
        **table.spectators,
        **{name: np.asarray(column) for name, column in extra.items()},
    }
    for name, column in columns.items():
        if column.shape != (table.n_events,):
            msg = f"column {name!r} has shape {column.shape}, expected ({table.n_events},): one entry per event"
            raise ValueError(msg)
    return {name: np.ascontiguousarray(column) for name, column in columns.items()}
