# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.events import EventTable, Region
from hepfool.exceptions import GradientsUnavailableError, LowStatisticsWarning
from hepfool.statistics import compare
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
CLASSIFIER = SineClassifier()


def attack(table: EventTable, seed: int = 1, **settings: Any) -> AttackResult:
    configuration = CONSERVAttack(**{"n_iterations": 5, "n_bins": 25, "alpha": 4.0, "beta": 20.0, **settings})
    return run_attack(configuration, CLASSIFIER, table, rng=np.random.default_rng(seed))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1000),
    strategy=st.sampled_from([("paper", 1), ("paper", 7), ("frugal", 1)]),
    max_js_distance=st.sampled_from([0.0, 0.02, 0.1, np.inf]),
    max_correlation_shift=st.sampled_from([0.0, 0.01, 0.05, np.inf]),
    negative=st.sampled_from([0.0, 0.1]),
    regions=st.booleans(),
    repair=st.booleans(),
)
def test_caps_hold_on_the_returned_events(
    seed: int,
    strategy: tuple[str, int],
    max_js_distance: float,
    max_correlation_shift: float,
    negative: float,
    regions: bool,
    repair: bool,
) -> None:
    table = events(200, seed=seed, negative=negative, regions=regions)
    caps = {"max_js_distance": max_js_distance, "max_correlation_shift": max_correlation_shift}
    name, n_ahead = strategy
    result = attack(
        table, seed, strategy=name, n_ahead=n_ahead, optimize_already_fooled=repair and name == "paper", **caps
    )
    found = compare(table, result.adversarial, result.binning)
    # The square root turns the rounding of identical histograms into 1e-8.
    assert found.max_js_distance <= max(max_js_distance, 1e-8)
    assert found.correlation_shift <= max(max_correlation_shift, 1e-8)


def test_what_is_chosen_ahead_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    table, found = events(400), []
    for n_threads in (1, 2, 5):
        monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", n_threads)
        found.append(attack(table, n_ahead=32, max_js_distance=0.1, max_correlation_shift=0.05))
    assert found[0].fooling_ratio > 0.3
    for other in found[1:]:
        assert np.array_equal(found[0].adversarial.values, other.adversarial.values, equal_nan=True)


def test_choosing_ahead_fools_almost_as_many() -> None:
    table = events(600)
    ratios = [attack(table, n_ahead=n, max_js_distance=0.1).fooling_ratio for n in (1, 64)]
    assert ratios[1] > 0.85 * ratios[0] > 0.2


def test_a_move_never_changes_the_correlations_by_more_than_its_cap() -> None:
    table = events(60, regions=False)
    target = np.zeros(60, dtype=bool)
    classes = CLASSIFIER.predict(table.network_values)
    target[np.argmax(classes == table.labels)] = True
    cap = 1e-3
    result = run_attack(
        CONSERVAttack(n_iterations=1, n_bins=10, max_correlation_change=cap),
        CLASSIFIER,
        table,
        rng=np.random.default_rng(1),
        target=target,
    )
    n_moved = ((result.adversarial.values != table.values) & ~table.missing).sum()
    assert n_moved > 0
    assert result.compatibility.correlation_shift <= n_moved * cap


def test_signal_region_is_free_while_the_control_region_is_constrained() -> None:
    table = events(800)
    for strategy in ("paper", "frugal"):
        result = attack(table, strategy=strategy, max_js_distance=0.02, max_correlation_shift=0.02)
        ratio = {region.name: result.counts(region.mask).fooling_ratio for region in table.regions}
        assert ratio["high_pt"] > 0.9
        assert result.compare("high_pt").max_js_distance > 0.1
        assert result.compare("low_pt").max_js_distance <= 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_frugal_fools_more_at_equal_caps(seed: int) -> None:
    table = events(800, seed=seed, regions=False)
    caps = {"max_js_distance": 0.02, "max_correlation_shift": 0.005, "n_iterations": 30, "alpha": None, "beta": None}
    paper, frugal = (attack(table, seed, strategy=s, **caps).fooling_ratio for s in ("paper", "frugal"))
    assert frugal > paper + 0.05


def test_repairs_lower_the_cost_and_keep_the_fooled() -> None:
    tables = [events(800, seed=seed, regions=False) for seed in (1, 2, 3)]
    pairs = [(attack(table), attack(table, optimize_already_fooled=True)) for table in tables]
    plain, repaired = (np.mean([result.fooling_ratio for result in side]) for side in zip(*pairs, strict=True))
    assert repaired == pytest.approx(plain, abs=0.02)
    for before, after in pairs:
        assert after.compatibility.mean_js_distance < before.compatibility.mean_js_distance
        assert after.compatibility.correlation_shift < before.compatibility.correlation_shift


def test_moves_follow_the_gradient_by_at_least_the_smallest_change() -> None:
    table = events(400, regions=False)
    result = attack(table, n_iterations=1, min_change=0.01)
    _, slope = CLASSIFIER.margin_and_gradient(table.network_values, CLASSIFIER.predict(table.network_values))
    for name in ("pt", "eta", "jet_pt"):
        j = table.features.index(name)
        travelled = result.adversarial.values[:, j] - table.values[:, j]
        moved = ~table.missing[:, j] & (travelled != 0.0)
        width = result.binning.edges[j, -1] - result.binning.edges[j, 0]
        assert moved.sum() > 100
        assert (np.sign(travelled[moved]) == -np.sign(slope[moved, j])).all()
        assert np.abs(travelled[moved]).min() >= 0.01 * width * (1 - 1e-5)


def test_values_on_bin_edges_and_single_precision_obey_the_cap() -> None:
    rng = np.random.default_rng(5)
    values = np.round(rng.uniform(0, 10, size=(400, 2)), 1).astype(np.float32)
    table = EventTable.from_arrays(values, labels=(values.sum(axis=1) > 10).astype(int))

    class Sum(SineClassifier):
        def log_odds(self, values: np.ndarray) -> np.ndarray:
            return np.asarray(values.sum(axis=1) - 10.0)

    result = run_attack(
        CONSERVAttack(n_bins=100, n_iterations=3, max_js_distance=0.03),
        Sum(weights=np.ones(2), scales=np.ones(2)),
        table,
        rng=rng,
    )
    assert 0.0 < result.compatibility.max_js_distance <= 0.03


def test_results_do_not_depend_on_events_that_are_not_constrained() -> None:
    table = events(400)
    control = table.region("low_pt").mask
    alone = table.select(control)
    constrained = (Region("low_pt", np.ones(alone.n_events, dtype=bool), cuts={"pt": (-np.inf, 60.0)}),)
    alone = EventTable.from_arrays(
        alone.values,
        features=alone.features,
        labels=alone.labels,
        weights=alone.weights,
        regions=constrained,
        sentinel=alone.sentinel,
    )
    together, separate = attack(table, max_js_distance=0.05), attack(alone, max_js_distance=0.05)
    assert np.array_equal(together.adversarial.values[control], separate.adversarial.values, equal_nan=True)


def test_without_gradients_the_error_says_what_to_do() -> None:
    class ScoresOnly:
        n_classes, n_features, digest = 2, 6, "0"
        scores, predict = CLASSIFIER.scores, CLASSIFIER.predict

    with pytest.raises(GradientsUnavailableError, match="FiniteDifference"):
        run_attack(CONSERVAttack(), ScoresOnly(), events(100), rng=np.random.default_rng(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_change": 0.0}, "min_change must be positive"),
        ({"step": np.inf}, "step must be positive and finite"),
        ({"alpha": -1.0}, "alpha must not be negative"),
        ({"max_js_distance": np.nan}, "max_js_distance must not be negative, got nan"),
        ({"n_bins": 0}, "n_bins must be at least 1"),
        ({"n_candidates": 0}, "n_candidates must be at least 1"),
        ({"reward": -1.0}, "reward must be positive"),
        ({"strategy": "fast"}, "strategy must be one of paper, frugal, got 'fast'"),
        ({"candidates": "odd"}, "candidates must be one of random, even"),
    ],
)
def test_impossible_hyper_parameters_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CONSERVAttack(**settings)


def test_few_constrained_events_are_warned_about() -> None:
    with pytest.warns(LowStatisticsWarning, match="constrained events have a weight, for 6 features"):
        attack(events(50, regions=False), n_iterations=1)
