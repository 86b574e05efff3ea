# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of finished parts of a study, so that it goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hepfool.identity import identity
from hepfool.io import WorkFolder, key_of

__all__ = ["kept"]


def kept(folder: Path | None, key: object, compute: Callable[[], Any]) -> Any:
    """
    Return numbers that were computed before, or compute and keep them.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where they are kept, for this version of the code; nothing is when left out.
    key : object
        Everything that they depend on.
    compute : callable
        Returns a record, or numbers by name.

    Returns
    -------
    dict
        The record as a dictionary, the same whether it was kept or not.
    """
    part = (
        None
        if folder is None
        else WorkFolder(folder).part("numbers", key_of(identity(key)), what="a part of the study")
    )
    found = None if part is None else part.load(json.loads)
    if found is not None:
        return found
    made = compute()
    text = json.dumps(made if isinstance(made, dict) else asdict(made))
    if part is not None and folder is not None:
        WorkFolder(folder).prepare()
        part.save(text.encode())
    return json.loads(text)
