# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hepfool.statistics import ks_distance


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_ks_distance_is_that_of_scipy_with_weights_as_repetitions(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.normal(size=(2, 60))
    if ties:
        before, after = np.round(before), np.round(after)
    ones, weights = np.ones(60), rng.integers(0, 4, size=60)
    assert ks_distance(before, after, ones) == pytest.approx(
        stats.ks_2samp(before, after, method="asymp").statistic, abs=1e-12
    )
    expected = stats.ks_2samp(np.repeat(before, weights), np.repeat(after, weights), method="asymp").statistic
    assert ks_distance(before, after, weights.astype(float)) == pytest.approx(expected, abs=1e-12)
    assert ks_distance(before, before, ones) == 0.0


def test_ks_distance_refuses_empty_distributions() -> None:
    with pytest.raises(ValueError, match="one value and weight per event"):
        ks_distance(np.zeros(3), np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="the weights sum to 0"):
        ks_distance(np.zeros(2), np.zeros(2), np.array([1.0, -1.0]))
