# SPDX-License-Identifier: BSD-3-Clause
"""Whatever part of the tests is run, it passes only as a whole."""

from __future__ import annotations

pytest_plugins = ["pytester", "tests.whole_run"]
