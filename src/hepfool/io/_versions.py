# SPDX-License-Identifier: BSD-3-Clause
"""Versions of the software that produced a result."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from pathlib import Path

from hepfool._version import __version__

_PACKAGES = (
    *("hepfool", "awkward", "coffea", "distributed", "hist", "numba", "numpy"),
    *("scipy", "torch", "uproot"),
)


def installed_versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that affect the numbers."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


@functools.cache
def code_version() -> str:
    """Fingerprint of this package: what another one has computed is computed again."""
    root = Path(__file__).parents[1]
    sha = hashlib.sha256(__version__.encode())
    for path in sorted(root.rglob("*.py")):
        sha.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return sha.hexdigest()
