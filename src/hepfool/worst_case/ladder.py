# SPDX-License-Identifier: BSD-3-Clause
r"""
The same uncertainties under rising freedom, from what the analysis quotes to what nothing but one standard deviation limits.

The rungs: every source by itself, in quadrature; all sources with one shift :math:`\theta\in[-1,1]^k` for all events; a shift of
its own for every event; every input by itself within its envelope; and, from attacks that are given, events that only the
comparisons of the analysis keep.  One shift for all is a case of a shift per event, so that what is proved of the latter holds for
both; the envelope spans each source by itself, and several together may leave it.  What inputs reach by themselves and sources do
not exists only because the inputs of an event disagree with each other, which no source of the analysis can make them do.
"""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from hepfool._shown import Displayed, Shown
from hepfool.attacks._checks import Target, generator
from hepfool.attacks._gradient import PGD
from hepfool.attacks.base import AttackResult, run_attack
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import NotCertifiableError
from hepfool.identity import table_digest
from hepfool.models.blackbox import with_slopes
from hepfool.models.protocols import Classifier
from hepfool.typing import FloatArray, ProgressCallback
from hepfool.worst_case._rungs import LABELS, Bracket, Counter, Rung, bracket, positive, quadrature
from hepfool.worst_case._shifts import Shifts
from hepfool.worst_case.certified import Certificate, certify

__all__ = ["Ladder", "ladder"]

#: Points at which one common shift is tried, at most, and per source.
_MOST_POINTS, _LEVELS = 1000, 9
#: Of the search where nothing can be proved: fractions of an input's range, and how many of them.
_STEP, _N_STEPS = 0.02, 20
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Ladder(Displayed):
    """
    The rungs for some events.

    Attributes
    ----------
    rungs : tuple of Rung
        From the least freedom to the most.
    events : str
        Which events these are, such as a region.
    sources : tuple of str
        Whose variations these are.
    n_attacked, n_events : int
        Attacked events, and all of them.
    shift : mapping of str to float
        Common shift, in standard deviations, at which most events are fooled; empty without sources.
    relaxed : tuple of str
        Where a proof covers more than the events can do.
    seed : int
        Of the searches.
    """

    rungs: tuple[Rung, ...]
    events: str
    sources: tuple[str, ...]
    n_attacked: int
    n_events: int
    shift: Mapping[str, float]
    relaxed: tuple[str, ...]
    seed: int

    def rung(self, freedom: str) -> Rung:
        """
        Look up a rung.

        Parameters
        ----------
        freedom : str
            Its kind, or the label of an attack.

        Raises
        ------
        KeyError
            If there is none.
        """
        for rung in self.rungs:
            if freedom in {rung.freedom, rung.label}:
                return rung
        msg = f"no rung {freedom!r}; there are {', '.join(rung.label for rung in self.rungs)}"
        raise KeyError(msg)

    @property
    def statement(self) -> str:
        """What the analysis's own sources can do of what free inputs can do, in a sentence; empty without both."""
        found = {rung.freedom: rung.fooling.found for rung in self.rungs}
        free = found.get("inputs", 0.0)
        if "one shift" not in found or not free > 0.0:
            return ""
        own = {name: f"{found[name] / free:.0%}" for name in ("one shift", "shift per event") if name in found}
        each = f", and {own['shift per event']} if each event has its own" if "shift per event" in own else ""
        return f"Of what is found for free inputs, the sources reach {own['one shift']} with one shift for all events{each}."

    def _shown(self) -> Shown:
        return Shown(
            f"{self.events}: {self.n_attacked} of {self.n_events} events attacked; fooling ratio found, and proved",
            ("freedom", "fooling ratio"),
            [(rung.label, str(rung.fooling)) for rung in self.rungs],
            (self.statement,),
        )

    def to_json(self) -> str:
        """
        Write the record down.

        Returns
        -------
        str
            JSON, for :meth:`from_json`.
        """
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Ladder:
        """
        Read a record of :meth:`to_json`.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        Ladder
            Equal to the one that was written.

        Raises
        ------
        ValueError
            If it is of another format.
        """
        content = json.loads(text)
        if content.pop("format", None) != _FORMAT:
            msg = "this is not the record of a ladder of this version; make it again"
            raise ValueError(msg)
        rungs = tuple(
            Rung(**{**rung, **{name: Bracket(**rung[name]) for name in ("fooling", "gain", "loss")}})
            for rung in content.pop("rungs")
        )
        rest: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return cls(rungs=rungs, **rest)


def ladder(  # noqa: PLR0913 - what is climbed, and at which price
    classifier: Classifier,
    table: EventTable,
    envelope: Envelope | None = None,
    *,
    region: str | None = None,
    sources: Iterable[str] | None = None,
    attacks: Mapping[str, AttackResult] | None = None,
    target: Target = "correct",
    selected_class: int = 1,
    max_boxes: int = 3000,
    seconds: float | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    resume: str | Path | None = None,
) -> Ladder:
    """
    Measure what rising freedom does to the class of the same events.

    Parameters
    ----------
    classifier : Classifier
        Without proofs where :func:`~hepfool.worst_case.certified.certify` cannot prove anything of it.
    table : EventTable
        Nominal events with their shape variations.
    envelope : Envelope, optional
        Limits of every input by itself; the shape variations' by default.
    region : str, optional
        Only events of this region.
    sources : iterable of str, optional
        Names without ``_up`` and ``_down``; all shape variations by default.
    attacks : mapping of str to AttackResult, optional
        Attacks on the same table, by their label on the last rungs, such as one under the caps of the validation, or an
        adversarial network's under the same caps.
    target : {"correct", "all"}, int or BoolArray
        Events that are attacked; see :func:`~hepfool.attacks.base.run_attack`.
    selected_class : int
        Class that the score selection keeps.
    max_boxes, seconds : int, float, optional
        Budget of each proof; see :func:`~hepfool.worst_case.certified.certify`.
    seed : int
        Of the searches.
    progress : callable, optional
        Takes the present step, in words, and the finished fraction of it.
    resume : str or Path, optional
        Beginning of the names of two files of finished work, one for each proof: after an interrupt the same call goes on from there.

    Returns
    -------
    Ladder
        One rung for each kind of freedom that there is; proofs where they can be had.

    Raises
    ------
    ValueError
        If a region or source is unknown, nothing varies and no envelope is given, or an attack is of another table.
    """
    chosen = np.ones(table.n_events, dtype=np.bool_) if region is None else table.region(region).mask
    attacked = {} if attacks is None else {label: _of_table(result, table, label) for label, result in attacks.items()}
    known = tuple(dict.fromkeys(name.removesuffix("_up").removesuffix("_down") for name in table.shape_variations))
    names = known if sources is None else tuple(sources)
    if envelope is None and not names:
        msg = "no shape variation to climb from: give the table some, or an envelope"
        raise ValueError(msg)
    limits = (Envelope.from_variations(table) if envelope is None else envelope).select(chosen)
    part = table.select(chosen)
    if isinstance(target, np.ndarray):
        target = target[chosen]
    settings: dict[str, Any] = {"target": target, "max_boxes": max_boxes, "seconds": seconds, "progress": progress}
    kept = {name: None if resume is None else f"{resume}-{name}" for name in ("inputs", "shifts")}
    free = _free(classifier, part, limits, seed, {**settings, "resume": kept["inputs"]})
    counter = Counter.of(classifier, part, free.attacked, selected_class)
    rungs: list[Rung] = []
    shift: dict[str, float] = {}
    relaxed = [] if isinstance(free, AttackResult) else list(free.relaxed)
    if names:
        shifts = Shifts.of(part.select(free.attacked), names)
        rungs.append(quadrature(counter, names))
        own = _coherent(classifier, part, limits, names, seed, {**settings, "resume": kept["shifts"]})
        each = None if own is None else counter.certified("shift per event", own)
        one, shift = _common(counter, shifts, each)
        rungs += [one] if each is None else [one, each]
        relaxed += [] if own is None else own.relaxed
    if isinstance(free, AttackResult):
        rungs.append(counter.searched("inputs", LABELS["inputs"], free.adversarial.network_values))
    else:
        rungs.append(counter.certified("inputs", free))
    for label, result in attacked.items():
        rungs.append(counter.searched("attack", label, result.adversarial.network_values[chosen]))
    return Ladder(
        rungs=tuple(rungs),
        events="all events" if region is None else region,
        sources=names,
        n_attacked=int(free.attacked.sum()),
        n_events=part.n_events,
        shift=shift,
        relaxed=tuple(dict.fromkeys(relaxed)),
        seed=seed,
    )


def _of_table(result: AttackResult, table: EventTable, label: str) -> AttackResult:
    if table_digest(result.nominal) != table_digest(table):
        msg = f"the attack {label!r} is of another table; attack the events that are climbed from"
        raise ValueError(msg)
    return result


def _common(counter: Counter, shifts: Shifts, each: Rung | None) -> tuple[Rung, dict[str, float]]:
    """Try one shift for all events at a grid of points; what is proved of a shift per event holds here too."""
    points = _grid(len(shifts.sources))
    tried = []
    for theta in points:
        fooled, crossing = counter.changes(shifts.at(theta))
        tried.append((counter.fooling(fooled), counter.shift(crossing)))
    best = max(range(len(points)), key=lambda k: tried[k][0][0])
    up, down = (max((positive(change, sign) for _, change in tried), key=lambda m: m[0]) for sign in (1.0, -1.0))
    limits = (
        dict.fromkeys(("fooling", "gain", "loss"))
        if each is None
        else {name: getattr(each, name).proved for name in ("fooling", "gain", "loss")}
    )
    rung = Rung(
        freedom="one shift",
        label=LABELS["one shift"],
        fooling=bracket(tried[best][0], limits["fooling"]),
        gain=bracket(up, limits["gain"]),
        loss=bracket(down, limits["loss"]),
    )
    return rung, dict(zip(shifts.sources, points[best].tolist(), strict=True))


def _grid(n_sources: int) -> FloatArray:
    """Points between -1 and 1 of each source: as many levels as there is time for, else the corners that are drawn."""
    levels = max((n for n in range(3, _LEVELS + 1, 2) if n**n_sources <= _MOST_POINTS), default=0)
    if not levels:
        corners = np.random.default_rng(n_sources).integers(0, 2, (_MOST_POINTS, n_sources)) * 2.0 - 1.0
        return np.concatenate([corners, np.eye(n_sources), -np.eye(n_sources)])
    return np.array(list(itertools.product(np.linspace(-1.0, 1.0, levels), repeat=n_sources)))


def _free(
    classifier: Classifier, table: EventTable, envelope: Envelope, seed: int, settings: dict[str, Any]
) -> Certificate | AttackResult:
    """Bracket inputs that are free of each other; of a classifier of which nothing can be proved, search only."""
    try:
        return _whole(certify(classifier, table, envelope, rng=generator(seed), **settings))
    except NotCertifiableError as error:
        warnings.warn(
            f"no upper limit of the worst case is proved, what is found is a lower one: {error}", stacklevel=3
        )
        attack, slopes = PGD(step=_STEP, n_iterations=_N_STEPS), with_slopes(classifier, table)
        return run_attack(
            attack, slopes, replace(table, regions=()), rng=seed, target=settings["target"], envelope=envelope
        )


def _coherent(
    classifier: Classifier,
    table: EventTable,
    envelope: Envelope,
    names: tuple[str, ...],
    seed: int,
    settings: dict[str, Any],
) -> Certificate | None:
    """Bracket shifts of each event; None of a classifier of which this cannot be proved."""
    try:
        return _whole(certify(classifier, table, envelope, coherent=names, rng=generator(seed), **settings))
    except NotCertifiableError:
        return None


def _whole(certificate: Certificate) -> Certificate:
    """Pass an interrupt on: half a ladder is none."""
    if certificate.interrupted:
        raise KeyboardInterrupt
    return certificate
