# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks, all run by :func:`run_attack`.

To stay invisible in marginals and correlations of the whole data set choose :class:`CONSERVAttack`.  To learn from which multiple
of its uncertainties on an event flips, also in data, take :class:`MiniFool`; for one mismodelling that acts on all events alike,
train an :class:`AdversarialNetwork` with :func:`train_adversary`, which needs PyTorch.  To compare with what others use, there are
:class:`PGD`, :func:`fgsm`, :class:`Noise` and :class:`RDSA`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.attacks._adversarial_network import AdversarialNetwork
    from hepfool.attacks._adversary_training import AdversarySettings, TrainedAdversary, train_adversary
    from hepfool.attacks._conserv import CONSERVAttack
    from hepfool.attacks._gradient import PGD, fgsm
    from hepfool.attacks._limits import MoveUnit, admissible, travel
    from hepfool.attacks._minifool import MiniFool, scan_strength
    from hepfool.attacks._observables import Observable
    from hepfool.attacks._presets import PRESETS, RANGES, constituent_fgsm, from_nominal, scaled_to
    from hepfool.attacks._stochastic import RDSA, Noise
    from hepfool.attacks.base import Attack, AttackProblem, AttackResult, Iteration, Target, run_attack
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "PGD",
    "PRESETS",
    "RANGES",
    "RDSA",
    "AdversarialNetwork",
    "AdversarySettings",
    "Attack",
    "AttackProblem",
    "AttackResult",
    "CONSERVAttack",
    "Iteration",
    "MiniFool",
    "MoveUnit",
    "Noise",
    "Observable",
    "Target",
    "TrainedAdversary",
    "admissible",
    "constituent_fgsm",
    "fgsm",
    "from_nominal",
    "run_attack",
    "scaled_to",
    "scan_strength",
    "train_adversary",
    "travel",
]
