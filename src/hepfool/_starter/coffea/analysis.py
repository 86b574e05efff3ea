# SPDX-License-Identifier: BSD-3-Clause
"""
An analysis to start from: python analysis.py writes report/ from the simulated events of the package.

Replace fileset, selection, inputs and regions by yours; hepfool/samples/htautau_analysis.py shows all that an analysis may have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
from coffea.nanoevents import NanoAODSchema
from coffea.processor import FuturesExecutor, Runner

import hepfool as hf
from hepfool._settings import DetectorSettings, TrainingSettings
from hepfool.events import UNLABELLED
from hepfool.samples import htautau
from hepfool.study._plan import NetworkConfiguration

HIGH_MT, JET_PT = 70.0, 30.0
FEATURES = hf.FeatureSpace(
    [
        hf.Feature(name="tau_pt", label=r"$\tau_\mathrm{h}$ $p_\mathrm{T}$", unit="GeV", lower=0.0),
        hf.Feature(name="muon_pt", label=r"muon $p_\mathrm{T}$", unit="GeV", lower=0.0),
        hf.Feature(name="met", label=r"$p_\mathrm{T}^\mathrm{miss}$", unit="GeV", lower=0.0),
        hf.Feature(name="mt", label=r"$m_\mathrm{T}$", unit="GeV", lower=0.0),
        hf.Feature(name="n_jets", label="number of jets", lower=0.0, kind="integer"),
    ]
)


@dataclass(frozen=True)
class MyAnalysis:
    """One muon and one hadronic tau."""

    luminosity_pb: float

    @property
    def features(self) -> hf.FeatureSpace:
        """Inputs of the network."""
        return FEATURES

    def build(self, events: Any) -> hf.EventTable:
        """Turn one chunk into a table."""
        events = events[(ak.num(events.Muon) == 1) & (ak.num(events.Tau) == 1)]
        muon, tau, met = events.Muon[:, 0], events.Tau[:, 0], events.PuppiMET
        inputs = {
            "tau_pt": tau.pt,
            "muon_pt": muon.pt,
            "met": met.pt,
            "mt": np.sqrt(2.0 * muon.pt * met.pt * (1.0 - np.cos(muon.phi - met.phi))),
            "n_jets": ak.sum(events.Jet.pt > JET_PT, axis=1),
        }
        nominal = matrix(inputs)
        mt = nominal[:, FEATURES.index("mt")]
        label = UNLABELLED if events.metadata["is_data"] else int(events.metadata["is_signal"])
        return hf.EventTable.from_arrays(
            nominal,
            features=FEATURES,
            labels=np.full(len(mt), label),
            dataset=events.metadata["dataset"],
            weights=self.weights(events),
            regions=(
                hf.Region("high_mt", mt >= HIGH_MT, "control", cuts={"mt": (HIGH_MT, np.inf)}),
                hf.Region("low_mt", mt < HIGH_MT, "signal", cuts={"mt": (-np.inf, HIGH_MT)}),
            ),
            shape_variations={
                "tau_energy_up": matrix({**inputs, "tau_pt": 1.03 * tau.pt}),
                "tau_energy_down": matrix({**inputs, "tau_pt": 0.97 * tau.pt}),
            },
        )

    def weights(self, events: Any) -> Any:
        """Normalise simulation to the luminosity of the data."""
        metadata = events.metadata
        if metadata["is_data"]:
            return np.ones(len(events))
        scale = metadata["cross_section_pb"] * self.luminosity_pb / metadata["sum_weights"]
        return ak.to_numpy(events.genWeight) * scale


def matrix(inputs: Mapping[str, Any]) -> Any:
    """Put columns side by side in the order of the features."""
    columns = [ak.to_numpy(inputs[name], allow_missing=False).astype(np.float64) for name in FEATURES.names]
    return np.stack(columns, axis=1)


def main() -> None:
    """Go from the files to the verdict."""
    NanoAODSchema.warn_missing_crossrefs = False  # the files do not hold every collection
    training = TrainingSettings(max_epochs=20)
    study = hf.Study(
        output=Path("report"),
        network=NetworkConfiguration(hidden=(32, 16), training=training),
        attack=hf.CONSERVAttack(strategy="frugal", validation=hf.Validation(), n_iterations=20),
        detector=DetectorSettings(hidden=(32, 16), training=training),
    )
    runner = Runner(FuturesExecutor(workers=2), schema=NanoAODSchema)
    fileset = {**htautau.fileset(), **htautau.pseudodata_fileset()}
    with hf.progress_bars() as progress:
        summary = study.run(
            analysis=MyAnalysis(htautau.luminosity_pb()), runner=runner, fileset=fileset, progress=progress
        )
    print(summary)


if __name__ == "__main__":
    main()
