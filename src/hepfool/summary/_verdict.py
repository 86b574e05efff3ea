# SPDX-License-Identifier: BSD-3-Clause
"""The decision from the criteria."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hepfool._settings import Thresholds
from hepfool._shown import Displayed, Shown
from hepfool.studies._contributions import Measured
from hepfool.summary._criteria import (
    COMMON_CRITERIA,
    REGION_CRITERIA,
    AttackConverged,
    Criterion,
    FlaggedFractionsAgree,
)
from hepfool.summary._evidence import Evidence

#: Nothing to add, look closer, assign an uncertainty, or give what is lacking.
Decision = Literal["COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"]

#: The worst first.
_ORDER: tuple[Decision, ...] = ("INVESTIGATE", "INCOMPLETE", "ASSIGN", "COVERED")

_MEANINGS: Mapping[Decision, str] = {
    "COVERED": "the physics systematics already assigned cover what remains of the attack; nothing to add",
    "INVESTIGATE": "find out why before the network's answer is trusted beyond the assigned systematics",
    "ASSIGN": "after the investigation, assign the uncovered part of the shift as an uncertainty",
    "INCOMPLETE": "an input is missing",
}


#: Other values of the thresholds that decide, from the one used.
_OTHERS: Mapping[str, tuple[float, float]] = {
    "confidence": (0.9, 0.99),
    "max_systematics_ratio": (0.5, 1.5),
    "flagged_tolerance": (0.5, 1.5),
    "max_signal_flagged": (0.5, 1.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """
    The decision with one threshold changed.

    Attributes
    ----------
    threshold : str
        Field of :class:`~hepfool.summary.Thresholds`.
    used, changed : float
        Its value, and the one tried instead.
    decision : {"COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"}
        Decision with the changed value.
    """

    threshold: str
    used: float
    changed: float
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionVerdict:
    """
    The decision on one signal region.

    Attributes
    ----------
    region : str
        Its name; ``all_events`` where there is no signal region.
    decision : {"COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"}
        What to do there.
    criteria : tuple of Criterion
        Those that are asked of this region.
    size_flips : float, optional
        For ``ASSIGN``: part of the flip fraction that the systematics do not cover, dimensionless.
    size_yield : float, optional
        For ``ASSIGN``: relative yield uncertainty that makes the quadratic sum with the systematics as large as the shift by the
        attack.
    """

    region: str
    decision: Decision
    criteria: tuple[Criterion, ...]
    size_flips: float | None = None
    size_yield: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Verdict(Displayed):
    """
    The decision and what it is based on.

    Attributes
    ----------
    decision : {"COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"}
        What to do: that of the worst region.
    regions : tuple of RegionVerdict
        Each signal region by itself, or all events where there is none.
    common : tuple of Criterion
        Criteria that are the same for all regions.
    sensitivity : tuple of Sensitivity
        The decision with each threshold by itself changed.
    adaptive : {"COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"}, optional
        The decision if the attack knows the detector; None if no such attack was made.
    adaptive_flips : Measured, optional
        Fooled and not flagged fraction of that attack.
    """

    decision: Decision
    regions: tuple[RegionVerdict, ...]
    common: tuple[Criterion, ...]
    sensitivity: tuple[Sensitivity, ...] = ()
    adaptive: Decision | None = None
    adaptive_flips: Measured | None = None

    def _shown(self) -> Shown:
        return Shown(
            f"{self.decision}: {self.meaning}",
            ("criterion", "status", "numbers"),
            [(type(c).__name__ + "*" * c.decisive, c.status, c.numbers) for c in self.criteria],
            ("* decides", self.stability if self.sensitivity else ""),
        )

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """Every criterion with its numbers and thresholds, the decisive ones first."""
        found = (*(c for region in self.regions for c in region.criteria), *self.common)
        return tuple(sorted(found, key=lambda criterion: not criterion.decisive))

    @property
    def meaning(self) -> str:
        """Meaning of the decision."""
        missing = f"; give {', and '.join(self.lacking)}" if self.decision == "INCOMPLETE" else ""
        return f"{_MEANINGS[self.decision]}{missing}"

    @property
    def lacking(self) -> tuple[str, ...]:
        """Inputs without which a decisive criterion cannot be judged."""
        return tuple(dict.fromkeys(c.lacking for c in self.criteria if c.decisive and c.lacking))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Decisive criteria that did not pass, with their numbers."""
        open_ones = [c for c in self.criteria if c.decisive and (c.passed is False or c.lacking)]
        return tuple(f"{type(c).__name__} {c.status}: {c.numbers}" for c in open_ones)

    @property
    def stability(self) -> str:
        """How far the decision depends on where the thresholds are, and on what the attack knows."""
        other = [s for s in self.sensitivity if s.decision != self.decision]
        changes = ", ".join(f"{s.decision} with {s.threshold} {s.changed:g} instead of {s.used:g}" for s in other)
        lines = [
            f"The verdict depends on a threshold: {changes}."
            if other
            else f"The verdict stays {self.decision} at 90 % and 99 % confidence, and with each other threshold 50 % lower or higher."
        ]
        if self.adaptive is not None:
            changed = "stays" if self.adaptive == self.decision else "becomes"
            lines.append(
                f"If the attack knows the detector, the verdict {changed} {self.adaptive} "
                f"(corrected fooling ratio {self.adaptive_flips})."
            )
        return " ".join(lines)


def decide(evidence: Evidence, thresholds: Thresholds | None = None, *, investigated: bool = False) -> Verdict:
    """
    Decide on an attack from the evidence.

    Parameters
    ----------
    thresholds : Thresholds, optional
        Thresholds of the criteria; the defaults when left out.
    investigated : bool
        Statement of the analysers that they have looked into what a former
        ``INVESTIGATE`` asked for, and want the uncovered part assigned.

    Returns
    -------
    Verdict
        Per signal region: ``COVERED`` if every decisive criterion passes; one about a detector is not needed without one.
        ``INCOMPLETE`` if none fails, but an input is missing, or too few events decide neither way.  Else
        ``INVESTIGATE``, or ``ASSIGN`` if investigated; an attack that did not converge has no size to assign, nor has one that the
        physics systematics cover.  The size counts flagged events only if the detector was seen to agree in data and simulation.
        The whole is the worst region.
    """
    thresholds = Thresholds() if thresholds is None else thresholds
    verdict = _judge(evidence, thresholds, investigated=investigated)
    sensitivity = []
    for name, others in _OTHERS.items():
        used = getattr(thresholds, name)
        for value in others:
            changed = value if name == "confidence" else used * value
            change: dict[str, Any] = {name: changed}
            other = _judge(evidence, replace(thresholds, **change), investigated=investigated)
            sensitivity.append(Sensitivity(threshold=name, used=used, changed=changed, decision=other.decision))
    verdict = replace(verdict, sensitivity=tuple(sensitivity))
    if evidence.adaptive is None:
        return verdict
    known = _judge(evidence.adaptive, thresholds, investigated=investigated)
    return replace(verdict, adaptive=known.decision, adaptive_flips=evidence.adaptive.remaining.flips)


def _judge(evidence: Evidence, thresholds: Thresholds, *, investigated: bool) -> Verdict:
    common = tuple(criterion.of(evidence, thresholds, "") for criterion in COMMON_CRITERIA)
    regions = tuple(_region(evidence, thresholds, common, name, investigated) for name in evidence.regions)
    decision = min((region.decision for region in regions), key=_ORDER.index)
    return Verdict(decision=decision, regions=regions, common=common)


def _region(
    evidence: Evidence, thresholds: Thresholds, common: tuple[Criterion, ...], region: str, investigated: bool
) -> RegionVerdict:
    own = tuple(criterion.of(evidence, thresholds, region) for criterion in REGION_CRITERIA)
    decisive = [criterion for criterion in (*own, *common) if criterion.decisive]
    failed, lacking = any(c.passed is False for c in decisive), any(c.lacking for c in decisive)
    if not (failed or lacking):
        return RegionVerdict(region=region, decision="COVERED", criteria=own)
    flips, yields = _sizes(evidence, common, region)
    sized = max(flips or 0.0, yields or 0.0) > 0.0
    finished = not any(c.cut_short for c in common if isinstance(c, AttackConverged))
    if investigated and finished and sized:
        return RegionVerdict(region=region, decision="ASSIGN", criteria=own, size_flips=flips, size_yield=yields)
    return RegionVerdict(region=region, decision="INVESTIGATE" if failed else "INCOMPLETE", criteria=own)


def _sizes(evidence: Evidence, common: tuple[Criterion, ...], region: str) -> tuple[float | None, float | None]:
    """Parts of flip fraction and yield shift that the systematics do not cover."""
    # A detector that answers differently in data covers nothing.
    trusted = all(c.passed is True for c in common if isinstance(c, FlaggedFractionsAgree))
    effect, added = evidence.remaining if trusted else evidence.attack, evidence.total
    flips, shift = effect.flips_in(region), effect.yield_shift.get(region)
    nothing = Measured(0.0)
    flipped = nothing if added is None else added.region_flips.get(region, added.flips)
    shifted = nothing if added is None else added.yield_shift.get(region, nothing)
    return _uncovered(flips, flipped), _uncovered(shift, shifted)


def _uncovered(shift: Measured | None, covered: Measured) -> float | None:
    """Size that, in quadrature with what is covered, gives the shift."""
    if shift is None or math.isnan(shift.value + covered.value):
        return None
    return math.sqrt(max(shift.value**2 - covered.value**2, 0.0))
