# SPDX-License-Identifier: BSD-3-Clause
"""
A processor that exists, and the same one with an attack in it.

`Before` selects events, counts them and histograms the network's score.  `After` does the
same and collects the events that it has selected anyway, to be attacked after the run: compare the two classes.
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

from hepfool.attacks import CONSERVAttack
from hepfool.exceptions import LowStatisticsWarning
from hepfool.models import TorchClassifier, mlp
from hepfool.processors import attack_collected, collect
from hepfool.samples import htautau

INPUTS = ("lead_jet_pt", "jets_sum_pt", "tau_pt", "met")


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
        collected = collect(
            events.metadata,
            dict(zip(INPUTS, columns, strict=True)),
            label=int(events.metadata["is_signal"]),
            weights=weights,
            regions={"low_met": ("control", {"met": (None, 60.0)}), "high_met": ("signal", {"met": (60.0, None)})},
        )
        return {"score": score, "selected": {dataset: len(inputs)}, "attack": collected}


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
    scale = {
        name: entry["metadata"]["cross_section_pb"] * htautau.luminosity_pb() / entry["metadata"]["sum_weights"]
        for name, entry in htautau.fileset().items()
    }
    attack = CONSERVAttack(n_bins=50, step=0.01, n_iterations=5, max_js_distance=0.05)
    result = attack_collected(after["attack"], network, attack, seed=7, scale=scale)
    counts, found = result.counts(), result.compatibility
    print(f"selected {counts.n_events}, attacked {counts.n_attacked}, fooled {counts.n_fooled}")
    print(
        f"largest distance of a marginal {found.max_js_distance:.3f}, of two independent samples {found.js_floor.max():.3f}"
    )


if __name__ == "__main__":
    main()
