# SPDX-License-Identifier: BSD-3-Clause
"""
From a fileset to the result of an attack, in a run that can be resumed.

:func:`run_analysis` opens the files once, makes every pass over the same chunks, and checks that no event is lost.
With ``resume`` a killed run resumes, and its result is the same to the last bit.  The passes are
``ranges`` (nominal statistics; only for ``scope="chunk"``) and ``attack``, in which systematics and detector are
measured too, while the events are there.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from coffea.nanoevents import NanoAODSchema
from coffea.processor import DaskExecutor, FuturesExecutor, IterativeExecutor, Runner

from hepfool.attacks.problem import n_bins_of
from hepfool.exceptions import IncompleteInputError, WorkerLostError
from hepfool.interrupts import completed, stopped_by_signals
from hepfool.io.owners import claimed
from hepfool.processors._digest import digest
from hepfool.processors.analysis import Analysis
from hepfool.processors.checkpoint import RunCheckpoint
from hepfool.processors.completeness import check_complete, incomplete_message
from hepfool.processors.handles import Handle
from hepfool.processors.inputs import Completeness, Inputs, open_fileset, quiet_retries
from hepfool.processors.passes import RangeProcessor, Ranges
from hepfool.processors.plan import AttackPlan, RunSettings
from hepfool.processors.processor import AttackProcessor, ChunkProcessor
from hepfool.processors.provenance import run_key, run_provenance
from hepfool.processors.threads import limited_threads
from hepfool.processors.worker import Failure, WorkerPass
from hepfool.processors.workers import watched_workers
from hepfool.statistics.comparisons import Validated

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalysisRun:
    """
    Result of :func:`run_analysis`.

    Attributes
    ----------
    out : dict
        As of :class:`~hepfool.processors.processor.AttackProcessor`.
    ranges : Ranges, optional
        Nominal statistics of the first pass.
    completeness : Completeness
        Expected and processed events of every file.
    provenance : dict
        Versions, configuration, seed, digests, chunks and executor, in plain JSON.
    """

    out: dict[str, Any]
    ranges: Ranges | None
    completeness: Completeness
    provenance: dict[str, Any]

    @property
    def validated(self) -> Validated:
        """Every comparison that the attack had to keep, measured on all events, beside its cap."""
        found: Validated = self.out["sums"].validated
        return found

    @property
    def converged(self) -> bool | None:
        """Whether the attack of every chunk has converged; None if it does not test convergence."""
        done: bool | None = self.out["sums"].converged
        return done

    @property
    def digest(self) -> str:
        """Fingerprint of the result to the last bit, wherever the files lie."""
        return digest({k: v for k, v in self.out.items() if k not in {"processed", "n_events"}}, digits=17)


def run_analysis(  # noqa: PLR0913 - of a run
    runner: Any,
    fileset: Mapping[str, Any],
    analysis: Analysis,
    plan: AttackPlan,
    *,
    scope: Literal["dataset", "chunk"] = "dataset",
    resume: str | Path | None = None,
    allow_missing: bool = False,
    treename: str = "Events",
    settings: RunSettings | None = None,
) -> AnalysisRun:
    """
    Attack the events of a fileset.

    Parameters
    ----------
    runner : coffea.processor.Runner or distributed.Client
        Your runner; a client gets one with ``NanoAODSchema`` and coffea's chunk size.
    fileset : mapping
        As coffea takes it.
    analysis : Analysis
        Selection, features, regions and variations; of its ``branches`` only these are read.
    scope : {"dataset", "chunk"}
        Attack all events at once, see :class:`~hepfool.processors.processor.AttackProcessor`, or each chunk alone, see
        :class:`~hepfool.processors.processor.ChunkProcessor`, in the plan's binning or in that of a first pass.
    resume : str or Path, optional
        Folder that all workers share: finished chunks and iterations are kept there, and the same call resumes from them.
    allow_missing : bool
        Go on without files that cannot be read; they are listed in ``completeness``.
    treename : str
        Name of the tree where the fileset does not give one.
    settings : RunSettings, optional
        Threads, attempts and the like.

    Raises
    ------
    IncompleteInputError
        If a file cannot be read, was replaced between two passes, or lacks events.
    WorkerLostError
        If workers died, usually for lack of memory, more often than ``settings.retries`` allows.
    ValueError
        If the folder belongs to another run, or the attack refuses its input.
    """
    settings = settings or RunSettings()
    if scope not in {"dataset", "chunk"}:
        msg = f"scope {scope!r} is unknown; use 'dataset' or 'chunk'"
        raise ValueError(msg)
    runner = _own_runner(runner)
    with watched_workers(runner.pre_executor, what="the opening of the files", patience=settings.patience):
        inputs = open_fileset(runner, fileset, treename=treename, allow_missing=allow_missing)
    key = run_key(inputs, analysis, plan, scope)
    kept = None if resume is None else RunCheckpoint.open(resume, key)
    with ExitStack() as stack:
        stack.enter_context(stopped_by_signals(lambda number: SystemExit(128 + number)))
        if kept:
            stack.enter_context(claimed(kept.folder))
        folder = kept.state() if kept else _local_folder(runner, stack)
        passes = _Passes(runner, inputs, getattr(analysis, "branches", None), settings, kept, folder)
        ranges: Ranges | None = None
        if scope == "chunk" and plan.binning is None:
            ranges = passes.run("ranges", RangeProcessor(analysis))["ranges"]
            plan = dataclasses.replace(plan, binning=ranges.binning(n_bins_of(plan.attack)))
        processor = (AttackProcessor if scope == "dataset" else ChunkProcessor)(analysis, **vars(plan))
        if isinstance(processor, AttackProcessor) and kept:
            processor.resume = kept.folder / "iterations"
        out = passes.run("attack", processor)
    result = out.get("result")
    if result is not None and kept:
        completed(result)  # whoever gave a folder wants all iterations, later
    completeness = Completeness(expected=inputs.expected, processed=out["processed"], bad=inputs.bad)
    provenance = run_provenance(
        runner,
        inputs,
        analysis,
        plan,
        {"scope": scope, "digests": key, "completeness": completeness.as_dict(), **passes.report()},
    )
    if result is not None:
        named = dataclasses.replace(result, provenance={**result.provenance, "run": provenance})
        out = {**out, "result": named}
    out = {**out, "sums": out["sums"].noted(run=provenance)}
    return AnalysisRun(out=out, ranges=ranges, completeness=completeness, provenance=provenance)


@dataclass(slots=True)
class _Passes:
    """Runs one processor after the other over the same chunks."""

    runner: Runner
    inputs: Inputs
    branches: Any
    settings: RunSettings
    checkpoint: RunCheckpoint | None
    folder: Path | None
    metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def threads(self) -> int | None:
        """Threads of one chunk."""
        alone = isinstance(self.runner.executor, IterativeExecutor)
        return self.settings.threads or (None if alone else 1)

    def run(self, name: str, processor: Any) -> dict[str, Any]:
        """Make one pass and check that it saw every event."""
        handle = Handle.of(processor, folder=self.folder, large=self.settings.large_bytes)
        worker = WorkerPass(
            handle,
            self.threads,
            check_files=self.runner.format == "root",
            nanoaod=self.runner.format == "root" and _is_nanoaod(self.runner.schema),
            branches=tuple(self.branches) if self.branches else None,
        )
        chunks = self.checkpoint.chunks(name) if self.checkpoint else None
        resumed = chunks.n_chunks if chunks else 0
        own = dataclasses.replace(
            self.runner, checkpointer=chunks, skipbadfiles=False, use_result_type=False, savemetrics=True
        )
        merged, metrics = self._attempts(name, own, worker)
        # Of the chunks, not of this attempt: what a checkpoint holds was read some time.
        self.metrics[name] = {
            "n_chunks": metrics["chunks"],
            "n_resumed": resumed,
            "state_bytes": handle.size,
            "bytes_read": int(metrics.get("bytesread", 0)),
            "columns": sorted({str(column).rpartition("-")[0] for column in metrics.get("columns", ())}),
        }
        total = merged.total()
        total = {**total, "processed": self.inputs.as_named_now(total["processed"])}
        check_complete(self.inputs.expected, total)
        if chunks is not None and chunks.n_chunks < metrics["chunks"]:
            lacking = metrics["chunks"] - chunks.n_chunks
            _log.warning("%d chunks could not be kept in %s: is the disk full?", lacking, chunks.folder)
        finished = processor.postprocess(total) if hasattr(processor, "postprocess") else None
        return total if finished is None else dict(finished)

    def report(self) -> dict[str, Any]:
        """Provenance of what was read, by pass."""
        return {"passes": self.metrics, "threads": self.threads, "branches": list(self.branches or ())}

    def _attempts(self, name: str, runner: Runner, worker: WorkerPass) -> Any:
        options = {"iteritems_options": {"filter_name": list(self.branches)}} if self.branches else {}
        if runner.format == "root":
            options["uproot_options"] = dict(self.settings.uproot_options)
        for attempt in range(self.settings.retries + 1):
            watched = watched_workers(
                runner.executor,
                what=f"pass {name!r}",
                patience=self.settings.patience,
                kept=lambda: self._kept(name),
            )
            try:
                with quiet_retries(), limited_threads(self.threads), watched:
                    return runner(list(self.inputs.chunks), worker, **options)
            except Exception as error:
                failure = Failure(error)
                if not failure.of_worker:
                    changes = self.inputs.changes() if runner.format == "root" else {}
                    if changes:
                        raise IncompleteInputError(incomplete_message("cannot be read any more", changes)) from error
                    raise
                if failure.of_memory or attempt == self.settings.retries or not _alive(runner.executor):
                    advice = failure.advice(
                        name=name, chunks=self.inputs.chunks, chunksize=runner.chunksize, kept=self._kept(name)
                    )
                    raise WorkerLostError(advice) from None
                _log.warning("pass %s lost its workers (%s), attempt %d", name, type(error).__name__, attempt + 2)
        return None  # not reached: the last attempt returns or raises

    def _kept(self, name: str) -> str:
        if self.checkpoint is None:
            return "Nothing is kept; with resume= the same call would resume from the finished chunks."
        done = self.checkpoint.chunks(name).n_chunks
        return (
            f"{done} of {len(self.inputs.chunks)} chunks are kept in {self.checkpoint.folder}; the same call resumes from "
            "there (another chunksize needs another folder)."
        )


def _own_runner(runner: Any) -> Runner:
    if not isinstance(runner, Runner):
        runner = Runner(DaskExecutor(client=runner, status=False), schema=NanoAODSchema)
    if runner.checkpointer is not None:
        msg = (
            "the runner's checkpointer cannot separate the passes; remove it and give run_analysis a folder "
            "with resume=..."
        )
        raise ValueError(msg)
    return runner


def _local_folder(runner: Runner, stack: ExitStack) -> Path | None:
    """Make a folder for large states where all workers are on this machine."""
    if isinstance(runner.executor, IterativeExecutor | FuturesExecutor):
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hepfool-")))
    return None


def _is_nanoaod(schema: Any) -> bool:
    return isinstance(schema, type) and issubclass(schema, NanoAODSchema)


def _alive(executor: Any) -> bool:
    client = getattr(executor, "client", None)
    return client is None or client.status == "running"
