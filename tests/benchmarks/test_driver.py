# SPDX-License-Identifier: BSD-3-Clause
"""What an attack inside coffea costs beside the same analysis without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coffea.nanoevents import NanoAODSchema
from coffea.processor import DaskExecutor, IterativeExecutor, ProcessorABC, Runner

from hepfool.attacks.base import AttackProblem
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable
from hepfool.models.networks import mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.processors.completeness import run_processor
from hepfool.processors.driver import AttackPlan, run_analysis
from hepfool.processors.passes import RangeProcessor, TableProcessor
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
from hepfool.typing import FloatArray
from tests.benchmarks.conftest import Record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]

CHUNK = 1000


class Quiet(NanoAODSchema):  # type: ignore[misc]  # coffea has no types
    warn_missing_crossrefs = False


@dataclass(frozen=True)
class Inference(ProcessorABC):  # type: ignore[misc]
    """The analysis with its network, as it was before."""

    analysis: HiggsToTauTau
    network: TorchClassifier

    def process(self, events: Any) -> dict[str, Any]:
        table = self.analysis.build(events)
        scores = self.network.scores(table.network_values)[:, 1]
        metadata = events.metadata
        read = {metadata["dataset"]: {metadata["filename"]: metadata["entrystop"] - metadata["entrystart"]}}
        return {"scores": np.histogram(scores, bins=50, range=(0, 1), weights=table.weights)[0], "processed": read}


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


@pytest.fixture(scope="module")
def fileset() -> dict[str, Any]:
    return {name: htautau.fileset()[name] for name in ("ggH", "TTbar")}


@pytest.fixture(scope="module")
def analysis() -> HiggsToTauTau:
    return HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())


@pytest.fixture(scope="module")
def plan(analysis: HiggsToTauTau, fileset: dict[str, Any]) -> AttackPlan:
    ranges = run_processor(_runner(), fileset, RangeProcessor(analysis))["ranges"]
    torch.manual_seed(1)
    network = TorchClassifier(mlp(len(analysis.features), [64, 64, 32]))
    return AttackPlan(
        classifier=network, attack=Still(), scope="chunk", target="all", binning=ranges.binning(Still().n_bins)
    )


def _runner(executor: Any = None) -> Runner:
    return Runner(executor or IterativeExecutor(status=False), schema=Quiet, chunksize=CHUNK, maxchunks=4)


def test_overhead_over_inference(
    analysis: HiggsToTauTau, plan: AttackPlan, fileset: dict[str, Any], record: Record
) -> None:
    inference = cpu(lambda: run_processor(_runner(), fileset, Inference(analysis, plan.classifier)))
    still = cpu(lambda: run_analysis(_runner(), fileset, analysis, plan))
    moving = replace(plan, attack=CONSERVAttack(n_bins=50, step=0.01, n_iterations=1, max_js_distance=0.05))
    attacked = cpu(lambda: run_analysis(_runner(), fileset, analysis, moving))
    remark = f"8 chunks of {CHUNK} events, 6 shifts, CPU time"
    record("run_analysis without an attack / inference only", still / inference, target="<= 2", remark=remark)
    record("run_analysis, 1 iteration / inference only", attacked / inference, remark=remark)


def test_projection(analysis: HiggsToTauTau, record: Record, test_data: Path) -> None:
    file = test_data / "cms-opendata" / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    fileset = {"ttbar": {"files": [str(file)], "metadata": {"is_signal": False}}}
    runner = Runner(IterativeExecutor(status=False), schema=Quiet, chunksize=50)
    whole = cpu(lambda: run_processor(runner, fileset, TableProcessor(Everything(analysis))))
    projected = cpu(lambda: run_processor(runner, fileset, TableProcessor(analysis)))
    remark = "CMS open data, 947 branches, 200 events in 4 chunks, CPU time"
    record("all branches / those of the analysis", whole / projected, target=">= 2", remark=remark)


@pytest.mark.dask
def test_two_workers(analysis: HiggsToTauTau, plan: AttackPlan, fileset: dict[str, Any], record: Record) -> None:
    distributed = pytest.importorskip("distributed")
    seconds = {}
    for n_workers in (1, 2):
        with (
            distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=":0") as cluster,
            distributed.Client(cluster) as client,
        ):
            runner = _runner(DaskExecutor(client=client, status=False))
            times = []
            for _ in range(3):  # the first one compiles and imports
                start = time.perf_counter()
                run = run_analysis(runner, fileset, analysis, plan)
                times.append(time.perf_counter() - start)
            seconds[n_workers] = min(times[1:])
    n_chunks = run.provenance["chunking"]["n_chunks"]
    remark = f"dask, {n_chunks} chunks, wall time"
    record("throughput of two workers / one", seconds[1] / seconds[2], target=">= 1.7 on idle cores", remark=remark)
