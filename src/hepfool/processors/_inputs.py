# SPDX-License-Identifier: BSD-3-Clause
"""Chunks to be read in all passes, and what was read."""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uproot
from coffea.processor import Runner

from hepfool.exceptions import IncompleteInputError
from hepfool.processors._completeness import broken_file, incomplete_message, truncation
from hepfool.processors._filesets import FILE_STATE, canonical, check_fileset, file_state, files_and_trees


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """Expected and processed events of every file."""

    expected: Mapping[str, Mapping[str, int]]
    processed: Mapping[str, Mapping[str, int]]
    bad: Mapping[str, str]  # why a file was left out, by file; none unless that was allowed

    @property
    def n_expected(self) -> int:
        """Events of all files that could be opened."""
        return sum(sum(files.values()) for files in self.expected.values())

    @property
    def n_processed(self) -> int:
        """Events that were read."""
        return sum(sum(files.values()) for files in self.processed.values())

    @property
    def n_lost(self) -> int:
        """Events that were not."""
        return self.n_expected - self.n_processed

    def as_dict(self) -> dict[str, Any]:
        """Sum up in plain JSON."""
        numbers = {"expected": self.n_expected, "processed": self.n_processed, "lost": self.n_lost}
        return {**numbers, "allowed_missing": dict(self.bad)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The chunks of all passes."""

    # ordered by dataset, file and entry, empty ones last, with their position as chunk_index in the metadata
    chunks: tuple[Any, ...]
    bad: Mapping[str, str]  # why a file is not among them

    @property
    def expected(self) -> dict[str, dict[str, int]]:
        """Events by dataset and file."""
        events: dict[str, Counter[str]] = defaultdict(Counter)
        for chunk in self.chunks:
            events[chunk.dataset][chunk.filename] += len(chunk)
        return {dataset: dict(files) for dataset, files in events.items()}

    def as_named_now(self, processed: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
        """Give files the names of this fileset: those of a checkpoint may be others, relative ones for instance."""
        names = {(chunk.dataset, canonical(chunk.filename)): chunk.filename for chunk in self.chunks}
        return {
            dataset: {names.get((dataset, canonical(file)), file): n for file, n in files.items()}
            for dataset, files in processed.items()
        }

    def changes(self) -> dict[str, str]:
        """Open every file again."""
        files = {chunk.filename: chunk for chunk in self.chunks}
        found = {name: broken_file(name, chunk.treename) or _changed(chunk) for name, chunk in files.items()}
        return {name: reason for name, reason in found.items() if reason}


def open_fileset(
    runner: Runner, fileset: Mapping[str, Any], *, treename: str = "Events", allow_missing: bool = False
) -> Inputs:
    """Open every file once and cut it into chunks."""
    check_fileset(fileset)
    trees = files_and_trees(fileset, treename)
    # A cache of its own: that of coffea lives as long as the process and knows nothing of files that changed.
    lenient = dataclasses.replace(runner, skipbadfiles=(Exception,), metadata_cache={}, use_result_type=False)
    if runner.format == "root":
        lenient.metadata_fetcher_root = _fetch
    bad: dict[str, str] = {}
    with quiet_retries():
        try:
            chunks = list(lenient.preprocess(_normalised(fileset, trees, {})))
        except Exception:  # coffea's reduction fails if all of its files do
            bad = _broken(trees)
            if not bad:
                raise
            chunks = list(lenient.preprocess(_normalised(fileset, trees, bad))) if allow_missing else []
    # A file may open and still lack its end.
    cut = {file: truncation(file) for file in {chunk.filename for chunk in chunks}}
    bad |= {file: reason for file, reason in sorted(cut.items()) if reason}
    chunks = [chunk for chunk in chunks if chunk.filename not in bad]
    opened = {(chunk.dataset, chunk.filename) for chunk in chunks}
    if runner.maxchunks is None:
        absent = {f: t for d, files in trees.items() for f, t in files.items() if (d, f) not in opened and f not in bad}
        bad |= {file: broken_file(file, tree) or "could not be opened" for file, tree in absent.items()}
    if bad and not (allow_missing and chunks):
        raise IncompleteInputError(incomplete_message("cannot be read", bad))
    _warn_of_copies(chunks)
    return Inputs(chunks=_numbered(chunks), bad=bad)


@contextmanager
def quiet_retries() -> Iterator[None]:
    """Leave out what coffea says about each attempt: what matters is said at the end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Performed attempt|Skipping bad file")
        yield


def _fetch(*arguments: Any) -> Any:
    """Let coffea count events, and write down the state of the file beside them."""
    found = Runner.metadata_fetcher_root(*arguments)
    for meta in found:
        with uproot.open({meta.filename: None}) as opened:
            meta.metadata[FILE_STATE] = file_state(opened.file, meta.treename)
    return found


def _normalised(
    fileset: Mapping[str, Any], trees: Mapping[str, Mapping[str, str]], bad: Mapping[str, str]
) -> dict[str, Any]:
    """Give every file its tree; leave out bad files, and datasets without any other."""
    normalised = {}
    for dataset, files in trees.items():
        entry = fileset[dataset] if isinstance(fileset[dataset], Mapping) else {}
        kept = {file: tree for file, tree in files.items() if file not in bad}
        if kept:
            # A dataset's own tree, or a treename given to coffea, would win over those of the files.
            normalised[dataset] = {
                **entry,
                "metadata": dict(entry.get("metadata") or {}),
                "files": kept,
                "treename": None,
            }
    return normalised


def _broken(trees: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    found = {file: broken_file(file, tree) for files in trees.values() for file, tree in files.items()}
    return {file: reason for file, reason in found.items() if reason}


def _warn_of_copies(chunks: Iterable[Any]) -> None:
    files: dict[tuple[bytes, str], dict[str, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for chunk in chunks:
        names = files[bytes(chunk.fileuuid), chunk.treename]
        names[canonical(chunk.filename)].add((chunk.dataset, chunk.filename))
    for names in files.values():
        for uses in names.values():
            if len(uses) > 1:
                datasets = ", ".join(repr(dataset) for dataset, _ in sorted(uses))
                name = min(file for _, file in uses)
                _warn(
                    f"{name} is in the datasets {datasets}, so its events count once in each; take it out of all but one"
                )
    copies = [
        ", ".join(sorted(min(f for _, f in uses) for uses in names.values()))
        for names in files.values()
        if len(names) > 1
    ]
    if copies:
        _warn(
            f"files with the same UUID look like copies, whose events count twice: {'; '.join(copies)}; "
            "all are processed, take copies out of the fileset"
        )


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)


def _numbered(chunks: Iterable[Any]) -> tuple[Any, ...]:
    # Empty ones last: they change nothing then, not even the order in which the others are summed.
    ordered = sorted(chunks, key=lambda c: (not len(c), c.dataset, canonical(c.filename), c.treename, c.entrystart))
    return tuple(
        dataclasses.replace(chunk, usermeta={**(chunk.usermeta or {}), "chunk_index": k})
        for k, chunk in enumerate(ordered)
    )


def _changed(chunk: Any) -> str | None:
    with uproot.open(chunk.filename) as file:
        again = "while the analysis ran; start again with the files as they are now"
        if file.file.fUUID != chunk.fileuuid:
            return f"was replaced by another file {again}"
        state = (chunk.usermeta or {}).get(FILE_STATE)
        if state is not None and file_state(file.file, chunk.treename) != state:
            return f"was rewritten {again}"
    return None
