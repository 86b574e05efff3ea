# SPDX-License-Identifier: BSD-3-Clause
"""Limit torch, numba kernels and linear algebra to the threads of a worker; each would take all cores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from hepfool import _kernels as kernels


def use_threads(n_threads: int) -> None:
    """Limit the threads of this process from now on."""
    kernels.limit_threads(n_threads)
    threadpool_limits(n_threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n_threads)


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Limit the threads of this process for a while."""
    if n_threads is None:
        yield
        return
    torch = sys.modules.get("torch")
    former = torch.get_num_threads() if torch else None
    limit = kernels.limit_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            use_threads(n_threads)
            yield
    finally:
        kernels.limit_threads(limit)
        if torch and former:
            torch.set_num_threads(former)
