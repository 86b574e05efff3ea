# SPDX-License-Identifier: BSD-3-Clause
"""
Read named columns of one file as NumPy arrays.

The suffix chooses the format: ``.root`` (TTree or RNTuple, by uproot),
``.parquet``, ``.csv`` and ``.csv.gz`` (by pyarrow).
"""

from __future__ import annotations

import difflib
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepfool.exceptions import MissingExtraError, UnreadableFileError
from hepfool.extras import arrow, uproot
from hepfool.io._files import local_path

Columns = dict[str, NDArray[Any]]

#: Compressed text may unpack to so many bytes, or to so many times its size if that is more.
_LARGE_CSV, _CSV_COMPRESSION = 2**30, 100


def read_columns(path: Path, names: Sequence[str], *, tree: str = "Events") -> Columns:
    """Read some columns of a file."""
    found: Columns = _read(path, names=list(dict.fromkeys(names)), tree=tree)
    return found


def column_names(path: Path, *, tree: str = "Events") -> list[str]:
    """List the columns of a file."""
    return list(_read(path, names=None, tree=tree))


def _read(path: Path, names: Sequence[str] | None, tree: str) -> Any:
    """Read columns, or list them without names, and say what is wrong with a file."""
    local_path(path)
    reader = next((read for suffix, read in FORMATS.items() if path.name.lower().endswith(suffix)), None)
    if reader is None:
        hint = "; the name of a tree is given apart, as tree=" if ".root:" in path.name else ""
        msg = f"{path}: unknown kind of file; use one that ends in {', '.join(FORMATS)}{hint}"
        raise ValueError(msg)
    if path.is_dir():
        msg = f"{path} is a folder; name its files, as {path}/*{path.suffix}"
        raise FileNotFoundError(msg)
    if not path.is_file():
        msg = f"{path}: no such file"
        raise FileNotFoundError(msg)
    if not path.stat().st_size:
        msg = f"{path} is empty (0 bytes); write it again"
        raise UnreadableFileError(msg)
    try:
        return reader(path, names, tree)
    except (MissingExtraError, UnreadableFileError):
        raise
    except _ColumnError as error:
        raise ValueError(str(error)) from None
    except Exception as error:
        # A damaged file can fail anywhere inside the reading libraries, with any error.
        msg = f"{path} cannot be read, is it complete? ({type(error).__name__}: {' '.join(str(error).split())})"
        raise UnreadableFileError(msg) from error


class _ColumnError(Exception):
    """A sound file without the wanted content."""


def _require(path: Path, names: Sequence[str], available: Sequence[str], what: str) -> None:
    for name in names:
        if list(available).count(name) > 1:
            msg = f"{path} has more than one {what} {name!r}; rename all but one"
            raise _ColumnError(msg)
        if name not in available:
            close = difflib.get_close_matches(name, available, n=3, cutoff=0.5)
            shown = ", ".join(available[:20]) + (" ..." if len(available) > 20 else "")
            hint = (
                f"did you mean {', '.join(repr(near) if near != near.strip() else near for near in close)}?"
                if close
                else f"there are: {shown or 'none'}"
            )
            msg = f"{path} has no {what} {name!r}; {hint}"
            raise _ColumnError(msg)


def _read_root(path: Path, names: Sequence[str] | None, tree: str) -> Any:
    with uproot.open(path) as file:
        size = path.stat().st_size
        if file.file.fEND > size:
            msg = f"{path} is truncated: {size} of {file.file.fEND} bytes are there; copy it again"
            raise UnreadableFileError(msg)
        kinds = file.classnames(cycle=False)
        trees = [key for key, kind in kinds.items() if kind.startswith(("TTree", "TNtuple", "ROOT::RNTuple"))]
        _require(path, [tree], trees, "tree")
        found = file[tree]
        if names is None:
            return list(found.keys())
        _require(path, names, found.keys(), "branch")
        if "RNTuple" in kinds[tree]:
            # One by one: as names of a list uproot knows no fields of records, such as jet.pt.
            return {name: found[name].array(library="np") for name in names}
        columns = found.arrays(names, library="np")
        return {name: columns[name] for name in names}


def _read_parquet(path: Path, names: Sequence[str] | None, tree: str) -> Any:  # noqa: ARG001 - one signature for all
    with arrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
        available = [name for field in file.schema_arrow for name in _fields(field)]
        if names is None:
            return available
        _require(path, names, available, "column")
        table = file.read(columns=list(names))
        while any(map(arrow.types.is_struct, table.schema.types)):
            table = table.flatten()
        found = _to_numpy(table)
        return {name: found[name] for name in names}


def _fields(field: Any, before: str = "") -> list[str]:
    """Name a column, or the fields of records, such as muon.pt."""
    name = before + field.name
    if not arrow.types.is_struct(field.type):
        return [name]
    return [found for inner in field.type for found in _fields(inner, f"{name}.")]


def _read_csv(path: Path, names: Sequence[str] | None, tree: str) -> Any:  # noqa: ARG001 - one signature for all
    with _opened(path) as content, arrow.csv.open_csv(content) as file:
        if names is None:
            return list(file.schema.names)
        _require(path, names, file.schema.names, "column")
    options = arrow.csv.ConvertOptions(include_columns=list(names))
    with _opened(path) as content:
        return _to_numpy(arrow.csv.read_csv(content, convert_options=options))


def _opened(path: Path) -> Any:
    return _Unpacked(path) if path.suffix.lower() == ".gz" else arrow.OSFile(str(path))


class _Unpacked(gzip.GzipFile):
    """A compressed file that is refused where it unpacks to more than a table of numbers would."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path
        self.limit = max(_LARGE_CSV, _CSV_COMPRESSION * path.stat().st_size)

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        if self.tell() > self.limit:
            msg = f"{self.path} unpacks to more than {self.limit} bytes, more than a table of numbers would; if the file is right, unpack it first"
            raise UnreadableFileError(msg)
        return content


def _to_numpy(table: Any) -> Columns:
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        plain = column.cast(column.type.value_type) if arrow.types.is_dictionary(column.type) else column
        columns[name] = plain.to_numpy()
        if plain.null_count and arrow.types.is_integer(plain.type):
            # Arrow itself would make floats of whole numbers beside a gap.
            columns[name] = np.ma.MaskedArray(plain.fill_null(0).to_numpy(), mask=plain.is_null().to_numpy())
    return columns


#: Suffixes that can be read, each with its reader.
FORMATS: dict[str, Callable[[Path, Sequence[str] | None, str], Any]] = {
    ".root": _read_root,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
}
