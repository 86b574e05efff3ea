# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from analysis_examples.samples.processes import DATASETS
from analysis_examples.samples.selection import select_lepton_tau
from hepfool.identity import file_digest
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau

SIMULATION = ("TTbar", "VBFH", "WJets", "ZTauTau", "ggH")
EVERYTHING = (*SIMULATION, "pseudodata")
MEGABYTE = 1_000_000
MOMENTUM = ("pt", "eta", "phi", "mass")
USED = {
    "Muon": (*MOMENTUM, "charge", "pfRelIso04_all", "tightId"),
    "Electron": (*MOMENTUM, "charge", "pfRelIso03_all", "mvaNoIso_WP90"),
    "Tau": (*MOMENTUM, "charge", "decayMode", "idVSjet"),
    "Jet": (*MOMENTUM, "btagScore"),
    "PuppiMET": ("pt", "phi"),
}


def open_events(name: str) -> ak.Array:
    files = {**htautau.fileset(), **htautau.pseudodata_fileset()}[name]["files"]
    return NanoEventsFactory.from_root(files, schemaclass=NanoAODSchema, mode="virtual").events()


@pytest.fixture(scope="module")
def entries() -> dict[str, Any]:
    return htautau.manifest()


def test_filesets_are_what_coffea_wants() -> None:
    fileset = htautau.fileset()
    assert sorted(fileset) == sorted(SIMULATION)
    assert {name for name, entry in fileset.items() if entry["metadata"]["is_signal"]} == {"ggH", "VBFH"}
    for entry in (fileset | htautau.pseudodata_fileset()).values():
        ((path, tree),) = entry["files"].items()
        assert Path(path).is_file()
        assert tree == "Events"
    (data,) = htautau.pseudodata_fileset().values()
    assert data["metadata"] == {"is_signal": False, "is_data": True, "luminosity_pb": htautau.luminosity_pb()}


def test_files_are_undamaged_and_small(entries: dict[str, Any]) -> None:
    assert sorted(entries) == sorted(EVERYTHING)
    for entry in entries.values():
        assert file_digest(htautau.DATA_FOLDER / entry["file"]) == entry["sha256"]
    assert sum(path.stat().st_size for path in htautau.DATA_FOLDER.iterdir()) < 8 * MEGABYTE


def test_enough_events_pass_the_selection(entries: dict[str, Any]) -> None:
    made = {dataset.name: dataset.n_selected for dataset in DATASETS}
    for name in SIMULATION:
        assert entries[name]["request"]["n_selected"] == made[name] <= 1.03 * entries[name]["n_selected"]


def test_the_files_hold_what_the_analysis_reads_and_no_more() -> None:
    read = {branch for branch in HiggsToTauTau.branches if "*" not in branch}
    used = {f"{collection}_{name}" for collection, names in USED.items() for name in names}
    for name in EVERYTHING:
        truth = {"genWeight", "Tau_genPartFlav"} if name in SIMULATION else set()
        with uproot.open(htautau.DATA_FOLDER / f"{name}.root") as file:
            assert set(file["Events"].keys()) == (read - {"genWeight"} | used | truth)


@pytest.mark.parametrize("name", EVERYTHING)
def test_coffea_opens_the_file_and_counts_agree(name: str, entries: dict[str, Any]) -> None:
    events = open_events(name)
    assert len(events) == entries[name]["n_events"]
    selected = events[select_lepton_tau(events)]
    assert len(selected) == entries[name]["n_selected"]
    leptons = ak.concatenate([selected.Muon, selected.Electron], axis=1)
    mass = (leptons[:, 0] + selected.Tau[:, 0]).mass
    assert np.all(np.isfinite(ak.to_numpy(mass)))
    assert np.median(ak.to_numpy(mass)) > 60.0
    assert np.array_equal(ak.to_numpy(events.event), np.arange(1, len(events) + 1))


@pytest.mark.parametrize("name", EVERYTHING)
def test_objects_are_inside_the_skim(name: str) -> None:
    events = open_events(name)
    assert ak.all(ak.num(events.Tau) == 1)
    assert ak.all((events.Tau.pt > 19.9) & (abs(events.Tau.eta) < 2.51))
    assert ak.all((events.Jet.pt > 24.9) & (abs(events.Jet.eta) < 4.71))
    assert ak.all((events.Jet.btagScore > 0.0) & (events.Jet.btagScore <= 1.0))
    for jets in (events.Jet, events.Tau):
        assert ak.all(jets.pt[:, :-1] >= jets.pt[:, 1:])
    leading = ak.max(ak.concatenate([events.Muon.pt, events.Electron.pt], axis=1), axis=1)
    assert ak.all(leading > 22.9)
    for collection in ("Muon", "Electron", "Tau", "Jet"):
        assert ak.all(abs(events[collection].phi) <= 3.1417)
        for field in ("pt", "eta", "phi", "mass"):
            assert np.all(np.isfinite(ak.to_numpy(ak.flatten(events[collection][field]))))


@pytest.mark.parametrize("name", SIMULATION)
def test_weights_and_normalisation(name: str, entries: dict[str, Any]) -> None:
    weight = ak.to_numpy(open_events(name).genWeight)
    assert np.all(np.isfinite(weight))
    assert np.all(weight > 0.0)
    metadata = entries[name]["metadata"]
    with uproot.open(htautau.DATA_FOLDER / entries[name]["file"]) as file:
        runs = file["Runs"].arrays(library="np")
    components = entries[name]["components"]
    assert runs["genEventCount"].tolist() == [sum(component["n_generated"] for component in components)]
    assert runs["genEventSumw"].tolist() == [metadata["sum_weights"]]
    total = sum(component["cross_section_pb"] for component in components)
    assert metadata["cross_section_pb"] == pytest.approx(total)


def test_only_simulation_carries_truth() -> None:
    for name in SIMULATION:
        flavour = ak.to_numpy(ak.flatten(open_events(name).Tau.genPartFlav))
        expected = {"WJets": {0}, "TTbar": {0, 5}}.get(name, {5})
        assert set(flavour.tolist()) == expected
    data = open_events("pseudodata")
    assert "genWeight" not in data.fields
    assert "genPartFlav" not in data.Tau.fields
    assert "hadronFlavour" not in data.Jet.fields


def test_simulation_describes_the_pseudodata(entries: dict[str, Any]) -> None:
    expected, variance = 0.0, 0.0
    for name in SIMULATION:
        events = open_events(name)
        metadata = entries[name]["metadata"]
        scale = metadata["cross_section_pb"] * htautau.luminosity_pb() / metadata["sum_weights"]
        weight = scale * ak.to_numpy(events.genWeight)[ak.to_numpy(select_lepton_tau(events))]
        expected, variance = expected + weight.sum(), variance + (weight**2).sum()
    observed = entries["pseudodata"]["n_selected"]
    assert abs(observed - expected) < 3.0 * np.sqrt(expected + variance)


def test_a_folder_without_a_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no manifest.json"):
        htautau.fileset(tmp_path)
