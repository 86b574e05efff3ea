# SPDX-License-Identifier: BSD-3-Clause
"""The whole procedure on the sample of the package, from a coffea output to a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor import IterativeExecutor, Runner
from coffea.util import save

from hepfool import CONSERVAttack, Study
from hepfool.models import FiniteDifference
from hepfool.processors import TableProcessor, run_processor
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
from hepfool.study._plan import SplitConfiguration
from tests.toy_analysis import Logistic, ToyAnalysis

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]

UNSPLIT = SplitConfiguration(train=0.0, validation=0.0)
CONFIGURATION = """\
output: report
events: {coffea_output: out.coffea, unsafe_pickle: true, max_events: 4000}
network: {hidden: [32, 16], training: {max_epochs: 5, batch_size: 256}}
attack: {alpha: 4.0, beta: 20.0, n_iterations: 2, n_bins: 50, max_js_distance: 0.05, max_correlation_shift: 0.05}
envelope: variations
detector: {hidden: [16], training: {max_epochs: 3}}
systematics:
  correlations: [{sources: [tau_energy, unclustered_energy], coefficient: 0.5}]
checks: {n_data: 200, checks: [chi2, correlations], n_toys: 20}
data_regions: [high_mt]
"""


def test_from_a_coffea_output_to_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepfool.study._outcome.draw_study", lambda _, **__: {})
    fileset = {**htautau.fileset(), **htautau.pseudodata_fileset()}
    chosen = {name: fileset[name] for name in ("ggH", "WJets", "pseudodata")}
    runner = Runner(IterativeExecutor(status=False), schema=NanoAODSchema)
    out = run_processor(runner, chosen, TableProcessor(HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())))
    save(out, tmp_path / "out.coffea")
    (tmp_path / "study.yaml").write_text(CONFIGURATION)
    configuration = Study.from_yaml(tmp_path / "study.yaml")
    summary = configuration.run()
    record = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert record["verdict"]["decision"] == summary.verdict["decision"]
    # Splitting is by dataset, and of a thinned table.
    assert record["events"]["n_events"] == pytest.approx(1000, abs=2)
    assert set(record["fooling"]["datasets"]) == {"ggH", "WJets"}
    assert 0 < record["events"]["n_fooled"] < record["events"]["n_attacked"]
    sources = record["systematics"]["total"]["sources"]
    assert {"tau_energy", "unclustered_energy", "tau_id"} <= set(sources)
    assert record["systematics"]["correlations"] == [
        {"sources": ["tau_energy", "unclustered_energy"], "coefficient": 0.5}
    ]
    constrained = record["compatibility"][0]
    assert constrained["max_js_distance"] <= 0.05
    assert constrained["correlation_shift"] <= 0.05
    (criterion,) = (c for c in record["verdict"]["criteria"] if c["name"] == "FlaggedFractionsAgree")
    assert criterion["numbers"].startswith("high_mt: data ")
    assert configuration.run(force=True).to_json() == summary.to_json()


def test_a_study_runs_coffea_itself(
    toy_fileset: dict[str, Any],
    analysis: ToyAnalysis,
    classifier: Logistic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hepfool.study._outcome.draw_study", lambda _, **__: {})
    monkeypatch.setattr("hepfool.study._procedure.further_figures", lambda *_, **__: {})
    runner = Runner(IterativeExecutor(status=False), schema=BaseSchema)
    plan = Study(output=tmp_path / "report", attack=CONSERVAttack(n_iterations=1), detector=None, split=UNSPLIT)
    network = FiniteDifference(classifier, step=[0.1, 0.1, 0.1])
    found = plan.run(analysis=analysis, runner=runner, fileset=toy_fileset, classifier=network)
    assert set(found.fooling["datasets"]) == {"signal", "background"}
    table = run_processor(runner, toy_fileset, TableProcessor(analysis))["table"]
    assert plan.run(table=table, classifier=network, force=True).to_json() == found.to_json()
    with pytest.raises(ValueError, match="events come from a table, or from analysis, runner and fileset"):
        plan.run(table=table, runner=runner)
    with pytest.raises(ValueError, match="events come from a table, or from analysis, runner and fileset"):
        plan.run(analysis=analysis)
