# SPDX-License-Identifier: BSD-3-Clause
"""Files written by a report, so that no other file is ever replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from hepfool.identity import file_digest
from hepfool.io._verified import read_verified_json, write_verified_json

_NAME: Final = "manifest.json"
_FORMAT: Final = {"format": "hepfool-report", "version": 1}


def write_manifest(folder: Path) -> None:
    """List every file of a finished report with its digest."""
    files = {str(path.relative_to(folder)): file_digest(path) for path in _files(folder)}
    write_verified_json(folder / _NAME, {**_FORMAT, "files": files})


def update_manifest(folder: Path, written: Iterable[Path]) -> None:
    """Add files that a later command wrote into a report; into any other folder, nothing."""
    manifest = _read(folder)
    if manifest is not None:
        added = {str(path.relative_to(folder)): file_digest(path) for path in written}
        write_verified_json(folder / _NAME, {**manifest, "files": {**manifest["files"], **added}})


def foreign_files(folder: Path) -> list[str]:
    """Find what replacing a report would destroy."""
    manifest = _read(folder)
    files: dict[str, str] = {} if manifest is None else {**manifest["files"], _NAME: ""}
    found = []
    for path in _files(folder):
        name = str(path.relative_to(folder))
        unchanged = not path.is_symlink() and path.is_file() and (name == _NAME or files.get(name) == file_digest(path))
        if name not in files or not unchanged:
            found.append(name)
    return found


def _files(folder: Path) -> list[Path]:
    """Everything but folders that hold something."""
    return sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir() or not any(p.iterdir()))


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = read_verified_json(folder / _NAME)
    except (OSError, ValueError):
        return None
    return manifest if {key: manifest.get(key) for key in _FORMAT} == _FORMAT else None
