# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import stats

from hepfool.events import EventTable
from hepfool.statistics import CorrelationCheck, correlation_shift, js_distance
from hepfool.statistics import _toys as toys
from hepfool.statistics._compatibility import chi2_power, reduced_size
from hepfool.statistics._dependence import Moments
from hepfool.statistics._toys import (
    Toys,
    binned_power,
    correlation_power,
    kolmogorov_distance,
    two_sample_chi2,
)
from hepfool.typing import FloatArray


@pytest.mark.parametrize("n_simulated", [300.0, 3000.0, np.inf])
def test_toys_of_the_chi2_have_the_power_of_the_closed_form(rng: np.random.Generator, n_simulated: float) -> None:
    n_bins, n_data = 12, 600.0
    p = np.linspace(1.0, 2.0, n_bins) / np.linspace(1.0, 2.0, n_bins).sum()
    q = p * (1.0 + 0.25 * np.cos(np.arange(n_bins)))
    q /= q.sum()
    sizes = Toys(n_data=n_data, n_simulated=n_simulated, n_toys=1500)
    statistic = partial(two_sample_chi2, data_share=1.0 / (1.0 + n_simulated / n_data))
    power = binned_power(p, q, statistic, sizes, rng=rng)
    expected = chi2_power(
        float(js_distance(p[np.newaxis], q[np.newaxis])[0]), n_data=n_data, n_bins=n_bins, n_simulated=n_simulated
    )
    assert 0.1 < power.value < 0.99
    assert power.value == pytest.approx(float(expected), abs=4 * power.error)


@pytest.mark.parametrize("statistic", [kolmogorov_distance, two_sample_chi2])
def test_unchanged_events_are_rejected_with_the_probability_of_the_level(
    rng: np.random.Generator, statistic: object
) -> None:
    p = rng.uniform(1.0, 2.0, size=30)
    sizes = Toys(n_data=500.0, n_simulated=800.0, n_toys=2000, level=0.1)
    power = binned_power(p, p, statistic, sizes, rng=rng)  # type: ignore[arg-type]
    assert power.value == pytest.approx(0.1, abs=4 * power.error)
    assert 0.005 < power.error < 0.02


def test_kolmogorov_power_is_that_of_independent_events(rng: np.random.Generator) -> None:
    """Histograms of paired events predict what happens to events that were never paired."""
    n_data, n_simulated, shift = 300, 900, 0.12
    paired = rng.normal(size=100_000)
    edges = np.quantile(paired, np.arange(1, 200) / 200)
    p, q = (np.bincount(np.searchsorted(edges, x), minlength=200) for x in (paired, paired + shift))
    sizes = Toys(n_data=n_data, n_simulated=n_simulated, n_toys=1500)
    power = binned_power(p.astype(float), q.astype(float), kolmogorov_distance, sizes, rng=rng)
    rejected = [
        stats.ks_2samp(rng.normal(shift, size=n_data), rng.normal(size=n_simulated), method="asymp").pvalue < 0.05
        for _ in range(500)
    ]
    truth = np.mean(rejected)
    assert power.value == pytest.approx(truth, abs=4 * np.hypot(power.error, np.sqrt(truth * (1 - truth) / 500)))


def events(rng: np.random.Generator, n_events: int) -> FloatArray:
    x = rng.exponential(size=(n_events, 4)) + 0.5 * rng.normal(size=(n_events, 4))
    x[:, 2] += 0.8 * x[:, 3]
    return x


def dependent(x: FloatArray) -> FloatArray:
    moved = x.copy()
    moved[:, 1] += 0.12 * x[:, 0]
    return moved


@pytest.mark.parametrize("n_simulated", [500.0, np.inf])
def test_power_of_the_correlations_is_that_of_the_closed_form(rng: np.random.Generator, n_simulated: float) -> None:
    before = events(rng, 5000)
    after, weights = dependent(before), rng.uniform(0.5, 1.5, size=5000)
    shift = correlation_shift(*(Moments.of(x, weights).correlation for x in (before, after)))
    sizes = Toys(n_data=500.0, n_simulated=n_simulated, n_toys=300)
    power = correlation_power(before, after, weights, sizes, rng=rng)
    table = EventTable.from_arrays(before, weights=weights)
    expected = CorrelationCheck.of(table, n_data=reduced_size(500.0, n_simulated)).power(shift)
    assert 0.1 < power.value < 0.95
    assert power.value == pytest.approx(expected, abs=0.08)


def test_a_part_of_many_events_gives_the_same_result(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    before, weights = events(rng, 4000), rng.uniform(0.5, 1.5, size=4000)
    sizes = Toys(n_data=400.0, n_simulated=3000.0, n_toys=200)
    whole = correlation_power(before, dependent(before), weights, sizes, rng=rng)
    monkeypatch.setattr(toys, "_MAX_EVENTS", 1500)
    part = correlation_power(before, dependent(before), weights, sizes, rng=rng)
    assert 0.15 < whole.value < 0.95
    assert part.value == pytest.approx(whole.value, abs=0.15)


def test_power_of_the_correlations_is_that_of_independent_events(rng: np.random.Generator) -> None:
    n_data, n_simulated, n_toys = 400, 1000, 250
    before = events(rng, 4000)
    sizes = Toys(n_data=n_data, n_simulated=n_simulated, n_toys=n_toys)
    power = correlation_power(before, dependent(before), np.ones(4000), sizes, rng=rng)

    def shift(*, moved: bool) -> float:
        data = events(rng, n_data)
        prediction = np.corrcoef(events(rng, n_simulated), rowvar=False)
        return float(np.linalg.norm(np.corrcoef(dependent(data) if moved else data, rowvar=False) - prediction))

    threshold = np.quantile([shift(moved=False) for _ in range(4 * n_toys)], 0.95)
    truth = np.mean([shift(moved=True) > threshold for _ in range(n_toys)])
    assert 0.15 < truth < 0.95
    assert power.value == pytest.approx(truth, abs=0.12)


def test_negative_weights_count_negatively(rng: np.random.Generator) -> None:
    before = rng.normal(size=(3000, 2))
    after = before.copy()
    # The dependence is in events that cancel each other.
    after[:1000, 1] += after[:1000, 0]
    after[1000:2000] = after[:1000]
    weights = np.ones(3000)
    weights[1000:2000] = -1.0
    before[1000:2000] = before[:1000]
    power = correlation_power(
        before, after, weights, Toys(n_data=200.0, n_simulated=500.0, n_toys=200, level=0.1), rng=rng
    )
    # They cancel in the mean, and add to the fluctuations.
    assert power.value < 0.4
    without = correlation_power(before, after, np.ones(3000), Toys(n_data=200.0, n_simulated=500.0, n_toys=50), rng=rng)
    assert without.value > 0.9
