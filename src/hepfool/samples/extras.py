# SPDX-License-Identifier: BSD-3-Clause
"""Late imports of the programs that only the making of samples needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from hepfool.exceptions import MissingExtraError

__all__ = ["import_extra"]


def import_extra(package: str) -> ModuleType:
    """
    Import a package of the extra ``samples``.

    Parameters
    ----------
    package : str
        Name of the package, such as ``fastjet``.

    Returns
    -------
    ModuleType
        The imported package.

    Raises
    ------
    MissingExtraError
        If it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "samples") from error
