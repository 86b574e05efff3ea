# SPDX-License-Identifier: BSD-3-Clause
"""What a verdict is based on: the measured effects by region, and data beside simulation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from hepfool.statistics._compatibility import Compatibility
from hepfool.statistics._intervals import difference_interval
from hepfool.statistics._sources import Correlations
from hepfool.studies._contributions import ALL_EVENTS, Measured, SystematicEffect
from hepfool.studies._excess import Excess
from hepfool.studies._systematics import SystematicTotal, total
from hepfool.summary._observed import ObservedCheck, observed_checks
from hepfool.sums import AttackSums
from hepfool.sums._effects import attack_effect, excess, systematic_effects
from hepfool.sums._record import Count
from hepfool.worst_case.composition import Composition


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedFraction:
    """
    How often the detector flags clean data, clean simulation and attacked simulation.

    Attributes
    ----------
    region : str
        Control region of the comparison.
    data, simulation, attacked : Measured
        Flagged fractions, dimensionless.
    n_data, n_simulated : float
        Effective numbers of events.
    """

    region: str
    data: Measured
    simulation: Measured
    attacked: Measured
    n_data: float
    n_simulated: float

    @property
    def difference(self) -> Measured:
        """Data minus simulation."""
        return Measured(self.data.value - self.simulation.value, math.hypot(self.data.error, self.simulation.error))

    @property
    def change(self) -> float:
        """Size of the difference that the attack itself makes."""
        return abs(self.attacked.value - self.simulation.value)

    def interval(self, confidence: float) -> tuple[float, float]:
        """
        Central interval of the difference of data and simulation.

        Parameters
        ----------
        confidence : float
            Its probability to hold the true difference.
        """
        return difference_interval(
            (self.data.value, self.n_data), (self.simulation.value, self.n_simulated), confidence
        )


def flagged_fractions(sums: AttackSums, regions: Iterable[str] | None = None) -> tuple[FlaggedFraction, ...]:
    """Compare how often the detector flags data and nominal simulation."""
    looked_at = [name for name, role in sums.facts["regions"] or (("all", "control"),) if role != "signal"]
    found = []
    for region in (looked_at if regions is None else regions) if "detector_threshold" in sums.facts else ():
        events = {v: sums.count("events", region=region, variation=v) for v in ("data", "nominal", "adversarial")}
        data, simulation, attacked = (
            sums.count("flagged", region=region, variation=v).of(whole) for v, whole in events.items()
        )
        if not math.isnan(data.value + simulation.value):
            sizes = {"n_data": _effective(events["data"]), "n_simulated": _effective(events["nominal"])}
            found.append(FlaggedFraction(region=region, data=data, simulation=simulation, attacked=attacked, **sizes))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedSignal:
    """
    What a detector costs a region if its flagged events are not used.

    Attributes
    ----------
    fraction : Measured
        Part of the signal after the score selection that is flagged, dimensionless.
    n_effective : float
        Effective number of these signal events.
    every_signal : Measured
        The same of the signal before the selection.
    """

    fraction: Measured
    n_effective: float
    every_signal: Measured


def flagged_signal(sums: AttackSums, region: str) -> FlaggedSignal | None:
    """Measure what the detector flags of the nominal signal of a region; None without detector or signal."""
    label, place = str(sums.facts["selected_class"]), "all" if region == ALL_EVENTS else region
    flagged, selected, caught, events = (
        sums.count(group, region=place, variation="nominal", label=label)
        for group in ("flagged selected", "selected", "flagged", "events")
    )
    if "detector_threshold" not in sums.facts or not selected.n:
        return None
    return FlaggedSignal(
        fraction=flagged.of(selected), n_effective=_effective(selected), every_signal=caught.of(events)
    )


def _effective(count: Count) -> float:
    return count.weight**2 / count.squared if count.squared else 0.0


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
    regions : tuple of str
        What is decided on: signal regions, or all events where there is none.
    excess : Excess, optional
        Effect of the attack, after the detector if there is one, beyond the systematics; None without any.
    prices : mapping of str to FlaggedSignal
        What the detector costs each of the regions.
    observed : tuple of ObservedCheck
        Data against nominal and attacked simulation; empty without data.
    converged : bool, optional
        Whether the attack stopped by itself; None if it was not to.
    compositions : tuple of Composition
        What exchanges of events of opposite class allow.
    adaptive : Evidence, optional
        The same of an attack on network *and* detector.
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
    regions: tuple[str, ...] = (ALL_EVENTS,)
    excess: Excess | None = None
    prices: Mapping[str, FlaggedSignal] = field(default_factory=dict)
    observed: tuple[ObservedCheck, ...] = ()
    converged: bool | None = None
    compositions: tuple[Composition, ...] = ()
    adaptive: Evidence | None = None
    correlations: Correlations = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        sums: AttackSums,
        *,
        others: Iterable[SystematicEffect] = (),
        fractions: Iterable[FlaggedFraction] | None = None,
        observed: Iterable[ObservedCheck] | None = None,
        adaptive: AttackSums | None = None,
        correlations: Correlations | None = None,
    ) -> Self:
        """
        Collect the evidence of an attack, or of many that were added.

        Parameters
        ----------
        sums : AttackSums
            Of the attack, from ``AttackResult.sums`` or a processor.
        others : iterable of SystematicEffect
            Effects of other events than the attacked ones, such as from :func:`hepfool.studies._variations.yield_effects`.
        fractions : iterable of FlaggedFraction, optional
            Flagged fractions in data and simulation; by default those of the sums, in every region with data.
        observed : iterable of ObservedCheck, optional
            Data against simulation; by default those of the sums.
        adaptive : AttackSums, optional
            Of a finished attack on network and detector, see :func:`hepfool.defences.attack_defended`, with the same detector.
        correlations : mapping of (str, str) to float, optional
            Correlations of pairs of systematic sources; independent by default.
        """
        others = tuple(others)
        effects = (*systematic_effects(sums), *others)
        fractions = flagged_fractions(sums) if fractions is None else tuple(fractions)
        observed = observed_checks(sums) if observed is None else tuple(observed)
        signal = tuple(name for name, role in sums.facts["regions"] if role == "signal")
        regions = signal or (ALL_EVENTS,)
        prices = {region: flagged_signal(sums, region) for region in regions}
        return cls(
            attack=attack_effect(sums),
            corrected=attack_effect(sums, remaining=True) if sums.facts["flagged"] else None,
            effects=effects,
            fractions=fractions,
            compatibility=sums.compatibility(),
            iterations_done=sums.iterations_done or 0,
            n_iterations=sums.facts["n_iterations"],
            regions=regions,
            excess=excess(sums, correlations=correlations, others=others) if effects else None,
            prices={region: price for region, price in prices.items() if price is not None},
            observed=observed,
            converged=sums.converged,
            compositions=sums.compositions,
            adaptive=None
            if adaptive is None
            else cls.of(adaptive, others=others, fractions=fractions, observed=observed, correlations=correlations),
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
