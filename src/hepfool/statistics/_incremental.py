# SPDX-License-Identifier: BSD-3-Clause
r"""
What moving one value does to marginals and correlations, exactly and in O(1).

For a single event and feature, :func:`probe` gathers in
O(n_features) everything that any move of that value needs; :func:`divergence_after` and
:func:`row_distance` then give the effect of one candidate from a handful of numbers, and :func:`commit` applies the chosen one.

With moments :math:`M_{jk}`, :math:`\sigma_k=\sqrt{M_{kk}}` and, for event i,
:math:`r_k = M_{jk}/\sigma_k`, :math:`u_k = w_i (x_{ik}-\mu_k)/\sigma_k`, nominal correlations
:math:`c_k`, moving :math:`x_{ij}` by :math:`\Delta` changes row j of the correlation matrix to
:math:`(r_k+\Delta u_k)/\sqrt{M'_{jj}} - c_k` from nominal, whose squared norm is a rational function of
:math:`\Delta` with six coefficients.  The functions are compiled; the tests compare
them with plain NumPy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import inline_kernel, summing_kernel
from hepfool.statistics._dataset_state import (
    CORRELATION,
    CROSS,
    CURRENT,
    DISTANCE,
    DIVERGENCE,
    FILL,
    GROUP,
    INVERSE_SIGMA,
    INVERSE_WIDTH,
    MEAN,
    NOMINAL,
    NOMINAL_ROW,
    NORM,
    SMALLEST,
    TERM,
    TOTAL,
    UPHILL,
    VARIANCE,
    DatasetState,
    find_bin,
    refresh_bin,
    refresh_blocks_of,
    term,
)
from hepfool.typing import FloatArray

_EMPTY = 1e-12


class Probe(NamedTuple):
    r"""
    What every move of one value has in common.

    Attributes
    ----------
    a, b, u : float
        :math:`\\sum r^2, \\sum ru, \\sum u^2` over the other features.
    d, e, f : float
        :math:`\\sum rc, \\sum uc, \\sum c^2` over the other features.
    variance, inverse_sigma : float
        Current :math:`M_{jj}` and :math:`1/\sqrt{M_{jj}}`.
    slope, curvature : float
        :math:`w(x-\\mu)` and :math:`w(1-w/W)`, so that :math:`M'_{jj} = M_{jj}+2\\Delta\\,\\mathrm{slope}+\\Delta^2\\mathrm{curvature}`.
    row, distance, norm : float
        Squared distance from nominal of the row and of the matrix, and squared norm of the latter.
    weight, smallest : float
        Normalised weight of the event, and the smallest one of all.
    inverse_width : float
        Bins per unit.
    old_bin : int
        Merged bin of the current value.
    divergence, down : float
        Current divergence of the feature, and its change when the event leaves its bin; infinite if the content would turn negative.
    """

    a: float
    b: float
    u: float
    d: float
    e: float
    f: float
    variance: float
    inverse_sigma: float
    slope: float
    curvature: float
    row: float
    distance: float
    norm: float
    weight: float
    smallest: float
    inverse_width: float
    old_bin: int
    divergence: float
    down: float


@summing_kernel
def _row_sums(
    vectors: FloatArray, matrices: FloatArray, j: int, deviation: FloatArray
) -> tuple[float, float, float, float, float]:
    """Sum r², rs, s², rc and sc over the other features, where s is the deviation over sigma."""
    a = b = u = d = e = 0.0
    for k in range(deviation.shape[0]):
        r = matrices[CROSS, j, k] * vectors[INVERSE_SIGMA, k]
        s = deviation[k] * vectors[INVERSE_SIGMA, k]
        c = matrices[CORRELATION, j, k]
        a += r * r
        b += r * s
        u += s * s
        d += r * c
        e += s * c
    own = deviation[j] * vectors[INVERSE_SIGMA, j]
    return a, b, max(u - own * own, 0.0), d, e


@inline_kernel
def deviate(vectors: FloatArray, values: FloatArray, deviation: FloatArray) -> None:
    """
    Tell how far an event is from the means; a missing value counts as the nominal mean.

    Parameters
    ----------
    vectors : FloatArray, shape (7, n_features)
        Of the :class:`~hepfool.statistics._dataset_state.DatasetState`.
    values : FloatArray, shape (n_features,)
        The event.
    deviation : FloatArray, shape (n_features,)
        Receives the differences, in each feature's unit.
    """
    for k in range(deviation.shape[0]):
        value = vectors[FILL, k] if np.isnan(values[k]) else values[k]
        deviation[k] = value - vectors[MEAN, k]


@inline_kernel
def probe(state: DatasetState, j: int, value: float, weight: float, deviation: FloatArray) -> Probe:
    """
    Gather what every move of one value has in common.

    Parameters
    ----------
    state : DatasetState
        Current state.
    j : int
        Feature to move.
    value : float
        Current value, not NaN.
    weight : float
        Event weight.
    deviation : FloatArray, shape (n_features,)
        The event's values minus the current means, in each feature's unit.

    Returns
    -------
    Probe
        Coefficients of the candidates' effect.
    """
    a, b, u, d, e = _row_sums(state.vectors, state.matrices, j, deviation)
    vectors, scalars, bins = state.vectors, state.scalars, state.bins[j]
    inverse = vectors[INVERSE_SIGMA, j]
    f = vectors[NOMINAL_ROW, j]
    old_bin = int(bins[GROUP, find_bin(bins, vectors[INVERSE_WIDTH, j], value)])
    w = weight / scalars[TOTAL]
    left = bins[CURRENT, old_bin] - w
    down = np.inf
    if left > -_EMPTY:
        down = term(bins[NOMINAL, old_bin], max(left, 0.0)) - bins[TERM, old_bin]
    return Probe(
        a,
        weight * b,
        weight * weight * u,
        d,
        weight * e,
        f,
        vectors[VARIANCE, j],
        inverse,
        weight * deviation[j],
        weight * (1.0 - w),
        (a * inverse - 2.0 * d) * inverse + f,
        scalars[DISTANCE],
        scalars[NORM],
        w,
        scalars[SMALLEST],
        vectors[INVERSE_WIDTH, j],
        old_bin,
        vectors[DIVERGENCE, j],
        down,
    )


@inline_kernel
def row_distance(item: Probe, delta: float) -> float:
    """
    Squared distance from nominal of the moved feature's row of correlations.

    Parameters
    ----------
    item : Probe
        Value to move.
    delta : float
        Displacement in the feature's unit.

    Returns
    -------
    float
        Dimensionless; infinite if the feature would lose its variance.
    """
    variance = item.variance + delta * (2.0 * item.slope + delta * item.curvature)
    result = np.inf
    if variance > 0.0:
        inverse = 1.0 / np.sqrt(variance)
        numerator = item.a + delta * (2.0 * item.b + delta * item.u)
        result = (numerator * inverse - 2.0 * (item.d + delta * item.e)) * inverse + item.f
    return result


@inline_kernel
def row_change(item: Probe, delta: float) -> float:
    """
    Relative Frobenius norm by which one move changes the current correlations.

    Parameters
    ----------
    item : Probe
        Value to move.
    delta : float
        Displacement in the feature's unit.

    Returns
    -------
    float
        Dimensionless, relative to the norm of the nominal matrix.
    """
    variance = item.variance + delta * (2.0 * item.slope + delta * item.curvature)
    result = np.inf
    if variance > 0.0:
        # Row before: r s, after: (r + delta u) t, with s, t the inverse sigmas before and after.
        t = 1.0 / np.sqrt(variance)
        ratio = t - item.inverse_sigma
        squared = item.a * ratio * ratio + delta * t * (2.0 * item.b * ratio + delta * item.u * t)
        result = np.sqrt(max(2.0 * squared, 0.0) / item.norm)
    return result


@inline_kernel
def correlation_shift_after(item: Probe, row: float) -> float:
    """
    Correlation shift once the feature's row has another distance from nominal.

    Parameters
    ----------
    item : Probe
        Value to move.
    row : float
        Squared distance of the row from :func:`row_distance`.

    Returns
    -------
    float
        Dimensionless, of the whole matrix.
    """
    return float(np.sqrt(max(item.distance + 2.0 * (row - item.row), 0.0) / item.norm))


@inline_kernel
def divergence_after(bins: FloatArray, item: Probe, new_bin: int) -> float:
    """
    Divergence of a feature once the event is in another bin.

    Parameters
    ----------
    bins : FloatArray, shape (6, n_bins + 1)
        The feature's part of :attr:`DatasetState.bins`.
    item : Probe
        Value to move.
    new_bin : int
        Merged bin of the candidate.

    Returns
    -------
    float
        In bits; infinite if a content would turn negative.
    """
    result = item.divergence
    if new_bin != item.old_bin:
        content = bins[CURRENT, new_bin] + item.weight
        if item.weight == item.smallest:
            up = item.weight * bins[UPHILL, new_bin]
        else:
            up = term(bins[NOMINAL, new_bin], max(content, 0.0)) - bins[TERM, new_bin]
        result = max(result + item.down + up, 0.0) if content > -_EMPTY else np.inf
    return result


@inline_kernel
def commit(
    state: DatasetState, j: int, item: Probe, delta: float, new_bin: int, weight: float, deviation: FloatArray
) -> None:
    """
    Apply one move to the state.

    Parameters
    ----------
    state : DatasetState
        Current state, updated in place.
    j : int
        Moved feature.
    item : Probe
        The value before the move.
    delta : float
        Displacement in the feature's unit.
    new_bin : int
        Merged bin of the new value.
    weight : float
        Event weight.
    deviation : FloatArray, shape (n_features,)
        The event's values minus the means, updated in place.
    """
    vectors, cross = state.vectors, state.matrices[CROSS]
    state.scalars[DISTANCE] = max(item.distance + 2.0 * (row_distance(item, delta) - item.row), 0.0)
    for k in range(deviation.shape[0]):
        change = weight * delta * deviation[k]
        cross[j, k] += change
        cross[k, j] += change
    cross[j, j] = 0.0
    vectors[VARIANCE, j] = item.variance + delta * (2.0 * item.slope + delta * item.curvature)
    vectors[INVERSE_SIGMA, j] = 1.0 / np.sqrt(vectors[VARIANCE, j])
    vectors[MEAN, j] += delta * item.weight
    deviation[j] += delta * (1.0 - item.weight)
    commit_content(state, j, item, new_bin)


@inline_kernel
def commit_content(state: DatasetState, j: int, item: Probe, new_bin: int) -> None:
    """
    Apply what one move does to its feature's marginal, and to nothing else.

    Parameters
    ----------
    state : DatasetState
        Current state, updated in place.
    j : int
        Moved feature.
    item : Probe
        The value before the move.
    new_bin : int
        Merged bin of the new value.
    """
    bins = state.bins
    if new_bin != item.old_bin:
        state.vectors[DIVERGENCE, j] = divergence_after(bins[j], item, new_bin)
        bins[j, CURRENT, item.old_bin] = max(bins[j, CURRENT, item.old_bin] - item.weight, 0.0)
        bins[j, CURRENT, new_bin] = max(bins[j, CURRENT, new_bin] + item.weight, 0.0)
        for k in (item.old_bin, new_bin):
            refresh_bin(bins, j, k, item.smallest)
            refresh_blocks_of(bins, state.blocks, j, k)
