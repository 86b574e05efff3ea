# SPDX-License-Identifier: BSD-3-Clause
"""
Sums over attacked events, from one table or many workers.

:class:`AttackSums` holds what verdict, report, figures and fit need of attacked events, and nothing of a single event.  It is made
by ``AttackResult.sums`` and by every processor, and added in any order: the last bit is always the same.  Explanations, the
training of a detector, a scan of caps and the files of adversarial events need the events themselves.
"""

from __future__ import annotations

from hepfool.sums.effects import attack_effect, excess, systematic_effects
from hepfool.sums.fill import data_sums, sums_of
from hepfool.sums.record import AttackSums, Count, Key
from hepfool.sums.regions import score_regions
from hepfool.sums.thresholds import scan_thresholds

__all__ = [
    "AttackSums",
    "Count",
    "Key",
    "attack_effect",
    "data_sums",
    "excess",
    "scan_thresholds",
    "score_regions",
    "sums_of",
    "systematic_effects",
]
