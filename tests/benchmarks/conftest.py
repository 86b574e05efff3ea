# SPDX-License-Identifier: BSD-3-Clause
"""Figures measured in one run, as one table: wall times are compared with each other only."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

OUTPUT = Path(__file__).parents[2] / "bench-output" / "figures.json"


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    target: str
    remark: str


Record = Callable[..., None]
_FIGURES: list[Figure] = []


@pytest.fixture
def record() -> Record:
    """Add a row to the table: name, value, target and remark."""

    def add(name: str, value: float, *, target: str = "", remark: str = "") -> None:
        _FIGURES.append(Figure(name, value, target, remark))

    return add


@pytest.fixture
def wall() -> Callable[[Callable[[], Any]], float]:
    """Shortest of three wall times of a call, in seconds, after one call that compiles."""

    def measure(call: Callable[[], Any], *, repeat: int = 3) -> float:
        call()
        seconds = []
        for _ in range(repeat):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    return measure


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Time on one thread."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary() -> None:
    if not _FIGURES:
        return
    table = Table("figure", "value", "target", "remark", title="Measured in this run")
    for figure in _FIGURES:
        table.add_row(figure.name, f"{figure.value:.3g}", figure.target, figure.remark)
    Console(width=150).print(table)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(figure) for figure in _FIGURES], indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def dcor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Library that compiles itself on import; two processes at once would break what they share in numba's cache."""
    import numba

    folder = tmp_path_factory.mktemp("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.config, "CACHE_DIR", str(folder))
        library = importlib.import_module("dcor")
    assert any(folder.rglob("*.nbi")), "dcor was imported before, with a cache that others share"
    return library
