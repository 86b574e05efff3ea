# SPDX-License-Identifier: BSD-3-Clause
"""What a verdict is based on: the measured effects and the thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from hepfool.statistics.compatibility import Compatibility
from hepfool.statistics.sources import Correlations
from hepfool.studies.excess import Excess
from hepfool.studies.systematics import (
    Measured,
    SystematicEffect,
    SystematicTotal,
    total,
)
from hepfool.sums import AttackSums
from hepfool.sums.effects import attack_effect, excess, systematic_effects
from hepfool.worst_case.composition import Composition


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedFraction:
    """
    How often the detector flags clean data and clean simulation.

    Attributes
    ----------
    region : str
        Control region of the comparison.
    data, simulation : Measured
        Flagged fractions, dimensionless.
    """

    region: str
    data: Measured
    simulation: Measured

    @property
    def difference(self) -> Measured:
        """Data minus simulation."""
        return Measured(self.data.value - self.simulation.value, math.hypot(self.data.error, self.simulation.error))


def flagged_fractions(sums: AttackSums, regions: Iterable[str] | None = None) -> tuple[FlaggedFraction, ...]:
    """Compare how often the detector flags data and nominal simulation."""
    looked_at = [name for name, role in sums.facts["regions"] if role != "signal"] if regions is None else regions
    found = []
    for region in looked_at if "detector_threshold" in sums.facts else ():
        data, simulation = (
            sums.count("flagged", region=region, variation=v).of(sums.count("events", region=region, variation=v))
            for v in ("data", "nominal")
        )
        if not math.isnan(data.value + simulation.value):
            found.append(FlaggedFraction(region=region, data=data, simulation=simulation))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """
    What the verdict is based on.

    Attributes
    ----------
    attack : SystematicEffect
        Effect of all adversarial events.
    corrected : SystematicEffect, optional
        Effect of the adversarial events that the detector does not flag.
    effects : tuple of SystematicEffect
        Physics systematics; empty if none was given.
    fractions : tuple of FlaggedFraction
        Detector in data and simulation; empty without data.
    compatibility : Compatibility
        Distances of the constrained events.
    iterations_done, n_iterations : int
        Finished and wanted iterations of the attack.
    converged : bool, optional
        Whether it stopped by itself; None if it was not to.
    compositions : tuple of Composition
        What exchanges of events of opposite class allow.
    adaptive : SystematicEffect, optional
        Effect of the events that an attack on network *and* detector fools without being flagged.
    excess : Excess, optional
        Effect of the attack, after the detector if there is one, beyond the systematics.
    correlations : mapping of (str, str) to float
        Correlations of pairs of systematic sources.
    """

    attack: SystematicEffect
    corrected: SystematicEffect | None
    effects: tuple[SystematicEffect, ...]
    fractions: tuple[FlaggedFraction, ...]
    compatibility: Compatibility
    iterations_done: int
    n_iterations: int
    converged: bool | None = None
    compositions: tuple[Composition, ...] = ()
    adaptive: SystematicEffect | None = None
    excess: Excess | None = None
    correlations: Correlations = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        sums: AttackSums,
        *,
        others: Iterable[SystematicEffect] = (),
        fractions: Iterable[FlaggedFraction] | None = None,
        adaptive: SystematicEffect | None = None,
        correlations: Correlations | None = None,
    ) -> Self:
        """
        Collect the evidence of an attack, or of many that were added.

        Parameters
        ----------
        sums : AttackSums
            Of the attack, from ``AttackResult.sums`` or a processor.
        others : iterable of SystematicEffect
            Effects of other events than the attacked ones, such as from :func:`hepfool.studies.variations.yield_effects`.
        fractions : iterable of FlaggedFraction, optional
            Flagged fractions in data and simulation; by default those of the sums, in every region with data.
        adaptive : SystematicEffect, optional
            Of a finished attack on network and detector, see :func:`hepfool.defences.adaptive.attack_defended`.
        correlations : mapping of (str, str) to float, optional
            Correlations of pairs of systematic sources; independent by default.
        """
        others = tuple(others)
        effects = (*systematic_effects(sums), *others)
        return cls(
            attack=attack_effect(sums),
            corrected=attack_effect(sums, remaining=True) if sums.facts["flagged"] else None,
            effects=effects,
            fractions=flagged_fractions(sums) if fractions is None else tuple(fractions),
            compatibility=sums.compatibility(),
            iterations_done=sums.iterations_done or 0,
            n_iterations=sums.facts["n_iterations"],
            converged=sums.converged,
            compositions=sums.compositions,
            adaptive=adaptive,
            excess=excess(sums, correlations=correlations, others=others) if effects else None,
            correlations=correlations or {},
        )

    @property
    def remaining(self) -> SystematicEffect:
        """What the attack does after the detector, or at all if there is none."""
        return self.attack if self.corrected is None else self.corrected

    @property
    def total(self) -> SystematicTotal | None:
        """Physics systematics in quadrature, or with their correlations; None if there are none."""
        return total(self.effects, self.correlations) if self.effects else None
