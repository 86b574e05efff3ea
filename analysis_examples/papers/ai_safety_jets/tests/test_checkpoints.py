# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis_examples.papers.ai_safety_jets.checkpoints import scan_checkpoints
from analysis_examples.papers.ai_safety_jets.significance import SignificanceSettings, optimal_threshold
from hepfool.events import EventTable
from hepfool.training import auroc
from tests.specimens import SineClassifier, events

FEW = SignificanceSettings(n_thresholds=50, min_background=50, n_bootstrap=50)


def networks(*gains: float) -> dict[int, SineClassifier]:
    """Networks that listen to more and more features."""
    weights = SineClassifier().weights
    return {
        k: replace(SineClassifier(), weights=weights * (np.arange(6) < k), gain=gain) for k, gain in enumerate(gains, 1)
    }


def lowered(table: EventTable, classifier: SineClassifier) -> EventTable:
    """Move the first feature against the signal as far as its network listens."""
    values = table.values.copy()
    values[:, 0] = np.maximum(values[:, 0] - 5.0 * (classifier.weights > 0).sum() * table.labels, 0.1)
    return replace(table, values=values, regions=())


def test_every_checkpoint_is_attacked_for_itself(rng: np.random.Generator) -> None:
    table, other = events(3000, weighted=False, regions=False), events(2000, seed=5, weighted=False, regions=False)
    scanned = networks(1.0, 2.0, 2.0)
    shuffled = {epoch: scanned[epoch] for epoch in (3, 1, 2)}
    records = scan_checkpoints(shuffled, table, lambda c: lowered(table, c), rng=rng, validation=other, settings=FEW)
    assert [record.epoch for record in records] == [1, 2, 3]
    for record in records:
        network = scanned[record.epoch]
        before, after = (network.scores(t.network_values)[:, 1] for t in (table, lowered(table, network)))
        assert record.auroc == auroc(table.labels, before)
        study = record.significance
        expected = optimal_threshold(other.labels, network.scores(other.network_values)[:, 1], settings=FEW)
        assert study.threshold == expected
        passed = [(scores > expected)[table.labels == 1].mean() for scores in (before, after)]
        assert study.change("adversarial").value == pytest.approx(passed[1] / passed[0] - 1.0)
        assert study.change("adversarial").upper < 0.0


def test_scans_of_nothing_or_of_other_events_are_refused(rng: np.random.Generator) -> None:
    table = events(500, regions=False)
    with pytest.raises(ValueError, match=r"no checkpoint to scan; train with TrainingSettings\(checkpoints"):
        scan_checkpoints({}, table, lambda c: lowered(table, c), rng=rng)
    fewer = table.select(np.arange(500) < 400)
    with pytest.raises(ValueError, match="the attack returned 400 events of 500"):
        scan_checkpoints(networks(1.0), table, lambda _: fewer, rng=rng, settings=FEW)
