# SPDX-License-Identifier: BSD-3-Clause
"""Per-event bounds from experimental uncertainties."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepfool.events.arrays import frozen, nan_to
from hepfool.events.frames import matrix_of, named_columns
from hepfool.events.table import EventTable
from hepfool.typing import FloatArray

#: Of more inputs of one derived feature the others stay at nominal: 1024 combinations are enough.
_MOST_MOVING = 10


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """
    Per-event bounds from experimental uncertainties.

    Attributes
    ----------
    lower, upper : FloatArray, shape (n_events, n_features)
        Bounds in the feature's unit; infinite where there is none.
    """

    lower: FloatArray
    upper: FloatArray

    def __post_init__(self) -> None:
        """Check that every interval is ordered and freeze the arrays."""
        lower = np.asarray(self.lower, dtype=np.float64)
        upper = np.asarray(self.upper, dtype=np.float64)
        if lower.shape != upper.shape or lower.ndim != 2:
            msg = f"envelope bounds must share the shape (n_events, n_features): {lower.shape} and {upper.shape}"
            raise ValueError(msg)
        if np.any(lower > upper) or np.any(np.isnan(lower) | np.isnan(upper)):
            event, feature = np.argwhere(~(lower <= upper))[0]
            msg = (
                f"envelope of event {event}, feature {feature} is empty: "
                f"[{lower[event, feature]}, {upper[event, feature]}]; lower must not exceed upper"
            )
            raise ValueError(msg)
        object.__setattr__(self, "lower", frozen(lower))
        object.__setattr__(self, "upper", frozen(upper))

    @classmethod
    def absolute(cls, table: EventTable, sigma: Any, *, n_sigma: float = 1.0) -> Envelope:
        r"""
        Bounds :math:`x \pm k\,\sigma` with :math:`\sigma` in the feature's unit.

        Parameters
        ----------
        sigma : array_like, broadcastable to (n_events, n_features), or table
            Uncertainty in the feature's unit; infinite for no bound.  Columns with names are taken by name.
        n_sigma : float
            Number :math:`k` of standard deviations, dimensionless.

        Returns
        -------
        Envelope
            Symmetric bounds around the nominal values.
        """
        width = np.broadcast_to(n_sigma * _matching(table, sigma), table.values.shape)
        if np.any(~(width >= 0)):
            msg = "envelope uncertainties must not be negative or NaN; use 0 to fix a value and inf for no bound"
            raise ValueError(msg)
        return cls(nan_to(table.values - width, -np.inf), nan_to(table.values + width, np.inf))

    @classmethod
    def relative(cls, table: EventTable, fraction: Any, *, n_sigma: float = 1.0) -> Envelope:
        r"""
        Bounds :math:`x \pm k\,f\,|x|` with a dimensionless fraction :math:`f`.

        Parameters
        ----------
        fraction : array_like, broadcastable to (n_events, n_features), or table
            Relative uncertainty, dimensionless.  Columns with names are taken by name.
        n_sigma : float
            Number :math:`k` of standard deviations, dimensionless.

        Returns
        -------
        Envelope
            Symmetric bounds around the nominal values.
        """
        fraction = _matching(table, fraction)
        magnitude = np.abs(np.where(table.missing, 0.0, table.values))
        free = np.isinf(np.broadcast_to(fraction, magnitude.shape))
        width = np.where(free, np.inf, np.where(free, 0.0, fraction) * magnitude)
        return cls.absolute(table, width, n_sigma=n_sigma)

    @classmethod
    def from_function(
        cls, table: EventTable, function: Callable[[EventTable], ArrayLike], *, n_sigma: float = 1.0
    ) -> Envelope:
        r"""
        Bounds :math:`x \pm k\,\sigma` with :math:`\sigma` computed from the events, such as a resolution in pt and eta.

        Parameters
        ----------
        function : callable
            Takes the table and returns uncertainties in each feature's unit, broadcastable to (n_events, n_features).
        n_sigma : float
            Number :math:`k` of standard deviations, dimensionless.

        Returns
        -------
        Envelope
            Symmetric bounds around the nominal values.

        Examples
        --------
        >>> table = EventTable.from_arrays([[100.0, 0.5], [400.0, 2.0]], features=["jet_pt", "jet_eta"])
        >>> def resolution(events):
        ...     return np.stack([np.sqrt(events.column("jet_pt")), np.full(events.n_events, 0.01)], axis=1)
        >>> Envelope.from_function(table, resolution).upper[:, 0]
        array([110., 420.])
        """
        return cls.absolute(table, np.asarray(function(table), dtype=np.float64), n_sigma=n_sigma)

    @classmethod
    def from_covariance(cls, table: EventTable, covariance: ArrayLike, *, n_sigma: float = 1.0) -> Envelope:
        r"""
        Bounds within the ellipsoid of :math:`k` standard deviations of correlated uncertainties.

        Intervals in proportion to the standard deviations :math:`\sigma_j`, scaled by
        :math:`c = k/\sqrt{\sum_{ij}|\sigma_i(\Sigma^{-1})_{ij}\sigma_j|}`: whatever values an event takes within
        them, its Mahalanobis distance from nominal does not exceed :math:`k`.

        Parameters
        ----------
        covariance : array_like, shape (n_features, n_features)
            Covariance of the uncertainties, in products of the features' units; rows and columns of zeros fix a feature.
        n_sigma : float
            Size :math:`k` of the ellipsoid, dimensionless.

        Returns
        -------
        Envelope
            Symmetric bounds around the nominal values.

        Raises
        ------
        ValueError
            If the matrix is not a covariance of the table's features.

        Examples
        --------
        >>> table = EventTable.from_arrays([[100.0, 50.0]])
        >>> Envelope.from_covariance(table, np.diag([4.0, 1.0])).upper.round(3)
        array([[101.414,  50.707]])
        """
        matrix = np.asarray(covariance, dtype=np.float64)
        shape = (table.n_features, table.n_features)
        if matrix.shape != shape or not np.allclose(matrix, matrix.T):
            msg = f"a covariance of these features is a symmetric matrix of shape {shape}, got shape {matrix.shape}"
            raise ValueError(msg)
        uncertain = np.diag(matrix) > 0
        part = matrix[np.ix_(uncertain, uncertain)]
        if not (np.isfinite(matrix).all() and (np.linalg.eigvalsh(part) > 0).all()):
            msg = "the covariance has an eigenvalue that is not positive; remove features that follow from others"
            raise ValueError(msg)
        sigma = np.sqrt(np.diag(matrix).clip(0.0))
        scaled = np.abs(np.linalg.inv(part) * np.outer(sigma[uncertain], sigma[uncertain]))
        return cls.absolute(table, sigma / np.sqrt(scaled.sum()), n_sigma=n_sigma)

    @classmethod
    def from_variations(cls, table: EventTable, names: Iterable[str] | None = None) -> Envelope:
        """
        Span each event's nominal and varied values.

        What follows from other inputs may go as far as these take it: also to what their bounds give in all combinations, because
        no input could move alone where a variation moves several and leaves their sum as it is.

        Parameters
        ----------
        names : iterable of str, optional
            Variations to use; all by default.

        Returns
        -------
        Envelope
            Smallest and largest of nominal and all named variations, per event and feature; of an angle the shorter way round,
            so that a bound may lie beyond its range.
        """
        chosen = list(table.shape_variations) if names is None else list(names)
        if not chosen:
            msg = "the table holds no shape variation to build an envelope from; add some or use Envelope.relative"
            raise ValueError(msg)
        lower, upper = table.values.copy(), table.values.copy()
        for name in chosen:
            varied = _near(table, table.variation(name).values)
            np.fmin(lower, varied, out=lower)
            np.fmax(upper, varied, out=upper)
        for column in table.features.derived:
            for values in _corners(table, column, lower, upper):
                np.fmin(lower[:, column], values, out=lower[:, column])
                np.fmax(upper[:, column], values, out=upper[:, column])
        return cls(nan_to(lower, -np.inf), nan_to(upper, np.inf))

    def select(self, mask: NDArray[Any]) -> Envelope:
        """
        Return the bounds of some events.

        Parameters
        ----------
        mask : array of bool or int
            Selection along the event axis.

        Returns
        -------
        Envelope
            Bounds of the selected events.
        """
        return Envelope(self.lower[mask], self.upper[mask])


def signal_region_envelope(table: EventTable) -> Envelope | None:
    """
    Bound events by their shape variations where nothing is validated, and nowhere else.

    Parameters
    ----------
    table : EventTable
        Events.

    Returns
    -------
    Envelope or None
        Infinite in control and validation regions; None without shape variations, or if every event is in such a region.
    """
    if not table.shape_variations or table.constrained.all():
        return None
    varied = Envelope.from_variations(table)
    free = table.constrained[:, np.newaxis]
    return replace(varied, lower=np.where(free, -np.inf, varied.lower), upper=np.where(free, np.inf, varied.upper))


def _corners(table: EventTable, column: int, lower: FloatArray, upper: FloatArray) -> Iterator[FloatArray]:
    """Values of a derived feature at the bounds of those that it follows from, in all combinations."""
    features = table.features
    derived = features[column].derived
    inputs = () if derived is None else tuple(features.index(name) for name in derived.inputs)
    moving = [j for j in inputs if (upper[:, j] > lower[:, j]).any()][:_MOST_MOVING]
    for ends in product((lower, upper), repeat=len(moving)):
        values = table.values.copy()
        for j, end in zip(moving, ends, strict=True):
            values[:, j] = end[:, j]
        yield features.derive(values, column)


def _near(table: EventTable, varied: FloatArray) -> FloatArray:
    """Values with angles turned to where they are nearest to nominal."""
    angles = table.features.of_kind("angle")
    period = np.where(angles, table.features.upper - table.features.lower, 1.0)
    return varied + np.where(angles, period * np.round((table.values - varied) / period), 0.0)


def _matching(table: EventTable, values: Any) -> FloatArray:
    """Return numbers in the order of the features; columns that have names by these."""
    if named_columns(values) is None:
        return np.asarray(values, dtype=np.float64)
    return matrix_of(values, table.features.names)[0]
