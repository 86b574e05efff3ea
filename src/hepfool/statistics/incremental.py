# SPDX-License-Identifier: BSD-3-Clause
r"""
What moving one value does to marginals and correlations, exactly and in O(1).

:class:`DatasetState` holds the current histograms and co-moments of the
constrained events.  For a single event and feature, :func:`probe` gathers in
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

from hepfool.events import EventTable
from hepfool.events.arrays import rows_of
from hepfool.kernels import inline_kernel, summing_kernel
from hepfool.statistics.dependence import Moments, present_mean
from hepfool.statistics.marginals import Binning, bin_of, merge_bins
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "BLOCK",
    "DatasetState",
    "Nominal",
    "Probe",
    "commit",
    "correlation_shift_after",
    "divergence_after",
    "find_bin",
    "new_state",
    "probe",
    "row_change",
    "row_distance",
]

# Rows of the packed arrays of DatasetState.
EDGE, GROUP, NOMINAL, CURRENT, TERM, UPHILL = range(6)
DIVERGENCE, MEAN, FILL, VARIANCE, INVERSE_SIGMA, NOMINAL_ROW, INVERSE_WIDTH = range(7)
CROSS, CORRELATION = range(2)
TOTAL, NORM, DISTANCE, SMALLEST = range(4)

#: Bins per block of the search; the smallest cost within a block is kept up to date.
BLOCK = 16

_EMPTY = 1e-12


class DatasetState(NamedTuple):
    r"""
    Current marginals and moments of the constrained events.

    A few packed arrays instead of many: a compiled function pays for every
    array that it is given.

    Attributes
    ----------
    bins : FloatArray, shape (n_features, 6, n_bins + 1)
        Per feature the rows ``EDGE`` (bin edges in the feature's unit), ``GROUP`` (bin
        that each bin is merged into), ``NOMINAL`` and ``CURRENT`` (contents,
        normalised to unit sum), ``TERM`` (contribution to the divergence) and ``UPHILL``
        (divergence per unit of content that the smallest weight adds to a bin;
        a lower bound for every larger weight, because the divergence is convex).
    blocks : FloatArray, shape (n_features, n_blocks)
        Smallest ``UPHILL`` in each block of bins.
    vectors : FloatArray, shape (7, n_features)
        ``DIVERGENCE`` in bits, current ``MEAN``, ``FILL`` in place of missing values,
        ``VARIANCE`` :math:`M_{jj}`, ``INVERSE_SIGMA`` :math:`1/\sqrt{M_{jj}}`, ``NOMINAL_ROW`` (squared norm
        of a row of nominal correlations without its diagonal) and
        ``INVERSE_WIDTH`` (bins per unit).
    matrices : FloatArray, shape (2, n_features, n_features)
        Current co-moments ``CROSS`` and ``CORRELATION``, the nominal one, both with a diagonal of zero.
    scalars : FloatArray, shape (4,)
        ``TOTAL`` weight, squared ``NORM`` of the nominal correlations, current squared
        ``DISTANCE`` from them, and ``SMALLEST`` normalised positive weight.
    """

    bins: FloatArray
    blocks: FloatArray
    vectors: FloatArray
    matrices: FloatArray
    scalars: FloatArray

    @property
    def js_distance(self) -> FloatArray:
        """Current distance of each marginal, shape (n_features,)."""
        return np.asarray(np.sqrt(self.vectors[DIVERGENCE]))

    @property
    def correlation_shift(self) -> float:
        """Current correlation shift, dimensionless."""
        return float(np.sqrt(self.scalars[DISTANCE] / self.scalars[NORM]))


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


class Nominal(NamedTuple):
    """
    What moves are measured against: sums over the constrained events as they were.

    Attributes
    ----------
    merged : IntArray, shape (n_features, n_bins + 1)
        Bins to be merged, see :meth:`~hepfool.statistics.marginals.Binning.merged`.
    yields : FloatArray, shape (n_features, n_bins + 1)
        Before merging.
    fill : FloatArray, shape (n_features,)
        Means, which stand in for missing values.
    moments : Moments
        Of the features.
    smallest : float
        Smallest positive weight.
    """

    merged: IntArray
    yields: FloatArray
    fill: FloatArray
    moments: Moments
    smallest: float

    @classmethod
    def of(cls, table: EventTable, constrained: BoolArray, binning: Binning) -> Nominal:
        """
        Sum over the nominal events.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        constrained : BoolArray, shape (n_events,)
            Events that count.
        binning : Binning
            Bins of the marginals.

        Returns
        -------
        Nominal
            Exact to rounding.

        Raises
        ------
        ValueError
            If the weights of the constrained events do not sum to a positive number.
        """
        values, weights = rows_of(table.values, constrained), rows_of(table.weights, constrained)
        total = float(weights.sum())
        if not total > 0:
            msg = (
                f"the weights of the {len(weights)} constrained events sum to {total}; a marginal needs a positive sum"
            )
            raise ValueError(msg)
        yields, fill = binning.yields(values, weights), present_mean(values, weights)
        moments = Moments.of(values, weights, fill=fill)
        return cls(binning.merged(yields), yields, fill, moments, float(weights[weights > 0].min()))


def new_state(
    table: EventTable, values: FloatArray, constrained: BoolArray, binning: Binning, nominal: Nominal | None = None
) -> DatasetState:
    """
    Measure the state from scratch.

    Parameters
    ----------
    table : EventTable
        Nominal events.
    values : FloatArray, shape (n_events, n_features)
        Events as they are now.
    constrained : BoolArray, shape (n_events,)
        Events that count.
    binning : Binning
        Bins of the marginals.
    nominal : Nominal, optional
        The sums over ``table``, if they are known.

    Returns
    -------
    DatasetState
        Exact to rounding.

    Raises
    ------
    ValueError
        If the weights of the constrained events do not sum to a positive number.
    """
    nominal = Nominal.of(table, constrained, binning) if nominal is None else nominal
    current, moments = nominal.yields, nominal.moments
    if values is not table.values:
        after, weights = rows_of(values, constrained), rows_of(table.weights, constrained)
        current, moments = binning.yields(after, weights), Moments.of(after, weights, fill=nominal.fill)
    merged, total = nominal.merged, nominal.moments.sum_weights
    state = DatasetState(
        bins=_pack_bins(binning, merged, merge_bins(nominal.yields, merged), merge_bins(current, merged), total),
        blocks=np.zeros((len(merged), -(-binning.n_bins // BLOCK))),
        vectors=np.zeros((7, len(merged))),
        matrices=np.stack([moments.comoments, nominal.moments.correlation]),
        scalars=np.zeros(4),
    )
    _fill_moments(state, moments, nominal.fill)
    widths = binning.edges[:, -1] - binning.edges[:, 0]
    state.vectors[INVERSE_WIDTH] = binning.n_bins / widths
    state.scalars[TOTAL] = total
    state.scalars[SMALLEST] = nominal.smallest / total
    _refresh_divergence(state)
    return state


def _pack_bins(
    binning: Binning, merged: IntArray, nominal: FloatArray, current: FloatArray, total: float
) -> FloatArray:
    bins = np.zeros((len(merged), 6, binning.n_bins + 1))
    bins[:, EDGE] = binning.edges
    bins[:, GROUP] = merged
    bins[:, NOMINAL] = nominal / total
    bins[:, CURRENT] = current / total
    return bins


def _fill_moments(state: DatasetState, moments: Moments, fill: FloatArray) -> None:
    cross, nominal = state.matrices
    state.vectors[MEAN] = moments.mean
    state.vectors[FILL] = fill
    state.vectors[VARIANCE] = np.diag(cross)
    state.vectors[INVERSE_SIGMA] = 1.0 / np.sqrt(np.diag(cross))
    state.scalars[NORM] = (nominal**2).sum()
    state.scalars[DISTANCE] = ((moments.correlation - nominal) ** 2).sum()
    np.fill_diagonal(nominal, 0.0)
    np.fill_diagonal(cross, 0.0)
    state.vectors[NOMINAL_ROW] = (nominal**2).sum(axis=1)


@inline_kernel
def _term(p: float, q: float) -> float:
    """Contribution of one bin to the divergence, in bits."""
    total = p + q
    result = 0.0
    if p > 0.0:
        result += p * np.log2(2.0 * p / total)
    if q > 0.0:
        result += q * np.log2(2.0 * q / total)
    return 0.5 * result


@inline_kernel
def _refresh_divergence(state: DatasetState) -> None:
    n_features, _, n_columns = state.bins.shape
    for j in range(n_features):
        total = 0.0
        for k in range(n_columns):
            _refresh_bin(state.bins, j, k, state.scalars[SMALLEST])
            total += state.bins[j, TERM, k]
        state.vectors[DIVERGENCE, j] = max(total, 0.0)
        for block in range(state.blocks.shape[1]):
            _refresh_block(state.bins, state.blocks, j, block)


@inline_kernel
def _refresh_bin(bins: FloatArray, j: int, k: int, smallest: float) -> None:
    p, q = bins[j, NOMINAL, k], bins[j, CURRENT, k]
    bins[j, TERM, k] = _term(p, q)
    bins[j, UPHILL, k] = (_term(p, q + smallest) - bins[j, TERM, k]) / smallest


@inline_kernel
def _refresh_block(bins: FloatArray, blocks: FloatArray, j: int, block: int) -> None:
    best = np.inf
    for k in range(block * BLOCK, min((block + 1) * BLOCK, bins.shape[2] - 1)):
        best = min(best, bins[j, UPHILL, int(bins[j, GROUP, k])])
    blocks[j, block] = best


@inline_kernel
def _refresh_blocks_of(bins: FloatArray, blocks: FloatArray, j: int, k: int) -> None:
    """Refresh every block that holds a bin merged into bin k."""
    member, done = k, -1
    while member < bins.shape[2] - 1 and bins[j, GROUP, member] == k:
        if member // BLOCK != done:
            done = member // BLOCK
            _refresh_block(bins, blocks, j, done)
        member += 1


@inline_kernel
def find_bin(bins: FloatArray, inverse_width: float, value: float) -> int:
    """
    Tell the bin of a value exactly as :meth:`Binning.indices` does.

    Parameters
    ----------
    bins : FloatArray, shape (6, n_bins + 1)
        The feature's part of :attr:`DatasetState.bins`.
    inverse_width : float
        Bins per unit, to guess the bin.
    value : float
        In the feature's unit, not NaN.

    Returns
    -------
    int
        From 0 to ``n_bins - 1``, before merging.
    """
    return bin_of(bins[EDGE], inverse_width, value)


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
        down = _term(bins[NOMINAL, old_bin], max(left, 0.0)) - bins[TERM, old_bin]
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
            up = _term(bins[NOMINAL, new_bin], max(content, 0.0)) - bins[TERM, new_bin]
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
    vectors, cross, bins = state.vectors, state.matrices[CROSS], state.bins
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
    if new_bin != item.old_bin:
        vectors[DIVERGENCE, j] = divergence_after(bins[j], item, new_bin)
        bins[j, CURRENT, item.old_bin] = max(bins[j, CURRENT, item.old_bin] - item.weight, 0.0)
        bins[j, CURRENT, new_bin] = max(bins[j, CURRENT, new_bin] + item.weight, 0.0)
        for k in (item.old_bin, new_bin):
            _refresh_bin(bins, j, k, item.smallest)
            _refresh_blocks_of(bins, state.blocks, j, k)
