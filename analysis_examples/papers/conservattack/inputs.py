# SPDX-License-Identifier: BSD-3-Clause
"""The events of the studies: the ATLAS Higgs challenge, and jets of Pythia."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, Runner

from hepfool.contrib.jets import topodnn_table
from hepfool.events import EventTable
from hepfool.features import FeatureSpace
from hepfool.io import read_table
from hepfool.processors import TableProcessor, run_processor
from hepfool.samples import higgsml, htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.samples import jets as sample

Task = Literal["higgs", "jets"]

#: Jets of ``--quick``.
_QUICK_JETS = 1000


class Schema(NanoAODSchema):  # type: ignore[misc]  # coffea has no types
    """Stays quiet about collections that the sample does not have."""

    warn_missing_crossrefs = False


def task_events(path: Path | None, *, quick: bool) -> tuple[Task, EventTable]:
    """Read the file of the challenge, a folder or an ``.npz`` file of jets, or the sample of the package."""
    if path is None or not (path.is_dir() or path.suffix == ".npz"):
        return "higgs", higgs_events(path, quick=quick)
    table = jet_events(path)
    return "jets", some(table, _QUICK_JETS) if quick else table


def higgs_events(file: Path | None, *, quick: bool) -> EventTable:
    """
    Read the file of the ATLAS Higgs challenge, or else the sample of the package.

    Every column is attacked by itself, as in the paper, except for the number of jets.
    """
    if file is None:
        runner = Runner(IterativeExecutor(status=False), schema=Schema, chunksize=1500, maxchunks=1 if quick else None)
        analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
        table = run_processor(runner, htautau.fileset(), TableProcessor(analysis))["table"]
        # Every event counts the same, all are constrained alike, and every column moves by itself, as published.
        table = EventTable.from_arrays(table.values, labels=table.labels, features=all_free(table.features))
    else:
        features = all_free(higgsml.FEATURES)
        classes, missing = {"b": 0, "s": 1}, higgsml.MISSING_VALUE
        table = read_table(file, features=features, label="Label", classes=classes, missing_value=missing)
    return some(table, 2000) if quick else table


def all_free(features: FeatureSpace) -> FeatureSpace:
    """Take no column for a function of others."""
    return FeatureSpace([replace(feature, derived=None) for feature in features])


def jet_events(path: Path) -> EventTable:
    """Read a folder of jets, or arrays: ``constituents`` (jets, 30, 3) with zeros for empty places, and ``label``."""
    if path.is_dir():
        parts = [
            topodnn_table(jets, labels=np.full(len(jets), int(dataset["metadata"]["is_signal"])), dataset=name)
            for name, dataset in sample.fileset(path, "ttww").items()
            for jets in [sample.read_jets(Path(next(iter(dataset["files"]))))]
        ]
        return EventTable.concatenate(parts)
    with np.load(path) as content:
        padded, labels = content["constituents"].astype(np.float64), content["label"].astype(np.int64)
    present = padded[..., 0] > 0
    columns: dict[str, Any] = dict(zip(("pt", "eta", "phi"), padded[present].T, strict=True))
    jets = ak.zip({"constituents": ak.unflatten(ak.zip(columns), present.sum(axis=1))}, depth_limit=1)
    return topodnn_table(jets, labels=labels)


def some(table: EventTable, n_events: int) -> EventTable:
    """Return a few of the events, drawn once and for all."""
    chosen = np.random.default_rng(1).permutation(table.n_events)[:n_events]
    return table.select(np.sort(chosen))
