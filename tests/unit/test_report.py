# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from hepfool.attacks.base import AttackProblem, AttackResult, run_attack
from hepfool.defences.detector import DetectorReport
from hepfool.events import EventTable
from hepfool.io.store import read_store
from hepfool.io.tables import read_table
from hepfool.models.protocols import Classifier
from hepfool.report import check_output, result_histograms, summary_markdown, summary_table, write_report
from hepfool.studies.systematics import Measured, SystematicEffect
from hepfool.summary import Evidence, Summary, decide, summarise
from hepfool.typing import FloatArray


@pytest.fixture
def summary(shifted_result: AttackResult, sign_classifier: Classifier, detector_report: DetectorReport) -> Summary:
    effects = (SystematicEffect(name="tes_up", kind="shape", flips=Measured(0.012, 0.001)),)
    flagged = shifted_result.fooled & (np.cumsum(shifted_result.fooled) % 2 == 0)
    evidence = Evidence.of(shifted_result, sign_classifier, effects=effects, flagged=flagged)
    verdict = decide(evidence, investigated=True)
    return summarise(shifted_result, evidence, verdict, detector=detector_report, seed=7)


def test_the_folder_holds_everything(shifted_result: AttackResult, summary: Summary, tmp_path: Path) -> None:
    figure = Figure()
    figure.subplots().plot([0, 1])
    folder = write_report(tmp_path / "out", summary, result=shifted_result, figures={"score": figure})
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        "adversarial.root",
        "figures/score.pdf",
        "figures/score.png",
        "histograms.zip",
        "summary.json",
        "summary.md",
    ]
    assert json.loads((folder / "summary.json").read_text())["verdict"]["decision"] == "ASSIGN"
    assert "![score](figures/score.png)" in (folder / "summary.md").read_text()
    table = read_table(
        folder / "adversarial.root",
        features=["lead_jet_pt", "met"],
        label="label",
        spectators=["fooled", "attacked", "nominal_score", "adversarial_score", "in_low_met"],
    )
    np.testing.assert_allclose(table.values, shifted_result.adversarial.values, rtol=1e-6)
    np.testing.assert_array_equal(table.spectators["fooled"], shifted_result.fooled)
    np.testing.assert_array_equal(table.spectators["nominal_score"], shifted_result.nominal_scores[:, 1])
    assert list(tmp_path.iterdir()) == [folder]


def test_histograms_are_those_of_the_attack(shifted_result: AttackResult, summary: Summary, tmp_path: Path) -> None:
    folder = write_report(tmp_path / "out", summary, result=shifted_result, events=["adversarial.parquet"])
    histograms = read_store(folder / "histograms.zip").histograms
    assert list(histograms) == ["lead_jet_pt", "met"]
    table = shifted_result.nominal
    chosen = table.region("low_met").mask & table.dataset_mask("ttbar")
    expected = shifted_result.binning.yields(shifted_result.adversarial.values[chosen], table.weights[chosen])
    shown: Any = histograms["lead_jet_pt"]["ttbar", "low_met", "adversarial", :]
    np.testing.assert_allclose(shown.values(), expected[0, :-1])
    np.testing.assert_allclose(shown.variances(), expected[0, :-1])
    assert histograms["met"].axes[3].label == "met"


@dataclass(frozen=True)
class Still:
    """Move nothing."""

    n_iterations: int = 1
    n_bins: int = 5

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        return values


def test_missing_values_are_in_the_overflow(sign_classifier: Classifier, rng: np.random.Generator) -> None:
    values = rng.normal(size=(100, 2))
    values[:7, 1] = np.nan
    table = EventTable.from_arrays(values, labels=(values[:, 0] > 0).astype(int), features=["a.b", "a/b"])
    histograms = result_histograms(run_attack(Still(), sign_classifier, table, rng=rng))
    assert list(histograms) == ["a_b", "a_b_1"]
    assert histograms["a_b_1"].values(flow=True)[0, 0, 0, -1] == 7


def test_every_section_is_shown(summary: Summary) -> None:
    text = summary_markdown(summary)
    console = Console(file=io.StringIO(), width=200)
    console.print(summary_table(summary))
    assert isinstance(console.file, io.StringIO)
    for shown in (text, console.file.getvalue()):
        for part in (
            "ASSIGN",
            "tes_up",
            "Shift, not flagged",
            "signal",
            "high_met",
            "0: 0.9000",
            "Size to assign",
            "with each threshold",
        ):
            assert part in shown
    assert text.startswith("# ASSIGN")
    assert "seed 7" in text
    assert "None" not in text


def test_what_exists_is_only_replaced_on_demand(summary: Summary, tmp_path: Path) -> None:
    write_report(tmp_path / "out", summary)
    with pytest.raises(FileExistsError, match="exists already"):
        write_report(tmp_path / "out", summary)
    write_report(tmp_path / "out", summary, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_other_things_is_never_replaced(summary: Summary, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years")
    with pytest.raises(FileExistsError, match="is no earlier report"):
        write_report(tmp_path / "home", summary, force=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_output(tmp_path / "nowhere" / "out")


@pytest.mark.faults
def test_a_failure_leaves_no_half_report(summary: Summary, tmp_path: Path) -> None:
    class Broken(Figure):
        def savefig(self, *args: object, **kwargs: object) -> None:
            msg = "disk full"
            raise OSError(msg)

    with pytest.raises(OSError, match="disk full"):
        write_report(tmp_path / "out", summary, figures={"score": Broken()})
    assert list(tmp_path.iterdir()) == []
