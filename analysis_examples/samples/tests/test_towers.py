# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from analysis_examples.samples.towers import (
    BENDING,
    ECAL,
    FIELD,
    HALF_LENGTH,
    HCAL,
    RADIUS,
    Calorimeter,
    at_calorimeter,
    measure,
    towers,
)

N = 40_000


def particles(pdg_id: list[int], pt: float = 20.0, n_events: int = 1) -> ak.Array:
    """Particles at the centres of different towers, pt in GeV."""
    phi = np.deg2rad(5.0 + 20.0 * np.arange(len(pdg_id)))
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), np.full(len(phi), pt * np.sinh(0.15))
    momentum = ak.zip({"px": px, "py": py, "pz": pz, "e": np.sqrt(px**2 + py**2 + pz**2)})
    one = ak.zip({"id": np.array(pdg_id), "p": momentum}, depth_limit=1)
    return ak.unflatten(ak.concatenate([one] * n_events), [len(pdg_id)] * n_events)


@pytest.mark.parametrize(("calorimeter", "constant", "stochastic", "noise"), [
    (ECAL, 0.0017, 0.101, 0.0), (HCAL, 0.0302, 0.5205, 1.59),
])  # fmt: skip
def test_energy_is_kept_on_average_with_the_resolution_of_the_card(
    calorimeter: Calorimeter, constant: float, stochastic: float, noise: float, rng: np.random.Generator
) -> None:
    energy, width = 50.0, np.sqrt((constant * 50.0) ** 2 + stochastic**2 * 50.0 + noise**2)
    found = measure(calorimeter, np.arange(N), np.full(N, energy), np.full(N, 0.55), np.full(N, 1.0), rng=rng)
    assert len(found.energy) == N
    assert found.energy.mean() == pytest.approx(energy, abs=4 * width / np.sqrt(N))
    assert found.energy.std() == pytest.approx(width, rel=0.03)


def test_deposits_in_one_tower_are_summed_and_its_direction_is_uniform_within_its_edges(
    rng: np.random.Generator,
) -> None:
    event = np.repeat(np.arange(N), 2)
    eta, phi = np.tile([-0.51, -0.59], N), np.tile([-0.01, -0.17], N)
    found = measure(HCAL, event, np.full(2 * N, 50.0), eta, phi, rng=rng)
    assert np.array_equal(found.event, np.arange(N))
    assert found.energy.mean() == pytest.approx(100.0, abs=0.2)
    for values, low, high in ((found.eta, -0.6, -0.5), (found.phi, -np.pi / 18.0, 0.0)):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert values.std() == pytest.approx((high - low) / np.sqrt(12.0), rel=0.02)


def test_towers_below_threshold_or_significance_are_dropped(rng: np.random.Generator) -> None:
    found = measure(ECAL, np.arange(N), np.full(N, 0.5), np.full(N, 0.1), np.zeros(N), rng=rng)
    assert found.energy.min() >= 0.5
    assert 0.4 < len(found.energy) / N < 0.6
    hadronic = measure(HCAL, np.arange(N), np.full(N, 2.0), np.full(N, 0.1), np.zeros(N), rng=rng)
    # Twice the resolution, sqrt(.0302² E² + .5205² E + 1.59²), is E / 2 at E = 3.776 GeV.
    assert 3.776 < hadronic.energy.min() < 3.8


def test_who_leaves_energy_where(rng: np.random.Generator) -> None:
    (found,) = towers(particles([22, 130, 310, 13, 12], pt=200.0), rng=rng)
    phi = np.rad2deg(np.arctan2(found.py, found.px))
    share = [found.e[abs(phi - (5.0 + 20.0 * k)) < 5.0] for k in range(5)]
    total = 200.0 * np.cosh(0.15)
    assert len(share[0]) == len(share[1]) == 1
    assert share[0][0] == pytest.approx(total, rel=0.05)
    assert share[1][0] == pytest.approx(total, rel=0.3)
    assert [energy / total for energy in share[2]] == pytest.approx([0.3, 0.7], abs=0.15)
    assert len(share[3]) == len(share[4]) == 0


def test_jets_keep_their_energy_on_average(rng: np.random.Generator) -> None:
    events = particles([22, 130, 22], pt=100.0, n_events=4000)
    measured = ak.to_numpy(ak.sum(towers(events, rng=rng).e, axis=1))
    assert measured.mean() == pytest.approx(300.0 * np.cosh(0.15), rel=0.003)


def test_a_charge_follows_its_helix() -> None:
    # Small steps along the motion in the field, as the slow twin of the closed form.
    pt, eta, phi = np.array([0.25, 0.5, 1.0, 5.0, 1.0]), np.array([0.5, 0.3, -1.2, 1.0, 2.4]), np.full(5, 0.7)
    charge = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    found = at_calorimeter(pt, eta, phi, charge)
    step = 1e-4
    for k in range(len(pt)):
        direction = phi[k] - charge[k] * np.arange(100_000) * step * FIELD / (pt[k] * BENDING)
        x, y = (np.cumsum(step * f(direction)) for f in (np.cos, np.sin))
        z = np.sinh(eta[k]) * step * np.arange(1, 100_001)
        out = np.argmax((np.hypot(x, y) > RADIUS) | (abs(z) > HALF_LENGTH))
        assert out > 0
        assert found[0][k] == pytest.approx(np.arcsinh(z[out] / np.hypot(x[out], y[out])), abs=2e-3)
        turned = found[1][k] - np.arctan2(y[out], x[out])
        assert np.mod(turned + np.pi, 2 * np.pi) - np.pi == pytest.approx(0.0, abs=2e-3)


def test_neutral_particles_go_straight() -> None:
    eta, phi = np.array([0.0, 1.0, -4.0]), np.array([-3.0, 0.0, 3.0])
    found = at_calorimeter(np.ones(3), eta, phi, np.zeros(3))
    assert found[0] == pytest.approx(eta)
    assert np.array_equal(found[1], phi)


def test_same_seed_same_towers() -> None:
    events = particles([22, 211, 130, -211], n_events=3)
    first, second, third = (towers(events, rng=np.random.default_rng(seed)).to_list() for seed in (1, 1, 2))
    assert first == second
    assert first != third


def test_events_without_particles_have_no_towers(rng: np.random.Generator) -> None:
    events = ak.concatenate([particles([22]), particles([12]), particles([22])])
    assert ak.num(towers(events, rng=rng)).to_list() == [1, 0, 1]
