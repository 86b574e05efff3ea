# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from hepfool.attacks.base import run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable
from hepfool.statistics.budget import (
    CorrelationCheck,
    max_invisible_distance,
    max_invisible_shift,
    max_unordered_distance,
)
from hepfool.statistics.compatibility import chi2_power
from hepfool.statistics.marginals import js_distance
from hepfool.typing import FloatArray
from hepfool.validation import Marginals, Validation
from tests.specimens import SineClassifier, events

N_DATA, N_TOYS = 500, 600


def correlated(rng: np.random.Generator, n_events: int, rho: float = 0.0) -> FloatArray:
    """Events with tails, so that nothing is normal; the first two depend on each other."""
    x = rng.exponential(size=(n_events, 4)) + 0.5 * rng.normal(size=(n_events, 4))
    x[:, 2] += 0.8 * x[:, 3]
    x[:, 1] += rho * x[:, 0]
    return x


def shifts(rng: np.random.Generator, prediction: FloatArray, rho: float) -> FloatArray:
    found = []
    for _ in range(N_TOYS):
        toy = np.corrcoef(correlated(rng, N_DATA, rho), rowvar=False)
        found.append(np.linalg.norm(toy - prediction) / np.linalg.norm(prediction))
    return np.array(found)


@pytest.mark.parametrize("rho", [0.05, 0.12, 0.25])
def test_power_of_the_correlation_check_is_that_of_toys(rng: np.random.Generator, rho: float) -> None:
    simulation = correlated(rng, 200_000)
    prediction = np.asarray(np.corrcoef(simulation, rowvar=False))
    truth = np.asarray(np.corrcoef(correlated(rng, 200_000, rho), rowvar=False))
    shift = float(np.linalg.norm(truth - prediction) / np.linalg.norm(prediction))
    check = CorrelationCheck.of(EventTable.from_arrays(simulation), n_data=N_DATA)
    threshold = np.quantile(shifts(rng, prediction, 0.0), 0.95)
    toys = (shifts(rng, prediction, rho) > threshold).mean()
    assert check.power(0.0) == pytest.approx(0.05, abs=1e-3)
    assert check.power(shift) == pytest.approx(toys, abs=0.08)


@pytest.mark.parametrize("wanted", [0.1, 0.3, 0.8])
@pytest.mark.parametrize("shape", ["halves", "ends", "waves", "slope"])
def test_no_deviation_within_the_cap_is_seen_by_a_kolmogorov_smirnov_check(
    rng: np.random.Generator, shape: str, wanted: float
) -> None:
    n_bins, n_toys, x = 40, 2000, (np.arange(40) + 0.5) / 40 - 0.5
    tilt = {"halves": np.sign(x), "slope": 2.0 * x, "waves": np.cos(np.arange(40)), "ends": np.zeros(40)}[shape]
    if shape == "ends":
        tilt[[0, -1]] = -1.0, 1.0
    p, cap = np.full((1, n_bins), 1.0 / n_bins), max_unordered_distance(n_data=N_DATA, detection_power=wanted)

    def content(size: float) -> FloatArray:
        q = p * (1.0 + size * tilt)
        return np.asarray(q / q.sum())

    size = optimize.brentq(lambda t: float(js_distance(p, content(t))[0]) - cap, 0.0, 1.0)
    bins = rng.choice(n_bins, p=content(size)[0], size=(n_toys, N_DATA))
    data = np.sort((bins + rng.uniform(size=bins.shape)) / n_bins, axis=1)
    steps = np.arange(N_DATA + 1) / N_DATA
    distance = np.maximum(steps[1:] - data, data - steps[:-1]).max(axis=1)
    power = (distance > special.kolmogi(0.05) / np.sqrt(N_DATA)).mean()
    assert power <= wanted + 0.01
    # The bound is for any deviation; halves that lie beside each other come near.
    assert shape != "halves" or power > 0.05 + 0.1 * (wanted - 0.05)


def test_power_of_the_marginal_check_is_that_of_toys(rng: np.random.Generator) -> None:
    n_bins = 20
    p = np.linspace(1.0, 2.0, n_bins)
    p /= p.sum()
    q = p * (1.0 + 0.25 * np.cos(np.arange(n_bins)))
    q /= q.sum()
    toys = rng.multinomial(N_DATA, q, size=4000)
    statistic = ((toys - N_DATA * p) ** 2 / (N_DATA * p)).sum(axis=1)
    null = rng.multinomial(N_DATA, p, size=4000)
    threshold = np.quantile(((null - N_DATA * p) ** 2 / (N_DATA * p)).sum(axis=1), 0.95)
    distance = float(js_distance(p[np.newaxis], q[np.newaxis])[0])
    expected = (statistic > threshold).mean()
    assert float(chi2_power(distance, n_data=N_DATA, n_bins=n_bins)) == pytest.approx(expected, abs=0.04)
    assert max_invisible_distance(n_data=N_DATA, n_bins=n_bins, detection_power=expected) == pytest.approx(
        distance, rel=0.1
    )


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.parametrize("strategy", ["paper", "frugal"])
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_attack_stays_within_caps_at_a_power(strategy: str, factor: float) -> None:
    table, inputs = events(800), Marginals(n_bins=25, n_quantiles=0)
    kept = Validation.at_power(0.15, n_data=300.0, inputs=inputs, score=None, separately="union").scaled(factor)
    attack = CONSERVAttack(validation=kept, n_iterations=4, beta=20.0, strategy=strategy)  # type: ignore[arg-type]
    result = run_attack(attack, SineClassifier(), table, rng=np.random.default_rng(1))
    assert result.fooling_ratio > 0.0
    check = CorrelationCheck.of(table, n_data=300.0)
    caps = {(figure.comparison, figure.column): figure.cap for figure in result.validated.figures}
    assert caps["correlations", ""] == pytest.approx(factor * max_invisible_shift(check, 0.15))
    assert caps["inputs", "phi"] == pytest.approx(
        factor * max_invisible_distance(n_data=300.0, n_bins=25, detection_power=0.15)
    )
    worst = chi2_power(result.compatibility.max_js_distance / factor, n_data=300.0, n_bins=25)
    assert 0.05 < float(worst) <= 0.15
    assert check.power(result.compatibility.correlation_shift / factor) <= 0.15


def test_more_data_allow_less() -> None:
    table = events(800)
    few, many = (CorrelationCheck.of(table, n_data=n) for n in (100.0, 10_000.0))
    assert max_invisible_shift(few, 0.1) == pytest.approx(10 * max_invisible_shift(many, 0.1), rel=1e-6)
    wide, close = (max_invisible_distance(n_data=n, n_bins=50, detection_power=0.1) for n in (100.0, 10_000.0))
    assert wide == pytest.approx(10 * close, rel=1e-6)


@pytest.mark.parametrize(
    ("n_data", "power", "message"),
    [(0.0, 0.1, "n_data, got 0"), (10.0, 0.05, "must lie between")],
)
def test_impossible_caps_at_a_power_are_refused(n_data: float, power: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Validation.at_power(power, n_data=n_data)
