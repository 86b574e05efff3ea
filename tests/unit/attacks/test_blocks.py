# SPDX-License-Identifier: BSD-3-Clause
"""Blocks of events that move in one compiled call move as they do step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.attacks._search import engine
from hepfool.attacks._search.score import PLANNED, Crowd, ScoreAxis, ScoreLedger, expect, plan
from hepfool.attacks._search.sweep import sweep
from hepfool.validation import Correlations, Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
KEPT = Validation(
    inputs=Marginals(max_js_distance=0.08, n_bins=12, n_quantiles=6),
    score=Marginals(max_js_distance=0.06, n_bins=10, n_quantiles=8),
    correlations=Correlations(max_shift=0.05),
)


def step_by_step(
    score: ScoreLedger, bins: Any, crowd: Crowd, axis: ScoreAxis, settings: Any, ledger: Any, task: Any, _: Any
) -> None:
    for start in range(0, len(task.events), PLANNED):
        few = (start, min(start + PLANNED, len(task.events)))
        plan(score, task.layout.weights, bins, crowd, axis, task.goals, settings, few)
        crowd.taken[slice(*few)] = sweep(ledger, task.part(slice(*few)))
        expect(score, task.layout.weights, crowd, axis.edges, few)


@pytest.mark.parametrize("strategy", ["frugal", "paper"])
def test_a_block_in_one_call_has_the_bits_of_its_steps(monkeypatch: pytest.MonkeyPatch, strategy: Any) -> None:
    attack = CONSERVAttack(strategy=strategy, validation=KEPT, n_iterations=3)
    table, classifier = events(300, seed=3, negative=0.05), SineClassifier()
    whole = run_attack(attack, classifier, table, rng=1)
    monkeypatch.setattr(engine, "aim_and_move", step_by_step)
    steps = run_attack(attack, classifier, table, rng=1)
    assert whole.fooling_ratio > 0.0
    np.testing.assert_array_equal(whole.adversarial.values, steps.adversarial.values)
