# SPDX-License-Identifier: BSD-3-Clause
"""
Hold events as columns: features, labels, weights, regions, variations.

:class:`EventTable` is what every other part of the package takes and returns.
Its arrays are read-only; a changed table is a new table that shares what did
not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.events.cuts import SingleCut, best_single_cut
    from hepfool.events.envelope import Envelope, signal_region_envelope
    from hepfool.events.labels import UNLABELLED
    from hepfool.events.region import Region
    from hepfool.events.table import EventTable
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = ["UNLABELLED", "Envelope", "EventTable", "Region", "SingleCut", "best_single_cut", "signal_region_envelope"]
