# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong around ``hepfool attack``: signals, kills and full disks; rows of the same table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from hepfool.io import read_table
from hepfool.models import TorchClassifier, export_program, mlp
from tests.processes import fork
from tests.slow_attack import slow_attack_into

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.torch]

N_EVENTS = 2000
PATIENCE = 300.0


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    rng = np.random.default_rng(5)
    columns: dict[str, Any] = {name: rng.normal(size=N_EVENTS) for name in ("x", "y")}
    with uproot.recreate(folder / "events.root") as file:
        file["Events"] = {**columns, "truth": (columns["x"] + columns["y"] > 0).astype(np.int64)}
    export_program(TorchClassifier(mlp(2, (4,)), output="logit", n_features=2), folder / "model.pt2")
    return folder


def command(inputs: Path, output: Path, work: Path | None, *more: str) -> list[str]:
    files = [str(inputs / "events.root"), "--features", "x,y", "--label", "truth", "--model", str(inputs / "model.pt2")]
    kept = [] if work is None else ["--work", str(work)]
    caps = ["--n-iterations", "8", "--n-bins", "20", "--n-candidates", "10", "--max-js-distance", "0.05"]
    return ["attack", *files, *caps, *kept, "-o", str(output), *more]


class Started:
    """A command that runs in a process of its own."""

    def __init__(self, arguments: list[str]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name) / "errors"
        self._process, self._pid = fork(slow_attack_into, str(self._errors), arguments)

    def send_signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def running(self) -> bool:
        return self._process.is_alive()

    def finished(self) -> tuple[int | None, str]:
        """Exit status, and what was said."""
        self._process.join(PATIENCE)
        with self._folder:
            return self._process.exitcode, self._errors.read_text() if self._errors.exists() else ""


def finish(arguments: list[str]) -> None:
    status, errors = Started(arguments).finished()
    assert status == 0, errors


def wait_for(arrived: Callable[[], object], process: Started) -> None:
    deadline = time.monotonic() + PATIENCE
    while not arrived() and process.running() and time.monotonic() < deadline:
        time.sleep(0.01)


def run_mounted(options: str, folder: Path, arguments: list[str], **settings: Path) -> tuple[int, str]:
    """Run a command with a small disk of its own at a folder."""
    inner = f'mount -t tmpfs -o {options} none "{folder}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", inner, "sh", sys.executable, "-m", "tests.slow_attack", *arguments]
    environment = {**os.environ, "COLUMNS": "200", **{name: str(path) for name, path in settings.items()}}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    return done.returncode, done.stderr


def attacked(folder: Path) -> tuple[int, str]:
    """Events of a report, and their values to the last bit."""
    summary = json.loads((folder / "summary.json").read_text())
    assert not summary["events"]["interrupted"]
    table = read_table(folder / "adversarial.root", features=["x", "y"], label="label")
    return table.n_events, table.values.tobytes().hex()


@pytest.fixture(scope="module")
def clean(inputs: Path) -> tuple[int, str]:
    finish(command(inputs, inputs / "clean", None))
    return attacked(inputs / "clean")


@pytest.fixture
def row(
    record_property: Callable[[str, object], None], clean: tuple[int, str], attempt: int
) -> Callable[[str, str, Path], None]:
    def add(fault: str, seen: str, report: Path) -> None:
        n_events, values = attacked(report)
        equal = values == clean[1]
        cells = [fault, seen, str(N_EVENTS), str(n_events), str(N_EVENTS - n_events), str(equal)]
        record_property("fault", cells)
        assert (n_events, equal) == (N_EVENTS, True)

    return add


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_leaves_what_is_done(
    sent: signal.Signals, inputs: Path, tmp_path: Path, row: Any, attempt: int
) -> None:
    kept, output = tmp_path / "work", tmp_path / "out"
    process = Started(command(inputs, output, kept))
    wait_for(lambda: list(kept.glob("unfinished-attack*")), process)
    time.sleep(0.13 * attempt)
    process.send_signal(sent)
    status, errors = process.finished()
    assert status == 128 + sent
    assert "no report was written" in errors
    assert f"is kept in {kept}; go on with: hepfool attack {inputs}" in errors
    assert "Traceback" not in errors
    assert {path.name for path in tmp_path.iterdir()} == {"work"}
    finish(command(inputs, output, kept, "--force"))
    row(f"{sent.name} to hepfool attack", f"status {128 + sent}; went on from the folder", output)


def test_a_signal_while_the_report_is_written_leaves_no_half_of_it(
    inputs: Path, tmp_path: Path, row: Any, attempt: int
) -> None:
    kept, output = tmp_path / "work", tmp_path / "out"
    process = Started(command(inputs, output, kept))
    wait_for(lambda: list(tmp_path.glob(".out-*")), process)
    process.send_signal(signal.SIGTERM)
    status, errors = process.finished()
    assert (status, "no report was written" in errors) == (143, True), errors
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    finish(command(inputs, output, kept))
    row("SIGTERM while the report is written", "no half report; went on from the folder", output)


def test_a_kill_leaves_nothing_that_the_next_run_does_not_remove(
    inputs: Path, tmp_path: Path, row: Any, attempt: int
) -> None:
    kept, output = tmp_path / "work", tmp_path / "out"
    process = Started(command(inputs, output, kept))
    wait_for(lambda: list(kept.glob("unfinished-attack*")), process)
    time.sleep(float(np.random.default_rng(attempt).uniform(0.0, 4.0)))
    process.send_signal(signal.SIGKILL)
    process.finished()
    finish(command(inputs, output, kept, "--force"))
    assert {path.name for path in tmp_path.iterdir()} == {"work", "out"}
    row("SIGKILL to hepfool attack", "went on from the folder, leftovers removed", output)


@pytest.fixture
def mounting(tmp_path: Path) -> None:
    if not shutil.which("unshare"):
        pytest.skip("no unshare to mount a small disk with")
    tried = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)], check=False, capture_output=True
    )
    if tried.returncode:
        pytest.skip("cannot mount a small disk")


@pytest.mark.usefixtures("mounting")
@pytest.mark.parametrize("size", ["40k", "200k", "size=1m,ro"], ids=["40 kB", "200 kB", "read-only"])
def test_a_disk_that_takes_no_report(size: str, inputs: Path, tmp_path: Path, row: Any) -> None:
    small, spare = tmp_path / "small", tmp_path / "spare"
    small.mkdir()
    spare.mkdir()
    options = size if "," in size else f"size={size}"
    status, errors = run_mounted(options, small, command(inputs, small / "out", None), TMPDIR=spare)
    last = errors.splitlines()[-1]
    assert (status, "Traceback" in errors) == (2, False), errors
    if "ro" in size:
        assert last == f"Error: nothing can be written in {small} (Read-only file system); choose another folder"
        return
    assert f"the report could not be written to {small / 'out'} (No space left on device); it is in {spare}" in last
    (report,) = spare.glob("hepfool-report-*/out")
    row("full disk under the report", "report kept elsewhere, and said where", report)


@pytest.mark.usefixtures("mounting")
def test_a_full_disk_under_the_work_of_an_attack(inputs: Path, tmp_path: Path, row: Any) -> None:
    small = tmp_path / "small"
    small.mkdir()
    status, errors = run_mounted("size=8k", small, command(inputs, tmp_path / "out", small / "work"))
    assert status == 0, errors
    assert errors.count("finished work cannot be kept in") == 1
    row("full disk under --work", "said once; ran to the end", tmp_path / "out")
