# SPDX-License-Identifier: BSD-3-Clause
"""
Marginals and moments of a data set whose values move one at a time.

:class:`DatasetState` holds the current histograms and co-moments of the constrained events in a
few packed arrays; :mod:`hepfool.statistics._incremental` says what a move does to them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool._kernels import inline_kernel, kernel
from hepfool.events import EventTable
from hepfool.events._arrays import rows_of
from hepfool.statistics._bins import bin_of
from hepfool.statistics._dependence import Moments, present_mean
from hepfool.statistics.marginals import Binning, merge_bins
from hepfool.typing import BoolArray, FloatArray, IntArray

# Rows of the packed arrays of DatasetState.
EDGE, GROUP, NOMINAL, CURRENT, TERM, UPHILL = range(6)
DIVERGENCE, MEAN, FILL, VARIANCE, INVERSE_SIGMA, NOMINAL_ROW, INVERSE_WIDTH = range(7)
CROSS, CORRELATION = range(2)
TOTAL, NORM, DISTANCE, SMALLEST = range(4)

#: Bins per block of the search; the smallest cost within a block is kept up to date.
BLOCK = 16


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
    table: EventTable,
    values: FloatArray,
    constrained: BoolArray,
    binning: Binning,
    nominal: Nominal | None = None,
    *,
    correlated: bool = True,
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
    correlated : bool
        Whether correlations are compared, for which every variance must be positive.

    Returns
    -------
    DatasetState
        Exact to rounding.

    Raises
    ------
    ValueError
        If the weights of the constrained events do not sum to a positive number, or leave a variance negative.
    """
    nominal = Nominal.of(table, constrained, binning) if nominal is None else nominal
    if correlated:
        _check_variances(table, nominal.moments)
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


def _check_variances(table: EventTable, moments: Moments) -> None:
    variance = moments.variances
    if variance.min() < 0:
        j = int(np.argmin(variance))
        msg = (
            f"the weighted variance of {table.features.names[j]!r} is negative ({variance[j] / moments.sum_weights:g}), because events of "
            "negative weight outweigh the others; attack more events at once"
        )
        raise ValueError(msg)


def _fill_moments(state: DatasetState, moments: Moments, fill: FloatArray) -> None:
    cross, nominal = state.matrices
    state.vectors[MEAN] = moments.mean
    state.vectors[FILL] = fill
    variance = moments.variances
    state.vectors[VARIANCE] = variance
    # A feature without variance has no correlation, as in ``Moments.correlation``.
    state.vectors[INVERSE_SIGMA] = np.where(variance > 0, 1.0 / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)
    state.scalars[NORM] = (nominal**2).sum()
    state.scalars[DISTANCE] = ((moments.correlation - nominal) ** 2).sum()
    np.fill_diagonal(nominal, 0.0)
    np.fill_diagonal(cross, 0.0)
    state.vectors[NOMINAL_ROW] = (nominal**2).sum(axis=1)


@inline_kernel
def term(p: float, q: float) -> float:
    """Contribution of one bin to the divergence, in bits."""
    total = p + q
    result = 0.0
    if p > 0.0:
        result += p * np.log2(2.0 * p / total)
    if q > 0.0:
        result += q * np.log2(2.0 * q / total)
    return 0.5 * result


@kernel
def _refresh_divergence(state: DatasetState) -> None:
    n_features, _, n_columns = state.bins.shape
    for j in range(n_features):
        total = 0.0
        for k in range(n_columns):
            refresh_bin(state.bins, j, k, state.scalars[SMALLEST])
            total += state.bins[j, TERM, k]
        state.vectors[DIVERGENCE, j] = max(total, 0.0)
        for block in range(state.blocks.shape[1]):
            _refresh_block(state.bins, state.blocks, j, block)


@inline_kernel
def refresh_bin(bins: FloatArray, j: int, k: int, smallest: float) -> None:
    """Compute what the search needs of a bin once its content has changed."""
    p, q = bins[j, NOMINAL, k], bins[j, CURRENT, k]
    bins[j, TERM, k] = term(p, q)
    bins[j, UPHILL, k] = (term(p, q + smallest) - bins[j, TERM, k]) / smallest


@inline_kernel
def _refresh_block(bins: FloatArray, blocks: FloatArray, j: int, block: int) -> None:
    best = np.inf
    for k in range(block * BLOCK, min((block + 1) * BLOCK, bins.shape[2] - 1)):
        best = min(best, bins[j, UPHILL, int(bins[j, GROUP, k])])
    blocks[j, block] = best


@inline_kernel
def refresh_blocks_of(bins: FloatArray, blocks: FloatArray, j: int, k: int) -> None:
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
    Tell the bin of a value exactly as :meth:`~hepfool.statistics.marginals.Binning.indices` does.

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
