# SPDX-License-Identifier: BSD-3-Clause
"""The tests fail as a whole when a part of them did not run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import os
if {dies_on_import} and "PYTEST_XDIST_WORKER" in os.environ:
    os._exit(0)

def test_one():
    if {dies_in_test}:
        os._exit(0)

def test_two():
    pass
"""
DIES_AT_END = """
import os

pytest_plugins = ["tests.whole_run"]

def pytest_sessionfinish(session):
    if hasattr(session.config, "workerinput"):
        os._exit(0)
"""
FORGETFUL = """
pytest_plugins = ["tests.whole_run"]

def pytest_runtest_protocol(item):
    return item.name == "test_two" or None
"""


def run(folder: Path, *arguments: str, conftest: str = "", fault: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "whole_run.py", folder / "tests")
    (folder / "conftest.py").write_text(conftest or (ROOT / "conftest.py").read_text("utf-8"), "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = --import-mode=importlib\n", "utf-8")
    program = TESTS.format(**{name: name == fault for name in ("dies_on_import", "dies_in_test")})
    (folder / "tests" / "test_some.py").write_text(program, "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # most of the time goes to plugins that are not needed here
    command = [sys.executable, "-m", "pytest", "-p", "xdist", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_whole_run_passes(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert (tmp_path / ".pytest_cache" / "ended").read_text("utf-8") == "0\n"


def test_a_part_that_was_asked_for_is_whole(tmp_path: Path) -> None:
    done = run(tmp_path, "-k", "two")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "found"), [("dies_on_import", "no test ran"), ("dies_in_test", "of 2 collected tests did not run")]
)
def test_a_lost_worker_fails_the_run(tmp_path: Path, fault: str, found: str) -> None:
    done = run(tmp_path, "-n1", "--max-worker-restart=0", fault=fault)
    assert done.returncode != 0
    assert "worker gw0 was lost" in done.stdout
    assert found in done.stdout


@pytest.mark.slow
def test_a_worker_that_is_lost_while_no_test_runs_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "-n1", conftest=DIES_AT_END)
    assert "2 passed" in done.stdout
    assert "worker gw0 was lost" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_test_that_was_collected_and_did_not_run_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, conftest=FORGETFUL)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "1 of 2 collected tests did not run" in done.stdout


def test_nothing_collected_fails_the_run(tmp_path: Path) -> None:
    assert run(tmp_path, "-k", "nothing").returncode == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize(
    ("program", "passes"), [("exit 0", False), ("mkdir -p .pytest_cache; > .pytest_cache/ended", True)]
)
def test_make_fails_when_pytest_vanishes_with_exit_status_0(tmp_path: Path, program: str, passes: bool) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", ".venv/.hepfool-installed"):
        (tmp_path / name).touch()
    (binaries / "python").write_text(f"#!/bin/sh\n{program}\n", "utf-8")
    (binaries / "python").chmod(0o755)
    (tmp_path / ".pytest_cache").mkdir()
    (tmp_path / ".pytest_cache" / "ended").touch()  # of an earlier run
    done = subprocess.run(["make", "test"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == passes, done.stderr
