# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.exceptions import UnreadableFileError
from hepfool.io import WorkFolder, key_of, read_store
from hepfool.io._finished import Finished, kept_or_none
from hepfool.io._store import Store, write_store
from hepfool.io._verified import read_verified_json, write_verified_json


def kept(path: Path, **options: Any) -> Finished:
    return Finished(path=path, key={"seed": "7"}, what="the scan", **options)


def read_kept(path: Path) -> bytes:
    """Content, or an error where it is said to be done again."""

    def refuse(text: str) -> None:
        raise ValueError(text)

    found = kept(path, own=True, tell=refuse).load(bytes)
    assert found is not None
    return found


WRITERS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "finished work": (lambda path: kept(path).save(b"a\n" * 20), read_kept),
    "json": (lambda path: write_verified_json(path, {"seed": 7, "x": [0.5, None]}), read_verified_json),
    "store": (lambda path: write_store(path, Store(arrays={"x": np.arange(5.0)}, metadata={"seed": 7})), read_store),
}


@pytest.mark.faults
@pytest.mark.parametrize("kind", WRITERS)
def test_every_changed_bit_is_found(kind: str, tmp_path: Path) -> None:
    write, read = WRITERS[kind]
    write(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    unseen = []
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "b").write_bytes(damaged)
        try:
            read(tmp_path / "b")
        except ValueError:
            continue
        unseen.append(bit)
    assert unseen == []
    assert len(whole) > 80


@pytest.mark.faults
@pytest.mark.parametrize("kind", WRITERS)
def test_every_lost_end_is_found(kind: str, tmp_path: Path) -> None:
    write, read = WRITERS[kind]
    write(tmp_path / "a")
    whole = (tmp_path / "a").read_bytes()
    for damaged in (*(whole[:n] for n in range(len(whole))), whole + b"\n", whole + whole):
        (tmp_path / "b").write_bytes(damaged)
        with pytest.raises(ValueError, match="b is"):
            read(tmp_path / "b")
    read(tmp_path / "a")


def test_json_is_read_by_any_program(tmp_path: Path) -> None:
    write_verified_json(tmp_path / "a.json", {"seed": 7})
    content = json.loads((tmp_path / "a.json").read_text())
    assert content.pop("sha256")
    assert content == read_verified_json(tmp_path / "a.json") == {"seed": 7}


def test_an_archive_of_the_first_version_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("hepfool.io._store._FORMAT", {"format": "hepfool-store", "version": 1})
        write_store(tmp_path / "a.zip", Store(metadata={"seed": 7}))
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content[:-64] + bytes(64))
    assert read_store(tmp_path / "a.zip").metadata == {"seed": 7}


def test_damage_is_said_and_the_work_is_done_again(tmp_path: Path) -> None:
    scan = kept(tmp_path / "a")
    assert scan.load(bytes) is None
    assert scan.save(b"1")
    assert scan.load(bytes) == b"1"
    scan.path.write_bytes(b"")
    with pytest.warns(UserWarning, match="a is damaged or was written by another version; the scan is repeated"):
        assert scan.load(bytes) is None
    scan.save(b"no number")
    with pytest.warns(UserWarning, match="invalid literal .*; the scan is repeated"):
        assert scan.load(int) is None


def test_work_of_another_run_is_refused_by_name(tmp_path: Path) -> None:
    kept(tmp_path / "a").save(b"1")
    for key in ({"seed": "8"}, {}, {"seed": "7", "network": "b"}):
        (name,) = {"seed", *key} if key.get("seed") != "7" else {"network"}
        with pytest.raises(ValueError, match=f"a belongs to another run: {name} differ; delete it to start anew"):
            replace(kept(tmp_path / "a"), key=key).load(bytes)


def test_a_file_of_somebody_else_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    scan = kept(tmp_path / "a")
    scan.path.write_text('{"seed": 7}')
    with pytest.raises(ValueError, match="a holds no finished work of this version of hepfool; delete it, or name"):
        scan.load(bytes)
    with pytest.raises(UnreadableFileError, match="is damaged or was written by another version"):
        read_verified_json(scan.path)


def test_a_folder_lists_finished_parts_only(tmp_path: Path) -> None:
    folder, key = WorkFolder(tmp_path / "work"), key_of("attack", 7)
    assert folder.record("attack") is None
    folder.prepare()
    part, scratch = folder.part("attack", key), folder.scratch("attack", key, "-test")
    assert part.save(b"1", seconds=2.5)
    assert folder.record("attack") == folder.record("attack", key) == {"seconds": 2.5}
    assert folder.record("attack", key_of("attack", 8)) is None
    assert folder.part("attack", key_of("attack", 8)).load(bytes) is None
    scratch.touch()
    folder.tidy()
    assert scratch.exists()
    folder.tidy("attack", key)
    assert [path.name for path in folder.path.iterdir()] == [part.path.name]


def test_a_detector_is_done_again_where_it_is_damaged(tmp_path: Path) -> None:
    def damaged(_: Path) -> bytes:
        msg = "damaged"
        raise ValueError(msg)

    assert kept_or_none(damaged, tmp_path / "absent", what="the training") is None
    with pytest.warns(UserWarning, match="damaged; the training is repeated"):
        assert kept_or_none(damaged, tmp_path, what="the training") is None
