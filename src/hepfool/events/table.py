# SPDX-License-Identifier: BSD-3-Clause
"""The table of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepfool.events.arrays import frozen
from hepfool.events.checks import UNLABELLED, check_content, check_joinable, check_shapes
from hepfool.events.region import Region
from hepfool.features import Feature, FeatureSpace
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["EventTable"]


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
        check_shapes(self)
        check_content(self)
        for name in ("values", "labels", "weights", "missing", "dataset_index"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        for name in ("shape_variations", "weight_variations", "spectators"):
            arrays = {key: frozen(np.asarray(value)) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, arrays)

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
            check_joinable(first, part)
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


def _encode_datasets(dataset: str | Sequence[str] | NDArray[Any], n_events: int) -> tuple[tuple[str, ...], IntArray]:
    if isinstance(dataset, str):
        return (dataset,), np.zeros(n_events, dtype=np.int64)
    names, index = np.unique(np.asarray(dataset, dtype=np.str_), return_inverse=True)
    return tuple(str(n) for n in names), index.astype(np.int64)


def _joined(parts: list[EventTable], name: str) -> dict[str, NDArray[Any]]:
    return {key: np.concatenate([getattr(p, name)[key] for p in parts]) for key in getattr(parts[0], name)}
