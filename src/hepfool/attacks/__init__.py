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
    from hepfool.attacks.adversarial_network import AdversarialNetwork
    from hepfool.attacks.adversary_training import AdversarySettings, TrainedAdversary, train_adversary
    from hepfool.attacks.base import Attack, AttackProblem, AttackResult, Iteration, Target, run_attack
    from hepfool.attacks.conserv import CONSERVAttack
    from hepfool.attacks.gradient import PGD, fgsm
    from hepfool.attacks.limits import MoveUnit, travel
    from hepfool.attacks.minifool import MiniFool, scan_strength
    from hepfool.attacks.observables import Observable
    from hepfool.attacks.presets import PRESETS, RANGES, constituent_fgsm, scaled_to
    from hepfool.attacks.stochastic import RDSA, Noise
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
    "constituent_fgsm",
    "fgsm",
    "run_attack",
    "scaled_to",
    "scan_strength",
    "train_adversary",
    "travel",
]
