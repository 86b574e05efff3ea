# SPDX-License-Identifier: BSD-3-Clause
"""JSON files with a check sum: their first member is the ``sha256`` of all that follows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hepfool.exceptions import UnreadableFileError
from hepfool.io._files import written_whole

_HEADER: Final = re.compile(rb'\{"sha256": "([0-9a-f]{64})",')


def write_verified_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object whose first member is the digest of the rest of the file."""
    rest = (json.dumps(dict(content), indent=1).removeprefix("{\n") + "\n").encode()
    with written_whole(path, force=True) as temporary:
        temporary.write_bytes(b'{"sha256": "%s",\n' % _digest(rest) + rest)


def read_verified_json(path: str | Path) -> dict[str, Any]:
    """Read what :func:`write_verified_json` wrote."""
    header, _, rest = Path(path).read_bytes().partition(b"\n")
    found = _HEADER.fullmatch(header)
    if found is None or found[1] != _digest(rest):
        msg = f"{path} is damaged or was written by another version"
        raise UnreadableFileError(msg)
    content: dict[str, Any] = json.loads(header + b"\n" + rest)
    return {name: value for name, value in content.items() if name != "sha256"}


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
