# SPDX-License-Identifier: BSD-3-Clause
"""Studies that put numbers beside an attack."""

from __future__ import annotations
