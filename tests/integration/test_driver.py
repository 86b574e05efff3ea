# SPDX-License-Identifier: BSD-3-Clause
"""One call for a whole analysis; what may go wrong is in ``test_faults.py``."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch
import uproot
from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor import DaskExecutor, FuturesExecutor, IterativeExecutor, Runner, SimpleCheckpointer

from hepfool.attacks import CONSERVAttack
from hepfool.defences import Detector
from hepfool.events import UNLABELLED, EventTable
from hepfool.io import read_store
from hepfool.models import TorchClassifier, mlp
from hepfool.processors import (
    AttackPlan,
    AttackProcessor,
    ChunkProcessor,
    RangeProcessor,
    RunSettings,
    digest,
    run_analysis,
    run_processor,
    write_run,
)
from hepfool.processors._driver import AnalysisRun
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
from hepfool.sums._record import Key
from tests.judged import judged_attack
from tests.toy_analysis import Logistic, Push, ToyAnalysis

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]


def _runner(executor: Any = None, **options: Any) -> Runner:
    executor = executor or IterativeExecutor(status=False, retries=0)
    return Runner(executor, **{"schema": BaseSchema, "chunksize": 100, **options})


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A line through the events."""
    line = torch.nn.Linear(3, 1)
    with torch.no_grad():
        line.weight[:] = torch.tensor([[0.05, 0.01, 0.0]])
        line.bias[:] = -3.0
    return Detector(
        classifier=TorchClassifier(line), threshold=0.45, features=("lepton_pt", "met", "jet_pt"), hidden=()
    )


@pytest.fixture
def plan(detector: Detector) -> AttackPlan:
    return AttackPlan(Logistic(), Push(), seed=7, detector=detector)


@pytest.fixture(params=["dataset", "chunk"])
def scope(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def expected(toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any) -> AnalysisRun:
    return run_analysis(_runner(), toy_fileset, ToyAnalysis(), plan, scope=scope)


def test_the_passes_give_what_the_processors_give(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun
) -> None:
    binning = run_processor(_runner(), toy_fileset, RangeProcessor(ToyAnalysis()))["ranges"].binning(20)
    processor = ChunkProcessor if scope == "chunk" else AttackProcessor
    separate = run_processor(_runner(), toy_fileset, processor(ToyAnalysis(), **{**vars(plan), "binning": binning}))
    assert digest(separate) == digest(expected.out)
    assert (expected.ranges is not None) == (scope == "chunk")
    assert list(expected.provenance["passes"]) == (["ranges", "attack"] if scope == "chunk" else ["attack"])


@pytest.mark.parametrize(
    "pool", [pytest.param(None, marks=pytest.mark.slow), ThreadPoolExecutor], ids=["processes", "threads"]
)
def test_pools_give_the_same_to_the_last_bit(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun, pool: Any
) -> None:
    executor = FuturesExecutor(workers=2, status=False, **({} if pool is None else {"pool": pool}))
    runner = _runner(executor, pre_executor=IterativeExecutor(status=False))
    other = run_analysis(runner, toy_fileset, ToyAnalysis(), plan, scope=scope, settings=RunSettings(large_bytes=1000))
    assert other.digest == expected.digest
    assert other.provenance["executor"]["threads_per_chunk"] == 1


@pytest.mark.dask
@pytest.mark.slow
def test_dask_gives_the_same_to_the_last_bit(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun, dask_client: Any, tmp_path: Path
) -> None:
    executor = DaskExecutor(client=dask_client, status=False)
    inline = run_analysis(_runner(executor), toy_fileset, ToyAnalysis(), plan, scope=scope)
    options: dict[str, Any] = {"resume": tmp_path / "kept", "settings": RunSettings(large_bytes=1000, threads=2)}
    through_files = run_analysis(_runner(executor), toy_fileset, ToyAnalysis(), plan, scope=scope, **options)
    assert inline.digest == through_files.digest == expected.digest
    assert list((tmp_path / "kept" / "state").iterdir())


def test_the_order_of_files_and_datasets_does_not_matter(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun
) -> None:
    turned = {
        name: {**toy_fileset[name], "files": toy_fileset[name]["files"][::-1]} for name in reversed(list(toy_fileset))
    }
    assert run_analysis(_runner(), turned, ToyAnalysis(), plan, scope=scope).digest == expected.digest


def test_trees_may_be_named_by_file(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun
) -> None:
    named = {name: {**entry, "files": dict.fromkeys(entry["files"], "Events")} for name, entry in toy_fileset.items()}
    assert run_analysis(_runner(), named, ToyAnalysis(), plan, scope=scope, treename="Other").digest == expected.digest


def test_a_part_of_the_events_is_complete(toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any) -> None:
    run = run_analysis(_runner(maxchunks=1), toy_fileset, ToyAnalysis(), plan, scope=scope)
    assert run.completeness.n_expected == run.completeness.n_processed == 300


def test_detector_counts_what_is_fooled_and_not_flagged(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun, detector: Detector
) -> None:
    sums = expected.out["sums"]
    for dataset in ("signal", "background"):
        of = {"dataset": dataset, "region": "low_met"}
        flagged, everything = (sums.count(name, variation="nominal", **of) for name in ("flagged", "events"))
        assert 0 < flagged.of(everything).value < 1
        scores = sums.total("detector score", variation="adversarial", **of)
        assert scores[0].sum() == pytest.approx(sums.count("events", **of).weight)
    assert 0 < sums.count("flagged", region="low_met", variation="data").n < sums.count("events", variation="data").n
    if scope == "dataset":
        result = expected.out["result"]
        missed = result.fooled & ~detector.flags(result.adversarial.network_values)
        assert sums.count("unflagged").n == missed.sum() > 0
        assert missed.sum() < result.fooled.sum()


# Provenance and output


def test_provenance_differs_between_runs(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun
) -> None:
    provenance = json.loads(json.dumps(expected.provenance))
    assert provenance == expected.provenance
    assert provenance["configuration"]["attack"] == repr(plan.attack)
    assert (provenance["seed"], provenance["digests"]["network"]) == (7, plan.classifier.digest)
    assert provenance["versions"]["coffea"]
    assert (provenance["chunking"]["n_chunks"], provenance["chunking"]["n_files"]) == (13, 5)
    assert provenance["executor"]["name"] == "IterativeExecutor"
    assert provenance["completeness"] == {"expected": 1200, "processed": 1200, "lost": 0, "allowed_missing": {}}
    other = run_analysis(
        _runner(), toy_fileset, ToyAnalysis(min_pt=25.0), replace(plan, seed=8), scope=scope
    ).provenance
    different = {name for name, value in provenance["digests"].items() if other["digests"][name] != value}
    assert different == {"analysis", "seed"}


def test_output_holds_everything(tmp_path: Path, plan: AttackPlan, scope: Any, expected: AnalysisRun) -> None:
    write_run(tmp_path / "run.zip", expected)
    store = read_store(tmp_path / "run.zip")
    assert store.metadata["provenance"] == expected.provenance
    assert store.metadata["digest"] == expected.digest
    sums = expected.out["sums"]
    assert set(store.histograms) == {"marginal_lepton_pt", "marginal_met", "marginal_jet_pt", "score_1"}
    assert store.histograms["marginal_met"] == sums.histogram("met")
    key = Key("count", "all", "adversarial", "signal", "1", "fooled")
    k = store.metadata["sums"].index(list(key))
    np.testing.assert_array_equal(store.arrays[f"sum_{k}"], sums.sums[key].value)
    assert store.arrays[f"sum_{k}"][0] == sums.counts(dataset="signal").n_fooled > 0
    with pytest.raises(FileExistsError):
        write_run(tmp_path / "run.zip", expected)


def test_a_summary_says_which_run_it_is_of(toy_fileset: dict[str, Any], plan: AttackPlan) -> None:
    run = run_analysis(_runner(), toy_fileset, ToyAnalysis(), replace(plan, detector=None))
    assert run.out["result"].provenance["run"] == run.provenance
    table = run.out["result"].nominal
    study = judged_attack(table, plan.classifier, plan.attack, seed=1)
    assert "run" not in study.summary.provenance


# Traps of the ecosystem


def test_a_checkpointer_that_confuses_passes_is_refused(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, tmp_path: Path
) -> None:
    runner = _runner(checkpointer=SimpleCheckpointer(str(tmp_path)))
    with pytest.raises(ValueError, match="cannot separate the passes"):
        run_analysis(runner, toy_fileset, ToyAnalysis(), plan, scope=scope)


@dataclass(frozen=True)
class NeedsFile(ToyAnalysis):
    """Reads something of its own, which is not there for one of the files."""

    def build(self, events: Any) -> EventTable:
        if events.metadata["filename"].endswith("signal_1.root"):
            Path("/nowhere/scale_factors.json").read_text(encoding="utf-8")
        return super().build(events)


@pytest.mark.parametrize("skip", [False, True])
def test_skipbadfiles_does_not_swallow_a_mistake_of_the_analysis(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, skip: bool
) -> None:
    with pytest.raises(Exception, match="FileNotFoundError"):
        run_analysis(_runner(skipbadfiles=skip), toy_fileset, NeedsFile(), plan, scope=scope, allow_missing=True)


def test_changed_metadata_count_in_the_same_process(toy_fileset: dict[str, Any], plan: AttackPlan) -> None:
    run_analysis(_runner(), toy_fileset, ToyAnalysis(), plan)
    turned = {**toy_fileset, "signal": {**toy_fileset["signal"], "metadata": {"label": 0}}}
    run = run_analysis(_runner(), turned, ToyAnalysis(), plan)
    assert set(run.out["result"].nominal.labels) == {0} != {UNLABELLED}


def test_results_and_savemetrics_of_the_runner_do_not_matter(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun
) -> None:
    runner = _runner(savemetrics=True, skipbadfiles=True, use_result_type=True)
    assert run_analysis(runner, toy_fileset, ToyAnalysis(), plan, scope=scope).digest == expected.digest


# Projection and real attack


@dataclass(frozen=True)
class Projected(ToyAnalysis):
    branches = ("met", "weight", "lepton_pt", "nlepton_pt", "jet_pt", "njet_pt")


@dataclass(frozen=True)
class TooFew(ToyAnalysis):
    branches = ("met", "weight", "lepton_pt", "nlepton_pt")


def test_only_the_named_branches_are_there(
    toy_fileset: dict[str, Any], plan: AttackPlan, scope: Any, expected: AnalysisRun
) -> None:
    run = run_analysis(_runner(), toy_fileset, Projected(), plan, scope=scope)
    assert run.digest == expected.digest
    assert run.provenance["configuration"]["branches"] == list(Projected.branches)
    with pytest.raises(Exception, match="jet_pt"):
        run_analysis(_runner(), toy_fileset, TooFew(), plan, scope=scope)


def test_wide_files_cost_no_more_when_projected(tmp_path: Path, plan: AttackPlan, scope: Any) -> None:
    rng = np.random.default_rng(1)
    lists = {name: ak.unflatten(30 + rng.exponential(30, 600), np.full(300, 2)) for name in ("lepton_pt", "jet_pt")}
    content = {**lists, "met": rng.exponential(40, 300), "weight": np.ones(300)}
    content |= {f"other_{k}": rng.normal(size=300) for k in range(50)}
    types = {name: ak.type(array).content if name in lists else array.dtype for name, array in content.items()}
    with uproot.recreate(tmp_path / "wide.root") as file:
        file.mktree("Events", types).extend(content)
    fileset = {"signal": {"files": [str(tmp_path / "wide.root")], "metadata": {"label": 1}}}
    run = run_analysis(_runner(), fileset, Projected(), plan, scope=scope)
    columns = run.provenance["passes"]["attack"]["columns"]
    assert {"met", "weight"} <= set(columns)
    assert not [name for name in columns if name.startswith("other")]


def test_objects_are_not_given_to_other_events(tmp_path: Path, plan: AttackPlan, scope: Any) -> None:
    counts = np.array([1, 2, 0, 1])
    taus = ak.zip({"pt": ak.unflatten(np.arange(4.0), counts)})
    identity = {"run": np.ones(4, np.uint32), "luminosityBlock": np.ones(4, np.uint32), "event": np.arange(4)}
    content = {"Tau": taus, "nTau": counts - [0, 1, 0, 0], **identity}
    types = {k: array.type.content if isinstance(array, ak.Array) else array.dtype for k, array in content.items()}
    path = tmp_path / "skim.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", types, counter_name=lambda _: "other").extend(content)
    fileset = {"signal": {"files": [str(path)], "metadata": {"label": 1}}}
    with pytest.raises(Exception, match=r"skim\.root: nTau is 1 at entry 1, where Tau_pt has 2 values"):
        run_analysis(_runner(schema=NanoAODSchema), fileset, ToyAnalysis(), plan, scope=scope)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Missing cross-reference", "ignore::hepfool.exceptions.NetworkWarning")
def test_killed_attack_of_the_package_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NanoAODSchema, "warn_missing_crossrefs", False)
    analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
    runner = _runner(schema=NanoAODSchema, chunksize=2000, maxchunks=1)
    fileset = {name: htautau.fileset()[name] for name in ("ggH", "TTbar")}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = TorchClassifier(mlp(len(analysis.features), [8]))
    attack = CONSERVAttack(n_bins=20, n_iterations=3, max_js_distance=0.05)
    plan = AttackPlan(classifier=network, attack=attack, target="all", seed=3)
    clean = run_analysis(runner, fileset, analysis, plan)
    assert clean.out["result"].fooling_ratio > 0

    original, calls = CONSERVAttack.iterate, []

    def dying(self: Any, problem: Any, values: Any, iteration: int, rng: Any) -> Any:
        calls.append(iteration)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return original(self, problem, values, iteration, rng)

    monkeypatch.setattr(CONSERVAttack, "iterate", dying)
    with pytest.raises(KeyboardInterrupt):
        run_analysis(runner, fileset, analysis, plan, resume=tmp_path / "kept")
    resumed = run_analysis(runner, fileset, analysis, plan, resume=tmp_path / "kept")
    assert calls == [0, 1, 1, 2]
    assert resumed.provenance["passes"]["attack"]["n_resumed"] == 2
    assert resumed.digest == clean.digest
    np.testing.assert_array_equal(resumed.out["result"].adversarial.values, clean.out["result"].adversarial.values)


def test_an_unknown_scope_is_refused(plan: AttackPlan) -> None:
    with pytest.raises(ValueError, match="scope 'partition' is unknown"):
        run_analysis(_runner(), {}, ToyAnalysis(), plan, scope="partition")  # type: ignore[arg-type]
