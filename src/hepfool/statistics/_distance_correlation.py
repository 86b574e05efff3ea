# SPDX-License-Identifier: BSD-3-Clause
r"""
Distance correlation, which sees dependence of any shape, and its exact update for one moved value.

With distances :math:`a_{il}=|x_{ij}-x_{lj}|`, the same :math:`b` for feature :math:`k`, weights normalised to
unit sum, :math:`a_{i\cdot}=\sum_l w_l a_{il}` and :math:`a_{\cdot\cdot}=\sum_i w_i a_{i\cdot}`,

.. math:: \mathrm{dCov}^2_{jk}=P_{jk}-2Q_{jk}+a_{\cdot\cdot}b_{\cdot\cdot},\quad
   P=\sum_{il}w_iw_la_{il}b_{il},\quad Q=\sum_iw_ia_{i\cdot}b_{i\cdot}

(Székely, Rizzo and Bakirov, arXiv:0803.4101, with weights).  Moving one value changes
one row of distances; what that does to the sums is a sum over events for each candidate,
and all candidates of a value together cost one pass over the events, because the
change of each distance is piecewise linear in the candidate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import allocating_kernel, inline_kernel, kernel
from hepfool.typing import FloatArray

_DISTANCE, _DISTANCE_X, _ROW, _ROW_X = range(4)


class DistanceState(NamedTuple):
    """
    Sums over pairs of events, from which every distance correlation follows.

    Attributes
    ----------
    x : FloatArray, shape (n_events, n_features)
        Values in units of each feature's range.
    origin, width : FloatArray, shape (n_features,)
        Lower end and length of these ranges.
    weights : FloatArray, shape (n_events,)
        Normalised to unit sum.
    rows : FloatArray, shape (n_events, n_features)
        Weighted sums of the distances of each event.
    pairs, products : FloatArray, shape (n_features, n_features)
        :math:`P` and :math:`Q`.
    totals : FloatArray, shape (n_features,)
        Weighted sum of all distances.
    current, nominal : FloatArray, shape (n_features, n_features)
        Distance correlations as they are, and those that shifts refer to.
    """

    x: FloatArray
    origin: FloatArray
    width: FloatArray
    weights: FloatArray
    rows: FloatArray
    pairs: FloatArray
    products: FloatArray
    totals: FloatArray
    current: FloatArray
    nominal: FloatArray

    @property
    def correlation_shift(self) -> float:
        """Relative Frobenius norm of the change since nominal, dimensionless."""
        return float(np.linalg.norm(self.current - self.nominal) / np.linalg.norm(self.nominal))


class Tableau(NamedTuple):
    """
    Working space for the candidates of one value.

    Attributes
    ----------
    places : FloatArray, shape (n_places,)
        Candidates and the present value, ascending, in units of the feature's range.
    sums : FloatArray, shape (n_places + 1, 4, n_features)
        Per interval between places: sums over the events therein, then cumulative.
    counts : FloatArray, shape (n_places + 1, 2)
        Likewise sums of weights, and of weights times values.
    """

    places: FloatArray
    sums: FloatArray
    counts: FloatArray


def distance_correlation(values: FloatArray, weights: FloatArray | None = None) -> FloatArray:
    """
    Distance correlations of all pairs of columns.

    Parameters
    ----------
    values : FloatArray, shape (n_events, n_features)
        Finite numbers; the unit of a column does not matter.
    weights : FloatArray, shape (n_events,), optional
        Not negative; 1 when left out.

    Returns
    -------
    FloatArray, shape (n_features, n_features)
        In [0, 1]; 0 beside a constant column.

    Raises
    ------
    ValueError
        If a value is not finite, or a weight negative.

    Examples
    --------
    >>> x = np.linspace(-1.0, 1.0, 101)
    >>> float(distance_correlation(np.stack([x, x**2], axis=1))[0, 1].round(3))  # that of Pearson is 0
    0.492
    """
    ones = np.ones(len(values)) if weights is None else weights
    return new_distance_state(values, ones).current


def new_distance_state(values: FloatArray, weights: FloatArray, nominal: FloatArray | None = None) -> DistanceState:
    """
    Sum over all pairs of events.

    Parameters
    ----------
    values : FloatArray, shape (n_events, n_features)
        Finite numbers.
    weights : FloatArray, shape (n_events,)
        Not negative.
    nominal : FloatArray, shape (n_features, n_features), optional
        Distance correlations that shifts refer to; those of ``values`` by default.

    Returns
    -------
    DistanceState
        Exact to rounding.

    Raises
    ------
    ValueError
        If a value is not finite, or a weight negative.
    """
    if not np.isfinite(values).all():
        msg = "distance correlations need finite values; fill missing ones, for example with the mean"
        raise ValueError(msg)
    if (weights < 0).any() or not weights.sum() > 0:
        msg = f"distance correlations need weights of at least 0 and a positive sum, found {weights.min()}"
        raise ValueError(msg)
    low, width = values.min(axis=0), np.ptp(values, axis=0)
    width = np.where(width > 0, width, 1.0)
    x = np.ascontiguousarray((values - low) / width)
    w = weights / weights.sum()
    pairs, rows = np.zeros((x.shape[1], x.shape[1])), np.empty_like(x)
    for i, own in enumerate(x):
        distances = np.abs(x - own)
        weighted = distances * w[:, np.newaxis]
        rows[i] = weighted.sum(axis=0)
        pairs += w[i] * (weighted.T @ distances)
    products, totals = (rows * w[:, np.newaxis]).T @ rows, w @ rows
    covariance = pairs - 2.0 * products + np.outer(totals, totals)
    current = _correlations(covariance)
    reference = current.copy() if nominal is None else nominal
    return DistanceState(x, low, width, w, rows, pairs, products, totals, current, reference)


def no_distance_state(n_features: int) -> DistanceState:
    """
    Return the sums over no events.

    Parameters
    ----------
    n_features : int
        Number of features.

    Returns
    -------
    DistanceState
        Zeros.
    """
    none, one, two = np.zeros((0, n_features)), np.zeros(n_features), np.zeros((n_features, n_features))
    return DistanceState(none, one, one, np.zeros(0), none, two, two, one, two, two)


def _correlations(covariance: FloatArray) -> FloatArray:
    variance = np.diag(covariance)
    scale = np.sqrt(np.outer(variance, variance).clip(0.0))
    ratio = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    return np.asarray(np.sqrt(ratio.clip(0.0)))


@allocating_kernel
def new_tableau(n_candidates: int, n_features: int) -> Tableau:
    """
    Allocate working space.

    Parameters
    ----------
    n_candidates : int
        Largest number of candidates.
    n_features : int
        Number of features.

    Returns
    -------
    Tableau
        For :func:`tabulate`.
    """
    return Tableau(
        np.empty(n_candidates + 1), np.empty((n_candidates + 2, 4, n_features)), np.empty((n_candidates + 2, 2))
    )


@kernel
def tabulate(state: DistanceState, tableau: Tableau, i: int, j: int, n_places: int) -> None:
    """
    Sum over the events once, for all places of one value.

    Parameters
    ----------
    state : DistanceState
        Current sums.
    tableau : Tableau
        Its first ``n_places`` places are set, ascending.
    i, j : int
        Event and feature.
    n_places : int
        Number of places.
    """
    x, weights, rows = state.x, state.weights, state.rows
    places, sums, counts = tableau
    n_features = x.shape[1]
    sums[: n_places + 1] = 0.0
    counts[: n_places + 1] = 0.0
    for m in range(x.shape[0]):
        if m == i:
            continue
        value, weight = x[m, j], weights[m]
        interval = np.searchsorted(places[:n_places], value)
        target = sums[interval]
        for k in range(n_features):
            distance = weight * abs(x[i, k] - x[m, k])
            row = weight * rows[m, k]
            target[_DISTANCE, k] += distance
            target[_DISTANCE_X, k] += distance * value
            target[_ROW, k] += row
            target[_ROW_X, k] += row * value
        counts[interval, 0] += weight
        counts[interval, 1] += weight * value
    _accumulate(sums.reshape(sums.shape[0], -1), n_places)
    _accumulate(counts, n_places)


@inline_kernel
def _accumulate(sums: FloatArray, n_places: int) -> None:
    """Add up the rows, in place."""
    for interval in range(1, n_places + 1):
        for column in range(sums.shape[1]):
            sums[interval, column] += sums[interval - 1, column]


@inline_kernel
def _to_place(tableau: Tableau, place: int, n_places: int, kind: int, k: int) -> float:
    """Sum over events of their distance to a place, times one of the tabulated quantities."""
    v, sums = tableau.places[place], tableau.sums
    left, left_x = sums[place, kind, k], sums[place, kind + 1, k]
    return float(v * (2.0 * left - sums[n_places, kind, k]) - (2.0 * left_x - sums[n_places, kind + 1, k]))


@inline_kernel
def _count_to_place(tableau: Tableau, place: int, n_places: int) -> float:
    v, counts = tableau.places[place], tableau.counts
    return float(v * (2.0 * counts[place, 0] - counts[n_places, 0]) - (2.0 * counts[place, 1] - counts[n_places, 1]))


@kernel
def evaluate(
    state: DistanceState,
    tableau: Tableau,
    place: tuple[int, int],
    ends: tuple[int, int],
    n_places: int,
    row: FloatArray,
) -> tuple[float, float]:
    """
    Tell what a move would do to the correlations of its feature.

    Parameters
    ----------
    state : DistanceState
        Current sums.
    tableau : Tableau
        After :func:`tabulate`.
    place : (int, int)
        Event and feature.
    ends : (int, int)
        Positions of the present value and of the candidate among the places.
    n_places : int
        Number of places.
    row : FloatArray, shape (n_features,)
        Receives the new correlations of the feature.

    Returns
    -------
    (float, float)
        By how much the squared distance from the nominal matrix changes, and the squared change of
        the current matrix.
    """
    i, j = place
    old, new = ends
    w = state.weights[i]
    s = _count_to_place(tableau, new, n_places) - _count_to_place(tableau, old, n_places)
    total = state.totals[j] + 2.0 * w * s
    variance = _new_variance(state, tableau, place, ends, n_places, s)
    gained, moved = 0.0, 0.0
    for k in range(row.shape[0]):
        row[k] = 1.0 if variance > 0.0 else 0.0
        if k != j:
            own = state.pairs[k, k] - 2.0 * state.products[k, k] + state.totals[k] * state.totals[k]
            distance = _to_place(tableau, new, n_places, _DISTANCE, k) - _to_place(tableau, old, n_places, _DISTANCE, k)
            rows = _to_place(tableau, new, n_places, _ROW, k) - _to_place(tableau, old, n_places, _ROW, k)
            pairs = state.pairs[j, k] + 2.0 * w * distance
            products = state.products[j, k] + w * (rows + s * state.rows[i, k])
            covariance = pairs - 2.0 * products + total * state.totals[k]
            scale = np.sqrt(max(variance * own, 0.0))
            row[k] = np.sqrt(max(covariance, 0.0) / scale) if scale > 0.0 else 0.0
            before, nominal = state.current[j, k], state.nominal[j, k]
            gained += 2.0 * ((row[k] - nominal) ** 2 - (before - nominal) ** 2)
            moved += 2.0 * (row[k] - before) ** 2
    return gained, moved


@inline_kernel
def _new_variance(
    state: DistanceState, tableau: Tableau, place: tuple[int, int], ends: tuple[int, int], n_places: int, s: float
) -> float:
    """Distance variance of the moved feature."""
    i, j = place
    old, new = ends
    w, total = state.weights[i], state.totals[j] + 2.0 * state.weights[i] * s
    a, b = tableau.places[old], tableau.places[new]
    weight, mean = tableau.counts[n_places, 0], tableau.counts[n_places, 1]
    squares = (b * b - a * a) * weight - 2.0 * (b - a) * mean
    # The change of each distance, squared: the mixed term is tabulated, the squares cancel but for their change.
    mixed = _to_place(tableau, new, n_places, _DISTANCE, j) - _to_place(tableau, old, n_places, _DISTANCE, j)
    change_squared = squares - 2.0 * mixed
    rows = _to_place(tableau, new, n_places, _ROW, j) - _to_place(tableau, old, n_places, _ROW, j)
    pairs = state.pairs[j, j] + 2.0 * w * squares
    products = state.products[j, j] + w * (2.0 * rows + w * change_squared + s * (2.0 * state.rows[i, j] + s))
    return float(pairs - 2.0 * products + total * total)


@kernel
def move(
    state: DistanceState,
    tableau: Tableau,
    place: tuple[int, int],
    ends: tuple[int, int],
    n_places: int,
    row: FloatArray,
) -> None:
    """
    Apply a move to the sums.

    Parameters
    ----------
    state : DistanceState
        Updated in place.
    tableau : Tableau
        After :func:`tabulate`.
    place : (int, int)
        Event and feature.
    ends : (int, int)
        Positions of the present value and of the new one among the places.
    n_places : int
        Number of places.
    row : FloatArray, shape (n_features,)
        The new correlations of the feature, from :func:`evaluate`.
    """
    i, j = place
    old, new = ends
    w = state.weights[i]
    s = _count_to_place(tableau, new, n_places) - _count_to_place(tableau, old, n_places)
    total = state.totals[j] + 2.0 * w * s
    variance = _new_variance(state, tableau, place, ends, n_places, s)
    squares_before = state.pairs[j, j]
    for k in range(row.shape[0]):
        if k != j:
            distance = _to_place(tableau, new, n_places, _DISTANCE, k) - _to_place(tableau, old, n_places, _DISTANCE, k)
            rows = _to_place(tableau, new, n_places, _ROW, k) - _to_place(tableau, old, n_places, _ROW, k)
            state.pairs[j, k] += 2.0 * w * distance
            state.products[j, k] += w * (rows + s * state.rows[i, k])
            state.pairs[k, j], state.products[k, j] = state.pairs[j, k], state.products[j, k]
            state.current[j, k] = state.current[k, j] = row[k]
    a, b = tableau.places[old], tableau.places[new]
    squares = (b * b - a * a) * tableau.counts[n_places, 0] - 2.0 * (b - a) * tableau.counts[n_places, 1]
    state.pairs[j, j] = squares_before + 2.0 * w * squares
    state.products[j, j] = 0.5 * (state.pairs[j, j] + total * total - variance)
    state.totals[j] = total
    for m in range(state.x.shape[0]):
        if m != i:
            state.rows[m, j] += w * (abs(b - state.x[m, j]) - abs(a - state.x[m, j]))
    state.rows[i, j] += s
    state.x[i, j] = b
