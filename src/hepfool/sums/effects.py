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

from hepfool.statistics.sources import Correlations, combined
from hepfool.studies.contributions import ALL_EVENTS, Measured, SystematicEffect
from hepfool.studies.excess import Excess
from hepfool.sums.record import AttackSums
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

    def measured(self, name: str) -> Measured:
        """Ratio with its error."""
        return Measured(self.value(name), self.error(self.slopes(name)))


def _ratios(sums: AttackSums) -> tuple[_Ratios, dict[str, _Ratios]]:
    shapes, weights = sums.facts["shapes"], sums.facts["weights"]
    flips = sums.total("flips")
    if not flips.size:
        msg = "these sums hold no attack, only data; add those of the attacked simulation"
        raise ValueError(msg)
    regions = [*(name for name, _ in sums.facts["regions"]), ALL_EVENTS]
    found = {region: sums.total("yields", region=region) for region in regions}
    names = ("attack", "remaining", *shapes)
    yields = {region: _Ratios((*names, *weights), rows) for region, rows in found.items() if rows.size}
    return _Ratios(names, flips), yields


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
        flips=flips.measured(which),
        yield_shift={region: ratios.measured(which) for region, ratios in yields.items()},
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
            flips=flips.measured(name) if name in shapes else None,
            yield_shift={region: ratios.measured(name) for region, ratios in yields.items()},
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
        Correlations of pairs of sources, as for :func:`~hepfool.studies.systematics.total`.
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
    foreign = {e.name: e.flips for e in others if e.flips is not None}
    return Excess(
        flips=_difference(flips, shapes, foreign, correlations, signed=False),
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


def _difference(
    ratios: _Ratios,
    varied: Iterable[str],
    foreign: Mapping[str, Measured],
    correlations: Correlations | None,
    *,
    signed: bool,
) -> Measured:
    value = ratios.value("remaining")
    numbers = {name: ratios.value(name) for name in varied}
    size, weights = combined(numbers | {name: n.value for name, n in foreign.items()}, correlations, signed=signed)
    slopes = (np.sign(value) if signed else 1.0) * ratios.slopes("remaining")
    for name in numbers.keys() & weights.keys():
        slopes = slopes - weights[name] * ratios.slopes(name)
    independent = [weights[name] * foreign[name].error for name in foreign.keys() & weights.keys()]
    return Measured(abs(value) - size, math.hypot(ratios.error(slopes), *independent))
