# SPDX-License-Identifier: BSD-3-Clause
r"""
Linear dependence between features: addable moments and the correlation shift.

:class:`Moments` can be summed over chunks, files and workers in any order; the
correlation matrix of all events follows from the sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hepfool.typing import FloatArray

#: Events that are summed at a time.
_BLOCK = 1 << 16

#: Spread, relative to the mean, that rounding gives to a constant.
_ROUNDING = 8.0 * float(np.finfo(np.float64).eps)

#: Fraction of present values below which rounding decides whether there is any.
_NO_VALUE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    r"""
    Weighted count, mean and co-moments, which can be added.

    Sums are kept about an ``origin`` near the mean, so that they stay precise
    and exist even where positive and negative weights cancel.

    Attributes
    ----------
    sum_weights : float
        :math:`W = \sum_i w_i`, dimensionless.
    origin : FloatArray, shape (n_features,)
        Point :math:`o` the sums refer to, in each feature's unit.
    first : FloatArray, shape (n_features,)
        :math:`\sum_i w_i (x_{ij}-o_j)` in each feature's unit.
    second : FloatArray, shape (n_features, n_features)
        :math:`\sum_i w_i (x_{ij}-o_j)(x_{ik}-o_k)` in the product of the units.

    Examples
    --------
    >>> left = Moments.of(np.array([[0.0], [1.0]]), np.ones(2))
    >>> right = Moments.of(np.array([[5.0]]), np.ones(1))
    >>> (left + right).mean.tolist()
    [2.0]
    """

    sum_weights: float
    origin: FloatArray
    first: FloatArray
    second: FloatArray

    @classmethod
    def zero(cls, n_features: int) -> Moments:
        """
        Moments of no events, the neutral element of addition.

        Parameters
        ----------
        n_features : int
            Number of features.

        Returns
        -------
        Moments
            All zero.
        """
        return cls(0.0, np.zeros(n_features), np.zeros(n_features), np.zeros((n_features, n_features)))

    @classmethod
    def of(cls, values: FloatArray, weights: FloatArray, *, fill: FloatArray | None = None) -> Moments:
        """
        Moments of some events.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            In each feature's unit; NaN where missing.
        weights : FloatArray, shape (n_events,)
            Event weights; may be negative.
        fill : FloatArray, shape (n_features,), optional
            What stands in for missing values: the nominal mean of the feature,
            which is also taken from these events when left out.

        Returns
        -------
        Moments
            Of all events.
        """
        if not len(values):
            return cls.zero(values.shape[1])
        fill = present_mean(values, weights) if fill is None else fill
        origin = _plain_mean(values)
        first, second = np.zeros(len(origin)), np.zeros((len(origin), len(origin)))
        for part, weight in _blocks(values, weights):
            centred = part - origin
            np.copyto(centred, fill - origin, where=np.isnan(centred))
            weighted = centred * weight[:, None]
            first += weighted.sum(axis=0)
            second += weighted.T @ centred
        return cls(float(weights.sum()), origin, first, second)

    def __add__(self, other: Moments) -> Moments:
        """Combine two disjoint sets of events."""
        if self.origin.shape != other.origin.shape:
            msg = f"moments of {self.origin.size} and {other.origin.size} features cannot be added"
            raise ValueError(msg)
        if not self.second.any() and not self.sum_weights:
            return other
        shift = other.origin - self.origin
        cross = np.outer(shift, other.first)
        return Moments(
            self.sum_weights + other.sum_weights,
            self.origin,
            self.first + other.first + other.sum_weights * shift,
            self.second + other.second + cross + cross.T + other.sum_weights * np.outer(shift, shift),
        )

    def __radd__(self, other: int) -> Moments:
        """Let ``sum`` start from zero."""
        return self if other == 0 else NotImplemented

    @property
    def mean(self) -> FloatArray:
        r"""Weighted mean :math:`\mu`, shape (n_features,), in each feature's unit."""
        return np.asarray(self.origin + self.first / self._norm)

    @property
    def comoments(self) -> FloatArray:
        r"""
        Sums :math:`M_{jk} = \sum_i w_i (x_{ij}-\mu_j)(x_{ik}-\mu_k)`.

        Shape (n_features, n_features), in the product of the units.
        """
        return np.asarray(self.second - np.outer(self.first, self.first) / self._norm)

    @property
    def variances(self) -> FloatArray:
        r"""
        Sums :math:`M_{jj}`, shape (n_features,), in the squared units.

        Zero for a feature whose values differ by no more than the rounding of their mean.
        """
        variance = np.diag(self.comoments)
        rounding = abs(self.sum_weights) * (_ROUNDING * self.origin) ** 2
        return np.where(np.abs(variance) <= rounding, 0.0, variance)

    @property
    def _norm(self) -> float:
        if self.sum_weights == 0.0:
            msg = "the event weights sum to zero, so mean and correlation do not exist; add events or drop the weights"
            raise ValueError(msg)
        return self.sum_weights

    @property
    def correlation(self) -> FloatArray:
        """
        Pearson matrix of shape (n_features, n_features).

        A feature without variance has zero correlation with all others.
        """
        comoments, variance = self.comoments, self.variances
        sigma = np.sqrt(np.where(variance > 0, variance, np.inf))
        matrix = comoments / np.outer(sigma, sigma)
        np.fill_diagonal(matrix, 1.0)
        return np.asarray(matrix)


@dataclass(frozen=True, slots=True, eq=False)
class MaskedMoments:
    r"""
    Moments of events with missing values, to be filled in later.

    A missing value sits at the nominal mean of *all* events, which no chunk
    knows.  These are therefore the moments of the :math:`2d` columns
    :math:`(p_j x_j, 1-p_j)`, with :math:`p_j` whether a value is present; those of
    :math:`p_j x_j + (1-p_j) f_j` follow for any :math:`f`.

    Attributes
    ----------
    sums : Moments
        Of values (0 where missing) and of missing flags.

    Examples
    --------
    >>> left = MaskedMoments.of(np.array([[1.0], [np.nan]]), np.ones(2))
    >>> right = MaskedMoments.of(np.array([[4.0]]), np.ones(1))
    >>> (left + right).mean.tolist(), (left + right).filled().mean.tolist()
    ([2.5], [2.5])
    """

    sums: Moments

    @classmethod
    def of(cls, values: FloatArray, weights: FloatArray) -> MaskedMoments:
        """
        Moments of some events.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            In each feature's unit; NaN where missing.
        weights : FloatArray, shape (n_events,)
            Event weights; may be negative.

        Returns
        -------
        MaskedMoments
            Of all events.
        """
        missing = np.isnan(values)
        return cls(Moments.of(np.hstack([np.where(missing, 0.0, values), missing.astype(np.float64)]), weights))

    def __add__(self, other: MaskedMoments) -> MaskedMoments:
        """Combine two disjoint sets of events."""
        return MaskedMoments(self.sums + other.sums)

    def __radd__(self, other: int) -> MaskedMoments:
        """Let ``sum`` start from zero."""
        return self if other == 0 else NotImplemented

    @property
    def sum_weights(self) -> float:
        """Sum of weights, dimensionless."""
        return self.sums.sum_weights

    @property
    def mean(self) -> FloatArray:
        """Weighted mean of the present values, shape (n_features,); 0 where all are missing."""
        total, missing = np.split(self.sums.mean, 2)
        present = 1.0 - missing
        return np.asarray(total / np.where(np.abs(present) < _NO_VALUE, np.inf, present))

    def filled(self, fill: FloatArray | None = None) -> Moments:
        """
        Put one number per feature where a value is missing.

        Parameters
        ----------
        fill : FloatArray, shape (n_features,), optional
            In each feature's unit; the mean of the present values by default.

        Returns
        -------
        Moments
            Of the completed events.
        """
        fill = self.mean if fill is None else fill
        to_value = np.hstack([np.eye(len(fill)), np.diag(fill)])
        sums = self.sums
        return Moments(
            sums.sum_weights, to_value @ sums.origin, to_value @ sums.first, to_value @ sums.second @ to_value.T
        )


def present_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """
    Weighted mean of the values that are present.

    Parameters
    ----------
    values : FloatArray, shape (n_events, n_features)
        In each feature's unit; NaN where missing.
    weights : FloatArray, shape (n_events,)
        Event weights.

    Returns
    -------
    FloatArray, shape (n_features,)
        In each feature's unit; 0 for a feature that is missing everywhere.
    """
    shift = _plain_mean(values)
    first, total = np.zeros(len(shift)), np.zeros(len(shift))
    for part, weight in _blocks(values, weights):
        centred = part - shift
        present = ~np.isnan(centred)
        total += weight @ present
        first += weight @ np.where(present, centred, 0.0)
    return np.asarray(shift + first / np.where(total == 0, np.inf, total))


def _blocks(values: FloatArray, weights: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Go through the events in parts, so that what is computed from them on the way stays small."""
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK], weights[start : start + _BLOCK]


def _plain_mean(values: FloatArray) -> FloatArray:
    """Mean of the present values without weights, 0 where there is none, and a constant as it is to the last bit."""
    total, count = np.zeros(values.shape[1]), np.zeros(values.shape[1])
    low, high = np.full(values.shape[1], np.inf), np.full(values.shape[1], -np.inf)
    for start in range(0, len(values), _BLOCK):
        part = values[start : start + _BLOCK]
        present = ~np.isnan(part)
        count += present.sum(axis=0)
        total += np.where(present, part, 0.0).sum(axis=0)
        low, high = np.fmin(low, np.fmin.reduce(part)), np.fmax(high, np.fmax.reduce(part))
    return np.where(low == high, low, total / np.maximum(count, 1.0))


def fill_missing(values: FloatArray, fill: FloatArray) -> FloatArray:
    """
    Put one number per feature where a value is missing.

    Parameters
    ----------
    values : FloatArray, shape (n_events, n_features)
        NaN where missing.
    fill : FloatArray, shape (n_features,)
        Replacement per feature, in its unit.

    Returns
    -------
    FloatArray, shape (n_events, n_features)
        Finite values.
    """
    return np.where(np.isnan(values), fill, values)


def correlation_shift(reference: FloatArray, shifted: FloatArray) -> float:
    r"""
    Relative Frobenius norm of a change of correlations.

    :math:`\Delta\mathrm{FN} = \lVert C' - C\rVert_F / \lVert C\rVert_F` (arXiv:2603.13970, eq. 2).

    Parameters
    ----------
    reference : FloatArray, shape (n_features, n_features)
        Nominal correlation matrix :math:`C`.
    shifted : FloatArray, shape (n_features, n_features)
        Correlation matrix :math:`C'` of the perturbed events.

    Returns
    -------
    float
        Dimensionless, not negative.

    Raises
    ------
    ValueError
        If the shapes differ or an entry is not finite.

    Examples
    --------
    >>> correlation_shift(np.eye(2), np.array([[1.0, 0.1], [0.1, 1.0]])).__round__(3)
    0.1
    """
    if reference.shape != shifted.shape:
        msg = f"correlation matrices must have the same shape: {reference.shape} and {shifted.shape}"
        raise ValueError(msg)
    if not (np.isfinite(reference).all() and np.isfinite(shifted).all()):
        msg = "correlation matrices must be finite; drop constant features first"
        raise ValueError(msg)
    return float(np.linalg.norm(shifted - reference) / np.linalg.norm(reference))
