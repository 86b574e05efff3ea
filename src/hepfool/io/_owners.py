# SPDX-License-Identifier: BSD-3-Clause
"""Identify the writing process, and reserve a folder for one run at a time."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

#: Name of the file that claims a folder.
CLAIM: Final = "running.json"


def writer() -> str:
    """Identify this process among those of all machines."""
    return f"{_machine()}-{os.getpid()}"


def is_running(name: str) -> bool | None:
    """Whether the process named by :func:`writer` still runs."""
    machine, _, pid = name.partition("-")
    return _alive(int(pid)) if machine == _machine() else None


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """
    Use a folder alone.

    A claim that a killed process of this machine left is taken over.  So is one of another machine, which cannot be asked
    whether its process runs: everything in such folders is written under names of its own, so that no run
    damages what another does.
    """
    path = folder / CLAIM
    claim = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
    _check(path)
    own = json.dumps(claim).encode()
    temporary = folder / f".{CLAIM}-{writer()}"
    try:
        temporary.write_bytes(own)
        temporary.replace(path)
    except OSError:  # a full disk: a claim is a courtesy
        temporary.unlink(missing_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_bytes() == own:
                path.unlink()


def _check(path: Path) -> None:
    claim = _read(path)
    pid = claim.get("pid")
    if claim.get("host") != socket.gethostname() or not isinstance(pid, int) or not _alive(pid):
        return
    if claim.get("started") not in {None, _started(pid)}:  # another process has the number of a dead one
        return
    msg = (
        f"{path.parent} is in use by process {pid} on {claim['host']}; wait for it, stop it (kill {pid}), or name "
        "another folder"
    )
    raise ValueError(msg)


def _read(path: Path) -> dict[str, Any]:
    try:
        claim = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return claim if isinstance(claim, dict) else {}


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process was started, in ticks of the system; None where that cannot be looked up."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
