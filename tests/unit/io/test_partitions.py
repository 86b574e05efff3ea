# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.events import EventTable, Region
from hepfool.exceptions import IncompleteInputError
from hepfool.features import Derived, Feature
from hepfool.io import Partitions, open_partitions, write_partitions
from hepfool.io._partitions import PartitionFile
from tests.specimens import events


def full(n_events: int = 40, seed: int = 1, dataset: str = "tt") -> EventTable:
    table = events(n_events, seed, negative=0.2)
    varied = np.where(table.missing, np.nan, table.values * 1.01)
    return replace(
        table,
        datasets=(dataset,),
        shape_variations={"jes/up": varied},
        weight_variations={"pileup_up": table.weights * 1.1},
        spectators={
            "event": np.arange(n_events) + (1 << 53),
            "kind": np.array(["a", "bc"])[np.arange(n_events) % 2],
            "kept": table.weights > 1,
        },
    )


def same(first: EventTable, second: EventTable) -> None:
    assert first.features.names == second.features.names
    assert (first.datasets, first.sentinel) == (second.datasets, second.sentinel)
    for name in ("values", "labels", "weights", "missing", "dataset_index"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype
    for name in ("shape_variations", "weight_variations", "spectators"):
        assert list(getattr(first, name)) == list(getattr(second, name))
        for key, array in getattr(first, name).items():
            np.testing.assert_array_equal(getattr(second, name)[key], array)
            assert getattr(second, name)[key].dtype == array.dtype
    for a, b in zip(first.regions, second.regions, strict=True):
        assert (a.name, a.role, a.cuts) == (b.name, b.role, b.cuts)
        np.testing.assert_array_equal(a.mask, b.mask)


def test_tables_read_back_to_the_last_bit(tmp_path: Path) -> None:
    parts = [full(40, 1), full(25, 2, "zz"), full(40, 1).select(np.zeros(40, dtype=np.bool_))]
    written = write_partitions(tmp_path, parts)
    back = open_partitions(tmp_path)
    assert back.n_events == 65
    assert [file.n_events for file in back.files] == [40, 25, 0]
    assert back.files == written.files
    same(back.read(), EventTable.concatenate(parts[:2]))
    same(back.read(back.files[1:2]), parts[1])
    for feature, expected in zip(back.like.features, parts[0].features, strict=True):
        assert feature == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "manifest.json",
        *(f"part-{k:05d}.parquet" for k in range(3)),
    ]


def _derived(values: np.ndarray[Any, Any]) -> EventTable:
    features = [Feature(name="a"), Feature(name="b", derived=Derived(["a"], np.square))]
    return EventTable.from_arrays(
        np.stack([values, values**2], axis=1),
        features=features,
        regions=(Region("r", values > 0, select=lambda v: np.asarray(v[:, 0] > 0)),),
    )


def test_functions_are_given_not_stored(tmp_path: Path) -> None:
    table = _derived(np.array([-1.0, 2.0]))
    write_partitions(tmp_path, [table])
    with pytest.raises(ValueError, match="b, r need functions that no file holds"):
        open_partitions(tmp_path)
    back = open_partitions(tmp_path, like=table).read()
    assert back.features["b"].derived is table.features["b"].derived
    assert back.regions[0].select is table.regions[0].select
    with pytest.raises(ValueError, match="other features, regions or variations"):
        open_partitions(tmp_path, like=full())


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    table = replace(full(), spectators={"p4": np.zeros((40, 4))})
    with pytest.raises(ValueError, match="spectator/p4 is float64 of shape"):
        write_partitions(tmp_path, [table])
    with pytest.raises(ValueError, match="no table to write"):
        write_partitions(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["lost", "cut", "changed", "swapped"])
def test_files_that_are_not_what_was_written_are_named(tmp_path: Path, damage: str) -> None:
    partitions = write_partitions(tmp_path, [full(40, 1), full(40, 2)])
    first, second = (tmp_path / file.name for file in partitions.files)
    content = first.read_bytes()
    if damage == "lost":
        first.unlink()
    elif damage == "cut":
        first.write_bytes(content[:-100])
    elif damage == "swapped":
        second.replace(first)
    else:
        first.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    with pytest.raises(IncompleteInputError, match=f"{first.name} is .*write the partitions again"):
        partitions.read()


MANIFEST_DAMAGE: dict[str, Any] = {
    "other format": lambda m: m | {"format": "x"},
    "newer": lambda m: m | {"version": 2},
    "no files": lambda m: {k: v for k, v in m.items() if k != "files"},
    "a list": lambda m: [m],
    "outside": lambda m: m | {"files": [m["files"][0] | {"name": "../other.parquet"}]},
    "absolute": lambda m: m | {"files": [m["files"][0] | {"name": "/etc/passwd"}]},
    "hidden": lambda m: m | {"files": [m["files"][0] | {"name": "..parquet"}]},
    "null byte": lambda m: m | {"files": [m["files"][0] | {"name": "a\0.parquet"}]},
    "absurd count": lambda m: m | {"files": [m["files"][0] | {"n_events": -5}]},
    "not a count": lambda m: m | {"files": [m["files"][0] | {"n_events": 1e300}]},
    "no number of events": lambda m: m | {"files": [{k: v for k, v in m["files"][0].items() if k != "n_events"}]},
    "half an event": lambda m: m | {"files": [m["files"][0] | {"n_events": 40.5}]},
    "a flag as count": lambda m: m | {"files": [m["files"][0] | {"n_events": True}]},
    "twice": lambda m: m | {"files": m["files"] * 2},
    "twice by another name": lambda m: m | {"files": [m["files"][0], m["files"][0] | {"name": "copy.parquet"}]},
    "absent digest": lambda m: m | {"files": [{k: v for k, v in m["files"][0].items() if k != "sha256"}]},
    "a dataset twice": lambda m: m | {"files": [m["files"][0] | {"datasets": ["tt", "tt"]}]},
    "no digest": lambda m: m | {"files": [m["files"][0] | {"sha256": ""}]},
    "no dataset": lambda m: m | {"files": [m["files"][0] | {"datasets": []}]},
    "unknown key": lambda m: m | {"files": [m["files"][0] | {"run": "rm"}]},
    "no features": lambda m: m | {"table": m["table"] | {"features": []}},
    "feature of text": lambda m: m | {"table": m["table"] | {"features": ["pt"]}},
    "odd range": lambda m: m | {"table": m["table"] | {"features": [m["table"]["features"][0] | {"range": [2, 1]}]}},
    "odd role": lambda m: m | {"table": m["table"] | {"regions": [{"name": "a", "role": "x", "cuts": {}}]}},
    "odd sentinel": lambda m: m | {"table": m["table"] | {"sentinel": {}}},
}


@pytest.mark.faults
@pytest.mark.parametrize("damage", MANIFEST_DAMAGE.values(), ids=MANIFEST_DAMAGE)
def test_a_hostile_manifest_is_refused(tmp_path: Path, damage: Any) -> None:
    write_partitions(tmp_path, [full()])
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=r"not a valid manifest.*write the partitions again"):
        open_partitions(tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize(
    "content", ["", "{", "[" * 100_000, "\udcff".encode("utf-8", "surrogateescape"), "NaN", "9" * 5000]
)
def test_a_manifest_that_is_not_json_is_refused(tmp_path: Path, content: str | bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match="not a valid manifest"):
        open_partitions(tmp_path)


@pytest.mark.faults
def test_files_of_other_content_than_the_manifest_says_are_refused(tmp_path: Path) -> None:
    partitions = write_partitions(tmp_path, [full(40)])
    fewer = replace(partitions, files=(replace(partitions.files[0], n_events=41),))
    other = replace(partitions, like=_derived(np.zeros(0)))
    for wrong in (fewer, other):
        with pytest.raises(ValueError, match="does not hold the columns of its manifest"):
            wrong.read()


@pytest.mark.faults
@pytest.mark.parametrize("told", [0, 39, 41])
def test_another_number_of_events_than_the_file_holds_is_refused(tmp_path: Path, told: int) -> None:
    write_partitions(tmp_path, [full(40), full(25, seed=2)])
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][0]["n_events"] = told
    path.write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"it has 40 events .*, the manifest says {told} of"):
        open_partitions(tmp_path).read()


def test_a_link_to_a_partition_does_not_double_its_events(tmp_path: Path) -> None:
    partitions = write_partitions(tmp_path, [full()])
    (tmp_path / "link.parquet").symlink_to(tmp_path / partitions.files[0].name)
    with pytest.raises(ValueError, match=r"link\.parquet holds the same events as part-00000\.parquet"):
        replace(partitions, files=(*partitions.files, replace(partitions.files[0], name="link.parquet")))


def test_several_empty_partitions_are_not_copies(tmp_path: Path) -> None:
    partitions = write_partitions(tmp_path, [full(0), full(40), full(0)])
    assert open_partitions(tmp_path).read().n_events == partitions.n_events == 40


def test_a_manifest_names_the_folder_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_partitions(tmp_path / "a", [full()])
    (tmp_path / "a").rename(tmp_path / "b")
    assert open_partitions(tmp_path / "b").read().n_events == 40
    with pytest.raises(FileNotFoundError):
        open_partitions(tmp_path / "a")


def test_infinite_limits_survive(tmp_path: Path) -> None:
    write_partitions(tmp_path, [full()])
    feature = open_partitions(tmp_path).like.features["pt"]
    assert (feature.lower, feature.upper) == (0.0, math.inf)


def test_partitions_need_sound_files() -> None:
    with pytest.raises(ValueError, match="does not describe a partition"):
        PartitionFile(name="x.root", n_events=1, datasets=("a",), sha256="0" * 64)
    assert isinstance(Partitions(folder=Path(), files=(), like=full(1)).read(), EventTable)
