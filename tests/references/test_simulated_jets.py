# SPDX-License-Identifier: BSD-3-Clause
"""Top and W jets of Pythia 8, simulated independently of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch
import vector

from hepfool.contrib.jets import high_level_jets, jet_d2, jet_mass, jet_pt, topodnn_table
from hepfool.contrib.jets._networks import JetObservables
from hepfool.contrib.jets._observables import jet_eta, jet_phi
from hepfool.contrib.jets._topodnn import LAYOUT, TopoDNNFrame
from hepfool.events import EventTable
from hepfool.models import Standardise, conservattack_jets
from hepfool.training import TrainingSettings, fit
from hepfool.typing import FloatArray

pytestmark = pytest.mark.torch

N_TRAIN = 4000
SETTINGS = TrainingSettings(max_epochs=6, batch_size=256)


@pytest.fixture(scope="module")
def simulated(test_data: Path) -> dict[str, Any]:
    """The first 6000 jets: jagged, with the label and what the simulation says of the whole jet."""
    with np.load(test_data / "sim-ttww" / "ttww_pt400.npz") as content:
        padded, jet, label = (content[name][:6000] for name in ("constituents", "jet", "label"))
    present = padded[..., 0] > 0
    flat = padded[present].astype(np.float64)
    constituents = ak.unflatten(ak.zip(dict(zip(("pt", "eta", "phi"), flat.T, strict=True))), present.sum(axis=1))
    return {"jets": ak.zip({"constituents": constituents}, depth_limit=1), "label": label.astype(int), "jet": jet}


@pytest.fixture(scope="module")
def columns(simulated: dict[str, Any]) -> FloatArray:
    return LAYOUT.pad(simulated["jets"])


def test_observables_agree_with_fastjet(simulated: dict[str, Any], columns: FloatArray) -> None:
    fastjet = pytest.importorskip("fastjet")
    c = simulated["jets"].constituents[:500]
    momenta = ak.zip(
        {
            "px": c.pt * np.cos(c.phi),
            "py": c.pt * np.sin(c.phi),
            "pz": c.pt * np.sinh(c.eta),
            "E": c.pt * np.cosh(c.eta),
        },
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )
    cluster = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0))
    found = cluster.inclusive_jets()
    total = vector.zip({"px": found.px, "py": found.py, "pz": found.pz, "E": found.E})[:, 0]
    values = torch.from_numpy(columns[:500])
    for observable, name in ((jet_pt, "pt"), (jet_eta, "eta"), (jet_phi, "phi"), (jet_mass, "mass")):
        np.testing.assert_allclose(observable(values).numpy(), ak.to_numpy(getattr(total, name)), rtol=1e-9)
        np.testing.assert_allclose(observable(values.float()).numpy(), ak.to_numpy(getattr(total, name)), rtol=1e-5)
    for beta in (1.0, 2.0):
        expected = cluster.exclusive_jets_energy_correlator(njets=1, beta=beta, func="D2", normalized=False)
        expected = np.array(ak.flatten(expected, axis=None))
        np.testing.assert_allclose(jet_d2(values, beta).numpy(), expected, rtol=1e-9)
        np.testing.assert_allclose(jet_d2(values.float(), beta).numpy(), expected, rtol=1e-4)


def test_single_precision_suffices(columns: FloatArray) -> None:
    values = torch.from_numpy(columns)
    for observable in (jet_pt, jet_eta, jet_phi, jet_mass, jet_d2):
        expected = observable(values)
        torch.testing.assert_close(observable(values.float()).double(), expected, rtol=5e-5, atol=1e-6)


def test_complete_jets_have_the_momentum_of_the_simulation(simulated: dict[str, Any], columns: FloatArray) -> None:
    pt, eta, _, mass, n = simulated["jet"].T
    complete = n <= 30
    values = torch.from_numpy(columns[complete])
    assert complete.sum() > 100
    np.testing.assert_allclose(jet_pt(values).numpy(), pt[complete], rtol=2e-3)
    np.testing.assert_allclose(jet_eta(values).numpy(), eta[complete], atol=2e-3)
    # The simulation's particles have masses.
    ratio = jet_mass(values).numpy() / mass[complete]
    assert (ratio < 1.0).all()
    assert np.median(ratio) > 0.95


def test_topodnn_inputs_come_back_as_jets(simulated: dict[str, Any], columns: FloatArray) -> None:
    frame = TopoDNNFrame.of(columns)
    back = frame.constituents(frame.inputs(columns))
    np.testing.assert_allclose(back, columns, rtol=1e-7, atol=1e-9)
    jets = ak.with_field(simulated["jets"], 1.0, "mass")
    for name in ("pt", "eta", "phi"):
        jets = ak.with_field(jets, 1.0, name)
    with_change = LAYOUT.write_back(jets, back)
    assert ak.all(abs(with_change.constituents.pt / jets.constituents.pt - 1.0) < 1e-7)


def test_networks_learn_to_tell_top_from_w(simulated: dict[str, Any]) -> None:
    labels = simulated["label"]
    inputs = topodnn_table(simulated["jets"], labels=labels)
    constituents = LAYOUT.table(simulated["jets"], labels=labels)
    train, test = halves(inputs)
    topodnn = fit(
        lambda: conservattack_jets(preprocessing=Standardise.of(train)), train, test, seed=1, settings=SETTINGS
    )
    assert topodnn.validation_auroc > 0.86
    first, second = halves(constituents)
    scale = JetObservables(30).standardise(first)
    high = fit(lambda: high_level_jets(30, standardise=scale), first, second, seed=1, settings=SETTINGS)
    assert high.validation_auroc > 0.89


def halves(table: EventTable) -> tuple[EventTable, EventTable]:
    return table.select(np.arange(N_TRAIN)), table.select(np.arange(N_TRAIN, table.n_events))
