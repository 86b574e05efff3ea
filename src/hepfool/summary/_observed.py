# SPDX-License-Identifier: BSD-3-Clause
r"""
Data against the nominal and against the attacked simulation, in control and validation regions.

Each distribution is compared in shape: with data :math:`d`, prediction :math:`e` of the same sum and
:math:`V = \mathrm{diag}(e) + V_\mathrm{sim} + \sum_s \delta_s\delta_s^T` over the systematic sources of the table, the statistic is
:math:`(d-e)^T V^{-1} (d-e)`, a :math:`\chi^2` of one degree less than there are bins.  Kolmogorov and Smirnov's test knows no
systematics and has the asymptotic distribution in the effective numbers of events; it is shown and does not decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import chi2, kstwobign

from hepfool.statistics._bins import joined_starts
from hepfool.statistics._sources import source_of
from hepfool.sums import AttackSums
from hepfool.typing import FloatArray

#: Data events that a bin expects at least.
_MIN_EXPECTED = 10.0
#: A variation of a region: sums of weights and of their squares.
_Content = Callable[[str], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCheck:
    """
    One comparison of data with simulation.

    Attributes
    ----------
    check : {"chi2", "ks", "correlations", "projection", "classifier"}
        Which test.
    region, quantity : str
        Where, and what is compared: an input, ``score``, ``flagged``, ``identities`` of inputs that follow from others, a pair of
        inputs, or ``all inputs``.
    p_nominal, p_attacked : float
        Probability of a larger difference if the data follow the nominal, or the attacked simulation.
    n_data : float
        Data events.
    n_bins : int
        Bins of the comparison; for correlations their number.
    """

    check: Literal["chi2", "ks", "correlations", "projection", "classifier"]
    region: str
    quantity: str
    p_nominal: float
    p_attacked: float
    n_data: float
    n_bins: int


def observed_checks(sums: AttackSums) -> tuple[ObservedCheck, ...]:
    """
    Compare data and simulation wherever data may be looked at.

    Parameters
    ----------
    sums : AttackSums
        Of the attacked simulation, with those of data added.

    Returns
    -------
    tuple of ObservedCheck
        Of every region, input and output node, and of the flagged fraction; none without data.  Signal regions are not read.
    """
    roles = sums.facts["regions"] or (("all", "control"),)
    regions = [
        name for name, role in roles if role != "signal" and sums.total("score", variation="data", region=name).size
    ]
    return tuple(check for region in regions for check in _region(sums, region))


def _region(sums: AttackSums, region: str) -> Iterator[ObservedCheck]:
    variations = (*sums.facts["shapes"], *sums.facts["weights"])

    def compared(quantity: str, content: _Content, *, ordered: bool = True) -> Iterator[ObservedCheck]:
        data = content("data")[0]
        if not data.sum() > 0:
            return
        named: dict[str, Any] = {"region": region, "quantity": quantity, "n_data": float(data.sum())}
        found = [chi2_p_value(data, content, base, variations) for base in ("nominal", "adversarial")]
        yield ObservedCheck(check="chi2", p_nominal=found[0][0], p_attacked=found[1][0], n_bins=found[0][1], **named)
        if ordered:
            distances = [_ks(data, content(base)) for base in ("nominal", "adversarial")]
            yield ObservedCheck(check="ks", p_nominal=distances[0], p_attacked=distances[1], n_bins=len(data), **named)

    def total(what: str, variation: str) -> FloatArray:
        return sums.total(what, variation=variation, region=region)

    for j, name in enumerate(sums.features):
        yield from compared(name, lambda variation, j=j: total("inputs", variation)[:, j])  # type: ignore[misc]
    n_scores = total("score", "data").shape[1]
    for k in range(n_scores):
        name = "score" if n_scores == 1 else f"score of class {k}"
        yield from compared(name, lambda variation, k=k: total("score", variation)[:, k])  # type: ignore[misc]
    if "departing" in sums.names("count", "name", variation="data"):
        yield from compared("identities", lambda variation: _departing(sums, region, variation), ordered=False)
    if total("flagged score", "data").size:
        yield from compared("flagged", lambda variation: _flagged(total, variation), ordered=False)


def _flagged(total: Callable[[str, str], FloatArray], variation: str) -> FloatArray:
    """Count flagged events and others."""
    every, marked = (total(what, variation)[:, 0].sum(axis=-1) for what in ("score", "flagged score"))
    return np.stack([marked, every - marked], axis=1)


def _departing(sums: AttackSums, region: str, variation: str) -> FloatArray:
    """Count events whose inputs are not what they follow from, and others; those of nominal simulation for every variation."""
    known = variation if variation in {"data", "adversarial"} else "nominal"
    every, marked = (sums.count(g, region=region, variation=known) for g in ("events", "departing"))
    return np.array([[marked.weight, every.weight - marked.weight], [marked.squared, every.squared - marked.squared]])


def chi2_p_value(data: FloatArray, content: _Content, base: str, variations: tuple[str, ...]) -> tuple[float, int]:
    """p-value of a prediction with its systematics, and the number of bins."""
    nominal = content("nominal")[0]
    two = len(nominal) == 2
    starts = [0, 1] if two else joined_starts(nominal * _ratio(data, nominal), _MIN_EXPECTED)
    if len(starts) < 2:
        return math.nan, len(starts)

    def joined(values: FloatArray) -> FloatArray:
        return np.asarray(np.add.reduceat(values, starts, axis=-1))

    values, variances = joined(content(base))
    scale = _ratio(data, values)
    shifts: dict[str, list[FloatArray]] = {}
    for name in variations:
        varied = joined(content(name)[0])
        shifts.setdefault(source_of(name), []).append(
            varied * _ratio(data, varied) - joined(nominal) * _ratio(data, nominal)
        )
    covariance = np.diag(np.maximum(scale * values, 1.0) + scale**2 * variances)
    for sides in shifts.values():
        shift = sides[0] if len(sides) < 2 else (sides[0] - sides[1]) / 2.0
        covariance += np.outer(shift, shift)
    difference = joined(data) - scale * values
    statistic = float(difference @ np.linalg.solve(covariance, difference))
    return float(chi2.sf(statistic, len(starts) - 1)), len(starts)


def _ks(data: FloatArray, content: FloatArray) -> float:
    """p-value of Kolmogorov and Smirnov's test; too large by what is hidden inside of the bins."""
    values, variances = content
    if not (values.sum() > 0 and variances.sum() > 0):
        return math.nan
    n, m = data.sum(), values.sum() ** 2 / variances.sum()
    distance = np.abs(np.cumsum(data / n) - np.cumsum(values / values.sum())).max()
    return float(kstwobign.sf(math.sqrt(n * m / (n + m)) * distance))


def _ratio(data: FloatArray, values: FloatArray) -> float:
    return float(data.sum() / values.sum()) if values.sum() > 0 else 0.0
