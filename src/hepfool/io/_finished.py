# SPDX-License-Identifier: BSD-3-Clause
"""
The one store of finished work: attacks, chunks, steps, studies and scans resume from here after an interrupt.

A file begins with the digest of its second line, which names everything that the work depends on and holds the digest of the
rest.  A changed bit, a lost end or an empty file is found before anything of the content is used.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from hepfool.exceptions import UnreadableFileError
from hepfool.io._files import check_writable_folder, remove_leftovers, written_whole
from hepfool.io._versions import code_version

_Content = TypeVar("_Content")

_MARK: Final = b"hepfool finished work "
_SHOWN: Final = 16
#: Seconds after which the unfinished state of work with other settings is given up.
_STALE: Final = 7 * 86_400.0
#: Folders of which this process has said that they take no file.
_full: set[Path] = set()


def key_of(*parts: object) -> str:
    """Name work by what it depends on."""
    content = json.dumps([code_version(), *parts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A file of finished work."""

    path: Path
    key: Mapping[str, str]  # digests of all that it depends on, by the name of what they stand for
    what: str  # what is repeated where the file is damaged, such as the scan
    own: bool = False  # whether the name follows from the key, so that nobody else can have put a file there
    named: str = ""  # what a message tells to delete, such as a folder; the file by default
    tell: Callable[[str], None] = _warn  # takes what a user should know; a warning by default

    def load(self, decode: Callable[[bytes], _Content]) -> _Content | None:
        """Read the work; None where there is none or, after a warning, where it is damaged."""
        if not (self.own or _begins_as_ours(self.path)):
            msg = f"{self.named or self.path} holds no finished work of this version of hepfool; delete it, or name another"
            raise ValueError(msg)
        found = kept_or_none(_read, self.path, what=self.what, tell=self.tell)
        if found is None:
            return None
        header, content = found
        differing = [name for name in {**header["key"], **self.key} if header["key"].get(name) != self.key.get(name)]
        if differing:
            msg = (
                f"{self.named or self.path} belongs to another run: {', '.join(differing)} differ; delete it to start anew, "
                "or name another"
            )
            raise ValueError(msg)
        return kept_or_none(lambda _: decode(content), self.path, what=self.what, tell=self.tell)

    def save(self, content: bytes, **record: object) -> bool:
        """Write the work, completely or not at all; warn once and return False where the folder takes no file."""
        header = json.dumps({"key": dict(self.key), "sha256": _digest(content), "record": record}).encode() + b"\n"
        folder = self.path.parent
        try:
            with written_whole(self.path, force=True) as temporary:
                temporary.write_bytes(b"%s%s\n%s%s" % (_MARK, _digest(header).encode(), header, content))
        except OSError as error:
            if folder not in _full:
                _full.add(folder)
                self.tell(
                    f"finished work cannot be kept in {self.path} ({error.strerror or error}); the run continues, but an "
                    f"interrupted run will repeat {self.what}"
                )
            return False
        _full.discard(folder)
        return True


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """Finished parts of a longer run, each in a file named by its key."""

    path: Path

    def prepare(self) -> None:
        """Make the folder, before the work whose results it shall keep, and remove what killed processes left in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        check_writable_folder(self.path)
        remove_leftovers(self.path)
        _full.discard(self.path)

    def part(self, name: str, key: str, *, what: str = "") -> Finished:
        """Name the file of one part."""
        path = self.path / f"{name}-{key[:_SHOWN]}"
        return Finished(path=path, key={name: key}, what=what or name, own=True)

    def record(self, name: str, key: str | None = None) -> dict[str, Any] | None:
        """Look up what was said about a part when it was saved."""
        paths = self.path.glob(f"{name}-*") if key is None else [self.part(name, key).path]
        for path in sorted(filter(Path.is_file, paths), key=lambda path: path.stat().st_mtime, reverse=True):
            try:
                return _read_record(path)
            except UnreadableFileError:  # only times are read from it
                continue
        return None

    def scratch(self, name: str, key: str, suffix: str = "") -> Path:
        """Name a file for the unfinished state of a part."""
        return self.path / f"unfinished-{name}-{key[:_SHOWN]}{suffix}"

    def tidy(self, name: str | None = None, key: str = "") -> None:
        """Remove the unfinished state of a part that is finished now, or of parts that nobody went on with for a week."""
        pattern = "unfinished-*" if name is None else f"{self.scratch(name, key).name}*"
        newest = time.time() - (_STALE if name is None else 0.0)
        for path in self.path.glob(pattern):
            if name is not None or path.stat().st_mtime < newest:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all that was kept, and the folder unless something else is in it."""
        for path in self.path.glob("*"):
            if path.is_file() and _begins_as_ours(path):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()


def kept_or_none(
    read: Callable[[Path], _Content], path: Path, *, what: str, tell: Callable[[str], None] = _warn
) -> _Content | None:
    """Read finished work, or say that it is damaged and must be done again."""
    if not path.exists():
        return None
    try:
        return read(path)
    except Exception as error:  # noqa: BLE001 - classes of the user may have changed, libraries fail with any error
        reason = (
            str(error) if isinstance(error, ValueError) else f"{path} cannot be read ({type(error).__name__}: {error})"
        )
        tell(f"{reason}; {what} is repeated")
        return None


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    with path.open("rb") as file:
        header, content = _header(file), file.read()
    if header["sha256"] != _digest(content):
        raise UnreadableFileError(_damaged(file))
    return header, content


def _read_record(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        record: dict[str, Any] = _header(file)["record"]
    return record


def _header(file: BinaryIO) -> dict[str, Any]:
    mark, line = file.readline(), file.readline()
    if mark != b"%s%s\n" % (_MARK, _digest(line).encode()):
        raise UnreadableFileError(_damaged(file))
    header: dict[str, Any] = json.loads(line)
    return header


def _begins_as_ours(path: Path) -> bool:
    if not path.exists():
        return True
    with path.open("rb") as file:
        return file.read(len(_MARK)) in {b"", _MARK}


def _damaged(file: BinaryIO) -> str:
    return f"{file.name} is damaged or was written by another version"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
