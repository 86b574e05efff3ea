# SPDX-License-Identifier: BSD-3-Clause
"""Late imports of packages that only some users need."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from hepfool.exceptions import MissingExtraError

__all__ = ["import_extra"]

#: Extras that bring the packages which modules of ours import at their top.
_EXTRAS = {
    "coffea": "coffea",
    "joblib": "torch",
    "onnx": "onnx",
    "pyarrow": "parquet",
    "sklearn": "torch",
    "skorch": "torch",
    "torch": "torch",
    "vector": "driver",
}


def import_extra(package: str, extra: str) -> ModuleType:
    """Import a package of an extra."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra) from error


@contextmanager
def extras_named() -> Iterator[None]:
    """Say which extra brings a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise MissingExtraError(package, _EXTRAS[package]) from error


class LateModule:
    """A package that is imported when something of it is first used, so that what never uses it need not have it."""

    def __init__(self, package: str, *submodules: str, extra: str | None = None) -> None:
        self._package, self._submodules, self._extra = package, submodules, extra

    def __getattr__(self, name: str) -> Any:
        """Import the package with its submodules."""
        names = (self._package, *(f"{self._package}.{name}" for name in self._submodules))
        modules = [import_extra(each, self._extra) if self._extra else importlib.import_module(each) for each in names]
        return getattr(modules[0], name)


#: PyArrow, for Parquet and CSV files.
arrow = LateModule("pyarrow", "csv", "parquet", extra="parquet")
#: For ROOT files.
uproot = LateModule("uproot")
