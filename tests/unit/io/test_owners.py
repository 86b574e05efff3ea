# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hepfool.io._files import remove_leftovers, written_whole
from hepfool.io._owners import CLAIM, claimed, is_running, writer


def dead_writer() -> str:
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], check=True, capture_output=True)
    return f"{writer().partition('-')[0]}-{int(process.stdout)}"


def test_a_process_is_known_by_name_as_long_as_it_runs() -> None:
    assert is_running(writer()) is True
    assert is_running(dead_writer()) is False
    assert is_running("00000000-1") is None


def test_a_folder_is_used_by_one_run_at_a_time(tmp_path: Path) -> None:
    with claimed(tmp_path):
        with pytest.raises(
            ValueError, match=rf"{tmp_path} is in use by process {os.getpid()} on .*; wait for it, stop it"
        ):
            claimed(tmp_path).__enter__()
        assert (tmp_path / CLAIM).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"pid": 2**22 + 1}, {"host": "elsewhere"}, {"started": "1"}, {"pid": "x"}, None])
def test_the_claim_of_a_dead_process_is_taken_over(change: dict[str, object] | None, tmp_path: Path) -> None:
    with claimed(tmp_path):
        claim = json.loads((tmp_path / CLAIM).read_text())
    (tmp_path / CLAIM).write_text("" if change is None else json.dumps({**claim, **change}))
    with claimed(tmp_path):
        assert json.loads((tmp_path / CLAIM).read_text()) == claim


def test_only_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    dead, day = dead_writer(), 90_000
    kept = {
        f".report-{writer()}-0123456789ab",
        ".report-00000000-1-0123456789ab",
        ".report-notes",
        ".other-{}-0123456789ab",
        ".report-0123456789ab.txt",
    }
    for name in (*kept, f".report-{dead}-0123456789ab", ".report-aaaaaaaaaaaa", f".report-{dead}-0123456789ab-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    long_ago = (tmp_path / "report").stat().st_mtime - day
    os.utime(tmp_path / ".report-aaaaaaaaaaaa", (long_ago, long_ago))
    remove_leftovers(tmp_path, "report")
    assert {path.name for path in tmp_path.iterdir()} == {"report", *kept}


def test_an_earlier_report_comes_back_if_its_successor_was_killed(tmp_path: Path) -> None:
    left = tmp_path / f".report-{dead_writer()}-0123456789ab-old"
    left.mkdir()
    (left / "summary.json").touch()
    remove_leftovers(tmp_path, "report")
    assert (tmp_path / "report" / "summary.json").exists()


def test_names_of_half_written_files_are_recognised(tmp_path: Path) -> None:
    for name in ("report", "attack.zip", "a.b-c.json"):
        with written_whole(tmp_path / name) as temporary:
            temporary.touch()
            dead = temporary.with_name(re.sub(r"-[0-9a-f]{8}-\d+-", f"-{dead_writer()}-", temporary.name))
            dead.touch()
            remove_leftovers(tmp_path, name)
            assert (temporary.exists(), dead.exists()) == (True, False)
