# SPDX-License-Identifier: BSD-3-Clause
"""The main job as a user writes it, in Python, from a file and with dask: one study, equal numbers."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, IterativeExecutor, Runner
from coffea.util import save

from hepfool import CONSERVAttack, EventTable, Study, Validation, cli
from hepfool.io import write_partitions
from hepfool.processors import (
    AttackPlan,
    AttackProcessor,
    PartitionedAttack,
    TableProcessor,
    attack_collected,
    collect,
    run_analysis,
    run_processor,
)
from hepfool.study import judged
from hepfool.study._plan import SplitConfiguration
from tests.toy_analysis import Sloped, ToyAnalysis

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]

#: From NanoEvents to a verdict.
SCRIPT = """
from coffea.nanoevents import NanoAODSchema
from coffea.processor import Runner
from hepfool import CONSERVAttack, Study
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau

study = Study(
    output="report",
    network={"training": {"max_epochs": 2}},
    attack=CONSERVAttack(n_iterations=1, max_js_distance=0.03, max_correlation_shift=0.03),
    detector=None,
)
analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
runner = Runner(executor, schema=NanoAODSchema, chunksize=chunksize)
summary = study.run(analysis=analysis, runner=runner, fileset=htautau.fileset())
print(summary.verdict["decision"])
"""
#: The same of what the workers selected.
FILE = """
output: report
events: {coffea_output: selected.coffea, unsafe_pickle: true}
network: {training: {max_epochs: 2}}
attack: {n_iterations: 1, validation: null, n_bins: 200, max_js_distance: 0.03, max_correlation_shift: 0.03}
detector: null
"""
WHOLE = SplitConfiguration(train=0.0, validation=0.0)
ATTACK = CONSERVAttack(strategy="frugal", n_iterations=2, converge=False, validation=Validation())


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hepfool.study._outcome.draw_study", lambda *_, **__: {})
    monkeypatch.setattr("hepfool.study._procedure.further_figures", lambda *_, **__: {})


@pytest.fixture
def dask() -> Iterator[DaskExecutor]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield DaskExecutor(client=client, status=False)


def numbers(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    return {name: part for name, part in record.items() if name not in {"provenance", "versions"}}


def test_seven_names_lead_from_events_to_a_verdict() -> None:
    imported = [node for node in ast.walk(ast.parse(SCRIPT)) if isinstance(node, ast.ImportFrom)]
    assert sum(len(node.names) for node in imported) <= 7


@pytest.mark.dask
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_python_dask_and_a_file_give_the_same_numbers(
    dask: DaskExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places: dict[str, dict[str, Any]] = {
        "python": {"executor": IterativeExecutor(status=False), "chunksize": 100_000},
        "dask": {"executor": dask, "chunksize": 1500},
    }
    for name, names in places.items():
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        exec(compile(SCRIPT, name, "exec"), names)
        assert names["summary"].verdict["decision"] in capsys.readouterr().out
        analysis, runner, fileset = names["analysis"], names["runner"], names["htautau"].fileset()
    assert numbers(tmp_path / "dask") == numbers(tmp_path / "python")
    assert numbers(tmp_path / "python")["fooling"]["fooling_ratio"]["value"] > 0

    (tmp_path / "file").mkdir()
    monkeypatch.chdir(tmp_path / "file")
    save(run_processor(runner, fileset, TableProcessor(analysis)), "selected.coffea")
    Path("study.yaml").write_text(FILE)
    result = CliRunner().invoke(cli.main, ["workflow", "study.yaml"])
    assert result.exit_code == 0, result.output
    assert numbers(tmp_path / "file") == numbers(tmp_path / "python")


# Doors


def selected(fileset: dict[str, Any]) -> EventTable:
    table: EventTable = run_processor(_runner(), fileset, TableProcessor(ToyAnalysis()))["table"]
    return table


def _runner(chunksize: int = 100) -> Runner:
    return Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=chunksize)


def by_processor(fileset: dict[str, Any], _folder: Path) -> Any:
    return run_processor(_runner(), fileset, AttackProcessor(ToyAnalysis(), Sloped(), ATTACK, seed=3))["sums"]


def by_run(fileset: dict[str, Any], _folder: Path) -> Any:
    return run_analysis(_runner(), fileset, ToyAnalysis(), AttackPlan(Sloped(), ATTACK, seed=3)).out["sums"]


def by_partitions(fileset: dict[str, Any], folder: Path) -> Any:
    stored = write_partitions(folder, [selected(fileset)])
    return PartitionedAttack(Sloped(), ATTACK, seed=3).run(stored).sums


def by_study(fileset: dict[str, Any], folder: Path) -> Any:
    plan = Study(output=folder / "report", attack=ATTACK, detector=None, seed=3, split=WHOLE)
    found: list[Any] = []

    def judge(sums: Any, **options: Any) -> Any:
        found.append(sums)
        return judged(sums, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepfool.study._procedure.judged", judge)
        plan.run(table=selected(fileset), classifier=Sloped())
    return found[0]


def by_collected(fileset: dict[str, Any], _folder: Path) -> Any:
    table = selected(fileset)
    collected = [
        collect(
            {"dataset": name, "filename": name, "entrystart": 0, "entrystop": part.n_events},
            {f.name: part.column(f.name) for f in part.features},
            label=int(part.labels[0]) if part.labels[0] >= 0 else None,
            weights=part.weights,
            regions={r.name: (r.role, r.mask, r.cuts) for r in part.regions},
            features=part.features,
            variations={"jet_energy_up": {"jet_pt": part.shape_variations["jet_energy_up"][:, 2]}},
            sentinel=part.sentinel,
            weight_variations=dict(part.weight_variations),
        )
        for name in table.datasets
        for part in [table.select(table.dataset_mask(name))]
    ]
    return attack_collected(sum(collected[1:], collected[0]), Sloped(), ATTACK, seed=3).sums(Sloped())


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("door", [by_run, by_partitions, by_study, by_collected])
def test_every_door_gives_the_numbers_of_the_attack_on_all_events(
    door: Any, toy_fileset: dict[str, Any], tmp_path: Path
) -> None:
    expected, found = by_processor(toy_fileset, tmp_path), door(toy_fileset, tmp_path)
    assert expected.counts(region="low_met").n_fooled > 0
    for where in ({}, {"region": "low_met"}, {"region": "high_met"}):
        assert found.counts(**where) == expected.counts(**where)
    np.testing.assert_array_equal(found.compatibility().js_distance, expected.compatibility().js_distance)


def test_each_chunk_by_itself_is_another_attack_within_the_same_bounds(
    toy_fileset: dict[str, Any], tmp_path: Path
) -> None:
    """Caps hold for what one worker sees, so that chunks cannot give the numbers of all events."""
    plan = AttackPlan(Sloped(), ATTACK, seed=3)
    chunks = run_analysis(_runner(200), toy_fileset, ToyAnalysis(), plan, scope="chunk").out["sums"]
    whole = by_processor(toy_fileset, tmp_path)
    assert chunks.counts().n_attacked == whole.counts().n_attacked
    assert chunks.counts(region="low_met").fooling_ratio < whole.counts(region="low_met").fooling_ratio
    # Where events are bounded one by one, by their variations, the caps of the other events do not matter.
    assert chunks.counts(region="high_met") == whole.counts(region="high_met")
    # These are the events on which the answer rests.
    answers = {judged(sums).summary.verdict["decision"] for sums in (chunks, whole)}
    assert len(answers) == 1
