# SPDX-License-Identifier: BSD-3-Clause
"""
Keep the output of every chunk, and resume from there after a crash.

Unlike coffea's ``SimpleCheckpointer``, which takes the output of any other processor for its own and confuses
copies of a file, the folder belongs to one run: analysis, attack, network, code, input and chunks are written down
in each file, and a run that differs is refused by name.  Chunks are pickled: keep the folder as safe as the code.
"""

from __future__ import annotations

import logging
import pickle
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cloudpickle
from coffea import processor

from hepfool.io._files import remove_leftovers
from hepfool.io._finished import Finished, WorkFolder
from hepfool.io._owners import CLAIM

_KEY_FILE: Final = "run"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """Folder of one run."""

    folder: Path  # readable and writable by all workers
    key: Mapping[str, str]  # digests of what the run is, by the name of what they stand for

    @classmethod
    def open(cls, folder: str | Path, key: Mapping[str, str]) -> RunCheckpoint:
        """Begin or resume a run."""
        path = Path(folder).resolve()
        WorkFolder(path).prepare()
        run = Finished(path=path / _KEY_FILE, key=key, what="the key of the run", named=f"checkpoint {path}")
        if not run.path.exists() and any(left.name != CLAIM for left in path.iterdir()):
            msg = f"{path} holds files but no checkpoint; name a new or empty folder"
            raise ValueError(msg)
        if run.load(bytes) is None:
            run.save(b"")
        return cls(path, key)

    def chunks(self, name: str) -> ChunkCheckpoint:
        """Take the part of one pass."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        return ChunkCheckpoint(str(folder), {**self.key, "pass": name})

    def state(self) -> Path:
        """Make the folder for what all workers read."""
        folder = self.folder / "state"
        folder.mkdir(exist_ok=True)
        return folder

    def forget(self, name: str) -> None:
        """Remove the chunks of one pass."""
        shutil.rmtree(self.folder / name, ignore_errors=True)


class ChunkCheckpoint(getattr(processor, "CheckpointerABC", object)):  # type: ignore[misc]  # since coffea 2025.10
    """Output of the chunks of one pass, for ``coffea.processor.Runner(checkpointer=...)``."""

    def __init__(self, folder: str, key: Mapping[str, str]) -> None:
        self.folder = folder
        self.key = key

    @property
    def n_chunks(self) -> int:
        """Number of finished chunks."""
        return sum(1 for _ in Path(self.folder).glob("[0-9]*.chunk"))

    def load(self, metadata: Mapping[str, Any], processor_instance: Any) -> Any:
        """Return the output of a chunk, or None where it is absent or damaged."""
        del processor_instance
        return self._file(metadata).load(_output)

    def save(self, output: Any, metadata: Mapping[str, Any], processor_instance: Any) -> None:
        """Write the output of a chunk, completely or not at all; warn where there is no space."""
        del processor_instance
        self._file(metadata).save(zlib.compress(cloudpickle.dumps(output), level=1))

    def _file(self, metadata: Mapping[str, Any]) -> Finished:
        start, stop = metadata["entrystart"], metadata["entrystop"]
        path = Path(self.folder) / f"{metadata['chunk_index']:06d}_{start}-{stop}.chunk"
        return Finished(path=path, key=self.key, what="its chunk", own=True, tell=_log.warning)


def _output(content: bytes) -> Any:
    return pickle.loads(zlib.decompress(content))  # noqa: S301 - written by this run
