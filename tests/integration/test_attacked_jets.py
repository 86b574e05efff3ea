# SPDX-License-Identifier: BSD-3-Clause
"""From a NanoAOD-like file through an attack on constituents back into the analysis's events."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import awkward as ak
import numpy as np
import pytest
import torch
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from analysis_examples.samples.nanoaod import RunSummary, write_nanoaod
from hepfool.attacks import PGD, run_attack
from hepfool.contrib.jets import (
    ConstituentLayout,
    jet_mass,
    jet_pt,
    leading_jets,
    particle_flow_jets,
    with_leading_jets,
)
from hepfool.models import TorchClassifier
from tests.jet_specimens import random_jets, summed

pytestmark = pytest.mark.torch

LAYOUT = ConstituentLayout(20)


@pytest.fixture
def nano_file(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Twenty-four events of one jet; the jet is the sum of its massless constituents."""
    jets = ak.concatenate([random_jets(rng) for _ in range(3)])
    members = ak.with_field(jets.constituents, ak.zeros_like(jets.constituents.mass), "mass")
    candidates = {name: ak.values_astype(members[name], np.float32) for name in ("pt", "eta", "phi", "mass")}
    candidates["jetIdx"] = ak.zeros_like(members.pdgId)
    collection = {name: ak.values_astype(values, np.float32) for name, values in summed(members).items()}
    events = ak.zip(
        {
            "FatJet": ak.unflatten(ak.zip(collection), np.ones(len(jets), dtype=int)),
            "FatJetPFCands": ak.zip(candidates),
        },
        depth_limit=1,
    )
    path = tmp_path / "jets.root"
    write_nanoaod(path, events, summary=RunSummary(run=1, n_generated=24, sum_weights=24.0))
    return path


def heavy_jets(events: Any) -> Any:
    """Stand-in for an analysis: selects and computes with coffea's behaviours."""
    jets = events.FatJet[events.FatJet.mass > 10.0]
    scalar_sum = ak.sum(events.FatJetPFCands.pt, axis=1)
    return ak.fill_none(ak.firsts(jets.energy), 0.0) / scalar_sum


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_an_analysis_runs_unchanged_on_attacked_events(nano_file: Path, mode: Literal["eager", "virtual"]) -> None:
    events = NanoEventsFactory.from_root({str(nano_file): "Events"}, schemaclass=NanoAODSchema, mode=mode).events()
    jets = leading_jets(events)
    classifier = classifier_of(LAYOUT)
    unlabelled = LAYOUT.table(jets)
    table = LAYOUT.table(jets, labels=classifier.predict(unlabelled.network_values))
    epsilon = (0.03, 0.02, 0.02) * LAYOUT.n_constituents
    result = run_attack(
        PGD(step=epsilon, unit="absolute", n_iterations=3), classifier, table, rng=np.random.default_rng(1)
    )
    moved = (result.adversarial.values != table.values) & ~table.missing
    assert moved.any(axis=1).all()

    attacked = with_leading_jets(events, LAYOUT.write_back(jets, result.adversarial.values))
    before, after = heavy_jets(events), heavy_jets(attacked)
    assert len(after) == len(before) == 24
    assert ak.any(before != after)
    assert type(attacked) is type(events)
    found = torch.from_numpy(LAYOUT.pad(leading_jets(attacked)))
    assert ak.to_numpy(attacked.FatJet.pt[:, 0]) == pytest.approx(jet_pt(found).numpy(), rel=1e-5)
    assert ak.to_numpy(attacked.FatJet.mass[:, 0]) == pytest.approx(jet_mass(found).numpy(), rel=1e-4, abs=0.02)
    # What the network sees of the written events is what the attack reported, whatever their order.
    scores = classifier.scores(LAYOUT.table(leading_jets(attacked)).network_values)
    np.testing.assert_allclose(scores, classifier.scores(result.adversarial.network_values), atol=1e-5)


def classifier_of(layout: ConstituentLayout) -> TorchClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return TorchClassifier(particle_flow_jets(layout.n_constituents, pt_scale=50.0))
