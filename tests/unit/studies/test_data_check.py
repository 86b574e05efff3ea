# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from hepfool.events import EventTable, Region
from hepfool.studies.data_check import check_data
from hepfool.typing import FloatArray


def sample(scores: FloatArray, role: Literal["control", "signal"] = "control", weight: float = 1.0) -> EventTable:
    regions = (Region("here", np.arange(len(scores)) < len(scores) // 2, role),)
    labels = np.arange(len(scores)) % 2
    return EventTable.from_arrays(
        scores[:, np.newaxis], labels=labels, regions=regions, weights=np.full(len(scores), weight)
    )


def test_fractions_are_those_of_the_region_with_binomial_errors(rng: np.random.Generator) -> None:
    scores = rng.uniform(size=1000)
    table = sample(scores, weight=0.3)
    check = check_data((table, scores), (table, scores), region="here", thresholds=np.array([0.7, 0.2]))
    assert check.thresholds.tolist() == [0.2, 0.7]
    assert check.n_data == check.n_simulated == 500
    expected = (scores[:500] > 0.7).mean()
    assert check.data[1].value == pytest.approx(expected)
    assert check.data[1].error == pytest.approx(np.sqrt(expected * (1 - expected) / 500))
    assert check.p_value(1) == 1.0


def test_p_values_are_uniform_if_both_agree_and_small_if_not(rng: np.random.Generator) -> None:
    def p_value(shift: float) -> float:
        tables = [sample(rng.uniform(size=800)), sample(rng.uniform(size=800))]
        scores = [tables[0].values[:, 0] + shift, tables[1].values[:, 0]]
        pairs = [(table, score) for table, score in zip(tables, scores, strict=True)]
        return check_data(pairs[0], pairs[1], region="here", thresholds=np.array([0.5])).p_value()

    same = np.array([p_value(0.0) for _ in range(300)])
    assert 0.02 < (same < 0.1).mean() < 0.18
    assert np.median([p_value(0.2) for _ in range(20)]) < 1e-3


def test_signal_regions_stay_blinded() -> None:
    scores = np.linspace(0.0, 1.0, 10)
    blinded, control = sample(scores, role="signal"), sample(scores)
    with pytest.raises(ValueError, match="'here' is a signal region"):
        check_data((blinded, scores), (control, scores), region="here", thresholds=np.array([0.5]))


def test_scores_of_another_length_are_refused() -> None:
    scores = np.linspace(0.0, 1.0, 10)
    with pytest.raises(ValueError, match=r"expected \(10,\)"):
        check_data((sample(scores), scores[:5]), (sample(scores), scores), region="here", thresholds=np.array([0.5]))
