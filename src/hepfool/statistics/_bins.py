# SPDX-License-Identifier: BSD-3-Clause
"""Edges of bins, the bin of a value, and the sums of weights in bins."""

from __future__ import annotations

import numpy as np

from hepfool._kernels import inline_kernel, kernel
from hepfool.typing import FloatArray, IntArray

#: Contents below this part of the sum of all are rounding residues of weights that cancel, or of negligible weights.
_ROUNDING = 1e-12


def joined_starts(expected: FloatArray, min_yield: float) -> list[int]:
    """
    Join neighbouring bins until each expects enough.

    Parameters
    ----------
    expected : FloatArray, shape (n_bins,)
        Expected yields.
    min_yield : float
        Of each group.

    Returns
    -------
    list of int
        First bin of every group; what is left over goes to the last of them.

    Examples
    --------
    >>> joined_starts(np.array([2.0, 3.0, 5.0, 1.0]), 4.0)
    [0, 2]
    """
    starts, content = [0], 0.0
    for k, more in enumerate(expected[:-1], start=1):
        content += more
        if content >= min_yield:
            starts.append(k)
            content = 0.0
    return starts[:-1] if len(starts) > 1 and content + expected[-1] < min_yield else starts


def quantile_edges(values: FloatArray, n_bins: int, low: float, high: float) -> FloatArray:
    """
    Edges between equally many values, and around each value that fills more than a bin.

    Parameters
    ----------
    values : FloatArray, shape (n_events,)
        All present values of a feature, in its unit.
    n_bins : int
        Number of bins.
    low, high : float
        Smallest and largest value.

    Returns
    -------
    FloatArray, shape (n_bins + 1,)
        Increasing, in the feature's unit.
    """
    distinct, counts = np.unique(values, return_counts=True)
    most = np.argsort(-counts, kind="stable")[: (n_bins - 1) // 2]
    common = distinct[most[counts[most] > len(values) / n_bins]]
    beyond = np.nextafter(common.astype(np.float32), np.float32(np.inf)).astype(np.float64)
    edges = np.unique(np.concatenate([[low, high], common, beyond]))
    rest = values[~np.isin(values, common)]
    n_free = n_bins + 1 - len(edges)
    if len(rest):
        edges = np.unique(np.concatenate([edges, np.quantile(rest, np.linspace(0.0, 1.0, n_free + 2)[1:-1])]))
    return split_edges(edges, n_bins)


def split_edges(edges: FloatArray, n_bins: int) -> FloatArray:
    """
    Cut the widest bins in two until there are enough.

    Parameters
    ----------
    edges : FloatArray
        Increasing.
    n_bins : int
        Number of bins wanted.

    Returns
    -------
    FloatArray, shape (n_bins + 1,)
        The given edges and middles of bins.
    """
    while len(edges) <= n_bins:
        widest = int(np.argmax(np.diff(edges)))
        edges = np.insert(edges, widest + 1, 0.5 * (edges[widest] + edges[widest + 1]))
    return edges


def inner_quantiles(values: FloatArray, n_bins: int) -> FloatArray:
    """
    Edges between bins with equal content, fewer where values repeat.

    Parameters
    ----------
    values : FloatArray, shape (n_events,)
        NaN where missing.
    n_bins : int
        Number of bins wanted.

    Returns
    -------
    FloatArray, shape (n_edges,)
        Without the outer edges; at most ``n_bins - 1``.
    """
    if np.isnan(values).all():
        return np.empty(0)
    return np.unique(np.nanquantile(values, np.arange(1, n_bins) / n_bins))


def cells_of(values: FloatArray, edges: FloatArray) -> IntArray:
    """
    Tell the bin of each value between inner edges.

    Parameters
    ----------
    values : FloatArray, shape (n_events,)
        NaN where missing.
    edges : FloatArray, shape (n_edges,)
        Increasing, from :func:`inner_quantiles`.

    Returns
    -------
    IntArray, shape (n_events,)
        From 0 to ``n_edges``, and one more for missing values.
    """
    cells = np.searchsorted(edges, values, side="right")
    return np.where(np.isnan(values), len(edges) + 1, cells)


def merge_negative(rows: FloatArray) -> IntArray:
    """
    Group neighbouring bins until no group has a negative content; what is negative by rounding only counts as 0.

    Parameters
    ----------
    rows : FloatArray, shape (n_histograms, n_bins + 1)
        Contents of one feature, the last column for missing values, which count as the neighbour of the last bin.

    Returns
    -------
    IntArray, shape (n_bins + 1,)
        First bin of each bin's group.
    """
    result = np.arange(rows.shape[1])
    least = -_ROUNDING * np.abs(rows).sum(axis=1)
    if (rows >= least[:, np.newaxis]).all():
        return result
    groups = [[int(k)] for k in result]
    k = 0
    while k < len(groups):
        if (rows[:, groups[k]].sum(axis=1) < least).any() and len(groups) > 1:
            left = max(k - 1, 0)
            groups[left : left + 2] = [groups[left] + groups[left + 1]]
            k = left
        else:
            k += 1
    for group in groups:
        result[group] = group[0]
    return result


@inline_kernel
def bin_of(edges: FloatArray, inverse_width: float, value: float) -> int:
    """
    Tell the bin of one value exactly as :meth:`~hepfool.statistics.marginals.Binning.indices` does.

    Parameters
    ----------
    edges : FloatArray, shape (n_bins + 1,)
        Of one feature, in its unit.
    inverse_width : float
        Bins per unit, to guess the bin.
    value : float
        In the feature's unit, not NaN.

    Returns
    -------
    int
        From 0 to ``n_bins - 1``.
    """
    last = edges.shape[0] - 2
    k = min(max(int((value - edges[0]) * inverse_width), 0), last)
    if not edges[k] <= value < edges[k + 1]:
        # By bisection; ``np.searchsorted`` takes half a second to compile, twice.
        low, high = 0, last + 2
        while low < high:
            middle = (low + high) >> 1
            if value < edges[middle]:
                high = middle
            else:
                low = middle + 1
        k = min(max(low - 1, 0), last)
    return int(k)


@kernel
def add_to_bins(edges: FloatArray, values: FloatArray, weights: FloatArray, result: FloatArray) -> None:
    """
    Add up the weights per bin.

    Parameters
    ----------
    edges : FloatArray, shape (n_features, n_bins + 1)
        Of the bins, in each feature's unit.
    values : FloatArray, shape (n_events, n_features)
        NaN where missing.
    weights : FloatArray, shape (n_events,)
        Event weights.
    result : FloatArray, shape (n_features, n_bins + 1)
        Added to; the last column takes missing values.
    """
    n_features, n_bins = edges.shape[0], edges.shape[1] - 1
    for i in range(values.shape[0]):
        for j in range(n_features):
            k = n_bins
            if not np.isnan(values[i, j]):
                k = bin_of(edges[j], n_bins / (edges[j, n_bins] - edges[j, 0]), values[i, j])
            result[j, k] += weights[i]
