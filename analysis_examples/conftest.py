# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the tests of the examples: those of the package."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import reference_data, rng, test_data

__all__ = ["reference_data", "rng", "test_data"]

# Scripts, which import what lies beside them; a pattern would take their tests along.
collect_ignore = [
    str(path)
    for pattern in ("papers/conservattack/*.py", "frameworks/*.py")
    for path in Path(__file__).parent.glob(pattern)
]
