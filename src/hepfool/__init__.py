# SPDX-License-Identifier: BSD-3-Clause
"""
Find the deviations that pass an analysis's validation and still fool its network.

Start with :class:`EventTable` (your events), a classifier from
``hepfool.models`` (your network), an attack from ``hepfool.attacks`` and
:func:`run_attack`.  Inside coffea use ``hepfool.processors``.
"""

from __future__ import annotations

from importlib.metadata import version

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.events import Envelope, EventTable, Region, best_single_cut
from hepfool.features import Derived, Feature, FeatureSpace

__all__ = [
    "AttackResult",
    "Derived",
    "Envelope",
    "EventTable",
    "Feature",
    "FeatureSpace",
    "Region",
    "__version__",
    "best_single_cut",
    "run_attack",
]

__version__ = version("hepfool")


def __dir__() -> list[str]:
    return list(__all__)
