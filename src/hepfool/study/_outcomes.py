# SPDX-License-Identifier: BSD-3-Clause
"""What the steps of the procedure hand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hepfool.events import EventTable
from hepfool.explain import Explanation
from hepfool.inference import Impact
from hepfool.models.protocols import Classifier
from hepfool.studies._contributions import SystematicEffect
from hepfool.summary._observed import ObservedCheck
from hepfool.summary._on_demand import worst_case_record
from hepfool.summary.allowed_fraction import AllowedFraction, ScaledSize
from hepfool.sums import AttackSums
from hepfool.sums._effects import systematic_effects
from hepfool.worst_case.ladder import Ladder


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

    @property
    def scale(self) -> dict[str, float]:
        """By process, weight of all simulated events over that of the test part."""
        test = self.simulation["test"]
        found = {}
        for name in test.datasets:
            *others, own = (float(t.weights[t.dataset_mask(name)].sum()) for t in (*self._others, test))
            found[name] = (sum(others) + own) / own if own else 1.0
        return found

    @property
    def _others(self) -> tuple[EventTable, EventTable]:
        return self.simulation["train"], self.simulation["validation"]


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
    trained : bool
        Whether it was trained here.
    """

    classifier: Classifier
    auroc: float
    trained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SystematicsOutcome:
    """
    Systematics of the attacked events.

    Attributes
    ----------
    sums : AttackSums
        Of the attacked events under all variations, with the detector's flags if there is one.
    data : AttackSums, optional
        Of collision data outside of signal regions, to be added.
    others : tuple of SystematicEffect
        Effects of other events.
    observed : tuple of ObservedCheck
        Data against simulation in several inputs at a time, which no sums hold.
    """

    sums: AttackSums
    data: AttackSums | None = None
    others: tuple[SystematicEffect, ...] = ()
    observed: tuple[ObservedCheck, ...] = ()

    @property
    def all_sums(self) -> AttackSums:
        """Of simulation and data."""
        return self.sums if self.data is None else self.sums + self.data

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WorstCase:
    """
    What is known of the worst case.

    Attributes
    ----------
    ladders : tuple of Ladder
        One for each region.
    explanation : Explanation, optional
        Of the fooled events, if there are any.
    allowed : AllowedFraction, optional
        What the data of control and validation regions allow of the attack, if there are such data.
    sizes : tuple of ScaledSize
        Yield shifts of the signal regions, scaled to what is allowed; only with a transfer assumption.
    """

    ladders: tuple[Ladder, ...]
    explanation: Explanation | None = None
    allowed: AllowedFraction | None = None
    sizes: tuple[ScaledSize, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return plain values for ``Summary.worst_case``."""
        explanations = [] if self.explanation is None else [self.explanation]
        allowed = [] if self.allowed is None else [self.allowed]
        return worst_case_record(ladders=self.ladders, explanations=explanations, allowed=allowed, sizes=self.sizes)
