# SPDX-License-Identifier: BSD-3-Clause
"""What an attack inside coffea costs beside the same analysis without one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import uproot
from coffea.nanoevents import NanoEventsFactory
from coffea.processor import DaskExecutor, IterativeExecutor, Runner

from analysis_examples.facility.facility import Inference, Schema, repeat
from hepfool.attacks import AttackProblem, CONSERVAttack
from hepfool.events import EventTable
from hepfool.models import TorchClassifier, mlp
from hepfool.processors import AttackPlan, RangeProcessor, TableProcessor, run_analysis, run_processor
from hepfool.processors.passes import Ranges
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
from hepfool.statistics import Binning
from hepfool.typing import FloatArray
from tests.benchmarks.conftest import Record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]


@dataclass(frozen=True)
class Still:
    """An attack that moves nothing: what remains is the work of the processor."""

    n_iterations: int = 1
    n_bins: int = 50

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        del problem, iteration, rng
        return values


@dataclass(frozen=True)
class Everything:
    """The analysis, reading all branches."""

    analysis: HiggsToTauTau

    @property
    def features(self) -> Any:
        return self.analysis.features

    def build(self, events: Any) -> EventTable:
        return self.analysis.build(events)


def cpu(call: Callable[[], Any]) -> float:
    """Shorter of two CPU times of a call in this process, in seconds, after one call that compiles."""
    call()
    seconds = []
    for _ in range(2):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return min(seconds)


def copies(folder: Path, n_events: int) -> dict[str, Any]:
    """Repeat the demo's files until they hold so many events."""
    repeated = {}
    for name, entry in htautau.fileset().items():
        (original,) = entry["files"]
        with uproot.open(original) as file:
            n_copies = -(-n_events // (5 * file["Events"].num_entries))
        made = [folder / f"{name}_{k}.root" for k in range(n_copies)]
        for copy in made:
            shutil.copy(original, copy)
        repeated[name] = {**entry, "files": [str(copy) for copy in made]}
    return repeated


@pytest.fixture(scope="module")
def fileset() -> dict[str, Any]:
    return htautau.fileset()


@pytest.fixture(scope="module")
def analysis() -> HiggsToTauTau:
    return HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())


@pytest.fixture(scope="module")
def plan(analysis: HiggsToTauTau, fileset: dict[str, Any]) -> AttackPlan:
    torch.manual_seed(1)
    return AttackPlan(
        classifier=TorchClassifier(mlp(len(analysis.features), [64, 64, 32])),
        attack=Still(),
        target="all",
        binning=_binning(analysis, fileset, Still().n_bins),
    )


def _binning(analysis: HiggsToTauTau, fileset: dict[str, Any], n_bins: int) -> Binning:
    ranges: Ranges = run_processor(_runner(), fileset, RangeProcessor(analysis))["ranges"]
    return ranges.binning(n_bins)


def _runner(executor: Any = None) -> Runner:
    return Runner(executor or IterativeExecutor(status=False), schema=Schema)


def test_overhead_over_inference(
    analysis: HiggsToTauTau, plan: AttackPlan, fileset: dict[str, Any], record: Record
) -> None:
    inference = cpu(lambda: run_processor(_runner(), fileset, Inference(analysis, plan.classifier)))
    attack = CONSERVAttack(max_js_distance=0.05, max_correlation_shift=0.05)
    moving = replace(plan, attack=attack, binning=_binning(analysis, fileset, attack.n_bins))
    n_events = run_analysis(_runner(), fileset, analysis, plan, scope="chunk").completeness.n_processed
    remark = f"{n_events} events in {len(fileset)} chunks, 6 shifts, CPU time"
    for name, kind, target in (("without an attack", plan, "<= 2"), ("default attack", moving, "<= 3")):
        seconds = cpu(partial(run_analysis, _runner(), fileset, analysis, kind, scope="chunk"))
        record(f"run_analysis, {name} / inference only", seconds / inference, target=target, remark=remark)


@pytest.mark.filterwarnings("ignore:Branch Photon:RuntimeWarning")  # of a file of 2015
def test_projection(analysis: HiggsToTauTau, record: Record, test_data: Path, tmp_path: Path) -> None:
    file = tmp_path / "ttbar.root"
    repeat(test_data / "cms-opendata" / "nanoAOD_2015_CMS_Open_Data_ttbar.root", [file], 50)
    with uproot.open(file) as written:
        n_branches, n_events = len(written["Events"].keys()), written["Events"].num_entries

    def read(**options: Any) -> Any:
        source = {str(file): "Events"}
        return NanoEventsFactory.from_root(source, schemaclass=Schema, mode="eager", **options).events()

    projection = {"iteritems_options": {"filter_name": list(analysis.branches)}}
    remark = f"CMS open data, {n_branches} branches, one chunk of {n_events} events, CPU time"
    ratio = cpu(read) / cpu(lambda: read(**projection))
    record("reading all branches / those of the analysis", ratio, target=">= 2", remark=remark)
    fileset = {"ttbar": {"files": [str(file)], "metadata": {"is_signal": False}}}
    runner = Runner(IterativeExecutor(status=False), schema=Schema)
    lazy = cpu(lambda: run_processor(runner, fileset, TableProcessor(Everything(analysis))))
    projected = cpu(lambda: run_processor(runner, fileset, TableProcessor(analysis)))
    remark = f"{remark}; coffea reads what is touched, the projection spares the description of the rest"
    record("a whole pass, all branches on demand / projected", lazy / projected, remark=remark)


@pytest.mark.dask
@pytest.mark.filterwarnings("ignore:files with the same UUID")  # copies on purpose
def test_two_workers(analysis: HiggsToTauTau, plan: AttackPlan, record: Record, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    fileset = copies(tmp_path, 2_000_000)
    attack = CONSERVAttack(max_js_distance=0.05, max_correlation_shift=0.05)
    plan = replace(plan, attack=attack, binning=_binning(analysis, htautau.fileset(), attack.n_bins))
    rate = {}
    for n_workers in (1, 2):
        with (
            distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
            distributed.Client(cluster) as client,
        ):
            runner = _runner(DaskExecutor(client=client, status=False))
            share = {name: {**entry, "files": entry["files"][::2]} for name, entry in fileset.items()}
            run_analysis(
                runner, {"ggH": {**fileset["ggH"], "files": fileset["ggH"]["files"][:4]}}, analysis, plan, scope="chunk"
            )
            start = time.perf_counter()
            run = run_analysis(runner, share if n_workers == 1 else fileset, analysis, plan, scope="chunk")
            rate[n_workers] = run.completeness.n_processed / (time.perf_counter() - start)
    remark = f"dask, {run.completeness.n_processed} events of the demo's files repeated; {rate[2]:.0f} events/s in two; one worker took half"
    record("throughput of two workers / one", rate[2] / rate[1], target=">= 1.7 on idle cores", remark=remark)
