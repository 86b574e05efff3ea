# SPDX-License-Identifier: BSD-3-Clause
"""Write a file or a folder completely or not at all."""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hepfool.io._owners import is_running, writer

#: A protocol before a path, also where pathlib has merged its slashes; drive letters have one character.
_PROTOCOL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
#: Seconds after which what another machine left is nobody's any more.
_ABANDONED: Final = 86_400.0
_OLD: Final = "-old"
#: Names of :func:`written_whole`; those of earlier versions name no owner.
_TEMPORARY: Final = re.compile(
    r"\.(?P<stem>.+?)-(?:(?P<owner>[0-9a-f]{8}-\d+)-)?[0-9a-f]{12}(?P<suffix>(?:\.[^.]*)?)(?P<old>-old)?"
)


def local_path(path: str | Path) -> Path:
    """Refuse a path on another machine, which would be taken for a folder called ``root:``."""
    remote = _PROTOCOL.match(str(path))
    if remote:
        msg = (
            f"{path} is a remote path ({remote[1]}), and only files on disk or mounted ones (/eos, /cvmfs) are opened here; copy it "
            "first (xrdcp, gfal-copy, curl), or name it in a coffea fileset"
        )
        raise ValueError(msg)
    return Path(path)


def check_writable_folder(folder: str | Path) -> None:
    """Refuse a folder that takes no file, before the work that would end in it."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        msg = f"nothing can be written in {folder} ({error.strerror or error}); choose another folder"
        raise PermissionError(msg) from error


def check_absent(path: str | Path, *, force: bool = False) -> Path:
    """Refuse to replace what exists."""
    path = local_path(path)
    if path.exists() and not force:
        msg = f"{path} exists already; choose another name or say force"
        raise FileExistsError(msg)
    if not path.parent.is_dir():
        msg = f"the folder {path.parent} does not exist; create it first"
        raise FileNotFoundError(msg)
    return path


@contextmanager
def written_whole(path: str | Path, *, force: bool = False) -> Iterator[Path]:
    """Give a temporary sibling that takes the wanted name only at the end."""
    path = check_absent(path, force=force)
    temporary = path.with_name(f".{path.stem}-{writer()}-{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        check_absent(path, force=force)
        if path.is_dir() and not temporary.is_dir():
            msg = f"{path} is a folder, which no file replaces; choose another name"
            raise FileExistsError(msg)
        if path.is_dir() or (path.exists() and temporary.is_dir()):
            _replace_folder(path, temporary)
        else:
            temporary.replace(path)
    finally:
        _remove(temporary)


def remove_leftovers(folder: str | Path, name: str | None = None) -> None:
    """Remove what killed processes left while they wrote."""
    folder = Path(folder)
    with suppress(OSError):  # a leftover harms nobody
        for left in folder.iterdir():
            found = _TEMPORARY.fullmatch(left.name)
            if found is None or name not in {None, final := found["stem"] + found["suffix"]}:
                continue
            if not _abandoned(left, found["owner"]):
                continue
            if found["old"] and not (folder / final).exists():
                left.rename(folder / final)
            else:
                _remove(left)


def _abandoned(path: Path, owner: str | None) -> bool:
    running = None if owner is None else is_running(owner)
    if running is not None:
        return not running
    with tempfile.NamedTemporaryFile(dir=path.parent) as now:  # by the clock of the disk, not of this machine
        return Path(now.name).stat().st_mtime - path.stat().st_mtime > _ABANDONED


def _replace_folder(path: Path, temporary: Path) -> None:
    """Move the old content aside first: a folder cannot be renamed onto one that holds files."""
    old = path.with_name(f"{temporary.name}{_OLD}")
    path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
