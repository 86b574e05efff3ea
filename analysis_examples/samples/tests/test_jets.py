# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
from click.testing import CliRunner

from analysis_examples.samples import jet_production
from analysis_examples.samples import jets as command
from analysis_examples.samples.jet_production import TASKS, JetSelection, hardest_photon, leading_jet, produce_jets
from hepfool.contrib.jets import ConstituentLayout
from hepfool.exceptions import MissingExtraError
from hepfool.identity import file_digest
from hepfool.samples import Manifest

SELECTION = JetSelection(radius=1.0, smallest_pt=100.0, smallest_mass=20.0, n_constituents=4)


def momenta(*events: list[tuple[float, float, float]]) -> ak.Array:
    """Particles from rows of pt, eta, phi."""
    rows = np.array([row for event in events for row in event])
    pt, eta, phi = rows.T
    flat = ak.zip({"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "e": 2.0 * pt})
    return ak.unflatten(flat, [len(event) for event in events])


def test_the_leading_jet_with_its_hardest_constituents() -> None:
    pytest.importorskip("fastjet")
    prongs = [(30.0, 0.0, 0.0), (70.0, 0.5, 0.0), (20.0, 0.2, 0.4), (10.0, 0.2, -0.4), (40.0, 0.3, 0.1)]
    other = [(150.0, 0.0, 3.0), (1.0, 0.1, 3.0)]
    (jet,) = leading_jet(momenta([*prongs, *other]), SELECTION).to_list()
    assert jet["nConstituents"] == 5
    assert [c["pt"] for c in jet["constituents"]] == pytest.approx([70.0, 40.0, 30.0, 20.0])
    assert [c["eta"] for c in jet["constituents"]] == pytest.approx([0.5, 0.3, 0.0, 0.2])
    pt, eta, phi = np.array(prongs).T
    total = [np.sum(p) for p in (pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))]
    assert jet["mass"] == pytest.approx(np.sqrt(total[0] ** 2 - total[1] ** 2 - total[2] ** 2 - total[3] ** 2))
    assert jet["pt"] == pytest.approx(np.hypot(total[1], total[2]))


def test_jets_outside_the_selection_are_dropped() -> None:
    pytest.importorskip("fastjet")
    good = [(60.0, 0.0, 0.0), (60.0, 0.6, 0.0), (5.0, 0.3, 0.0)]
    soft = [(pt / 2, eta, phi) for pt, eta, phi in good]
    light = [(60.0, 0.0, 0.0), (60.0, 0.1, 0.0), (5.0, 0.05, 0.0)]
    forward = [(pt, eta + 2.5, phi) for pt, eta, phi in good]
    few = good[:2]
    found = leading_jet(momenta(good, soft, light, forward, few, good), SELECTION)
    assert len(found) == 2
    assert found.pt[0] == found.pt[1]


def test_the_hardest_photon_is_marked() -> None:
    particles = ak.Array([
        [{"id": number, "p": {"px": px, "py": 0.0}} for number, px in rows]
        for rows in ([(22, 5.0), (211, 90.0), (22, -70.0)], [(211, 5.0)], [])
    ])  # fmt: skip
    assert hardest_photon(particles).to_list() == [[False, False, True], [False], []]


def test_only_the_z_sample_clusters_without_its_photon() -> None:
    pytest.importorskip("fastjet")
    # The photon is the leading object and alone no jet: where it stays, no jet is left.
    rows = [(22, 600.0, 3.0), *[(211, 120.0, phi) for phi in (0.0, 0.2, 0.6)], (22, 30.0, 0.3), (12, 90.0, 0.1)]
    number, pt, phi = np.array(rows).T
    momentum = ak.zip({"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": 0.0 * pt, "e": pt})
    flat = ak.zip({"id": number.astype(int), "status": np.ones(len(pt), dtype=int), "p": momentum}, depth_limit=1)
    event = ak.unflatten(flat, [len(pt)])
    signal, background = TASKS["zqq"]
    with_photon, without = (jet_production._visible(event, dataset) for dataset in (background, signal))
    (jet,) = leading_jet(without.p, signal.selection).to_list()
    assert jet["nConstituents"] == 4
    assert len(leading_jet(with_photon.p, background.selection)) == 0


def test_tasks_have_one_signal_and_one_background() -> None:
    names = [dataset.name for task in TASKS.values() for dataset in task]
    assert len(set(names)) == len(names) == 4
    for signal, background in TASKS.values():
        assert (signal.is_signal, background.is_signal) == (True, False)
        assert signal.selection == background.selection
    assert [dataset.name for task in TASKS.values() for dataset in task if dataset.remove_photon] == ["ZGamma"]


def test_without_the_programs_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for package in ("pythia8mc", "fastjet"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"fastjet.*pip install 'hepfool\[samples\]'"):
        leading_jet(momenta([(1.0, 0.0, 0.0)]), SELECTION)
    with pytest.raises(MissingExtraError, match=r"pythia8mc.*pip install 'hepfool\[samples\]'"):
        produce_jets(TASKS["zqq"][0], Manifest(tmp_path), n_jets=1, seed=1, advance=lambda done: None)


def test_impossible_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n_jets 0 is below 1"):
        produce_jets(TASKS["zqq"][0], Manifest(tmp_path), n_jets=0, seed=1, advance=lambda done: None)
    with pytest.raises(ValueError, match=r"holds no manifest.json; make the jets with"):
        command.fileset(tmp_path)
    with pytest.raises(ValueError, match="no task 'top'; use one of zqq, ttww"):
        command.fileset(tmp_path, "top")


def test_levels_have_files_of_their_own() -> None:
    dijet = TASKS["zqq"][1]
    assert [jet_production.level_name(dijet, level) for level in jet_production.LEVELS] == ["Dijet", "Dijet_towers"]
    with pytest.raises(ValueError, match="no level 'tracks'; use one of particles, towers"):
        jet_production.level_name(dijet, "tracks")  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_command_makes_jets_and_keeps_them(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    made = ["--jets", "20", "--seed", "3", "--task", "zqq"]
    arguments = ["--output", str(tmp_path), *made, "--level", "particles", "--level", "towers"]
    assert CliRunner().invoke(command.main, arguments, catch_exceptions=False).exit_code == 0
    assert list(command.fileset(tmp_path, "zqq")) == ["Dijet", "ZGamma"]
    assert list(command.fileset(tmp_path, "zqq", "towers")) == ["Dijet_towers", "ZGamma_towers"]
    assert command.fileset(tmp_path, "ttww") == {}
    before = {path.name: file_digest(path) for path in tmp_path.iterdir()}
    names = ("Dijet", "Dijet_towers", "ZGamma", "ZGamma_towers")
    assert sorted(before) == [*(f"{name}.root" for name in names), "manifest.json"]
    assert CliRunner().invoke(command.main, arguments, catch_exceptions=False).exit_code == 0
    assert {path.name: file_digest(path) for path in tmp_path.iterdir()} == before
    for name, entry in command.manifest(tmp_path).items():
        jets = command.read_jets(tmp_path / f"{name}.root")
        assert len(jets) == entry["n_events"] >= 20
        assert entry["metadata"]["sum_weights"] == entry["components"][0]["n_generated"] >= len(jets)
        assert ak.all((jets.pt > 299.9) & (jets.mass > 49.9) & (abs(jets.eta) < 2.01))
        assert ak.all(ak.num(jets.constituents) == np.minimum(jets.nConstituents, 64))
        pt = ak.sum(jets.constituents.pt, axis=1)
        assert ak.all((pt > 0.85 * jets.pt) & (pt < 1.3 * jets.pt))
        assert ConstituentLayout(64).table(jets).n_events == len(jets)
    # The towers are the same, whether the particles are clustered beside them or not.
    alone = ["--output", str(tmp_path / "alone"), *made, "--level", "towers", "--dataset", "Dijet"]
    assert CliRunner().invoke(command.main, alone, catch_exceptions=False).exit_code == 0
    first, second = (command.read_jets(folder / "Dijet_towers.root") for folder in (tmp_path, tmp_path / "alone"))
    assert first.to_list() == second.to_list()
    particles = command.read_jets(tmp_path / "Dijet.root")
    assert ak.mean(first.nConstituents) < 0.7 * ak.mean(particles.nConstituents)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", TASKS["ttww"], ids=lambda dataset: dataset.name)
def test_the_same_seed_gives_the_same_jets(tmp_path: Path, dataset: object) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    (chosen,) = [each for each in TASKS["ttww"] if each is dataset]
    loose = replace(chosen, selection=replace(chosen.selection, smallest_pt=200.0))
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        done: list[float] = []
        produce_jets(loose, Manifest(folder), n_jets=5, seed=7, advance=done.append)
        assert sum(done) >= 1.0
        found.append(command.read_jets(folder / f"{loose.name}.root").to_list())
        assert max(len(jet["constituents"]) for jet in found[-1]) == 30
    assert found[0] == found[1]
