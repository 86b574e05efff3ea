# SPDX-License-Identifier: BSD-3-Clause
"""
Plugin of pytest: a run passes only if every collected test ran and no worker died.

pytest-xdist goes on without a worker that died between two tests, and when all die before their first test it ends
with "no tests ran" and exit status 0.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Watch the process that collects the results, not those that run the tests for it."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(WholeRun(config.rootpath / ".pytest_cache" / "ended"), "whole-run")


class WholeRun:
    """Count what was collected, what ran, and which workers were lost; write ``ended`` when the run got to its end."""

    def __init__(self, ended: Path) -> None:
        self._ended = ended
        self._ended.unlink(missing_ok=True)
        self._running = False
        self._collected: set[str] = set()
        self._ran: set[str] = set()
        self._lost: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected.update(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._collected.update(ids)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        self._running = not session.config.option.collectonly

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            self._ran.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:
        if error:
            self._lost.append(f"worker {node.gateway.id} was lost ({error})")

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        if self._running and self._faults() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        yield
        self._ended.parent.mkdir(exist_ok=True)
        self._ended.write_text(f"{int(session.exitstatus)}\n", encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for fault in self._faults() if self._running else ():
            terminalreporter.write_line(f"Not a whole run: {fault}", red=True)

    def _faults(self) -> list[str]:
        missing = sorted(self._collected - self._ran)
        faults = list(self._lost)
        if missing:
            faults.append(f"{len(missing)} of {len(self._collected)} collected tests did not run, as {missing[0]}")
        if not self._ran:
            faults.append("no test ran")
        return faults
