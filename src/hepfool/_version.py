# SPDX-License-Identifier: BSD-3-Clause
"""The version of the distribution, read by the build and by ``hepfool.__version__``."""

from __future__ import annotations

__version__ = "0.1.0"
