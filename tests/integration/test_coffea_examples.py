# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import ast
import difflib
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, Runner

from hepfool.attacks import CONSERVAttack
from hepfool.models import TorchClassifier, mlp
from hepfool.processors import attack_collected, table_of
from hepfool.samples import htautau, htautau_analysis

FOLDER = Path(__file__).parents[2] / "analysis_examples" / "htautau_coffea"


def body(script: Path, name: str) -> list[str]:
    """Source lines of a class without its first."""
    (found,) = (node for node in ast.parse(script.read_text()).body if getattr(node, "name", None) == name)
    assert isinstance(found, ast.ClassDef)
    return script.read_text().splitlines()[found.lineno : found.end_lineno]


def test_the_example_is_the_analysis_of_the_package() -> None:
    assert (FOLDER / "htautau.py").resolve() == Path(htautau_analysis.__file__).resolve()


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_an_attack_adds_few_lines_to_a_processor_and_changes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    script = FOLDER / "existing_processor.py"
    example = runpy.run_path(str(script))
    before, after = example["Before"], example["After"]
    lines = difflib.unified_diff(body(script, "Before"), body(script, "After"), n=0)
    changed = [line for line in lines if line.startswith("+") and not line.startswith("+++")]
    assert 0 < len(changed) < 10

    monkeypatch.setattr(NanoAODSchema, "warn_missing_crossrefs", False)
    torch.manual_seed(1)
    network = TorchClassifier(mlp(len(example["INPUTS"]), [8]))
    executor = IterativeExecutor(status=False, retries=0)
    runner = Runner(executor, schema=NanoAODSchema, chunksize=400, maxchunks=1)
    fileset = {name: htautau.fileset()[name] for name in ("ggH", "TTbar")}
    first, second = (runner(fileset, processor(network)) for processor in (before, after))
    assert first["score"] == second["score"]
    assert first["selected"] == second["selected"]
    table = table_of(second["attack"])
    for dataset in fileset:
        chosen = table.dataset_mask(dataset)
        assert chosen.sum() == second["selected"][dataset]
        total = second["score"][dataset, :].sum().value
        assert table.weights[chosen].sum() == pytest.approx(total)
    attack = CONSERVAttack(n_bins=20, n_iterations=2, max_js_distance=0.05)
    assert attack_collected(second["attack"], network, attack, seed=7).counts().n_attacked > 0


@pytest.mark.dask
@pytest.mark.torch
@pytest.mark.slow
def test_all_executors_agree_on_cms_open_data(test_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = test_data / "cms-opendata" / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    subprocess.run([sys.executable, str(FOLDER / "compare_executors.py"), str(file)], check=True)
    printed = capfd.readouterr().out
    assert "all digests are equal" in printed
    assert printed.count("read 200, selected 34") == 3
