# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from analysis_examples.samples.reconstruction import FAKE_RATE, TAU_EFFICIENCY, reconstruct

pytest.importorskip("fastjet")

COPIES = 200
# id, status, daughter1, daughter2, px, py, pz, e
MUON = (13, 1, 0, 0, 40.0, 0.0, 0.0, 40.0)
NEARBY = (211, 1, 0, 0, 38.0, 4.0, 0.0, 38.3)
TAU = (-15, -23, 2, 3, -60.0, 0.0, 0.0, 60.1)
TAU_NEUTRINO = (-16, 1, 0, 0, -15.0, 0.0, 0.0, 15.0)
TAU_PION = (211, 1, 0, 0, -45.0, 0.0, 0.0, 45.1)
B_HADRON = (511, -83, 0, 0, 0.0, 70.0, 0.0, 71.0)
B_PRODUCT = (-211, 1, 0, 0, 0.0, 70.0, 0.0, 70.1)
OTHER_JET = (211, 1, 0, 0, 0.0, -60.0, 0.0, 60.1)


def events(*particles: tuple[float, ...]) -> ak.Array:
    """Build ``COPIES`` equal event records."""
    rows = np.array(particles, dtype=float)
    integers = dict(zip(("id", "status", "daughter1", "daughter2"), rows.T[:4].astype(np.int32), strict=True))
    momentum = ak.zip(dict(zip(("px", "py", "pz", "e"), rows.T[4:], strict=True)))
    one = ak.zip({**integers, "p": momentum}, depth_limit=1)
    return ak.unflatten(ak.concatenate([one] * COPIES), [len(particles)] * COPIES)


def test_a_genuine_tau_beside_a_muon_and_a_b_jet(rng: np.random.Generator) -> None:
    # The daughters of the tau are at positions 2 and 3.
    particles = events(MUON, TAU, TAU_NEUTRINO, TAU_PION, B_HADRON, B_PRODUCT)
    result = reconstruct(particles, fakes=False, rng=rng)
    assert len(result) == COPIES
    assert ak.all(ak.num(result.Muon) == 1)
    assert ak.all(ak.num(result.Electron) == 0)
    assert ak.all(result.Tau.charge == 1)
    assert ak.all(result.Tau.decayMode == 0)
    assert ak.all(result.Tau.genPartFlav == 5)
    assert np.mean(ak.flatten(result.Tau.pt)) == pytest.approx(45.0, abs=1.5)
    assert ak.all(ak.num(result.Jet) == 1)
    assert ak.all(result.Jet.hadronFlavour == 5)
    assert ak.all(result.weight == TAU_EFFICIENCY)
    # The neutrino and nothing else is missing: (40, 70) - (45, 0) in sum.
    met = result.PuppiMET
    assert np.mean(met.pt * np.cos(met.phi)) == pytest.approx(5.0, abs=2.5)
    assert np.mean(met.pt * np.sin(met.phi)) == pytest.approx(-70.0, abs=2.5)


def test_jets_become_taus_only_without_a_genuine_one(rng: np.random.Generator) -> None:
    genuine = events(MUON, TAU, TAU_NEUTRINO, TAU_PION, OTHER_JET)
    assert len(reconstruct(genuine, fakes=True, rng=rng)) == 0
    fake = reconstruct(events(MUON, B_PRODUCT, OTHER_JET), fakes=True, rng=rng)
    assert len(fake) == COPIES
    assert np.allclose(ak.to_numpy(fake.weight), 2 * FAKE_RATE)
    assert ak.all(ak.num(fake.Jet) == 1)
    assert ak.all(fake.Tau.genPartFlav == 0)
    assert ak.all(fake.Tau.charge[:, 0] == np.where(np.sin(ak.to_numpy(fake.Tau.phi[:, 0])) > 0, -1, 1))
    assert float(np.mean(fake.Tau.charge[:, 0])) == pytest.approx(0.0, abs=0.3)


def test_a_lepton_inside_a_jet_does_not_count(rng: np.random.Generator) -> None:
    particles = events(MUON, NEARBY, B_PRODUCT)
    assert len(reconstruct(particles, fakes=True, rng=rng)) == 0
