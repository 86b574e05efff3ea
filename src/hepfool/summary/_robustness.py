# SPDX-License-Identifier: BSD-3-Clause
"""
The decision under other choices than those of a study: one thing changed at a time.

Each change attacks the same events again and judges them with the same detector, systematics and data.  A change costs about as much
as the attack of the study; detectors and networks are not trained again, for which there is a study of repeated trainings.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hepfool._interrupts import completed
from hepfool._settings import Thresholds
from hepfool.attacks._conserv import CONSERVAttack
from hepfool.attacks.base import AttackResult, run_attack
from hepfool.events import Envelope
from hepfool.models.protocols import Classifier
from hepfool.studies._contributions import Measured
from hepfool.summary._evidence import Evidence
from hepfool.summary._record import plain_values
from hepfool.summary._verdict import Decision, decide
from hepfool.sums._fill import Flagging
from hepfool.typing import ProgressCallback
from hepfool.validation import Validation


class Change(NamedTuple):
    """
    Another choice.

    Attributes
    ----------
    changed, value : str
        What is changed, and to what, for a reader.
    attack : CONSERVAttack
        The attack with this change.
    seed : int
        Of its random numbers.
    """

    changed: str
    value: str
    attack: CONSERVAttack
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessRow:
    """
    The study with one change.

    Attributes
    ----------
    changed, value : str
        What was changed, and to what.
    decision : {"COVERED", "INVESTIGATE", "ASSIGN", "INCOMPLETE"}
        Of the whole.
    regions : mapping of str to str
        Decision of each signal region.
    fooling, remaining : Measured
        Fooling ratio, and that of events that are not flagged, of all events.
    excess : Measured, optional
        Of the fooling ratio over the systematics, in the signal region where it is largest.
    seconds : float
        Wall time.
    """

    changed: str
    value: str
    decision: Decision
    regions: Mapping[str, Decision]
    fooling: Measured
    remaining: Measured
    excess: Measured | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """
    The study with one thing changed at a time.

    Attributes
    ----------
    rows : tuple of RobustnessRow
        One for each change.
    """

    rows: tuple[RobustnessRow, ...]


def other_choices(attack: CONSERVAttack, *, seed: int, n_seeds: int = 2) -> Iterator[Change]:
    """
    List other choices of an attack that a reviewer may ask for.

    Parameters
    ----------
    attack : CONSERVAttack
        That of the study.
    seed : int
        Of the study.
    n_seeds : int
        How many others are tried.

    Yields
    ------
    Change
        The other strategy, other seeds, and the other validations: with or without the score, all regions together, each by itself,
        each process by itself.

    Examples
    --------
    >>> attack = CONSERVAttack(strategy="frugal", validation=Validation())
    >>> [change.value for change in other_choices(attack, seed=1, n_seeds=1)]
    ['paper', '2', 'without', 'union', 'processes']
    """
    other = "frugal" if attack.strategy == "paper" else "paper"
    yield Change("strategy", other, _with_strategy(attack, other), seed)
    for k in range(1, n_seeds + 1):
        yield Change("seed", str(seed + k), attack, seed + k)
    kept = attack.validation
    if kept is None:
        return
    without = kept.score is not None
    score = replace(kept, score=None if without else Validation().score)
    yield Change("score in the validation", "without" if without else "with", replace(attack, validation=score), seed)
    for separately in ("union", "regions", "processes"):
        if separately != kept.separately:
            changed = replace(kept, separately=separately)
            yield Change("compared separately", separately, replace(attack, validation=changed), seed)


def _with_strategy(attack: CONSERVAttack, strategy: str) -> CONSERVAttack:
    """Take the usual settings of another strategy with the same validation."""
    return CONSERVAttack(strategy=strategy, validation=attack.kept)  # type: ignore[arg-type]


def robustness(
    changes: Iterable[Change],
    result: AttackResult,
    classifier: Classifier,
    *,
    detector: Flagging | None = None,
    envelope: Envelope | None = None,
    thresholds: Thresholds | None = None,
    investigated: bool = False,
    progress: ProgressCallback | None = None,
    **given: Any,
) -> Robustness:
    """
    Repeat the attack of a finished study with one thing changed at a time, and judge.

    Parameters
    ----------
    changes : iterable of Change
        Such as from :func:`other_choices`.
    result : AttackResult
        Attack of the study: its attacked events are attacked again.
    classifier : Classifier
        The network.
    detector : Flagging, optional
        Detector of the study, which is not trained again.
    envelope : Envelope, optional
        Per-event bounds that the attack was given.
    thresholds, investigated
        As for :func:`~hepfool.summary.decide`.
    progress : callable, optional
        Called with each change, in words, and the finished fraction.
    **given
        ``others``, ``fractions``, ``observed`` and ``correlations`` of :meth:`~hepfool.summary.Evidence.of`.

    Returns
    -------
    Robustness
        One row per change.

    Raises
    ------
    Interrupted
        If an attack was interrupted.
    """
    changes, rows = tuple(changes), []
    for k, change in enumerate(changes, start=1):
        start = time.perf_counter()
        repeated = completed(
            run_attack(
                change.attack,
                classifier,
                result.nominal,
                rng=np.random.default_rng(change.seed),
                target=result.attacked,
                envelope=envelope,
            )
        )
        evidence = Evidence.of(repeated.sums(classifier, detector=detector), **given)
        verdict = decide(evidence, thresholds, investigated=investigated)
        rows.append(
            RobustnessRow(
                changed=change.changed,
                value=change.value,
                decision=verdict.decision,
                regions={one.region: one.decision for one in verdict.regions},
                fooling=evidence.attack.flips or _UNKNOWN,
                remaining=evidence.remaining.flips or _UNKNOWN,
                excess=_excess(evidence),
                seconds=time.perf_counter() - start,
            )
        )
        if progress is not None:
            progress(f"{change.changed} {change.value}: {verdict.decision}", k / len(changes))
    return Robustness(rows=tuple(rows))


_UNKNOWN = Measured(np.nan, np.nan)


def _excess(evidence: Evidence) -> Measured | None:
    if evidence.excess is None:
        return None
    found = [evidence.excess.region_flips[region] for region in evidence.regions]
    largest = max(found, key=lambda one: one.value)
    return Measured(largest.value, largest.error)


def robustness_record(found: Robustness) -> dict[str, Any]:
    """
    Turn the changes into plain values for ``Summary.robustness``.

    Parameters
    ----------
    found : Robustness
        From :func:`robustness`.
    """
    record: dict[str, Any] = plain_values(found)
    return record
