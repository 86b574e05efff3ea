# SPDX-License-Identifier: BSD-3-Clause
"""
Where compiled kernels are kept between processes: whole, of the present sources, or not at all.

numba's own cache sees a change in the file of the caller only, keeps index and code in two files, and takes both for
whole.  Here all kernels share one key (sources, versions, settings, processor), an entry is one file that names the
digest of what it holds, and a folder that cannot be written only costs time.  Folders of other keys go after two
months without use.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from hepfool._kernel_files import Entries, digest

_IMPORT = re.compile(rb"^[ ]*(?:from|import) (hepfool[\w.]*)(?: import (?:\(([^)]*)\)|(.+)))?", re.MULTILINE)
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
"""Those of numba that change the code; the names and features of the processor belong to each entry."""


def kernel_sources(package: Path) -> dict[Path, bytes]:
    """Return each file of ``package`` that defines kernels, and each that these import from, with its content."""
    texts = {path: path.read_bytes() for path in sorted(package.rglob("*.py"))}
    paths = {_module(path.relative_to(package.parent)): path for path in texts}
    waiting = [path for path, text in texts.items() if b"hepfool._kernels" in text or path.name == "_kernels.py"]
    found: dict[Path, bytes] = {}
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = texts[path]
            waiting += [paths[name] for name in _imported(texts[path]) if name in paths]
    return dict(sorted(found.items()))


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imported(text: bytes) -> Iterator[str]:
    for module, several, one in _IMPORT.findall(text):
        yield module.decode()
        yield from (f"{module.decode()}.{name.decode()}" for name in re.findall(rb"\w+", several or one))


class _Keeper:
    """The one cache of this process: its key is made when the first kernel is defined, before any is compiled."""

    def __init__(self) -> None:
        package = Path(__file__).parent
        try:
            self._sources = kernel_sources(package)
        except OSError:  # for example in a zip archive: what cannot be compared is not kept
            self._sources = {}
        settings = [str(getattr(numba.config, name, None)) for name in _SETTINGS]
        versions = [sys.version, str(sys.flags.optimize), numba.__version__, llvmlite.__version__, np.__version__]
        files = [
            part for path, text in self._sources.items() for part in (os.fsencode(path.relative_to(package)), text)
        ]
        key = digest(*(text.encode() for text in settings + versions), *files).hex()[:32]
        self.entries = Entries(_place() / key)
        self.entries.used()

    def knows(self, function: FunctionType) -> bool:
        """Whether the key covers ``function``."""
        return Path(function.__code__.co_filename) in self._sources and function.__closure__ is None

    def unchanged(self) -> bool:
        """Whether the sources are still those of the key: what was imported later may not be."""
        try:
            return all(path.read_bytes() == text for path, text in self._sources.items())
        except OSError:
            return False


def _place() -> Path:
    if vars(numba.config)["CACHE_DIR"]:
        return Path(vars(numba.config)["CACHE_DIR"]).absolute() / "hepfool" / "kernels"
    # Below the root where nobody knows the home folder: it cannot be made there, rather than in the present folder.
    return Path("/", AppDirs(appname="hepfool", appauthor=False).user_cache_dir, "kernels")


_keeper = _Keeper()


class _KernelCache(_Cache):
    """What numba asks of a cache, for one kernel."""

    def __init__(self, function: FunctionType) -> None:
        code = function.__code__
        self._parts = (function.__module__, function.__qualname__, str(code.co_firstlineno), repr(code.co_consts))
        self._code = code.co_code
        self._enabled = True

    @property
    def cache_path(self) -> str:
        return str(_keeper.entries.folder)

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def flush(self) -> None:
        shutil.rmtree(_keeper.entries.folder, ignore_errors=True)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if not self._enabled:
            return None
        target_context.refresh()
        name = self._name(sig, target_context.codegen())

        def load() -> Any:
            return _load(name, sig, target_context)

        found = load()
        return _keeper.entries.lock.wait(load) if found is None else found

    def save_overload(self, sig: Any, data: Any) -> None:
        if not self._enabled or any(not lifted.can_cache for lifted in data.lifted) or data.library.has_dynamic_globals:
            return
        if _keeper.unchanged():
            _keeper.entries.write(self._name(sig, data.codegen), dumps((sig, data._reduce())))  # noqa: SLF001 - as numba

    def _name(self, sig: Any, codegen: Any) -> str:
        described = (*self._parts, repr(sig), repr(codegen.magic_tuple()))
        return digest(*(text.encode() for text in described), self._code).hex()[:40]


def _load(name: str, sig: Any, target_context: Any) -> Any:
    body = _keeper.entries.read(name)
    if body is None:
        return None
    try:
        stored, reduced = pickle.loads(body)  # noqa: S301 - written by this user's processes, and whole
        return CompileResult._rebuild(target_context, *reduced) if stored == sig else None  # noqa: SLF001 - as numba
    except Exception:  # noqa: BLE001 - whatever is wrong with it, compiling makes a new one
        _keeper.entries.remove(name)
        return None


class Kernel(CPUDispatcher):
    """A compiled function whose code is kept between processes."""

    def __init__(self, py_func: FunctionType, *arguments: Any, **options: Any) -> None:
        super().__init__(py_func, *arguments, **options)
        if _keeper.knows(py_func):
            self._cache = _KernelCache(py_func)

    def compile(self, sig: Any) -> Any:
        """Load or compile the code for arguments of these types; no other process compiles meanwhile."""
        with global_compiler_lock, _keeper.entries.lock.given_back():
            return super().compile(sig)
