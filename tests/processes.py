# SPDX-License-Identifier: BSD-3-Clause
"""Processes to be disturbed, forked from one that has imported what they need."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faulty_run", "tests.slow_attack"])


def fork(target: Callable[..., None], *arguments: Any) -> tuple[ForkServerProcess, int]:
    """Return the process and its number."""
    process = _CONTEXT.Process(target=target, args=arguments)
    process.start()
    assert process.pid is not None
    return process, process.pid
