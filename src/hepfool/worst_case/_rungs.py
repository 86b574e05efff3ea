# SPDX-License-Identifier: BSD-3-Clause
"""What one kind of freedom can do to the class of events and to the yield after the score selection, with errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from hepfool.events import EventTable
from hepfool.models.protocols import Classifier, inputs_of, is_fooled, with_spectators
from hepfool.statistics._sources import combined
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.worst_case.certified import Certificate

Freedom = Literal["sources", "one shift", "shift per event", "inputs", "attack"]
LABELS: Final[dict[str, str]] = {
    "sources": "Each source alone, in quadrature",
    "one shift": "All sources, one shift for all events",
    "shift per event": "All sources, each event its own shift",
    "inputs": "Every input by itself",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """
    A number from both sides.

    Attributes
    ----------
    found : float
        What does happen somewhere in the freedom; the worst case is at least this.
    error : float
        Statistical, of ``found``: what a Poisson bootstrap of the events converges to, at the same shifts and moves.
    proved : float or None
        What cannot be exceeded on these events; None where nothing is proved.
    """

    found: float
    error: float
    proved: float | None = None

    def __str__(self) -> str:
        proved = "" if self.proved is None else f", proved at most {self.proved:.4f}"
        return f"{self.found:.4f} ± {self.error:.4f}{proved}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """
    What one kind of freedom can do.

    Attributes
    ----------
    freedom : {"sources", "one shift", "shift per event", "inputs", "attack"}
        Its kind.
    label : str
        For a figure or table.
    fooling : Bracket
        Fooled fraction of the attacked events' weight.
    gain, loss : Bracket
        Largest rise and fall of the yield after the score selection, as fractions of that yield; both positive.  Only attacked
        events move.  NaN where no weight is selected.
    """

    freedom: Freedom
    label: str
    fooling: Bracket
    gain: Bracket
    loss: Bracket


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counter:
    """Turns classes of moved events into ratios with errors."""

    classifier: Classifier
    table: EventTable
    attacked: IntArray  # positions
    classes: IntArray  # of all nominal events
    selected: BoolArray  # of all nominal events
    selected_class: int

    @classmethod
    def of(cls, classifier: Classifier, table: EventTable, attacked: BoolArray, selected_class: int) -> Counter:
        """Note what is nominal."""
        if selected_class not in range(classifier.n_classes):
            msg = f"selected_class must be one of the {classifier.n_classes} classes from 0, got {selected_class!r}"
            raise ValueError(msg)
        classes = np.asarray(classifier.predict(inputs_of(classifier, table)))
        return cls(
            classifier=classifier,
            table=table,
            attacked=np.flatnonzero(attacked),
            classes=classes,
            selected=classes == selected_class,
            selected_class=selected_class,
        )

    def changes(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Whether each attacked event is fooled, and enters (1) or leaves (-1) the selection, at these values."""
        inputs = self._inputs(values)
        new = np.asarray(self.classifier.predict(inputs))
        fooled = is_fooled(self.classifier, inputs, self.classes[self.attacked])
        crossing = np.asarray((new == self.selected_class) * 1.0 - self.selected[self.attacked], dtype=np.float64)
        return np.asarray(fooled, dtype=np.float64), crossing

    def _inputs(self, values: FloatArray) -> FloatArray:
        """Values of the attacked events as the network is given them."""
        everything = self.table.network_values.copy()
        everything[self.attacked] = values
        return with_spectators(self.classifier, self.table, values, self.attacked, lambda: everything)

    def fooling(self, fooled: FloatArray) -> tuple[float, FloatArray]:
        """Ratio, and by how much each event changes it."""
        weights = self.table.weights[self.attacked]
        ratio = float(weights @ fooled / weights.sum())
        return ratio, weights * (fooled - ratio) / weights.sum()

    def shift(self, crossing: FloatArray) -> tuple[float, FloatArray]:
        """Relative change of the yield, and by how much each event changes it."""
        weights, moved = self.table.weights, np.zeros(self.table.n_events)
        moved[self.attacked] = crossing
        total = weights[self.selected].sum()
        if not total > 0.0:
            return np.nan, np.full(len(weights), np.nan)
        ratio = float(weights @ moved / total)
        return ratio, weights * (moved - ratio * self.selected) / total

    def certified(self, freedom: Freedom, certificate: Certificate) -> Rung:
        """Count what a certificate found and did not exclude: what suits a ratio moves, by its weight's sign, the rest stays."""
        states, inside = certificate.states[self.attacked], self.selected[self.attacked]
        found, possible, gained = states == "found", states != "proved", self.table.weights[self.attacked] > 0.0
        moved = self.table.network_values[self.attacked]
        moved[found] = certificate.counterexamples.network_values
        entering = self.changes(moved)[1] > 0.0
        sides: dict[str, tuple[FloatArray, FloatArray]] = {}
        for side, into in (("gain", gained), ("loss", ~gained)):
            sure, most = np.where(into, found & entering, found & inside), possible & (into ^ inside)
            sides[side] = sure * np.where(gained, 1.0, -1.0), most * np.where(gained, 1.0, -1.0)
        return Rung(
            freedom=freedom,
            label=LABELS[freedom],
            fooling=bracket(self.fooling(1.0 * (found & gained)), self.fooling(1.0 * (possible & gained))[0]),
            **{side: bracket(self.shift(sure), self.shift(most)[0]) for side, (sure, most) in sides.items()},
        )

    def searched(self, freedom: Freedom, label: str, values: FloatArray) -> Rung:
        """Count what an attack did to these events."""
        fooled, crossing = self.changes(values[self.attacked])
        change = self.shift(crossing)
        return Rung(
            freedom=freedom,
            label=label,
            fooling=bracket(self.fooling(fooled)),
            gain=bracket(positive(change)),
            loss=bracket(positive(change, -1.0)),
        )


def bracket(measured: tuple[float, FloatArray], proved: float | None = None) -> Bracket:
    """Add the error that a bootstrap converges to."""
    return Bracket(found=measured[0], error=float(np.sqrt(measured[1] @ measured[1])), proved=proved)


def positive(change: tuple[float, FloatArray], sign: float = 1.0) -> tuple[float, FloatArray]:
    """Take one side of a shift; nothing where it goes the other way."""
    value, influence = sign * change[0], sign * change[1]
    return (0.0, np.zeros_like(influence)) if value <= 0.0 else (value, influence)


def quadrature(counter: Counter, sources: tuple[str, ...]) -> Rung:
    """Each source by one standard deviation up and down, the larger one of each in quadrature."""
    fooling, gain, loss = {}, {}, {}
    for name in counter.table.shape_variations:
        if name.removesuffix("_up").removesuffix("_down") in sources:
            fooled, crossing = counter.changes(counter.table.variation(name).network_values[counter.attacked])
            change = counter.shift(crossing)
            fooling[name] = counter.fooling(fooled)
            gain[name], loss[name] = positive(change), positive(change, -1.0)
    return Rung(
        freedom="sources",
        label=LABELS["sources"],
        fooling=_added(fooling),
        gain=_added(gain),
        loss=_added(loss),
    )


def _added(parts: Mapping[str, tuple[float, FloatArray]]) -> Bracket:
    size, slopes = combined({name: value for name, (value, _) in parts.items()}, signed=False)
    influences = [slopes[name] * parts[name][1] for name in slopes]
    return bracket((size, np.sum(influences, axis=0)))
