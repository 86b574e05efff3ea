# SPDX-License-Identifier: BSD-3-Clause
"""
Event tables from and to files: flat ROOT, Parquet and CSV.

:func:`read_table` checks everything that can be checked before work starts, so
that a wrong branch name or a broken file costs seconds and not a night.
"""

from __future__ import annotations

import contextlib
import glob
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepfool._ranges import check_reals
from hepfool.events import EventTable
from hepfool.events._columns import complete, joined, plain, spectator
from hepfool.events._exchange import column_names as names_of_columns
from hepfool.events._labels import classes_of
from hepfool.exceptions import UnreadableFileError
from hepfool.extras import arrow, uproot
from hepfool.features import Feature, FeatureSpace
from hepfool.io._columns import FORMATS, Columns, column_names, read_columns
from hepfool.io._files import local_path, written_whole
from hepfool.io._layout import Layout, Variations
from hepfool.typing import FloatArray, IntArray

__all__ = ["read_table", "write_table"]


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
    columns: Mapping[str, str] | None = None,
    variations: Variations | None = None,
    allow_missing: bool = False,
) -> EventTable:
    r"""
    Read events from flat files.

    Parameters
    ----------
    paths : str, Path, or iterable of them
        Files ending in ``.root``, ``.parquet``, ``.csv`` or ``.csv.gz``; ``*`` and ``?`` are expanded.
    features : FeatureSpace or iterable of Feature or str
        Columns that enter the network, in its order.  A derived one that the first file does not hold is computed.
    label : str, optional
        Column with the true class: whole numbers from 0, booleans, or strings.
    weight : str, optional
        Column with the event weight; 1 when left out.
    tree : str
        TTree or RNTuple of ROOT files.
    missing_value : float, optional
        Number that stands for "does not exist" besides NaN and null, such as -999, compared in each column's own
        precision; the network gets it back.
    dataset : str, optional
        Name of the process; each file's name without its suffix when left out.
    classes : mapping of str to int, optional
        Class of each value of the label column, or of each dataset if there is no such column.  By default
        strings are numbered in sorted order, with ``s``, ``sig``, ``signal`` or ``1`` of two strings as class 1.
    spectators : sequence of str
        Further columns that travel along, such as ``run`` and ``event``.
    columns : mapping of str to str, optional
        Columns that are computed from those of the files, by formulas as ``{"mt": "sqrt(2 * pt * met * (1 - cos(dphi)))"}``,
        see :class:`hepfool._formula.Formula`; features, the weight, spectators and variations may be such columns.
    variations : mapping of str to mapping, optional
        By systematic source, the columns that take the place of others, up and down, as
        ``{"jes": {"pt": ["pt_up", "pt_down"]}, "pileup": {"weight": ["weight_up", "weight_down"]}}``, or a single one.
        What is computed or derived from a replaced column follows.
    allow_missing : bool
        Go on without files that are absent or damaged; they are warned of and listed in the table's metadata.

    Returns
    -------
    EventTable
        The events in the order of the files.

    Notes
    -----
    Values that exceed a limit by no more than the rounding of their precision, and angles that do by no more than that to
    three digits, are put at it.

    Raises
    ------
    ValueError
        If a file is damaged, empty or remote, a column is missing or not numeric, a feature that is not fixed is
        constant or without any value, a weight is missing or not finite, or a label belongs to no class.
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
    if missing_value is not None:
        check_reals(missing_value=missing_value)
    given = _expand(paths)
    if dataset is None:
        _remark_on_stems(given)
    available = _available(given, tree) if space.derived or columns else space.names
    layout = Layout.of(space, weight, columns or {}, variations or {}, available)
    if label in layout.formulas:
        msg = (
            f"label {label!r} is a computed column; name a column of the files, and say by classes what its values mean"
        )
        raise ValueError(msg)
    wanted = layout.sources([*([] if label is None else [label]), *spectators])
    found, missing = _read_parts(given, wanted, tree, allow_missing=allow_missing)
    files, parts = [path for path, _ in found], [part for _, part in found]
    origin = np.repeat([dataset or _stem(path) for path in files], [len(part[wanted[0]]) for part in parts])
    values = layout.values(parts, missing_value)
    _check_values(values, space)
    table = EventTable.from_arrays(
        values,
        features=space,
        labels=_labels(parts, label, origin, classes),
        weights=None if weight is None else _weights(layout, parts, weight),
        sentinel=missing_value,
        dataset=origin,
        spectators={
            name: layout.numbers(name, parts, missing_value)
            if name in layout.formulas
            else joined(f"spectator {name!r}", [spectator(name, part[name]) for part in parts])
            for name in spectators
        },
        **layout.varied(values, parts, missing_value),
        metadata={"files": tuple(str(path) for path in files), **({"missing": missing} if missing else {})},
    )
    _remark_on_roles(space, label, weight)
    return table


def _expand(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return existing names as they are; a pattern becomes its matches in sorted order."""
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files: list[Path] = []
    for name in given:
        local_path(name)
        exact = Path(name).exists() or not glob.has_magic(str(name))
        matches = [Path(name)] if exact else [Path(match) for match in sorted(glob.glob(str(name)))]  # noqa: PTH207 - absolute patterns
        if not matches:
            msg = f"no file matches {name}"
            raise FileNotFoundError(msg)
        files.extend(matches)
    if not files:
        msg = "no input file given; name at least one"
        raise ValueError(msg)
    _refuse_repeated(files)
    return files


def _refuse_repeated(files: Sequence[Path]) -> None:
    """Refuse one file under two names, whose events would count twice; warn of processes that share a name."""
    seen: dict[tuple[int, int], Path] = {}
    for path in files:
        if not path.is_file():
            continue
        found = path.stat()
        before = seen.setdefault((found.st_dev, found.st_ino), path)
        if before is not path:
            msg = f"{path} is the same file as {before}, so that its events would count twice; name it once"
            raise ValueError(msg)


def _remark_on_stems(files: Sequence[Path]) -> None:
    folders: dict[str, Path] = {}
    for path in files:
        before = folders.setdefault(_stem(path), path)
        if before.parent != path.parent:
            msg = f"{before} and {path} have one name and count as one process, {_stem(path)!r}; if they are two, give each file a name of its own"
            warnings.warn(msg, UserWarning, stacklevel=3)
            return


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
            f"the events of {len(missing)} files are missing: {'; '.join(missing.values())}", UserWarning, stacklevel=3
        )
    return parts, missing


def _read_part(path: Path, names: Sequence[str], tree: str) -> Columns:
    columns = read_columns(path, names, tree=tree)
    if not len(columns[names[0]]):
        msg = f"{path} holds no event; drop it from the list or write it again"
        raise ValueError(msg)
    return columns


def _available(paths: Sequence[Path], tree: str) -> Sequence[str]:
    """Columns of the first file that can be read; what is wrong with the others is said when they are."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError, UnreadableFileError):
            return column_names(path, tree=tree)
    return ()


def _weights(layout: Layout, parts: Sequence[Columns], name: str) -> FloatArray:
    if name in layout.formulas:
        return complete(f"weight column {name!r}", layout.numbers(name, parts, None))
    return np.concatenate([complete(f"weight column {name!r}", part[name]) for part in parts])


def _check_values(values: FloatArray, space: FeatureSpace) -> None:
    for j, feature in enumerate(space):
        if feature.kind == "fixed":
            continue
        present = values[~np.isnan(values[:, j]), j]
        if not len(present):
            msg = f"feature {feature.name!r} is missing in all {len(values)} events; drop it"
            raise ValueError(msg)
        if present.min() == present.max():
            msg = (
                f"feature {feature.name!r} is {present[0]:g} in every event, so no attack can move it; if the network "
                "needs it, declare Feature(kind='fixed'), else drop it"
            )
            raise ValueError(msg)


def _remark_on_roles(space: FeatureSpace, label: str | None, weight: str | None) -> None:
    for name, what in ((label, "label"), (weight, "event weight")):
        if name in space.names:
            warnings.warn(
                f"column {name!r} is both the {what} and a feature, which the network must not see; remove it from the features",
                UserWarning,
                stacklevel=3,
            )


def _labels(
    parts: Sequence[Columns], label: str | None, origin: NDArray[np.str_], classes: Mapping[str, int] | None
) -> IntArray | None:
    if label is None:
        return None if classes is None else classes_of(origin, "dataset", classes)
    what = f"label column {label!r}:"
    found = [plain(what, part[label]) for part in parts]
    values, missing = joined(what, [column for column, _ in found]), np.concatenate([gaps for _, gaps in found])
    column: NDArray[Any] = np.ma.MaskedArray(values, mask=missing) if missing.any() else values
    return classes_of(column, what, classes, number_text=True)


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
    region, the spectators and the extra columns.  Where a feature or spectator
    has the name of one of the others, that one ends in an underscore.

    Parameters
    ----------
    path : str or Path
        File ending in ``.root`` (a TTree) or ``.parquet``.
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
                types = {k: "string" if column.dtype.kind == "U" else column.dtype for k, column in content.items()}
                file.mktree(tree, types).extend(content)
                file["datasets"] = datasets
        else:
            flat = arrow.table(content).replace_schema_metadata({"datasets": datasets})
            arrow.parquet.write_table(flat, temporary, write_page_checksum=True)


def check_writable(table: EventTable, extra: Iterable[str] = ()) -> None:
    """Check before any work that all columns of a table can be written to one file."""
    names_of_columns(table, extra)


def _columns(table: EventTable, extra: Mapping[str, NDArray[Any]]) -> Columns:
    names = names_of_columns(table, extra)
    columns: Columns = {
        **dict(zip(table.features.names, table.network_values.T.astype(np.float32), strict=True)),
        names["label"]: table.labels.astype(np.int32),
        names["weight"]: table.weights,
        names["dataset"]: table.dataset_index.astype(np.int32),
        **{names[f"in_{region.name}"]: region.mask for region in table.regions},
        **table.spectators,
        **{names[name]: np.asarray(column) for name, column in extra.items()},
    }
    for name, column in columns.items():
        if column.shape != (table.n_events,):
            msg = f"column {name!r} has shape {column.shape}, expected ({table.n_events},): one entry per event"
            raise ValueError(msg)
    return {name: np.ascontiguousarray(column) for name, column in columns.items()}
