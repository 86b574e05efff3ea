# SPDX-License-Identifier: BSD-3-Clause
"""Whatever a file holds, it is read, or refused in one sentence of ours; no code of it is run."""

from __future__ import annotations

import functools
import gzip
import json
import random
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hepfool.events import EventTable
from hepfool.exceptions import IncompleteInputError
from hepfool.io import open_partitions, read_store, read_table, write_partitions, write_table
from hepfool.io._store import Store, write_store

pytestmark = pytest.mark.faults

_COLUMNS = {"features": ["a", "b"], "label": "label", "weight": "weight"}


def _table() -> EventTable:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(30, 2))
    labels = (values[:, 0] > 0).astype(int)
    return EventTable.from_arrays(values, labels=labels, features=["a", "b"], weights=rng.uniform(size=30))


def _csv(path: Path) -> None:
    table = _table()
    rows = [
        f"{a:.4f},{b:.4f},{y},{w:.3f}" for (a, b), y, w in zip(table.values, table.labels, table.weights, strict=True)
    ]
    text = "\n".join(["a,b,label,weight", *rows]).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def _rntuple(path: Path) -> None:
    table = _table()
    columns = {"a": table.values[:, 0], "b": table.values[:, 1], "label": table.labels, "weight": table.weights}
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", columns)


def _store(path: Path) -> None:
    histogram = hist.Hist.new.StrCat(["n", "m"], name="v").Reg(5, 0, 1, name="x").Weight().fill("n", [0.1, 0.5])
    write_store(path, Store(histograms={"h": histogram}, arrays={"a": np.arange(6.0)}, metadata={"k": [1, "two"]}))


def _network(path: Path) -> None:
    from hepfool.models import TorchClassifier, export_program, mlp, save_state

    classifier = TorchClassifier(mlp(2, (4,)), output="logit")
    (export_program if path.suffix == ".pt2" else save_state)(classifier, path)


def _read_network(path: Path) -> Any:
    from hepfool.models import load_torch, mlp

    network = None if path.suffix == ".pt2" else mlp(2, (4,))
    return load_torch(path, network=network).scores(_table().values)


def _events(path: Path) -> Any:
    return read_table(path, **_COLUMNS).values  # type: ignore[arg-type]


def _arrays(path: Path) -> Any:
    return read_store(path).arrays["a"]


#: File name, how to write it, how to read it, number of mutations, whether other numbers are found out.
READERS: dict[str, tuple[str, Callable[[Path], Any], Callable[[Path], Any], int, bool]] = {
    "csv": ("v.csv", _csv, _events, 150, False),
    "csv.gz": ("v.csv.gz", _csv, _events, 150, True),
    "parquet": ("v.parquet", lambda path: write_table(_table(), path), _events, 150, True),
    "tree": ("v.root", lambda path: write_table(_table(), path), _events, 100, False),
    "rntuple": ("v.root", _rntuple, _events, 100, False),
    "store": ("v.zip", _store, _arrays, 150, True),
    "state": ("v.pt", _network, _read_network, 80, True),
    "program": ("v.pt2", _network, _read_network, 30, True),
}


def _mutated(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        i, kind = rng.randrange(len(data)), rng.randrange(6)
        if kind == 0:
            data[i] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[i] = rng.choice([0, 1, 127, 128, 255])
        elif kind == 2:
            data[i : i + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"])
        elif kind == 3:
            del data[i : i + rng.randrange(1, 40)]
        elif kind == 4:
            data[i:i] = data[i : i + rng.randrange(1, 40)]
        elif rng.random() < 0.3:
            del data[i:]
        if not data:
            break
    return bytes(data)


def _tried(read: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """Result of reading, or the error in our words."""
    try:
        return read(), None
    except (ValueError, OSError, IncompleteInputError) as error:
        if "/hepfool/" not in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise
        return None, error


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    file, write, read, n_mutations, checked = READERS[name]
    path = tmp_path / file
    write(path)
    content, expected, rng = path.read_bytes(), read(path), random.Random(20260513)
    refused = 0
    for k in range(n_mutations):
        path.write_bytes(_mutated(content, rng))
        found, error = _tried(lambda: read(path))
        refused += error is not None
        assert error or type(found) is type(expected)
        assert error or not checked or np.array_equal(found, expected), f"mutation {k} gave other numbers unnoticed"
    assert refused > n_mutations / 4


@pytest.mark.filterwarnings("ignore")
def test_damaged_partitions_are_refused(tmp_path: Path) -> None:
    write_partitions(tmp_path, [_table()])
    rng = random.Random(7)
    files = sorted(tmp_path.iterdir())
    assert {path.suffix for path in files} == {".json", ".parquet"}
    for path in files:
        content = path.read_bytes()
        for k in range(100):
            path.write_bytes(_mutated(content, rng))
            found, error = _tried(lambda: open_partitions(tmp_path).read())
            assert error or np.array_equal(found.values, _table().values), f"mutation {k}"
        path.write_bytes(content)


@functools.cache
def _sound_detector() -> dict[str, bytes]:
    import tempfile

    from hepfool.defences import Detector, write_detector
    from hepfool.models import Standardise, TorchClassifier, mlp

    network = mlp(2, (3,), preprocessing=Standardise(np.zeros(2), np.ones(2)))
    detector = Detector(classifier=TorchClassifier(network), threshold=0.5, features=("a", "b"), hidden=(3,))
    with tempfile.TemporaryDirectory() as folder:
        write_detector(detector, Path(folder) / "detector")
        return {path.name: path.read_bytes() for path in (Path(folder) / "detector").iterdir()}


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_damaged_records_of_detectors_are_read_or_refused(tmp_path: Path) -> None:
    from hepfool.defences import read_detector

    for name, content in _sound_detector().items():
        (tmp_path / name).write_bytes(content)
    content, rng, refused = _sound_detector()["detector.json"], random.Random(3), 0
    for _ in range(150):
        (tmp_path / "detector.json").write_bytes(_mutated(content, rng))
        refused += _tried(lambda: read_detector(tmp_path))[1] is not None
    assert refused > 40


@pytest.mark.torch
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"threshold": 2.0}, "threshold: Input should be less than or equal to 1"),
        ({"hidden": [10**9]}, "hidden.0: Input should be less"),
        ({"hidden": None}, "hidden: "),
        ({"features": []}, "features: "),
        ({"more": 1}, "more: Extra inputs"),
    ],
)
def test_absurd_records_of_detectors_are_refused(change: dict[str, Any], rule: str, tmp_path: Path) -> None:
    from hepfool.defences import read_detector

    for name, content in _sound_detector().items():
        (tmp_path / name).write_bytes(content)
    record = json.loads(_sound_detector()["detector.json"]) | change
    (tmp_path / "detector.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=rule):
        read_detector(tmp_path)


def test_text_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "v.csv.gz"
    path.write_bytes(gzip.compress(b"a,b,label,weight\n" + b"0,0,0,0\n" * 400_000))
    monkeypatch.setattr("hepfool.io._columns._LARGE_CSV", 2**20)
    with pytest.raises(ValueError, match=r"v\.csv\.gz unpacks to more than 1048576 bytes"):
        _events(path)


# Sound files of unexpected content

_numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e308, -1e308, 5e-324, 0.0, -0.0, 2.0**63, -999.0]),
    st.integers(-(2**63), 2**63 - 1),
)
_anything = st.one_of(
    st.lists(_numbers.map(float), min_size=12, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.lists(st.text(max_size=6), min_size=12, max_size=12),
    st.lists(st.lists(st.floats(-1, 1), max_size=2), min_size=12, max_size=12),
    st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=12, max_size=12),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=12, max_size=12),
)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=st.fixed_dictionaries({}, optional=dict.fromkeys(["a", "b", "label", "weight"], _anything)))
def test_columns_of_any_content_are_read_or_refused(columns: dict[str, Any], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    sound = {"a": np.arange(12.0), "b": np.arange(12.0) ** 2, "label": np.arange(12) % 2, "weight": np.ones(12)}
    path = tmp_path / "v.parquet"
    pyarrow.parquet.write_table(pa.table({**sound, **columns}), path)
    table, error = _tried(lambda: read_table(path, **_COLUMNS))  # type: ignore[arg-type]
    assert columns or not error
    if not error:
        assert np.isfinite(table.weights).all()
        assert (np.abs(table.values[~table.missing]) < 1e151).all()
        assert ((table.labels >= -1) & (table.labels < 2**53)).all()


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda children: st.one_of(st.lists(children, max_size=3), st.dictionaries(st.text(max_size=8), children)),
    max_leaves=8,
)


@functools.cache
def _sound_manifest() -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_partitions(folder, [_table()])
        return (Path(folder) / "manifest.json").read_text()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_manifest_of_any_content_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    manifest = json.loads(_sound_manifest())
    place: Any = manifest
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(_json)
            break
        place = place[key]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    partitions, error = _tried(lambda: open_partitions(tmp_path))
    assert error or all("/" not in file.name for file in partitions.files)


@pytest.mark.parametrize(
    "change",
    [
        {"bins": 10**12},
        {"bins": 10**9},
        {"bins": -1},
        {"bins": 2.5},
        {"upper": 0.0},
        {"lower": "x"},
        {"type": "none"},
        {"type": "variable", "edges": [3, 1]},
    ],
)
def test_absurd_histograms_are_refused_before_memory_is_taken(change: dict[str, Any], tmp_path: Path) -> None:
    _store(tmp_path / "sound.zip")
    with zipfile.ZipFile(tmp_path / "sound.zip") as sound, zipfile.ZipFile(tmp_path / "absurd.zip", "w") as absurd:
        for name in sound.namelist():
            content = sound.read(name)
            if name == "histograms/h.json":
                described = json.loads(content)
                described["axes"][1] |= change
                content = json.dumps(described).encode()
            absurd.writestr(name, content)
    with pytest.raises(ValueError, match=r"absurd\.zip is not a valid hepfool archive") as refused:
        read_store(tmp_path / "absurd.zip")
    assert change.get("bins", 0) < 10**9 or "regular bins" in str(refused.value)
