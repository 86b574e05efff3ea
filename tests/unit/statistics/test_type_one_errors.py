# SPDX-License-Identifier: BSD-3-Clause
"""Every check rejects with its level when data and prediction follow the same distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from hepfool.events import EventTable
from hepfool.statistics import CheckSettings, run_checks
from hepfool.statistics._toys import two_sample_chi2
from hepfool.validation import Correlations, Marginals, Validation

pytestmark = pytest.mark.slow

LEVEL = 0.05


def test_the_asymptotic_chi2_rejects_with_its_level(rng: np.random.Generator) -> None:
    """Independent samples, of the sizes that the closed form of the power is for."""
    n_data, n_simulated, n_toys = 500, 2000, 6000
    truth = np.linspace(1.0, 3.0, 12) / 24.0
    data, prediction = (rng.multinomial(n, truth, size=n_toys) / n for n in (n_data, n_simulated))
    share = n_data / (n_data + n_simulated)
    statistic = two_sample_chi2(data, prediction, data_share=share) * n_data * n_simulated / (n_data + n_simulated)
    rejected = (statistic > chi2.isf(LEVEL, len(truth) - 1)).mean()
    assert rejected == pytest.approx(LEVEL, abs=2.0 * np.sqrt(LEVEL * (1.0 - LEVEL) / n_toys))


@pytest.mark.parametrize(
    ("kind", "n_toys"), [("ks", 1500), ("correlations", 1000), ("projection", 1500), ("classifier", 150)]
)
def test_checks_by_toys_reject_with_their_level(kind: str, n_toys: int, rng: np.random.Generator) -> None:
    values = rng.normal(size=(2000, 3))
    values[:, 1] += 0.5 * values[:, 0] ** 2
    table = EventTable.from_arrays(values, weights=rng.exponential(size=2000))
    settings = CheckSettings(
        n_data=400.0,
        n_simulated=900.0,
        checks=(kind,),  # type: ignore[arg-type]
        n_toys=n_toys,
        n_trainings=n_toys,
        level=LEVEL,
    )
    validation = Validation(inputs=Marginals(n_bins=20), score=None, correlations=Correlations())
    rows = run_checks(validation.comparisons(table, table), settings, rng=rng).rows
    error = np.hypot(rows[0].power.error, np.sqrt(LEVEL * (1.0 - LEVEL) / n_toys)) / np.sqrt(len(rows))
    assert np.mean([row.power.value for row in rows]) == pytest.approx(LEVEL, abs=2.0 * error)
