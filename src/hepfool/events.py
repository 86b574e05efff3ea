# SPDX-License-Identifier: BSD-3-Clause
"""
Hold events as columns: features, labels, weights, regions, variations.

:class:`EventTable` is what every other part of the package takes and returns.
Its arrays are read-only; a changed table is a new table that shares what did
not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepfool.features import Feature, FeatureSpace
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["UNLABELLED", "Envelope", "EventTable", "Region", "RegionRole", "SingleCut", "best_single_cut"]

RegionRole = Literal["control", "validation", "signal"]

#: Label of events whose class is unknown, such as collision data.
UNLABELLED = -1


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """
    A named part of phase space with its role in the analysis.

    Attributes
    ----------
    name : str
        Such as ``low_mt``.
    mask : BoolArray, shape (n_events,)
        True for the events of the region.
    role : {"control", "validation", "signal"}
        Marginals and correlations are constrained in control and validation
        regions; data of a signal region stay blinded.
    cuts : mapping of str to (float, float)
        Features whose half-open interval ``[lower, upper)`` defines the region.
        Attacked events stay on their side of each of these thresholds.
    select : callable, optional
        For selections that are not such cuts: takes attacked values of shape
        (n_events, n_features) and returns the mask.  Events whose membership
        would change are returned to nominal.
    """

    name: str
    mask: BoolArray
    role: RegionRole = "control"
    cuts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    select: Callable[[FloatArray], BoolArray] | None = None

    def __post_init__(self) -> None:
        """Check the role and freeze the mask."""
        if self.role not in get_args(RegionRole):
            msg = f"region {self.name!r}: role {self.role!r} is unknown; use one of {', '.join(get_args(RegionRole))}"
            raise ValueError(msg)
        object.__setattr__(self, "mask", _frozen(np.asarray(self.mask, dtype=np.bool_)))

    @property
    def constrained(self) -> bool:
        """Whether data and simulation are compared here (control or validation)."""
        return self.role != "signal"


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
        object.__setattr__(self, "lower", _frozen(lower))
        object.__setattr__(self, "upper", _frozen(upper))

    @classmethod
    def absolute(cls, table: EventTable, sigma: ArrayLike, *, n_sigma: float = 1.0) -> Envelope:
        r"""
        Bounds :math:`x \pm k\,\sigma` with :math:`\sigma` in the feature's unit.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        sigma : array_like, broadcastable to (n_events, n_features)
            Uncertainty in the feature's unit; infinite for no bound.
        n_sigma : float
            Number :math:`k` of standard deviations, dimensionless.

        Returns
        -------
        Envelope
            Symmetric bounds around the nominal values.
        """
        width = np.broadcast_to(n_sigma * np.asarray(sigma, dtype=np.float64), table.values.shape)
        if np.any(~(width >= 0)):
            msg = "envelope uncertainties must not be negative or NaN; use 0 to fix a value and inf for no bound"
            raise ValueError(msg)
        return cls(_nan_to(table.values - width, -np.inf), _nan_to(table.values + width, np.inf))

    @classmethod
    def relative(cls, table: EventTable, fraction: ArrayLike, *, n_sigma: float = 1.0) -> Envelope:
        r"""
        Bounds :math:`x \pm k\,f\,|x|` with a dimensionless fraction :math:`f`.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        fraction : array_like, broadcastable to (n_events, n_features)
            Relative uncertainty, dimensionless.
        n_sigma : float
            Number :math:`k` of standard deviations, dimensionless.

        Returns
        -------
        Envelope
            Symmetric bounds around the nominal values.
        """
        fraction = np.asarray(fraction, dtype=np.float64)
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
        table : EventTable
            Nominal events.
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
        table : EventTable
            Nominal events.
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

        Parameters
        ----------
        table : EventTable
            Events with ``shape_variations``.
        names : iterable of str, optional
            Variations to use; all by default.

        Returns
        -------
        Envelope
            Smallest and largest of nominal and all named variations, per event and feature.
        """
        chosen = list(table.shape_variations) if names is None else list(names)
        if not chosen:
            msg = "the table holds no shape variation to build an envelope from; add some or use Envelope.relative"
            raise ValueError(msg)
        lower, upper = table.values.copy(), table.values.copy()
        for name in chosen:
            varied = table.variation(name).values
            np.fmin(lower, varied, out=lower)
            np.fmax(upper, varied, out=upper)
        return cls(_nan_to(lower, -np.inf), _nan_to(upper, np.inf))

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


@dataclass(frozen=True, slots=True, eq=False)
class EventTable:
    """
    Events as columns.

    Build one with :meth:`from_arrays`; the fields are read-only.

    Attributes
    ----------
    features : FeatureSpace
        Description of the columns.
    values : FloatArray, shape (n_events, n_features)
        Network inputs in their features' units; NaN where missing.
    labels : IntArray, shape (n_events,)
        Class of each event from 0, or ``UNLABELLED``.
    weights : FloatArray, shape (n_events,)
        Event weights, dimensionless; may be negative.
    missing : BoolArray, shape (n_events, n_features)
        True where a feature does not exist in an event.
    sentinel : float
        What the network expects in place of a missing value, such as -999.
    datasets : tuple of str
        Names of the processes in the table.
    dataset_index : IntArray, shape (n_events,)
        Position in ``datasets`` for each event.
    regions : tuple of Region
        Control, validation and signal regions.
    shape_variations : mapping of str to FloatArray, shape (n_events, n_features)
        Values of the same events under a systematic variation, such as ``tau_energy_up``.
    weight_variations : mapping of str to FloatArray, shape (n_events,)
        Weights of the same events under a systematic variation.
    spectators : mapping of str to array, shape (n_events,)
        Columns that travel along and are never moved, such as ``run`` and ``event``.
    metadata : mapping
        Anything that describes the table as a whole.
    """

    features: FeatureSpace
    values: FloatArray
    labels: IntArray
    weights: FloatArray
    missing: BoolArray
    sentinel: float = -999.0
    datasets: tuple[str, ...] = ("events",)
    dataset_index: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    regions: tuple[Region, ...] = ()
    shape_variations: Mapping[str, FloatArray] = field(default_factory=dict)
    weight_variations: Mapping[str, FloatArray] = field(default_factory=dict)
    spectators: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and content, then freeze every array."""
        _check_shapes(self)
        _check_content(self)
        for name in ("values", "labels", "weights", "missing", "dataset_index"):
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        for name in ("shape_variations", "weight_variations", "spectators"):
            frozen = {key: _frozen(np.asarray(value)) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, frozen)

    @classmethod
    def from_arrays(
        cls,
        values: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        features: FeatureSpace | Iterable[Feature | str] | None = None,
        weights: ArrayLike | None = None,
        sentinel: float | None = None,
        dataset: str | Sequence[str] | NDArray[Any] = "events",
        **fields: Any,
    ) -> EventTable:
        """
        Build a table from plain arrays.

        Parameters
        ----------
        values : array_like, shape (n_events, n_features)
            Network inputs; NaN, or ``sentinel`` if given, marks a missing value.
        labels : array_like of int, shape (n_events,), optional
            Classes from 0; ``UNLABELLED`` when left out.
        features : FeatureSpace or iterable of Feature or str, optional
            Column descriptions; ``x0``, ``x1`` … when left out.
        weights : array_like, shape (n_events,), optional
            Event weights; 1 when left out.
        sentinel : float, optional
            Value that stands for "missing" in ``values`` and is handed back to the network.
        dataset : str or sequence of str
            Process name, common or per event.
        **fields
            Any further field of the table: ``regions``, ``shape_variations``, …

        Returns
        -------
        EventTable
            The table; arrays are copied only where they must be changed.

        Raises
        ------
        ValueError
            If shapes disagree, a weight is not finite, or a value lies outside of its feature's range.

        Examples
        --------
        >>> table = EventTable.from_arrays([[1.0, -999.0], [2.0, 3.0]], labels=[0, 1], sentinel=-999.0)
        >>> table.missing.tolist()
        [[False, True], [False, False]]
        """
        matrix = np.array(values, dtype=np.float64, ndmin=2)
        n_events, n_features = matrix.shape
        if sentinel is not None:
            matrix[matrix == sentinel] = np.nan
        names = [f"x{j}" for j in range(n_features)] if features is None else features
        datasets, index = _encode_datasets(dataset, n_events)
        shapes = fields.pop("shape_variations", {})
        if sentinel is not None:
            shapes = {k: np.where(np.asarray(v) == sentinel, np.nan, v) for k, v in shapes.items()}
        unlabelled = np.full(n_events, UNLABELLED)
        return cls(
            features=names if isinstance(names, FeatureSpace) else FeatureSpace(names),
            values=matrix,
            labels=np.array(unlabelled if labels is None else labels).astype(np.int64),
            weights=np.ones(n_events) if weights is None else np.array(weights, dtype=np.float64),
            missing=np.isnan(matrix),
            sentinel=-999.0 if sentinel is None else float(sentinel),
            datasets=datasets,
            dataset_index=index,
            shape_variations={k: np.array(v, dtype=np.float64) for k, v in shapes.items()},
            **fields,
        )

    @classmethod
    def concatenate(cls, tables: Iterable[EventTable]) -> EventTable:
        """
        Join tables of the same features, regions and variations.

        Parameters
        ----------
        tables : iterable of EventTable
            At least one table.

        Returns
        -------
        EventTable
            All events in the order given; datasets are united by name, metadata of the first table is kept.

        Raises
        ------
        ValueError
            If there is no table, or if they differ in features, regions or variations.
        """
        parts = list(tables)
        if not parts:
            msg = "nothing to concatenate: at least one table is needed"
            raise ValueError(msg)
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        for part in parts[1:]:
            _check_joinable(first, part)
        datasets = tuple(dict.fromkeys(name for part in parts for name in part.datasets))
        lookup = [np.array([datasets.index(name) for name in part.datasets]) for part in parts]
        return replace(
            first,
            values=np.concatenate([p.values for p in parts]),
            labels=np.concatenate([p.labels for p in parts]),
            weights=np.concatenate([p.weights for p in parts]),
            missing=np.concatenate([p.missing for p in parts]),
            datasets=datasets,
            dataset_index=np.concatenate([m[p.dataset_index] for m, p in zip(lookup, parts, strict=True)]),
            regions=tuple(
                replace(region, mask=np.concatenate([p.region(region.name).mask for p in parts]))
                for region in first.regions
            ),
            shape_variations=_joined(parts, "shape_variations"),
            weight_variations=_joined(parts, "weight_variations"),
            spectators=_joined(parts, "spectators"),
        )

    @property
    def n_events(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return len(self.features)

    @property
    def network_values(self) -> FloatArray:
        """Values of shape (n_events, n_features) with the sentinel in place of NaN."""
        return np.where(self.missing, self.sentinel, self.values) if self.missing.any() else self.values

    @property
    def constrained(self) -> BoolArray:
        """Events whose marginals and correlations are validated; all if no region is defined."""
        if not self.regions:
            return np.ones(self.n_events, dtype=np.bool_)
        masks = [region.mask for region in self.regions if region.constrained]
        return np.logical_or.reduce(masks) if masks else np.zeros(self.n_events, dtype=np.bool_)

    def column(self, name: str) -> FloatArray:
        """
        Return the values of one feature.

        Parameters
        ----------
        name : str
            Feature name.

        Returns
        -------
        FloatArray, shape (n_events,)
            In the feature's unit, NaN where missing.
        """
        return self.values[:, self.features.index(name)]

    def region(self, name: str) -> Region:
        """
        Return a region by name.

        Parameters
        ----------
        name : str
            Region name.

        Returns
        -------
        Region
            The region.

        Raises
        ------
        ValueError
            If there is no region of that name.
        """
        for region in self.regions:
            if region.name == name:
                return region
        known = ", ".join(r.name for r in self.regions) or "none"
        msg = f"no region named {name!r}; known are {known}"
        raise ValueError(msg)

    def dataset_mask(self, name: str) -> BoolArray:
        """
        Mark the events of one process.

        Parameters
        ----------
        name : str
            Dataset name.

        Returns
        -------
        BoolArray, shape (n_events,)
            True for its events.
        """
        if name not in self.datasets:
            msg = f"no dataset named {name!r}; known are {', '.join(self.datasets)}"
            raise ValueError(msg)
        return np.asarray(self.dataset_index == self.datasets.index(name))

    def select(self, mask: NDArray[Any]) -> EventTable:
        """
        Return some of the events.

        Parameters
        ----------
        mask : array of bool, shape (n_events,), or of int
            Selection along the event axis.

        Returns
        -------
        EventTable
            The chosen events with all their columns.
        """
        return replace(
            self,
            values=self.values[mask],
            labels=self.labels[mask],
            weights=self.weights[mask],
            missing=self.missing[mask],
            dataset_index=self.dataset_index[mask],
            regions=tuple(replace(r, mask=r.mask[mask]) for r in self.regions),
            shape_variations={k: v[mask] for k, v in self.shape_variations.items()},
            weight_variations={k: v[mask] for k, v in self.weight_variations.items()},
            spectators={k: v[mask] for k, v in self.spectators.items()},
        )

    def with_values(self, values: FloatArray) -> EventTable:
        """
        Return the same events with other feature values.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            New values; NaN exactly where a value is missing.

        Returns
        -------
        EventTable
            A table without shape variations, which belong to the old values.
        """
        return replace(self, values=np.array(values, dtype=np.float64), shape_variations={})

    def variation(self, name: str) -> EventTable:
        """
        Return the events under one systematic variation.

        Parameters
        ----------
        name : str
            Key of ``shape_variations`` or of ``weight_variations``, or ``nominal``.

        Returns
        -------
        EventTable
            Nominal table with the varied values or weights.

        Raises
        ------
        ValueError
            If there is no variation of that name.
        """
        if name == "nominal":
            return self
        if name in self.shape_variations:
            values = self.shape_variations[name]
            return replace(self, values=values, missing=np.isnan(values), shape_variations={})
        if name in self.weight_variations:
            return replace(self, weights=self.weight_variations[name])
        known = ", ".join([*self.shape_variations, *self.weight_variations]) or "none"
        msg = f"no variation named {name!r}; known are {known}"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleCut:
    """
    The one-feature threshold that separates two classes best.

    Attributes
    ----------
    feature : str
        Name of the feature.
    threshold : float
        In the feature's unit; events at or above it are on the upper side.
    signal_above : bool
        Whether class 1 is the upper side.
    accuracy : float
        Weighted fraction of events that the cut classifies correctly.
    """

    feature: str
    threshold: float
    signal_above: bool
    accuracy: float


def best_single_cut(table: EventTable) -> SingleCut:
    """
    Find the feature and threshold that classify best with a single cut.

    This is how the CONSERVAttack paper (arXiv:2603.13970, sec. 5) defines its
    control region: the background side of this cut.

    Parameters
    ----------
    table : EventTable
        Events with labels 0 and 1.  Missing values fail every cut.

    Returns
    -------
    SingleCut
        Of equally good cuts, the one of the first feature and lowest threshold.

    Raises
    ------
    ValueError
        If the labels are not 0 and 1.

    Examples
    --------
    >>> table = EventTable.from_arrays([[0.1], [0.2], [0.8], [0.9]], labels=[0, 0, 1, 1])
    >>> best_single_cut(table).accuracy
    1.0
    """
    if set(np.unique(table.labels)) != {0, 1}:
        msg = f"best_single_cut needs labels 0 and 1, found {sorted(set(table.labels.tolist()))}"
        raise ValueError(msg)
    cuts = [cut for feature in table.features for cut in _cuts_on(table, feature.name)]
    if not cuts:
        msg = "no feature has two distinct values, so no cut exists"
        raise ValueError(msg)
    return max(cuts, key=lambda cut: round(cut.accuracy, 12))


def _cuts_on(table: EventTable, name: str) -> list[SingleCut]:
    """Best cut on one feature for signal above and for signal below."""
    column = np.nan_to_num(table.column(name), nan=-np.inf)
    order = np.argsort(column, kind="stable")
    ordered, weights = column[order], table.weights[order]
    signed = np.where(table.labels[order] == 1, weights, -weights)
    starts = 1 + np.flatnonzero(ordered[1:] != ordered[:-1])
    if not len(starts):
        return []
    signal = weights[table.labels[order] == 1].sum()
    above = (signal - np.cumsum(signed)[starts - 1]) / weights.sum()
    cuts = []
    for accuracy, signal_above in ((above, True), (1.0 - above, False)):
        best = int(np.argmax(accuracy))
        low, high = ordered[starts[best] - 1], ordered[starts[best]]
        threshold = 0.5 * (low + high) if np.isfinite(low) else high
        cuts.append(
            SingleCut(
                feature=name, threshold=float(threshold), signal_above=signal_above, accuracy=float(accuracy[best])
            )
        )
    return cuts


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _nan_to(array: FloatArray, value: float) -> FloatArray:
    return np.where(np.isnan(array), value, array)


def _encode_datasets(dataset: str | Sequence[str] | NDArray[Any], n_events: int) -> tuple[tuple[str, ...], IntArray]:
    if isinstance(dataset, str):
        return (dataset,), np.zeros(n_events, dtype=np.int64)
    names, index = np.unique(np.asarray(dataset, dtype=np.str_), return_inverse=True)
    return tuple(str(n) for n in names), index.astype(np.int64)


def _check_shapes(table: EventTable) -> None:
    if table.values.ndim != 2 or table.values.shape[1] != len(table.features):
        msg = (
            f"values have shape {table.values.shape}, expected (n_events, {len(table.features)}) for the given features"
        )
        raise ValueError(msg)
    n = table.values.shape[0]
    if table.dataset_index.shape != (n,):
        object.__setattr__(table, "dataset_index", np.zeros(n, dtype=np.int64))
    columns: dict[str, tuple[int, ...]] = {
        "labels": table.labels.shape,
        "weights": table.weights.shape,
        **{f"region {r.name!r}": r.mask.shape for r in table.regions},
        **{f"weight variation {k!r}": np.shape(v) for k, v in table.weight_variations.items()},
        **{f"spectator {k!r}": np.shape(v)[:1] for k, v in table.spectators.items()},
    }
    for name, shape in columns.items():
        if shape != (n,):
            msg = f"{name} has shape {shape}, expected ({n},): one entry per event"
            raise ValueError(msg)
    matrices = {"missing": table.missing, **{f"shape variation {k!r}": v for k, v in table.shape_variations.items()}}
    for name, matrix in matrices.items():
        if np.shape(matrix) != table.values.shape:
            msg = f"{name} has shape {np.shape(matrix)}, expected {table.values.shape}: one entry per event and feature"
            raise ValueError(msg)
    region_names = [r.name for r in table.regions]
    if len(set(region_names)) != len(region_names):
        msg = f"region names must be unique, got {', '.join(region_names)}"
        raise ValueError(msg)


def _check_content(table: EventTable) -> None:
    bad = ~np.isfinite(table.weights)
    if bad.any():
        msg = (
            f"{int(bad.sum())} event weights are not finite, first at event {int(np.argmax(bad))}; drop or repair them"
        )
        raise ValueError(msg)
    if (table.labels < UNLABELLED).any():
        msg = f"labels must be classes from 0 or {UNLABELLED} for unlabelled, found {int(table.labels.min())}"
        raise ValueError(msg)
    if not np.array_equal(np.isnan(table.values), table.missing):
        msg = "values must be NaN exactly where missing is True; build tables with EventTable.from_arrays"
        raise ValueError(msg)
    outside = (table.values < table.features.lower) | (table.values > table.features.upper)
    outside |= np.isinf(table.values)
    if outside.any():
        event, j = np.argwhere(outside)[0]
        feature = table.features[int(j)]
        msg = (
            f"feature {feature.name!r} of event {event} is {table.values[event, j]} {feature.unit}, outside of its range "
            f"[{feature.lower}, {feature.upper}] ({int(outside[:, j].sum())} such events); widen the range, "
            "declare the value missing, or drop the events"
        )
        raise ValueError(msg)
    for region in table.regions:
        for name in region.cuts:
            table.features.index(name)


def _check_joinable(first: EventTable, other: EventTable) -> None:
    for what, a, b in (
        ("features", first.features.names, other.features.names),
        ("regions", tuple(r.name for r in first.regions), tuple(r.name for r in other.regions)),
        ("shape variations", tuple(sorted(first.shape_variations)), tuple(sorted(other.shape_variations))),
        ("weight variations", tuple(sorted(first.weight_variations)), tuple(sorted(other.weight_variations))),
        ("spectators", tuple(sorted(first.spectators)), tuple(sorted(other.spectators))),
        ("sentinels", (first.sentinel,), (other.sentinel,)),
    ):
        if a != b:
            msg = f"tables to concatenate must share their {what}: {a} and {b}"
            raise ValueError(msg)


def _joined(parts: list[EventTable], name: str) -> dict[str, NDArray[Any]]:
    return {key: np.concatenate([getattr(p, name)[key] for p in parts]) for key in getattr(parts[0], name)}
