# SPDX-License-Identifier: BSD-3-Clause
"""Files: event tables and archives."""

from __future__ import annotations
