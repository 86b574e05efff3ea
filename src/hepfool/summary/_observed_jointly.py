# SPDX-License-Identifier: BSD-3-Clause
r"""
Data against simulation in more than one input at a time: correlations, pairs of inputs, and a classifier.

These need events, not sums.  Pairs are compared as single inputs are, in cells of equal content, with the systematics of the table.
Of all Pearson correlations :math:`r` the statistic is :math:`T=\lVert r-r_0\rVert^2`; with
:math:`V = C/n + C_\mathrm{sim} + \sum_s\delta_s\delta_s^T`, where :math:`C` is the covariance of their influence functions
:math:`z_jz_k - r_{jk}(z_j^2+z_k^2)/2`, the probability is that of a scaled :math:`\chi^2` with the mean and the variance of :math:`T`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from scipy.stats import chi2, norm

from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable
from hepfool.statistics._bins import cells_of, inner_quantiles
from hepfool.statistics._sources import source_of
from hepfool.statistics._two_sample import tell_apart
from hepfool.summary._observed import ObservedCheck, chi2_p_value
from hepfool.typing import BoolArray, FloatArray

#: Cells along each axis of a pair, as in the checks.
_CELLS: Final = 5
#: Fewer events give neither correlations nor cells.
_FEWEST: Final = 50
#: Values and weights of the events of a region.
_Events = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Events of one region: data, and the simulation by variation."""

    name: str
    features: tuple[str, ...]
    data: _Events
    simulation: Mapping[str, _Events]

    @property
    def variations(self) -> tuple[str, ...]:
        return tuple(name for name in self.simulation if name not in {"nominal", "adversarial"})

    def check(self, kind: str, quantity: str, p_values: Iterable[float], n_bins: int) -> ObservedCheck:
        nominal, attacked = p_values
        return ObservedCheck(
            check=kind,  # type: ignore[arg-type]
            region=self.name,
            quantity=quantity,
            p_nominal=nominal,
            p_attacked=attacked,
            n_data=float(self.data[1].sum()),
            n_bins=n_bins,
        )


def observed_jointly(
    result: AttackResult, data: EventTable, kinds: Iterable[str], *, seed: int
) -> tuple[ObservedCheck, ...]:
    """Compare data with nominal and attacked simulation by those of the kinds that look at several inputs."""
    made = {"correlations": _correlations, "projection": _projections, "classifier": _Classifier(seed).checks}
    chosen = [made[kind] for kind in kinds if kind in made]
    return tuple(check for part in _parts(result, data) for compare in chosen for check in compare(part))


def _parts(result: AttackResult, data: EventTable) -> Iterator[_Part]:
    table = result.nominal
    masks = {r.name: (r.mask, data.region(r.name).mask) for r in table.regions if r.constrained}
    if not table.regions:
        masks = {"all": (np.ones(table.n_events, dtype=np.bool_), np.ones(data.n_events, dtype=np.bool_))}
    for name, (mask, own) in masks.items():
        used = [j for j in range(table.n_features) if _varies(table.values[mask, j]) and _varies(data.values[own, j])]
        if min(np.count_nonzero(mask), np.count_nonzero(own)) < _FEWEST or len(used) < 2:
            continue
        yield _Part(
            name=name,
            features=tuple(table.features.names[j] for j in used),
            data=(data.values[own][:, used], data.weights[own]),
            simulation={v: (values[mask][:, used], w[mask]) for v, (values, w) in _simulations(result).items()},
        )


def _varies(column: FloatArray) -> bool:
    present = column[~np.isnan(column)]
    return bool(len(present) > 1 and np.ptp(present) > 0)


def _simulations(result: AttackResult) -> dict[str, _Events]:
    table = result.nominal
    return {
        "nominal": (table.values, table.weights),
        "adversarial": (result.adversarial.values, table.weights),
        **{name: (values, table.weights) for name, values in table.shape_variations.items()},
        **{name: (table.values, weights) for name, weights in table.weight_variations.items()},
    }


def _projections(part: _Part) -> Iterator[ObservedCheck]:
    """Test each pair of inputs in cells of equal nominal content, as single inputs are tested."""
    edges = [inner_quantiles(column[~np.isnan(column)], _CELLS) for column in part.simulation["nominal"][0].T]
    n_cells = _CELLS + 1  # one for missing values

    def cells(values: FloatArray) -> list[FloatArray]:
        return [cells_of(column, e) for column, e in zip(values.T, edges, strict=True)]  # type: ignore[misc]

    every = {name: (cells(values), w) for name, (values, w) in {"data": part.data, **part.simulation}.items()}
    for j, k in combinations(range(len(part.features)), 2):

        def content(variation: str, j: int = j, k: int = k) -> FloatArray:
            found, weights = every[variation]
            cell = (found[j] * n_cells + found[k]).astype(np.int64)
            return np.stack([np.bincount(cell, weights=w, minlength=n_cells**2) for w in (weights, weights**2)])

        found = [
            chi2_p_value(content("data")[0], content, base, part.variations) for base in ("nominal", "adversarial")
        ]
        if found[0][1] > 1:
            names = f"{part.features[j]} and {part.features[k]}"
            yield part.check("projection", names, (p for p, _ in found), found[0][1])


def _correlations(part: _Part) -> Iterator[ObservedCheck]:
    """Test all correlations together."""
    n_data = float(part.data[1].sum())
    seen = _pearson(*part.data)[0]
    found = {name: _pearson(*events) for name, events in part.simulation.items()}
    shifts: dict[str, list[FloatArray]] = {}
    for name in part.variations:
        shifts.setdefault(source_of(name), []).append(found[name][0] - found["nominal"][0])
    systematic = np.zeros((len(seen), len(seen)))
    for sides in shifts.values():
        shift = sides[0] if len(sides) < 2 else (sides[0] - sides[1]) / 2.0
        systematic += np.outer(shift, shift)

    def p_value(base: str) -> float:
        expected, influence = found[base]
        weights = part.simulation[base][1]
        covariance = (influence.T * weights) @ influence / weights.sum() / n_data + systematic
        covariance += (influence.T * weights**2) @ influence / weights.sum() ** 2
        return _quadratic(float(((seen - expected) ** 2).sum()), covariance)

    yield part.check("correlations", "all inputs", [p_value(base) for base in ("nominal", "adversarial")], len(seen))


def _pearson(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Correlations of all pairs, missing values at the mean, and what each event contributes to their error."""
    missing = np.isnan(values)
    mean = np.nansum(values * weights[:, np.newaxis], axis=0) / (~missing * weights[:, np.newaxis]).sum(axis=0)
    centred = np.where(missing, 0.0, values - mean)
    variance = weights @ centred**2 / weights.sum()
    scores = centred / np.sqrt(np.maximum(variance, np.finfo(float).tiny))
    first, second = np.triu_indices(values.shape[1], k=1)
    products = scores[:, first] * scores[:, second]
    found = weights @ products / weights.sum()
    return found, products - found * (scores[:, first] ** 2 + scores[:, second] ** 2) / 2.0


def _quadratic(statistic: float, covariance: FloatArray) -> float:
    """Probability of a larger sum of squares of Gaussian numbers with this covariance."""
    mean, variance = float(np.trace(covariance)), 2.0 * float((covariance**2).sum())
    if not (mean > 0 and variance > 0):
        return float("nan")
    return float(chi2.sf(2.0 * mean / variance * statistic, 2.0 * mean**2 / variance))


@dataclass(frozen=True, slots=True)
class _Classifier:
    """Boosted trees that tell data from simulation, one half of both for training; events of negative weight are left out."""

    seed: int

    def checks(self, part: _Part) -> Iterator[ObservedCheck]:
        data = part.data[0]
        order = np.random.default_rng(self.seed).permutation(len(data))
        found = [self._p_value(part.simulation[base], data[order]) for base in ("nominal", "adversarial")]
        yield part.check("classifier", "all inputs", found, 2)

    def _p_value(self, simulation: _Events, data: FloatArray) -> float:
        values, weights = simulation
        used: BoolArray = weights > 0
        order = np.random.default_rng(self.seed).permutation(np.flatnonzero(used))
        _, significance = tell_apart((values[order], weights[order]), data, seed=self.seed)
        return float(norm.sf(significance))
