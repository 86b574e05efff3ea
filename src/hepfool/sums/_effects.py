# SPDX-License-Identifier: BSD-3-Clause
r"""
Effects of attack and systematics from sums, with the errors that a bootstrap over events converges to.

With what event :math:`i` contributes to the effects, :math:`c_{ik}`, the sums :math:`\sum_i c_{ik}` give every ratio, and
:math:`G_{kl} = \sum_i c_{ik} c_{il}` the error of any combination of them: that of :math:`\sum_k v_k c_{ik}` is
:math:`\sqrt{v^T G v}`.  No event and no random number is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from hepfool.statistics._sources import Correlations, combined, source_of
from hepfool.studies._contributions import ALL_EVENTS, Measured, SystematicEffect
from hepfool.studies._excess import Difference, Excess
from hepfool.sums._record import AttackSums
from hepfool.typing import FloatArray

#: What remains of a variance by rounding, relative to its largest term.
_ROUNDING = 1e-13


class _Ratios:
    """Ratios of sums over the same events."""

    def __init__(self, names: Iterable[str], sums: FloatArray) -> None:
        self.column = {name: k for k, name in enumerate(names, start=1)}
        self.first, self.products = sums[0], sums[1:]

    def value(self, name: str) -> float:
        """Sum over that of the first column; NaN where that is zero."""
        return float(self.first[self.column[name]] / self.first[0]) if self.first[0] else math.nan

    def slopes(self, name: str) -> FloatArray:
        """By how much an event changes the ratio, per contribution."""
        slopes = np.zeros(len(self.first))
        slopes[0], slopes[self.column[name]] = -self.value(name), 1.0
        return slopes / self.first[0] if self.first[0] else np.full(len(slopes), np.nan)

    def error(self, slopes: FloatArray) -> float:
        """Propagate the fluctuations of the events."""
        terms = np.outer(slopes, slopes) * self.products
        variance = float(terms.sum())
        return math.sqrt(variance) if not variance <= _ROUNDING * np.abs(terms).max() else 0.0

    @property
    def floor(self) -> float:
        """Ratio that one event makes."""
        return float(self.products[0, 0] / self.first[0] ** 2) if self.first[0] else math.nan

    def measured(self, name: str) -> Measured:
        """Ratio with its error."""
        return Measured(self.value(name), self.error(self.slopes(name)))


def _ratios(sums: AttackSums) -> tuple[dict[str, _Ratios], dict[str, _Ratios]]:
    """Flips and yields by region, all events among them."""
    names = ("attack", "remaining", *sums.facts.get("shapes", ()))
    regions = [*(name for name, _ in sums.facts["regions"]), ALL_EVENTS]
    found = []
    for what, columns in (("flips", names), ("yields", (*names, *sums.facts.get("weights", ())))):
        rows = {region: sums.total(what, region=region) for region in regions}
        found.append({region: _Ratios(columns, one) for region, one in rows.items() if one.size})
    if ALL_EVENTS not in found[0]:
        msg = "these sums hold no attack, only data; add those of the attacked simulation"
        raise ValueError(msg)
    return found[0], found[1]


def _measured(ratios: Mapping[str, _Ratios], name: str) -> dict[str, Measured]:
    return {region: one.measured(name) for region, one in ratios.items()}


def attack_effect(sums: AttackSums, *, remaining: bool = False) -> SystematicEffect:
    """
    Describe an attack as if it were a systematic variation.

    Parameters
    ----------
    remaining : bool
        Count only events that the detector does not flag: the flip fraction is the corrected fooling ratio.

    Raises
    ------
    ValueError
        If the sums hold no attack.
    """
    flips, yields = _ratios(sums)
    which = "remaining" if remaining else "attack"
    return SystematicEffect(
        name=str(sums.facts["attack"]).partition("(")[0],
        kind="attack",
        flips=flips[ALL_EVENTS].measured(which),
        yield_shift=_measured(yields, which),
        region_flips=_measured(flips, which),
    )


def systematic_effects(sums: AttackSums) -> tuple[SystematicEffect, ...]:
    """
    Describe every systematic variation of the attacked events.

    Returns
    -------
    tuple of SystematicEffect
        Shape variations, then weight variations.
    """
    flips, yields = _ratios(sums)
    shapes, weights = sums.facts["shapes"], sums.facts["weights"]
    return tuple(
        SystematicEffect(
            name=name,
            kind="shape" if name in shapes else "weight",
            flips=flips[ALL_EVENTS].measured(name) if name in shapes else None,
            yield_shift=_measured(yields, name),
            region_flips=_measured(flips, name) if name in shapes else {},
        )
        for name in (*shapes, *weights)
    )


def excess(
    sums: AttackSums,
    *,
    correlations: Correlations | None = None,
    others: Iterable[SystematicEffect] = (),
) -> Excess:
    """
    Compare what remains of an attack with the systematics of the same events.

    Parameters
    ----------
    correlations : mapping of (str, str) to float, optional
        Correlations of pairs of sources, as for :func:`~hepfool.studies.total`.
    others : iterable of SystematicEffect
        Effects of other events, independent of these.

    Returns
    -------
    Excess
        Difference with its error.

    Raises
    ------
    ValueError
        If there is no systematic effect at all.
    """
    others = tuple(others)
    shapes, weights = sums.facts["shapes"], sums.facts["weights"]
    if not (shapes or weights or others):
        msg = "no systematic effect to compare with; give the table shape or weight variations"
        raise ValueError(msg)
    flips, yields = _ratios(sums)
    by_region = {region: _flips(ratios, region, shapes, others, correlations) for region, ratios in flips.items()}
    return Excess(
        flips=by_region[ALL_EVENTS],
        region_flips=by_region,
        yield_shift={
            region: _difference(
                ratios,
                (*shapes, *weights),
                {e.name: e.yield_shift[region] for e in others if region in e.yield_shift},
                correlations,
                signed=True,
            )
            for region, ratios in yields.items()
        },
    )


def _flips(
    ratios: _Ratios,
    region: str,
    shapes: Iterable[str],
    others: Iterable[SystematicEffect],
    correlations: Correlations | None,
) -> Difference:
    foreign = {e.name: found for e in others if (found := e.flips_in(region)) is not None}
    return _difference(ratios, shapes, foreign, correlations, signed=False)


def _difference(
    ratios: _Ratios,
    varied: Iterable[str],
    foreign: Mapping[str, Measured],
    correlations: Correlations | None,
    *,
    signed: bool,
) -> Difference:
    value = ratios.value("remaining")
    numbers = {name: ratios.value(name) for name in varied} | {name: n.value for name, n in foreign.items()}
    size, weights = combined(numbers, correlations, signed=signed)
    own = (np.sign(value) if signed else 1.0) * ratios.slopes("remaining")
    added = np.zeros(len(own))
    for name in weights.keys() - foreign.keys():
        added = added + weights[name] * ratios.slopes(name)
    independent = math.hypot(*(weights[name] * foreign[name].error for name in foreign.keys() & weights.keys()))
    return Difference(
        value=abs(value) - size,
        error=math.hypot(ratios.error(own - added), independent),
        effect=Measured(abs(value), ratios.error(own)),
        systematics=Measured(size, math.hypot(ratios.error(added), independent)),
        floor=ratios.floor,
        selection=sum(abs(weights[name]) * _spread(ratios, name, numbers, foreign) for name in weights),
    )


def _spread(ratios: _Ratios, chosen: str, numbers: Mapping[str, float], foreign: Mapping[str, Measured]) -> float:
    """Mean of the larger of both sides of a source beyond that of either, if these are equal but for fluctuations."""
    source = source_of(chosen)
    slopes, errors = np.zeros(len(ratios.first)), [0.0]
    sides = [name for name in numbers if source_of(name) == source]
    if len(sides) < 2:
        return 0.0
    for name in sides:
        sign = np.sign(numbers[name]) * (1.0 if name == chosen else -1.0)
        if name in foreign:
            errors.append(foreign[name].error)
        else:
            slopes = slopes + sign * ratios.slopes(name)
    return math.hypot(ratios.error(slopes), *errors) / math.sqrt(2.0 * math.pi)
