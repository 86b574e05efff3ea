# SPDX-License-Identifier: BSD-3-Clause
"""
The questions a reviewer asks, one class each.

The first paragraph of a criterion's docstring is the sentence that stands in
the report.  Its fields are the numbers and the threshold they are held against.
A *decisive* criterion that does not pass keeps the verdict from ``COVERED``;
the others are for information.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from hepfool.settings import Thresholds
from hepfool.studies.systematics import Measured
from hepfool.summary.evidence import Evidence, FlaggedFraction


class Criterion(ABC):
    """One question with its numbers and its threshold."""

    __slots__ = ()

    #: Whether the verdict depends on it.
    decisive: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:
        """Take the numbers from the evidence."""

    @property
    @abstractmethod
    def passed(self) -> bool | None:
        """Answer, or None if there is nothing to judge by."""

    @property
    @abstractmethod
    def numbers(self) -> str:
        """The numbers in words, or what is missing."""

    @property
    def sentence(self) -> str:
        """What passing means, for a reviewer."""
        return " ".join((inspect.getdoc(type(self)) or "").partition("\n\n")[0].split())

    @property
    def lacking(self) -> str:
        """Input without which it cannot be judged; empty if nothing is missing or required."""
        return ""

    @property
    def status(self) -> str:
        """``passed``, ``failed``, ``not evaluated``, or ``not needed`` where there is nothing to ask."""
        open_one = "not evaluated" if self.lacking or not self.decisive else "not needed"
        return {True: "passed", False: "failed", None: open_one}[self.passed]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolingWithinSystematics(Criterion):
    """The fooling ratio, without flagged events, does not exceed the fraction of events flipped by the physics systematics."""

    decisive: ClassVar[bool] = True
    fooling: Measured  # corrected fooling ratio; the plain one without a detector
    corrected: bool  # whether a detector was applied
    systematics: Measured | None  # flip fractions of the physics systematics in quadrature
    max_ratio: float

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:
        """Take the flip fractions."""
        added = evidence.total
        return cls(
            fooling=evidence.remaining.flips or Measured(math.nan, math.nan),
            corrected=evidence.corrected is not None,
            systematics=None if added is None or all(e.flips is None for e in evidence.effects) else added.flips,
            max_ratio=thresholds.max_systematics_ratio,
        )

    @property
    def lacking(self) -> str:
        """Variations of the inputs."""
        return "" if self.systematics else "physics systematics that vary the inputs, such as energy scales"

    @property
    def passed(self) -> bool | None:
        """Whether the ratio is at most the allowed one."""
        if self.systematics is None:
            return None
        return self.fooling.value <= self.max_ratio * self.systematics.value

    @property
    def numbers(self) -> str:
        """Both fractions."""
        name = "corrected fooling ratio" if self.corrected else "fooling ratio (no detector)"
        if self.systematics is None:
            return f"{name} {self.fooling}, but no physics systematic that varies the inputs was given"
        return f"{name} {self.fooling}, systematics {self.systematics}, allowed ratio {self.max_ratio:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedFractionsAgree(Criterion):
    """The detector flags the same fraction of events in data and in simulation."""

    decisive: ClassVar[bool] = True
    fractions: tuple[FlaggedFraction, ...]
    tolerance: float  # accepted difference beyond statistics, dimensionless
    n_sigma: float  # accepted standard deviations on top
    detector: bool  # whether there is one whose flags count

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:
        """Take the flagged fractions."""
        return cls(
            fractions=evidence.fractions,
            tolerance=thresholds.flagged_tolerance,
            n_sigma=thresholds.flagged_n_sigma,
            detector=evidence.corrected is not None,
        )

    @property
    def lacking(self) -> str:
        """Data, where a detector's flags are subtracted."""
        return "data in a control or validation region" if self.detector and not self.fractions else ""

    @property
    def passed(self) -> bool | None:
        """Whether they agree in every region."""
        if not self.fractions:
            return None
        differences = [fraction.difference for fraction in self.fractions]
        return all(abs(d.value) <= self.tolerance + self.n_sigma * d.error for d in differences)

    @property
    def numbers(self) -> str:
        """Each region's fractions."""
        if not self.fractions:
            return (
                "no data in a control region was given"
                if self.detector
                else "no detector, whose flags would be subtracted"
            )
        regions = [f"{f.region}: data {f.data}, simulation {f.simulation}" for f in self.fractions]
        return f"{'; '.join(regions)}; allowed difference {self.tolerance:g} + {self.n_sigma:g} σ"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackFinished(Criterion):
    """The attack completed all its iterations or converged."""

    decisive: ClassVar[bool] = True
    iterations_done: int
    n_iterations: int
    converged: bool | None = None  # whether it stopped by itself

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:  # noqa: ARG003 - one signature for all
        """Take the numbers of iterations."""
        return cls(
            iterations_done=evidence.iterations_done,
            n_iterations=evidence.n_iterations,
            converged=evidence.converged,
        )

    @property
    def passed(self) -> bool:
        """Whether it was not interrupted."""
        return bool(self.converged) or self.iterations_done >= self.n_iterations

    @property
    def numbers(self) -> str:
        """How far it came."""
        return f"{self.iterations_done} of {self.n_iterations} iterations"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackConverged(Criterion):
    """The last iterations of the attack gained less than the statistical error of the fooling ratio."""

    converged: bool | None  # whether they did; None if the attack did a fixed number of iterations
    iterations_done: int

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:  # noqa: ARG003 - one signature for all
        """Take what the attack noted."""
        return cls(converged=evidence.converged, iterations_done=evidence.iterations_done)

    @property
    def passed(self) -> bool | None:
        """Whether more iterations would gain little."""
        return self.converged

    @property
    def numbers(self) -> str:
        """When it stopped."""
        if self.converged is None:
            return "the attack did a fixed number of iterations; it is not known whether more would find more"
        done = f"after {self.iterations_done} iterations"
        return f"converged {done}" if self.converged else f"not converged {done}: more of them would probably find more"


@dataclass(frozen=True, slots=True, kw_only=True)
class YieldsWithinSystematics(Criterion):
    """No region's yield after the score selection shifts by more than the physics systematics shift it."""

    attack: Mapping[str, Measured]  # relative yield shift per region, after the detector if there is one
    systematics: Mapping[str, Measured] | None  # size of the systematic shifts per region in quadrature
    max_ratio: float

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:
        """Take the yield shifts."""
        added = evidence.total
        return cls(
            attack=evidence.remaining.yield_shift,
            systematics=None if added is None else added.yield_shift,
            max_ratio=thresholds.max_systematics_ratio,
        )

    @property
    def passed(self) -> bool | None:
        """Whether every region's ratio is at most the allowed one."""
        if self.systematics is None:
            return None
        pairs = [(self.attack[r], self.systematics[r]) for r in self.attack if r in self.systematics]
        known = [(a.value, s.value) for a, s in pairs if not (math.isnan(a.value) or math.isnan(s.value))]
        return all(abs(a) <= self.max_ratio * s for a, s in known) if known else None

    @property
    def numbers(self) -> str:
        """Each region's shifts."""
        if self.systematics is None:
            return "no physics systematic was given"
        shown = [
            f"{r}: {a}" + (f", systematics {self.systematics[r]}" if r in self.systematics else "")
            for r, a in self.attack.items()
        ]
        return "; ".join(shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalsWithinFloor(Criterion):
    """No marginal moved further than two independent samples of this size typically differ."""

    feature: str  # feature with the largest distance in units of its floor
    js_distance: float
    js_floor: float
    max_ratio: float

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:
        """Take the worst feature."""
        compared = evidence.compatibility
        worst = int(np.argmax(compared.js_distance / np.maximum(compared.js_floor, np.finfo(float).tiny)))
        return cls(
            feature=compared.features[worst],
            js_distance=float(compared.js_distance[worst]),
            js_floor=float(compared.js_floor[worst]),
            max_ratio=thresholds.max_floor_ratio,
        )

    @property
    def passed(self) -> bool:
        """Whether the distance is below its floor."""
        return self.js_distance <= self.max_ratio * self.js_floor

    @property
    def numbers(self) -> str:
        """The worst feature's numbers."""
        return f"{self.feature}: distance {self.js_distance:.4f}, sampling floor {self.js_floor:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationsWithinFloor(Criterion):
    """The correlations moved no further than those of two independent samples of this size typically differ."""

    # correlation_shift, correlation_floor: relative Frobenius norm of the change and its sampling floor, dimensionless
    correlation_shift: float
    correlation_floor: float
    max_ratio: float

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:
        """Take shift and floor."""
        compared = evidence.compatibility
        return cls(
            correlation_shift=compared.correlation_shift,
            correlation_floor=compared.correlation_floor,
            max_ratio=thresholds.max_floor_ratio,
        )

    @property
    def passed(self) -> bool:
        """Whether the shift is below its floor."""
        return self.correlation_shift <= self.max_ratio * self.correlation_floor

    @property
    def numbers(self) -> str:
        """Shift and floor."""
        return f"correlation shift {self.correlation_shift:.4f}, sampling floor {self.correlation_floor:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnoughEvents(Criterion):
    """The constrained events are numerous enough that marginals and correlations are not dominated by statistical fluctuations."""

    n_events: int
    n_features: int
    min_events_per_feature: int

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds) -> Self:
        """Take the number of constrained events."""
        return cls(
            n_events=evidence.compatibility.n_events,
            n_features=len(evidence.compatibility.features),
            min_events_per_feature=thresholds.min_events_per_feature,
        )

    @property
    def passed(self) -> bool:
        """Whether every feature has enough events."""
        return self.n_events >= self.min_events_per_feature * self.n_features

    @property
    def numbers(self) -> str:
        """How many there are."""
        return f"{self.n_events} constrained events for {self.n_features} features"


#: All criteria, the decisive ones first.
CRITERIA: Sequence[type[Criterion]] = (
    FoolingWithinSystematics,
    FlaggedFractionsAgree,
    AttackFinished,
    AttackConverged,
    YieldsWithinSystematics,
    MarginalsWithinFloor,
    CorrelationsWithinFloor,
    EnoughEvents,
)
