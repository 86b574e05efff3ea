# SPDX-License-Identifier: BSD-3-Clause
"""
Where a workflow takes its events from.

Flat ROOT, Parquet and CSV files; or what a coffea run has left: a file of ``coffea.util.save`` with the output of a
``TableProcessor``, a ``PartitionProcessor`` or an ``AttackProcessor``, or the folder that a
``PartitionProcessor`` filled.  Anything else is refused with what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from coffea.util import load

from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable, Region
from hepfool.features import FeatureSpace
from hepfool.identity import file_digest
from hepfool.io.partitions import Partitions, open_partitions
from hepfool.io.tables import read_table
from hepfool.workflow.configuration import EventsConfiguration

__all__ = ["output_digest", "read_events"]

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
    ".npz": "holds arrays without their meaning; make a table of them with EventTable.from_arrays, and pass it to run_workflow, or "
    "write it with hepfool.io.partitions.write_partitions",
}


def read_events(events: EventsConfiguration | None) -> EventTable:
    """
    Read simulation and data.

    Parameters
    ----------
    events : EventsConfiguration, optional
        Where they are.

    Returns
    -------
    EventTable
        Events without a label are data.

    Raises
    ------
    ValueError
        If nothing is named, or it holds no events.
    IncompleteInputError
        If a partition is lost or damaged.
    """
    if events is None:
        msg = "the configuration names no events; add events, or pass a table"
        raise ValueError(msg)
    if events.coffea_output is not None:
        return _from_output(events.coffea_output)
    features = FeatureSpace(feature.feature() for feature in events.features)
    layout: dict[str, Any] = {
        "features": features,
        "tree": events.tree,
        "weight": events.weight,
        "missing_value": events.missing_value,
    }
    tables = [read_table(events.files, label=events.label, classes=events.classes, **layout)]
    if events.data_files:
        tables.append(read_table(events.data_files, dataset="data", **{**layout, "weight": None}))
    return EventTable.concatenate([_with_regions(table, events) for table in tables])


def output_digest(path: Path) -> str:
    """
    Fingerprint of a coffea output.

    Parameters
    ----------
    path : Path
        File, or folder of partitions, whose manifest holds the digests of its files.

    Returns
    -------
    str
        SHA-256.

    Raises
    ------
    ValueError
        If a folder has no manifest.
    """
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
        msg = f"{error}; in Python: run_workflow(configuration, table=open_partitions({str(path)!r}, like=...).read())"
        raise ValueError(msg) from error


def _loaded(path: Path) -> Any:
    try:
        return load(path)
    except Exception as error:
        # A damaged file can fail anywhere, with any error.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        msg = f"{path} cannot be read as a coffea output ({reason}). {_ACCEPTED}"
        raise ValueError(msg) from error


def _with_regions(table: EventTable, events: EventsConfiguration) -> EventTable:
    regions = []
    for name, region in events.regions.items():
        cuts = {
            feature: (-np.inf if lower is None else lower, np.inf if upper is None else upper)
            for feature, (lower, upper) in region.cuts.items()
        }
        inside = [(table.column(f) >= lower) & (table.column(f) < upper) for f, (lower, upper) in cuts.items()]
        regions.append(Region(name, np.logical_and.reduce(inside), region.role, cuts))
    return replace(table, regions=tuple(regions))
