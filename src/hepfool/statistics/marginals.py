# SPDX-License-Identifier: BSD-3-Clause
r"""
One-dimensional distributions: one binning, its yields and their distance.

:class:`Binning` is the only place where a value becomes a bin.  The attack, the
distances and the figures all use it, so that an attack that respects a cap is
also reported below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepfool.events import EventTable
from hepfool.events.arrays import frozen
from hepfool.features import FeatureSpace
from hepfool.statistics.bins import add_to_bins, merge_negative, quantile_edges, split_edges
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["Binning", "js_distance", "sampling_floor"]


@dataclass(frozen=True, slots=True, eq=False)
class Binning:
    """
    Uniform bins per feature, with one more bin for missing values.

    Bins are half-open ``[low, high)``; the last one includes its upper edge,
    as in NumPy.  Values beyond the edges count in the first or last bin.

    Attributes
    ----------
    edges : FloatArray, shape (n_features, n_bins + 1)
        Increasing bin edges in each feature's unit.

    Examples
    --------
    >>> binning = Binning.uniform(EventTable.from_arrays([[0.0], [1.0], [4.0]]), n_bins=4)
    >>> binning.indices(np.array([[0.0], [0.99], [4.0]]))[:, 0].tolist()
    [0, 0, 3]
    """

    edges: FloatArray

    def __post_init__(self) -> None:
        """Check that all edges are finite and increase."""
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim != 2 or edges.shape[1] < 2:
            msg = f"edges need the shape (n_features, n_bins + 1) with at least one bin, got {edges.shape}"
            raise ValueError(msg)
        if not (np.isfinite(edges).all() and (np.diff(edges, axis=1) > 0).all()):
            column = int(np.argmin((np.isfinite(edges[:, 1:])) & (np.diff(edges, axis=1) > 0), axis=0).min())
            msg = f"bin edges must be finite and increase; look at feature {column}: {edges[column].tolist()[:5]} ..."
            raise ValueError(msg)
        edges = edges.view()
        edges.flags.writeable = False
        object.__setattr__(self, "edges", edges)

    @classmethod
    def uniform(cls, table: EventTable, *, n_bins: int, events: BoolArray | None = None) -> Binning:
        """
        Cut each feature's nominal range into equal bins.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        n_bins : int
            Number of bins per feature.
        events : BoolArray, shape (n_events,), optional
            Events that set the range; the constrained ones by default.

        Returns
        -------
        Binning
            From the smallest to the largest value of each feature; around its value for a constant fixed one.

        Raises
        ------
        ValueError
            If a feature that is not fixed has no finite value or only a single one.
        """
        _, lower, upper = _measured(table, n_bins, events)
        return cls(np.stack([np.linspace(a, b, n_bins + 1) for a, b in zip(lower, upper, strict=True)]))

    @classmethod
    def quantiles(cls, table: EventTable, *, n_bins: int, events: BoolArray | None = None) -> Binning:
        """
        Cut each feature into bins of about equally many nominal events.

        In uniform bins most events may share a few bins, within which an attack moves them unseen by these bins, though
        not by a Kolmogorov-Smirnov check; here no move within a bin passes more than about one event in ``n_bins``.
        A value that many events have in common gets a bin of its own.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        n_bins : int
            Number of bins per feature.
        events : BoolArray, shape (n_events,), optional
            Events that set the edges; the constrained ones by default.

        Returns
        -------
        Binning
            From the smallest to the largest value of each feature; around its value for a constant fixed one.

        Raises
        ------
        ValueError
            If a feature that is not fixed has no finite value or only a single one.

        Examples
        --------
        >>> table = EventTable.from_arrays([[1.0], [2.0], [4.0], [9.0], [25.0]])
        >>> Binning.quantiles(table, n_bins=4).edges.tolist()
        [[1.0, 2.0, 4.0, 9.0, 25.0]]
        """
        chosen, lower, upper = _measured(table, n_bins, events)
        edges = [
            quantile_edges(column[~np.isnan(column)], n_bins, float(low), float(high))
            for column, low, high in zip(chosen.T, lower, upper, strict=True)
        ]
        return cls(np.stack(edges))

    def united(self, other: Binning) -> Binning:
        """
        Cut at the edges of both.

        A distance in finer bins is never smaller, so that a cap which holds in these bins holds in both.

        Parameters
        ----------
        other : Binning
            Of the same features.

        Returns
        -------
        Binning
            With ``n_bins + other.n_bins - 1`` bins per feature; where edges coincide, the widest bins are cut in two.

        Raises
        ------
        ValueError
            If the numbers of features differ.

        Examples
        --------
        >>> Binning(np.array([[0.0, 2.0, 4.0]])).united(Binning(np.array([[0.0, 1.0, 4.0]]))).edges.tolist()
        [[0.0, 1.0, 2.0, 4.0]]
        """
        if len(self.edges) != len(other.edges):
            msg = f"binnings of {len(self.edges)} and {len(other.edges)} features cannot be united; take one table"
            raise ValueError(msg)
        n_bins = self.n_bins + other.n_bins - 1
        return Binning(
            np.stack([split_edges(np.union1d(*pair), n_bins) for pair in zip(self.edges, other.edges, strict=True)])
        )

    @property
    def n_bins(self) -> int:
        """Number of bins per feature without the one for missing values."""
        return int(self.edges.shape[1] - 1)

    def indices(self, values: FloatArray) -> IntArray:
        """
        Tell the bin of each value.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            In each feature's unit, NaN where missing.

        Returns
        -------
        IntArray, shape (n_events, n_features)
            From 0 to ``n_bins - 1``, and ``n_bins`` for missing values.
        """
        result = np.empty(values.shape, dtype=np.int64)
        for j, edges in enumerate(self.edges):
            index = np.searchsorted(edges, values[:, j], side="right") - 1
            result[:, j] = np.clip(index, 0, self.n_bins - 1)
        result[np.isnan(values)] = self.n_bins
        return result

    def yields(self, values: FloatArray, weights: FloatArray) -> FloatArray:
        """
        Sum the weights per bin.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            In each feature's unit, NaN where missing.
        weights : FloatArray, shape (n_events,)
            Event weights, dimensionless.

        Returns
        -------
        FloatArray, shape (n_features, n_bins + 1)
            Weighted yields; the last column counts missing values.
        """
        result = np.zeros((len(self.edges), self.n_bins + 1))
        # Of one type whatever they were: each combination of types would be compiled anew.
        edges, columns, summed = (
            frozen(np.ascontiguousarray(array, dtype=np.float64)) for array in (self.edges, values, weights)
        )
        add_to_bins(edges, columns, summed, result)
        return result

    @staticmethod
    def merged(*yields: FloatArray) -> IntArray:
        """
        Map bins so that none has a negative content.

        With signed weights a bin's content may be negative, where no divergence
        exists.  Such a bin is merged with its neighbours to the left until the
        content is positive (to the right at the left end); that of missing values
        comes after the last bin.

        Parameters
        ----------
        *yields : FloatArray, shape (n_features, n_bins + 1)
            One or more results of :meth:`yields` whose contents must all be positive after merging.

        Returns
        -------
        IntArray, shape (n_features, n_bins + 1)
            For each bin the index of the merged bin it belongs to; the identity where nothing is merged.
        """
        return np.stack([merge_negative(np.stack(rows)) for rows in zip(*yields, strict=True)])


def _measured(table: EventTable, n_bins: int, events: BoolArray | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the events that set the edges, and the range of each feature."""
    if n_bins < 1:
        msg = f"n_bins must be at least 1, got {n_bins}"
        raise ValueError(msg)
    chosen = table.values[table.constrained if events is None else events]
    if not len(chosen):
        msg = "no event to take the range from: every constrained region is empty"
        raise ValueError(msg)
    return chosen, *ranges_of(table.features, *_finite_range(chosen))


def ranges_of(features: FeatureSpace, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Make sure that every feature has a range to be cut into bins.

    Parameters
    ----------
    features : FeatureSpace
        Of the events.
    lower, upper : FloatArray, shape (n_features,)
        Smallest and largest value; infinite, the wrong way round, where all are missing.

    Returns
    -------
    lower, upper : FloatArray, shape (n_features,)
        The same; around its value for a fixed feature that is constant or missing, which nothing can move.

    Raises
    ------
    ValueError
        If another feature is constant or missing.
    """
    lower, upper = lower.copy(), upper.copy()
    for j in np.flatnonzero(~(lower < upper)):
        feature, value = features[int(j)], float(lower[j])
        if feature.kind != "fixed":
            state = "missing in every event" if np.isinf(value) else f"constant ({value:g})"
            msg = (
                f"feature {feature.name!r} is {state} in the events that are compared, so that it has no distribution and cannot "
                "be moved; if the network needs it, declare Feature(kind='fixed'), else drop it"
            )
            raise ValueError(msg)
        middle = 0.0 if np.isinf(value) else value
        half = max(0.5, 1e-6 * abs(middle))
        lower[j], upper[j] = middle - half, middle + half
    return lower, upper


def _finite_range(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    missing = np.isnan(values)
    return np.where(missing, np.inf, values).min(axis=0), np.where(missing, -np.inf, values).max(axis=0)


def merge_bins(yields: FloatArray, merged: IntArray) -> FloatArray:
    """
    Add up the bins that are merged.

    Parameters
    ----------
    yields : FloatArray, shape (n_features, n_bins + 1)
        Weighted yields.
    merged : IntArray, shape (n_features, n_bins + 1)
        Map from :meth:`Binning.merged`.

    Returns
    -------
    FloatArray, shape (n_features, n_bins + 1)
        Merged contents at the index of each group's first bin, zero elsewhere.
    """
    result = np.zeros_like(yields)
    np.add.at(result, (np.arange(len(yields))[:, None], merged), yields)
    # Cancelling signed weights leave rounding residues of either sign in an empty bin.
    scale = np.abs(yields).sum(axis=1, keepdims=True)
    result[np.abs(result) < 1e-12 * scale] = 0.0
    return result


def js_divergence_terms(p: FloatArray, q: FloatArray) -> FloatArray:
    r"""
    Contribution of each bin to the Jensen-Shannon divergence, in bits.

    For one bin, :math:`\tfrac12 p\log_2(p/m) + \tfrac12 q\log_2(q/m)` with :math:`m=(p+q)/2`.

    Parameters
    ----------
    p, q : FloatArray
        Normalised, non-negative bin contents of the same shape.

    Returns
    -------
    FloatArray
        Non-negative contributions of the same shape.

    Examples
    --------
    >>> js_divergence_terms(np.array([0.5, 0.5]), np.array([0.5, 0.5])).tolist()
    [0.0, 0.0]
    """
    m = 0.5 * (p + q)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(p > 0, p * np.log2(p / m), 0.0)
        second = np.where(q > 0, q * np.log2(q / m), 0.0)
    return 0.5 * (first + second)


def js_distance(reference: FloatArray, shifted: FloatArray) -> FloatArray:
    r"""
    Jensen-Shannon distance between binned marginals, one value per feature.

    With :math:`p, q` the yields normalised to unit sum and :math:`m = (p + q) / 2`,
    the distance is :math:`\sqrt{\tfrac12 D_2(p\|m) + \tfrac12 D_2(q\|m)}` with
    :math:`D_2` the relative entropy in bits (arXiv:2603.13970, eq. 1).  It is a
    metric and lies in [0, 1]; the *divergence* is its square.

    Parameters
    ----------
    reference : FloatArray, shape (n_features, n_bins)
        Sum of event weights per bin.  Only the shape of each row matters.
    shifted : FloatArray, shape (n_features, n_bins)
        The same for the perturbed events, in the same binning.

    Returns
    -------
    FloatArray, shape (n_features,)
        Dimensionless, 0 for identical shapes and 1 for disjoint ones.

    Raises
    ------
    ValueError
        If the shapes differ, a yield is negative, or a marginal is empty.

    Examples
    --------
    >>> js_distance(np.array([[2.0, 2.0], [4.0, 0.0]]), np.array([[1.0, 1.0], [0.0, 4.0]]))
    array([0., 1.])
    """
    if np.shape(reference) != np.shape(shifted):
        msg = f"marginals must share a binning: {np.shape(reference)} and {np.shape(shifted)}"
        raise ValueError(msg)
    terms = js_divergence_terms(_normalised(reference, "reference"), _normalised(shifted, "shifted"))
    return np.asarray(np.sqrt(np.clip(terms.sum(axis=-1), 0.0, 1.0)))


def _normalised(yields: FloatArray, name: str) -> FloatArray:
    yields = np.asarray(yields, dtype=np.float64)
    if (yields < 0).any():
        msg = f"{name} has a negative yield ({yields.min()}); merge bins until every content is positive"
        raise ValueError(msg)
    total = yields.sum(axis=-1, keepdims=True)
    if (total <= 0).any():
        msg = f"{name} is empty in {int((total <= 0).sum())} feature(s); a distance needs events"
        raise ValueError(msg)
    return np.asarray(yields / total)


def sampling_floor(reference: FloatArray, n_effective: float) -> FloatArray:
    r"""
    Typical distance of two independent samples of the same distribution, the root of its mean square.

    From :math:`\mathrm{JSD}^2 \approx (K-1)/(4\,n\ln 2)` for :math:`K` occupied bins and two samples of
    :math:`n` events each.

    Parameters
    ----------
    reference : FloatArray, shape (n_features, n_bins)
        Nominal yields.
    n_effective : float
        Effective number of events :math:`(\sum w)^2/\sum w^2` of each sample.

    Returns
    -------
    FloatArray, shape (n_features,)
        Dimensionless; at most 1.

    Examples
    --------
    >>> sampling_floor(np.ones((1, 101)), 10_000.0).round(3)
    array([0.06])
    """
    if not n_effective > 0:
        msg = f"the effective number of events must be positive, got {n_effective}"
        raise ValueError(msg)
    occupied = np.count_nonzero(np.asarray(reference) > 0, axis=-1)
    return np.asarray(np.minimum(np.sqrt(np.maximum(occupied - 1, 0) / (4.0 * n_effective * np.log(2.0))), 1.0))
