# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import math

import numpy as np
import pytest

from hepfool.studies import systematic_misclassification
from hepfool.studies._misclassification import Misclassification

N_RUNS = 10


def study(
    rng: np.random.Generator, *, n_systematic: int = 0, spread: float = 0.0, n_events: int = 3000
) -> Misclassification:
    """Events flagged at random, with other rates per run if wanted, and some that are flagged six times out of ten."""
    rates = np.full((N_RUNS, n_events), 0.08) + spread * rng.uniform(-1.0, 1.0, (N_RUNS, 1))
    rates[:, :n_systematic] = 0.6
    return systematic_misclassification(rng.uniform(size=rates.shape) < rates)


def test_injected_events_are_found(rng: np.random.Generator) -> None:
    result = study(rng, n_systematic=30)
    assert result.systematic
    assert result.significant[6:8].all()
    assert result.dispersion > 1.2
    found = np.flatnonzero(result.repeated(5))
    assert np.isin(found, np.arange(30)).mean() > 0.9
    assert len(found) > 20


@pytest.mark.parametrize("spread", [0.0, 0.03])
def test_chance_alone_is_not_called_systematic(rng: np.random.Generator, spread: float) -> None:
    results = [study(rng, spread=spread) for _ in range(200)]
    # Binomial errors of 200 trials at 5 %; a discrete test stays below.
    assert np.mean([result.systematic for result in results]) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean([result.significant[1:].mean() for result in results]) < 0.06
    assert np.mean([result.dispersion for result in results]) == pytest.approx(1.0, abs=0.02)


def test_the_equations_of_the_paper() -> None:
    flagged = np.zeros((3, 8), dtype=bool)
    flagged[0, :2] = flagged[1, 0] = flagged[2, 0] = flagged[2, 5] = flagged[2, 6] = True
    result = systematic_misclassification(flagged)
    assert result.accuracy.tolist() == [6 / 8, 7 / 8, 5 / 8]
    assert result.probability == pytest.approx(0.25)
    assert result.observed.tolist() == [4, 3, 0, 1]
    expected = [8 * math.comb(3, k) * 0.25**k * 0.75 ** (3 - k) for k in range(4)]
    assert result.expected.tolist() == pytest.approx(expected)
    at_least_one = 1.0 - math.exp(-expected[3])
    assert result.p_values[2:].tolist() == pytest.approx([1.0, at_least_one])
    assert result.p_value == pytest.approx(2 * at_least_one)


def test_only_events_judged_in_every_run_count() -> None:
    flagged = np.zeros((2, 4), dtype=bool)
    flagged[:, 0] = True
    judged = np.ones_like(flagged)
    judged[1, 0] = False
    result = systematic_misclassification(flagged, judged=judged)
    assert result.counts.tolist() == [-1, 0, 0, 0]
    assert result.n_events == 3
    assert result.probability == 0.0
    assert math.isnan(result.dispersion)
    assert not result.repeated(1).any()


def test_the_same_events_in_every_run_have_the_largest_dispersion() -> None:
    flagged = np.tile(np.arange(100) < 20, (5, 1))
    assert systematic_misclassification(flagged).dispersion == pytest.approx(5.0)


def test_what_cannot_be_judged_is_refused() -> None:
    flags = np.zeros((3, 4), dtype=bool)
    for wrong, options, message in (
        (flags[:1], {}, "at least two runs"),
        (flags[0], {}, "at least two runs"),
        (flags, {"judged": flags[:2]}, "at least two runs"),
        (flags, {"judged": flags}, "no event counts"),
        (flags, {"level": 1.0}, "level must lie"),
    ):
        with pytest.raises(ValueError, match=message):
            systematic_misclassification(wrong, **options)
