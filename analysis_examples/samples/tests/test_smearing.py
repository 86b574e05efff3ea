# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis_examples.samples import smearing
from hepfool.typing import FloatArray


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        (smearing.muon_resolution, 0.02),
        (smearing.electron_resolution, 0.025),
        (smearing.tau_resolution, np.hypot(0.5 / 7.0, 0.04)),
        (smearing.jet_resolution, np.hypot(0.7 / 7.0, 0.05)),
    ],
)
def test_measured_resolution_is_the_stated_one(
    resolution: Callable[[FloatArray], FloatArray], expected: float, rng: np.random.Generator
) -> None:
    pt = np.full(40_000, 49.0)
    response = smearing.smear_pt(pt, resolution(pt), rng=rng) / pt
    assert response.mean() == pytest.approx(1.0, abs=4 * expected / 200)
    assert response.std() == pytest.approx(expected, rel=0.02)


def test_soft_jets_never_turn_negative(rng: np.random.Generator) -> None:
    pt = np.full(10_000, 1.0)
    smeared = smearing.smear_pt(pt, smearing.jet_resolution(pt), rng=rng)
    assert smeared.min() >= smearing.SMALLEST_RESPONSE


def test_same_seed_same_response() -> None:
    pt = np.linspace(20.0, 200.0, 50)
    width = smearing.tau_resolution(pt)
    first = smearing.smear_pt(pt, width, rng=np.random.default_rng(1))
    second = smearing.smear_pt(pt, width, rng=np.random.default_rng(1))
    third = smearing.smear_pt(pt, width, rng=np.random.default_rng(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)


def test_met_balances_the_hard_objects_up_to_the_soft_term(rng: np.random.Generator) -> None:
    n_events = 20_000
    neutrino = np.tile([30.0, -40.0], (n_events, 1))
    hard = -neutrino
    met = smearing.smear_met(-neutrino, np.zeros_like(hard), hard, scalar_sum=np.full(n_events, 150.0), rng=rng)
    assert np.allclose(met.mean(axis=0), [30.0, -40.0], atol=0.3)


def test_met_noise_has_the_stated_width(rng: np.random.Generator) -> None:
    n_events = 40_000
    zero = np.zeros((n_events, 2))
    met = smearing.smear_met(zero, zero, zero, scalar_sum=np.full(n_events, 330.0), rng=rng)
    # E[u^3.6] scales the variance; the pile-up adds 70 GeV on average.
    expected = 0.55 * np.sqrt((330.0 + 70.0) / (2 * smearing.SOFT_TERM_POWER + 1))
    assert np.allclose(met.std(axis=0), expected, rtol=0.03)


def test_met_follows_the_smearing_of_the_hard_objects(rng: np.random.Generator) -> None:
    # A hard object measured 10 GeV too high leaves its soft recoil as it is.
    n_events = 20_000
    true = np.tile([50.0, 0.0], (n_events, 1))
    shift = np.tile([10.0, 0.0], (n_events, 1))
    met = smearing.smear_met(true, shift, true + shift, scalar_sum=np.full(n_events, 50.0), rng=rng)
    assert met[:, 0].mean() == pytest.approx(-60.0, abs=0.3)


@pytest.mark.parametrize(("flavour", "efficiency"), [(5, 0.75), (4, 0.12), (0, 0.01)])
def test_btag_score_has_the_stated_efficiency(flavour: int, efficiency: float, rng: np.random.Generator) -> None:
    score = smearing.draw_btag_score(np.full(100_000, flavour), rng=rng)
    assert score.min() > 0.0
    assert score.max() < 1.0
    assert (score > 0.5).mean() == pytest.approx(efficiency, abs=0.005)


def test_genuine_taus_are_tight_more_often(rng: np.random.Generator) -> None:
    genuine = np.arange(40_000) % 2 == 0
    working_point = smearing.draw_tau_working_point(genuine, rng=rng)
    assert set(np.unique(working_point)) == {smearing.TAU_MEDIUM, smearing.TAU_TIGHT}
    tight = working_point == smearing.TAU_TIGHT
    assert tight[genuine].mean() == pytest.approx(0.85, abs=0.01)
    assert tight[~genuine].mean() == pytest.approx(0.5, abs=0.015)


def test_flags_have_the_given_efficiency(rng: np.random.Generator) -> None:
    assert smearing.draw_pass(40_000, 0.88, rng=rng).mean() == pytest.approx(0.88, abs=0.01)


def test_an_efficiency_is_a_probability(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"efficiency 1.2 is not in \[0, 1\]"):
        smearing.draw_pass(3, 1.2, rng=rng)
