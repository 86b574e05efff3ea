# SPDX-License-Identifier: BSD-3-Clause
"""
Run the same attack with three executors and compare the results.

    python compare_executors.py nanoAOD_2015_CMS_Open_Data_ttbar.root

takes any CMS NanoAOD; without a file it takes the sample of the package.  The network
is not trained: what is compared is the bookkeeping.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import click
import numpy as np
import torch
from coffea.nanoevents import NanoAODSchema
from coffea.processor import DaskExecutor, FuturesExecutor, IterativeExecutor, Runner
from distributed import Client, LocalCluster

from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable, Region
from hepfool.exceptions import LowStatisticsWarning
from hepfool.features import Feature, FeatureSpace
from hepfool.models.networks import Standardise, mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.processors._digest import digest
from hepfool.processors.analysis import feature_matrix, leading
from hepfool.processors.completeness import run_processor
from hepfool.processors.passes import TableProcessor
from hepfool.processors.processor import AttackProcessor
from hepfool.samples import htautau


class QuietSchema(NanoAODSchema):
    """Reads some of the branches without a warning for each of the others."""

    warn_missing_crossrefs = False


@dataclass(frozen=True)
class JetsAndMissingMomentum:
    """Two jets and a few numbers that every NanoAOD has."""

    branches = ("run", "luminosityBlock", "event", "nJet", "nMuon", "Jet_*", "Muon_*", "PuppiMET_*", "MET_*")

    @property
    def features(self) -> FeatureSpace:
        return FeatureSpace(
            [
                Feature(name="lead_jet_pt", unit="GeV", lower=0.0),
                Feature(name="second_jet_pt", unit="GeV", lower=0.0),
                Feature(name="jets_sum_pt", unit="GeV", lower=0.0),
                Feature(name="n_jets", lower=0.0, kind="integer"),
                Feature(name="muon_pt", unit="GeV", lower=0.0),
                Feature(name="met", unit="GeV", lower=0.0),
                Feature(name="met_phi", kind="angle"),
            ]
        )

    def build(self, events: Any) -> EventTable:
        events = events[ak.num(events.Jet[events.Jet.pt > 30.0]) > 1]
        jets = events.Jet[events.Jet.pt > 30.0]
        pair, muon = leading(jets, 2), leading(events.Muon, 1)[:, 0]
        met = events.PuppiMET if "PuppiMET" in events.fields else events.MET
        columns = {
            "lead_jet_pt": pair[:, 0].pt,
            "second_jet_pt": pair[:, 1].pt,
            "jets_sum_pt": ak.sum(jets.pt, axis=1),
            "n_jets": ak.num(jets),
            "muon_pt": muon.pt,
            "met": met.pt,
            "met_phi": met.phi,
        }
        values = feature_matrix(columns, self.features)
        low = values[:, 5] < 60.0
        return EventTable.from_arrays(
            values,
            features=self.features,
            labels=np.full(len(values), int(events.metadata.get("is_signal", True))),
            dataset=events.metadata["dataset"],
            regions=(
                Region("low_met", low, "control", {"met": (-np.inf, 60.0)}),
                Region("high_met", ~low, "signal", {"met": (60.0, np.inf)}),
            ),
        )


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--chunksize", default=50, show_default=True, help="Events per chunk.")
@click.option("--quick", is_flag=True, help="Only one chunk per dataset.")
def main(files: tuple[Path, ...], chunksize: int, quick: bool) -> None:
    """Attack FILES with every executor and print a digest of each result."""
    if files:
        fileset: dict[str, Any] = {"events": {"files": [str(f.resolve()) for f in files], "metadata": {}}}
    else:
        fileset, chunksize = htautau.fileset(), max(chunksize, 1000)
    options = {"schema": QuietSchema, "chunksize": chunksize, "maxchunks": 1 if quick else None}
    warnings.simplefilter("ignore", LowStatisticsWarning)  # a few hundred events say nothing about an attack
    analysis = JetsAndMissingMomentum()
    attack = CONSERVAttack(n_bins=20, min_change=0.01, step=0.05, n_iterations=3, max_js_distance=0.1)

    first_pass = Runner(IterativeExecutor(status=False), **options)
    table = run_processor(first_pass, fileset, TableProcessor(analysis))["table"]
    torch.manual_seed(1)
    network = TorchClassifier(mlp(table.n_features, [16], preprocessing=Standardise.of(table)))

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        executors = [
            IterativeExecutor(status=False),
            FuturesExecutor(workers=2, status=False),
            DaskExecutor(client=client, status=False),
        ]
        outputs = {}
        for executor in executors:
            processor = AttackProcessor(analysis, network, attack, target="all", seed=7)
            outputs[type(executor).__name__] = run_processor(Runner(executor, **options), fileset, processor)

    for name, out in outputs.items():
        read = sum(sum(files.values()) for files in out["processed"].values())
        counts = out["result"].counts()
        print(f"{name:18} read {read}, selected {counts.n_events}, fooled {counts.n_fooled}, digest {digest(out)[:16]}")
    if len({digest(out) for out in outputs.values()}) > 1:
        msg = "the executors disagree"
        raise click.ClickException(msg)
    print("all digests are equal")


if __name__ == "__main__":
    main()
