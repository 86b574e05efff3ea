# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path

import pytest

from hepfool.io._files import written_whole


def test_a_folder_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with written_whole(target) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("a")
        assert not target.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (target / "a").read_text() == "a"


@pytest.mark.parametrize("before", ["file", "folder"])
def test_force_replaces_what_was_there(before: str, tmp_path: Path) -> None:
    target = tmp_path / "out"
    if before == "folder":
        target.mkdir()
        (target / "old").write_text("old")
    else:
        target.write_text("old")
    with written_whole(target, force=True) as temporary:
        temporary.mkdir()
    assert list(tmp_path.iterdir()) == [target]
    assert list(target.iterdir()) == []


def stop_halfway(target: Path) -> None:
    with written_whole(target, force=True) as temporary:
        temporary.mkdir()
        (temporary / "half").write_text("half")
        msg = "stopped"
        raise RuntimeError(msg)


def test_a_failure_leaves_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(RuntimeError, match="stopped"):
        stop_halfway(target)
    assert list(tmp_path.iterdir()) == [target]
    assert [p.name for p in target.iterdir()] == ["old"]


def test_existing_and_unreachable_paths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with pytest.raises(FileExistsError, match="exists already"), written_whole(tmp_path / "a"):
        pass
    with pytest.raises(FileNotFoundError, match="does not exist"), written_whole(tmp_path / "b" / "c"):
        pass
