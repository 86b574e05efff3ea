# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Before anything imports matplotlib: tests open no windows.
os.environ.setdefault("MPLBACKEND", "Agg")


# The same examples in every run, however slow the machine; HYPOTHESIS_PROFILE=random looks for new ones.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("random", settings.get_profile("suite"), derandomize=False, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

# Signals as a shell sends them to a program: whoever runs the tests in the background may have them ignored.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run and for every test."""
    return np.random.default_rng(20260513)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of larger public inputs, named by ``HEPFOOL_TEST_DATA``."""
    named = os.environ.get("HEPFOOL_TEST_DATA")
    if not named:
        pytest.skip("HEPFOOL_TEST_DATA does not name a folder of larger inputs")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"HEPFOOL_TEST_DATA={named} is not a folder")
    return folder


@pytest.fixture(scope="session")
def reference_data(test_data: Path) -> Path:
    """Folder of inputs and answers of the published code, beside ``test_data``."""
    folder = test_data.parent / "reference"
    if not folder.is_dir():
        pytest.skip(f"no reference inputs in {folder}")
    return folder


@pytest.fixture(scope="session")
def dask_client() -> Iterator[Any]:
    """Client of one small local cluster, shared by the tests marked ``dask``."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def pytest_generate_tests(metafunc: Any) -> None:
    """Try every fault ten times for the table of ``pytest -m faults``, and once otherwise."""
    if "attempt" in metafunc.fixturenames:
        tries = 10 if metafunc.config.option.markexpr == "faults" else 1
        metafunc.parametrize("attempt", range(int(os.environ.get("HEPFOOL_FAULT_TRIES", tries))))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of faults; reports carry its rows, also from the processes of pytest-xdist."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    tried: dict[str, list[list[str]]] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            if name == "fault":
                tried.setdefault(value[0], []).append(value)
    if not tried:
        return
    from rich.console import Console
    from rich.table import Table

    header = (
        "fault",
        "tries",
        "what happened",
        "events expected",
        "processed",
        "lost",
        "result equal to the clean run",
    )
    table = Table(*header, title="Faults")
    for fault, rows in tried.items():
        columns = [list(dict.fromkeys(column)) for column in zip(*(row[1:] for row in rows), strict=True)]
        table.add_row(fault, str(len(rows)), *(" / ".join(column) for column in columns))
    Console(width=170).print(table)
