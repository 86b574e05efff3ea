# SPDX-License-Identifier: BSD-3-Clause
"""Event tables to and from columns with names: data frames, awkward records, files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hepfool.events._frames import Named, pick

if TYPE_CHECKING:
    from hepfool.events._table import EventTable


_TAKEN_AXES = ("dataset", "region", "variation", "weight", "sample", "threads")


def free_name(name: str, taken: Iterable[str]) -> str:
    """Append underscores until a name is free."""
    others = set(taken)
    while name in others:
        name += "_"
    return name


def axis_name(feature: str) -> str:
    """Name the axis of a feature in a histogram that also has the axes dataset, region and variation."""
    return free_name(feature, _TAKEN_AXES)


def column_names(table: EventTable, further: Iterable[str] = ()) -> dict[str, str]:
    """Name the columns beside features and spectators; one that would take a name of these ends in an underscore."""
    taken = [*table.features.names, *table.spectators]
    own = ["label", "weight", "dataset", *(f"in_{region.name}" for region in table.regions), *further]
    repeated = sorted({name for group in (taken, own) for name in group if group.count(name) > 1})
    if repeated:
        msg = f"two columns would be called {', '.join(repeated)}; rename the spectator, the region or the extra column"
        raise ValueError(msg)
    names: dict[str, str] = {}
    for name in own:
        names[name] = free_name(name, [*taken, *names.values(), *(other for other in own if other != name)])
    return names


def _variation_names(table: EventTable) -> list[str]:
    shapes = [f"{feature}:{name}" for name in table.shape_variations for feature in table.features.names]
    return [*(f"weight:{name}" for name in table.weight_variations), *shapes]


def columns_of(table: EventTable) -> dict[str, NDArray[Any]]:
    """Lay out everything but the descriptions: one array per column, NaN where a value is missing."""
    names = column_names(table, _variation_names(table))
    features = table.features.names
    return {
        **dict(zip(features, table.values.T, strict=True)),
        names["label"]: table.labels,
        names["weight"]: table.weights,
        names["dataset"]: np.array(table.datasets)[table.dataset_index],
        **{names[f"in_{region.name}"]: region.mask for region in table.regions},
        **table.spectators,
        **{names[f"weight:{name}"]: column for name, column in table.weight_variations.items()},
        **{
            names[f"{feature}:{name}"]: column
            for name, matrix in table.shape_variations.items()
            for feature, column in zip(features, matrix.T, strict=True)
        },
    }


def columns_like(columns: Named, like: EventTable) -> dict[str, Any]:
    """Arguments of ``from_arrays`` from columns that were laid out by a table of the same analysis."""
    names = column_names(like, _variation_names(like))

    def column(name: str) -> Any:
        return pick(columns, [names.get(name, name)])[0]

    return {
        "values": Named(zip(like.features.names, pick(columns, like.features.names), strict=True)),
        "features": like.features,
        "labels": column("label"),
        "weights": column("weight"),
        "dataset": column("dataset"),
        "sentinel": like.sentinel,
        "regions": tuple(replace(region, mask=column(f"in_{region.name}")) for region in like.regions),
        "spectators": {name: pick(columns, [name])[0] for name in like.spectators},
        "weight_variations": {name: column(f"weight:{name}") for name in like.weight_variations},
        "shape_variations": {
            name: Named({feature: column(f"{feature}:{name}") for feature in like.features.names})
            for name in like.shape_variations
        },
    }


def split_columns(
    columns: Named,
    features: Iterable[str] | None,
    label: str | None,
    weight: str | None,
    spectators: Sequence[str],
) -> Mapping[str, Any]:
    """Arguments of ``from_arrays``: the features are all columns without another role where none is named."""
    used = {name for name in (label, weight, *spectators) if name is not None}
    names = [name for name in columns if name not in used] if features is None else list(features)
    repeated = [name for name in columns.repeated if name in names]
    chosen = Named(zip(names, pick(columns, names), strict=True))
    chosen.repeated = frozenset(repeated)
    return {
        "values": chosen,
        "labels": None if label is None else pick(columns, [label])[0],
        "weights": None if weight is None else pick(columns, [weight])[0],
        "spectators": dict(zip(spectators, pick(columns, spectators), strict=True)),
    }
