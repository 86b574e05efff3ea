# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong in a long run, one fault per row: ``pytest -m faults`` prints the table."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, FuturesExecutor, IterativeExecutor, Runner

from hepfool.exceptions import IncompleteInputError, WorkerLostError
from hepfool.processors import AttackPlan, RangeProcessor, RunSettings, run_analysis, run_processor
from hepfool.processors import _driver as driver
from hepfool.processors._driver import AnalysisRun
from hepfool.processors._inputs import open_fileset
from hepfool.processors._ordered import OrderedSum
from hepfool.processors._worker import Failure
from hepfool.processors._workers import watched_workers
from tests.faulty_run import disturbed_run, read_result
from tests.processes import fork
from tests.toy_analysis import FaultyAnalysis, Logistic, Push, ToyAnalysis, listed, toy_fileset, write_events

pytestmark = [
    pytest.mark.faults,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]

ROOT = Path(__file__).parents[2]
PLAN = AttackPlan(Logistic(), Push(), seed=7)
N_EVENTS = 1200
#: Seconds that anything here may take on a busy machine.
PATIENCE = 180.0


def iterative(**options: Any) -> Runner:
    return Runner(IterativeExecutor(status=False, retries=0), schema=BaseSchema, chunksize=100, **options)


def on_dask(client: Any) -> Runner:
    return Runner(DaskExecutor(client=client, status=False, retries=1), schema=BaseSchema, chunksize=100)


def run(runner: Runner, fileset: dict[str, Any], analysis: Any = None, **options: Any) -> AnalysisRun:
    return run_analysis(runner, fileset, analysis or ToyAnalysis(), PLAN, scope="chunk", **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    toy_fileset(folder)
    return folder


@pytest.fixture(scope="module")
def clean(files: Path) -> AnalysisRun:
    """Return the run that nothing disturbs."""
    return run(iterative(), listed(files))


@pytest.fixture
def own_files(files: Path, tmp_path: Path) -> Path:
    """Return a copy that may be damaged."""
    shutil.copytree(files, tmp_path / "files")
    return tmp_path / "files"


@dataclass(frozen=True)
class Row:
    """Adds the last run to the table and checks it."""

    record: Callable[[str, object], None]
    clean: AnalysisRun

    def __call__(self, fault: str, seen: str, result: AnalysisRun | tuple[int, int, str]) -> None:
        if isinstance(result, AnalysisRun):
            result = result.completeness.n_expected, result.completeness.n_processed, result.digest
        expected, processed, found = result
        equal = found == self.clean.digest
        self.record("fault", [fault, seen, str(expected), str(processed), str(expected - processed), str(equal)])
        assert (expected, expected - processed, equal) == (self.clean.completeness.n_expected, 0, True)


@pytest.fixture
def row(record_property: Callable[[str, object], None], clean: AnalysisRun, attempt: int) -> Row:
    return Row(record_property, clean)


def test_the_clean_run_reads_all_events_and_does_something(clean: AnalysisRun, files: Path) -> None:
    assert clean.completeness.n_processed == clean.completeness.n_expected == N_EVENTS
    assert clean.out["sums"].counts().n_fooled > 0
    assert (
        run_analysis(iterative(), listed(files), ToyAnalysis(), replace(PLAN, seed=8), scope="chunk").digest
        != clean.digest
    )


# Workers


@pytest.fixture
def client() -> Iterator[Any]:
    """Client of a new cluster: after several kills dask may give a worker up for good."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.dask
@pytest.mark.slow
def test_worker_killed_in_the_middle_of_a_chunk(files: Path, tmp_path: Path, client: Any, row: Row) -> None:
    analysis = FaultyAnalysis(fault="exit", flag=str(tmp_path / "flag"))
    result = run(on_dask(client), listed(files), analysis)
    assert (tmp_path / "flag").exists()
    row("worker killed mid-chunk", "dask ran the chunk elsewhere", result)


@pytest.mark.dask
@pytest.mark.slow
def test_worker_killed_while_it_merges(files: Path, tmp_path: Path, client: Any, row: Row) -> None:
    flag = tmp_path / "flag"

    def arm() -> None:
        original = OrderedSum.__add__

        def add(left: OrderedSum, right: OrderedSum) -> OrderedSum:
            if not flag.exists():
                flag.touch()
                os._exit(1)
            return original(left, right)

        OrderedSum.__add__ = add  # type: ignore[method-assign]

    client.wait_for_workers(2, timeout=PATIENCE)
    client.run(arm)
    result = run(on_dask(client), listed(files))
    assert flag.exists()
    row("worker killed mid-merge", "dask merged anew", result)


@pytest.mark.dask
@pytest.mark.slow
def test_worker_that_dies_of_every_attempt(
    files: Path, tmp_path: Path, client: Any, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    analysis = FaultyAnalysis(fault="always exit", flag=str(tmp_path / "flag"))
    # Dask blames any of the chunks that the worker held, not always the one that killed it.
    with pytest.raises(WorkerLostError, match=r"\.root, events \d+ to \d+ .*Lower chunksize \(now 100") as caught:
        run(on_dask(client), listed(files), analysis, resume=tmp_path / "checkpoint")
    assert "chunks are kept in" in str(caught.value)
    assert caught.value.__cause__ is None
    client.wait_for_workers(2, timeout=PATIENCE)
    row("worker out of memory, always", "advice; the cluster still works", run(on_dask(client), listed(files)))


@pytest.mark.slow
def test_worker_of_a_process_pool_killed(files: Path, tmp_path: Path, row: Row, clean: AnalysisRun) -> None:
    ranges = clean.ranges
    assert ranges is not None
    pool = FuturesExecutor(workers=1, status=False, retries=0)
    runner = Runner(pool, pre_executor=iterative().executor, schema=BaseSchema, chunksize=100)
    analysis = FaultyAnalysis(fault="exit", flag=str(tmp_path / "flag"))
    plan = replace(PLAN, binning=ranges.binning(PLAN.attack.n_bins))  # one pass is enough to kill a worker
    result = run_analysis(runner, listed(files), analysis, plan, scope="chunk", resume=tmp_path / "checkpoint")
    assert (tmp_path / "flag").exists()
    row("pool worker killed mid-chunk", "second attempt of the pass", result)


def test_memory_error_gives_advice_instead_of_a_stack(files: Path, tmp_path: Path) -> None:
    with pytest.raises(
        WorkerLostError, match=r"in pass 'ranges' at signal_2.root.*Lower chunksize.*9 of 13 chunks"
    ) as e:
        run(iterative(), listed(files), FaultyAnalysis(fault="memory"), resume=tmp_path / "checkpoint")
    assert len(str(e.value).splitlines()) == 1
    with pytest.raises(WorkerLostError, match="with resume="):
        run(iterative(), listed(files), FaultyAnalysis(fault="memory"))


def test_attempts_are_bounded(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures.process import BrokenProcessPool

    attempts = []
    inputs = open_fileset(iterative(), listed(files))

    def fail(*_: Any, **__: Any) -> None:
        attempts.append(1)
        raise BrokenProcessPool

    monkeypatch.setattr(IterativeExecutor, "__call__", fail)
    monkeypatch.setattr(driver, "open_fileset", lambda *_, **__: inputs)
    with pytest.raises(WorkerLostError, match="workers or their scheduler were lost in pass 'ranges'"):
        run(iterative(), listed(files), settings=RunSettings(retries=3))
    assert len(attempts) == 4


# Cluster and process


@pytest.mark.dask
@pytest.mark.slow
def test_scheduler_restart(files: Path, tmp_path: Path, client: Any, row: Row) -> None:
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    checkpoint = tmp_path / "checkpoint"
    slow = FaultyAnalysis(seconds=0.1)
    one = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        distributed.LocalCluster(**one) as cluster,
        distributed.Client(cluster) as first,
    ):

        def restart() -> None:
            wait_for_chunks(checkpoint, 2)
            cluster.sync(cluster.scheduler.close)

        thread = threading.Thread(target=restart)
        thread.start()
        with pytest.raises(WorkerLostError, match=r"replace the cluster if it is gone.* are kept in"):
            run(on_dask(first), listed(files), slow, resume=checkpoint)
        thread.join()
    result = run(on_dask(client), listed(files), slow, resume=checkpoint)
    assert result.provenance["passes"]["ranges"]["n_resumed"] >= 2
    row("scheduler lost, new cluster", "advice; went on from checkpoint", result)


@pytest.mark.dask
@pytest.mark.slow
def test_workers_restarted_under_the_client(files: Path, tmp_path: Path, client: Any, row: Row) -> None:
    checkpoint = tmp_path / "checkpoint"

    def restart() -> None:
        wait_for_chunks(checkpoint, 2)
        client.restart(wait_for_workers=False)

    thread = threading.Thread(target=restart)
    thread.start()
    result = run(on_dask(client), listed(files), FaultyAnalysis(seconds=0.2), resume=checkpoint)
    thread.join()
    row("client.restart()", "second attempt of the pass", result)


@pytest.mark.dask
def test_tasks_that_the_scheduler_has_forgotten_are_given_up(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    distributed = pytest.importorskip("distributed")
    forgotten = distributed.Future("known-to-nobody", client=client)
    watched = watched_workers(SimpleNamespace(client=client), what="pass 'attack'", patience=0.5)
    with watched, pytest.raises(distributed.client.FutureCancelledError) as caught:
        forgotten.result(timeout=PATIENCE)
    assert Failure(caught.value).of_worker
    assert "the scheduler has forgotten 1 tasks of pass 'attack'" in caplog.text


def wait_for_chunks(checkpoint: Path, n: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(list(checkpoint.rglob("[0-9]*.chunk"))) < n:
        if time.monotonic() > deadline:
            pytest.fail(f"no {n} chunks in {checkpoint} after {PATIENCE} s")
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "status"),
    [(signal.SIGINT, 1), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
    ids=["INT", "TERM", "HUP", "KILL"],
)
def test_signals(
    files: Path,
    tmp_path: Path,
    row: Row,
    sent: signal.Signals,
    status: int,
    attempt: int,
) -> None:
    places = files, tmp_path / "checkpoint", tmp_path / "run.zip"
    process, pid = fork(disturbed_run, *places)
    done = 1 + (11 + 7 * attempt) % 20  # any moment, but the same each time that this test runs
    wait_for_chunks(tmp_path / "checkpoint", done)
    os.kill(pid, sent)
    process.join(PATIENCE)
    assert process.exitcode == status
    kept = len(list((tmp_path / "checkpoint").rglob("[0-9]*.chunk")))
    assert done <= kept < 26
    assert not (tmp_path / "run.zip").exists()
    again, _ = fork(disturbed_run, *places)
    again.join(PATIENCE)
    assert again.exitcode == 0
    assert not list((tmp_path / "checkpoint").rglob(".*"))
    row(sent.name, f"status {status}; went on from the checkpoint", read_result(tmp_path / "run.zip"))


@pytest.mark.slow
def test_two_runs_on_one_checkpoint(files: Path, tmp_path: Path, row: Row) -> None:
    process, pid = fork(disturbed_run, files, tmp_path / "checkpoint", tmp_path / "run.zip")
    wait_for_chunks(tmp_path / "checkpoint", 1)
    with pytest.raises(ValueError, match=rf"checkpoint is in use by process {pid} on .*; wait for it, stop it"):
        disturbed_run(files, tmp_path / "checkpoint", tmp_path / "second.zip")
    process.join(PATIENCE)
    assert process.exitcode == 0
    row("two runs on one checkpoint", "second refused: process, host", read_result(tmp_path / "run.zip"))


@pytest.mark.dask
@pytest.mark.slow
def test_all_workers_lost(files: Path, tmp_path: Path, row: Row, caplog: pytest.LogCaptureFixture) -> None:
    distributed = pytest.importorskip("distributed")
    checkpoint = tmp_path / "checkpoint"
    said = threading.Event()
    one = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**one) as cluster, distributed.Client(cluster) as alone:

        def lose() -> None:
            wait_for_chunks(checkpoint, 2)
            cluster.scale(0)
            deadline = time.monotonic() + PATIENCE
            while "workers are lost" not in caplog.text and time.monotonic() < deadline:
                time.sleep(0.05)
            said.set()
            cluster.scale(1)

        thread = threading.Thread(target=lose)
        thread.start()
        slow, settings = FaultyAnalysis(seconds=0.2), RunSettings(patience=0.5)
        result = run(on_dask(alone), listed(files), slow, resume=checkpoint, settings=settings)
        thread.join()
    text = caplog.text
    assert re.search(r"all workers are lost \(tcp:.* waits and continues .* of 13 chunks are kept in", text)
    assert "1 workers are back; pass" in text
    row("all workers lost", "said with what to do; went on", result)


# Files


def test_truncated_file(own_files: Path, row: Row) -> None:
    bad = own_files / "signal_2.root"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(IncompleteInputError, match="1 input files cannot be read") as caught:
        run(iterative(), listed(own_files))
    assert str(bad) in str(caught.value)
    bad.write_bytes(whole)
    row("truncated file", "refused by name; ran when fetched again", run(iterative(), listed(own_files)))


@pytest.mark.parametrize("kept", [0.1, 0.67, 0.999])
def test_a_truncated_file_may_be_left_out_on_purpose(own_files: Path, kept: float) -> None:
    bad = own_files / "signal_2.root"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: int(kept * len(whole))])
    result = run(iterative(), listed(own_files), allow_missing=True)
    assert list(result.completeness.bad) == [str(bad)]
    assert "truncated" in result.completeness.bad[str(bad)]
    assert result.provenance["completeness"]["allowed_missing"] == result.completeness.bad
    assert (result.completeness.n_expected, result.completeness.n_lost) == (N_EVENTS - 300, 0)
    fileset = listed(own_files)
    fileset["signal"]["files"].remove(str(bad))
    assert run(iterative(), fileset).digest == result.digest


def test_file_replaced_between_passes(
    own_files: Path, tmp_path: Path, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = own_files / "signal_1.root"
    original = changed.read_bytes()
    one_pass = driver._Passes.run

    def replacing(self: Any, name: str, processor: Any) -> Any:
        out = one_pass(self, name, processor)
        write_events(changed, 300, 77, 60.0)
        return out

    monkeypatch.setattr(driver._Passes, "run", replacing)
    with pytest.raises(IncompleteInputError, match=r"signal_1.root: was replaced by another file while"):
        run(iterative(), listed(own_files), resume=tmp_path / "checkpoint")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="belongs to another run: fileset differ"):
        run(iterative(), listed(own_files), resume=tmp_path / "checkpoint")
    changed.write_bytes(original)
    result = run(iterative(), listed(own_files), resume=tmp_path / "checkpoint")
    row("file replaced between passes", "refused by name; ran with the original", result)


def test_a_file_replaced_between_runs_is_seen(own_files: Path, clean: AnalysisRun) -> None:
    assert run(iterative(), listed(own_files)).digest == clean.digest
    write_events(own_files / "signal_1.root", 100, 77, 60.0)
    assert run(iterative(), listed(own_files)).completeness.n_expected == N_EVENTS - 200


def test_copies_with_the_same_uuid(own_files: Path, tmp_path: Path, row: Row) -> None:
    def with_third(name: str) -> dict[str, Any]:
        fileset = listed(own_files)
        fileset["signal"]["files"].append(str(own_files / name))
        return fileset

    (own_files / "more").mkdir()
    write_events(own_files / "more" / "signal_3.root", 300, 1, 60.0)
    fresh = run(iterative(), with_third("more/signal_3.root"))
    (own_files / "again").mkdir()
    copy = own_files / "again" / "signal_3.root"
    shutil.copy(own_files / "signal_1.root", copy)
    with uproot.open(copy) as first, uproot.open(own_files / "signal_1.root") as second:
        assert first.file.fUUID == second.file.fUUID
    with pytest.warns(UserWarning, match=r"same UUID look like copies.*again/signal_3.root"):
        copied = run(iterative(), with_third("again/signal_3.root"), resume=tmp_path / "checkpoint")
    with pytest.warns(UserWarning, match="same UUID"):
        again = run(iterative(), with_third("again/signal_3.root"), resume=tmp_path / "checkpoint")
    assert copied.digest == again.digest
    replace(row, clean=fresh)("copies with the same UUID", "warned; nothing confused", again)


def test_a_file_listed_twice_is_refused(files: Path) -> None:
    fileset = listed(files)
    fileset["signal"]["files"] *= 2
    with pytest.raises(ValueError, match=r"dataset 'signal' lists .*signal_1.root.* twice"):
        run(iterative(), fileset)


def test_file_updated_in_place(own_files: Path, tmp_path: Path, row: Row) -> None:
    changed = own_files / "signal_1.root"
    original = changed.read_bytes()
    run(iterative(), listed(own_files), resume=tmp_path / "checkpoint")
    with uproot.open(changed) as before:
        uuid_before, content = before.file.fUUID, before["Events"].arrays(["lepton_pt", "jet_pt", "met", "weight"])
    with uproot.update(changed) as file:
        types = {name: ak.type(content[name]).content for name in content.fields}
        file.mktree("Events", types).extend({name: 2.0 * content[name] for name in content.fields})
    with uproot.open(changed) as after:
        assert (after.file.fUUID, after["Events"].num_entries) == (uuid_before, len(content))
    with pytest.raises(ValueError, match="belongs to another run: fileset differ"):
        run(iterative(), listed(own_files), resume=tmp_path / "checkpoint")
    changed.write_bytes(original)
    result = run(iterative(), listed(own_files), resume=tmp_path / "checkpoint")
    row("file updated in place", "refused by name; ran with the original", result)


def test_file_updated_in_place_while_the_analysis_runs(
    own_files: Path, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = own_files / "signal_1.root"
    original = changed.read_bytes()
    one_pass = driver._Passes.run

    def updating(self: Any, name: str, processor: Any) -> Any:
        out = one_pass(self, name, processor)
        with uproot.update(changed) as file:
            file["more"] = {"x": [1.0]}
        return out

    monkeypatch.setattr(driver._Passes, "run", updating)
    with pytest.raises(IncompleteInputError, match=r"signal_1.root: was rewritten while the analysis ran"):
        run(iterative(), listed(own_files))
    monkeypatch.undo()
    changed.write_bytes(original)
    row("file updated between passes", "refused by name; ran with the original", run(iterative(), listed(own_files)))


def test_file_gone_between_planning_and_reading(own_files: Path, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = own_files / "signal_1.root"

    def losing(*arguments: Any, **options: Any) -> Any:
        inputs = open_fileset(*arguments, **options)
        gone.rename(own_files / "elsewhere")
        return inputs

    monkeypatch.setattr(driver, "open_fileset", losing)
    with pytest.raises(IncompleteInputError, match="1 input files cannot be read any more") as caught:
        run(iterative(), listed(own_files))
    assert str(gone) in str(caught.value)
    monkeypatch.undo()
    (own_files / "elsewhere").rename(gone)
    row("file gone after planning", "refused by name; ran when it was back", run(iterative(), listed(own_files)))


def test_a_file_has_one_name_however_it_is_named(
    own_files: Path, tmp_path: Path, row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "checkpoint"
    run(iterative(), listed(own_files), resume=checkpoint)
    (tmp_path / "link").symlink_to(own_files)
    (own_files / "other_name.root").symlink_to(own_files / "signal_2.root")
    monkeypatch.chdir(own_files)
    named = listed(".")
    named["signal"]["files"] = ["../link//signal_1.root", "./other_name.root"]
    result = run(iterative(), named, resume=checkpoint)
    assert result.provenance["passes"]["attack"]["n_resumed"] == 13
    assert set(result.completeness.processed["signal"]) == set(named["signal"]["files"])
    row("other names of the same files", "went on from checkpoint", result)
    named["signal"]["files"].append(str(own_files / "signal_1.root"))
    with pytest.raises(ValueError, match=r"dataset 'signal' lists ../link//signal_1.root, .*signal_1.root twice"):
        run(iterative(), named)


def test_one_file_in_two_datasets_is_said(own_files: Path, row: Row) -> None:
    fileset = listed(own_files)
    fileset["background"]["files"].append(os.path.relpath(own_files / "signal_1.root"))
    with pytest.warns(
        UserWarning, match=r"signal_1.root is in the datasets 'background', 'signal', so its events count"
    ):
        twice = run(iterative(), fileset)
    assert twice.completeness.n_processed == N_EVENTS + 300
    row("one file in two datasets", "warned with both; once without", run(iterative(), listed(own_files)))


@pytest.mark.parametrize(
    ("fileset", "message"),
    [
        ({}, "the fileset holds no dataset"),
        (None, "the fileset holds no dataset"),
        ({"a": {"files": []}}, "dataset 'a' names no file"),
        ({"a": []}, "dataset 'a' names no file"),
        ({"a": {}}, "dataset 'a' names None in place of a list"),
        ({"a": "a.root"}, "dataset 'a' names 'a.root' in place of a list"),
    ],
)
def test_a_fileset_without_files_is_refused_in_one_sentence(fileset: Any, message: str) -> None:
    for attempt in (run, lambda runner, given: run_processor(runner, given, RangeProcessor(ToyAnalysis()))):
        with pytest.raises(ValueError, match=message) as caught:
            attempt(iterative(), fileset)
        assert len(str(caught.value).splitlines()) == 1


def test_file_without_events(files: Path, row: Row) -> None:
    fileset = listed(files)
    fileset["background"]["files"].remove(str(files / "empty.root"))
    row("file without events", "changes nothing", run(iterative(), fileset))


# Disk and checkpoint


def small_disk(*arguments: str | Path) -> subprocess.Popen[str]:
    """Run the program where ``small`` beside the files is a disk of 12 kB."""
    small = Path(arguments[0]) / "small"
    small.mkdir(exist_ok=True)
    inner = f'mount -t tmpfs -o size=12k none "{small}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", inner, "sh", sys.executable, "-m", "tests.faulty_run"]
    return subprocess.Popen(
        [*command, *map(str, arguments)], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture
def mounting(tmp_path: Path) -> None:
    """Skip where a user may not mount a disk of his own."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare to mount a small disk with")
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"cannot mount a small disk: {tried.stderr.strip()}")


@pytest.mark.slow
@pytest.mark.usefixtures("mounting")
def test_full_disk(own_files: Path, tmp_path: Path, row: Row) -> None:
    small = own_files / "small"
    process = small_disk(own_files, tmp_path / "checkpoint", small / "run.zip")
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "No space left on device" in errors.splitlines()[-1]
    fork(disturbed_run, own_files, tmp_path / "checkpoint", tmp_path / "run.zip")[0].join(PATIENCE)
    result = read_result(tmp_path / "run.zip")
    assert out.split()[-1] == result[2]
    row("full disk at the output", "failed; went on from checkpoint", result)


@pytest.mark.slow
@pytest.mark.usefixtures("mounting")
def test_full_disk_under_the_checkpoint(own_files: Path, tmp_path: Path, row: Row) -> None:
    process = small_disk(own_files, own_files / "small" / "checkpoint", tmp_path / "run.zip")
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "chunks could not be kept" in errors
    expected, processed, digest = out.splitlines()[-1].split()
    row("full disk at the checkpoint", "warned; ran to the end", (int(expected), int(processed), digest))


def test_checkpoint_of_another_configuration(files: Path, tmp_path: Path, row: Row) -> None:
    def attempt(analysis: Any = None, **changes: Any) -> AnalysisRun:
        plan = replace(PLAN, **changes)
        return run_analysis(
            iterative(),
            listed(files),
            analysis or ToyAnalysis(),
            plan,
            scope="chunk",
            resume=tmp_path / "checkpoint",
        )

    attempt()
    for changes, name in (
        ({"seed": 8}, "seed"),
        ({"attack": Push(n_iterations=3)}, "attack"),
        ({"classifier": Logistic(digest="other")}, "network"),
        ({"target": "all"}, "attack"),
        ({"analysis": ToyAnalysis(min_pt=25.0)}, "analysis"),
    ):
        with pytest.raises(ValueError, match=f"belongs to another run: {name} differ; delete it") as caught:
            attempt(**changes)
        assert str(tmp_path / "checkpoint") in str(caught.value)
    fewer = listed(files)
    del fewer["collisions"]
    with pytest.raises(ValueError, match="fileset, chunks differ"):
        run(iterative(), fewer, resume=tmp_path / "checkpoint")
    coarse = replace(iterative(), chunksize=200)
    with pytest.raises(ValueError, match="belongs to another run: chunks differ"):
        run(coarse, listed(files), resume=tmp_path / "checkpoint")
    row("checkpoint of another run", "refused by name; its own goes on", attempt())


def test_a_changed_bit_in_a_checkpoint(
    files: Path, tmp_path: Path, row: Row, attempt: int, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = tmp_path / "checkpoint"
    run(iterative(), listed(files), resume=checkpoint)
    rng = np.random.default_rng(attempt)
    for chunk in (checkpoint / "attack").iterdir():
        content = bytearray(chunk.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        chunk.write_bytes(content)
    result = run(iterative(), listed(files), resume=checkpoint)
    assert caplog.text.count("; its chunk is repeated") == 13
    row("changed bit in every chunk", "found by digest; processed again", result)
    key = checkpoint / "run"
    content = bytearray(key.read_bytes())
    content[rng.integers(30, len(content))] ^= 1 << int(rng.integers(8))
    key.write_bytes(content)
    with pytest.warns(UserWarning, match=r"run is damaged .*; the key of the run is repeated"):
        row(
            "changed bit in the key",
            "found; every chunk has it too",
            run(iterative(), listed(files), resume=checkpoint),
        )


def test_a_damaged_chunk_is_processed_again_and_a_foreign_one_refused(
    files: Path, tmp_path: Path, clean: AnalysisRun
) -> None:
    checkpoint = tmp_path / "checkpoint"
    run(iterative(), listed(files), resume=checkpoint)
    first, second, *_ = sorted((checkpoint / "attack").iterdir())
    first.write_bytes(first.read_bytes()[:-5])
    (checkpoint / "attack" / f".{uuid.uuid4().hex}.chunk").touch()
    assert run(iterative(), listed(files), resume=checkpoint).digest == clean.digest
    second.write_bytes((checkpoint / "ranges" / second.name).read_bytes())
    with pytest.raises(Exception, match=rf"{second.name} belongs to another run: pass differ"):
        run(iterative(), listed(files), resume=checkpoint)
