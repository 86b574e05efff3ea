# SPDX-License-Identifier: BSD-3-Clause
"""
Make sure that every event of the fileset was read.

With ``skipbadfiles`` a runner skips the files it cannot read, and its
output is silently smaller.  :func:`run_processor` compares what was processed
with what the fileset holds and names the files that are broken or missing.
"""

from __future__ import annotations

import inspect
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uproot
from coffea.processor import Runner

from hepfool.exceptions import IncompleteInputError
from hepfool.processors._filesets import check_fileset, files_and_trees
from hepfool.processors._workers import watched_workers

#: Start of a ROOT file: magic, version, first record, and the end as 4 bytes or, in large files, as 8.
_HEADER = struct.Struct(">4siii4x")
_LARGE_END = struct.Struct(">q")
_LARGE_VERSION = 1_000_000

_REPAIR = (
    "copy these files again, or remove them from the fileset and from the luminosity "
    "(run_analysis skips unreadable files with allow_missing=True)"
)


def run_processor(
    runner: Runner, fileset: Mapping[str, Any], processor: Any, *, treename: str = "Events", **options: Any
) -> dict[str, Any]:
    """
    Run a processor and check that nothing is missing.

    Parameters
    ----------
    runner : coffea.processor.Runner
        Executor, schema and chunk size of your choice.
    fileset : mapping
        As coffea takes it: files by dataset, with metadata if there are any.
    processor : AttackProcessor or RangeProcessor
        Or any whose output has ``processed`` by dataset and file.
    treename : str
        Name of the tree where the fileset does not give one.
    **options
        Passed to the runner, such as ``uproot_options``.

    Raises
    ------
    ValueError
        If there is no dataset, a dataset names no file, or it lists a file twice.
    IncompleteInputError
        If a file has no such tree, is truncated or unreadable, or if events of it were not processed.
    """
    check_fileset(fileset)
    patterns = getattr(getattr(processor, "analysis", None), "branches", None)
    if (
        patterns and "iteritems_options" in inspect.signature(type(runner).__call__).parameters
    ):  # not before coffea 2025
        options.setdefault("iteritems_options", {"filter_name": list(patterns)})
    try:
        with watched_workers(runner.executor, what="the run"):
            expected = expected_entries(runner, fileset, treename=treename)
            out = runner(fileset, treename=treename, processor_instance=processor, **options)
    except Exception as error:
        broken = _broken_files(fileset, treename)
        if broken:
            raise IncompleteInputError(incomplete_message("cannot be read", broken)) from error
        raise
    merged: dict[str, Any] = out[0] if runner.savemetrics else out
    check_complete(expected, merged)
    return merged


def expected_entries(
    runner: Runner, fileset: Mapping[str, Any], *, treename: str = "Events"
) -> dict[str, dict[str, int | None]]:
    """Count the entries of every file."""
    entries: Counter[tuple[str, str]] = Counter()
    for chunk in runner.preprocess(fileset, treename=treename):
        entries[chunk.dataset, chunk.filename] += len(chunk)
    expected: dict[str, dict[str, int | None]] = {}
    for dataset, files in files_and_trees(fileset, treename).items():
        counted = {file: entries.get((dataset, file)) for file in files}
        if runner.maxchunks is not None:  # the user asked for a part only
            counted = {file: n for file, n in counted.items() if n is not None}
        expected[dataset] = counted
    return expected


def check_complete(expected: Mapping[str, Mapping[str, int | None]], out: Mapping[str, Any]) -> None:
    """Compare what was processed with what the files hold."""
    wrong = {}
    for dataset, files in expected.items():
        for file, entries in files.items():
            processed = out["processed"].get(dataset, {}).get(file, 0)
            if entries is None:
                wrong[file] = f"could not be opened, none of its events is in {dataset!r}"
            elif processed != entries:
                wrong[file] = (
                    f"{processed} of {entries} events of {dataset!r} were processed, {entries - processed} are missing"
                )
    if wrong:
        raise IncompleteInputError(incomplete_message("are incomplete", wrong))


def incomplete_message(problem: str, files: Mapping[str, str]) -> str:
    """Name each file with its reason, and the repair."""
    lines = [f"  {name}: {reason}" for name, reason in files.items()]
    return "\n".join(
        [f"{len(files)} input files {problem}, so events would be missing from the result:", *lines, _REPAIR]
    )


def _broken_files(fileset: Mapping[str, Any], treename: str) -> dict[str, str]:
    reasons = {}
    for files in files_and_trees(fileset, treename).values():
        for file, tree in files.items():
            reason = broken_file(file, tree)
            if reason:
                reasons[file] = reason
    return reasons


def broken_file(file: str, tree: str) -> str | None:
    """Why a file cannot be read, or None if it opens and is as long as it says."""
    try:
        with uproot.open(file) as opened:
            trees = opened.keys(cycle=False, filter_classname=["TTree", "ROOT::RNTuple"])
            if tree not in trees:
                return f"has no tree {tree!r} (it has {', '.join(trees) or 'none'}); name yours with treename"
            return truncation(file)
    except Exception as error:  # noqa: BLE001 - any failure to open is the answer
        return f"is unreadable or truncated ({type(error).__name__}: {str(error).splitlines()[0][:120]})"


def truncation(file: str) -> str | None:
    """Why a ROOT file on this machine is too short, by its own header; None for any other."""
    path = Path(file)
    if not path.is_file():
        return None
    with path.open("rb") as opened:
        head = opened.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(b"root"):
        return None
    _, version, _, small_end, large_end = (*_HEADER.unpack(head), *_LARGE_END.unpack_from(head, 12))
    end, size = large_end if version >= _LARGE_VERSION else small_end, path.stat().st_size
    return f"is truncated: {size} of {end} bytes" if size < end else None
