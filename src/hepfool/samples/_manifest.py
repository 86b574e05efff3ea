# SPDX-License-Identifier: BSD-3-Clause
"""The file ``manifest.json`` that says how each data file beside it was made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hepfool.identity import file_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRecord:
    """What one generator run did."""

    name: str
    seed: int  # seed of Pythia; the detector's random numbers follow from it
    tune: int  # value of Tune:pp
    settings: tuple[str, ...]  # lines of Pythia settings that define the process
    branching_ratio: float  # forced branching fraction, contained in the cross section
    cross_section_pb: float  # leading-order cross section in pb
    n_generated: int
    n_selected: int  # events left after the reference selection, before momenta were rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file in the manifest."""

    file: str
    sha256: str  # digest of the file, to notice a damaged one
    request: dict[str, Any]  # arguments that made it; a file with the same request is not made twice
    metadata: dict[str, Any]
    n_events: int
    n_selected: int  # events left after the reference selection
    components: tuple[ComponentRecord, ...]


class Manifest:
    """The file ``manifest.json`` beside the data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"

    def read(self) -> dict[str, Any]:
        """Entries by dataset name, empty if there is no manifest yet."""
        if not self.path.exists():
            return {}
        entries: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return entries

    def add(self, name: str, entry: Entry) -> None:
        """Add or replace one entry."""
        entries = dict(sorted({**self.read(), name: asdict(entry)}.items()))
        self.path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")

    def has(self, name: str, request: dict[str, Any]) -> bool:
        """Whether a file made by the same request lies there undamaged."""
        entry = self.read().get(name)
        if entry is None or entry["request"] != request:
            return False
        path = self.folder / entry["file"]
        return path.exists() and file_digest(path) == str(entry["sha256"])
