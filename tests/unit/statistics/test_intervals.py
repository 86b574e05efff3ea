# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hepfool.statistics._intervals import difference_interval, fraction_interval


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 10), (50, 400), (9, 9)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_one_fraction_has_the_interval_of_scipy(k: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert fraction_interval(k / n, n, confidence) == pytest.approx((expected.low, expected.high))


def test_nothing_is_known_without_events() -> None:
    assert fraction_interval(np.nan, 0.0, 0.95) == (0.0, 1.0)
    low, high = difference_interval((0.0, 0.0), (0.5, 1e9), 0.95)
    assert low < -0.49
    assert high > 0.49


def test_published_intervals_of_differences() -> None:
    """Examples of Newcombe's Table II, method 10."""
    for (k, n), (j, m), expected in (
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
        ((10, 10), (0, 10), (0.6075, 1.0000)),
    ):
        assert difference_interval((k / n, n), (j / m, m), 0.95) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(("n", "m"), [(30, 60), (300, 1000)])
def test_differences_are_covered(rng: np.random.Generator, n: int, m: int) -> None:
    pairs = zip(rng.binomial(n, 0.12, 1500) / n, rng.binomial(m, 0.1, 1500) / m, strict=True)
    ends = np.array([difference_interval((p, n), (q, m), 0.95) for p, q in pairs])
    inside = ((ends[:, 0] <= 0.02) & (ends[:, 1] >= 0.02)).mean()
    assert inside == pytest.approx(0.95, abs=0.02)
