# SPDX-License-Identifier: BSD-3-Clause
"""Late imports of packages that only some users need."""

from __future__ import annotations

import importlib
from types import ModuleType

from hepfool.exceptions import MissingExtraError


def import_extra(package: str, extra: str) -> ModuleType:
    """Import a package of an extra."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra) from error
