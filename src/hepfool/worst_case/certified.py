# SPDX-License-Identifier: BSD-3-Clause
r"""
The worst case of events that move within an envelope, from both sides.

A search finds some of the events whose class can change; that is a lower limit.  :func:`certify` proves of others that it
cannot, whatever values they take, so that ``found`` :math:`\le` worst case :math:`\le` ``proved``.  A proof is one of real
arithmetic: it asks for a margin in log-odds that is large beside the rounding of the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hepfool.attacks.checks import Target
from hepfool.events import Envelope, EventTable
from hepfool.models.protocols import Classifier
from hepfool.typing import BoolArray, FloatArray, IntArray, ProgressCallback

__all__ = ["Certificate", "State", "certify"]

#: What is known of an event: its class cannot change, does change, or may change.
State = Literal["proved", "found", "open"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
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

    def __str__(self) -> str:
        open_ = f"; not resolved: {self.unresolved:.2%}" if self.unresolved else ""
        return f"worst case between {self.found:.4f} (found) and {self.proved:.4f} (proved){open_}"


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
    tried: FloatArray | None = None,
    rng: np.random.Generator | int = 0,
    progress: ProgressCallback | None = None,
    resume: str | None = None,
) -> Certificate:
    """
    Bracket the largest fooling ratio that is possible within an envelope.

    Parameters
    ----------
    classifier : Classifier
        A :class:`~hepfool.models.pytorch.TorchClassifier` of a ``Sequential``, or trees of scikit-learn in a
        :class:`~hepfool.models.blackbox.CallableClassifier`.
    table : EventTable
        Nominal events.
    envelope : Envelope
        Per-event bounds, finite for every value that may move.
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
    tried : FloatArray, shape (n_events, n_features), optional
        Values that an attack has reached, to be tried first.
    rng : numpy.random.Generator or int
        Of the starting points.
    progress : callable, optional
        Takes the present step, in words, and the finished fraction.
    resume : str or Path, optional
        File of finished work: the same call goes on from there.

    Returns
    -------
    Certificate
        With the state of every event.  An interrupt (Ctrl-C) returns what is done.

    Raises
    ------
    ValueError
        If an input that may move has no bound, or a source is unknown.
    NotCertifiableError
        If the classifier has a layer, or is a model, of which nothing can be proved here.
    """
    raise NotImplementedError
