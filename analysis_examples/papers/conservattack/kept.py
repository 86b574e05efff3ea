# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of finished parts of a study, so that it goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hepfool.identity import identity

__all__ = ["kept"]


def kept(folder: Path | None, key: object, compute: Callable[[], Any]) -> Any:
    """
    Return numbers that were computed before, or compute and keep them.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Where they are kept as JSON; nothing is when left out.
    key : object
        Everything that they depend on.
    compute : callable
        Returns a record, or numbers by name.

    Returns
    -------
    dict
        The record as a dictionary, the same whether it was kept or not.
    """
    path = None if folder is None else folder / f"{identity(key)[:16]}.json"
    if path is not None and path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    found = compute()
    text = json.dumps(found if isinstance(found, dict) else asdict(found))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    return json.loads(text)
