# SPDX-License-Identifier: BSD-3-Clause
"""
Keep what every chunk gave, and go on from there after a crash.

Unlike coffea's ``SimpleCheckpointer``, which takes the output of any other processor for its own and confuses
copies of a file, the folder belongs to one run: analysis, attack, network, code, input and chunks are written down
beside the chunks, and a run that differs is refused by name.  Chunks are pickled: keep the folder as safe as the code.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cloudpickle
from coffea.processor import CheckpointerABC

from hepfool.exceptions import UnreadableFileError
from hepfool.io.files import check_writable_folder, remove_leftovers, written_whole
from hepfool.io.owners import CLAIM
from hepfool.io.verified import read_verified_json, write_verified_json

__all__ = ["ChunkCheckpoint", "RunCheckpoint"]

_KEY_FILE: Final = "run.json"
_DIGEST_BYTES: Final = 32
_log = logging.getLogger(__name__)
_said: set[str] = set()


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """
    Folder of one run.

    Attributes
    ----------
    folder : Path
        Readable and writable by all workers.
    key : bytes
        Digest of what the run is.
    """

    folder: Path
    key: bytes

    @classmethod
    def open(cls, folder: str | Path, key: Mapping[str, str]) -> RunCheckpoint:
        """
        Begin a run, or go on with it.

        Parameters
        ----------
        folder : str or Path
            New, empty, or of an earlier attempt of the same run.
        key : mapping of str to str
            Digests by the name of what they stand for.

        Returns
        -------
        RunCheckpoint
            Ready for :meth:`chunks`.

        Raises
        ------
        ValueError
            If the folder belongs to another run, or to something else.
        """
        path = Path(folder).resolve()
        path.mkdir(parents=True, exist_ok=True)
        check_writable_folder(path)
        file = path / _KEY_FILE
        if file.exists():
            _check(path, _read_key(file), key)
        elif any(left.name != CLAIM for left in path.iterdir()):
            msg = f"{path} holds files but no checkpoint; name a new or empty folder"
            raise ValueError(msg)
        else:
            write_verified_json(file, key)
        return cls(path, hashlib.sha256(json.dumps(sorted(key.items())).encode()).digest())

    def chunks(self, name: str) -> ChunkCheckpoint:
        """
        Take the part of one pass.

        Parameters
        ----------
        name : str
            Of the pass.

        Returns
        -------
        ChunkCheckpoint
            To be given to a runner.
        """
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        key = hashlib.sha256(self.key + name.encode()).digest()
        return ChunkCheckpoint(str(folder), key)

    def state(self) -> Path:
        """Make the folder for what all workers read."""
        folder = self.folder / "state"
        folder.mkdir(exist_ok=True)
        return folder

    def forget(self, name: str) -> None:
        """Remove the chunks of one pass."""
        shutil.rmtree(self.folder / name, ignore_errors=True)


class ChunkCheckpoint(CheckpointerABC):  # type: ignore[misc]  # coffea has no types
    """
    What the chunks of one pass gave, for ``coffea.processor.Runner(checkpointer=...)``.

    Parameters
    ----------
    folder : str
        Of this pass.
    key : bytes
        Digest of the run and the pass, written at the start of each file.
    """

    def __init__(self, folder: str, key: bytes) -> None:
        self.folder = folder
        self.key = key

    @property
    def n_chunks(self) -> int:
        """Number of finished chunks."""
        return sum(1 for _ in Path(self.folder).glob("[0-9]*.chunk"))

    def load(self, metadata: Mapping[str, Any], processor_instance: Any) -> Any:
        """
        Return what a chunk gave, or None if it is not there whole.

        Parameters
        ----------
        metadata : mapping
            ``events.metadata`` of the chunk.
        processor_instance : object
            Not needed: the key tells.

        Returns
        -------
        accumulatable or None
            As :meth:`save` got it.

        Raises
        ------
        ValueError
            If the file was written by another run.
        """
        del processor_instance
        path = self._path(metadata)
        if not path.exists():
            return None
        content = path.read_bytes()
        key, digest, payload = (
            content[:_DIGEST_BYTES],
            content[_DIGEST_BYTES : 2 * _DIGEST_BYTES],
            content[2 * _DIGEST_BYTES :],
        )
        if hashlib.sha256(key + payload).digest() != digest:
            _log.warning("%s is damaged; its chunk is processed again", path)
            return None
        if key != self.key:
            msg = f"{path} was written by another run than the rest of its folder; delete the file"
            raise ValueError(msg)
        return pickle.loads(zlib.decompress(payload))  # noqa: S301 - written by this run

    def save(self, output: Any, metadata: Mapping[str, Any], processor_instance: Any) -> None:
        """
        Write what a chunk gave, completely or not at all; go on without where there is no space.

        Parameters
        ----------
        output : accumulatable
            What the chunk gave.
        metadata : mapping
            ``events.metadata`` of the chunk.
        processor_instance : object
            Not needed.
        """
        del processor_instance
        payload = zlib.compress(cloudpickle.dumps(output), level=1)
        path = self._path(metadata)
        try:
            with written_whole(path, force=True) as temporary:
                temporary.write_bytes(self.key + hashlib.sha256(self.key + payload).digest() + payload)
        except OSError as error:
            if self.folder not in _said:  # once per process: the driver counts what lacks
                _said.add(self.folder)
                _log.warning(
                    "%s could not be written (%s); an interrupted run will process such chunks again", path, error
                )

    def _path(self, metadata: Mapping[str, Any]) -> Path:
        start, stop = metadata["entrystart"], metadata["entrystop"]
        return Path(self.folder) / f"{metadata['chunk_index']:06d}_{start}-{stop}.chunk"


def _read_key(file: Path) -> dict[str, str]:
    try:
        return read_verified_json(file)
    except UnreadableFileError as error:
        msg = f"{error}; delete its folder to start anew, or name another"
        raise ValueError(msg) from error


def _check(path: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    differing = [name for name in {**found, **expected} if found.get(name) != expected.get(name)]
    if differing:
        msg = (
            f"checkpoint {path} belongs to another run: {', '.join(differing)} differ; "
            "delete it to start anew, or name another folder"
        )
        raise ValueError(msg)
