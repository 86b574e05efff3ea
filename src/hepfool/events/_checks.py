# SPDX-License-Identifier: BSD-3-Clause
"""Checks of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepfool.events._labels import UNLABELLED
from hepfool.features import Feature
from hepfool.typing import FloatArray

if TYPE_CHECKING:
    from hepfool.events._table import EventTable


#: Beyond this, squares and sums of squares are no longer numbers.
_LARGEST = 1e150
#: Of an angle in degrees, with room for rounding.
_HALF_TURN = 180.1


def check_shapes(table: EventTable) -> None:
    """Refuse fields whose shapes disagree."""
    if table.values.ndim != 2 or table.values.shape[1] != len(table.features):
        turned = table.values.shape[:1] == (len(table.features),)
        msg = (
            f"values have shape {table.values.shape}, expected (n_events, {len(table.features)}) for the given features"
            f"{'; transpose them' if turned else ''}"
        )
        raise ValueError(msg)
    n = table.values.shape[0]
    if not table.dataset_index.size:
        object.__setattr__(table, "dataset_index", np.zeros(n, dtype=np.int64))
    _refuse_masks_and_floats(table)
    columns: dict[str, tuple[int, ...]] = {
        "labels": table.labels.shape,
        "weights": table.weights.shape,
        "dataset_index": table.dataset_index.shape,
        **{f"region {r.name!r}": r.mask.shape for r in table.regions},
        **{f"weight variation {k!r}": np.shape(v) for k, v in table.weight_variations.items()},
        **{f"spectator {k!r}": np.shape(v)[:1] for k, v in table.spectators.items()},
    }
    for name, shape in columns.items():
        if shape != (n,):
            msg = f"{name} has shape {shape}, expected ({n},): one entry per event"
            hint = {(n, 1): "; use ravel()", (table.values.shape[1],): "; are the values transposed?"}.get(shape, "")
            raise ValueError(msg + hint)
    matrices = {"missing": table.missing, **{f"shape variation {k!r}": v for k, v in table.shape_variations.items()}}
    for name, matrix in matrices.items():
        if np.shape(matrix) != table.values.shape:
            msg = f"{name} has shape {np.shape(matrix)}, expected {table.values.shape}: one entry per event and feature"
            raise ValueError(msg)
    both = sorted(
        {*table.shape_variations} & {*table.weight_variations}
        | {*table.shape_variations, *table.weight_variations} & {"nominal"}
    )
    if both:
        msg = f"{both[0]!r} names the nominal events, or both a shape and a weight variation; give each variation a name of its own"
        raise ValueError(msg)
    region_names = [r.name for r in table.regions]
    if len(set(region_names)) != len(region_names):
        msg = f"region names must be unique, got {', '.join(region_names)}"
        raise ValueError(msg)


def _refuse_masks_and_floats(table: EventTable) -> None:
    columns = {name: getattr(table, name) for name in ("values", "labels", "weights", "missing", "dataset_index")}
    masked = [name for name, column in columns.items() if isinstance(column, np.ma.MaskedArray)]
    if masked:
        msg = f"{masked[0]} is a masked array, whose mask would be lost; build tables with EventTable.from_arrays"
        raise ValueError(msg)
    for name in ("labels", "dataset_index"):
        if getattr(table, name).dtype.kind not in "iu":
            msg = (
                f"{name} are {getattr(table, name).dtype}, not whole numbers; build tables with EventTable.from_arrays"
            )
            raise ValueError(msg)
    if table.dataset_index.size and not 0 <= table.dataset_index.min() <= table.dataset_index.max() < len(
        table.datasets
    ):
        msg = f"dataset_index leads beyond the {len(table.datasets)} datasets; it counts from 0"
        raise ValueError(msg)


def check_content(table: EventTable) -> None:
    """Refuse values that cannot be."""
    bad = ~np.isfinite(table.weights)
    if bad.any():
        msg = (
            f"{int(bad.sum())} event weights are not finite, first at event {int(np.argmax(bad))}; drop or repair them"
        )
        raise ValueError(msg)
    for name, varied in table.weight_variations.items():
        if not np.isfinite(varied).all():
            msg = f"weight variation {name!r} is not finite at event {int(np.argmin(np.isfinite(varied)))}; repair or drop it"
            raise ValueError(msg)
    if (table.labels < UNLABELLED).any():
        msg = f"labels must be classes from 0 or {UNLABELLED} for unlabelled, found {int(table.labels.min())}"
        raise ValueError(msg)
    if not np.array_equal(np.isnan(table.values), table.missing):
        msg = "values must be NaN exactly where missing is True; build tables with EventTable.from_arrays"
        raise ValueError(msg)
    outside = (table.values < table.features.lower) | (table.values > table.features.upper)
    outside |= np.abs(table.values) > _LARGEST
    if outside.any():
        event, j = np.argwhere(outside)[0]
        raise ValueError(_outside(table.features[int(j)], table.values[:, j], int(event), int(outside[:, j].sum())))
    whole = table.features.of_kind("integer")
    if whole.any() and not ((table.values == np.round(table.values)) | table.missing)[:, whole].all():
        fractions = whole & ((table.values != np.round(table.values)) & ~table.missing).any(axis=0)
        name = table.features.names[int(np.argmax(fractions))]
        msg = (
            f"feature {name!r} is declared an integer, but holds fractions; declare it continuous, or undo its scaling"
        )
        raise ValueError(msg)
    for region in table.regions:
        for name in region.cuts:
            table.features.index(name)


def check_joinable(first: EventTable, other: EventTable) -> None:
    """Refuse to join tables of different content."""
    for what, a, b in (
        ("features", first.features.names, other.features.names),
        ("regions", tuple(r.name for r in first.regions), tuple(r.name for r in other.regions)),
        ("shape variations", tuple(sorted(first.shape_variations)), tuple(sorted(other.shape_variations))),
        ("weight variations", tuple(sorted(first.weight_variations)), tuple(sorted(other.weight_variations))),
        ("spectators", tuple(sorted(first.spectators)), tuple(sorted(other.spectators))),
        # As text, because NaN differs from NaN.
        ("sentinels", (repr(first.sentinel),), (repr(other.sentinel),)),
    ):
        if a != b:
            msg = f"tables to concatenate must share their {what}: {a} and {b}"
            raise ValueError(msg)


def _outside(feature: Feature, column: FloatArray, event: int, n_outside: int) -> str:
    """Say why a value cannot be, and what it probably is."""
    value = column[event]
    if not np.isfinite(value):
        return (
            f"feature {feature.name!r} of event {event} is {value} ({n_outside} events are not finite or as large); "
            "declare such values missing, or drop the events"
        )
    return (
        f"feature {feature.name!r} of event {event} is {value} {feature.unit}, outside of its range "
        f"[{feature.lower}, {feature.upper}] ({n_outside} such events); {_repair(feature, column)}"
    )


def _repair(feature: Feature, column: FloatArray) -> str:
    low, high = np.nanmin(column), np.nanmax(column)
    if feature.kind == "angle" and (feature.lower, feature.upper) == (-np.pi, np.pi):
        if low >= 0.0 and high <= 2.0 * np.pi + 1e-3:
            return "an angle from 0 to 2 pi needs Feature(kind='angle', lower=0, upper=2*math.pi)"
        if low >= -_HALF_TURN and high <= 2.0 * _HALF_TURN:
            ends = "lower=-180, upper=180" if low < 0.0 else "lower=0, upper=360"
            return f"if it is in degrees, convert it to radians or declare Feature(kind='angle', unit='deg', {ends})"
    return "widen the range, declare the value missing, or drop the events"
