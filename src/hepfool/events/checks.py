# SPDX-License-Identifier: BSD-3-Clause
"""What makes a table valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hepfool.events.table import EventTable

__all__ = ["UNLABELLED", "check_content", "check_joinable", "check_shapes"]

#: Label of events whose class is unknown, such as collision data.
UNLABELLED = -1

#: Beyond this, squares and sums of squares are no longer numbers.
_LARGEST = 1e150


def check_shapes(table: EventTable) -> None:
    """Refuse fields whose shapes disagree."""
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


def check_content(table: EventTable) -> None:
    """Refuse values that cannot be."""
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
    outside |= np.abs(table.values) > _LARGEST
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


def check_joinable(first: EventTable, other: EventTable) -> None:
    """Refuse to join tables of different content."""
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
