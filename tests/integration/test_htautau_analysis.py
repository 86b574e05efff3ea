# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, Runner

from hepfool.attacks.base import run_attack
from hepfool.attacks.stochastic import Noise
from hepfool.events import UNLABELLED, Envelope, EventTable
from hepfool.models.blackbox import CallableClassifier
from hepfool.processors.analysis import Analysis
from hepfool.processors.completeness import run_processor
from hepfool.processors.passes import TableProcessor
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import FEATURES, HiggsToTauTau


def _table(fileset: dict[str, Any], analysis: HiggsToTauTau, *, unblind: bool = False, **options: Any) -> EventTable:
    executor = IterativeExecutor(status=False, retries=0)
    runner = Runner(executor, schema=NanoAODSchema, metadata_cache={}, **options)
    table: EventTable = run_processor(runner, fileset, TableProcessor(analysis, unblind=unblind))["table"]
    return table


def _objects(*events: list[dict[str, Any]], **others: float) -> ak.Array:
    """Jagged records with the fields of NanoAOD even where all events are empty."""
    defaults = {"pt": 1.0, "eta": 0.0, "phi": 0.0, "mass": 0.0, **others}
    padded: list[list[dict[str, Any]]] = [*events, [{}]]
    filled = [[{**defaults, **one} for one in event] for event in padded]
    return ak.Array(filled)[:-1]  # the last one only makes the type known


@pytest.fixture
def handmade(tmp_path: Path) -> dict[str, Any]:
    """Five events of which all but two pass: one by its charges, one by its leptons."""
    muon = {"pt": 40.0, "charge": -1}
    tau = {"pt": 50.0, "phi": 3.0, "charge": 1, "decayMode": 0}
    jets = [{"pt": 100.0, "eta": 2.0, "phi": 1.5}, {"pt": 29.7, "eta": -1.0, "phi": -1.5}]
    b_jet = {"pt": 60.0, "eta": 1.0, "phi": 1.5, "btagScore": 0.9}
    same_charge = {**tau, "charge": -1}
    content = {
        "Muon": _objects(
            *([muon] for _ in range(4)), [muon, {**muon, "pt": 20.0}], charge=1, tightId=True, pfRelIso04_all=0.0
        ),
        "Electron": _objects(*([] for _ in range(5)), charge=1, mvaNoIso_WP90=True, pfRelIso03_all=0.0),
        "Tau": _objects([tau], [tau], [same_charge], [tau], [tau], charge=1, decayMode=0, idVSjet=5, genPartFlav=5),
        "Jet": _objects([], jets, [], [b_jet], [], btagScore=0.0),
    }
    columns = {"PuppiMET_pt": np.array([30.0, 80.0, 30.0, 30.0, 30.0]), "PuppiMET_phi": np.full(5, 2.0)}
    columns |= {"genWeight": np.array([1.0, -2.0, 1.0, 1.0, 1.0])}
    columns |= {name: np.arange(5, dtype=np.uint32) for name in ("run", "luminosityBlock", "event")}
    types = {name: ak.type(array).content for name, array in content.items()}
    types |= {name: array.dtype for name, array in columns.items()}
    path = tmp_path / "handmade.root"
    with uproot.recreate(path) as file:
        file.mktree("Events", types).extend({**content, **columns})
    metadata = {"is_signal": True, "cross_section_pb": 4.0, "sum_weights": 8.0}
    return {"ZTauTau": {"files": [str(path)], "metadata": metadata}}


def test_selection_and_inputs_of_events_made_by_hand(handmade: dict[str, Any]) -> None:
    table = _table(handmade, HiggsToTauTau(luminosity_pb=10.0))
    assert table.spectators["event"].tolist() == [0, 1, 3]
    assert table.labels.tolist() == [1, 1, 1]
    np.testing.assert_allclose(table.weights, [5.0, -10.0, 5.0])
    met = np.array([30.0, 80.0, 30.0])
    np.testing.assert_allclose(table.column("mt"), np.sqrt(2 * 40.0 * met * (1 - np.cos(2.0))))
    assert table.region("high_mt").mask.tolist() == [False, True, False]
    assert table.region("b_jet").mask.tolist() == [False, False, True]
    assert table.region("low_mt").mask.tolist() == [True, False, False]
    np.testing.assert_allclose(table.column("met"), met)
    np.testing.assert_allclose(table.column("met_parallel"), met * np.cos(2.0))
    np.testing.assert_allclose(table.column("met_perpendicular"), met * np.sin(2.0))
    higgs = 40.0 + 50.0 * np.exp(3.0j) + met * np.exp(2.0j)
    np.testing.assert_allclose(table.column("higgs_pt"), abs(higgs))
    np.testing.assert_allclose(table.column("delta_r"), 3.0)
    np.testing.assert_allclose(table.column("visible_mass"), np.sqrt(2 * 40.0 * 50.0 * (1 - np.cos(3.0))))
    assert table.column("n_jets").tolist() == [0, 1, 1]
    np.testing.assert_array_equal(table.column("lead_jet_pt"), [np.nan, 100.0, 60.0])
    assert np.isnan(table.column("dijet_mass")).all()


def test_turning_and_mirroring_an_event_changes_no_input(handmade: dict[str, Any], tmp_path: Path) -> None:
    (path,) = handmade["ZTauTau"]["files"]
    with uproot.open(path) as file:
        arrays = file["Events"].arrays()
    content = {name: arrays[name] for name in arrays.fields if not name.startswith("n")}
    for name in (name for name in content if name.endswith("_phi")):
        content[name] = (2.5 - content[name] + np.pi) % (2 * np.pi) - np.pi
    for name in (name for name in content if name.endswith("_eta")):
        content[name] = -content[name]
    jagged = ("Muon", "Electron", "Tau", "Jet")
    columns = {n: ak.to_numpy(a) for n, a in content.items() if not n.startswith(tuple(f"{k}_" for k in jagged))}
    for kind in jagged:
        fields = {n.removeprefix(f"{kind}_"): a for n, a in content.items() if n.startswith(f"{kind}_")}
        columns[kind] = ak.zip(fields)
    turned = tmp_path / "turned.root"
    types = {n: a.dtype if isinstance(a, np.ndarray) else ak.type(a).content for n, a in columns.items()}
    with uproot.recreate(turned) as file:
        file.mktree("Events", types).extend(columns)
    expected = _table(handmade, HiggsToTauTau()).values
    fileset = {"ZTauTau": {**handmade["ZTauTau"], "files": [str(turned)]}}
    np.testing.assert_allclose(_table(fileset, HiggsToTauTau()).values, expected, rtol=1e-6, atol=1e-5)


def test_energy_scales_move_what_they_should_and_balance_the_missing_momentum(handmade: dict[str, Any]) -> None:
    table = _table(handmade, HiggsToTauTau())
    up, down = table.variation("tau_energy_up"), table.variation("tau_energy_down")
    np.testing.assert_allclose(up.column("tau_pt"), 51.5)
    np.testing.assert_allclose(down.column("tau_pt"), 48.5)
    np.testing.assert_allclose(up.column("higgs_pt"), table.column("higgs_pt"))
    met = 30.0 * np.exp(2.0j) - 1.5 * np.exp(3.0j)
    assert up.column("met")[0] == pytest.approx(abs(met))
    np.testing.assert_array_equal(up.region("high_mt").mask, table.region("high_mt").mask)
    jets = table.variation("jet_energy_up")
    assert jets.column("n_jets").tolist() == [0, 2, 1]  # the second jet has crossed its threshold
    assert jets.column("lead_jet_pt")[1] == pytest.approx(101.5)
    assert jets.column("met")[0] == pytest.approx(table.column("met")[0])
    np.testing.assert_array_equal(jets.column("tau_pt"), table.column("tau_pt"))
    soft = table.variation("unclustered_energy_up")
    assert np.all(soft.column("met") != table.column("met"))
    np.testing.assert_array_equal(soft.column("lead_jet_pt"), table.column("lead_jet_pt"))
    Envelope.from_variations(table)


def test_an_attack_keeps_what_follows_from_the_measured_inputs_and_the_selection() -> None:
    fileset = {name: htautau.fileset()[name] for name in ("VBFH", "TTbar")}
    table = _table(fileset, HiggsToTauTau(), chunksize=1000, maxchunks=1)
    classifier = CallableClassifier(lambda x: 1 / (1 + np.exp((x[:, FEATURES.index("visible_mass")] - 88.0) / 9.0)))
    moved = run_attack(Noise(size=0.1), classifier, table, rng=1, target="all").adversarial
    free = [j for j in range(len(FEATURES)) if j not in FEATURES.derived and FEATURES[j].kind != "fixed"]
    assert (moved.values != table.values)[:, free].any(axis=0).all()
    for j in FEATURES.derived:
        np.testing.assert_allclose(FEATURES.derive(moved.values, j), moved.values[:, j])
    assert (moved.column("lepton_pt") >= 26.0).all()
    assert (moved.column("tau_pt") >= 22.0).all()
    assert (moved.column("delta_r") >= 0.5).all()
    np.testing.assert_array_equal(moved.column("mt") >= 70.0, table.column("mt") >= 70.0)


def test_weights_vary_for_the_events_that_a_correction_is_for(handmade: dict[str, Any]) -> None:
    table = _table(handmade, HiggsToTauTau())
    ratio = {name: weights / table.weights for name, weights in table.weight_variations.items()}
    np.testing.assert_allclose(ratio["tau_id_up"], 1.05)
    np.testing.assert_allclose(ratio["tau_id_down"], 0.95)
    np.testing.assert_allclose(ratio["tau_fake_rate_up"], 1.0)
    np.testing.assert_allclose(ratio["z_pt_up"], 1.0 + 0.1 * np.minimum(table.column("higgs_pt") / 100.0, 1.0))


def test_a_cross_section_without_a_sum_of_weights_is_refused(handmade: dict[str, Any]) -> None:
    del handmade["ZTauTau"]["metadata"]["sum_weights"]
    with pytest.raises(Exception, match="no sum of generator weights; put sum_weights"):
        _table(handmade, HiggsToTauTau())
    assert _table(handmade, HiggsToTauTau(sum_weights={"ZTauTau": 8.0})).weights[0] == 0.5


def test_embedded_sample_fills_every_region_of_every_dataset() -> None:
    fileset = {**htautau.fileset(), **htautau.pseudodata_fileset()}
    analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
    assert isinstance(analysis, Analysis)
    table = _table(fileset, analysis, chunksize=1000, maxchunks=1)
    assert set(table.datasets) == {"ggH", "VBFH", "ZTauTau", "TTbar", "WJets", "pseudodata"}
    for name in set(table.datasets) - {"pseudodata"}:
        for region in table.regions:
            assert (table.dataset_mask(name) & region.mask).any()
        assert set(table.labels[table.dataset_mask(name)]) == {int(name in {"ggH", "VBFH"})}
    data = table.dataset_mask("pseudodata")
    assert set(table.labels[data]) == {UNLABELLED}
    assert not (data & table.region("low_mt").mask).any()
    np.testing.assert_array_equal(table.weights[data], 1.0)
    for name in table.shape_variations:
        table.variation(name)


@pytest.mark.parametrize(
    ("file", "n_selected"),
    [("cms-opendata/nanoAOD_2015_CMS_Open_Data_ttbar.root", 0), ("nanoaod-samples/nano_dy.root", 1)],
)
def test_cms_nanoaod_can_be_read(test_data: Path, file: str, n_selected: int) -> None:
    table = _table({"cms": {"files": [str(test_data / file)], "metadata": {}}}, HiggsToTauTau())
    assert table.n_events == n_selected
    assert len(table.shape_variations) == 6
    assert table.datasets == ("cms",)


def test_a_file_without_taus_is_refused_by_name(test_data: Path) -> None:
    fileset = {"cms": {"files": [str(test_data / "nanoaod-samples/nano_tt_v12.root")], "metadata": {}}}
    with pytest.raises(Exception, match=r"the file has none of Tau"):
        _table(fileset, HiggsToTauTau())
