# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from click.testing import CliRunner

from analysis_examples.samples.htautau import main
from analysis_examples.samples.processes import DATASETS
from analysis_examples.samples.production import produce_pseudodata, produce_simulation
from analysis_examples.samples.pythia import EventGenerator, ProcessSettings, final_visible
from analysis_examples.samples.reconstruction import TAU_EFFICIENCY, reconstruct
from hepfool.exceptions import MissingExtraError
from hepfool.identity import file_digest
from hepfool.samples import Manifest, htautau

PROCESS = ProcessSettings(name="ggH", settings=("HiggsSM:gg2H=on",))


def test_settings_in_the_order_in_which_they_are_read() -> None:
    lines = ProcessSettings(name="Z", settings=("A=1", "B=2"), tune=21, energy=8000.0).lines(seed=5)
    assert lines[-4:] == ("Beams:eCM=8000.0", "Tune:pp=21", "A=1", "B=2")
    assert "Random:seed=5" in lines


@pytest.mark.parametrize("seed", [0, 900_000_001])
def test_seeds_that_pythia_ignores_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed {seed} is outside"):
        PROCESS.lines(seed)


def test_impossible_processes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"branching_ratio 1\.5"):
        ProcessSettings(name="Z", settings=(), branching_ratio=1.5)
    with pytest.raises(ValueError, match="energy -1"):
        ProcessSettings(name="Z", settings=(), energy=-1.0)


def test_shares_of_the_components_add_up() -> None:
    for dataset in DATASETS:
        assert sum(component.share for component in dataset.components) == pytest.approx(1.0)
    names = [component.process.name for dataset in DATASETS for component in dataset.components]
    assert len(names) == len(set(names))


def test_neutrinos_and_forward_particles_are_invisible() -> None:
    particles = ak.Array([
        {"id": number, "status": status, "p": {"px": 1.0, "py": 0.0, "pz": pz, "e": 100.0}}
        for number, status, pz in [(211, 1, 0.0), (-12, 1, 0.0), (211, -1, 0.0), (22, 1, 70.0), (22, 1, -80.0)]
    ])  # fmt: skip
    assert final_visible(particles).to_list() == [True, False, False, True, False]


def test_without_pythia_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hepfool\[samples\]'"):
        EventGenerator(PROCESS, seed=1)


@pytest.mark.slow
def test_unknown_settings_are_refused() -> None:
    pytest.importorskip("pythia8mc")
    with pytest.raises(ValueError, match="does not know the setting 'HiggsSM:nonsense=on'"):
        EventGenerator(ProcessSettings(name="H", settings=("HiggsSM:nonsense=on",)), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_every_component_gives_candidates_and_the_same_ones_again(dataset: object) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    (chosen,) = [each for each in DATASETS if each is dataset]
    assert chosen.components
    for component in chosen.components[:3]:
        runs = []
        for _ in range(2):
            generator = EventGenerator(component.process, seed=11)
            (batch,) = generator.batches(40)
            runs.append(reconstruct(batch, fakes=component.fakes, rng=np.random.default_rng(1)))
            assert generator.cross_section_pb > 0.0
        assert runs[0].to_list() == runs[1].to_list()
        assert ak.all(ak.num(runs[0].Tau) == 1)
        assert ak.all(ak.flatten(runs[0].Tau.genPartFlav) == (0 if component.fakes else 5))
        assert ak.all(runs[0].weight > 0.0)


@pytest.mark.slow
def test_the_command_makes_a_dataset_and_keeps_it(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    arguments = ["--output", str(tmp_path), "--events", "100", "--seed", "3", "--dataset", "ggH"]
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0
    assert list(htautau.fileset(tmp_path)) == ["ggH"]
    before = {path.name: file_digest(path) for path in tmp_path.iterdir()}
    assert sorted(before) == ["ggH.root", "manifest.json"]
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0
    assert {path.name: file_digest(path) for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_pseudodata_have_neither_weights_nor_truth(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    small = replace(DATASETS[0], n_selected=4, components=DATASETS[0].components[:1])
    manifest = Manifest(tmp_path)
    done: list[float] = []
    produce_simulation(small, manifest, seed=1, advance=done.append)
    cross_section = manifest.read()["ggH"]["metadata"]["cross_section_pb"]
    luminosity = 120 / cross_section / TAU_EFFICIENCY
    done.clear()
    produce_pseudodata([small], manifest, tune=21, luminosity_pb=luminosity, seed=9, advance=done.append)
    assert sum(done) == pytest.approx(1.0)
    (component,) = manifest.read()["pseudodata"]["components"]
    assert abs(component["n_generated"] - 120) < 60
    assert component["tune"] == 21
    with uproot.open(tmp_path / "pseudodata.root") as file:
        branches = set(file["Events"].keys())
    assert not branches & {"genWeight", "Tau_genPartFlav", "Jet_hadronFlavour"}
    with pytest.raises(ValueError, match="gives no event"):
        produce_pseudodata([small], manifest, tune=21, luminosity_pb=1e-9, seed=9, advance=done.append)


def test_pseudodata_need_the_simulation_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="produce the simulation first"):
        CliRunner().invoke(main, ["--output", str(tmp_path), "--dataset", "pseudodata"], catch_exceptions=False)
