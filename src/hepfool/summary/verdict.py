# SPDX-License-Identifier: BSD-3-Clause
"""The decision from the criteria."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal

from hepfool.settings import Thresholds
from hepfool.shown import Displayed, Shown
from hepfool.studies.systematics import Measured, SystematicEffect, SystematicTotal
from hepfool.summary.criteria import CRITERIA, AttackFinished, Criterion, FlaggedFractionsAgree
from hepfool.summary.evidence import Evidence

#: Nothing to add, look closer, assign an uncertainty, or give what is lacking.
Decision = Literal["COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"]

_MEANINGS: Mapping[Decision, str] = {
    "COVERED": "the physics systematics already assigned cover what remains of the attack; nothing to add",
    "INVESTIGATE": "find out why before the network's answer is trusted beyond the assigned systematics",
    "ASSIGN": "after the investigation, assign the uncovered part of the shift as an uncertainty",
    "INCOMPLETE": "an input is missing",
}


#: Relative changes of a threshold that a stable verdict survives.
_CHANGES = (-0.5, 0.5)


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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Verdict(Displayed):
    """
    The decision and what it is based on.

    Attributes
    ----------
    decision : {"COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"}
        What to do.
    criteria : tuple of Criterion
        Every criterion with its numbers and thresholds.
    size_flips : float, optional
        For ``ASSIGN``: part of the flip fraction that the systematics do not cover, dimensionless.
    size_yields : mapping of str to float
        For ``ASSIGN``: relative yield uncertainty per region that makes the quadratic sum with the
        systematics as large as the shift by the attack.
    sensitivity : tuple of Sensitivity
        The decision with each threshold by itself 50 % lower and higher.
    adaptive : {"COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"}, optional
        The decision if the attack knows the detector; None if no such attack was made.
    adaptive_flips : Measured, optional
        Fooled and not flagged fraction of that attack.
    """

    decision: Decision
    criteria: tuple[Criterion, ...]
    size_flips: float | None = None
    size_yields: Mapping[str, float] = field(default_factory=dict)
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
    def meaning(self) -> str:
        """Meaning of the decision."""
        missing = f"; give {', and '.join(self.lacking)}" if self.decision == "INCOMPLETE" else ""
        return f"{_MEANINGS[self.decision]}{missing}"

    @property
    def lacking(self) -> tuple[str, ...]:
        """Inputs without which a decisive criterion cannot be judged."""
        return tuple(c.lacking for c in self.criteria if c.decisive and c.lacking)

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
            else f"The verdict stays {self.decision} with each threshold 50 % lower or higher."
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
        ``COVERED`` if every decisive criterion passes; one about a detector is not needed without one.
        ``INCOMPLETE`` if none fails, but an input is missing.  Else ``INVESTIGATE``, or
        ``ASSIGN`` if investigated; an unfinished attack has no size to assign, nor has one that the physics
        systematics cover. The size counts flagged events only if the detector was seen to agree in
        data and simulation.
    """
    thresholds = Thresholds() if thresholds is None else thresholds
    verdict = _judge(evidence, thresholds, investigated=investigated)
    sensitivity = []
    for name in (f.name for f in fields(thresholds)):
        used = getattr(thresholds, name)
        for change in _CHANGES:
            changed = used * (1.0 + change)
            other = _judge(evidence, replace(thresholds, **{name: changed}), investigated=investigated)
            sensitivity.append(Sensitivity(threshold=name, used=used, changed=changed, decision=other.decision))
    adaptive = evidence.adaptive
    if adaptive is None:
        return replace(verdict, sensitivity=tuple(sensitivity))
    known = _judge(replace(evidence, corrected=adaptive), thresholds, investigated=investigated)
    return replace(verdict, sensitivity=tuple(sensitivity), adaptive=known.decision, adaptive_flips=adaptive.flips)


def _judge(evidence: Evidence, thresholds: Thresholds, *, investigated: bool) -> Verdict:
    criteria = tuple(criterion.of(evidence, thresholds) for criterion in CRITERIA)
    decisive = [criterion for criterion in criteria if criterion.decisive]
    failed, lacking = any(c.passed is False for c in decisive), any(c.lacking for c in decisive)
    if not (failed or lacking):
        return Verdict(decision="COVERED", criteria=criteria)
    finished = all(criterion.passed for criterion in criteria if isinstance(criterion, AttackFinished))
    # A detector that answers differently in data covers nothing.
    trusted = all(criterion.passed is True for criterion in criteria if isinstance(criterion, FlaggedFractionsAgree))
    effect = evidence.remaining if trusted else evidence.attack
    flips, yields = _uncovered_flips(effect, evidence.total), _uncovered_yields(effect, evidence.total)
    something = any(size > 0.0 for size in (flips or 0.0, *yields.values()))
    if not (investigated and finished and something):
        return Verdict(decision="INVESTIGATE" if failed else "INCOMPLETE", criteria=criteria)
    return Verdict(decision="ASSIGN", criteria=criteria, size_flips=flips, size_yields=yields)


def _uncovered_flips(effect: SystematicEffect, added: SystematicTotal | None) -> float | None:
    covered = 0.0 if added is None else added.flips.value
    return None if effect.flips is None else _uncovered(effect.flips.value, covered)


def _uncovered_yields(effect: SystematicEffect, added: SystematicTotal | None) -> dict[str, float]:
    covered = {} if added is None else {region: m.value for region, m in added.yield_shift.items()}
    return {region: _uncovered(shift.value, covered.get(region, 0.0)) for region, shift in effect.yield_shift.items()}


def _uncovered(shift: float, covered: float) -> float:
    """Size that, in quadrature with what is covered, gives the shift."""
    return math.sqrt(max(shift**2 - covered**2, 0.0)) if not math.isnan(shift + covered) else math.nan
