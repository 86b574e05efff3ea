# SPDX-License-Identifier: BSD-3-Clause
"""Processing of a chunk on a worker, and messages for failures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from coffea.nanoevents.util import key_to_tuple
from coffea.processor import ProcessorABC

from hepfool.processors._counters import check_counters
from hepfool.processors._filesets import FILE_STATE, file_state
from hepfool.processors._handles import Handle
from hepfool.processors._ordered import OrderedSum
from hepfool.processors._threads import use_threads

#: Raised by dask, which may not be installed.
_LOST_NAMES: Final = ("KilledWorker", "CommClosedError", "FutureCancelledError")
_MEMORY_NAMES: Final = ("MemoryError", "OutOfMemoryError", "KilledWorker")
_CHUNK: Final = re.compile(r"filename='(?P<file>[^']*)'.*?entrystart=(?P<start>\d+), entrystop=(?P<stop>\d+)")


@dataclass(frozen=True)
class WorkerPass(ProcessorABC):  # type: ignore[misc]  # coffea has no types
    """One pass of an analysis on the workers."""

    handle: Handle
    threads: int | None = None
    check_files: bool = True
    nanoaod: bool = False
    branches: tuple[str, ...] | None = None

    def process(self, events: Any) -> OrderedSum:
        """Process one chunk."""
        if self.check_files:
            _check_file(events)
        if self.nanoaod:
            _check_counters(events, self.branches)
        processor = self.handle.get()
        if self.threads is not None:
            use_threads(self.threads)  # after the processor, whose network has loaded PyTorch
        return OrderedSum.of(int(events.metadata["chunk_index"]), processor.process(events))

    def postprocess(self, accumulator: OrderedSum) -> OrderedSum:
        """Leave the rest to the driver."""
        return accumulator


def _check_file(events: Any) -> None:
    factory = events.attrs["@events_factory"]
    found, tree, _ = key_to_tuple(factory._partition_key)  # noqa: SLF001 - coffea shows it nowhere else
    expected = events.metadata["fileuuid"]
    if found != expected:
        msg = (
            f"{events.metadata['filename']} was replaced while the analysis ran: its UUID was {expected} and is {found}"
        )
        raise RuntimeError(msg)
    opened = factory._mapping._column_source(found, tree)  # noqa: SLF001 - the tree is open, to open it again costs more
    before = events.metadata.get(FILE_STATE)
    if before is not None and file_state(opened.file, tree) != before:
        msg = f"{events.metadata['filename']} was rewritten while the analysis ran"
        raise RuntimeError(msg)


def _check_counters(events: Any, branches: Sequence[str] | None) -> None:
    factory = events.attrs["@events_factory"]
    uuid, tree, _ = key_to_tuple(factory._partition_key)  # noqa: SLF001
    opened = factory._mapping._column_source(uuid, tree)  # noqa: SLF001 - the tree is open, to open it again costs more
    start, stop = (events.metadata[key] for key in ("entrystart", "entrystop"))
    try:
        check_counters(opened, start, stop, patterns=branches)
    except ValueError as error:
        msg = f"{events.metadata['filename']}: {error}"
        raise ValueError(msg) from None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a pass failed."""

    error: BaseException  # what the runner raised

    @property
    def of_worker(self) -> bool:
        """Whether the workers failed, not the analysis or its input."""
        lost = (BrokenExecutor, CancelledError, MemoryError)
        return any(isinstance(e, lost) for e in _chain(self.error)) or self._names(_LOST_NAMES) or self.of_memory

    @property
    def of_memory(self) -> bool:
        """Whether another attempt would fail again for lack of memory."""
        return any(isinstance(e, MemoryError) for e in _chain(self.error)) or self._names(_MEMORY_NAMES)

    def advice(self, *, name: str, chunks: Iterable[Any], chunksize: int, kept: str) -> str:
        """Say what to do."""
        where = _CHUNK.search(str(self.error))
        at = f" at {PurePath(where['file']).name}, events {where['start']} to {where['stop']}" if where else ""
        largest = max((len(chunk) for chunk in chunks), default=0)
        what = "a worker died or ran out of memory" if self.of_memory else "workers or their scheduler were lost"
        *_, first = _chain(self.error)
        cause = type(first).__name__
        return (
            f"{what} in pass {name!r}{at} ({cause}). Lower chunksize (now {chunksize}, largest chunk {largest} events), give "
            f"each worker more memory or fewer threads, or replace the cluster if it is gone. {kept}"
        )

    def _names(self, names: Iterable[str]) -> bool:
        return any(name in f"{type(e).__name__} {e}" for e in _chain(self.error) for name in names)


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
