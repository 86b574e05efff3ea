# SPDX-License-Identifier: BSD-3-Clause
"""Which versions of what made a number."""

from __future__ import annotations

import importlib.metadata
import platform

__all__ = ["installed_versions"]

_PACKAGES = (
    *("hepfool", "awkward", "coffea", "distributed", "hist", "numba", "numpy"),
    *("scipy", "torch", "uproot"),
)


def installed_versions() -> dict[str, str | None]:
    """
    Tell the versions that matter to the numbers.

    Returns
    -------
    dict of str to str or None
        Of Python and of each package; None where it is not installed.

    Examples
    --------
    >>> installed_versions()["python"] == platform.python_version()
    True
    """
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions
