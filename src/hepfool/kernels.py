# SPDX-License-Identifier: BSD-3-Clause
"""How functions are compiled: those that run once per candidate are worth some care."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core import event, types
from numba.core.event import Event, Listener
from numba.core.options import DefaultOptions
from numba.core.typing import templates

from hepfool.kernel_cache import Kernel

__all__ = ["allocating_kernel", "inline_kernel", "kernel", "limit_threads", "summing_kernel", "threads"]

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: dict[str, Any] = {
    "nopython": True,
    "boundscheck": None,
    "error_model": "numpy",
    "nogil": True,
    "no_cfunc_wrapper": True,
}
# Counting references to arrays takes longer than the arithmetic on a handful of their elements.  A kernel
# without counts can neither create nor keep an array; the compiler refuses one that tries.
_UNCOUNTED: dict[str, Any] = {"_nrt": False} if hasattr(DefaultOptions, "_nrt") else {}
# What is merged with its callers needs no entry from Python and no cache of its own: entries alone take as long
# to compile as the functions, once more in every caller.
_MERGED: dict[str, Any] = {
    "forceinline": True,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    **_UNCOUNTED,
}
_infer_global: Any = templates.infer_global
_register: Any = event.register
_merged: list[Any] = []  # numba itself keeps weak references only


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that is given all the arrays it needs."""
    return _compiled(function, **_UNCOUNTED)


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small one, to be merged with its callers; called from Python it runs as it stands."""
    return _merge(function)


def summing_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Merge a sum that may be done in any order, so that it vectorises; the order is fixed once compiled."""
    return _merge(function, fastmath={"reassoc", "contract"})


def _merge(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    if not vars(numba.config)["DISABLE_JIT"]:
        _merged.append(numba.njit(**_MERGED, **options)(function))
        _infer_global(function, types.Dispatcher(_merged[-1]))
    return function


def allocating_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that creates arrays."""
    return _compiled(function)


def _compiled(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    """Do what ``numba.njit`` does, with a cache that may be shared and damaged."""
    if vars(numba.config)["DISABLE_JIT"]:
        return function
    compiled: Callable[P, R] = Kernel(cast("FunctionType", function), targetoptions={**_OPTIONS, **options})
    return compiled


class _Collector(Listener):
    """
    Hold the garbage collector off while something is compiled.

    Compiling makes many objects and little garbage; again and again the collector would walk through all
    that torch has loaded as well, for a sixth of the time.
    """

    def __init__(self) -> None:
        self._depth, self._enabled = 0, False

    def on_start(self, event: Event) -> None:  # noqa: ARG002
        """Switch it off, under the compiler's lock."""
        if self._depth == 0:
            self._enabled = gc.isenabled()
            gc.disable()
        self._depth += 1

    def on_end(self, event: Event) -> None:  # noqa: ARG002
        """Restore what was."""
        self._depth -= 1
        if self._depth == 0 and self._enabled:
            gc.enable()


_register("numba:compile", _Collector())

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
