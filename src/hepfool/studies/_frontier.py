# SPDX-License-Identifier: BSD-3-Clause
r"""
What an attack gains if it may be noticed more easily: fooling ratio against detection power.

A single attack answers for one set of caps.  :func:`run_frontier` repeats it for looser and tighter ones and
measures at each how often the network is fooled, and with which probability the strongest check that an analysis makes
anyway would notice.  The attack with its own caps is the operating point: if it was run before, the scan goes through
it, and all other points have its events, bins and bounds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hepfool._interrupts import completed
from hepfool.attacks._conserv import CONSERVAttack
from hepfool.attacks.base import Attack, AttackResult, run_attack
from hepfool.events import Envelope, EventTable
from hepfool.identity import identity, table_digest
from hepfool.io._finished import Finished
from hepfool.io._versions import code_version
from hepfool.models.protocols import Classifier
from hepfool.statistics._checks import STANDARD_CHECKS, CheckSettings, DetectionTable
from hepfool.studies._contributions import Measured
from hepfool.studies._systematics import attack_effect
from hepfool.typing import ProgressCallback
from hepfool.validation import Flags

_CAPS = ("max_js_distance", "max_correlation_shift")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """
    One attack of a scan.

    Attributes
    ----------
    factor : float
        Caps in units of those at the operating point.
    fooling : Measured
        Weighted fraction of the attacked events whose class changes.
    max_js_distance, correlation_shift : float
        What the attack did to the constrained events, dimensionless.
    power : Measured
        Detection power of all standard checks at one level together.
    check : str
        Which checks these are.
    further_power : Measured
        Detection power of the strongest of all checks that were evaluated, by itself.
    further_check : str
        Which check that is.
    """

    factor: float
    fooling: Measured
    max_js_distance: float
    correlation_shift: float
    power: Measured
    check: str
    further_power: Measured
    further_check: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """
    A scan of caps.

    Attributes
    ----------
    points : tuple of FrontierPoint
        From tight to loose caps.
    n_data : float
        Data events of the checks.
    level : float
        Probability that a check rejects when nothing is wrong.
    """

    points: tuple[FrontierPoint, ...]
    n_data: float
    level: float

    @property
    def operating_point(self) -> FrontierPoint | None:
        """The attack with its own caps, if it is in the scan."""
        return next((point for point in self.points if point.factor == 1.0), None)

    def unnoticed(self, power: float) -> FrontierPoint | None:
        """
        Find the strongest attack that the standard checks hardly notice.

        Returns
        -------
        FrontierPoint or None
            The one with the largest fooling ratio; None if every attack is noticed.
        """
        allowed = [point for point in self.points if point.power.value <= power]
        return max(allowed, key=lambda point: point.fooling.value, default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatingPoint:
    """
    The attack whose caps are scaled, as it was run and checked.

    Attributes
    ----------
    result : AttackResult
        Its events: those that it attacked, and its bins, are those of every point.
    checks : DetectionTable
        From :func:`hepfool.statistics.run_checks`, with the settings of the scan.
    envelope : Envelope, optional
        Per-event bounds that it was given, which a result does not hold.
    detector : Flags, optional
        Whose flagged fraction was among the checks.
    """

    result: AttackResult
    checks: DetectionTable
    envelope: Envelope | None = None
    detector: Flags | None = None

    def ran(self, attack: Attack) -> bool:
        """
        Whether an attack is the one that was run.

        Returns
        -------
        bool
            Whether all its settings agree.
        """
        return repr(self.result.attack) == repr(attack)


def scaled_caps(attack: CONSERVAttack, factors: Iterable[float]) -> dict[float, CONSERVAttack]:
    """Loosen and tighten an attack."""
    if attack.validation is not None:
        return {float(factor): replace(attack, validation=attack.validation.scaled(factor)) for factor in factors}
    caps = {name: getattr(attack, name) for name in _CAPS if math.isfinite(getattr(attack, name))}
    if not caps:
        msg = f"no cap to scale; set one of {', '.join(_CAPS)}, or state a validation"
        raise ValueError(msg)
    return {float(factor): replace(attack, **{name: factor * cap for name, cap in caps.items()}) for factor in factors}


def run_frontier(
    attacks: Mapping[float, Attack],
    classifier: Classifier,
    table: EventTable,
    settings: CheckSettings,
    *,
    seed: int,
    operating: OperatingPoint | None = None,
    resume: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Frontier:
    """
    Run every attack of a scan and check it.

    Parameters
    ----------
    attacks : mapping of float to Attack
        By the factor on the caps, such as from :func:`scaled_caps`.
    settings : CheckSettings
        The validation; among the checks must be one that analyses make anyway.
    seed : int
        Seed of every point, so that their order makes no difference.
    operating : OperatingPoint, optional
        The attack with its own caps on these events, which is not run again: the point at factor 1.  The other points
        attack the same events, in the same bins, within the same bounds.  Without it every point attacks the correctly
        classified events in the attack's uniform bins.
    resume : str or Path, optional
        File of finished points, from which the same call resumes; delete it to start again.
    progress : callable, optional
        Called with each point, in words, and the finished fraction; also with points from the file.

    Returns
    -------
    Frontier
        From tight to loose caps.

    Raises
    ------
    ValueError
        If there is no attack or no standard check, the file belongs to another network, table, validation, operating
        point or seed, or the operating point is one of another attack, network or table.
    Interrupted
        If an attack was interrupted; the points before it are in the file.
    """
    if not attacks or not set(settings.checks) & set(STANDARD_CHECKS):
        msg = f"a frontier needs at least one attack, and one of the checks {', '.join(STANDARD_CHECKS)}"
        raise ValueError(msg)
    if operating is not None:
        _check_operating(operating, attacks, classifier, table)
    key = _key(classifier, table, settings, seed, operating)
    kept = None if resume is None else Finished(path=Path(resume), key=key, what="the scan")
    known: dict[str, Any] = (kept and kept.load(json.loads)) or {}
    points = []
    for factor, attack in sorted(attacks.items()):
        name = f"{factor!r} {attack!r}"
        if name not in known:
            if operating is not None and factor == 1.0:
                point = _measured(factor, operating.result, operating.checks, classifier)
            else:
                point = _point(factor, attack, classifier, table, settings, seed, operating)
            known[name] = asdict(point)
            if kept is not None:
                kept.save(json.dumps(known).encode())
        points.append(_from_record(known[name]))
        if progress is not None:
            progress(f"caps × {factor:g}: fooled {points[-1].fooling.value:.1%}", len(points) / len(attacks))
    return Frontier(points=tuple(points), n_data=settings.n_data, level=settings.level)


def _check_operating(
    operating: OperatingPoint, attacks: Mapping[float, Attack], classifier: Classifier, table: EventTable
) -> None:
    result = operating.result
    if result.nominal is not table or result.classifier_digest != classifier.digest:
        msg = (
            "the operating point belongs to another table or network; pass result.nominal and the network of the attack"
        )
        raise ValueError(msg)
    if 1.0 in attacks and not operating.ran(attacks[1.0]):
        msg = f"the operating point is {result.attack!r}, but the attack with factor 1 is {attacks[1.0]!r}; scale its own caps"
        raise ValueError(msg)


def _point(
    factor: float,
    attack: Attack,
    classifier: Classifier,
    table: EventTable,
    settings: CheckSettings,
    seed: int,
    operating: OperatingPoint | None,
) -> FrontierPoint:
    conditions: dict[str, Any] = {}
    if operating is not None:
        own = operating.result
        conditions = {"target": own.attacked, "binning": own.binning, "envelope": operating.envelope}
    result = completed(run_attack(attack, classifier, table, rng=np.random.default_rng(seed), **conditions))
    detector = None if operating is None else operating.detector
    checks = result.checks(settings, rng=np.random.default_rng([seed, 1]), flagged=detector)
    return _measured(factor, result, checks, classifier)


def _measured(factor: float, result: AttackResult, checks: DetectionTable, classifier: Classifier) -> FrontierPoint:
    # Of all standard checks at one level together; the largest of many powers with errors is that of the luckiest row.
    combined, strongest, any_check = checks.combined, checks.strongest(), checks.rows[0]
    power = strongest.power if combined is None else combined.power
    return FrontierPoint(
        factor=factor,
        fooling=attack_effect(result, classifier).flips or Measured(math.nan, math.nan),
        max_js_distance=result.compatibility.max_js_distance,
        correlation_shift=result.compatibility.correlation_shift,
        power=Measured(power.value, power.error),
        check=strongest.title if combined is None else f"all {combined.n_checks} standard checks together",
        further_power=Measured(any_check.power.value, any_check.power.error),
        further_check=any_check.title,
    )


def _from_record(record: Mapping[str, Any]) -> FrontierPoint:
    numbers = {name: Measured(**record[name]) for name in ("fooling", "power", "further_power")}
    return FrontierPoint(**{**record, **numbers})


def _key(
    classifier: Classifier, table: EventTable, settings: CheckSettings, seed: int, operating: OperatingPoint | None
) -> dict[str, str]:
    """Name everything but the attack that a point depends on."""
    key = {
        "code": code_version(),
        "network": classifier.digest,
        "events": table_digest(table),
        "validation": repr(settings),
        "seed": str(seed),
        "operating point": "",
    }
    if operating is not None:
        result, envelope = operating.result, operating.envelope
        bounds = None if envelope is None else (envelope.lower, envelope.upper)
        parts = (result.attacked, result.binning.edges, result.adversarial.values, bounds, repr(operating.checks))
        key["operating point"] = identity(parts)
    return key
