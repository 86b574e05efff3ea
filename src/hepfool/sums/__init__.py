# SPDX-License-Identifier: BSD-3-Clause
"""
Sums over attacked events, from one table or many workers.

:class:`AttackSums` holds what verdict, report, figures and fit need of attacked events, and nothing of a single event.  It is made
by ``AttackResult.sums`` and by every processor, and added in any order: the last bit is always the same.  Explanations, the
training of a detector, a scan of caps and the files of adversarial events need the events themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.sums.fill import data_sums, sums_of
    from hepfool.sums.record import AttackSums
    from hepfool.sums.thresholds import scan_thresholds
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = ["AttackSums", "data_sums", "scan_thresholds", "sums_of"]
