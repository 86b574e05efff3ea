# SPDX-License-Identifier: BSD-3-Clause
"""
Classifiers for attacks: scores, margins and gradients.

A file of any library: :func:`load_model`.  A PyTorch module: :class:`TorchClassifier`; boosted trees and forests:
:class:`TreeClassifier`; anything that only gives scores: :class:`CallableClassifier`, with slopes by :class:`FiniteDifference`.
A network per fold: :class:`FoldedClassifier`; one decision for the candidates of an event: :class:`PerGroup`.  Networks of
published studies: :func:`conservattack_higgs`, :func:`conservattack_jets` and :func:`donut`.
What a classifier of your own must offer: :class:`Classifier`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy

if TYPE_CHECKING:
    from hepfool.models.blackbox import CallableClassifier, FiniteDifference
    from hepfool.models.files import export_program, load_torch, save_state
    from hepfool.models.folds import FoldedClassifier
    from hepfool.models.groups import PerGroup
    from hepfool.models.load import load_model
    from hepfool.models.networks import Standardise, conservattack_higgs, conservattack_jets, donut, mlp
    from hepfool.models.protocols import Classifier, DifferentiableClassifier
    from hepfool.models.pytorch import TorchClassifier
    from hepfool.models.tree_classifier import TreeClassifier
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "CallableClassifier",
    "Classifier",
    "DifferentiableClassifier",
    "FiniteDifference",
    "FoldedClassifier",
    "PerGroup",
    "Standardise",
    "TorchClassifier",
    "TreeClassifier",
    "conservattack_higgs",
    "conservattack_jets",
    "donut",
    "export_program",
    "load_model",
    "load_torch",
    "mlp",
    "save_state",
]
