# SPDX-License-Identifier: BSD-3-Clause
"""Warn when a run waits for absent workers: dask waits for ever without a message."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_log = logging.getLogger(__name__)

#: Seconds between two looks at the cluster, at most.
_LOOK: Final = 5.0
_SHOWN: Final = 3


@contextmanager
def watched_workers(
    executor: Any, *, what: str, patience: float = 60.0, kept: Callable[[], str] = lambda: ""
) -> Iterator[None]:
    """Log a warning if a cluster of dask has had no worker for a while, and a line when one is back."""
    client = getattr(executor, "client", None) or getattr(executor, "_client", None)
    if not hasattr(client, "scheduler_info"):
        yield
        return
    finished = threading.Event()
    watch = threading.Thread(target=_watch, args=(client, patience, what, kept, finished), daemon=True)
    watch.start()
    try:
        yield
    finally:
        finished.set()
        watch.join(timeout=_LOOK)


def _watch(client: Any, patience: float, what: str, kept: Callable[[], str], finished: threading.Event) -> None:
    seen, last, said = time.monotonic(), [""], False
    busy = seen
    while not finished.wait(min(_LOOK, patience / 4)):
        try:
            workers = sorted(client.scheduler_info()["workers"])
            forgotten = _lost(client) if workers else []
            busy = busy if forgotten else time.monotonic()
            if forgotten and time.monotonic() - busy >= patience:
                _log.warning(
                    "the scheduler has forgotten %d tasks of %s; they count as lost with their worker",
                    len(forgotten),
                    what,
                )
                client.cancel(forgotten)
        except Exception:  # noqa: BLE001 - the scheduler is gone, which the run itself notices
            return
        if workers:
            if said:
                _log.warning("%d workers are back; %s continues", len(workers), what)
            seen, last, said = time.monotonic(), workers, False
        elif not said and time.monotonic() - seen >= patience:
            said = True
            lost = f"all workers are lost ({_few(last)})" if last != [""] else "no worker has come"
            address = client.scheduler.address if client.scheduler is not None else "the scheduler"
            _log.warning(
                "%s at %s for %.3g s: %s waits and continues as soon as there is a worker; start some (such as "
                "cluster.scale(2), or: dask worker %s), or interrupt. %s",
                *(lost, address, patience, what, address, kept()),
            )


def _lost(client: Any) -> list[Any]:
    """Futures that wait although nothing is being worked on: ``client.restart()`` at the wrong moment forgets them."""
    if any(client.processing().values()):
        return []
    from distributed import Future  # noqa: PLC0415 - there is a client of it

    return [Future(key, client=client) for key, state in list(client.futures.items()) if state.status == "pending"]


def _few(names: list[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])])
