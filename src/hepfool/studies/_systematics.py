# SPDX-License-Identifier: BSD-3-Clause
r"""
Measure physics systematics and attacks in the same units.

A variation is described by two numbers that an attack has as well: the *flip
fraction*, the weighted fraction of attacked events whose predicted class
changes, and the *yield shift* of each region, the relative change of its
weighted yield after the score selection.  Variations of the weights alone move
no input, so they flip nothing and only shift yields, and so do yields from histograms, see
:mod:`hepfool.studies._variations`.  What an attack does beyond them is in :mod:`hepfool.studies._excess`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hepfool.attacks.base import AttackResult
from hepfool.models.protocols import Classifier
from hepfool.statistics._sources import Correlations, combined, source_matrix
from hepfool.studies._contributions import (
    Measured,
    SystematicEffect,
    attack_contributions,
)
from hepfool.typing import BoolArray

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SystematicTotal:
    """
    All sources together.

    Attributes
    ----------
    flips : Measured
        Flip fractions in quadrature, or with their correlations; per source the larger one of up and down.
    flips_envelope : float
        Largest flip fraction of any single variation.
    yield_shift : mapping of str to Measured
        Size of the relative yield shift per region in quadrature, per source the larger one of up and down.
    yield_envelope : mapping of str to float
        Largest size of any single variation per region.
    region_flips : mapping of str to Measured
        Flip fractions per region, as ``flips``.
    """

    sources: tuple[str, ...]
    flips: Measured
    flips_envelope: float
    yield_shift: Mapping[str, Measured]
    yield_envelope: Mapping[str, float]
    region_flips: Mapping[str, Measured] = field(default_factory=dict)


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
    flagged : BoolArray, shape (n_events,), optional
        Adversarial events that a detector recognises; they keep their nominal
        class, which makes the flip fraction the corrected fooling ratio.
    regions : sequence of str, optional
        Regions whose yield shifts are reported; all by default.
    selected_class : int
        Class that the score selection keeps.
    """
    return attack_contributions(
        result, classifier, flagged=flagged, regions=regions, selected_class=selected_class
    ).effect()


def total(effects: Iterable[SystematicEffect], correlations: Correlations | None = None) -> SystematicTotal:
    r"""
    Add all sources in quadrature, or with their correlations.

    With correlations :math:`\rho` the total is :math:`\sqrt{\sum_{kl} \rho_{kl} s_k s_l}`. A yield shift has the sign
    that it has where its source goes up; flip fractions have no sign, so that a correlation of either sign adds to them.

    Parameters
    ----------
    correlations : mapping of (str, str) to float, optional
        Correlation coefficients of pairs of sources; independent where left out.

    Returns
    -------
    SystematicTotal
        Per source the variation with the larger effect counts.

    Raises
    ------
    ValueError
        If there is no effect, so that nothing could cover anything, or the correlations are none of these sources.

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
        msg = "no systematic effect to add up; give the table shape or weight variations"
        raise ValueError(msg)
    sources = tuple(dict.fromkeys(effect.source for effect in effects))
    _check_correlations(sources, correlations or {})
    regions = dict.fromkeys(region for effect in effects for region in effect.yield_shift)
    flips = {e.name: e.flips for e in effects if e.flips is not None}
    shifts = {r: {e.name: e.yield_shift[r] for e in effects if r in e.yield_shift} for r in regions}
    places = dict.fromkeys(region for effect in effects for region in effect.region_flips)
    flipped = {r: {e.name: f for e in effects if (f := e.flips_in(r)) is not None} for r in places}
    return SystematicTotal(
        sources=sources,
        flips=_added(flips, correlations, signed=False),
        flips_envelope=max((number.value for number in flips.values()), default=0.0),
        yield_shift={region: _added(numbers, correlations, signed=True) for region, numbers in shifts.items()},
        yield_envelope={region: max(abs(n.value) for n in numbers.values()) for region, numbers in shifts.items()},
        region_flips={region: _added(numbers, correlations, signed=False) for region, numbers in flipped.items()},
    )


def _added(numbers: Mapping[str, Measured], correlations: Correlations | None, *, signed: bool) -> Measured:
    value, slopes = combined({name: n.value for name, n in numbers.items()}, correlations, signed=signed)
    return Measured(value, math.hypot(*(slope * numbers[name].error for name, slope in slopes.items())))


def _check_correlations(sources: Sequence[str], correlations: Correlations) -> None:
    for pair, value in correlations.items():
        unknown = [name for name in pair if name not in sources]
        if unknown or pair[0] == pair[1] or not -1.0 <= value <= 1.0:
            msg = f"correlation {value:g} of {' and '.join(pair)}: name two of {', '.join(sources)}, and a number in [-1, 1]"
            raise ValueError(msg)
    if correlations and np.linalg.eigvalsh(source_matrix(sources, correlations)).min() < -_ROUNDING:
        msg = "the correlations contradict each other (their matrix has a negative eigenvalue); lower some of them"
        raise ValueError(msg)
