# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks, all run by :func:`hepfool.attacks.base.run_attack`.

To stay invisible in marginals and correlations of the whole data set choose
:class:`~hepfool.attacks.conserv.CONSERVAttack`.
"""

from __future__ import annotations

from hepfool.attacks.base import Attack, AttackProblem, AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.presets import PRESETS, RANGES, AttackRanges, scaled_to

__all__ = [
    "PRESETS",
    "RANGES",
    "Attack",
    "AttackProblem",
    "AttackRanges",
    "AttackResult",
    "CONSERVAttack",
    "run_attack",
    "scaled_to",
]
