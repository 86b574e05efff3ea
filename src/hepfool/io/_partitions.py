# SPDX-License-Identifier: BSD-3-Clause
"""
More events than one memory holds: a folder of Parquet files, one per chunk, and a manifest.

Each file is written completely or not at all, and read only if it still is what the manifest
says.  Values keep all their digits, so that a table read back is the one that was written.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepfool._shown import Displayed, Shown, listed
from hepfool.events import EventTable, Region
from hepfool.exceptions import IncompleteInputError
from hepfool.extras import arrow
from hepfool.features import Feature, FeatureSpace
from hepfool.io._files import local_path, written_whole

_FORMAT = {"format": "hepfool-partitions", "version": 1}
_MANIFEST = "manifest.json"
_FILE = re.compile(r"[A-Za-z0-9_-]+\.parquet")
_SHA = re.compile(r"[0-9a-f]{64}")
#: Files that a terminal or a notebook shows.
_SHOWN_FILES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFile:
    """One file of the folder."""

    name: str  # file name without a folder
    n_events: int
    datasets: tuple[str, ...]  # processes in the file
    sha256: str

    def __post_init__(self) -> None:
        """Refuse a name that leads elsewhere, and other damage."""
        texts = (self.name, self.sha256, *self.datasets)
        sound = all(type(text) is str for text in texts) and type(self.n_events) is int
        distinct = len(set(self.datasets)) == len(self.datasets) > 0 if sound else False
        if not (distinct and _FILE.fullmatch(self.name) and _SHA.fullmatch(self.sha256) and self.n_events >= 0):
            msg = f"{self!r} does not describe a partition; it needs a file name such as part.parquet, a number of events and a SHA-256"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Partitions(Displayed):
    """
    Events in a folder of files.

    Attributes
    ----------
    folder : Path
        Where the files are, for every worker alike.
    files : tuple of PartitionFile
        In the order of the events.
    like : EventTable
        A table without events, which has features, regions and names of the variations.
    """

    folder: Path
    files: tuple[PartitionFile, ...]
    like: EventTable

    def __post_init__(self) -> None:
        """Refuse to count the events of a file twice, also where it has a second name."""
        for what in ("name", "sha256"):
            first: dict[str, str] = {}
            for file in self.files:
                key = getattr(file, what)
                if key in first and (what == "name" or file.n_events):
                    msg = f"{file.name} holds the same events as {first[key]}, which would count twice; list each file once"
                    raise ValueError(msg)
                first[key] = file.name

    def _shown(self) -> Shown:
        rows = [(file.name, listed(file.datasets), str(file.n_events)) for file in self.files[:_SHOWN_FILES]]
        more = len(self.files) - len(rows)
        return Shown(
            f"Partitions of {self.n_events} events with {self.like.n_features} features in {self.folder}",
            ("file", "datasets", "events"),
            rows,
            (f"{more} more files" if more else "",),
        )

    @property
    def n_events(self) -> int:
        """Number of events."""
        return sum(file.n_events for file in self.files)

    def read(self, files: Iterable[PartitionFile] | None = None) -> EventTable:
        """
        Read some of the files into one table.

        Raises
        ------
        IncompleteInputError
            If a file is lost, is damaged, or has changed.
        ValueError
            If it does not hold what the manifest says.
        """
        chosen = self.files if files is None else tuple(files)
        # Also those that are said to hold none: a wrong manifest would lose their events without a word.
        parts = [part for part in map(self._read, chosen) if part.n_events]
        return EventTable.concatenate(parts) if parts else self.like

    def save(self) -> None:
        """Write the manifest, for :func:`open_partitions`."""
        manifest = {**_FORMAT, "table": _describe(self.like), "files": [asdict(file) for file in self.files]}
        with written_whole(self.folder / _MANIFEST, force=True) as temporary:
            temporary.write_text(json.dumps(manifest, indent=1, allow_nan=False), encoding="utf-8")

    def _read(self, file: PartitionFile) -> EventTable:
        path = self.folder / file.name
        try:
            content = path.read_bytes()
        except OSError as error:
            msg = f"{path} is missing ({type(error).__name__}); write the partitions again"
            raise IncompleteInputError(msg) from None
        if hashlib.sha256(content).hexdigest() != file.sha256:
            msg = f"{path} is damaged or was changed, its SHA-256 is another; write the partitions again"
            raise IncompleteInputError(msg)
        try:
            return _from_columns(arrow.parquet.read_table(arrow.BufferReader(content)), file, self.like)
        except (arrow.ArrowException, ArithmeticError, LookupError, TypeError, ValueError) as error:
            msg = f"{path} does not hold the columns of its manifest ({error}); write the partitions again"
            raise ValueError(msg) from error


def write_partition(folder: str | Path, name: str, table: EventTable) -> PartitionFile:
    """Write the events of one chunk, from any worker."""
    file = PartitionFile(name=f"{name}.parquet", n_events=table.n_events, datasets=table.datasets, sha256="0" * 64)
    with written_whole(Path(folder) / file.name, force=True) as temporary:
        arrow.parquet.write_table(arrow.table(_to_columns(table)), temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
    return replace(file, sha256=digest)


def write_partitions(folder: str | Path, tables: Iterable[EventTable]) -> Partitions:
    """
    Write tables one by one, and the manifest.

    Parameters
    ----------
    folder : str or Path
        An existing folder.
    tables : iterable of EventTable
        At least one; only one of them is in memory at a time.

    Raises
    ------
    ValueError
        If there is no table, or a spectator is neither numbers nor text.

    Examples
    --------
    >>> import tempfile
    >>> halves = [EventTable.from_arrays([[0.1], [0.2]]), EventTable.from_arrays([[0.3]])]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_partitions(folder, halves)
    ...     back = open_partitions(folder).read()
    >>> back.values[:, 0].tolist()
    [0.1, 0.2, 0.3]
    """
    files, like = [], None
    for index, table in enumerate(tables):
        files.append(write_partition(folder, f"part-{index:05d}", table))
        like = empty(table) if like is None else like
    if like is None:
        msg = "no table to write; give at least one"
        raise ValueError(msg)
    partitions = Partitions(folder=Path(folder), files=tuple(files), like=like)
    partitions.save()
    return partitions


def open_partitions(folder: str | Path, *, like: EventTable | None = None) -> Partitions:
    """
    Open a folder by its manifest.

    Parameters
    ----------
    folder : str or Path
        Written by :func:`write_partitions` or a ``PartitionProcessor``.
    like : EventTable, optional
        Any table of the same analysis.  Needed if features are derived or regions have a ``select``:
        these are functions, and a file holds no code.

    Returns
    -------
    Partitions
        To be read or attacked.

    Raises
    ------
    ValueError
        If the manifest is damaged, of another kind, lists events twice, or does not fit to ``like``.
    FileNotFoundError
        If there is no manifest.
    """
    path = local_path(folder) / _MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        files, table = _parsed(manifest, like)
        return Partitions(folder=Path(folder), files=files, like=table)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        msg = f"{path} is not a valid manifest: {error}; write the partitions again"
        raise ValueError(msg) from error


def _parsed(manifest: Mapping[str, Any], like: EventTable | None) -> tuple[tuple[PartitionFile, ...], EventTable]:
    if {key: manifest[key] for key in _FORMAT} != _FORMAT:
        msg = f"it does not say {_FORMAT}"
        raise ValueError(msg)
    files = tuple(PartitionFile(**{**entry, "datasets": tuple(entry["datasets"])}) for entry in manifest["files"])
    described = manifest["table"]
    table = _restore(described) if like is None else empty(like)
    if _describe(table) != described:
        msg = "it describes other features, regions or variations than the given table"
        raise ValueError(msg)
    return files, table


def empty(table: EventTable) -> EventTable:
    """Keep everything but the events."""
    return replace(table.select(np.zeros(0, dtype=np.int64)), metadata={})


def _describe(table: EventTable) -> dict[str, Any]:
    """Everything but events and functions, as plain JSON."""
    functions = [f.name for f in table.features if f.derived] + [r.name for r in table.regions if r.select]
    return {
        "features": [
            {"name": f.name, "label": f.label, "unit": f.unit, "kind": f.kind, "range": _bounds((f.lower, f.upper))}
            for f in table.features
        ],
        "regions": [
            {"name": r.name, "role": r.role, "cuts": {name: _bounds(cut) for name, cut in r.cuts.items()}}
            for r in table.regions
        ],
        "functions": functions,
        "sentinel": None if math.isnan(table.sentinel) else table.sentinel,
        "shape_variations": list(table.shape_variations),
        "weight_variations": list(table.weight_variations),
        "spectators": list(table.spectators),
    }


def _restore(described: Mapping[str, Any]) -> EventTable:
    """Table without events from its description."""
    if described["functions"]:
        msg = (
            f"{', '.join(described['functions'])} need functions that no file holds; pass like=a table of the analysis"
        )
        raise ValueError(msg)
    features = FeatureSpace(
        Feature(**{k: f[k] for k in ("name", "label", "unit", "kind")}, lower=lower, upper=upper)
        for f in described["features"]
        for lower, upper in [_limits(f["range"])]
    )
    none = np.zeros(0)
    return EventTable.from_arrays(
        np.zeros((0, len(features))),
        features=features,
        sentinel=math.nan if described["sentinel"] is None else float(described["sentinel"]),
        regions=tuple(
            Region(r["name"], none.astype(np.bool_), r["role"], {k: _limits(cut) for k, cut in r["cuts"].items()})
            for r in described["regions"]
        ),
        shape_variations={name: np.zeros((0, len(features))) for name in described["shape_variations"]},
        weight_variations=dict.fromkeys(described["weight_variations"], none),
        spectators=dict.fromkeys(described["spectators"], none),
    )


def _bounds(pair: tuple[float, float]) -> list[float | None]:
    """JSON has no infinity."""
    return [float(x) if math.isfinite(x) else None for x in pair]


def _limits(pair: list[float | None]) -> tuple[float, float]:
    lower, upper = pair
    return (-math.inf if lower is None else float(lower)), (math.inf if upper is None else float(upper))


def _to_columns(table: EventTable) -> dict[str, NDArray[Any]]:
    names = table.features.names
    columns = {
        "label": table.labels,
        "weight": table.weights,
        "dataset": table.dataset_index,
        **{f"values/{name}": column for name, column in zip(names, table.values.T, strict=True)},
        **{f"region/{region.name}": region.mask for region in table.regions},
        **{f"shape/{v}/{n}": c for v, m in table.shape_variations.items() for n, c in zip(names, m.T, strict=True)},
        **{f"weight/{name}": column for name, column in table.weight_variations.items()},
        **{f"spectator/{name}": column for name, column in table.spectators.items()},
    }
    for name, column in columns.items():
        if column.ndim != 1 or column.dtype.kind not in "biufU":
            msg = f"{name} is {column.dtype} of shape {column.shape}; partitions hold one number or text per event"
            raise ValueError(msg)
    return {name: np.ascontiguousarray(column) for name, column in columns.items()}


def _from_columns(content: Any, file: PartitionFile, like: EventTable) -> EventTable:
    names = like.features.names

    def column(name: str) -> NDArray[Any]:
        found = content.column(name)
        array: NDArray[Any] = found.to_numpy()
        return array.astype(np.str_) if arrow.types.is_string(found.type) else array

    def matrix(folder: str) -> NDArray[Any]:
        return np.stack([column(f"{folder}/{name}") for name in names], axis=1)

    values, index = matrix("values"), column("dataset")
    if len(values) != file.n_events or not np.isin(index, np.arange(len(file.datasets))).all():
        msg = (
            f"it has {len(values)} events of the datasets {np.unique(index).tolist()[:5]}, the manifest says {file.n_events} of "
            f"{len(file.datasets)} datasets"
        )
        raise ValueError(msg)
    return replace(
        like,
        values=values,
        missing=np.isnan(values),
        labels=column("label"),
        weights=column("weight"),
        datasets=file.datasets,
        dataset_index=index,
        regions=tuple(replace(region, mask=column(f"region/{region.name}")) for region in like.regions),
        shape_variations={name: matrix(f"shape/{name}") for name in like.shape_variations},
        weight_variations={name: column(f"weight/{name}") for name in like.weight_variations},
        spectators={name: column(f"spectator/{name}") for name in like.spectators},
    )
