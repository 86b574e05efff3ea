# SPDX-License-Identifier: BSD-3-Clause
"""Files to start a study or an analysis from, which run as they are on the events of the package."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path


def write_starter(folder: str | Path, *, coffea: bool = False) -> tuple[Path, ...]:
    """
    Write the files of a new study.

    Parameters
    ----------
    folder : str or Path
        Folder to make; an existing one is taken if none of the files is there.
    coffea : bool
        Write an analysis in coffea in place of a plan for flat files.

    Returns
    -------
    tuple of Path
        What was written.

    Raises
    ------
    FileExistsError
        If one of the files exists; nothing is written then.
    """
    sources = _sources("coffea" if coffea else "study")
    paths = [Path(folder) / source.name for source in sources]
    existing = [path for path in paths if path.exists() or path.is_symlink()]
    if existing:
        msg = f"{existing[0]} exists, and is not replaced; name another folder"
        raise FileExistsError(msg)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for source, path in zip(sources, paths, strict=True):
        with path.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    return tuple(paths)


def _sources(kind: str) -> list[Traversable]:
    files = importlib.resources.files("hepfool._starter").joinpath(kind).iterdir()
    return sorted((file for file in files if file.is_file()), key=lambda file: file.name)
