# SPDX-License-Identifier: BSD-3-Clause
"""Events in files: the same as in memory where one partition suffices, within the caps where it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, Runner

from hepfool.attacks import AttackProblem, CONSERVAttack
from hepfool.events import UNLABELLED, EventTable
from hepfool.exceptions import ConstraintError, IncompleteInputError, LowStatisticsWarning
from hepfool.io import Partitions, open_partitions, write_partitions
from hepfool.io._partitions import PartitionFile
from hepfool.processors import AttackProcessor, PartitionedAttack, PartitionProcessor, run_processor
from hepfool.processors import _partitioned_attack as partitioned_attack
from hepfool.statistics import Binning
from hepfool.sums import AttackSums
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier, events


@pytest.fixture(autouse=True)
def _small_samples() -> Iterator[None]:
    """Let toy samples be small."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowStatisticsWarning)
        yield


def _runner(chunksize: int = 100, **options: Any) -> Runner:
    executor = IterativeExecutor(status=False, retries=0)
    return Runner(executor, schema=BaseSchema, chunksize=chunksize, metadata_cache={}, **options)


@pytest.fixture
def partitions(toy_fileset: dict[str, Any], analysis: Any, tmp_path: Path) -> Partitions:
    (tmp_path / "nominal").mkdir()
    out = run_processor(_runner(), toy_fileset, PartitionProcessor(analysis, tmp_path / "nominal"))
    written: Partitions = out["partitions"]
    return written


def test_one_partition_is_the_attack_on_all_events(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, partitions: Partitions, tmp_path: Path
) -> None:
    whole = run_processor(_runner(70), toy_fileset, AttackProcessor(analysis, classifier, attack, seed=3))
    (tmp_path / "adversarial").mkdir()
    settings = PartitionedAttack(classifier=classifier, attack=attack, seed=3)
    result = settings.run(partitions, folder=tmp_path / "adversarial")
    assert result.sums.sums == whole["sums"].sums
    assert result.fooling_ratio == pytest.approx(whole["result"].fooling_ratio)
    assert result.fooling_ratio > 0
    np.testing.assert_allclose(result.compatibility.js_distance, whole["result"].compatibility.js_distance, atol=1e-12)
    kept = open_partitions(tmp_path / "adversarial").read()
    np.testing.assert_array_equal(kept.values, whole["result"].adversarial.values)
    np.testing.assert_array_equal(kept.spectators["fooled"], whole["result"].fooled)


def test_data_in_signal_regions_are_left_out_and_the_detector_is_applied(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, tmp_path: Path
) -> None:
    processor = PartitionProcessor(analysis, tmp_path, unblind=True)
    stored = run_processor(_runner(), toy_fileset, processor)["partitions"]
    detector: Any = SimpleNamespace(score=lambda values: classifier.scores(values)[:, 1], threshold=0.5)
    yields = {}
    for unblind in (False, True):
        settings = PartitionedAttack(classifier, attack, unblind=unblind, detector=detector)
        sums = settings.run(stored).sums
        data: Any = sums.histogram("met")[{"dataset": "collisions", "variation": "data"}]
        yields[unblind] = (data["low_met", :].sum().value, data["high_met", :].sum().value)
        assert sums.count("flagged", variation="nominal", dataset="signal").weight > 0
    assert yields[False][0] == yields[True][0] > 0
    assert yields[False][1] == 0 < yields[True][1]
    table = stored.read()
    blinded = (table.labels < 0) & table.region("high_met").mask
    (tmp_path / "apart").mkdir()
    apart = write_partitions(tmp_path / "apart", [table.select(table.labels >= 0), table.select(blinded)])
    settings = PartitionedAttack(classifier, attack, max_events=1, partition_events=int(blinded.sum()))
    assert sorted(settings.run(apart).n_events) == [0, (table.labels >= 0).sum()]


def test_the_manifest_alone_is_enough_later(
    partitions: Partitions, classifier: Any, attack: Any, toy_fileset: dict[str, Any], analysis: Any
) -> None:
    settings = PartitionedAttack(classifier=classifier, attack=attack)
    later = open_partitions(partitions.folder)
    assert settings.run(later).sums == settings.run(partitions).sums
    again = run_processor(_runner(), toy_fileset, PartitionProcessor(analysis, partitions.folder))["partitions"]
    assert [file.sha256 for file in again.files] == [file.sha256 for file in partitions.files]
    assert len(list(partitions.folder.iterdir())) == len(partitions.files) + 1


CONSERV = CONSERVAttack(max_js_distance=0.05, max_correlation_shift=0.05, n_bins=30, n_iterations=3, strategy="frugal")


def _written(folder: Path, n_files: int, *, negative: float = 0.0, n_events: int = 1600) -> Partitions:
    table = events(n_events, negative=negative)
    size = n_events // n_files
    return write_partitions(folder, (table.select(np.arange(k * size, (k + 1) * size)) for k in range(n_files)))


@pytest.mark.parametrize("n_partitions", [2, 4])
def test_caps_of_the_partitions_hold_for_all_events(tmp_path: Path, n_partitions: int) -> None:
    stored = _written(tmp_path, 8)
    settings = PartitionedAttack(
        classifier=SineClassifier(), attack=CONSERV, max_events=1000, partition_events=1600 // n_partitions
    )
    result = settings.run(stored)
    assert result.n_events == (1600 // n_partitions,) * n_partitions
    assert result.fooling_ratio > 0
    assert (result.compatibility.js_distance <= result.js_bound + 1e-9).all()
    assert result.js_bound.max() <= CONSERV.max_js_distance
    assert 0 < result.compatibility.max_js_distance <= CONSERV.max_js_distance


def test_every_executor_gives_the_same(tmp_path: Path) -> None:
    stored = _written(tmp_path, 4)
    settings = PartitionedAttack(classifier=SineClassifier(), attack=CONSERV, max_events=1000, partition_events=400)
    with ThreadPoolExecutor(2) as pool:
        parallel = settings.run(stored, executor=pool)
    serial = settings.run(stored)
    assert len(serial.n_events) == 4
    assert parallel.sums == serial.sums


def test_negative_weights_leave_the_bound_without_meaning(tmp_path: Path) -> None:
    stored = _written(tmp_path, 4, negative=0.1)
    settings = PartitionedAttack(classifier=SineClassifier(), attack=CONSERV, max_events=1, partition_events=400)
    assert np.isnan(settings.run(stored).js_bound).any()


def _signed(tmp_path: Path, *weights: float) -> Partitions:
    """One partition per weight, which that many events share."""
    tables = [replace(t, weights=np.full(400, w)) for t, w in zip(_parts(len(weights)), weights, strict=True)]
    return write_partitions(tmp_path, tables)


def _parts(n: int) -> list[EventTable]:
    table = events(400 * n)
    return [table.select(np.arange(400) + 400 * k) for k in range(n)]


SMALL = PartitionedAttack(classifier=SineClassifier(), attack=CONSERV, max_events=1, partition_events=400)


def test_a_partition_of_negative_weight_is_counted_as_not_attacked(tmp_path: Path) -> None:
    stored = _signed(tmp_path, 1.0, 1.0, -0.5)
    with pytest.warns(LowStatisticsWarning, match=r"\d+ events in 1 partitions were not attacked: the weights of the"):
        result = SMALL.run(stored)
    reason, counts = next(iter(result.not_attacked.items()))
    assert reason == "the weights of the constrained events do not sum to a positive number"
    assert counts["n_chunks"] == 1
    assert 300 < counts["n_events"] < 400
    attacked = result.sums.counts().n_attacked
    assert attacked + counts["n_events"] == result_of_target(stored)
    assert np.isnan(result.js_bound).all()
    assert 0 < result.fooling_ratio <= 1


def result_of_target(stored: Partitions) -> int:
    table = stored.read()
    return int((SineClassifier().predict(table.network_values) == table.labels).sum())


def test_partitions_of_which_none_can_be_attacked_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the weights of the 4\d\d constrained events sum to -"):
        SMALL.run(_signed(tmp_path, 0.1, -1.0))
    binning = Binning.uniform(events(400), n_bins=CONSERV.n_bins)
    with pytest.raises(ValueError, match="no event was attacked: the weights of the constrained events"):
        replace(SMALL, binning=binning).run(_signed(tmp_path, -0.1, -1.0))


def test_a_partition_of_data_alone_is_accepted(tmp_path: Path) -> None:
    first, second = _parts(2)
    data = replace(second, labels=np.full(400, UNLABELLED), datasets=("collisions",))
    result = SMALL.run(write_partitions(tmp_path, [first, data]))
    assert sorted(result.n_events) == [0, 400]
    assert result.not_attacked == {}
    assert result.fooling_ratio > 0


@pytest.mark.faults
def test_partitions_in_bins_of_their_own_are_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the distances of partitions not in the common bins, the bound would not hold."""
    stored = _written(tmp_path, 4)
    true = AttackSums.compatibility
    calls = []

    def too_small(out: Any) -> Any:
        found = true(out)
        calls.append(1)
        return found if len(calls) > 4 else replace(found, js_distance=0.1 * found.js_distance)

    monkeypatch.setattr(AttackSums, "compatibility", too_small)
    settings = PartitionedAttack(classifier=SineClassifier(), attack=CONSERV, max_events=1, partition_events=400)
    with pytest.raises(ConstraintError, match=r"more than .* that follows from their partitions"):
        settings.run(stored)


def _file(n_events: int, dataset: str, k: int) -> PartitionFile:
    return PartitionFile(name=f"f{k}.parquet", n_events=n_events, datasets=(dataset,), sha256=f"{k:064d}")


def test_partitions_are_large_enough_and_mixed_alike(classifier: Any, attack: Any) -> None:
    sizes = [("a", 90), ("a", 110), ("a", 100), ("a", 100), ("b", 400), ("b", 390), ("b", 10), ("c", 0)]
    files = [_file(n, name, k) for k, (name, n) in enumerate(sizes)]
    settings = PartitionedAttack(classifier=classifier, attack=attack, max_events=1000, partition_events=500)
    first, second = settings.groups(files)
    assert sorted(f.name for f in first + second) == sorted(f.name for f in files)
    for group in (first, second):
        assert sum(f.n_events for f in group) >= 500
        assert 190 <= sum(f.n_events for f in group if f.datasets == ("a",)) <= 210
    assert len(replace(settings, partition_events=700).groups(files)) == 1
    assert len(replace(settings, max_events=1200).groups(files)) == 1
    with pytest.warns(LowStatisticsWarning, match=r"2 of 3 .* \(smallest 1\)"):
        partitioned_attack._warn_of_small_partitions([10**6, 1, 2])


# Losses


class _Loses:
    """An executor whose first calls die with their worker."""

    def __init__(self, n_lost: int, error: Exception) -> None:
        self.n_lost, self.error, self.n_calls = n_lost, error, 0

    def submit(self, function: Any, /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.n_calls += 1
        if self.n_calls <= self.n_lost:
            future.set_exception(self.error)
        else:
            future.set_result(function(*arguments))
        return future


@pytest.mark.faults
def test_a_lost_partition_is_attacked_again(tmp_path: Path) -> None:
    stored = _written(tmp_path, 4)
    settings = PartitionedAttack(classifier=SineClassifier(), attack=CONSERV, max_events=1, partition_events=400)
    expected = settings.run(stored).sums
    lossy = _Loses(3, RuntimeError("the worker died"))
    assert settings.run(stored, executor=lossy).sums == expected
    assert lossy.n_calls == 4 + 4 + 3
    with pytest.raises(RuntimeError, match="the worker died"):
        settings.run(stored, executor=_Loses(100, RuntimeError("the worker died")))
    refused = _Loses(100, ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        settings.run(stored, executor=refused)
    assert refused.n_calls == 4


@dataclass(frozen=True)
class _Deadly:
    """An attack that ends its process, once."""

    marker: str
    n_iterations: int = 1
    n_bins: int = 10

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        try:
            os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return values
        os.kill(os.getpid(), signal.SIGKILL)
        return values


@pytest.mark.slow
@pytest.mark.dask
@pytest.mark.faults
def test_dask_survives_the_loss_of_a_worker(tmp_path: Path, dask_client: Any) -> None:
    (tmp_path / "events").mkdir()
    stored = _written(tmp_path / "events", 4)
    attack = _Deadly(str(tmp_path / "died"))
    settings = PartitionedAttack(classifier=SineClassifier(), attack=attack, max_events=1, partition_events=400)
    result = settings.run(stored, executor=dask_client.get_executor(pure=False))
    assert (tmp_path / "died").exists()
    assert sum(result.n_events) == 1600
    assert result.compatibility.max_js_distance == 0.0


@pytest.mark.faults
def test_a_lost_file_and_a_full_disk_are_named(
    partitions: Partitions, classifier: Any, attack: Any, toy_fileset: dict[str, Any], analysis: Any, tmp_path: Path
) -> None:
    (partitions.folder / partitions.files[0].name).unlink()
    with pytest.raises(IncompleteInputError, match="is missing"):
        PartitionedAttack(classifier=classifier, attack=attack).run(partitions)
    missing = PartitionProcessor(analysis, tmp_path / "missing")
    with pytest.raises(Exception, match="name a folder that every worker may write to"):
        run_processor(_runner(skipbadfiles=True), toy_fileset, missing)


def test_an_attack_without_events_is_reported(tmp_path: Path, classifier: Any, attack: Any) -> None:
    unlabelled = EventTable.from_arrays(np.random.default_rng(1).normal(size=(20, 3)), labels=np.full(20, UNLABELLED))
    stored = write_partitions(tmp_path, [unlabelled])
    with pytest.raises(ValueError, match="no labelled, constrained event among 20"):
        PartitionedAttack(classifier=classifier, attack=attack).run(stored)


@pytest.mark.slow
@pytest.mark.torch
def test_the_example_measures_the_cost(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "analysis_examples" / "partition_cost" / "partition_cost.py"
    command = [sys.executable, str(script), "--quick", "-o", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    assert [row[0] for row in rows] == ["2000", "500"]
    assert float(rows[0][1]) > float(rows[1][5]) >= float(rows[1][1]) > 0
    assert (tmp_path / "partition_cost.png").exists()
