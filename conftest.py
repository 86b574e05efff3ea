# SPDX-License-Identifier: BSD-3-Clause
"""Whatever part of the tests is run, it passes only as a whole and draws the same random numbers."""

from __future__ import annotations

import sys

import pytest

pytest_plugins = ["pytester", "tests.whole_run"]


@pytest.fixture(autouse=True)
def same_initial_weights() -> None:
    """Start every test with the same state of torch's generator, whichever tests its worker ran before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(20260513)
