# SPDX-License-Identifier: BSD-3-Clause
"""
Find the deviations that pass an analysis's validation and still fool its network.

Start with :class:`EventTable` (your events), a classifier from ``hepfool.models`` (your network), an attack from ``hepfool.attacks``
and :func:`run_attack`; a :class:`Study` is the whole procedure.  Inside coffea use ``hepfool.processors``.

What users call is exported by the packages, one place for each name; modules that start with an underscore may change without
notice.  Names are loaded when they are first asked for, so that importing the package costs nothing and PyTorch is needed by
:class:`TorchClassifier` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepfool._lazy import lazy
from hepfool._version import __version__

if TYPE_CHECKING:
    from hepfool.attacks.base import AttackResult, run_attack
    from hepfool.attacks.conserv import CONSERVAttack
    from hepfool.events.cuts import best_single_cut
    from hepfool.events.envelope import Envelope
    from hepfool.events.region import Region
    from hepfool.events.table import EventTable
    from hepfool.features import Derived, Feature, FeatureSpace
    from hepfool.models.load import load_model
    from hepfool.models.pytorch import TorchClassifier
    from hepfool.progress import progress_bars
    from hepfool.study.plan import Study
    from hepfool.validation import Correlations, Marginals, Validation
    from hepfool.worst_case.certified import certify
else:
    __getattr__, __dir__ = lazy(__name__)

__all__ = [
    "AttackResult",
    "CONSERVAttack",
    "Correlations",
    "Derived",
    "Envelope",
    "EventTable",
    "Feature",
    "FeatureSpace",
    "Marginals",
    "Region",
    "Study",
    "TorchClassifier",
    "Validation",
    "__version__",
    "best_single_cut",
    "certify",
    "load_model",
    "progress_bars",
    "run_attack",
]
