# SPDX-License-Identifier: BSD-3-Clause
r"""
What an attack does beyond all physics systematics, with the error of that difference.

Attack and variations are measured on the same events, so their errors are not independent.  The
error here is that of the difference: with :math:`R = \sum a_i/\sum b_i` an event contributes
:math:`(a_i - R\,b_i)/\sum b` to a ratio, and to the difference what it contributes to the attack
less what it contributes to the total of the systematics, to first order.  A bootstrap over events
converges to the same, but needs random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from hepfool.statistics._sources import Correlations, combined
from hepfool.studies._contributions import (
    Contributions,
    Measured,
    Summands,
    SystematicEffect,
)
from hepfool.typing import FloatArray

_UNKNOWN = Measured(math.nan, math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """
    Effect of an attack less that of all systematics together.

    Attributes
    ----------
    flips : Measured
        Flip fraction of the attack less the total of the systematics; negative if they cover it.
    yield_shift : mapping of str to Measured
        The same for the sizes of the relative yield shifts per region.
    region_flips : mapping of str to Measured
        That of the flip fractions per region; empty where only all events are compared.
    """

    flips: Measured
    yield_shift: Mapping[str, Measured]
    region_flips: Mapping[str, Measured] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference(Measured):
    r"""
    Size of an effect less that of the systematics of the same events, and what its interval needs.

    Attributes
    ----------
    effect, systematics : Measured
        Both sizes, whose errors are not independent.
    floor : float
        Ratio that one event makes, :math:`\sum w^2/(\sum w)^2`: a count of zero has a spread, too (A. Agresti and Y. Min,
        Stat. Med. 24 (2005) 729).
    selection : float
        By how much the systematics are too large on average at most, as per source the larger of two sides counts (C. Clark,
        Oper. Res. 9 (1961) 145).

    Examples
    --------
    >>> Difference(-0.03, 0.01, Measured(0.02, 0.01), Measured(0.05, 0.0)).interval(0.95)[1] < 0.0
    True
    """

    effect: Measured = _UNKNOWN
    systematics: Measured = _UNKNOWN
    floor: float = 0.0
    selection: float = 0.0

    def at(self, ratio: float) -> Measured:
        """Take some times the systematics off, in place of once."""
        own, other = self.effect.error**2, self.systematics.error**2
        shared = (own + other - self.error**2) / 2.0
        variance = own + ratio**2 * other - 2.0 * ratio * shared
        return Measured(self.effect.value - ratio * self.systematics.value, math.sqrt(max(variance, 0.0)))

    def interval(self, confidence: float, ratio: float = 1.0) -> tuple[float, float]:
        """
        Central interval of the difference.

        Parameters
        ----------
        confidence : float
            Its probability to hold the true difference.
        ratio : float
            Factor on the systematics.

        Returns
        -------
        lower, upper : float
            Each end lies on the wrong side of the true difference with half of the remaining probability at most.
        """
        found, z = self.at(ratio), float(ndtri((1.0 + confidence) / 2.0))
        half = z * math.hypot(found.error, self.floor)
        return found.value - half, found.value + half + ratio * self.selection


def excess_of(
    attack: Contributions,
    varied: Iterable[Contributions],
    *,
    correlations: Correlations | None = None,
    others: Iterable[SystematicEffect] = (),
) -> Excess:
    """
    Compare an attack with variations of the same events, from what each event contributes.

    Parameters
    ----------
    attack : Contributions
        From :func:`~hepfool.studies.attack_contributions`.
    varied : iterable of Contributions
        From :func:`~hepfool.studies.variation_contributions`, for the same regions and attacked events.

    Raises
    ------
    ValueError
        If there is no systematic effect at all.
    """
    varied, others = tuple(varied), tuple(others)
    if not varied and not others:
        msg = "no systematic effect to compare with; give the table shape or weight variations"
        raise ValueError(msg)
    flips = {c.name: c.flips for c in varied if c.flips is not None}
    foreign = {e.name: e.flips for e in others if e.flips is not None}
    return Excess(
        flips=Measured(math.nan, math.nan)
        if attack.flips is None
        else _difference(attack.flips, flips, foreign, correlations, signed=False),
        yield_shift={
            region: _difference(
                summands,
                {c.name: c.yields[region] for c in varied},
                {e.name: e.yield_shift[region] for e in others if region in e.yield_shift},
                correlations,
                signed=True,
            )
            for region, summands in attack.yields.items()
        },
    )


def excess_over_mean(attack: Summands, others: Sequence[Summands]) -> tuple[Measured, Measured]:
    """
    Compare the size of an attack's effect with the mean size of several others on the same events.

    Parameters
    ----------
    attack : Summands
        What each event contributes to the attack's flip fraction or yield shift.
    others : sequence of Summands
        The same of the others, such as repeated random draws.

    Returns
    -------
    mean : Measured
        Mean size of the others, with the error that a bootstrap over events converges to.
    excess : Measured
        Size of the attack's effect less that mean, with the error of the difference.

    Raises
    ------
    ValueError
        If there are no others.

    Examples
    --------
    >>> ones = np.ones(4)
    >>> draws = [(np.array([1.0, 0, 0, 0]), ones), (np.array([0, -1.0, 0, 0]), ones)]
    >>> mean, excess = excess_over_mean((np.array([1.0, 1, 0, 0]), ones), draws)
    >>> mean.value, excess.value
    (0.25, 0.25)
    """
    if not others:
        msg = "nothing to compare the attack with; give at least one other effect"
        raise ValueError(msg)
    size, per_event = _size(attack)
    found = [_size(summands) for summands in others]
    mean = float(np.mean([value for value, _ in found]))
    mean_per_event = np.mean([slopes for _, slopes in found], axis=0)
    return (
        Measured(mean, float(np.linalg.norm(mean_per_event))),
        Measured(size - mean, float(np.linalg.norm(per_event - mean_per_event))),
    )


def _difference(
    attack: Summands,
    varied: Mapping[str, Summands],
    foreign: Mapping[str, Measured],
    correlations: Correlations | None,
    *,
    signed: bool,
) -> Measured:
    value, per_event = _ratio(attack)
    per_event = np.sign(value) * per_event if signed else per_event
    found = {name: _ratio(summands) for name, summands in varied.items()}
    numbers = {name: number for name, (number, _) in found.items()} | {name: n.value for name, n in foreign.items()}
    size, slopes = combined(numbers, correlations, signed=signed)
    for name in found.keys() & slopes.keys():
        per_event = per_event - slopes[name] * found[name][1]
    independent = [slopes[name] * foreign[name].error for name in foreign.keys() & slopes.keys()]
    return Measured(abs(value) - size, math.hypot(float(np.linalg.norm(per_event)), *independent))


def _size(summands: Summands) -> tuple[float, FloatArray]:
    """Absolute value of a ratio, and what each event contributes to its fluctuation."""
    value, per_event = _ratio(summands)
    return abs(value), np.sign(value) * per_event


def _ratio(summands: Summands) -> tuple[float, FloatArray]:
    """Ratio, and what each event contributes to its fluctuation."""
    numerator, denominator = summands
    norm = float(denominator.sum())
    if norm == 0.0:
        return math.nan, np.full_like(numerator, np.nan)
    value = float(numerator.sum()) / norm
    return value, np.asarray((numerator - value * denominator) / norm)
