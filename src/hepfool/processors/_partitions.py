# SPDX-License-Identifier: BSD-3-Clause
"""A pass over the events that writes the selected ones to files, where they are too many to be returned."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coffea.processor import ProcessorABC

from hepfool.events import EventTable
from hepfool.io._partitions import Partitions, empty, write_partition
from hepfool.processors._chunk import bookkeeping, finished_in_place
from hepfool.processors._collected import without_blinded
from hepfool.processors.analysis import Analysis


@dataclass(frozen=True)
class _First:
    """What is the same for all chunks: of two, the first is kept."""

    table: EventTable

    def __add__(self, other: _First) -> _First:
        return self


@dataclass(frozen=True)
class PartitionProcessor(ProcessorABC):  # type: ignore[misc]
    """
    Write the selected columns of every chunk to a folder.

    Parameters
    ----------
    folder : str or Path
        An existing folder that all workers and the driver see under this name.
    unblind : bool
        Whether to read unlabelled events (data) in signal regions.

    Notes
    -----
    A chunk that is run again replaces its own file.  The final output holds ``partitions``
    (:class:`~hepfool.io.Partitions`), in the order of dataset, file and entry, ``n_events``
    and ``processed``; the manifest is in the folder.
    """

    analysis: Analysis
    folder: str | Path
    unblind: bool = False

    def process(self, events: Any) -> dict[str, Any]:
        """Select and write the events of one chunk."""
        table = self.analysis.build(events)
        kept = without_blinded(table, unblind=self.unblind)
        chunk = tuple(events.metadata[key] for key in ("dataset", "filename", "entrystart", "entrystop"))
        name = (
            f"{re.sub(r'[^A-Za-z0-9_-]', '-', str(chunk[0]))}-{hashlib.sha256(repr(chunk).encode()).hexdigest()[:20]}"
        )
        try:
            file = write_partition(self.folder, name, kept)
        except OSError as error:
            # A runner with skipbadfiles would take an OSError, also as a cause, for a bad input file.
            msg = f"no events can be written to {self.folder}: {error}; name a folder that every worker may write to"
            raise RuntimeError(msg) from None
        return {"files": {chunk: file}, "like": _First(empty(kept)), **bookkeeping(table, events.metadata)}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Write the manifest in the driver."""
        files = tuple(accumulator["files"][chunk] for chunk in sorted(accumulator["files"]))
        partitions = Partitions(folder=Path(self.folder), files=files, like=accumulator["like"].table)
        partitions.save()
        rest = {key: accumulator[key] for key in ("n_events", "processed")}
        return finished_in_place(accumulator, {"partitions": partitions, **rest})
