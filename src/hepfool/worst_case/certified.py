# SPDX-License-Identifier: BSD-3-Clause
r"""
The worst case of events that move within an envelope, from both sides.

A search finds some of the events whose class can change; that is a lower limit.  :func:`certify` proves of others that it
cannot, whatever values they take, so that ``found`` :math:`\le` worst case :math:`\le` ``proved``.  A proof is one of real
arithmetic: it asks for a margin in log-odds that is large beside the rounding of the network.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from hepfool._ranges import check_counts
from hepfool._shown import Displayed, Shown, listed
from hepfool.attacks._bounds import Bounds
from hepfool.attacks._checks import Target, attacked_events, generator
from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._restarts import some_events
from hepfool.events import Envelope, EventTable
from hepfool.features import FeatureSpace
from hepfool.identity import identity, table_digest
from hepfool.io._finished import Finished
from hepfool.io._versions import code_version
from hepfool.models._probe import check_names, require_classifier
from hepfool.models.protocols import Classifier, inputs_of, spectators_of
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, IntArray, ProgressCallback
from hepfool.worst_case._provers import Prover, decides, prover_of
from hepfool.worst_case._shifts import Shifts

__all__ = ["Certificate", "certify"]

#: What is known of an event: its class cannot change, does change, or may change.
State = Literal["proved", "found", "open"]
_STATES: Final = ("open", "proved", "found")
_PROVED: Final = 1
_FOUND: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Certificate(Displayed):
    """
    What is known of the worst case.

    Attributes
    ----------
    nominal : EventTable
        All events.
    attacked : BoolArray, shape (n_events,)
        Events whose class may change or not.
    states : array of str, shape (n_events,)
        Of attacked events ``proved`` (the class cannot change), ``found`` (it does, in ``counterexamples``) or ``open``; else empty.
    counterexamples : EventTable
        Events found, in the order of ``nominal``, at values that change the class which the classifier itself gives.
    boxes : IntArray, shape (n_events,)
        How many parts of an event's set were looked at.
    margin : float
        Log-odds that a proof leaves to rounding.
    relaxed : tuple of str
        Where the proof covers more than the events can do, so that ``proved`` may be larger than the worst case.
    sources : tuple of str
        Sources whose shifts the events follow; empty where every input moves by itself.
    seconds : float
        CPU time.
    finished : bool
        Whether the budget, or an interrupt, left nothing undone.
    interrupted : bool
        Whether it was an interrupt.
    """

    nominal: EventTable
    attacked: BoolArray
    states: NDArray[np.str_]
    counterexamples: EventTable
    boxes: IntArray
    margin: float
    relaxed: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    seconds: float = 0.0
    finished: bool = True
    interrupted: bool = False

    @property
    def found(self) -> float:
        """Fraction of the attacked events' weight that does change its class; the worst case is at least this."""
        return self.limits()[0]

    @property
    def proved(self) -> float:
        """Fraction that may change its class at most; the worst case is no more than this."""
        return self.limits()[1]

    @property
    def unresolved(self) -> float:
        """Fraction of which neither is known."""
        found, proved = self.limits()
        return proved - found

    def limits(self, events: BoolArray | None = None) -> tuple[float, float]:
        """
        Bracket the worst fooling ratio of some events.

        Parameters
        ----------
        events : BoolArray, shape (n_events,), optional
            Such as those of a region, process or class; all by default.

        Returns
        -------
        found, proved : float
            Fractions of the weight of the attacked ones; NaN without any.  Fooling an event of negative weight would lower the ratio:
            the worst case leaves it alone.
        """
        chosen = self.attacked if events is None else self.attacked & events
        weights, states = self.nominal.weights[chosen], self.states[chosen]
        total = weights.sum()
        if not total > 0.0:
            return np.nan, np.nan
        gained = np.maximum(weights, 0.0)
        sure, possible = gained[states == "found"].sum(), gained[states != "proved"].sum()
        return float(sure / total), float(possible / total)

    def _shown(self) -> Shown:
        weights, states = self.nominal.weights, self.states
        found, proved = self.limits()
        names = {"found": "class changes (found)", "proved": "class cannot change (proved)", "open": "not resolved"}
        own = {text: self.attacked & (states == state) for state, text in names.items()}
        rows = [
            (text, str(int(chosen.sum())), f"{weights[chosen].sum():g}", f"{np.median(self.boxes[chosen]):g}")
            for text, chosen in own.items()
            if chosen.any()
        ]
        ended = "" if self.finished else "stopped by an interrupt" if self.interrupted else "stopped by its budget"
        return Shown(
            f"Certificate: fooling ratio in the worst case between {found:.4f} (found) and {proved:.4f} (proved)",
            ("attacked events", "number", "yield", "parts, median"),
            rows,
            (
                f"follows shifts of {listed(self.sources)}" if self.sources else "every input moves by itself",
                *(f"wider than the truth: {text}" for text in self.relaxed),
                ended,
            ),
        )


def certify(  # noqa: PLR0913 - what is certified, within what, and at which price
    classifier: Classifier,
    table: EventTable,
    envelope: Envelope,
    *,
    coherent: Iterable[str] | None = None,
    target: Target = "correct",
    max_boxes: int = 3000,
    seconds: float | None = None,
    restarts: int = 10,
    rng: np.random.Generator | int = 0,
    progress: ProgressCallback | None = None,
    resume: str | Path | None = None,
) -> Certificate:
    """
    Bracket the largest fooling ratio that is possible within an envelope.

    Parameters
    ----------
    classifier : Classifier
        A :class:`~hepfool.models.pytorch.TorchClassifier` of a ``Sequential``, trees of scikit-learn in a
        :class:`~hepfool.models.blackbox.CallableClassifier`, trees from files (``load_model``), or a
        :class:`~hepfool.models.FoldedClassifier` of these.
    table : EventTable
        Nominal events.
    envelope : Envelope
        Per-event bounds: an event may take every value within them that the limits of the features and the cuts of its region
        allow, also one that no other event has. Fixed and missing inputs stay.
    coherent : iterable of str, optional
        Sources of ``table.shape_variations``, such as ``tau_energy``: every event follows its own shifts of them, each between
        down and up and linear on either side, instead of moving every input by itself.
    target : {"correct", "all"}, int or BoolArray
        Events that are attacked; see :func:`~hepfool.attacks.base.run_attack`.
    max_boxes : int
        Into how many parts the set of one event is divided at most.
    seconds : float, optional
        CPU time after which the rest stays open.
    restarts : int
        Starting points of the search from below.
    rng : numpy.random.Generator or int
        Of the starting points.
    progress : callable, optional
        Takes the present step, in words, and the finished fraction.
    resume : str or Path, optional
        File of finished work: the same call goes on from there, also with more ``seconds``. Delete it to start anew.

    Returns
    -------
    Certificate
        With the state of every event.  An interrupt (Ctrl-C) returns what is done.

    Raises
    ------
    ValueError
        If an input that may move has no bound in the envelope nor a limit of its own, or a source is unknown.
    NotCertifiableError
        If the classifier has a layer, or is a model, of which nothing can be proved here, or an input may become the number that
        stands for a missing value.
    """
    started = time.process_time()
    check_counts(SimpleNamespace(max_boxes=max_boxes, restarts=restarts), "max_boxes", "restarts")
    attacked, problem = _problem(classifier, table, envelope, target)
    shifts = None if coherent is None else Shifts.of(table.select(attacked), tuple(coherent))
    prover = prover_of(problem, shifts)
    deadline = math.inf if seconds is None else started + seconds
    rng = generator(rng)
    settings = {"max_boxes": max_boxes, "restarts": restarts, "seed": str(rng.bit_generator.state)}
    kept = None if resume is None else Finished(path=Path(resume), key=_key(prover, settings), what="the certificate")
    work = _Work(prover, lambda: time.process_time() >= deadline, progress or _quiet, kept)
    work.run(rng, max_boxes=max_boxes, restarts=restarts)
    states, boxes = np.zeros(table.n_events, dtype="U6"), np.zeros(table.n_events, dtype=np.int64)
    states[attacked], boxes[attacked] = np.array(_STATES)[work.state], work.boxes
    found = attacked[work.state == _FOUND]
    return Certificate(
        nominal=table,
        attacked=np.isin(np.arange(table.n_events), attacked),
        states=states,
        counterexamples=_counterexamples(table.select(found), work.values[work.state == _FOUND]),
        boxes=boxes,
        margin=prover.margin,
        relaxed=prover.relaxed,
        sources=() if shifts is None else shifts.sources,
        seconds=time.process_time() - started,
        finished=work.finished,
        interrupted=work.interrupted,
    )


def _problem(
    classifier: Classifier, table: EventTable, envelope: Envelope, target: Target
) -> tuple[IntArray, AttackProblem]:
    """Positions of the attacked events, and the problem of these alone."""
    require_classifier(classifier)
    classifier = decides(classifier)
    if classifier.n_features not in {None, table.n_features}:
        msg = f"the network takes {classifier.n_features} inputs but the table has {table.n_features} features"
        raise ValueError(msg)
    check_names(classifier, table.features.names)
    classes = classifier.predict(inputs_of(classifier, table))
    attacked = attacked_events(target, table, classes)
    everything = AttackProblem(
        table=table,
        classifier=classifier,
        attacked=attacked,
        classes=classes,
        constrained=table.constrained,
        bounds=Bounds.of(table, envelope, ranges=False),
        binning=Binning(np.tile([0.0, 1.0], (table.n_features, 1))),  # no marginals are compared
        frozen=np.zeros(table.n_events, dtype=np.bool_),
        envelope=envelope,
    )
    events = np.flatnonzero(attacked)
    problem = some_events(everything, events)
    spectators = {name: table.spectators[name][events] for name in spectators_of(classifier)}
    return events, replace(problem, table=replace(problem.table, spectators=spectators))


def _counterexamples(table: EventTable, values: FloatArray) -> EventTable:
    """Events at other values; inputs that are no whole numbers any more say so."""
    odd = table.features.of_kind("integer") & (np.nan_to_num(values) != np.round(np.nan_to_num(values))).any(axis=0)
    features = [replace(f, kind="continuous") if one else f for f, one in zip(table.features, odd, strict=True)]
    return replace(table, features=FeatureSpace(features), shape_variations={}).with_values(values)


def _key(prover: Prover, settings: Mapping[str, object]) -> dict[str, str]:
    """Name everything that a certificate depends on."""
    problem, shifts = prover.problem, prover.shifts
    bounds = problem.bounds
    return {
        "code": code_version(),
        "network": problem.classifier.digest,
        "events": table_digest(problem.table),
        "bounds": identity((bounds.lower[bounds.row], bounds.upper[bounds.row])),
        "sources": "" if shifts is None else identity((shifts.sources, shifts.up, shifts.down)),
        "settings": json.dumps(dict(settings)),
    }


class _Work:
    """Bound, search, divide, in this order; easy events first."""

    def __init__(
        self,
        prover: Prover,
        stop: Callable[[], bool],
        tell: ProgressCallback,
        kept: Finished | None,
    ) -> None:
        n_events = prover.problem.table.n_events
        self.prover, self.stop, self.tell, self.kept = prover, stop, tell, kept
        self.finished, self.interrupted = False, False
        self.state, self.boxes = np.zeros(n_events, dtype=np.int64), np.ones(n_events, dtype=np.int64)
        self.values, self.divided = prover.problem.table.values.copy(), np.zeros(n_events, dtype=np.bool_)

    def run(self, rng: np.random.Generator, *, max_boxes: int, restarts: int) -> None:
        """Decide about as many events as the budget allows, or an interrupt."""
        try:
            self._run(rng, max_boxes, restarts)
        except KeyboardInterrupt:
            self.interrupted = True
            return
        self.finished = not self.stop()

    def _run(self, rng: np.random.Generator, max_boxes: int, restarts: int) -> None:
        least = self.prover.root()
        if not self._restored():
            self.state[least > self.prover.margin] = _PROVED
            self._report("bounded")
            events, values = self.prover.search(self.state == 0, rng, restarts)
            self.state[events], self.values[events] = _FOUND, values
            self._keep()
            self._report("searched")
        left = np.flatnonzero((self.state == 0) & ~self.divided)
        left = left[np.argsort(-least[left])]
        for start in range(0, len(left), self.prover.group):
            if self.stop():
                return
            group = left[start : start + self.prover.group]
            self.state[group], self.boxes[group], self.values[group] = self.prover.divide(group, max_boxes, self.stop)
            if not self.stop():
                self.divided[group] = True
                self._keep()
            self._report("divided")

    def _report(self, step: str) -> None:
        decided = float((self.state != 0).mean())
        self.tell(f"{step}: {int((self.state == 0).sum())} of {len(self.state)} events open", decided)

    def _keep(self) -> None:
        if self.kept is not None:
            buffer = io.BytesIO()
            np.savez(buffer, state=self.state, boxes=self.boxes, values=self.values, divided=self.divided)
            self.kept.save(buffer.getvalue())

    def _restored(self) -> bool:
        """Take over what an earlier call has kept."""
        found = None if self.kept is None else self.kept.load(_arrays)
        if found is not None:
            self.state, self.boxes, self.values, self.divided = found
        return found is not None


def _arrays(content: bytes) -> tuple[IntArray, IntArray, FloatArray, BoolArray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return file["state"], file["boxes"], file["values"], file["divided"]


def _quiet(_step: str, _fraction: float) -> None:
    """Say nothing."""
