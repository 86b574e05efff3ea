# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import uproot

from analysis_examples.samples.pythia import ProcessSettings
from hepfool import demo
from hepfool.io import read_store
from hepfool.models import Standardise, load_torch, mlp
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import FEATURES
from hepfool.study._plan import FrontierConfiguration
from hepfool.validation import AtPower

pytestmark = [
    pytest.mark.torch,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]


def test_demo_goes_from_root_files_to_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    # Further points take a quarter of a minute each.
    monkeypatch.setattr(demo, "FrontierConfiguration", lambda: FrontierConfiguration(factors=(1.0,)))
    titles: dict[str, None] = {}
    summary = demo.run_demo(folder, frontier=True, progress=lambda step, _: titles.setdefault(step))
    assert list(titles) == [step.title for step in demo.demo_study(folder, frontier=True).steps()]
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    figures = {
        f"figures/{name}.{kind}"
        for name in (
            *("marginals", "correlations", "score", "fooling", "detection", "frontier"),
            *("regions", "projection", "detector", "thresholds"),
            *("ladder_low_mt", "explanation", "allowed"),
        )
        for kind in ("pdf", "png")
    }
    assert written >= {"summary.json", "summary.md", "report.html", "histograms.zip", "network.pt", *figures}
    record = json.loads((folder / "summary.json").read_text())
    assert record["verdict"]["decision"] == summary.verdict["decision"]

    with uproot.open(folder / "adversarial.root") as file:
        events = file[file.keys()[0]].arrays(["attacked", "fooled"], library="np")
    fooled = int(events["fooled"].sum())
    assert 0 < fooled < events["attacked"].sum()
    assert sum(dataset["n_fooled"] for dataset in record["fooling"]["datasets"].values()) == fooled
    assert "pseudodata" not in record["fooling"]["datasets"]
    assert (folder / "adversarial.parquet").stat().st_size > 100_000
    assert set(read_store(folder / "histograms.zip").histograms) == set(FEATURES.names)
    constrained = {part["region"]: part for part in record["compatibility"]}["constrained"]
    compared = record["validation"]["figures"]
    assert {(one["comparison"], one["part"]) for one in compared} == {
        (what, region) for what in ("inputs", "score", "correlations") for region in ("high_mt", "b_jet")
    }
    assert all(one["kept"] and one["value"] <= one["cap"] for one in compared)
    # The scan goes through the demo's own attack, in its bins and within its bounds.
    (point,) = record["frontier"]["points"]
    assert point["fooling"] == pytest.approx(record["fooling"]["fooling_ratio"])
    assert point["power"]["value"] == record["detection"]["combined"]["power"]["value"]
    assert point["max_js_distance"] == pytest.approx(constrained["max_js_distance"])
    control = {c["name"]: c for c in record["verdict"]["criteria"]}["FlaggedFractionsAgree"]
    # With so few data it cannot be shown that the detector flags equal fractions, nor that it does not.
    assert control["status"] == "not evaluated"
    assert control["numbers"].startswith("high_mt: data ")
    assert [one["decision"] for one in record["verdict"]["regions"]] == ["INVESTIGATE"]
    # Each comparison by itself is kept at a power, which is more for all of them together.
    assert 0.05 < record["detection"]["combined"]["power"]["value"] < 0.9
    # The trained network is a state dictionary that can be read again.
    blank = Standardise(torch.zeros(len(FEATURES)).numpy(), torch.ones(len(FEATURES)).numpy())
    network = load_torch(folder / "network.pt", network=mlp(len(FEATURES), (64, 64, 32), preprocessing=blank))
    assert network.digest == record["provenance"]["classifier"]

    # The same call takes every step from its folder; the figures would take as long as before.
    for drawing in ("hepfool.study._outcome.draw_study", "hepfool.study._procedure.further_figures"):
        monkeypatch.setattr(drawing, lambda *_, **__: {})
    steps = demo.demo_study(folder, frontier=True).steps()
    assert steps[-1].name == "report"
    again = demo.run_demo(folder, frontier=True, force=True)
    assert again.to_json() == summary.to_json()


def test_the_plan_knows_the_data() -> None:
    parts, plan = demo.demo_steps(until="baseline")["events"], demo.demo_study("report")
    assert plan.checks is not None
    assert plan.checks.n_data == parts.data.n_events
    assert plan.attack.kept.inputs is not None
    assert plan.attack.kept.inputs.max_js_distance == AtPower(detection_power=0.1, n_data=parts.data.n_events)
    assert plan.report.luminosity == htautau.luminosity_pb() / 1000.0
    assert plan.report.energy == ProcessSettings(name="default", settings=()).energy / 1000.0


def test_result_does_not_depend_on_the_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def stop(**_: Any) -> None:
        threads.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "demo_events", stop)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                demo.run_demo(tmp_path / "out")
        assert (threads, torch.get_num_threads()) == ([1, 1], before + 1)
    finally:
        torch.set_num_threads(before)
