# SPDX-License-Identifier: BSD-3-Clause
"""What the steps of the procedure hand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hepfool.defences.detector import DetectorReport
from hepfool.events import EventTable
from hepfool.inference import Impact
from hepfool.models.protocols import Classifier
from hepfool.studies.systematics import SystematicEffect
from hepfool.sums import AttackSums, systematic_effects

__all__ = ["AdaptiveOutcome", "Baseline", "EventParts", "FitOutcome", "SystematicsOutcome"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventParts:
    """
    Events by what they are for.

    Attributes
    ----------
    simulation : mapping of str to EventTable
        ``train``, ``validation`` and ``test``.
    data : EventTable, optional
        Collision data outside of signal regions.
    """

    simulation: Mapping[str, EventTable]
    data: EventTable | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """
    The network before any attack.

    Attributes
    ----------
    classifier : Classifier
        Read, passed or trained.
    auroc : float
        Of the test part; NaN with a single class.
    """

    classifier: Classifier
    auroc: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptiveOutcome:
    """
    What an attack that knows the detector achieves.

    Attributes
    ----------
    effect : SystematicEffect
        Of the events that are fooled and not flagged.
    naive, adaptive : DetectorReport
        Of both attacks.
    """

    effect: SystematicEffect
    naive: DetectorReport
    adaptive: DetectorReport


@dataclass(frozen=True, slots=True, kw_only=True)
class SystematicsOutcome:
    """
    Systematics of the attacked events.

    Attributes
    ----------
    sums : AttackSums
        Of the attacked events under all variations, with the detector's flags if there is one.
    others : tuple of SystematicEffect
        Effects of other events.
    """

    sums: AttackSums
    others: tuple[SystematicEffect, ...] = ()

    @property
    def effects(self) -> tuple[SystematicEffect, ...]:
        """All systematics."""
        return (*systematic_effects(self.sums), *self.others)


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOutcome:
    """
    The attack in the statistical model.

    Attributes
    ----------
    patch : list of dict
        JSON patch of the workspace.
    impact : Impact
        Expected uncertainty without and with the attack.
    """

    patch: list[dict[str, Any]]
    impact: Impact
