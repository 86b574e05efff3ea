# SPDX-License-Identifier: BSD-3-Clause
"""
Where a study takes its events from.

Flat ROOT, Parquet and CSV files; or what a coffea run has left: a file of ``coffea.util.save`` with the output of a
``TableProcessor``, a ``PartitionProcessor`` or an ``AttackProcessor``, or the folder that a
``PartitionProcessor`` filled.  Anything else is refused with what to do instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from coffea.util import load

from hepfool._formula import Formula
from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable, Region
from hepfool.events._columns import numbers_of
from hepfool.features import FeatureSpace
from hepfool.identity import file_digest
from hepfool.io._layout import Layout
from hepfool.io._partitions import Partitions, open_partitions
from hepfool.io.tables import read_table
from hepfool.study._plan import EventsConfiguration
from hepfool.typing import BoolArray, FloatArray

_MANIFEST: Final = "manifest.json"
_ACCEPTED: Final = (
    "coffea_output takes a file of coffea.util.save with the output of a TableProcessor, a PartitionProcessor or an "
    "AttackProcessor, or the folder of a PartitionProcessor"
)
_FLAT: Final = "is a flat file; name it under files, with features and label"
#: What to do instead, by the end of the file's name.
_REPAIRS: Final = {
    **dict.fromkeys((".root", ".parquet", ".csv", ".gz"), _FLAT),
    ".zip": "holds histograms and sums, from which no event can be attacked; run a TableProcessor on the same fileset",
    ".npz": "holds arrays without their meaning; make a table of them with EventTable.from_arrays, and pass it to Study.run, or "
    "write it with hepfool.io.write_partitions",
}


def read_events(events: EventsConfiguration | None) -> EventTable:
    """Read simulation, and data, which have no label."""
    if events is None:
        msg = "the configuration names no events; add events, or pass a table"
        raise ValueError(msg)
    if events.coffea_output is not None:
        return _from_output(events.coffea_output)
    nominal, *others = readings(events)
    simulated = _with_varied(read_table(nominal.files, **nominal.options), others, events)
    if not events.data_files:
        return _with_regions(simulated, events)
    data = read_table(others[-1].files, **others[-1].options)
    # Data are what they are under every variation.
    data = replace(
        data,
        shape_variations=dict.fromkeys(simulated.shape_variations, data.values),
        weight_variations=dict.fromkeys(simulated.weight_variations, data.weights),
    )
    return EventTable.concatenate([_with_regions(table, events) for table in (simulated, data)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    Flat files that are read alike.

    Attributes
    ----------
    name : str
        ``simulation``, a variation, or ``data``.
    files : tuple of Path
        Names or patterns.
    options : mapping
        Of :func:`hepfool.io.tables.read_table`.
    """

    name: str
    files: tuple[Path, ...]
    options: Mapping[str, Any]

    def sources(self, available: Iterable[str]) -> list[str]:
        """List the columns that are read."""
        given = self.options
        layout = {name: given[name] for name in ("features", "weight", "columns", "variations")}
        label = given.get("label")
        return Layout.of(**layout, available=available).sources(
            [*([] if label is None else [label]), *given["spectators"]]
        )


def readings(events: EventsConfiguration) -> list[Reading]:
    """Say what is read of flat files."""
    features = FeatureSpace(feature.feature() for feature in events.features)
    cut = [name for region in events.regions.values() for name in region.cuts if name not in features.names]
    spectators = tuple(dict.fromkeys((*events.spectators, *cut)))
    replacing = [c for columns in events.variations.values() for given in columns.values() for c in _listed(given)]
    named = {*features.names, *spectators, *replacing, events.weight}
    unused = [name for name in events.columns if name not in named]
    if unused:
        msg = (
            f"column={unused[0]} has no effect: it is not a feature, weight, spectator, variation or cut; leave it out"
        )
        raise ValueError(msg)
    simulated: dict[str, Any] = {
        **{name: getattr(events, name) for name in ("tree", "missing_value", "allow_missing", "label", "classes")},
        **{name: getattr(events, name) for name in ("weight", "columns", "variations")},
        "features": features,
        "spectators": spectators,
    }
    alone = {**simulated, "columns": _used(events, {*features.names, *spectators, events.weight}), "variations": {}}
    data = {
        **{name: value for name, value in alone.items() if name not in {"label", "classes"}},
        "columns": _used(events, {*features.names, *spectators}),
        "weight": None,
        "dataset": "data",
    }
    found = [Reading(name="simulation", files=events.files, options=simulated)]
    found += [Reading(name=name, files=files, options=alone) for name, files in events.variation_files.items()]
    return [*found, Reading(name="data", files=events.data_files, options=data)] if events.data_files else found


def _listed(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given


def _used(events: EventsConfiguration, names: set[str | None]) -> dict[str, str]:
    return {name: formula for name, formula in events.columns.items() if name in names}


def _with_varied(nominal: EventTable, others: Sequence[Reading], events: EventsConfiguration) -> EventTable:
    """Add the variations that stand in files of their own, which hold the same events in the same order."""
    shapes, weights = dict(nominal.shape_variations), dict(nominal.weight_variations)
    for reading in (other for other in others if other.name in events.variation_files):
        table = read_table(reading.files, **reading.options)
        _check_same_events(reading.name, nominal, table, events.spectators)
        moved, weighted = (
            not np.array_equal(getattr(nominal, what), getattr(table, what), equal_nan=True)
            for what in ("values", "weights")
        )
        if moved and weighted:
            msg = f"variation_files: {reading.name} has other features and other weights; give each in a variation of its own"
            raise ValueError(msg)
        (weights if weighted else shapes)[reading.name] = table.weights if weighted else table.values
    return replace(nominal, shape_variations=shapes, weight_variations=weights)


def _check_same_events(name: str, nominal: EventTable, varied: EventTable, spectators: Iterable[str]) -> None:
    columns = {"label": (nominal.labels, varied.labels)}
    columns |= {column: (nominal.spectators[column], varied.spectators[column]) for column in spectators}
    for column, (first, second) in columns.items():
        if not np.array_equal(first, second):
            differ = f"{len(second)} events, not {len(first)}" if len(first) != len(second) else f"another {column}"
            msg = (
                f"variation_files: {name} holds {differ}; write the events of the nominal selection, in the same order"
            )
            raise ValueError(msg)


def output_digest(path: Path) -> str:
    """Fingerprint of a coffea output."""
    return file_digest(_manifest(path) if path.is_dir() else path)


def _manifest(folder: Path) -> Path:
    path = folder / _MANIFEST
    if not path.is_file():
        msg = f"{folder} is no folder of a PartitionProcessor, it has no {_MANIFEST}; name flat files under files. {_ACCEPTED}"
        raise ValueError(msg)
    return path


def _from_output(path: Path) -> EventTable:
    if path.is_dir():
        _manifest(path)
        return _from_folder(path)
    if path.suffix.lower() in _REPAIRS:
        msg = f"{path} {_REPAIRS[path.suffix.lower()]}. {_ACCEPTED}"
        raise ValueError(msg)
    output = _loaded(path)
    found = output if isinstance(output, Mapping) else {}
    table, partitions, result = (found.get(key) for key in ("table", "partitions", "result"))
    if isinstance(table, EventTable):
        return table
    if isinstance(partitions, Partitions):
        return partitions.read()
    if isinstance(result, AttackResult):
        return result.nominal
    held = f"a mapping of {', '.join(map(repr, found))}" if found else f"a {type(output).__name__}"
    msg = f"{path} holds no events but {held}. {_ACCEPTED}"
    raise ValueError(msg)


def _from_folder(path: Path) -> EventTable:
    try:
        return open_partitions(path).read()
    except ValueError as error:
        if "need functions" not in str(error):
            raise
        msg = f"{error}; in Python: Study.from_yaml(...).run(table=open_partitions({str(path)!r}, like=...).read())"
        raise ValueError(msg) from error


def _loaded(path: Path) -> Any:
    try:
        return load(path)
    except Exception as error:
        # A damaged file can fail anywhere, with any error.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        msg = f"{path} cannot be read as a coffea output ({reason}). {_ACCEPTED}"
        raise ValueError(msg) from error


@dataclass(frozen=True, slots=True)
class _Selection:
    """Cuts on features, and on what is computed from features alone."""

    features: tuple[str, ...]
    cuts: tuple[tuple[str | Formula, float, float], ...]

    def __call__(self, values: FloatArray) -> BoolArray:
        inside = np.ones(len(values), dtype=np.bool_)
        for what, lower, upper in self.cuts:
            names = (what,) if isinstance(what, str) else what.inputs
            columns = [values[:, self.features.index(name)] for name in names]
            column = columns[0] if isinstance(what, str) else what(*columns)
            inside &= (column >= lower) & (column < upper)
        return inside


def _with_regions(table: EventTable, events: EventsConfiguration) -> EventTable:
    return replace(table, regions=tuple(_region(name, table, events) for name in events.regions))


def _region(name: str, table: EventTable, events: EventsConfiguration) -> Region:
    region, features = events.regions[name], table.features.names
    bounds = {
        column: (-np.inf if lower is None else lower, np.inf if upper is None else upper)
        for column, (lower, upper) in region.cuts.items()
    }
    mask = np.ones(table.n_events, dtype=np.bool_)
    cuts, computed = {}, []
    for column, (lower, upper) in bounds.items():
        values = table.column(column) if column in features else numbers_of(column, table.spectators[column])
        mask &= (values >= lower) & (values < upper)
        if column in features:
            cuts[column] = (lower, upper)
        elif column in events.columns:
            computed += _moving(name, column, (lower, upper), Formula(events.columns[column]), features)
    every = (*((column, *cut) for column, cut in cuts.items()), *computed)
    return Region(name, mask, region.role, cuts, _Selection(features, every) if computed else None)


def _moving(
    region: str, column: str, cut: tuple[float, float], formula: Formula, features: tuple[str, ...]
) -> list[tuple[str | Formula, float, float]]:
    """Keep a cut on what an attack could change; one that follows from a feature and something else cannot be followed."""
    others = [name for name in formula.inputs if name not in features]
    if len(others) == len(formula.inputs):
        return []
    if others:
        msg = f"regions: {region} cuts on {column!r}, which takes features and {others[0]!r}, so that nothing can tell when an attacked event leaves; make {others[0]} a feature of kind fixed, or cut on something else"
        raise ValueError(msg)
    return [(formula, *cut)]
