# SPDX-License-Identifier: BSD-3-Clause
r"""
Which inputs carry an attack, and how much of it the analysis's own variations could do.

An input's *share* is its Shapley value in the game whose coalitions :math:`S` of inputs take their adversarial values while the
others stay nominal, and whose gain is the weighted fraction of the fooled events that is still fooled:

.. math:: \phi_j = \mathrm{E}_\pi\left[v(S_\pi^j \cup j) - v(S_\pi^j)\right],\qquad \sum_j \phi_j = v(\text{all}) = 1,

with random orders :math:`\pi`, other ones for every event, and :math:`S_\pi^j` the inputs before :math:`j`.  The *coherent part* of a
displacement is the nearest one of those that shifts of the sources between -1 and 1 standard deviation give.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final, Literal

import numpy as np

from hepfool._ranges import check_counts
from hepfool._shown import Displayed, Shown
from hepfool.attacks._checks import generator
from hepfool.attacks._limits import travel, wrapped
from hepfool.attacks.base import AttackResult
from hepfool.events import Envelope, EventTable
from hepfool.models.protocols import Classifier, inputs_of, with_spectators
from hepfool.studies._contributions import Measured, ratio
from hepfool.studies._misclassification import Misclassification
from hepfool.typing import BoolArray, FloatArray
from hepfool.worst_case._shifts import MOST_SIGNS, Shifts

__all__ = ["Explanation", "explain", "explain_flags"]

#: Takes the values of all events that are explained, and says which are fooled, or flagged.
Outcome = Callable[[FloatArray], BoolArray]

PartKind = Literal["all", "process", "region", "direction"]

_SHOWN: Final = 5
#: Random corners per event.
_CORNERS: Final = 10
_MOST_SWEEPS, _TOLERANCE = 2000, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Coherence:
    """
    The part of an attack that follows the analysis's variations, each event with its own shifts.

    Attributes
    ----------
    share : Measured
        Of the squared displacements, in units of half the envelope's width or, where it does not limit, of the input's
        standard deviation.
    chance : Measured
        The same of a random corner of the envelope; where it does not limit, of the attack's displacements with random signs.
    alone : Measured
        Fraction of the fooled events that the coherent part alone fools.
    without : Measured
        Fraction that is still fooled without it.
    """

    share: Measured
    chance: Measured
    alone: Measured
    without: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPart:
    """
    Some of the events that are explained.

    Attributes
    ----------
    kind : {"all", "process", "region", "direction"}
        What they have in common.
    name : str
        Such as ``ttbar``, ``low_mt`` or ``0 → 1``, the class before and after.
    n_events : int
        Plain number.
    weight : float
        Sum of their weights.
    shares : mapping of str to Measured
        By input; they sum to one.  Errors are those of the events and of the random orders together.
    coherence : Coherence, optional
        None where no source moves inputs, and for nominal events.
    """

    kind: PartKind
    name: str
    n_events: int
    weight: float
    shares: Mapping[str, Measured]
    coherence: Coherence | None = None

    @property
    def leading(self) -> tuple[tuple[str, Measured], ...]:
        """Inputs that moved, the largest share first."""
        moved = [(name, share) for name, share in self.shares.items() if share.value or share.error]
        return tuple(sorted(moved, key=lambda item: -item[1].value))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Explanation(Displayed):
    """
    What carries an attack, or the flags of nominal events.

    Attributes
    ----------
    of : {"fooled", "flagged"}
        Which events.
    parts : tuple of ExplainedPart
        All events first, then by process, region and direction.
    sources : tuple of str
        Sources whose shifts make the coherent part.
    n_permutations : int
        Random orders of the inputs for each event.
    """

    of: Literal["fooled", "flagged"]
    parts: tuple[ExplainedPart, ...]
    sources: tuple[str, ...]
    n_permutations: int

    @property
    def whole(self) -> ExplainedPart:
        """All events."""
        return self.parts[0]

    def _shown(self) -> Shown:
        whole, remarks = self.whole, []
        if (found := whole.coherence) is not None:
            remarks = [
                f"along {', '.join(self.sources)}: {found.share.value:.3f} of the squared displacement, {found.chance.value:.3f} by chance",
                f"still fooled by that part alone: {found.alone.value:.3f}, without it: {found.without.value:.3f}",
            ]
        return Shown(
            f"{whole.n_events} {self.of} events, carried by",
            ("input", "share"),
            [(name, f"{share.value:.3f} ± {share.error:.3f}") for name, share in whole.leading[:_SHOWN]],
            remarks,
        )


def explain(
    result: AttackResult,
    classifier: Classifier,
    *,
    sources: Iterable[str] | None = None,
    envelope: Envelope | None = None,
    n_permutations: int = 60,
    rng: np.random.Generator | int = 0,
) -> Explanation:
    """
    Explain the fooled events of an attack.

    Parameters
    ----------
    classifier : Classifier
        The attacked network; it is called for every fooled event, order and moved input.
    sources : iterable of str, optional
        Sources of ``result.nominal.shape_variations``, such as ``tau_energy``; all by default.
    envelope : Envelope, optional
        Bounds of the attack, for units and the chance level.
    n_permutations : int
        Random orders of the inputs for each event.
    rng : numpy.random.Generator or int
        Of orders and corners.

    Returns
    -------
    Explanation
        By process, region and direction.

    Raises
    ------
    ValueError
        If no event is fooled, the network is another one, or a source is unknown.
    """
    if not result.fooled.any():
        msg = "the attack fooled no event, so there is nothing to explain; attack more events, or allow more"
        raise ValueError(msg)
    random = generator(rng)
    before, after = (one.select(result.fooled) for one in (result.nominal, result.adversarial))
    classes, new = (classifier.predict(inputs_of(classifier, one)) for one in (before, after))

    def fooled(values: FloatArray) -> BoolArray:
        return np.asarray(classifier.predict(with_spectators(classifier, before, values)) != classes)

    starts = itertools.repeat(before.network_values)
    shares = _shares(fooled, starts, after.network_values, n_permutations, random)
    names = _sources(before) if sources is None else tuple(sources)
    coherent = None
    if names:
        spread = np.nanstd(result.nominal.values, axis=0)
        bounds = None if envelope is None else envelope.select(result.fooled)
        coherent = _coherent(
            fooled, before, after, _Units(before, after, spread, bounds), Shifts.of(before, names), random
        )
    directions = [f"{a} → {b}" for a, b in zip(classes, new, strict=True)]
    parts = _explained(before, directions, shares, coherent)
    return Explanation(of="fooled", parts=parts, sources=names, n_permutations=n_permutations)


def explain_flags(
    table: EventTable,
    flags: Sequence[Callable[[FloatArray], BoolArray]],
    flagged: Misclassification,
    *,
    times: int,
    n_permutations: int = 60,
    rng: np.random.Generator | int = 0,
) -> Explanation:
    """
    Explain nominal events that several detectors flag again and again.

    Their inputs are exchanged, one after the other, with those of events that no detector flags, other ones in every order.

    Parameters
    ----------
    table : EventTable
        The nominal events.
    flags : sequence of callable
        Of each detector, such as ``detector.flags``.
    flagged : Misclassification
        What these detectors flag of these events.
    times : int
        By how many detectors an event must be flagged.
    n_permutations : int
        Random orders of the inputs for each event.
    rng : numpy.random.Generator or int
        Of orders and unflagged events.

    Returns
    -------
    Explanation
        By process and region.

    Raises
    ------
    ValueError
        If no event is flagged so often or none is never flagged, or the detectors flag others.
    """
    repeated, never = flagged.repeated(times), np.flatnonzero(flagged.counts == 0)
    if times < 1 or not repeated.any() or not len(never):
        msg = (
            f"{int(repeated.sum())} events are flagged {times} times or more and {len(never)} never; "
            f"both are needed: choose times between 1 and {flagged.n_runs}"
        )
        raise ValueError(msg)
    random, chosen, values = generator(rng), table.select(repeated), table.network_values

    def often(those: FloatArray) -> BoolArray:
        return np.asarray(np.sum([one(those) for one in flags], axis=0) >= times)

    starts = (values[random.choice(never, chosen.n_events)] for _ in itertools.count())
    shares = _shares(often, starts, chosen.network_values, n_permutations, random)
    return Explanation(
        of="flagged", parts=_explained(chosen, [], shares, None), sources=(), n_permutations=n_permutations
    )


def _sources(table: EventTable) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.removesuffix("_up").removesuffix("_down") for name in table.shape_variations))


def _shares(
    outcome: Outcome, starts: Iterable[FloatArray], end: FloatArray, n_permutations: int, rng: np.random.Generator
) -> FloatArray:
    """Mean gain by each input of each event, from as many orders."""
    check_counts(SimpleNamespace(n_permutations=n_permutations), "n_permutations")
    every, gains = np.arange(len(end)), np.zeros(end.shape, dtype=np.int64)
    whole = outcome(end)
    for start in itertools.islice(starts, n_permutations):
        values, now = start.copy(), outcome(start)
        if now.any() or not whole.all():
            msg = "the events change otherwise than they did; give the network, or the detectors, that the study used"
            raise ValueError(msg)
        moved = (start != end) & ~(np.isnan(start) & np.isnan(end))
        order = np.argsort(np.where(moved, rng.random(end.shape), 2.0), axis=1)
        for column in order[:, : moved.sum(axis=1).max()].T:
            values[every, column] = end[every, column]
            new = outcome(values)
            gains[every, column] += new.astype(np.int64) - now
            now = new
    return gains / n_permutations


class _Units:
    """Sizes of displacements and what they could be by chance."""

    def __init__(self, before: EventTable, after: EventTable, spread: FloatArray, envelope: Envelope | None) -> None:
        nominal = before.values
        self.moved = np.nan_to_num(travel(before.features, nominal, after.values))
        infinite = np.full_like(nominal, np.inf)
        lower, upper = (-infinite, infinite) if envelope is None else (envelope.lower, envelope.upper)
        self.bounded = np.isfinite(lower) & np.isfinite(upper) & (lower < upper) & ~before.missing
        half = np.where(self.bounded, upper, 0.0) - np.where(self.bounded, lower, 0.0)
        unit = np.where(self.bounded, half / 2.0, spread)
        self.unit = np.where(np.isfinite(unit) & (unit > 0.0), unit, 1.0)
        self.ends = [
            np.where(self.bounded, bound - nominal, sign * self.moved) for bound, sign in ((lower, -1.0), (upper, 1.0))
        ]

    def corner(self, rng: np.random.Generator) -> FloatArray:
        return np.where(rng.random(self.moved.shape) < 0.5, *self.ends)  # noqa: PLR2004 - either end


def _coherent(
    outcome: Outcome, before: EventTable, after: EventTable, units: _Units, shifts: Shifts, rng: np.random.Generator
) -> FloatArray:
    """Of each event the coherent and the whole squared displacement, both by chance, and whether coherent part and rest fool."""
    up, down = (side / units.unit[..., np.newaxis] for side in (shifts.up, shifts.down))

    def squares(displacement: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        scaled = displacement / units.unit
        nearest = _nearest(scaled, up, down)
        whole = (scaled**2).sum(axis=1)
        return nearest * units.unit, whole - ((scaled - nearest) ** 2).sum(axis=1), whole

    part, explained, whole = squares(units.moved)
    chance = np.sum([squares(units.corner(rng))[1:] for _ in range(_CORNERS)], axis=0)
    alone, without = (
        outcome(wrapped(before.features, values, before.missing))
        for values in (before.network_values + part, after.network_values - part)
    )
    return np.stack([explained, whole, *chance, alone, without], axis=1)


def _nearest(displacement: FloatArray, up: FloatArray, down: FloatArray) -> FloatArray:
    """Find the nearest displacement that shifts between -1 and 1 give, by descent along one shift after the other."""
    both = np.concatenate([up, down], axis=2)
    gram, slope = np.einsum("ndi,ndj->nij", both, both), np.einsum("ndi,nd->ni", both, displacement)
    diagonal = np.einsum("nii->ni", gram)
    best, least = np.zeros_like(slope), np.zeros(len(slope))
    for allowed in _signs(up.shape[2]):
        found = np.zeros_like(slope)
        for _ in range(_MOST_SWEEPS):
            last = found.copy()
            for k in allowed:
                step = slope[:, k] - np.einsum("nj,nj->n", gram[:, k], found)
                step = np.divide(step, diagonal[:, k], out=np.zeros_like(step), where=diagonal[:, k] > 0.0)
                found[:, k] = np.clip(found[:, k] + step, 0.0, 1.0)
            if np.abs(found - last).max() < _TOLERANCE:
                break
        loss = np.einsum("ni,nij,nj->n", found, gram, found) - 2.0 * np.einsum("ni,ni->n", found, slope)
        better = loss < least
        best[better], least[better] = found[better], loss[better]
    return np.asarray(np.einsum("ndi,ni->nd", both, best))


def _signs(n_sources: int) -> Iterator[Sequence[int]]:
    """Positions of the sides that move together: one per source, or all where there are too many sources to combine."""
    if n_sources > MOST_SIGNS:
        yield range(2 * n_sources)
    else:
        yield from itertools.product(*((k, n_sources + k) for k in range(n_sources)))


def _explained(
    table: EventTable, directions: list[str], shares: FloatArray, coherent: FloatArray | None
) -> tuple[ExplainedPart, ...]:
    """Average over the events of every part that holds any."""
    names = np.array(directions)
    masks: dict[tuple[PartKind, str], BoolArray] = {
        ("all", "all"): np.ones(table.n_events, dtype=np.bool_),
        **{("process", name): table.dataset_mask(name) for name in table.datasets},
        **{("region", region.name): region.mask for region in table.regions},
        **{("direction", str(name)): names == name for name in np.unique(names)},
    }
    return tuple(
        ExplainedPart(
            kind=kind,
            name=name,
            n_events=int(mask.sum()),
            weight=float(w.sum()),
            shares={f: ratio(w * column, w) for f, column in zip(table.features.names, shares[mask].T, strict=True)},
            coherence=None if coherent is None else _coherence(w, *coherent[mask].T),
        )
        for (kind, name), mask in masks.items()
        if mask.any()
        for w in (table.weights[mask],)
    )


def _coherence(weights: FloatArray, *columns: FloatArray) -> Coherence:
    explained, whole, by_chance, of_chance, alone, without = (weights * column for column in columns)
    return Coherence(
        share=ratio(explained, whole),
        chance=ratio(by_chance, of_chance),
        alone=ratio(alone, weights),
        without=ratio(without, weights),
    )
