# SPDX-License-Identifier: BSD-3-Clause
"""
Effects of variations and attacks, and what each event contributes to them.

Sums of the contributions give an effect with its error; the contributions of several effects to the same events give
the error of their difference, see :mod:`hepfool.studies._excess`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable, Region
from hepfool.models.protocols import Classifier
from hepfool.statistics._sources import source_of
from hepfool.typing import BoolArray, FloatArray

EffectKind = Literal["shape", "weight", "yield", "attack"]

#: Summands of numerator and denominator of a ratio, shape (n_events,) each.
Summands = tuple[FloatArray, FloatArray]

#: Region of all events, reported beside those of the analysis.
ALL_EVENTS = "all_events"


@dataclass(frozen=True, slots=True)
class Measured:
    """
    A number with its statistical uncertainty.

    Attributes
    ----------
    value : float
        Dimensionless; NaN where it does not exist.
    error : float
        One standard deviation.
    """

    value: float
    error: float = 0.0

    def __str__(self) -> str:
        """Both numbers, rounded for a reader."""
        return f"{self.value:.4f} ± {self.error:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystematicEffect:
    """
    Effect of one variation, or of one attack, on predicted classes and yields.

    Attributes
    ----------
    name : str
        Such as ``tau_energy_up``; for an attack its class name.
    kind : {"shape", "weight", "yield", "attack"}
        Whether inputs, weights, yields known from elsewhere, or adversarial events make the difference.
    flips : Measured, optional
        Flip fraction of the attacked events; None for variations that move no input.
    yield_shift : mapping of str to Measured
        Relative change of each region's yield after the score selection.
    region_flips : mapping of str to Measured
        Flip fraction of each region's attacked events.
    """

    name: str
    kind: EffectKind
    flips: Measured | None
    yield_shift: Mapping[str, Measured] = field(default_factory=dict)
    region_flips: Mapping[str, Measured] = field(default_factory=dict)

    def flips_in(self, region: str) -> Measured | None:
        """Flip fraction of a region, or of all events where it is not known by region."""
        return self.region_flips.get(region, self.flips)

    @property
    def source(self) -> str:
        """Name without its ``_up`` or ``_down``."""
        return source_of(self.name)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contributions:
    """Contributions of the events to a :class:`SystematicEffect`."""

    name: str
    kind: EffectKind
    flips: Summands | None  # weights of flipped and of attacked events
    yields: Mapping[str, Summands]  # change of the yield and nominal yield, per region

    def effect(self) -> SystematicEffect:
        """Add the events up."""
        return SystematicEffect(
            name=self.name,
            kind=self.kind,
            flips=None if self.flips is None else ratio(*self.flips),
            yield_shift={region: ratio(*summands) for region, summands in self.yields.items()},
        )


def variation_contributions(
    classifier: Classifier,
    table: EventTable,
    *,
    attacked: BoolArray | None = None,
    regions: Sequence[str] | None = None,
    selected_class: int = 1,
) -> Iterator[Contributions]:
    """
    Contributions of each event to the effects of variations.

    Parameters
    ----------
    attacked : BoolArray, shape (n_events,), optional
        Events whose flips count.
    selected_class : int
        Class that the score selection keeps.

    Raises
    ------
    ValueError
        If a region is unknown, or no event is attacked.
    """
    classes = classifier.predict(table.network_values)
    attacked = classes == table.labels if attacked is None else attacked
    if attacked.shape != (table.n_events,) or not attacked.any():
        msg = f"flips need a mask of {table.n_events} events with at least one attacked; got shape {attacked.shape}"
        raise ValueError(msg)
    chosen = _regions(table, regions)
    nominal = {region.name: table.weights * (region.mask & (classes == selected_class)) for region in chosen}
    for name in table.shape_variations:
        varied = table.variation(name)
        new_classes = classifier.predict(varied.network_values)
        kept = new_classes == selected_class
        yields = {r.name: table.weights * (varied_mask(r, table, varied.values) & kept) for r in chosen}
        yield Contributions(
            name=name,
            kind="shape",
            flips=(table.weights * (attacked & (new_classes != classes)), table.weights * attacked),
            yields={region: (yields[region] - events, events) for region, events in nominal.items()},
        )
    for name, weights in table.weight_variations.items():
        change = weights - table.weights
        yield Contributions(
            name=name,
            kind="weight",
            flips=None,
            yields={r.name: (change * (r.mask & (classes == selected_class)), nominal[r.name]) for r in chosen},
        )


def attack_contributions(
    result: AttackResult,
    classifier: Classifier,
    *,
    flagged: BoolArray | None = None,
    regions: Sequence[str] | None = None,
    selected_class: int = 1,
) -> Contributions:
    """
    Contributions of each event to the effect of an attack.

    Parameters
    ----------
    flagged : BoolArray, shape (n_events,), optional
        Adversarial events that a detector recognises.
    selected_class : int
        Class that the score selection keeps.
    """
    table = result.nominal
    classes = classifier.predict(table.network_values)
    new_classes = classifier.predict(result.adversarial.network_values)
    if flagged is not None:
        new_classes = np.where(flagged, classes, new_classes)
    attacked = table.weights * result.attacked
    change = (new_classes == selected_class).astype(np.float64) - (classes == selected_class)
    return Contributions(
        name=repr(result.attack).partition("(")[0],
        kind="attack",
        flips=(attacked * (new_classes != classes), attacked),
        yields={
            r.name: (table.weights * r.mask * change, table.weights * (r.mask & (classes == selected_class)))
            for r in _regions(table, regions)
        },
    )


def _regions(table: EventTable, names: Sequence[str] | None) -> tuple[Region, ...]:
    chosen = table.regions if names is None else tuple(table.region(name) for name in names)
    return (*chosen, Region(ALL_EVENTS, np.ones(table.n_events, dtype=np.bool_)))


def varied_mask(region: Region, table: EventTable, values: FloatArray) -> BoolArray:
    """Find the events of a region under a variation: they may migrate if it is known what defines the region."""
    if region.select is not None:
        known = np.array_equal(np.asarray(region.select(table.values), dtype=np.bool_), region.mask)
        return np.asarray(region.select(values), dtype=np.bool_) if known else region.mask
    if region.cuts and np.array_equal(_within(region, table, table.values), region.mask):
        return _within(region, table, values)
    return region.mask


def _within(region: Region, table: EventTable, values: FloatArray) -> BoolArray:
    inside = np.ones(len(values), dtype=np.bool_)
    for name, (lower, upper) in region.cuts.items():
        column = values[:, table.features.index(name)]
        inside &= (column >= lower) & (column < upper)
    return inside


def ratio(numerator: FloatArray, denominator: FloatArray) -> Measured:
    r"""
    Ratio of two sums over the same events, with the error that a bootstrap over events converges to.

    :math:`\sigma^2 = \sum_i (a_i - R\,b_i)^2 / (\sum_i b_i)^2`, which needs no random numbers.
    """
    norm = float(denominator.sum())
    if norm == 0.0:
        return Measured(math.nan, math.nan)
    value = float(numerator.sum()) / norm
    return Measured(value, float(np.linalg.norm(numerator - value * denominator)) / abs(norm))
