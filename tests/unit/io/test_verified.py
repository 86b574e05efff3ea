# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.exceptions import UnreadableFileError
from hepfool.io.store import Store, read_store, write_store
from hepfool.io.verified import (
    belongs_here,
    kept_or_none,
    read_verified,
    read_verified_json,
    write_verified,
    write_verified_json,
)

WRITERS: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "bytes": (lambda path: write_verified(path, b"a\n" * 20), read_verified),
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
        patch.setattr("hepfool.io.store._FORMAT", {"format": "hepfool-store", "version": 1})
        write_store(tmp_path / "a.zip", Store(metadata={"seed": 7}))
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content[:-64] + bytes(64))
    assert read_store(tmp_path / "a.zip").metadata == {"seed": 7}


def test_damage_is_said_and_the_work_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    assert kept_or_none(read_verified, path, what="the scan") is None
    write_verified(path, b"1")
    assert kept_or_none(read_verified, path, what="the scan") == b"1"
    path.write_bytes(b"")
    with pytest.warns(UserWarning, match="a is damaged or was written by another version; the scan is done again"):
        assert kept_or_none(read_verified, path, what="the scan") is None


def test_a_file_of_somebody_else_is_not_taken_for_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert belongs_here(path)
    write_verified_json(path, {"seed": 7})
    path.write_bytes(path.read_bytes()[:-1])
    assert belongs_here(path)
    path.write_text('{"seed": 7}')
    assert not belongs_here(path)
    with pytest.raises(UnreadableFileError, match="is damaged or was written by another version"):
        read_verified_json(path)
