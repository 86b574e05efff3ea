# SPDX-License-Identifier: BSD-3-Clause
r"""
Measure physics systematics and attacks in the same units.

A variation is described by two numbers that an attack has as well: the *flip
fraction*, the weighted fraction of attacked events whose predicted class
changes, and the *yield shift* of each region, the relative change of its
weighted yield after the score selection.  Variations of the weights alone move
no input, so they flip nothing and only shift yields.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable, Region
from hepfool.models.protocols import Classifier
from hepfool.typing import BoolArray, FloatArray

__all__ = [
    "ALL_EVENTS",
    "EffectKind",
    "Measured",
    "SystematicEffect",
    "SystematicTotal",
    "attack_effect",
    "run_systematics",
    "total",
]

EffectKind = Literal["shape", "weight", "attack"]

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
    What one variation, or one attack, does to the network's answers.

    Attributes
    ----------
    name : str
        Such as ``tau_energy_up``; for an attack its class name.
    kind : {"shape", "weight", "attack"}
        Whether inputs, weights, or adversarial events make the difference.
    flips : Measured, optional
        Flip fraction of the attacked events; None for variations of the weights.
    yield_shift : mapping of str to Measured
        Relative change of each region's yield after the score selection.
    """

    name: str
    kind: EffectKind
    flips: Measured | None
    yield_shift: Mapping[str, Measured] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Name without its ``_up`` or ``_down``."""
        return self.name.removesuffix("_up").removesuffix("_down")


@dataclass(frozen=True, slots=True, kw_only=True)
class SystematicTotal:
    """
    All sources together.

    Attributes
    ----------
    sources : tuple of str
        Names of the sources.
    flips : Measured
        Flip fractions in quadrature, per source the larger one of up and down.
    flips_envelope : float
        Largest flip fraction of any single variation.
    yield_shift : mapping of str to Measured
        Size of the relative yield shift per region in quadrature, per source the larger one of up and down.
    yield_envelope : mapping of str to float
        Largest size of any single variation per region.
    """

    sources: tuple[str, ...]
    flips: Measured
    flips_envelope: float
    yield_shift: Mapping[str, Measured]
    yield_envelope: Mapping[str, float]


def run_systematics(
    classifier: Classifier,
    table: EventTable,
    *,
    attacked: BoolArray | None = None,
    regions: Sequence[str] | None = None,
    selected_class: int = 1,
) -> tuple[SystematicEffect, ...]:
    """
    Measure every systematic variation of a table.

    Parameters
    ----------
    classifier : Classifier
        The network.
    table : EventTable
        Events with ``shape_variations`` and ``weight_variations``; pairs are named ``<source>_up`` and
        ``<source>_down``.
    attacked : BoolArray, shape (n_events,), optional
        Events whose flips count: use ``AttackResult.attacked``; the correctly classified ones by default.
    regions : sequence of str, optional
        Regions whose yield shifts are reported; all by default.
    selected_class : int
        Class that the score selection keeps.

    Returns
    -------
    tuple of SystematicEffect
        Shape variations, then weight variations, in the table's order; empty without variations.

    Raises
    ------
    ValueError
        If a region is unknown, or no event is attacked.

    Examples
    --------
    See :func:`total`.
    """
    classes = classifier.predict(table.network_values)
    attacked = classes == table.labels if attacked is None else attacked
    if attacked.shape != (table.n_events,) or not attacked.any():
        msg = f"flips need a mask of {table.n_events} events with at least one attacked; got shape {attacked.shape}"
        raise ValueError(msg)
    chosen = _regions(table, regions)
    kept = classes == selected_class
    effects = []
    for name in table.shape_variations:
        varied = table.variation(name)
        new_classes = classifier.predict(varied.network_values)
        flips = _ratio(table.weights * (attacked & (new_classes != classes)), table.weights * attacked)
        shifts = {
            region.name: _shift(
                table.weights * (region.mask & kept),
                table.weights * (_varied_mask(region, table, varied.values) & (new_classes == selected_class)),
            )
            for region in chosen
        }
        effects.append(SystematicEffect(name=name, kind="shape", flips=flips, yield_shift=shifts))
    for name, weights in table.weight_variations.items():
        shifts = {r.name: _shift(table.weights * (r.mask & kept), weights * (r.mask & kept)) for r in chosen}
        effects.append(SystematicEffect(name=name, kind="weight", flips=None, yield_shift=shifts))
    return tuple(effects)


def attack_effect(
    result: AttackResult,
    classifier: Classifier,
    *,
    flagged: BoolArray | None = None,
    regions: Sequence[str] | None = None,
    selected_class: int = 1,
) -> SystematicEffect:
    """
    Describe an attack as if it were a systematic variation.

    Parameters
    ----------
    result : AttackResult
        Nominal and adversarial events.
    classifier : Classifier
        The attacked network.
    flagged : BoolArray, shape (n_events,), optional
        Adversarial events that a detector recognises; they keep their nominal
        class, which makes the flip fraction the corrected fooling ratio.
    regions : sequence of str, optional
        Regions whose yield shifts are reported; all by default.
    selected_class : int
        Class that the score selection keeps.

    Returns
    -------
    SystematicEffect
        Of kind ``attack``.
    """
    table = result.nominal
    classes = classifier.predict(table.network_values)
    new_classes = classifier.predict(result.adversarial.network_values)
    if flagged is not None:
        new_classes = np.where(flagged, classes, new_classes)
    attacked = table.weights * result.attacked
    return SystematicEffect(
        name=repr(result.attack).partition("(")[0],
        kind="attack",
        flips=_ratio(attacked * (new_classes != classes), attacked),
        yield_shift={
            region.name: _shift(
                table.weights * (region.mask & (classes == selected_class)),
                table.weights * (region.mask & (new_classes == selected_class)),
            )
            for region in _regions(table, regions)
        },
    )


def total(effects: Iterable[SystematicEffect]) -> SystematicTotal:
    """
    Add all sources in quadrature.

    Parameters
    ----------
    effects : iterable of SystematicEffect
        Results of :func:`run_systematics`.

    Returns
    -------
    SystematicTotal
        Per source the variation with the larger effect counts.

    Raises
    ------
    ValueError
        If there is no effect, so that nothing could cover anything.

    Examples
    --------
    >>> energy = [
    ...     SystematicEffect(name="tes_up", kind="shape", flips=Measured(0.03)),
    ...     SystematicEffect(name="tes_down", kind="shape", flips=Measured(0.02)),
    ...     SystematicEffect(name="jes_up", kind="shape", flips=Measured(0.04)),
    ... ]
    >>> total(energy).sources, round(total(energy).flips.value, 3)
    (('tes', 'jes'), 0.05)
    """
    effects = tuple(effects)
    if not effects:
        msg = "there is no systematic effect to add up; give the table shape or weight variations"
        raise ValueError(msg)
    regions = dict.fromkeys(region for effect in effects for region in effect.yield_shift)
    flips = [(effect.source, effect.flips) for effect in effects if effect.flips is not None]
    shifts = {
        region: [(e.source, e.yield_shift[region]) for e in effects if region in e.yield_shift] for region in regions
    }
    return SystematicTotal(
        sources=tuple(dict.fromkeys(effect.source for effect in effects)),
        flips=_quadrature(flips),
        flips_envelope=max((number.value for _, number in flips), default=0.0),
        yield_shift={region: _quadrature(numbers) for region, numbers in shifts.items()},
        yield_envelope={region: max(abs(number.value) for _, number in shifts[region]) for region in regions},
    )


def _quadrature(numbers: Iterable[tuple[str, Measured]]) -> Measured:
    largest: dict[str, Measured] = {}
    for source, number in numbers:
        if source not in largest or abs(number.value) > abs(largest[source].value):
            largest[source] = number
    value = math.sqrt(sum(number.value**2 for number in largest.values()))
    squared_error = sum((number.value * number.error) ** 2 for number in largest.values())
    return Measured(value, math.sqrt(squared_error) / value if value else 0.0)


def _regions(table: EventTable, names: Sequence[str] | None) -> tuple[Region, ...]:
    chosen = table.regions if names is None else tuple(table.region(name) for name in names)
    return (*chosen, Region(ALL_EVENTS, np.ones(table.n_events, dtype=np.bool_)))


def _varied_mask(region: Region, table: EventTable, values: FloatArray) -> BoolArray:
    """Events of a region under a variation: they may migrate if we know what defines it."""
    if region.select is not None:
        return np.asarray(region.select(values), dtype=np.bool_)
    if region.cuts and np.array_equal(_within(region, table, table.values), region.mask):
        return _within(region, table, values)
    return region.mask


def _within(region: Region, table: EventTable, values: FloatArray) -> BoolArray:
    inside = np.ones(len(values), dtype=np.bool_)
    for name, (lower, upper) in region.cuts.items():
        column = values[:, table.features.index(name)]
        inside &= (column >= lower) & (column < upper)
    return inside


def _ratio(numerator: FloatArray, denominator: FloatArray) -> Measured:
    r"""
    Ratio of two sums over the same events, with the error that a bootstrap over events converges to.

    :math:`\sigma^2 = \sum_i (a_i - R\,b_i)^2 / (\sum_i b_i)^2`, which needs no random numbers.
    """
    norm = float(denominator.sum())
    if norm == 0.0:
        return Measured(math.nan, math.nan)
    value = float(numerator.sum()) / norm
    return Measured(value, float(np.linalg.norm(numerator - value * denominator)) / abs(norm))


def _shift(nominal: FloatArray, varied: FloatArray) -> Measured:
    return _ratio(varied - nominal, nominal)
