# SPDX-License-Identifier: BSD-3-Clause
"""
Defences against attacks, and tests of them.

To find adversarial events with a second network choose :func:`train_detector`; to make the network itself harder to fool
:func:`train_adversarially`.  Test either against an attack that knows it: :func:`attack_defended` for detectors,
:func:`judge_robustness` for retrained networks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.defences._detector_curves import detector_curves
    from hepfool.defences.adaptive import DefendedClassifier, attack_defended
    from hepfool.defences.adversarial_training import (
        AdversarialTraining,
        AdversarialTrainingSettings,
        successes,
        train_adversarially,
    )
    from hepfool.defences.detector import (
        Detector,
        DetectorReport,
        evaluate,
        read_detector,
        train_detector,
        write_detector,
    )
    from hepfool.defences.robustness import Robustness, judge_robustness
    from hepfool.settings import DetectorSettings
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "AdversarialTraining",
    "AdversarialTrainingSettings",
    "DefendedClassifier",
    "Detector",
    "DetectorReport",
    "DetectorSettings",
    "Robustness",
    "attack_defended",
    "detector_curves",
    "evaluate",
    "judge_robustness",
    "read_detector",
    "successes",
    "train_adversarially",
    "train_detector",
    "write_detector",
]
