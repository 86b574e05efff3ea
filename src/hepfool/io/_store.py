# SPDX-License-Identifier: BSD-3-Clause
"""
Histograms, arrays and metadata in one archive that outlives the code.

The archive is a zip of plain parts: histograms in the UHI zip format,
arrays as ``.npy`` and everything else as JSON in ``meta.json``.  Its comment is the SHA-256 of all that
stands before it, so that any damage is found.  Reading runs no code from the file: no pickled objects, nothing is
unpacked to disk, and the declared sizes are checked first.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uhi.io.zip
from numpy.typing import NDArray

from hepfool.io._files import local_path, written_whole

_FORMAT = {"format": "hepfool-store", "version": 2}
#: Archives of earlier versions, which have no digest.
_UNDIGESTED = {**_FORMAT, "version": 1}
_DIGEST_BYTES = 64
_META = "meta.json"
_NAME = re.compile(r"[A-Za-z0-9_+=,@-][A-Za-z0-9_.+=,@-]*")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Store:
    """
    Content of an archive.

    Attributes
    ----------
    histograms : mapping of str to hist.Hist
        Named histograms of any axes and storage that UHI describes.
    arrays : mapping of str to array
        Named arrays of numbers, booleans or fixed-width text.
    metadata : mapping
        Plain JSON: text, numbers, lists and mappings.
    """

    histograms: Mapping[str, hist.Hist[Any]] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


def write_store(path: str | Path, store: Store, *, force: bool = False) -> None:
    """
    Write an archive, completely or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, usually ending in ``.zip``.
    force : bool
        Replace an existing file.

    Raises
    ------
    ValueError
        If a name cannot be a file name, an array holds Python objects, or the metadata are not plain JSON.
    FileExistsError
        If the file exists and ``force`` is False.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "store.zip"
    ...     write_store(path, Store(arrays={"edges": np.arange(3)}, metadata={"seed": 7}))
    ...     back = read_store(path)
    >>> back.arrays["edges"].tolist(), back.metadata
    ([0, 1, 2], {'seed': 7})
    """
    for name in (*store.histograms, *store.arrays):
        if not _NAME.fullmatch(name):
            msg = f"{name!r} cannot name an entry; use letters, digits and _ . + = , @ -, not a dot first"
            raise ValueError(msg)
    try:
        meta = json.dumps({**_FORMAT, "metadata": dict(store.metadata)}, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        msg = f"metadata must be plain JSON: {error}; convert arrays to lists and NaN to None"
        raise ValueError(msg) from error
    with written_whole(path, force=force) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = bytes(_DIGEST_BYTES)
            archive.writestr(_META, meta)
            for name, array in store.arrays.items():
                with archive.open(f"arrays/{name}.npy", "w") as file:
                    np.save(file, array, allow_pickle=False)
            for name, histogram in store.histograms.items():
                uhi.io.zip.write(archive, f"histograms/{name}", histogram)
        digest, _ = _digests(temporary)
        with temporary.open("r+b") as written:
            written.seek(-_DIGEST_BYTES, os.SEEK_END)
            written.write(digest)


def read_store(path: str | Path, *, max_bytes: int = 2**31) -> Store:
    """
    Read an archive of any origin.

    Parameters
    ----------
    max_bytes : int
        Largest size of the unpacked content in bytes.

    Raises
    ------
    ValueError
        If the file is damaged, of another kind, too large, or holds Python objects.
    FileNotFoundError
        If there is no such file.
    """
    path = local_path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, max_bytes)
            store = Store(
                histograms={
                    name: _histogram(archive, name, max_bytes) for name in _entries(archive, "histograms/", ".json")
                },
                arrays={name: _array(archive, name) for name in _entries(archive, "arrays/", ".npy")},
                metadata=_metadata(archive),
            )
            _check_digest(archive, path)
    except FileNotFoundError:
        raise
    except Exception as error:
        # A damaged file can fail anywhere inside the reading libraries, with any error.
        msg = f"{path} is not a valid hepfool archive: {error}; write it again"
        raise ValueError(msg) from error
    return store


def _digests(path: Path) -> tuple[bytes, bytes]:
    """Digest of all but the end, and the end, where it should stand."""
    sha, left = hashlib.sha256(), path.stat().st_size - _DIGEST_BYTES
    with path.open("rb") as file:
        while left > 0 and (part := file.read(min(left, 2**20))):
            sha.update(part)
            left -= len(part)
        return sha.hexdigest().encode(), file.read()


def _check_digest(archive: zipfile.ZipFile, path: Path) -> None:
    expected, found = _digests(path)
    if expected != found and _format(archive) != _UNDIGESTED:
        msg = "its digest is another than the one it was written with"
        raise ValueError(msg)


def _format(archive: zipfile.ZipFile) -> dict[str, Any]:
    meta = json.loads(archive.read(_META))
    return {key: meta.get(key) for key in _FORMAT} if isinstance(meta, dict) else {}


def _metadata(archive: zipfile.ZipFile) -> Mapping[str, Any]:
    meta = json.loads(archive.read(_META))
    if _format(archive) not in (_FORMAT, _UNDIGESTED):
        msg = f"{_META} does not say {_FORMAT}"
        raise ValueError(msg)
    metadata: Mapping[str, Any] = meta["metadata"]
    return metadata


def _entries(archive: zipfile.ZipFile, folder: str, suffix: str) -> list[str]:
    names = archive.namelist()
    return [name[len(folder) : -len(suffix)] for name in names if name.startswith(folder) and name.endswith(suffix)]


def _histogram(archive: zipfile.ZipFile, name: str, max_bytes: int) -> hist.Hist[Any]:
    described = uhi.io.zip.read(archive, f"histograms/{name}")
    # Regular bins are only a number, for which memory would be asked; all others stand in the file.
    sizes = [axis["bins"] + 2 if axis["type"] == "regular" else 1 for axis in described["axes"]]
    if not all(type(size) is int and size > 2 for size in sizes if size != 1) or 8 * math.prod(sizes) > max_bytes:
        msg = f"histogram {name!r} has {[size - 2 for size in sizes if size != 1]} regular bins"
        raise ValueError(msg)
    return hist.Hist(described)


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"arrays/{name}.npy") as file:
        return np.asarray(np.load(file, allow_pickle=False))


def _check_archive(archive: zipfile.ZipFile, max_bytes: int) -> None:
    """Refuse what would not fit, or what is not the data it says it is, before anything is loaded."""
    size = sum(entry.file_size for entry in archive.infolist())
    if size > max_bytes:
        msg = f"its content takes {size} bytes, more than the allowed {max_bytes}"
        raise ValueError(msg)
    names = archive.namelist()
    if len(set(names)) != len(names):
        msg = "two entries have the same name"
        raise ValueError(msg)
    for entry in archive.infolist():
        folder, _, name = entry.filename.rpartition("/")
        if entry.filename != _META and not (folder in {"arrays", "histograms"} and _NAME.fullmatch(name)):
            msg = f"unexpected entry {entry.filename!r}"
            raise ValueError(msg)
        if name.endswith(".npy"):
            _check_array(archive, entry)


def _check_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    with archive.open(entry) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize > entry.file_size:
        msg = f"{entry.filename} holds Python objects or less than its header says"
        raise ValueError(msg)
