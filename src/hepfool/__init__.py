# SPDX-License-Identifier: BSD-3-Clause
"""
Find the deviations that pass an analysis's validation and still fool its network.

Start with :class:`EventTable` (your events), a classifier from
``hepfool.models`` (your network), an attack from ``hepfool.attacks`` and
:func:`run_attack`; a :class:`Study` is the whole procedure.  Inside coffea use ``hepfool.processors``.

The names below are loaded when they are first asked for, so that importing the package costs nothing and
PyTorch is needed by :class:`TorchClassifier` alone.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from hepfool._version import __version__
from hepfool.extras import extras_named

if TYPE_CHECKING:
    from hepfool.attacks.base import AttackResult, run_attack
    from hepfool.attacks.conserv import CONSERVAttack
    from hepfool.events import Envelope, EventTable, Region, best_single_cut
    from hepfool.features import Derived, Feature, FeatureSpace
    from hepfool.models.load import load_model
    from hepfool.models.pytorch import TorchClassifier
    from hepfool.progress import progress_bars
    from hepfool.study.plan import Study
    from hepfool.validation import Correlations, Marginals, Validation
    from hepfool.worst_case.certified import certify

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

_MODULES = {
    "AttackResult": "hepfool.attacks.base",
    "CONSERVAttack": "hepfool.attacks.conserv",
    "Correlations": "hepfool.validation",
    "Derived": "hepfool.features",
    "Envelope": "hepfool.events",
    "EventTable": "hepfool.events",
    "Feature": "hepfool.features",
    "FeatureSpace": "hepfool.features",
    "Marginals": "hepfool.validation",
    "Region": "hepfool.events",
    "Study": "hepfool.study.plan",
    "TorchClassifier": "hepfool.models.pytorch",
    "Validation": "hepfool.validation",
    "best_single_cut": "hepfool.events",
    "certify": "hepfool.worst_case.certified",
    "load_model": "hepfool.models.load",
    "progress_bars": "hepfool.progress",
    "run_attack": "hepfool.attacks.base",
}


def __getattr__(name: str) -> Any:
    """Load a name of ``__all__``, or a module of the package, when it is first asked for."""
    module = _MODULES.get(name, f"hepfool.{name}")
    try:
        with extras_named():
            loaded = None if name.startswith("_") else importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module or name in _MODULES:
            raise
        loaded = None
    if loaded is None:
        msg = f"module 'hepfool' has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=sys.modules[__name__])
    value = getattr(loaded, name) if name in _MODULES else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
