# SPDX-License-Identifier: BSD-3-Clause
"""Provenance of a run: enough to distinguish it from others and to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from coffea.processor import Runner

from hepfool.identity import code_digest, identity
from hepfool.io._versions import installed_versions
from hepfool.processors._filesets import canonical
from hepfool.processors._inputs import Inputs
from hepfool.processors._plan import AttackPlan
from hepfool.processors.analysis import Analysis


def run_key(inputs: Inputs, analysis: Analysis, plan: AttackPlan, scope: str) -> dict[str, str]:
    """Name everything that a chunk's output depends on."""
    binning = None if plan.binning is None else plan.binning.edges
    detector = plan.detector
    return {
        "analysis": identity(analysis),
        "attack": identity((plan.attack, scope, plan.target, plan.unblind, plan.envelope, binning)),
        "network": plan.classifier.digest,
        "detector": "" if detector is None else identity((detector.classifier, detector.threshold)),
        "seed": str(plan.seed),
        "fileset": _fileset_digest(inputs.chunks),
        "chunks": _chunks_digest(inputs.chunks),
        "code": code_digest(*(part for part in (analysis, plan.attack, plan.envelope) if part is not None)),
        "versions": identity(installed_versions()),
    }


def run_provenance(
    runner: Runner, inputs: Inputs, analysis: Analysis, plan: AttackPlan, report: Mapping[str, Any]
) -> dict[str, Any]:
    """Write down a finished run."""
    executor = runner.executor
    names = ("workers", "retries", "treereduction")
    return {
        "versions": dict(installed_versions()),
        "configuration": {
            "analysis": f"{type(analysis).__module__}.{type(analysis).__qualname__}",
            "attack": repr(plan.attack),
            "scope": report["scope"],
            "target": str(plan.target),
            "envelope": None if plan.envelope is None else getattr(plan.envelope, "__qualname__", repr(plan.envelope)),
            "unblind": plan.unblind,
            "branches": report["branches"],
        },
        "seed": plan.seed,
        "digests": report["digests"],
        "chunking": {
            "chunksize": runner.chunksize,
            "n_chunks": len(inputs.chunks),
            "largest_chunk": max(len(chunk) for chunk in inputs.chunks),
            "n_files": len({(chunk.dataset, chunk.filename) for chunk in inputs.chunks}),
            "maxchunks": runner.maxchunks,
        },
        "executor": {
            "name": type(executor).__name__,
            **{name: getattr(executor, name) for name in names if hasattr(executor, name)},
            "threads_per_chunk": report["threads"],
            "schema": runner.schema.__name__,
        },
        "passes": report["passes"],
        "completeness": report["completeness"],
    }


def _fileset_digest(chunks: Iterable[Any]) -> str:
    """Digest of the input independent of its location; size and header position reveal an update in place."""
    files: dict[tuple[str, str, str, str], list[Any]] = {}
    for chunk in chunks:
        key = chunk.dataset, PurePath(canonical(chunk.filename)).name, bytes(chunk.fileuuid).hex(), chunk.treename
        metadata = {name: value for name, value in (chunk.usermeta or {}).items() if name != "chunk_index"}
        entry = files.setdefault(key, [0, identity(metadata)])
        entry[0] += len(chunk)
    return identity(files)


def _chunks_digest(chunks: Iterable[Any]) -> str:
    """Name the way the input is cut, however a file is named."""
    return identity([(c.dataset, canonical(c.filename), c.treename, c.entrystart, c.entrystop) for c in chunks])
