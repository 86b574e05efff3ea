# SPDX-License-Identifier: BSD-3-Clause
"""
The questions a reviewer asks, one class each.

The first paragraph of a criterion's docstring is the sentence that stands in
the report.  Its fields are the numbers and the threshold they are held against.
A *decisive* criterion that does not pass keeps the verdict from ``COVERED``;
the others are for information.  Those of ``REGION_CRITERIA`` are asked of every signal region, the others once.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from hepfool._settings import Thresholds
from hepfool.statistics._intervals import fraction_interval
from hepfool.studies._contributions import Measured
from hepfool.studies._excess import Difference, Excess
from hepfool.summary._evidence import Evidence, FlaggedFraction, FlaggedSignal
from hepfool.summary._observed import ObservedCheck


class Criterion(ABC):
    """One question with its numbers and its threshold."""

    __slots__ = ()

    #: Whether the verdict depends on it.
    decisive: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:
        """Take the numbers from the evidence, where it is by region those of one."""

    @property
    @abstractmethod
    def passed(self) -> bool | None:
        """Answer, or None if there is nothing to judge by, or too little."""

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


def _below(interval: tuple[float, float] | None, limit: float = 0.0) -> bool | None:
    """Whether an interval lies below a limit; None if it holds it, or does not exist."""
    if interval is None or math.isnan(sum(interval)):
        return None
    return True if interval[1] <= limit else False if interval[0] > limit else None


def _shown(interval: tuple[float, float], confidence: float) -> str:
    return f"between {interval[0]:.4f} and {interval[1]:.4f} at {confidence:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _WithinSystematics(Criterion):
    """An effect of the attack beside that of the systematics, in one region."""

    decisive: ClassVar[bool] = True
    region: str
    effect: Measured
    systematics: Measured | None  # in quadrature; None if there is none
    interval: tuple[float, float] | None  # of the difference
    max_ratio: float
    confidence: float

    @classmethod
    def _of(cls, effect: Measured, found: Measured | None, thresholds: Thresholds, region: str, **more: object) -> Self:
        known = found if isinstance(found, Difference) else None
        ratio, confidence = thresholds.max_systematics_ratio, thresholds.confidence
        return cls(
            region=region,
            effect=effect,
            systematics=None if known is None else known.systematics,
            interval=None if known is None else known.interval(confidence, ratio),
            max_ratio=ratio,
            confidence=confidence,
            **more,
        )

    @property
    def passed(self) -> bool | None:
        """Whether the difference is below zero."""
        return _below(self.interval)

    def _numbers(self, name: str) -> str:
        if self.systematics is None or self.interval is None:
            return f"{self.region}: {name} {self.effect}, no systematics to compare with"
        times = "" if self.max_ratio == 1.0 else f" {self.max_ratio:g} times"
        return (
            f"{self.region}: {name} {self.effect}, systematics {self.systematics}; the difference from{times} these lies "
            f"{_shown(self.interval, self.confidence)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolingWithinSystematics(_WithinSystematics):
    """The fooling ratio of a signal region, without flagged events, is below the fraction of events flipped by the physics systematics."""

    corrected: bool  # whether a detector was applied

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:
        """Take the flip fractions."""
        known = any(e.flips is not None for e in evidence.effects)
        found = _flips(evidence.excess, region) if known else None
        effect = evidence.remaining.flips_in(region) or Measured(math.nan, math.nan)
        return cls._of(effect, found, thresholds, region, corrected=evidence.corrected is not None)

    @property
    def lacking(self) -> str:
        """Variations of the inputs, or events."""
        if self.systematics is None:
            return "physics systematics that vary the inputs, such as energy scales"
        if math.isnan(self.effect.value):
            return f"attacked events in {self.region}"
        return f"more simulated events in {self.region}, to tell fooling ratio and systematics apart" * (
            self.passed is None
        )

    @property
    def numbers(self) -> str:
        """Both fractions."""
        return self._numbers("corrected fooling ratio" if self.corrected else "fooling ratio (no detector)")


def _flips(excess: Excess | None, region: str) -> Measured | None:
    return None if excess is None else excess.region_flips.get(region, excess.flips)


@dataclass(frozen=True, slots=True, kw_only=True)
class YieldsWithinSystematics(_WithinSystematics):
    """The yield of a signal region after the score selection shifts by less than the physics systematics shift it."""

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:
        """Take the yield shifts."""
        effect = evidence.remaining.yield_shift.get(region, Measured(math.nan, math.nan))
        found = None if evidence.excess is None else evidence.excess.yield_shift.get(region)
        return cls._of(effect, found, thresholds, region)

    @property
    def lacking(self) -> str:
        """Systematics, or events."""
        if math.isnan(self.effect.value):
            return ""  # the selection leaves nothing there
        if self.systematics is None:
            return "physics systematics"
        return f"more simulated events in {self.region}, to tell yield shift and systematics apart" * (
            self.passed is None
        )

    @property
    def numbers(self) -> str:
        """Both shifts."""
        return self._numbers("yield shift")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorPrice(Criterion):
    """The detector flags little of the signal that the score selects in a signal region."""

    decisive: ClassVar[bool] = True
    region: str
    signal: FlaggedSignal | None
    max_fraction: float
    confidence: float
    detector: bool  # whether there is one whose flags count

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:
        """Take the flagged signal."""
        return cls(
            region=region,
            signal=evidence.prices.get(region),
            max_fraction=thresholds.max_signal_flagged,
            confidence=thresholds.confidence,
            detector=evidence.corrected is not None,
        )

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the flagged fraction."""
        if self.signal is None or not self.detector:
            return None
        return fraction_interval(self.signal.fraction.value, self.signal.n_effective, self.confidence)

    @property
    def lacking(self) -> str:
        """Signal events."""
        undecided = self.interval is not None and self.passed is None
        return f"more simulated signal in {self.region}, to know what the detector costs" * undecided

    @property
    def passed(self) -> bool | None:
        """Whether it flags no more than allowed."""
        return _below(self.interval, self.max_fraction)

    @property
    def numbers(self) -> str:
        """Flagged fractions."""
        if self.signal is None or self.interval is None:
            return f"{self.region}: no selected signal" if self.detector else f"{self.region}: no detector"
        return (
            f"{self.region}: {self.signal.fraction} of the selected signal is flagged, "
            f"{_shown(self.interval, self.confidence)} (of all signal {self.signal.every_signal}); allowed {self.max_fraction:g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedFractionsAgree(Criterion):
    """The detector flags the same fraction of events in data and in simulation, within a tolerance that is small beside what the attack changes."""

    decisive: ClassVar[bool] = True
    fractions: tuple[FlaggedFraction, ...]
    tolerance: float  # accepted difference in units of what the attack changes
    confidence: float
    detector: bool  # whether there is one whose flags count

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:  # noqa: ARG003 - one signature for all
        """Take the flagged fractions."""
        return cls(
            fractions=evidence.fractions,
            tolerance=thresholds.flagged_tolerance,
            confidence=thresholds.confidence,
            detector=evidence.corrected is not None,
        )

    def _agrees(self, fraction: FlaggedFraction) -> bool | None:
        """Whether the difference is within the tolerance; False if it is beyond, None if too few events tell neither."""
        low, high = fraction.interval(self.confidence)
        allowed = self.tolerance * fraction.change
        return True if -allowed <= low and high <= allowed else False if low > allowed or high < -allowed else None

    @property
    def lacking(self) -> str:
        """Data, where a detector's flags are subtracted."""
        if not self.fractions:
            return "data in a control or validation region" * self.detector
        undecided = [f.region for f in self.fractions if self._agrees(f) is None]
        told = f"more data or simulation in {', '.join(undecided)}, to show that flagged fractions agree"
        return told if self.passed is None else ""

    @property
    def passed(self) -> bool | None:
        """Whether they agree in every region."""
        answers = [self._agrees(fraction) for fraction in self.fractions]
        return None if not answers else False if False in answers else None if None in answers else True

    @property
    def numbers(self) -> str:
        """Each region's fractions."""
        if not self.fractions:
            return (
                "no data in a control region was given"
                if self.detector
                else "no detector, whose flags would be subtracted"
            )
        return "; ".join(
            f"{f.region}: data {f.data}, simulation {f.simulation}, attacked {f.attacked}; the difference lies "
            f"{_shown(f.interval(self.confidence), self.confidence)}, allowed ±{self.tolerance * f.change:.4f}"
            for f in self.fractions
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAgree(Criterion):
    """In control and validation regions no distribution of the data disagrees with the nominal simulation within its systematics."""

    decisive: ClassVar[bool] = True
    observed: tuple[ObservedCheck, ...]
    level: float

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:  # noqa: ARG003 - one signature for all
        """Take the tests that know systematics."""
        checks = (c for c in evidence.observed if c.check == "chi2" and not math.isnan(c.p_nominal))
        return cls(observed=tuple(checks), level=1.0 - thresholds.confidence)

    @property
    def lacking(self) -> str:
        """Data."""
        return "" if self.observed else "data in a control or validation region"

    @property
    def passed(self) -> bool | None:
        """Whether the smallest p-value, for so many tests, is above the level."""
        return _family(c.p_nominal for c in self.observed) >= self.level if self.observed else None

    @property
    def numbers(self) -> str:
        """Smallest p-values of both predictions."""
        if not self.observed:
            return "no data in a control region was given"
        worst = min(self.observed, key=lambda c: c.p_nominal)
        nominal, attacked = (
            _family(p) for p in zip(*((c.p_nominal, c.p_attacked) for c in self.observed), strict=True)
        )
        return (
            f"{len(self.observed)} distributions, smallest p-value of the nominal simulation {worst.p_nominal:.2g} "
            f"({worst.quantity} in {worst.region}), {nominal:.2g} for so many tests; of the attacked simulation {attacked:.2g}"
        )


def _family(p_values: Iterable[float]) -> float:
    """Smallest p-value after the correction of Bonferroni."""
    known = [p for p in p_values if not math.isnan(p)]
    return min([len(known) * min(known, default=1.0), 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackConverged(Criterion):
    """The last iterations of the attack gained less than the statistical error of the fooling ratio."""

    decisive: ClassVar[bool] = True
    converged: bool | None  # None if the attack does not judge it
    iterations_done: int
    n_iterations: int

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:  # noqa: ARG003 - one signature for all
        """Take what the attack noted."""
        return cls(
            converged=evidence.converged, iterations_done=evidence.iterations_done, n_iterations=evidence.n_iterations
        )

    @property
    def cut_short(self) -> bool:
        """Whether more iterations would find more, as far as is known."""
        return self.converged is False or (self.converged is None and self.iterations_done < self.n_iterations)

    @property
    def passed(self) -> bool | None:
        """Whether more iterations would gain little."""
        return self.converged or None

    @property
    def lacking(self) -> str:
        """More iterations, or an attack that says whether it converged."""
        if self.converged:
            return ""
        return "more iterations of the attack" if self.cut_short else "an attack that stops when it has converged"

    @property
    def numbers(self) -> str:
        """When it stopped."""
        done = f"after {self.iterations_done} of {self.n_iterations} iterations"
        if self.converged is None and not self.cut_short:
            return "the attack did a fixed number of iterations; it is not known whether more would find more"
        return f"converged {done}" if self.converged else f"not converged {done}: more of them would probably find more"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalsWithinFloor(Criterion):
    """No marginal moved further than two independent samples of this size typically differ."""

    feature: str  # feature with the largest distance in units of its floor
    js_distance: float
    js_floor: float
    max_ratio: float

    @classmethod
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:  # noqa: ARG003 - one signature for all
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
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:  # noqa: ARG003 - one signature for all
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
    def of(cls, evidence: Evidence, thresholds: Thresholds, region: str) -> Self:  # noqa: ARG003 - one signature for all
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


#: Asked of every signal region.
REGION_CRITERIA: Sequence[type[Criterion]] = (FoolingWithinSystematics, YieldsWithinSystematics, DetectorPrice)

#: Asked once, the decisive ones first.
COMMON_CRITERIA: Sequence[type[Criterion]] = (
    FlaggedFractionsAgree,
    DataAgree,
    AttackConverged,
    MarginalsWithinFloor,
    CorrelationsWithinFloor,
    EnoughEvents,
)
