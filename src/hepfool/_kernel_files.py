# SPDX-License-Identifier: BSD-3-Clause
"""Files that several processes write and read at once: each is whole, or counts as absent."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

_log = logging.getLogger(__name__)
T = TypeVar("T")

_PATIENCE = 120.0
"""Seconds to wait for another process that compiles; all kernels take about 20 on one core."""
_POLL = 0.05
_UNUSED = 60 * 86400.0
"""Seconds after which the folder of a former key goes."""


class Lock:
    """
    One process at a time, where the file system supports locks; elsewhere nobody waits.

    It is only taken by whoever holds numba's lock on its compiler, so that threads need no care.
    """

    def __init__(self, path: Path, patience: float = _PATIENCE) -> None:
        self._path = path
        self._patience = patience
        self._file: int | None = None
        self._depth = 0

    def wait(self, otherwise: Callable[[], T | None]) -> T | None:
        """Take the lock and return None, unless what it guards came from another process before: then return that."""
        end = time.monotonic() + self._patience
        while not self._taken():
            if time.monotonic() > end:
                self._patience = 0.0
                return None
            time.sleep(_POLL)
            if (found := otherwise()) is not None:
                return found
        return otherwise()

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Give back, after the outermost of nested uses, the lock that may have been taken within."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._file is not None:
                # Unlocked by word, not only closed: a fork of this process may hold the file open too.
                with suppress(OSError):
                    fcntl.flock(self._file, fcntl.LOCK_UN)
                os.close(self._file)
                self._file = None

    def _taken(self) -> bool:
        """Whether this process holds the lock, or the file system has none to give."""
        if self._file is not None:
            return True
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            return not isinstance(error, BlockingIOError)
        self._file = file
        return True


class Entries:
    """Files in one folder, each of which is as it was written or counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = Lock(folder / "lock")
        self._writable = True

    def read(self, name: str) -> bytes | None:
        """Return what was written under ``name``; a damaged file is removed."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError:
            return None
        size = hashlib.sha256().digest_size
        if content[:size] == digest(name.encode(), content[size:]):
            return content[size:]
        self.remove(name)
        return None

    def write(self, name: str, body: bytes) -> None:
        """Keep ``body``; where that fails, say so once and try no more."""
        if not self._writable:
            return
        temporary = self.folder / f"{name}.{uuid.uuid4().hex[:16]}.unfinished"
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True, exist_ok=True)
                _remove_unused(self.folder.parent)
            temporary.write_bytes(digest(name.encode(), body) + body)
            temporary.replace(self.folder / name)
        except OSError as error:
            self._writable = False
            with suppress(OSError):
                temporary.unlink()
            _log.warning(
                "compiled kernels cannot be kept in %s (%s): each process compiles them again, which takes seconds; "
                "set NUMBA_CACHE_DIR to a folder that can be written and has room",
                self.folder,
                error.strerror,
            )

    def remove(self, name: str) -> None:
        """Forget what was written under ``name``, if the folder allows it."""
        with suppress(OSError):
            (self.folder / name).unlink()

    def used(self) -> None:
        """Note that the folder is in use."""
        with suppress(OSError):
            os.utime(self.folder)


def digest(*parts: bytes) -> bytes:
    """Return the SHA-256 of several parts, which does not confuse where one ends and the next begins."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _remove_unused(parent: Path) -> None:
    """Remove folders of former keys."""
    for folder in parent.iterdir():
        with suppress(OSError):  # another process may be faster
            if re.fullmatch("[0-9a-f]{32}", folder.name) and time.time() - folder.stat().st_mtime > _UNUSED:
                shutil.rmtree(folder, ignore_errors=True)
