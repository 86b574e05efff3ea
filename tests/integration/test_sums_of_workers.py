# SPDX-License-Identifier: BSD-3-Clause
"""Verdict, report and figures of distributed runs against those of the very same attacked events in memory."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, IterativeExecutor, Runner

from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.defences import Detector
from hepfool.events import UNLABELLED, EventTable, signal_region_envelope
from hepfool.exceptions import LowStatisticsWarning
from hepfool.io import open_partitions, write_partitions
from hepfool.models import TorchClassifier
from hepfool.models.protocols import threshold_of
from hepfool.processors import AttackPlan, PartitionedAttack, TableProcessor, attack_table, run_analysis
from hepfool.processors._chunk import attack_what_can_be, chunk_rng
from hepfool.report import summary_markdown
from hepfool.statistics import Binning
from hepfool.study import judged, write_study
from hepfool.sums import AttackSums, data_sums
from hepfool.validation import Correlations, Marginals, Validation
from tests.toy_analysis import Sloped, ToyAnalysis

pytestmark = pytest.mark.torch

# Workers cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

ATTACK = CONSERVAttack(
    n_iterations=2,
    converge=False,
    strategy="frugal",
    validation=Validation(
        inputs=Marginals(max_js_distance=0.1, n_bins=20, n_quantiles=0),
        score=Marginals(max_js_distance=0.1, n_bins=10, n_quantiles=0),
        correlations=Correlations(max_shift=0.1),
        separately="union",
    ),
)
SEED = 7


@pytest.fixture(scope="module")
def detector() -> Detector:
    """A line through two inputs."""
    line = torch.nn.Linear(3, 1)
    with torch.no_grad():
        line.weight[:] = torch.tensor([[0.03, -0.03, 0.0]])
        line.bias[:] = 0.0
    return Detector(classifier=TorchClassifier(line), threshold=0.6, features=("lepton_pt", "met", "jet_pt"), hidden=())


class Chunks(TableProcessor):
    """Selected events by chunk, not joined."""

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        return accumulator


@pytest.fixture(autouse=True)
def _small_samples() -> Iterator[None]:
    """Let toy samples be small."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowStatisticsWarning)
        yield


def joined(results: list[AttackResult]) -> AttackResult:
    """One result of the very same events."""
    changes: dict[str, Any] = {
        name: EventTable.concatenate([getattr(one, name) for one in results]) for name in ("nominal", "adversarial")
    }
    for name in ("attacked", "fooled", "classes", "nominal_scores", "adversarial_scores"):
        changes[name] = np.concatenate([getattr(one, name) for one in results])
    none = [np.zeros(one.nominal.n_events, dtype=np.bool_) for one in results]
    changes["enveloped"] = np.concatenate(
        [one.enveloped if len(one.enveloped) else k for one, k in zip(results, none, strict=True)]
    )
    return replace(results[0], **changes)


def plain(record: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and word of a summary by its place, without what differs by construction."""
    if path in {"/provenance/random_state", "/provenance/run"}:
        return
    if isinstance(record, dict):
        for key, value in record.items():
            if key != "exchange":  # of pairs that were attacked together
                yield from plain(value, f"{path}/{key}")
    elif isinstance(record, list | tuple):
        for k, value in enumerate(record):
            yield from plain(value, f"{path}[{k}]")
    else:
        yield path, record


def summary_of(sums: AttackSums) -> dict[str, Any]:
    summary = judged(sums, seed=SEED).summary
    fields = ("provenance", "events", "fooling", "compatibility", "systematics", "detector", "verdict", "validation")
    return dict(plain({name: getattr(summary, name) for name in fields}))


def check_same(found: AttackSums, expected: AttackSums) -> None:
    """Compare two reports number by number, and what is drawn bin by bin."""
    one, other = summary_of(found), summary_of(expected)
    assert one.keys() == other.keys()
    assert len(one) > 150
    for place, value in other.items():
        if isinstance(value, float) and not isinstance(one[place], str):
            assert one[place] == pytest.approx(value, rel=1e-9, abs=1e-9), place
        elif not (isinstance(value, str) and any(letter.isdigit() for letter in value)):
            assert one[place] == value, place
    drawn = {"inputs", "score", "marginal", "detector score", "count"}
    assert {key.what for key in expected.sums} >= drawn - {"detector score"}
    for key, total in expected.sums.items():
        if key.what in drawn:
            np.testing.assert_allclose(found.sums[key].value, total.value, rtol=1e-9, atol=1e-9, err_msg=str(key))


def runner(executor: Any = None) -> Runner:
    executor = executor or IterativeExecutor(status=False, retries=0)
    return Runner(executor, schema=BaseSchema, chunksize=150)


@pytest.mark.dask
def test_chunks_on_workers_end_in_the_report_of_the_same_events(
    toy_fileset: dict[str, Any], detector: Detector, dask_client: Any, tmp_path: Path
) -> None:
    plan = AttackPlan(Sloped(), ATTACK, seed=SEED, detector=detector)
    executor = DaskExecutor(client=dask_client, status=False)
    found: AttackSums = run_analysis(runner(executor), toy_fileset, ToyAnalysis(), plan, scope="chunk").out["sums"]
    binning = found.facts["binning"]
    tables = runner()(toy_fileset, Chunks(ToyAnalysis()), treename="Events")["tables"]
    again = replace(plan, binning=binning)
    results, data = [], []
    for chunk in sorted(tables):
        table = tables[chunk]
        if chunk[0] == "collisions":
            data.append(table)
        elif table.n_events:
            metadata = dict(zip(("dataset", "filename", "entrystart", "entrystop"), chunk, strict=True))
            outcome = attack_what_can_be(again, table, chunk_rng(SEED, metadata))
            assert not outcome.missed.n_events
            results.append(outcome.result)
    assert len(results) > 5
    together = joined(results).sums(Sloped(), detector=detector)
    check_same(found, together + data_sums(EventTable.concatenate(data), Sloped(), binning, detector=detector))
    assert found.counts().n_fooled > 50
    study = judged(found, seed=SEED)
    assert len(study.evidence.fractions) == 1
    assert study.summary.detector is not None
    folder = write_study(study, tmp_path / "report")
    assert (folder / "report.html").stat().st_size > 10_000
    assert "Attack and physics systematics" in (folder / "summary.md").read_text()


def test_a_single_chunk_is_an_attack_in_memory(toy_fileset: dict[str, Any], detector: Detector) -> None:
    tables = runner()(toy_fileset, Chunks(ToyAnalysis()), treename="Events")["tables"]
    chunk = next(key for key in sorted(tables) if key[0] == "background")
    table = tables[chunk]
    metadata = dict(zip(("dataset", "filename", "entrystart", "entrystop"), chunk, strict=True))
    binning = Binning.uniform(table, n_bins=20)
    options: dict[str, Any] = {"binning": binning, "seed": SEED, "detector": detector}
    found = attack_table(table, Sloped(), ATTACK, metadata=metadata, **options)["sums"]
    bounds = signal_region_envelope(table)
    result = run_attack(ATTACK, Sloped(), table, rng=chunk_rng(SEED, metadata), binning=binning, envelope=bounds)
    assert found == result.sums(Sloped(), detector=detector)
    pair = (judged(found, seed=SEED), judged(result.sums(Sloped(), detector=detector), seed=SEED))
    assert pair[0].summary == pair[1].summary
    assert summary_markdown(pair[0].summary) == summary_markdown(pair[1].summary)


def test_partitions_end_in_the_report_of_the_same_events(toy_fileset: dict[str, Any], tmp_path: Path) -> None:
    found = runner()(toy_fileset, Chunks(ToyAnalysis()), treename="Events")["tables"]
    tables = [found[chunk] for chunk in sorted(found) if found[chunk].n_events]
    for name in ("nominal", "adversarial"):
        (tmp_path / name).mkdir()
    stored = write_partitions(tmp_path / "nominal", tables)
    settings = PartitionedAttack(classifier=Sloped(), attack=ATTACK, seed=SEED, max_events=1, partition_events=250)
    assert len(settings.groups(stored.files)) > 1
    result = settings.run(stored, folder=tmp_path / "adversarial")
    nominal = []
    for group in settings.groups(stored.files):
        table = EventTable.concatenate([stored.read([file]) for file in group])
        nominal.append(table.select(table.labels != UNLABELLED))
    adversarial = open_partitions(tmp_path / "adversarial").read()
    before = EventTable.concatenate([table for table in nominal if table.n_events])
    network, binning = Sloped(), result.sums.facts["binning"]
    assert np.array_equal(before.labels, adversarial.labels)
    scores = [network.scores(table.network_values) for table in (before, adversarial)]
    some = run_attack(ATTACK, network, before, rng=1, binning=binning)
    together = replace(
        some,
        nominal=before,
        adversarial=before.with_values(adversarial.values),
        attacked=np.asarray(adversarial.spectators["attacked"], dtype=bool),
        fooled=np.asarray(adversarial.spectators["fooled"], dtype=bool),
        nominal_scores=scores[0],
        adversarial_scores=scores[1],
        threshold=threshold_of(network),
    )
    data = EventTable.concatenate([table.select(table.labels == UNLABELLED) for table in tables])
    check_same(result.sums, together.sums(network) + data_sums(data, network, binning))
    assert not math.isnan(judged(result.sums).evidence.attack.flips.value)  # type: ignore[union-attr]
