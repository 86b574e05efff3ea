# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.convergence import PATIENCE, Progress
from hepfool.attacks.gradient import PGD
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
ATTACK = CONSERVAttack(strategy="frugal", max_js_distance=0.1, n_bins=25)


def run(attack: Any, seed: int = 1, **options: Any) -> AttackResult:
    return run_attack(attack, SineClassifier(), events(200), rng=seed, **options)


def note(gains: list[float], n: int = 400) -> list[bool]:
    progress, found = Progress(), []
    for iteration, ratio in enumerate(gains):
        progress.note(iteration, np.arange(n) < round(ratio * n), np.ones(n))
        found.append(progress.converged)
    return found


def test_a_search_that_gains_less_than_the_error_has_converged() -> None:
    # The error at 0.5 of 400 events is 0.025.
    assert note([0.5] * 11) == [False] * PATIENCE + [True]
    # One event of 4000 more is a thirtieth of the error, four are an eighth.
    slow, fast = ([0.5] * 10 + [0.5 + n_more / 4000] for n_more in (1, 4))
    assert note(slow, 4000)[-1]
    assert not note(fast, 4000)[-1]


def test_a_loss_by_repairs_is_no_gain_afterwards() -> None:
    assert note([0.5, 0.7, *[0.5] * 9])[-1] is False
    assert note([0.5, 0.7, *[0.5] * 10])[-1] is True


def test_a_repeated_iteration_is_noted_once() -> None:
    progress = Progress()
    for fooled in (True, False):
        progress.note(0, np.array([fooled, True]), np.ones(2))
    assert progress.ratios == [1.0]


def test_weights_count() -> None:
    progress = Progress()
    progress.note(0, np.array([True, False]), np.array([3.0, 1.0]))
    assert progress.ratios == [0.75]


def test_the_number_of_iterations_follows_the_strategy() -> None:
    assert (CONSERVAttack().n_iterations, ATTACK.n_iterations) == (10, 100)
    assert replace(ATTACK, n_iterations=7).n_iterations == 7
    with pytest.raises(ValueError, match="n_iterations"):
        CONSERVAttack(n_iterations=0)
    with pytest.raises(ValueError, match="last 10 iterations"):
        CONSERVAttack(converge=True)


def test_frugal_stops_by_itself_and_says_so() -> None:
    result = run(ATTACK)
    assert result.converged is True
    assert not result.interrupted
    assert PATIENCE < result.iterations_done < ATTACK.n_iterations


def test_what_a_search_that_stops_by_itself_leaves_is_below_the_error() -> None:
    left = []
    for seed in range(1, 5):
        full, stopped = run(replace(ATTACK, converge=False), seed), run(ATTACK, seed)
        assert (full.converged, full.iterations_done) == (None, ATTACK.n_iterations)
        left.append((full.fooling_ratio - stopped.fooling_ratio) / full.fooling_ratio_error)
    # Of 200 events a single one is more than half an error here: one search may miss two that another finds late.
    assert np.mean(left) < 1.0
    assert max(left) < 2.0


def test_too_few_iterations_have_not_converged() -> None:
    result = run(replace(ATTACK, n_iterations=5))
    assert (result.converged, result.iterations_done, result.interrupted) == (False, 5, False)


def test_the_published_attack_stops_only_if_asked() -> None:
    paper = CONSERVAttack(n_iterations=40, max_js_distance=0.1, n_bins=25)
    assert run(replace(paper, n_iterations=12)).converged is None
    asked = run(replace(paper, converge=True))
    assert (asked.converged, asked.interrupted) == (True, False)
    assert asked.iterations_done < 40
    assert run(PGD(n_iterations=2)).converged is None


def test_the_last_iteration_takes_no_event_back() -> None:
    """An iteration that is known to be the last moves only events that are not fooled yet."""
    result = run(ATTACK, progress=lambda *_: None)
    ratios = [one.fooling_ratio for one in result.history]
    assert len(ratios) == result.iterations_done
    assert ratios[-1] >= max(ratios[-4:-1])


def test_an_interrupt_is_no_convergence() -> None:
    def stop(figures: str, fraction: float) -> None:
        if fraction >= 3 / ATTACK.n_iterations:
            raise KeyboardInterrupt

    result = run(ATTACK, progress=stop)
    assert (result.converged, result.interrupted) == (False, True)


@pytest.mark.parametrize("after", [1, PATIENCE, PATIENCE + 1])
def test_a_checkpointed_attack_converges_at_the_same_iteration(tmp_path: Path, after: int) -> None:
    def stop(figures: str, fraction: float) -> None:
        if fraction >= after / ATTACK.n_iterations:
            raise KeyboardInterrupt

    expected, path = run(ATTACK), tmp_path / "attack.zip"
    assert expected.iterations_done > PATIENCE + 1
    part = run(ATTACK, progress=stop, resume=path)
    assert (part.converged, part.iterations_done) == (False, after)
    for _ in range(2):  # the second time everything is in the file
        whole = run(ATTACK, resume=path)
        assert np.array_equal(whole.adversarial.values, expected.adversarial.values, equal_nan=True)
        assert (whole.converged, whole.iterations_done) == (True, expected.iterations_done)
