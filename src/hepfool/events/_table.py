# SPDX-License-Identifier: BSD-3-Clause
"""The table of events."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepfool._ranges import check_reals
from hepfool._shown import Displayed, Shown, listed
from hepfool.events._arrays import frozen
from hepfool.events._checks import check_content, check_joinable, check_shapes
from hepfool.events._columns import complete, joined, plain, spectator, to_double
from hepfool.events._exchange import columns_like, columns_of, split_columns
from hepfool.events._frames import check_order, matrix_of, named_columns
from hepfool.events._labels import UNLABELLED, classes_of
from hepfool.events._region import Region
from hepfool.events._remarks import remark_on_labels, remark_on_sentinels, remark_on_weights
from hepfool.events._rounding import put_at_limits
from hepfool.features import Feature, FeatureSpace
from hepfool.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EventTable(Displayed):
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
        What the network expects in place of a missing value, such as -999; NaN if nothing was named.
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
    sentinel: float = math.nan
    datasets: tuple[str, ...] = ("events",)
    dataset_index: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    regions: tuple[Region, ...] = ()
    shape_variations: Mapping[str, FloatArray] = field(default_factory=dict)
    weight_variations: Mapping[str, FloatArray] = field(default_factory=dict)
    spectators: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and content, then freeze every array."""
        convert: dict[str, Callable[[str, Any], NDArray[Any]]] = {
            "shape_variations": _varied_values,
            "weight_variations": lambda key, column: complete(f"weight variation {key!r}", column),
            "spectators": spectator,
        }
        for name, function in convert.items():
            arrays = {key: frozen(function(key, column)) for key, column in getattr(self, name).items()}
            object.__setattr__(self, name, arrays)
        check_shapes(self)
        check_content(self)
        for name in ("values", "labels", "weights", "missing", "dataset_index"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    def _shown(self) -> Shown:
        names = [*self.shape_variations, *self.weight_variations]
        masks = {name: self.dataset_mask(name) for name in self.datasets}
        return Shown(
            f"EventTable of {self.n_events} events with {self.n_features} features",
            ("dataset", "events", "yield", *(f"{region.name} ({region.role})" for region in self.regions)),
            [
                (
                    name,
                    str(mask.sum()),
                    f"{self.weights[mask].sum():.6g}",
                    *(str((mask & r.mask).sum()) for r in self.regions),
                )
                for name, mask in masks.items()
            ],
            (
                f"features: {listed(self.features.names)}",
                f"variations: {listed(names)}" if names else "",
                f"missing values: {self.missing.mean():.1%}" if self.missing.any() else "",
            ),
        )

    @classmethod
    def from_arrays(
        cls,
        values: Any,
        *,
        labels: Any = None,
        features: FeatureSpace | Iterable[Feature | str] | None = None,
        weights: Any = None,
        sentinel: float | None = None,
        dataset: str | Sequence[str] | NDArray[Any] = "events",
        classes: Mapping[Any, int] | None = None,
        **fields: Any,
    ) -> EventTable:
        """
        Build a table from arrays, by position, or from columns that have names, by these.

        Parameters
        ----------
        values : array_like, shape (n_events, n_features), or table
            Network inputs.  The columns of a data frame, awkward record array, structured array or dict are taken by
            name, in any order.  NaN, None, NA, a masked entry, or ``sentinel`` marks a missing value.
        labels : array_like, shape (n_events,), optional
            Classes: whole numbers from 0, booleans (1 is True), or whatever ``classes`` explains; ``UNLABELLED`` when
            left out.  Exactly -1 and +1, fractions, and text without ``classes`` are refused.
        features : FeatureSpace or iterable of Feature or str, optional
            Column descriptions; when left out the table's own names, or ``x0``, ``x1`` … for a plain array.
        weights : array_like, shape (n_events,), optional
            Event weights; 1 when left out.  None may be missing.
        sentinel : float, optional
            Value that stands for "missing" in ``values``, compared in their own precision, and is handed back to the
            network; when left out the network gets NaN.
        dataset : str or sequence of str
            Process name, common or per event.
        classes : mapping, optional
            Class of each value of ``labels``, such as ``{"signal": 1, "background": 0}`` or ``{-1: 0, 1: 1}``.
        **fields
            Any further field of the table: ``regions``, ``shape_variations``, …

        Returns
        -------
        EventTable
            The table.  Values that exceed a limit by no more than the rounding of their precision are put at it.

        Raises
        ------
        ValueError
            If shapes, names or the indices of pandas objects disagree, a column holds no numbers or such that double
            precision would round, a weight or label is missing, or a value lies outside of its feature's range.

        Warns
        -----
        UserWarning
            If a feature ends at a usual number for "missing" that was not named, or equals the label in every event.

        Examples
        --------
        >>> table = EventTable.from_arrays([[1.0, -999.0], [2.0, 3.0]], labels=[0, 1], sentinel=-999.0)
        >>> table.missing.tolist()
        [[False, True], [False, False]]
        >>> columns = {"eta": [0.5, 1.5], "pt": [30.0, 40.0]}
        >>> EventTable.from_arrays(columns, features=["pt", "eta"]).values.tolist()
        [[30.0, 0.5], [40.0, 1.5]]
        """
        return _built(
            cls,
            values,
            labels=labels,
            features=features,
            weights=weights,
            sentinel=sentinel,
            dataset=dataset,
            classes=classes,
            fields=fields,
        )

    @classmethod
    def from_dataframe(
        cls,
        frame: Any,
        *,
        features: FeatureSpace | Iterable[Feature | str] | None = None,
        label: str | None = None,
        weight: str | None = None,
        spectators: Sequence[str] = (),
        like: EventTable | None = None,
        **options: Any,
    ) -> EventTable:
        """
        Build a table from a data frame of pandas, by the names of its columns.

        Parameters
        ----------
        frame : pandas.DataFrame
            One row per event; the order of its columns does not matter.
        features : FeatureSpace or iterable of Feature or str, optional
            Columns that enter the network, in its order; all without another role when left out.
        label, weight : str, optional
            Columns of the true class and of the event weight.
        spectators : sequence of str
            Columns that travel along, such as ``run`` and ``event``.
        like : EventTable, optional
            Table of the analysis whose :meth:`to_dataframe` wrote the frame: all columns have their role there.
        **options
            As for :meth:`from_arrays`: ``sentinel``, ``classes``, ``dataset``, ``regions``, …

        Returns
        -------
        EventTable
            In the order of the rows.

        Raises
        ------
        ValueError
            If a column is absent (with names that come near) or there twice, or as in :meth:`from_arrays`.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"signal": [True, False], "eta": [0.5, None], "pt": [30.0, 40.0]})
        >>> table = EventTable.from_dataframe(frame, features=["pt", "eta"], label="signal")
        >>> table.labels.tolist(), table.missing.tolist()
        ([1, 0], [[False, False], [False, True]])
        """
        return _from_named(cls, frame, features, (label, weight, spectators), like, options)

    @classmethod
    def from_awkward(
        cls,
        array: Any,
        *,
        features: FeatureSpace | Iterable[Feature | str] | None = None,
        label: str | None = None,
        weight: str | None = None,
        spectators: Sequence[str] = (),
        like: EventTable | None = None,
        **options: Any,
    ) -> EventTable:
        """
        Build a table from an array of records, by the names of its fields.

        Parameters
        ----------
        array : awkward.Array of records, shape (n_events,)
            One number per event and field; None where there is none.
        features, label, weight, spectators, like, **options
            As for :meth:`from_dataframe`, with fields for columns.

        Returns
        -------
        EventTable
            In the order of the records.

        Raises
        ------
        ValueError
            If a field is absent or holds lists, or as in :meth:`from_arrays`.

        Examples
        --------
        >>> import awkward as ak
        >>> array = ak.Array([{"eta": 0.5, "pt": 30.0}, {"eta": None, "pt": 40.0}])
        >>> EventTable.from_awkward(array, features=["pt", "eta"]).missing.tolist()
        [[False, False], [False, True]]
        """
        return _from_named(cls, array, features, (label, weight, spectators), like, options)

    def to_dataframe(self) -> Any:
        """
        Lay out the events as a data frame of pandas.

        Returns
        -------
        pandas.DataFrame
            Features (NaN where missing), ``label``, ``weight``, ``dataset`` (its name), ``in_<region>``, spectators,
            ``weight:<variation>`` and ``<feature>:<variation>``.  A column that would take the name of a feature or
            spectator ends in an underscore.  Units, ranges and the sentinel are not part of it: to come back,
            pass the table as ``like`` to :meth:`from_dataframe`.
        """
        import pandas as pd  # noqa: PLC0415 - takes as long to import as all of the rest

        return pd.DataFrame(columns_of(self))

    def to_awkward(self) -> Any:
        """
        Lay out the events as records.

        Returns
        -------
        awkward.Array of records, shape (n_events,)
            Fields as the columns of :meth:`to_dataframe`; NaN where missing.
        """
        import awkward as ak  # noqa: PLC0415 - only those who want it wait for it

        return ak.zip(
            {
                name: ak.Array(column.tolist() if column.dtype.kind in "US" else column)
                for name, column in columns_of(self).items()
            }
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
        table = replace(
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
        remark_on_labels(table, stacklevel=2)
        return table

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

        Returns
        -------
        FloatArray, shape (n_events,)
            In the feature's unit, NaN where missing.
        """
        return self.values[:, self.features.index(name)]

    def region(self, name: str) -> Region:
        """
        Return a region by name.

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
        mask = self._positions(mask)
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

    def _positions(self, mask: Any) -> NDArray[Any]:
        """Refuse what selects no events: other types and lengths, and flags that are not booleans."""
        chosen = np.asarray(mask)
        flags = chosen.shape == (self.n_events,) and self.n_events > 2 and bool(np.isin(chosen, (0, 1)).all())
        whole, boolean = chosen.dtype.kind in "iu" or not chosen.size, chosen.dtype.kind == "b"
        if chosen.ndim != 1 or (boolean and len(chosen) != self.n_events) or not (boolean or (whole and not flags)):
            msg = (
                f"events are selected by {self.n_events} booleans or by their positions, got {chosen.dtype} of shape {chosen.shape}"
                f"{'; convert flags of 0 and 1 by astype(bool)' if flags else ''}"
            )
            raise ValueError(msg)
        return chosen if boolean else chosen.astype(np.int64)

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
        matrix = np.array(values, dtype=np.float64) if type(values) is np.ndarray else self._matrix(values)
        return replace(self, values=matrix, shape_variations={})

    def _matrix(self, values: Any) -> FloatArray:
        return matrix_of(values, self.features.names)[0]

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


def _built(
    cls: type[EventTable], values: Any, features: FeatureSpace | Iterable[Feature | str] | None, **given: Any
) -> EventTable:
    """Convert everything to plain arrays."""
    sentinel, fields = given["sentinel"], given["fields"]
    if sentinel is not None:
        check_reals(sentinel=sentinel)
    if given["labels"] is None and given["classes"] is not None:
        msg = "classes= says what labels mean, but there are no labels; give them, or leave classes out"
        raise ValueError(msg)
    _refuse_unknown(fields)
    shapes = fields.pop("shape_variations", {})
    check_order(
        values=values, **{k: v for k, v in {**given, **fields, **shapes}.items() if k not in {"fields", "classes"}}
    )
    space = features if isinstance(features, FeatureSpace) or features is None else FeatureSpace(features)
    matrix, names = matrix_of(values, None if space is None else space.names, sentinel)
    space = FeatureSpace(names) if space is None else space
    n_events = len(matrix)
    if matrix.shape[1] == len(space):
        matrix = put_at_limits(matrix, space)
    datasets, index = _encode_datasets(given["dataset"], n_events)
    labels, weights = given["labels"], given["weights"]
    table = cls(
        features=space,
        values=matrix,
        labels=np.full(n_events, UNLABELLED) if labels is None else classes_of(labels, classes=given["classes"]),
        weights=np.ones(n_events) if weights is None else np.array(complete("weights", weights)),
        missing=np.isnan(matrix),
        sentinel=math.nan if sentinel is None else float(sentinel),
        datasets=datasets,
        dataset_index=index,
        shape_variations={k: put_at_limits(matrix_of(v, space.names, sentinel)[0], space) for k, v in shapes.items()},
        **fields,
    )
    if sentinel is None:
        remark_on_sentinels(matrix, space, stacklevel=3)
    if given["weights"] is not None:
        remark_on_weights(table.weights, sentinel, stacklevel=3)
    remark_on_labels(table, stacklevel=3)
    return table


def _refuse_unknown(fields: Mapping[str, Any]) -> None:
    known = [
        item.name
        for item in dataclass_fields(EventTable)
        if item.name not in {"values", "missing", "dataset_index", "datasets"}
    ]
    for name in fields:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, "dataset", "classes"], n=1)
            msg = f"a table has no field {name!r}{f'; did you mean {close[0]}?' if close else ''}"
            raise TypeError(msg)


def _from_named(
    cls: type[EventTable],
    values: Any,
    features: FeatureSpace | Iterable[Feature | str] | None,
    roles: tuple[str | None, str | None, Sequence[str]],
    like: EventTable | None,
    options: Mapping[str, Any],
) -> EventTable:
    """Build a table from columns that have names."""
    columns = named_columns(values)
    if columns is None:
        msg = f"{type(values).__name__} has no names for its columns; use EventTable.from_arrays, which takes them by position"
        raise ValueError(msg)
    if like is not None:
        if features is not None or any(roles):
            msg = "like= gives every column its role; leave features, label, weight and spectators out"
            raise ValueError(msg)
        return cls.from_arrays(**{**columns_like(columns, like), **options})
    space = features if isinstance(features, FeatureSpace) or features is None else FeatureSpace(features)
    given = split_columns(columns, None if space is None else space.names, *roles)
    return cls.from_arrays(features=space, **{**given, **options})


def _encode_datasets(dataset: str | Sequence[str] | NDArray[Any], n_events: int) -> tuple[tuple[str, ...], IntArray]:
    if isinstance(dataset, str):
        return (dataset,), np.zeros(n_events, dtype=np.int64)
    found, missing = plain("dataset", dataset)
    if missing.any() or found.shape != (n_events,):
        msg = (
            f"dataset has shape {found.shape} and {int(missing.sum())} missing entries, expected ({n_events},) names: "
            "one for all events, or one per event"
        )
        raise ValueError(msg)
    names, index = np.unique(found.astype(np.str_), return_inverse=True)
    return tuple(str(n) for n in names) or ("events",), index.astype(np.int64)


def _joined(parts: list[EventTable], name: str) -> dict[str, NDArray[Any]]:
    kind = name.replace("_", " ").removesuffix("s")
    return {key: joined(f"{kind} {key!r}", [getattr(p, name)[key] for p in parts]) for key in getattr(parts[0], name)}


def _varied_values(name: str, values: Any) -> FloatArray:
    array, missing = plain(f"shape variation {name!r}", values)
    return to_double(f"shape variation {name!r}", array, missing)
