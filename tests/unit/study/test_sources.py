# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coffea.util import save

from hepfool.attacks import Noise, run_attack
from hepfool.events import EventTable
from hepfool.exceptions import IncompleteInputError
from hepfool.identity import table_digest
from hepfool.io import write_partitions
from hepfool.io._store import Store, write_store
from hepfool.study import Study
from hepfool.study import _sources as sources
from hepfool.study._plan import NOT_PICKLED, EventsConfiguration
from hepfool.study._sources import output_digest, read_events
from tests.specimens import SineClassifier, events


@pytest.fixture(scope="module")
def table() -> EventTable:
    return events(1200)


def read(path: Path) -> EventTable:
    return read_events(EventsConfiguration(coffea_output=path, unsafe_pickle=path.suffix == ".coffea"))


def test_every_output_that_holds_events_is_read(table: EventTable, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    partitions = write_partitions(
        tmp_path / "parts", [table.select(np.arange(500)), table.select(np.arange(500, 1200))]
    )
    result = run_attack(Noise(size=0.01), SineClassifier(), table, rng=np.random.default_rng(1))
    outputs: dict[str, Any] = {"table": table, "partitions": partitions, "result": result}
    for name, content in outputs.items():
        save({name: content, "n_events": {}}, tmp_path / f"{name}.coffea")
        assert table_digest(read(tmp_path / f"{name}.coffea")) == table_digest(table)
    assert table_digest(read(tmp_path / "parts")) == table_digest(table)


def test_a_folder_is_another_input_when_its_events_are(table: EventTable, tmp_path: Path) -> None:
    write_partitions(tmp_path, [table])
    first = output_digest(tmp_path)
    assert output_digest(tmp_path) == first
    write_partitions(tmp_path, [table.select(np.arange(1199))])
    assert output_digest(tmp_path) != first
    configuration = Study(output=tmp_path / "out", events=EventsConfiguration(coffea_output=tmp_path))
    assert configuration.steps()[0].name == "events"


@pytest.mark.faults
def test_other_outputs_are_refused_with_what_to_do(table: EventTable, tmp_path: Path) -> None:
    (tmp_path / "broken.coffea").write_bytes(b"broken")
    save({"histograms": {}, "n_events": {}}, tmp_path / "other.coffea")
    save([1.0], tmp_path / "list.coffea")
    write_store(tmp_path / "hepfool.zip", Store(arrays={"values": table.values}))
    np.savez(tmp_path / "table.npz", values=table.values)
    (tmp_path / "flat.root").write_bytes(b"root")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("broken.coffea", r"cannot be read as a coffea output .* coffea_output takes a file of coffea.util.save"),
        ("other.coffea", "holds no events but a mapping of 'histograms', 'n_events'"),
        ("list.coffea", "holds no events but a list"),
        ("hepfool.zip", "holds histograms and sums, .*; run a TableProcessor"),
        ("table.npz", "EventTable.from_arrays"),
        ("flat.root", "is a flat file; name it under files"),
        ("empty", "has no manifest.json"),
    ):
        with pytest.raises(ValueError, match=message):
            read(tmp_path / name)
    with pytest.raises(ValueError, match=r"has no manifest\.json"):
        output_digest(tmp_path / "empty")
    with pytest.raises(ValueError, match="names no events"):
        read_events(None)


def test_a_pickled_output_is_read_only_if_its_writer_is_trusted(table: EventTable, tmp_path: Path) -> None:
    save({"table": table}, tmp_path / "out.coffea")
    with pytest.raises(ValueError, match=r"out.coffea is a pickled file, .* say unsafe_pickle: true if you trust"):
        EventsConfiguration(coffea_output=tmp_path / "out.coffea")
    write_partitions(tmp_path, [table])
    with pytest.raises(ValueError, match="unsafe_pickle is for a coffea_output that is a file"):
        EventsConfiguration(coffea_output=tmp_path, unsafe_pickle=True)
    assert set(sources._REPAIRS) == NOT_PICKLED


@pytest.mark.faults
def test_damaged_partitions_are_named(table: EventTable, tmp_path: Path) -> None:
    write_partitions(tmp_path, [table])
    (path,) = tmp_path.glob("*.parquet")
    path.unlink()
    with pytest.raises(IncompleteInputError, match="is missing"):
        read(tmp_path)


def test_functions_of_an_analysis_are_asked_for(table: EventTable, tmp_path: Path) -> None:
    write_partitions(tmp_path, [table])
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"functions": []', '"functions": ["mt"]'))
    with pytest.raises(ValueError, match=r"mt need functions .*\.run\(table=open_partitions"):
        read(tmp_path)
