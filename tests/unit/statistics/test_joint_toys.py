# SPDX-License-Identifier: BSD-3-Clause
"""All checks of the same toys: their level together, and what they notice."""

from __future__ import annotations

import numpy as np
import pytest

from hepfool.events import EventTable, Region
from hepfool.statistics import CheckSettings, run_checks
from hepfool.statistics._comparisons import Comparison
from hepfool.statistics._joint_toys import combined_power
from hepfool.statistics._toys import Toys
from hepfool.validation import Correlations, Marginals, Validation

KINDS = {
    "inputs": frozenset({"chi2", "ks"}),
    "correlations": frozenset({"correlations"}),
    "score": frozenset({"chi2", "ks"}),
}


def comparisons(
    rng: np.random.Generator, *, shift: float = 0.0, score_shift: float = 0.0, n_events: int = 1500, signs: bool = False
) -> list[Comparison]:
    values = rng.normal(size=(n_events, 4))
    values[:, 1] += 0.5 * values[:, 0]
    weights = rng.exponential(size=n_events) * (rng.choice([1.0, 1.0, 1.0, -1.0], n_events) if signs else 1.0)
    below = values[:, 3] < 0
    regions = (Region("low", below), Region("high", ~below), Region("left", values[:, 2] < 0))
    table = EventTable.from_arrays(values[:, :3], features=["a", "b", "c"], weights=weights, regions=regions)
    moved = table.with_values(table.values + np.array([shift, 0.0, 0.0]))
    scores = 1.0 / (1.0 + np.exp(-values[:, :1]))
    after = np.clip(scores + score_shift * (scores > 0.5), 0.0, 1.0)
    pair = (np.hstack([1.0 - scores, scores]), np.hstack([1.0 - after, after]))
    bins = Marginals(n_bins=10, n_quantiles=0)
    validation = Validation(inputs=bins, score=bins, correlations=Correlations())
    return list(validation.comparisons(table, moved, scores=pair))


def wanted(found: list[Comparison]) -> list[tuple[Comparison, frozenset[str]]]:
    return [(one, KINDS[one.name]) for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("signs", [False, True])
def test_together_they_reject_with_the_level_when_nothing_is_wrong(rng: np.random.Generator, signs: bool) -> None:
    sizes = Toys(n_data=400.0, n_simulated=900.0, n_toys=600)
    found = combined_power(wanted(comparisons(rng, signs=signs)), sizes, rng=rng, null_only=True)
    assert found is not None
    # Three regions, two tests of three inputs and the score each, and the correlations.
    assert found.n_checks == 3 * (2 * 4 + 1)
    assert found.power.value == pytest.approx(0.05, abs=3 * found.power.error)
    # Each by itself rejects with the level, so that one of them does far more often.
    assert 0.3 < found.uncorrected < 1.0 - 0.95**found.n_checks


def test_a_deviation_that_one_check_sees_is_seen(rng: np.random.Generator) -> None:
    sizes = Toys(n_data=400.0, n_simulated=900.0, n_toys=150)
    for change, at_least in (({"shift": 0.5}, 0.9), ({"score_shift": 0.3}, 0.9)):
        found = combined_power(wanted(comparisons(rng, **change)), sizes, rng=rng)  # type: ignore[arg-type]
        assert found is not None
        assert found.power.value > at_least


def test_a_check_that_is_made_twice_counts_once(rng: np.random.Generator) -> None:
    """All checks look at the same events of a toy: independent ones would reject more often together."""
    sizes = Toys(n_data=400.0, n_simulated=900.0, n_toys=60)
    one = [(inputs, frozenset({"chi2", "ks"})) for inputs in comparisons(rng, shift=0.18) if inputs.name == "inputs"][
        :1
    ]
    alone, twice = (combined_power(one * n, sizes, rng=np.random.default_rng(1)) for n in (1, 2))
    assert alone is not None
    assert twice is not None
    assert twice.n_checks == 2 * alone.n_checks == 12
    assert (twice.power, twice.uncorrected) == (alone.power, alone.uncorrected)
    assert 0.1 < alone.power.value < 0.9


def test_many_checks_cost_power_at_one_level(rng: np.random.Generator) -> None:
    sizes = Toys(n_data=400.0, n_simulated=np.inf, n_toys=300)
    found = comparisons(rng, shift=0.18)
    alone = combined_power([(one, frozenset({"ks"})) for one in found if one.name == "inputs"][:1], sizes, rng=rng)
    every = combined_power(wanted(found), sizes, rng=rng)
    assert alone is not None
    assert every is not None
    assert 0.1 < every.power.value < alone.power.value < 1.0


def test_the_table_of_checks_has_all_standard_ones_together(rng: np.random.Generator) -> None:
    settings = CheckSettings(n_data=400.0, n_simulated=900.0, n_toys=60, checks=("chi2", "ks", "correlations"))
    table = run_checks(comparisons(rng, shift=0.5), settings, rng=rng)
    assert table.combined is not None
    assert table.combined.n_checks == len(table.rows) == 27
    assert table.combined.power.value > 0.9
    assert (
        run_checks(comparisons(rng), CheckSettings(n_data=4.0, checks=("projection",), n_toys=5), rng=rng).combined
        is None
    )
