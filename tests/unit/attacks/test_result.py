# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest

from hepfool.attacks._convergence import weighted_fraction


def test_error_of_a_fraction_is_that_of_a_bootstrap(rng: np.random.Generator) -> None:
    weights = rng.exponential(size=400) * np.where(rng.uniform(size=400) < 0.1, -1.0, 1.0)
    chosen = rng.uniform(size=400) < 0.3
    fraction, error = weighted_fraction(chosen, weights)
    samples = rng.integers(0, 400, size=(4000, 400))
    found = (weights * chosen)[samples].sum(axis=1) / weights[samples].sum(axis=1)
    assert fraction == pytest.approx((weights * chosen).sum() / weights.sum())
    assert error == pytest.approx(found.std(), rel=0.1)


def test_weights_that_cancel_have_no_fraction() -> None:
    assert np.isnan(weighted_fraction(np.array([True, False]), np.array([1.0, -1.0]))).all()
