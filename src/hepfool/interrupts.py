# SPDX-License-Identifier: BSD-3-Clause
"""Signals with which a batch system or a terminal ends a run, turned into exceptions, so that everything is cleaned up."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

from hepfool.exceptions import Interrupted

_Result = TypeVar("_Result", bound="_Interruptible")

#: Those that would end the process on the spot: of batch systems before they kill, and of a terminal that is closed.
_NAMES: Final = ("SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2")


class _Interruptible(Protocol):
    @property
    def interrupted(self) -> bool: ...


def completed(result: _Result) -> _Result:
    """Refuse an interrupted result as input of a larger study."""
    if result.interrupted:
        raise Interrupted
    return result


@dataclass(slots=True)
class Received:
    """What has arrived."""

    number: int = signal.SIGINT
    # where the run keeps what is finished, to resume from
    kept: list[str | Path] = field(default_factory=list)

    @property
    def status(self) -> int:
        """Exit status: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.number

    def kept_now(self) -> list[str]:
        """Choose the files, and the folders that hold something, that exist."""
        return [str(p) for p in map(Path, self.kept) if p.is_file() or (p.is_dir() and any(p.iterdir()))]


@contextmanager
def stopped_by_signals(error: Callable[[int], BaseException]) -> Iterator[Received]:
    """Raise an exception where a signal would end the process on the spot."""
    received = Received()

    def stop(number: int, _: object) -> None:
        received.number = number
        raise error(number)

    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    here = threading.current_thread() is threading.main_thread()
    taken = [number for number in numbers if here and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield received
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def command_to_go_on(*further: str) -> str:
    """Command line of this process, to repeat it."""
    if Path(sys.argv[0]).name not in {"hepfool", "__main__.py"}:
        return " ".join(("the same command", *(f"with {option}" for option in further)))
    options = [option for option in further if option not in sys.argv]
    return shlex.join(["hepfool", *sys.argv[1:], *options])
