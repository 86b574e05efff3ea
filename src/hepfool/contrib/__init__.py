# SPDX-License-Identifier: BSD-3-Clause
"""Built on the package, and needed by some analyses only: jets as constituents (``jets``), networks of ``attention``."""

from __future__ import annotations
