# SPDX-License-Identifier: BSD-3-Clause
"""Datasets and their files: which there are, what a file is called, and in which state it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

#: Name in the metadata of a chunk of what :func:`file_state` said when its file was opened first.
FILE_STATE: Final = "file_state"
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/]*)(/.*)?")


def files_and_trees(fileset: Mapping[str, Any], treename: str) -> dict[str, dict[str, str]]:
    """Tree name by dataset and file, for all forms of a fileset."""
    result = {}
    for dataset, entry in fileset.items():
        files = entry["files"] if isinstance(entry, Mapping) else entry
        tree = entry.get("treename", treename) if isinstance(entry, Mapping) else treename
        trees = files if isinstance(files, Mapping) else dict.fromkeys(files, tree)
        result[dataset] = {str(file): str(name) for file, name in trees.items()}
    return result


def check_fileset(fileset: Mapping[str, Any]) -> None:
    """Refuse a fileset from which no result, or a wrong one, would follow."""
    if not fileset:
        msg = f"the fileset holds no dataset: {fileset!r:.80}; give a mapping such as {{'ttbar': {{'files': ['ttbar.root']}}}}"
        raise ValueError(msg)
    for dataset, entry in fileset.items():
        files = entry.get("files") if isinstance(entry, Mapping) else entry
        if isinstance(files, str | bytes) or not isinstance(files, Iterable):
            msg = f"dataset {dataset!r} names {files!r:.80} in place of a list of files; write ['a.root', 'b.root']"
            raise ValueError(msg)  # noqa: TRY004 - the content of a fileset, not an argument
        names = [str(file) for file in files]
        if not names:
            msg = f"dataset {dataset!r} names no file; name its files, or take it out of the fileset"
            raise ValueError(msg)
        found = Counter(map(canonical, names))
        twice = [name for name in names if found[canonical(name)] > 1]
        if twice:
            shown = ", ".join(dict.fromkeys(twice))
            msg = f"dataset {dataset!r} lists {shown} twice, so its events would count twice; list it once"
            raise ValueError(msg)


def canonical(file: str) -> str:
    """One name per file, however it was given."""
    url = _SCHEME.fullmatch(file)
    if url is None:
        return str(Path(file).resolve())
    host, path = url[1], re.sub("/+", "/", url[2] or "")
    return str(Path(path).resolve()) if host.lower() == "file://" else host + path


def file_state(file: Any, tree: str) -> str:
    """State of a ROOT file, which changes with an update in place that keeps its UUID."""
    key = file.root_directory.key(tree)
    return f"{file.fEND} {key.fSeekKey} {key.fNbytes} {key.fDatime}"
