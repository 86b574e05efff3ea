# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hepfool.attacks import CONSERVAttack, Noise
from hepfool.exceptions import ConstraintError
from hepfool.io import Partitions, open_partitions, write_partitions
from hepfool.processors import PartitionedAttack, partition_cost, raise_caps
from hepfool.processors import _partition_caps as partition_caps
from hepfool.validation import Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")

ATTACK = CONSERVAttack(max_js_distance=0.02, max_correlation_shift=0.02, n_bins=30, n_iterations=4, strategy="frugal")
SETTINGS = PartitionedAttack(classifier=SineClassifier(), attack=ATTACK, max_events=0, partition_events=150)


@pytest.fixture
def stored(tmp_path: Path) -> Partitions:
    (tmp_path / "nominal").mkdir()
    table = events(1500)
    return write_partitions(tmp_path / "nominal", (table.select(np.arange(k, 1500, 10)) for k in range(10)))


def test_raised_caps_fool_more_and_all_events_still_meet_the_caps(stored: Partitions, tmp_path: Path) -> None:
    (tmp_path / "adversarial").mkdir()
    raised = raise_caps(SETTINGS, stored, folder=tmp_path / "adversarial", n_trials=5)
    first = raised.trials[0]
    assert (first.js_factor, first.correlation_factor) == (1.0, 1.0)
    assert raised.trial.fooling_ratio > first.fooling_ratio + 0.02
    assert raised.trial.js_factor > 1.1
    assert raised.trial.fooling_ratio == max(t.fooling_ratio for t in raised.trials if t.within)
    found = raised.result.compatibility
    assert found.max_js_distance <= ATTACK.max_js_distance
    assert found.correlation_shift <= ATTACK.max_correlation_shift
    assert raised.result.fooling_ratio == raised.trial.fooling_ratio
    fooled = open_partitions(tmp_path / "adversarial").read().spectators["fooled"]
    assert fooled.sum() == raised.result.sums.counts().n_fooled


def test_trials_beyond_the_caps_are_not_taken(stored: Partitions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition_caps, "_AIM", 3.0)
    raised = raise_caps(SETTINGS, stored, n_trials=3)
    assert not all(trial.within for trial in raised.trials)
    assert max(raised.trials, key=lambda t: t.fooling_ratio).fooling_ratio > raised.trial.fooling_ratio
    assert raised.result.compatibility.max_js_distance <= ATTACK.max_js_distance


def test_one_partition_has_nothing_to_raise(stored: Partitions) -> None:
    raised = raise_caps(replace(SETTINGS, max_events=10_000), stored)
    assert len(raised.trials) == 1
    assert raised.trial.js_factor == 1.0


def test_attacks_without_caps_are_refused(stored: Partitions, monkeypatch: pytest.MonkeyPatch) -> None:
    for attack in (Noise(size=0.1), CONSERVAttack(validation=Validation.at_power(n_data=100.0))):
        with pytest.raises(ValueError, match="cannot be raised"):
            raise_caps(replace(SETTINGS, attack=attack), stored)
    with pytest.raises(ValueError, match="nothing to raise"):
        raise_caps(replace(SETTINGS, attack=CONSERVAttack()), stored)
    monkeypatch.setattr("hepfool.processors._partition_caps._judged", _beyond)
    with pytest.raises(ConstraintError, match="in each of 2 trials; lower the caps"):
        raise_caps(SETTINGS, stored, n_trials=2)


def _beyond(*_: object) -> partition_caps.CapTrial:
    return partition_caps.CapTrial(
        js_factor=1.0,
        correlation_factor=1.0,
        fooling_ratio=1.0,
        max_js_distance=0.1,
        correlation_shift=0.1,
        within=False,
    )


def test_cost_grows_as_partitions_shrink() -> None:
    cost = partition_cost(events(1200), SETTINGS, n_partitions=(1, 8), seeds=(1, 2), n_trials=3)
    assert (cost.n_events, cost.n_partitions) == (1200, (1, 8))
    assert (cost.max_js_distance, cost.max_correlation_shift) == (0.02, 0.02)
    assert cost.kept[0] == cost.raised[0]
    assert all(len(trials) == 2 for trials in (*cost.kept, *cost.raised))
    for whole, kept, raised in zip(cost.kept[0], cost.kept[1], cost.raised[1], strict=True):
        assert kept.fooling_ratio < whole.fooling_ratio - 0.05
        assert kept.fooling_ratio <= raised.fooling_ratio
        assert raised.within
