# SPDX-License-Identifier: BSD-3-Clause
"""What an attack inside coffea costs beside the same analysis without one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coffea.nanoevents import NanoAODSchema
from coffea.processor import DaskExecutor, IterativeExecutor, ProcessorABC, Runner

from hepfool.attacks.conserv import CONSERVAttack
from hepfool.models.networks import mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.processors.completeness import run_processor
from hepfool.processors.driver import AttackPlan, run_analysis
from hepfool.processors.passes import RangeProcessor, TableProcessor
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
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


@pytest.fixture(scope="module")
def analysis() -> HiggsToTauTau:
    return HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())


@pytest.fixture(scope="module")
def plan(analysis: HiggsToTauTau) -> AttackPlan:
    ranges = run_processor(_runner(), htautau.fileset(), RangeProcessor(analysis))["ranges"]
    torch.manual_seed(1)
    attack = CONSERVAttack(n_bins=50, step=0.01, n_iterations=5, max_js_distance=0.05)
    network = TorchClassifier(mlp(len(analysis.features), [64, 64, 32]))
    return AttackPlan(
        classifier=network, attack=attack, scope="chunk", target="all", binning=ranges.binning(attack.n_bins)
    )


def _runner(executor: Any = None) -> Runner:
    return Runner(executor or IterativeExecutor(status=False), schema=Quiet, chunksize=CHUNK)


def test_overhead_over_inference(
    analysis: HiggsToTauTau, plan: AttackPlan, wall: Callable[..., float], record: Record
) -> None:
    fileset = htautau.fileset()
    inference = wall(lambda: run_processor(_runner(), fileset, Inference(analysis, plan.classifier)), repeat=2)
    still = dataclasses.replace(plan.attack, n_iterations=1)
    seconds = wall(lambda: run_analysis(_runner(), fileset, analysis, plan), repeat=2)
    single = wall(lambda: run_analysis(_runner(), fileset, analysis, dataclasses.replace(plan, attack=still)), repeat=2)
    remark = f"{len(fileset)} files, 26000 events, chunks of {CHUNK}, one process"
    record("run_analysis with 5 iterations / inference only", seconds / inference, remark=remark)
    record("run_analysis with 1 iteration / inference only", single / inference, target="<= 3", remark=remark)


def test_projection(analysis: HiggsToTauTau, wall: Callable[..., float], record: Record, test_data: Path) -> None:
    file = test_data / "cms-opendata" / "nanoAOD_2015_CMS_Open_Data_ttbar.root"
    fileset = {"ttbar": {"files": [str(file)], "metadata": {"is_signal": False}}}

    @dataclass(frozen=True)
    class Everything(HiggsToTauTau):
        branches = ()

    runner = Runner(IterativeExecutor(status=False), schema=Quiet, chunksize=50)
    all_branches = wall(lambda: run_processor(runner, fileset, TableProcessor(Everything())), repeat=2)
    projected = wall(lambda: run_processor(runner, fileset, TableProcessor(analysis)), repeat=2)
    remark = "CMS open data, 947 branches, 200 events in 4 chunks"
    record("all branches / only those of the analysis", all_branches / projected, target=">= 2", remark=remark)


@pytest.mark.dask
def test_two_workers(analysis: HiggsToTauTau, plan: AttackPlan, record: Record) -> None:
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
                run_analysis(runner, htautau.fileset(), analysis, plan)
                times.append(time.perf_counter() - start)
            seconds[n_workers] = min(times[1:])
    record("throughput of two workers / one", seconds[1] / seconds[2], target=">= 1.7", remark="dask, 25 chunks")
