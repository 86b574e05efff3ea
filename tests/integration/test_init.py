# SPDX-License-Identifier: BSD-3-Clause
"""``hepfool init`` writes what runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hepfool.cli import main
from hepfool.study import Study

DECISIONS = {"COVERED", "INVESTIGATE", "INCOMPLETE"}


def init(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(main, ["init", str(folder), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def quicker(path: Path) -> None:
    """Train and search for less long."""
    text = path.read_text(encoding="utf-8")
    for old, new in (
        ("max_epochs: 20", "max_epochs: 3"),
        ("max_epochs=20", "max_epochs=3"),
        ("s: 20", "s: 2"),
        ("s=20", "s=2"),
    ):
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.torch
def test_a_study_runs_as_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "my study"
    told = init(folder)
    assert told.endswith(f"Run it: cd '{folder}' && python events.py && hepfool workflow study.yaml\n")
    assert sorted(path.name for path in folder.iterdir()) == ["events.py", "network.py", "study.yaml"]
    run(folder, "events.py")
    study = Study.from_yaml(folder / "study.yaml")
    assert study.attack.n_iterations == 20
    quicker(folder / "study.yaml")
    run(folder, "-m", "hepfool", "workflow", "study.yaml")
    summary = json.loads((folder / "report" / "summary.json").read_text(encoding="utf-8"))
    assert summary["verdict"]["decision"] in DECISIONS
    assert summary["events"]["n_events"] > 1000
    assert summary["events"]["auroc"] > 0.6
    assert {effect["name"] for effect in summary["systematics"]["effects"]} == {"tau_energy_up", "tau_energy_down"}


@pytest.mark.slow
@pytest.mark.torch
def test_an_analysis_runs_as_it_is_written(tmp_path: Path) -> None:
    init(tmp_path, "--coffea")
    assert [path.name for path in tmp_path.iterdir()] == ["analysis.py"]
    quicker(tmp_path / "analysis.py")
    assert re.search(rf"^({'|'.join(DECISIONS)}): ", run(tmp_path, "analysis.py"), flags=re.MULTILINE)
    assert (tmp_path / "report" / "report.html").is_file()


@pytest.mark.torch
def test_the_network_takes_the_features_of_the_study(tmp_path: Path) -> None:
    import torch

    init(tmp_path)
    for name in ("simulation.root", "data.root"):
        (tmp_path / name).touch()
    study = Study.from_yaml(tmp_path / "study.yaml")
    assert study.events is not None
    names: dict[str, object] = {}
    exec((tmp_path / "network.py").read_text(encoding="utf-8"), names)
    build = names["build"]
    assert callable(build)
    assert build()(torch.zeros(2, len(study.events.features))).shape == (2, 1)


@pytest.mark.parametrize("options", [(), ("--coffea",)])
def test_nothing_is_replaced(options: tuple[str, ...], tmp_path: Path) -> None:
    init(tmp_path, *options)
    (path, *others) = sorted(tmp_path.iterdir())
    for other in others:
        other.unlink()
    path.write_text("mine", encoding="utf-8")
    done = CliRunner().invoke(main, ["init", str(tmp_path), *options])
    assert (done.exit_code, path.read_text(encoding="utf-8")) == (2, "mine")
    assert f"{path} exists, and is not replaced" in done.output
    assert list(tmp_path.iterdir()) == [path]
