# SPDX-License-Identifier: BSD-3-Clause
"""
A workflow of PocketCoffea whose hook for histograms collects the events of an attack.

    pip install pocket-coffea==0.9.13 hepfool
    python pocketcoffea.py

runs on the sample of the package, with two executors; selection, weights and categories are those of PocketCoffea.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
from coffea.processor import FuturesExecutor, IterativeExecutor, NanoAODSchema, Runner
from omegaconf import OmegaConf
from pocket_coffea.lib.categorization import StandardSelection
from pocket_coffea.lib.cut_definition import Cut
from pocket_coffea.lib.weights.common import common_weights
from pocket_coffea.parameters import defaults
from pocket_coffea.parameters.cuts import passthrough
from pocket_coffea.utils.configurator import Configurator
from pocket_coffea.workflows.base import BaseProcessorABC

from hepfool import Correlations, Marginals, Validation
from hepfool.attacks import CONSERVAttack
from hepfool.models import CallableClassifier, FiniteDifference
from hepfool.processors import attack_collected, collect
from hepfool.samples import htautau


class Workflow(BaseProcessorABC):
    """Events with a muon, a tau and their missing momentum; a workflow as users write them."""

    def apply_object_preselection(self, variation: str) -> None:
        """Keep good muons and taus."""
        self.events["MuonGood"] = self.events.Muon[self.events.Muon.pt > 26.0]
        self.events["TauGood"] = self.events.Tau[self.events.Tau.pt > 20.0]

    def count_objects(self, variation: str) -> None:
        """Count them."""
        self.events["nMuonGood"] = ak.num(self.events.MuonGood)
        self.events["nTauGood"] = ak.num(self.events.TauGood)

    def inputs(self) -> dict[str, Any]:
        """Inputs of the network."""
        muon, tau, met = self.events.MuonGood[:, 0], self.events.TauGood[:, 0], self.events.PuppiMET
        mass = np.sqrt(2 * muon.pt * tau.pt * (np.cosh(muon.eta - tau.eta) - np.cos(muon.phi - tau.phi)))
        return {"muon_pt": muon.pt, "tau_pt": tau.pt, "met": met.pt, "visible_mass": mass}


class Attacked(Workflow):
    """The same workflow with the lines that an attack needs."""

    def fill_histograms_extra(self, variation: str) -> None:
        """Collect what was selected."""
        if variation == "nominal":
            weights, label = self.weights_manager.get_weight("inclusive"), int(self._sample == "ggH")
            regions = {name: (name, self._categories.get_mask(name)) for name in ("control", "signal")}
            self.output["attack"] = collect(
                self.events.metadata, self.inputs(), label=label, weights=weights, regions=regions
            )


def one_of_each(events: Any, params: Any, **_: Any) -> Any:
    """A muon and a tau."""
    return (events.nMuonGood == 1) & (events.nTauGood == 1)


def light(events: Any, params: Any, **_: Any) -> Any:
    """Missing momentum below or above 40 GeV."""
    return (events.PuppiMET.pt < 40.0) == params["below"]


def without_cvmfs() -> None:
    """Let paths of corrections stand where there is no /cvmfs; nothing here reads them."""

    def resolver(*_: Any, **__: Any) -> None:
        OmegaConf.register_new_resolver("cvmfs", lambda *names: "/cvmfs/" + "/".join(map(str, names)), replace=True)

    if not Path("/cvmfs/cms-griddata.cern.ch").exists():
        defaults.setup_cvmfs_resolver = resolver


def configuration(folder: Path) -> Configurator:
    """Configure a run on two datasets, without corrections that need /cvmfs."""
    datasets = {}
    for name in ("ggH", "TTbar"):
        entry = htautau.fileset()[name]
        given = entry["metadata"]
        metadata = {
            "sample": name,
            "year": "2018",
            "isMC": "True",
            "xsec": str(given["cross_section_pb"]),
            "nevents": "1",
            "size": "1",
        }
        datasets[f"{name}_2018"] = {"metadata": metadata, "files": list(entry["files"])}
    (folder / "datasets.json").write_text(json.dumps(datasets), encoding="utf-8")
    return Configurator(
        parameters=defaults.get_default_parameters(),
        datasets={"jsons": [str(folder / "datasets.json")], "filter": {"samples": ["ggH", "TTbar"]}},
        workflow=Attacked,
        skim=[passthrough],
        preselections=[Cut(name="pair", params={}, function=one_of_each)],
        categories=StandardSelection(
            {
                "inclusive": [passthrough],
                "control": [Cut(name="light", params={"below": True}, function=light)],
                "signal": [Cut(name="heavy", params={"below": False}, function=light)],
            }
        ),
        weights={"common": {"inclusive": ["genWeight", "lumi", "XS"]}},
        weights_classes=common_weights,
        calibrators=[],
        variations={"weights": {"common": {"inclusive": []}}},
        variables={},
        columns={},
    )


def score(values: Any) -> Any:
    """Stand in for a network."""
    return 1.0 / (1.0 + np.exp(-(values @ [-0.01, 0.01, -0.01, -0.02] + 2.0)))


def main() -> None:
    """Run with two executors and attack what was collected."""
    without_cvmfs()
    cloudpickle.register_pickle_by_value(__import__(__name__))
    validation = Validation(
        inputs=Marginals(max_js_distance=0.03), score=None, correlations=Correlations(max_shift=0.03)
    )
    attack = CONSERVAttack(strategy="frugal", validation=validation, n_iterations=5)
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        found = configuration(Path(name))
        found.load()
        for executor, chunksize in (
            (IterativeExecutor(status=False), 100_000),
            (FuturesExecutor(workers=2, status=False), 1500),
        ):
            runner = Runner(executor, schema=NanoAODSchema, chunksize=chunksize)
            out = runner(found.filesets, treename="Events", processor_instance=found.processor_instance)
            # Not out["sum_genweights"]: a sum in single precision, which depends on the chunks in its seventh digit.
            scale = {
                f"{name}_2018": 1.0 / htautau.fileset()[name]["metadata"]["sum_weights"] for name in ("ggH", "TTbar")
            }
            classifier = FiniteDifference(CallableClassifier(score), step=[1.0] * 4)
            result = attack_collected(out["attack"], classifier, attack, seed=7, target="all", scale=scale)
            counts = result.counts()
            print(
                f"chunks of {chunksize}: {counts.n_fooled} of {counts.n_attacked} events, fooling ratio {result.fooling_ratio:.15f}"
            )


if __name__ == "__main__":
    main()
