# SPDX-License-Identifier: BSD-3-Clause
"""One network from every kind of file that PyTorch and ONNX write gives the same numbers on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

from hepfool import EventTable, cli
from hepfool.io import write_table
from hepfool.models import TorchClassifier, export_program, mlp, save_state

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
NAMES = ("pt", "met", "mass")
CODE = "from hepfool.models import mlp\n\n\ndef build():\n    return mlp(3, (8, 4))\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events and a network in all kinds of files."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(3)
    module = mlp(3, (8, 4)).eval()
    classifier = TorchClassifier(module, output="logit", n_features=3)
    values = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32).astype(np.float64)
    last = module[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():  # half of the events on either side
        last.bias.sub_(module(torch.tensor(values, dtype=torch.float32)).median())
    classifier = TorchClassifier(module, output="logit", n_features=3)
    table = EventTable.from_arrays(values, features=NAMES, labels=classifier.predict(values))
    write_table(table, folder / "events.parquet")
    export_program(classifier, folder / "m.pt2")
    torch.jit.save(torch.jit.trace(module, torch.zeros(2, 3)), folder / "script.pt")  # type: ignore[no-untyped-call]
    save_state(classifier, folder / "state.pt")
    (folder / "network.py").write_text(CODE, encoding="utf-8")
    if find_spec("onnx"):
        options: dict[str, Any] = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
        torch.onnx.export(module, (torch.zeros(2, 3),), folder / "m.onnx", **options)
    return folder


@pytest.fixture(scope="module")
def attacked(folder: Path) -> Callable[..., dict[str, Any]]:
    """Run ``hepfool attack`` with a network."""
    done: dict[tuple[str, ...], dict[str, Any]] = {}

    def run(*network: str) -> dict[str, Any]:
        if network not in done:
            output = folder / f"report-{len(done)}"
            arguments = ["attack", str(folder / "events.parquet"), "--features", ",".join(NAMES), "--label", "label"]
            arguments += ["--no-score", "--n-iterations", "2", "-o", str(output), "--model", *network]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("hepfool.study._outcome.draw_study", lambda _, **__: {})
                result = CliRunner().invoke(cli.main, arguments)
            assert result.exit_code == 0, result.output
            done[network] = json.loads((output / "summary.json").read_text("utf-8"))["fooling"]
        return done[network]

    return run


@pytest.mark.parametrize("kind", ["script.pt", "state.pt", "m.onnx"])
def test_a_file_of_any_kind_gives_the_same_numbers(kind: str, folder: Path, attacked: Any) -> None:
    if kind == "m.onnx":
        pytest.importorskip("onnx")
    more = {
        "script.pt": ["--unsafe-pickle"],
        "state.pt": ["--network", f"{folder / 'network.py'}:build"],
    }.get(kind, [])
    expected = attacked(str(folder / "m.pt2"), "--output-type", "logit")
    found = attacked(str(folder / kind), "--output-type", "logit", *more)
    assert expected["fooling_ratio"]["value"] > 0.0
    assert found == expected
