# SPDX-License-Identifier: BSD-3-Clause
"""
Send a large object once, and build it once per process.

Coffea unpickles its processor for every chunk.  A :class:`Handle` carries a digest
instead: what it stands for lies in a file, or travels as bytes if it is small or no
folder is shared, and is unpickled at most once in each process.
"""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cloudpickle

from hepfool.io._files import written_whole

#: Pickled size above which a state goes through a file.
LARGE_BYTES: Final = 5_000_000

_KEPT: Final = 8
_cache: OrderedDict[str, Any] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Handle:
    """Reference to an object that workers need."""

    digest: str  # SHA-256 of the pickled object, hexadecimal
    size: int  # its length in bytes
    where: bytes | str  # the pickled object, or the file that holds it

    @classmethod
    def of(cls, value: Any, *, folder: str | Path | None = None, large: int = LARGE_BYTES) -> Handle:
        """Pickle an object."""
        blob = bytes(cloudpickle.dumps(value))
        digest = hashlib.sha256(blob).hexdigest()
        if folder is None or len(blob) <= large:
            return cls(digest, len(blob), blob)
        path = Path(folder).resolve() / f"{digest}.pickle"
        with written_whole(path, force=True) as temporary:
            temporary.write_bytes(blob)
        return cls(digest, len(blob), str(path))

    def get(self) -> Any:
        """Return the object, built once per process; nobody may change it."""
        with _lock:
            if self.digest not in _cache:
                # Checked against the digest, which came with the processor.
                _cache[self.digest] = pickle.loads(self._bytes())  # noqa: S301
                while len(_cache) > _KEPT:
                    _cache.popitem(last=False)
            _cache.move_to_end(self.digest)
            return _cache[self.digest]

    def _bytes(self) -> bytes:
        if isinstance(self.where, bytes):
            return self.where
        try:
            blob = Path(self.where).read_bytes()
        except OSError as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            if hashlib.sha256(blob).hexdigest() == self.digest:
                return blob
            reason = "its content has changed"
        msg = f"the state {self.where} cannot be used on this worker ({reason}); put it into a folder that all workers share"
        raise RuntimeError(msg)
