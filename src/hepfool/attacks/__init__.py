# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks, all run by :func:`hepfool.attacks.base.run_attack`.

To stay invisible in marginals and correlations of the whole data set choose
:class:`~hepfool.attacks.conserv.CONSERVAttack`.  To learn from which multiple of its uncertainties on an event
flips, also in data, take :class:`~hepfool.attacks.minifool.MiniFool`; for one mismodelling that acts on all
events alike, train an ``AdversarialNetwork`` with ``hepfool.attacks.adversary_training``, which needs PyTorch and
is imported from there.  To compare with what others use, there are :class:`~hepfool.attacks.gradient.PGD`,
:class:`~hepfool.attacks.stochastic.Noise` and :class:`~hepfool.attacks.stochastic.RDSA`.
"""

from __future__ import annotations

from hepfool.attacks.base import Attack, AttackProblem, AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.gradient import PGD, fgsm
from hepfool.attacks.minifool import MiniFool, StrengthScan, scan_strength
from hepfool.attacks.presets import PRESETS, RANGES, AttackRanges, constituent_fgsm, per_move, scaled_to
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
    "MiniFool",
    "Noise",
    "StrengthScan",
    "constituent_fgsm",
    "fgsm",
    "per_move",
    "run_attack",
    "scaled_to",
    "scan_strength",
]
