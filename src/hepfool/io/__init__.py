# SPDX-License-Identifier: BSD-3-Clause
"""
Files: event tables, histograms, partitions of a large sample, and archives of finished work.

Flat files of events: :func:`read_table` and :func:`write_table`.  More events than one memory holds: :func:`write_partitions` and
:func:`open_partitions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.io.finished import WorkFolder, key_of
    from hepfool.io.histograms import read_histograms
    from hepfool.io.partitions import Partitions, open_partitions, write_partitions
    from hepfool.io.store import read_store
    from hepfool.io.tables import read_table, write_table
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "Partitions",
    "WorkFolder",
    "key_of",
    "open_partitions",
    "read_histograms",
    "read_store",
    "read_table",
    "write_partitions",
    "write_table",
]
