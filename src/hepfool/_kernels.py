# SPDX-License-Identifier: BSD-3-Clause
"""How functions are compiled: those that run once per candidate are worth some care."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core import event, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.event import Event, Listener
from numba.core.options import DefaultOptions
from numba.core.typing import templates

from hepfool._kernel_cache import Kernel

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
# What is called by compiled functions only needs no entry from Python and no cache of its own: entries alone take as
# long to compile as the functions, once more in every caller.
_CALLED: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_MERGED: dict[str, Any] = {**_CALLED, "forceinline": True, **_UNCOUNTED}


class _Part(JITCodeLibrary):
    """
    Code that is optimised and translated within its callers only.

    Otherwise every level of calls would do so once more for all that is below it, which takes most of the time.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout  # noqa: SLF001 - as numba

    def _optimize_final_module(self) -> None:
        """Leave that to the callers."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()  # type: ignore[no-untyped-call]
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002
        """There is no machine code."""
        self._ensure_finalized()  # type: ignore[no-untyped-call]
        return 0

    @property
    def codegen(self) -> _Part:
        """Of numba, which is asked for :meth:`set_env` only."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: what runs within its callers has their environment."""


class _Uncounted(JITCodeLibrary):
    """Code without counts, which need not be merged before the others are, to find counts that cancel."""

    def _optimize_final_module(self) -> None:
        found = self._codegen._module_pass_manager()  # noqa: SLF001 - as numba
        if isinstance(found, tuple):
            found[0].run(self._final_module, found[1])
        else:  # before numba 0.62
            super()._optimize_final_module()  # type: ignore[no-untyped-call]


class _PartCompiler(Compiler):
    """numba's own, for a :class:`_Part`."""

    library: type[JITCodeLibrary] = _Part

    def __init__(self, typing: Any, target: Any, library: Any, *rest: Any) -> None:
        library = self.library(target.codegen(), "kernel")
        super().__init__(typing, target, library, *rest)  # type: ignore[no-untyped-call]
        self.state.library.enable_object_caching()


class _UncountedCompiler(_PartCompiler):
    """numba's own, for an :class:`_Uncounted`."""

    library = _Uncounted


_infer_global: Any = templates.infer_global
_register: Any = event.register
_parts: list[Any] = []  # numba itself keeps weak references only


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that is given all the arrays it needs."""
    return _compiled(function, _UncountedCompiler, **_UNCOUNTED)


def inline_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small one, to be merged with its callers; called from Python it runs as it stands."""
    return _called(function, pipeline_class=_PartCompiler, **_MERGED)


def summing_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Merge a sum that may be done in any order, so that it vectorises; the order is fixed once compiled, by itself."""
    return _called(function, fastmath={"reassoc", "contract"}, **_MERGED)


def allocating_part(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that creates or hands on arrays, for others to call; called from Python it runs as it stands."""
    return _called(function, pipeline_class=_PartCompiler, **_CALLED)


def _called(function: Callable[P, R], **options: Any) -> Callable[P, R]:
    if not vars(numba.config)["DISABLE_JIT"]:
        _parts.append(numba.njit(**options)(function))
        _infer_global(function, types.Dispatcher(_parts[-1]))
    return function


def allocating_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that creates arrays."""
    return _compiled(function)


def _compiled(function: Callable[P, R], compiler: type[Compiler] = Compiler, **options: Any) -> Callable[P, R]:
    """Do what ``numba.njit`` does, with a cache that may be shared and damaged."""
    if vars(numba.config)["DISABLE_JIT"]:
        return function
    compiled: Callable[P, R] = Kernel(
        cast("FunctionType", function), targetoptions={**_OPTIONS, **options}, pipeline_class=compiler
    )
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
