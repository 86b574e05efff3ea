# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.processors import _handles as handles
from hepfool.processors._handles import Handle


class Counted:
    """Counts how often it is unpickled."""

    built = 0

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __setstate__(self, state: dict[str, Any]) -> None:
        type(self).built += 1
        self.__dict__.update(state)


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    handles._cache.clear()
    monkeypatch.setattr(Counted, "built", 0)


@pytest.mark.parametrize("size", [10, 1000])
def test_an_object_is_built_once_per_process(tmp_path: Path, size: int) -> None:
    value = Counted(b"x" * size)
    pickled = pickle.dumps(Handle.of(value, folder=tmp_path, large=500))
    found = [pickle.loads(pickled).get() for _ in range(5)]  # as for five chunks
    assert Counted.built == 1
    assert found[0].content == value.content
    assert all(one is found[0] for one in found)


def test_only_large_states_go_through_the_folder(tmp_path: Path) -> None:
    small, large = np.zeros(10), np.zeros(10_000)
    assert isinstance(Handle.of(small, folder=tmp_path, large=1000).where, bytes)
    handle = Handle.of(large, folder=tmp_path, large=1000)
    assert [str(tmp_path / f"{handle.digest}.pickle")] == [str(path) for path in tmp_path.iterdir()] == [handle.where]
    assert len(pickle.dumps(handle)) < 1000 < handle.size
    np.testing.assert_array_equal(handle.get(), large)
    assert isinstance(Handle.of(large, large=1000).where, bytes)  # no folder is shared


def test_a_changed_or_absent_file_is_never_used_nor_an_oserror(tmp_path: Path) -> None:
    handle = Handle.of(np.zeros(1000), folder=tmp_path, large=10)
    path = Path(str(handle.where))
    path.write_bytes(pickle.dumps("something else"))
    with pytest.raises(RuntimeError, match="its content has changed"):
        handle.get()
    path.unlink()
    with pytest.raises(RuntimeError, match=r"FileNotFoundError.*put it into a folder that all workers share") as caught:
        handle.get()
    # coffea follows causes: skipbadfiles would take an OSError for a bad input file.
    assert caught.value.__cause__ is None


def test_the_cache_is_bounded() -> None:
    for k in range(20):
        Handle.of(np.full(3, k)).get()
    assert len(handles._cache) == handles._KEPT
