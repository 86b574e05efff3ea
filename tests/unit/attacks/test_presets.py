# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepfool.attacks import PRESETS, RANGES, CONSERVAttack, constituent_fgsm, from_nominal, run_attack, scaled_to
from hepfool.attacks._presets import AttackRanges
from hepfool.events import EventTable
from hepfool.validation import Correlations, Marginals, Validation
from tests.specimens import SineClassifier, events


def test_all_sixteen_tables_are_there() -> None:
    assert len(PRESETS) + len(RANGES) == 16
    assert PRESETS["higgs"].max_correlation_change == 0.0002
    assert not PRESETS["jets_detector"].use_no_change
    assert {name for name, attack in PRESETS.items() if attack.dependence == "distance"} == {
        "higgs_distance",
        "higgs_distance_detector_train",
        "higgs_distance_detector_test",
    }
    assert {attack.n_iterations for attack in PRESETS.values()} == {10}


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_once_its_caps_fit_the_sample(name: str) -> None:
    for preset in (PRESETS[name], from_nominal(PRESETS[name])):
        attack = scaled_to(preset, 150, published_n_events=63_000)
        result = run_attack(attack, SineClassifier(), events(150), rng=np.random.default_rng(1))
        assert result.fooling_ratio > 0.0
        assert result.compatibility.max_js_distance <= attack.max_js_distance


def test_caps_scale_with_the_number_of_events() -> None:
    scaled = scaled_to(PRESETS["higgs"], 1000, published_n_events=4000)
    assert scaled.max_js_change == pytest.approx(0.024)
    assert scaled_to(PRESETS["higgs"], 10, published_n_events=4000).max_js_change == np.inf
    assert scaled_to(from_nominal(PRESETS["higgs"]), 1000, published_n_events=4000).max_js_distance == pytest.approx(
        0.012
    )
    assert scaled.max_correlation_change == pytest.approx(0.0008)
    with pytest.raises(ValueError, match="must be positive, got 0"):
        scaled_to(PRESETS["higgs"], 0, published_n_events=1)


def test_presets_keep_what_the_paper_compares() -> None:
    assert PRESETS["higgs_distance"].kept == Validation(
        inputs=Marginals(max_js_distance=np.inf, n_bins=30, n_quantiles=0),
        score=None,
        correlations=Correlations(max_shift=np.inf, kind="distance"),
        separately="union",
    )
    assert from_nominal(PRESETS["higgs_distance"]).kept.inputs == Marginals(
        max_js_distance=0.02, n_bins=30, n_quantiles=0
    )


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_a_cap_on_single_moves_lets_their_sum_go_further() -> None:
    whole = scaled_to(from_nominal(PRESETS["higgs"]), 400, published_n_events=63_000)
    single = scaled_to(PRESETS["higgs"], 400, published_n_events=63_000)
    assert single.max_js_change == pytest.approx(0.006 * 63_000 / 400)
    found = [run_attack(attack, SineClassifier(), events(400), rng=1) for attack in (whole, single)]
    assert found[0].compatibility.max_js_distance <= whole.max_js_distance < found[1].compatibility.max_js_distance
    assert found[0].fooling_ratio < found[1].fooling_ratio
    with pytest.raises(ValueError, match="no max_js_change to be read"):
        from_nominal(CONSERVAttack())


def test_a_stated_validation_scales_like_its_sampling_floor() -> None:
    attack = CONSERVAttack(validation=Validation(), strategy="frugal")
    scaled = scaled_to(attack, 1000, published_n_events=4000).validation
    assert scaled is not None
    assert scaled.score is not None
    assert scaled.score.max_js_distance == pytest.approx(0.06)


def test_draws_fill_their_ranges_and_leave_the_rest() -> None:
    ranges, rng = RANGES["higgs_retraining"], np.random.default_rng(3)
    drawn = [ranges.draw(rng) for _ in range(200)]
    for name, (low, high) in ranges.ranges.items():
        values = np.array([getattr(attack, name) for attack in drawn])
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert {attack.n_bins for attack in drawn} == {100}
    assert ranges.draw(np.random.default_rng(5)) == ranges.draw(np.random.default_rng(5))


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"n_bins": (1.0, 2.0)}, "'n_bins' is no number"),
        ({"gamma": (1.0, 2.0)}, "'gamma' is no number"),
        ({"alpha": (2.0, 1.0)}, "lower end must not exceed"),
        ({"step": (-1.0, 1.0)}, "step must be positive"),
    ],
)
def test_impossible_ranges_are_refused(ranges: dict[str, tuple[float, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AttackRanges(attack=CONSERVAttack(), ranges=ranges)


def test_constituents_move_as_published(rng: np.random.Generator) -> None:
    pt, eta, phi = rng.exponential(size=(200, 2)) + 0.01, *rng.uniform(-1.0, 1.0, size=(2, 200, 2))
    values = np.stack([pt, eta, phi], axis=2).reshape(200, 6)
    values[::3, 3:] = np.nan  # jets with a single constituent
    table = replace(EventTable.from_arrays(values), sentinel=-999.0)
    classifier = SineClassifier(scales=np.array([1.0, 2.0, 2.0, 1.0, 2.0, 2.0]))
    attack = constituent_fgsm(2)
    # Signs of the gradient, relative for pt and absolute for angles, ten times.
    inside = (np.abs(values) < 0.9 * np.nanmax(np.abs(values), axis=0)) & (values > np.nanmin(values, axis=0) + 0.02)
    expected, classes = values.copy(), classifier.predict(table.network_values)
    relative = np.array([1.0, 0.0, 0.0] * 2)
    for _ in range(10):
        _, slope = classifier.margin_and_gradient(np.where(table.missing, table.sentinel, expected), classes)
        size = 0.001 * np.where(relative, values, 1.0)
        expected = np.where(table.missing, np.nan, expected - np.sign(slope) * size)
    after = run_attack(attack, classifier, table, rng=rng, target="all").adversarial.values
    np.testing.assert_allclose(after[inside], expected[inside], atol=1e-5)
    assert inside.mean() > 0.5
    with pytest.raises(ValueError, match="n_constituents must be at least 1"):
        constituent_fgsm(0)
