# SPDX-License-Identifier: BSD-3-Clause
"""
A processor that exists, and the same one with an attack in it.

`Before` selects events, counts them and histograms the network's score.  `After` does the
same and attacks the events that it has selected anyway: compare the two classes.
"""

from __future__ import annotations

import warnings
from typing import Any

import awkward as ak
import click
import hist
import numpy as np
import torch
from coffea.analysis_tools import PackedSelection
from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, ProcessorABC, Runner

from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable, Region
from hepfool.exceptions import LowStatisticsWarning
from hepfool.models.networks import mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.processors.chunk import attack_table
from hepfool.processors.results import compatibility
from hepfool.samples import htautau
from hepfool.statistics.marginals import Binning

INPUTS = ("lead_jet_pt", "jets_sum_pt", "tau_pt", "met")
RANGES = ((30.0, 600.0), (30.0, 1000.0), (20.0, 400.0), (0.0, 400.0))


class Before(ProcessorABC):
    def __init__(self, network: TorchClassifier) -> None:
        self.network = network

    def process(self, events: Any) -> dict[str, Any]:
        dataset = events.metadata["dataset"]
        jets = events.Jet[events.Jet.pt > 30.0]
        selection = PackedSelection()
        selection.add("jet", ak.num(jets) > 0)
        selection.add("tau", ak.num(events.Tau) == 1)
        passed = selection.all()
        events, jets = events[passed], jets[passed]
        columns = (ak.max(jets.pt, axis=1), ak.sum(jets.pt, axis=1), events.Tau.pt[:, 0], events.PuppiMET.pt)
        inputs = np.stack([ak.to_numpy(column, allow_missing=False) for column in columns], axis=1).astype(np.float64)
        weights = ak.to_numpy(events.genWeight)
        score = hist.Hist.new.StrCat([], name="dataset", growth=True).Reg(20, 0.0, 1.0, name="score").Weight()
        score.fill(dataset=dataset, score=self.network.scores(inputs)[:, 1], weight=weights)
        return {"score": score, "selected": {dataset: len(inputs)}}


class After(ProcessorABC):
    def __init__(self, network: TorchClassifier) -> None:
        self.network = network
        self.attack = CONSERVAttack(n_bins=50, step=0.01, n_iterations=5, max_js_distance=0.05)
        self.binning = Binning(np.stack([np.linspace(low, high, 51) for low, high in RANGES]))

    def process(self, events: Any) -> dict[str, Any]:
        dataset = events.metadata["dataset"]
        jets = events.Jet[events.Jet.pt > 30.0]
        selection = PackedSelection()
        selection.add("jet", ak.num(jets) > 0)
        selection.add("tau", ak.num(events.Tau) == 1)
        passed = selection.all()
        events, jets = events[passed], jets[passed]
        columns = (ak.max(jets.pt, axis=1), ak.sum(jets.pt, axis=1), events.Tau.pt[:, 0], events.PuppiMET.pt)
        inputs = np.stack([ak.to_numpy(column, allow_missing=False) for column in columns], axis=1).astype(np.float64)
        weights = ak.to_numpy(events.genWeight)
        score = hist.Hist.new.StrCat([], name="dataset", growth=True).Reg(20, 0.0, 1.0, name="score").Weight()
        score.fill(dataset=dataset, score=self.network.scores(inputs)[:, 1], weight=weights)
        labels = np.full(len(inputs), int(events.metadata["is_signal"]))
        regions = (Region("low_met", inputs[:, 3] < 60.0, "control", {"met": (-np.inf, 60.0)}),)
        table = EventTable.from_arrays(
            inputs, features=INPUTS, labels=labels, weights=weights, dataset=dataset, regions=regions
        )
        attack = attack_table(table, self.network, self.attack, binning=self.binning, metadata=events.metadata)
        return {"score": score, "selected": {dataset: len(inputs)}, "attack": attack}


@click.command()
@click.option("--quick", is_flag=True, help="Only the first 1000 events of each dataset.")
def main(quick: bool) -> None:
    """Run both processors on the sample of the package."""
    NanoAODSchema.warn_missing_crossrefs = False
    warnings.simplefilter("ignore", LowStatisticsWarning)  # the sample is small
    torch.manual_seed(1)
    network = TorchClassifier(mlp(len(INPUTS), [8]))  # stands for your trained one
    some = {"chunksize": 1000, "maxchunks": 1} if quick else {}
    runner = Runner(IterativeExecutor(status=False), schema=NanoAODSchema, **some)
    before, after = (runner(htautau.fileset(), processor(network)) for processor in (Before, After))
    same = before["score"] == after["score"] and before["selected"] == after["selected"]
    print(f"the processor's own output is unchanged: {same}")
    for dataset in sorted(after["selected"]):
        counts = after["attack"]["fooling"][dataset]["all"]["adversarial"]
        print(f"{dataset:10} selected {counts.n_events}, attacked {counts.n_attacked}, fooled {counts.n_fooled}")
    merged = compatibility(after["attack"])
    print(
        f"largest distance of a marginal {merged.max_js_distance:.3f}, of two independent samples {merged.js_floor.max():.3f}"
    )


if __name__ == "__main__":
    main()
