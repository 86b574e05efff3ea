# SPDX-License-Identifier: BSD-3-Clause
"""Late imports of packages that only some users need."""

from __future__ import annotations

import importlib
from types import ModuleType

from hepfool.exceptions import MissingExtraError


def import_extra(package: str, extra: str) -> ModuleType:
    """
    Import a package of an extra.

    Parameters
    ----------
    package : str
        Name of the package, such as ``fastjet``.
    extra : str
        Extra of this package that installs it, such as ``samples``.

    Returns
    -------
    ModuleType
        The imported package.

    Raises
    ------
    MissingExtraError
        If it is not installed; the message says how to install it.

    Examples
    --------
    >>> import_extra("json", "samples").__name__
    'json'
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, extra) from error
