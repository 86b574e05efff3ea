# SPDX-License-Identifier: BSD-3-Clause
"""Flat files to start from, made of the simulated events of the package: simulation.root and data.root."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np
import uproot

from hepfool.samples import htautau

JET_PT = 30.0


def columns_of(path: str, metadata: Mapping[str, Any], luminosity_pb: float) -> dict[str, Any]:
    """Select events with one tau and one muon or electron, and compute the inputs of a network."""
    with uproot.open(path) as file:
        events = file["Events"].arrays()
    leptons = {
        name: ak.concatenate([events[f"Muon_{name}"], events[f"Electron_{name}"]], axis=1)
        for name in ("pt", "eta", "phi")
    }
    passed = (ak.num(leptons["pt"]) == 1) & (ak.num(events["Tau_pt"]) == 1)
    events, lepton = events[passed], {name: column[passed][:, 0] for name, column in leptons.items()}
    tau_pt, met = events["Tau_pt"][:, 0], events["PuppiMET_pt"]
    columns = {
        "tau_pt": tau_pt,
        "tau_pt_up": 1.03 * tau_pt,
        "tau_pt_down": 0.97 * tau_pt,
        "lepton_pt": lepton["pt"],
        "met": met,
        "mt": np.sqrt(2.0 * lepton["pt"] * met * (1.0 - np.cos(lepton["phi"] - events["PuppiMET_phi"]))),
        "delta_eta": lepton["eta"] - events["Tau_eta"][:, 0],
        "n_jets": ak.sum(events["Jet_pt"] > JET_PT, axis=1),
    }
    flat = {name: ak.to_numpy(column, allow_missing=False).astype(np.float64) for name, column in columns.items()}
    if not metadata["is_data"]:
        scale = metadata["cross_section_pb"] * luminosity_pb / metadata["sum_weights"]
        flat["weight"] = ak.to_numpy(events["genWeight"]) * scale
        flat["is_signal"] = np.full(len(tau_pt), int(metadata["is_signal"]))
    return flat


def write(path: str, fileset: Mapping[str, Any]) -> None:
    """Write the events of all datasets to one tree."""
    luminosity_pb = htautau.luminosity_pb()
    parts = [
        columns_of(name, entry["metadata"], luminosity_pb) for entry in fileset.values() for name in entry["files"]
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: column.dtype for name, column in columns.items()})
        file["Events"].extend(columns)


if __name__ == "__main__":
    write("simulation.root", htautau.fileset())
    write("data.root", htautau.pseudodata_fileset())
