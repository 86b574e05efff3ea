# SPDX-License-Identifier: BSD-3-Clause
"""The README does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import torch

from hepfool.cli import main
from hepfool.study import Study

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.torch
def test_the_ten_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, kept = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    # The network of the ten lines is untrained: with other parameters another fraction of the events is fooled.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        exec(compile(code, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert 0.5 < float(printed[0]) <= 1.0
    assert float(printed[2]) <= 0.02
    exec(compile(kept, "README.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    figures = [re.fullmatch(r"(\w+) constrained (\d\.\d+), cap (\d\.\d+)", line) for line in printed]
    assert [figure and figure[1] for figure in figures] == ["inputs", "correlations", "score"]
    assert all(figure and 0.0 <= float(figure[2]) <= float(figure[3]) < 0.1 for figure in figures)


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    for name in ("ntuples/ttbar.root", "data/run.root", "higgs.pt2", "shapes.root"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    configuration = Study.from_yaml(tmp_path / "study.yaml")
    assert configuration.attack.strategy == "frugal"
    steps = [step.name for step in configuration.steps()]
    assert {"detector", "adaptive", "systematics", "checks", "report"} <= set(steps)
    known = {option for parameter in main.commands["workflow"].params for option in parameter.opts}
    (section,) = re.findall(r"## The whole procedure.*?\n## ", README, flags=re.DOTALL)
    assert set() < set(re.findall(r"`(--[a-z-]+)", section)) <= known


def test_links_lead_to_files_and_options_exist() -> None:
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert len(links) > 3
    for link in links:
        assert (ROOT / link).exists(), link
    attack = main.commands["attack"]
    known = {option for parameter in attack.get_params(click.Context(attack)) for option in parameter.opts}
    (command,) = re.findall(r"```console\nhepfool attack(.*?)```", README, flags=re.DOTALL)
    assert set() < set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", command)) <= known
