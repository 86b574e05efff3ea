# SPDX-License-Identifier: BSD-3-Clause
"""Every way into the package can give every answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
import yaml
from click.testing import CliRunner
from coffea.util import save
from torch import nn

from hepfool import Study, cli
from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.events import UNLABELLED, EventTable
from hepfool.models import TorchClassifier, export_program, load_torch
from hepfool.study import judged
from hepfool.study._plan import EventsConfiguration, checked
from hepfool.study._sources import read_events
from hepfool.sums import data_sums
from hepfool.validation import Validation

#: By answer, how far the systematic shifts x (not at all: None), and whether the analysers have looked into it.
ANSWERS: dict[str, tuple[float | None, bool]] = {
    "COVERED": (2.0, False),
    "INVESTIGATE": (1e-9, False),
    "ASSIGN": (1e-9, True),
    "INCOMPLETE": (None, False),
}


class Line(nn.Module):
    """Class 1, a few percent, where x + y is large: what exchanges of events can do is limited by the smaller class."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.sum(dim=1) - 2.5


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    x, y, blur = rng.normal(size=(3, 1000))
    truth = (x + y + 0.2 * blur > 2.5).astype(np.int64)
    pyarrow.parquet.write_table(pa.table({"x": x, "y": y, "truth": truth}), tmp_path / "mc.parquet")
    x, y = rng.normal(size=(2, 300))
    pyarrow.parquet.write_table(pa.table({"x": x, "y": y}), tmp_path / "data.parquet")
    export_program(TorchClassifier(Line(), output="logit", n_features=2), tmp_path / "model.pt2")
    return tmp_path


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepfool.study._outcome.draw_study", lambda *_, **__: {})
    monkeypatch.setattr("hepfool.study._procedure.further_figures", lambda *_, **__: {})


def events(folder: Path, shift: float | None) -> dict[str, Any]:
    varied: dict[str, Any] = {} if shift is None else {"variations": {"scale": {"x": ["x_up", "x_down"]}}}
    varied |= {} if shift is None else {"columns": {"x_up": f"x + {shift!r}", "x_down": f"x - {shift!r}"}}
    places = {"files": [str(folder / "mc.parquet")], "data_files": [str(folder / "data.parquet")]}
    return {**places, "features": ["x", "y"], "label": "truth", **varied}


def table_of(folder: Path, shift: float | None) -> EventTable:
    return read_events(checked(EventsConfiguration, **events(folder, shift)))


def by_python(folder: Path, shift: float | None, *, investigated: bool) -> str:
    attack = CONSERVAttack(strategy="frugal", validation=Validation())
    network, everything = load_torch(folder / "model.pt2"), table_of(folder, shift)
    simulated = everything.labels != UNLABELLED
    table, data = everything.select(simulated), everything.select(~simulated)
    result = run_attack(attack, network, table, rng=1)
    sums = result.sums(network) + data_sums(data, network, result.binning)
    return str(judged(sums, investigated=investigated).summary.verdict["decision"])


def by_attack(folder: Path, shift: float | None, *, investigated: bool) -> str:
    arguments = ["attack", str(folder / "mc.parquet"), "--features", "x,y", "--label", "truth", "--strategy", "frugal"]
    arguments += ["--data", str(folder / "data.parquet")]
    arguments += ["--model", str(folder / "model.pt2"), "-o", str(folder / "out")] + ["--investigated"] * investigated
    if shift is not None:
        arguments += ["--column", f"x_up=x + {shift!r}", "--column", f"x_down=x - {shift!r}"]
        arguments += ["--variation", "scale:x=x_up,x_down"]
    return _called(arguments, folder)


def by_workflow(folder: Path, shift: float | None, *, investigated: bool) -> str:
    return _called(["workflow", str(_configuration(folder, events(folder, shift), investigated))], folder)


def by_coffea_output(folder: Path, shift: float | None, *, investigated: bool) -> str:
    save({"table": table_of(folder, shift)}, folder / "out.coffea")
    output = {"coffea_output": str(folder / "out.coffea"), "unsafe_pickle": True}
    return _called(["workflow", str(_configuration(folder, output, investigated))], folder)


def by_study(folder: Path, shift: float | None, *, investigated: bool) -> str:
    plan = Study.from_yaml(_configuration(folder, None, investigated))
    return str(plan.run(table=table_of(folder, shift)).verdict["decision"])


def _configuration(folder: Path, source: dict[str, Any] | None, investigated: bool) -> Path:
    content: dict[str, Any] = {
        "output": "out",
        "network": {"file": "model.pt2"},
        "attack": {"strategy": "frugal"},
        "detector": None,
    }
    content["split"] = {"train": 0.0, "validation": 0.0}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**content, "events": source, "investigated": investigated}))
    return path


def _called(arguments: list[str], folder: Path) -> str:
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    decision = str(json.loads((folder / "out" / "summary.json").read_text())["verdict"]["decision"])
    assert decision in result.stdout
    return decision


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("door", [by_python, by_attack, by_workflow, by_coffea_output, by_study])
def test_every_door_can_give_every_answer(door: Callable[..., str], answer: str, folder: Path) -> None:
    shift, investigated = ANSWERS[answer]
    assert door(folder, shift, investigated=investigated) == answer
