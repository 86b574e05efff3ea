# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
from numpy.typing import NDArray

from hepfool.io import read_store
from hepfool.io._store import Store, write_store


@pytest.fixture
def store(rng: np.random.Generator) -> Store:
    weighted: hist.Hist[Any] = (
        hist.Hist.new.StrCat(["nominal", "adversarial"], name="variation")
        .Var([0.0, 1.0, 3.0], name="tau_pt", label=r"$\tau$ $p_\mathrm{T}$ [GeV]")
        .Weight()
    )
    weighted.fill(variation="adversarial", tau_pt=rng.uniform(-1, 4, 100), weight=rng.normal(size=100))
    return Store(
        histograms={"tau_pt": weighted, "plain.1": hist.Hist.new.Reg(5, -1, 1, name="x").Int64().fill(x=[0.0, 0.5])},
        arrays={"fooled": np.array([True, False]), "names": np.array(["a", "bc"]), "score": rng.normal(size=(3, 2))},
        metadata={"seed": 7, "nested": {"list": [1.5, None, "text"]}},
    )


def test_an_archive_reads_back(store: Store, tmp_path: Path) -> None:
    write_store(tmp_path / "a.zip", store)
    back = read_store(tmp_path / "a.zip")
    assert dict(back.metadata) == dict(store.metadata)
    assert list(back.histograms) == list(store.histograms)
    for name, histogram in store.histograms.items():
        assert back.histograms[name] == histogram
        assert back.histograms[name].axes[-1].label == histogram.axes[-1].label
    for name, array in store.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
        assert back.arrays[name].dtype == array.dtype


@pytest.mark.parametrize("name", ["../out", "/etc/a", "a/b", ".hidden", "", "a\\b"])
def test_names_cannot_lead_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot name an entry"):
        write_store(tmp_path / "a.zip", Store(arrays={name: np.zeros(1)}))
    assert list(tmp_path.iterdir()) == []


def test_only_plain_data_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="plain JSON"):
        write_store(tmp_path / "a.zip", Store(metadata={"x": float("nan")}))
    with pytest.raises(ValueError, match="plain JSON"):
        write_store(tmp_path / "a.zip", Store(metadata={"x": np.zeros(1)}))
    with pytest.raises(ValueError, match="allow_pickle"):
        write_store(tmp_path / "a.zip", Store(arrays={"x": np.array([{}])}))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_archive_is_kept(store: Store, tmp_path: Path) -> None:
    write_store(tmp_path / "a.zip", store)
    with pytest.raises(FileExistsError):
        write_store(tmp_path / "a.zip", Store())
    write_store(tmp_path / "a.zip", Store(), force=True)
    assert not read_store(tmp_path / "a.zip").histograms


def test_size_is_limited_before_anything_is_unpacked(tmp_path: Path) -> None:
    write_store(tmp_path / "a.zip", Store(arrays={"zeros": np.zeros(10**6)}))
    assert (tmp_path / "a.zip").stat().st_size < 10**5
    with pytest.raises(ValueError, match="more than the allowed 1000000"):
        read_store(tmp_path / "a.zip", max_bytes=10**6)


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("a pickled object was run",))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        ("../escape.npy", b"", "unexpected entry"),
        ("arrays/../../escape.npy", b"", "unexpected entry"),
        ("/tmp/escape.npy", b"", "unexpected entry"),
        ("arrays/bomb.npy", npy(np.array([Bomb()], dtype=object)), "Python objects"),
        ("histograms/bomb.npy", npy(np.array([Bomb()], dtype=object)), "Python objects"),
        ("arrays/bomb.npy", pickle.dumps(1), "magic"),
        ("arrays/short.npy", npy(np.zeros(1000))[:200], "less than its header says"),
        ("histograms/none.json", b"{}", "uhi_schema"),
        ("histograms/list.json", b"[]", "not a valid hepfool archive"),
    ],
)
def test_harmful_entries_are_refused(entry: str, content: bytes, message: str, tmp_path: Path) -> None:
    write_store(tmp_path / "a.zip", Store())
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr(entry, content)
    with pytest.raises(ValueError, match=message):
        read_store(tmp_path / "a.zip")


@pytest.mark.faults
def test_other_files_are_refused(tmp_path: Path, store: Store) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(ValueError, match="not a zip file"):
        read_store(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as archive:
        archive.writestr("meta.json", '{"format": "other"}')
    with pytest.raises(ValueError, match="does not say"):
        read_store(tmp_path / "foreign.zip")
    write_store(tmp_path / "cut.zip", store)
    (tmp_path / "cut.zip").write_bytes((tmp_path / "cut.zip").read_bytes()[:-50])
    with pytest.raises(ValueError, match="not a valid hepfool archive"):
        read_store(tmp_path / "cut.zip")
    with pytest.raises(FileNotFoundError):
        read_store(tmp_path / "absent.zip")
