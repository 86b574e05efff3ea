# SPDX-License-Identifier: BSD-3-Clause
"""
Names of a package that are loaded when they are first asked for.

A package imports its names under ``if TYPE_CHECKING``, where type checkers and editors find them, and lists them in
``__all__``; :func:`lazy` reads from there where each name lives.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from hepfool.extras import extras_named


def lazy(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    Make ``__getattr__`` and ``__dir__`` of a package.

    Examples
    --------
    >>> __getattr__, __dir__ = lazy("hepfool.events")
    >>> __getattr__("EventTable")
    <class 'hepfool.events.table.EventTable'>
    """
    module = sys.modules[package]

    @cache
    def homes() -> dict[str, str]:
        source = module.__spec__.loader.get_source(package)  # type: ignore[union-attr]
        imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
        return {name.name: str(node.module) for node in imports for name in node.names}

    def load(name: str) -> Any:
        """Load a name of ``__all__``, or a public module of the package."""
        exported = name in module.__all__
        home = homes()[name] if exported else f"{package}.{name}"
        try:
            with extras_named():
                loaded = None if name.startswith("_") else importlib.import_module(home)
        except ModuleNotFoundError as error:
            if exported or error.name != home:
                raise
            loaded = None
        if loaded is None:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=module)
        value = getattr(loaded, name) if exported else loaded
        setattr(module, name, value)
        return value

    return load, lambda: list(module.__all__)
