# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks, all run by :func:`hepfool.attacks.base.run_attack`.

To stay invisible in marginals and correlations of the whole data set choose
:class:`~hepfool.attacks.conserv.CONSERVAttack`.  To compare with what others use, take
:class:`~hepfool.attacks.gradient.PGD`, :class:`~hepfool.attacks.stochastic.Noise` or
:class:`~hepfool.attacks.stochastic.RDSA`.
"""

from __future__ import annotations

from hepfool.attacks.base import Attack, AttackProblem, AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.gradient import PGD, fgsm
from hepfool.attacks.presets import PRESETS, RANGES, AttackRanges, constituent_fgsm, scaled_to
from hepfool.attacks.stochastic import RDSA, Noise

__all__ = [
    "PGD",
    "PRESETS",
    "RANGES",
    "RDSA",
    "Attack",
    "AttackProblem",
    "AttackRanges",
    "AttackResult",
    "CONSERVAttack",
    "Noise",
    "constituent_fgsm",
    "fgsm",
    "run_attack",
    "scaled_to",
]
