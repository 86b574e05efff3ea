# SPDX-License-Identifier: BSD-3-Clause
"""How functions are compiled: those that run once per candidate are worth some care."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core.options import DefaultOptions

__all__ = ["allocating_kernel", "inline_kernel", "kernel", "limit_threads", "summing_kernel", "threads"]

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}
# Counting references to arrays takes longer than the arithmetic on a handful of their elements.  A kernel
# without counts can neither create nor keep an array; the compiler refuses one that tries.
_UNCOUNTED: dict[str, Any] = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that is given all the arrays it needs."""
    compiled: Callable[P, R] = numba.njit(**_OPTIONS, **_UNCOUNTED)(function)
    return compiled


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small one, to be merged with its callers."""
    compiled: Callable[P, R] = numba.njit(forceinline=True, **_OPTIONS, **_UNCOUNTED)(function)
    return compiled


def summing_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a sum that may be done in any order, so that it vectorises; the order is fixed once compiled."""
    options: dict[str, Any] = {"forceinline": True, "fastmath": {"reassoc", "contract"}}
    compiled: Callable[P, R] = numba.njit(**options, **_OPTIONS, **_UNCOUNTED)(function)
    return compiled


def allocating_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that creates arrays."""
    compiled: Callable[P, R] = numba.njit(**_OPTIONS)(function)
    return compiled


_limit: int | None = None


def limit_threads(n_threads: int | None) -> int | None:
    """Allow this process fewer threads than ``NUMBA_NUM_THREADS``, or all of them again; return the former limit."""
    global _limit
    former, _limit = _limit, n_threads
    return former


def threads() -> int:
    """Return how many threads may be used, without starting any: ``NUMBA_NUM_THREADS`` (all cores) or fewer."""
    allowed = int(vars(numba.config)["NUMBA_NUM_THREADS"])
    return allowed if _limit is None else min(allowed, _limit)
