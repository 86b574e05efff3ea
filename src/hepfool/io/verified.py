# SPDX-License-Identifier: BSD-3-Clause
"""
Finished work in files that tell when they are damaged.

The digest of all that follows stands in the first line.  A changed bit, a lost end or an empty file is found before anything of
the content is used.  JSON stays JSON: its first line is the member ``sha256`` of the object.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from hepfool.exceptions import UnreadableFileError
from hepfool.io.files import written_whole

__all__ = [
    "belongs_here",
    "kept_or_none",
    "read_verified",
    "read_verified_json",
    "write_verified",
    "write_verified_json",
]

_Content = TypeVar("_Content")

_JSON: Final = b'{"sha256": "'
_HEADER: Final = re.compile(rb'(?:sha256 |\{"sha256": ")([0-9a-f]{64})(?:|",)')


def write_verified(path: str | Path, content: bytes) -> None:
    """
    Write bytes below their digest, completely or not at all.

    Parameters
    ----------
    path : str or Path
        File to write, or to replace.
    content : bytes
        Anything.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a"
    ...     write_verified(path, b"whole")
    ...     read_verified(path)
    b'whole'
    """
    with written_whole(path, force=True) as temporary:
        temporary.write_bytes(b"sha256 " + _digest(content) + b"\n" + content)


def read_verified(path: str | Path) -> bytes:
    """
    Read what :func:`write_verified` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    bytes
        The content, to the last bit.

    Raises
    ------
    UnreadableFileError
        If a bit differs, something is missing, or the file is another one.
    FileNotFoundError
        If there is no such file.
    """
    return _split(Path(path))[1]


def write_verified_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """
    Write a JSON object whose first member is the digest of the rest of the file.

    Parameters
    ----------
    path : str or Path
        File to write, or to replace.
    content : mapping
        At least one member, of plain values.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.json"
    ...     write_verified_json(path, {"seed": 7})
    ...     read_verified_json(path), json.loads(path.read_text())["seed"]
    ({'seed': 7}, 7)
    """
    rest = (json.dumps(dict(content), indent=1).removeprefix("{\n") + "\n").encode()
    with written_whole(path, force=True) as temporary:
        temporary.write_bytes(_JSON + _digest(rest) + b'",\n' + rest)


def read_verified_json(path: str | Path) -> dict[str, Any]:
    """
    Read what :func:`write_verified_json` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict
        Without the digest.

    Raises
    ------
    UnreadableFileError
        If a bit differs, something is missing, or the file is another one.
    FileNotFoundError
        If there is no such file.
    """
    header, rest = _split(Path(path))
    content: dict[str, Any] = json.loads(header + b"\n" + rest) if header.startswith(b"{") else {}
    return {name: value for name, value in content.items() if name != "sha256"}


def belongs_here(path: Path) -> bool:
    """
    Tell whether a JSON file may be replaced, however damaged it is.

    Parameters
    ----------
    path : Path
        Named by a user, who may have named a file of his own.

    Returns
    -------
    bool
        Whether it is absent, empty, or begins as :func:`write_verified_json` begins.
    """
    if not path.exists():
        return True
    with path.open("rb") as file:
        return file.read(len(_JSON)) in {b"", _JSON}


def kept_or_none(read: Callable[[Path], _Content], path: Path, *, what: str) -> _Content | None:
    """
    Read finished work, or say that it is damaged and must be done again.

    Parameters
    ----------
    read : callable
        Takes the path; raises ``ValueError`` on damage.
    path : Path
        Of the file.
    what : str
        What is done again, such as ``the step 'attack'``.

    Returns
    -------
    object or None
        None if there is no file, or no sound one.

    Warns
    -----
    UserWarning
        If it is damaged.
    """
    if not path.exists():
        return None
    try:
        return read(path)
    except (FileNotFoundError, ValueError) as error:
        warnings.warn(f"{error}; {what} is done again", UserWarning, stacklevel=3)
        return None


def _split(path: Path) -> tuple[bytes, bytes]:
    header, _, rest = path.read_bytes().partition(b"\n")
    found = _HEADER.fullmatch(header)
    if found is None or found[1] != _digest(rest):
        msg = f"{path} is damaged or was written by another version"
        raise UnreadableFileError(msg)
    return header, rest


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
