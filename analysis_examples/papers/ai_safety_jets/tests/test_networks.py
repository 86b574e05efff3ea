# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis_examples.papers.ai_safety_jets.networks import HIGH, LOW, Stage, kept_values, low_level, train
from analysis_examples.papers.ai_safety_jets.sample import Sample, parts
from hepfool import EventTable
from hepfool.contrib.jets import ConstituentLayout, particle_flow_jets

pytestmark = pytest.mark.torch
N_PLACES = 6


@pytest.fixture
def jets(rng: np.random.Generator) -> EventTable:
    """Jets with two to six constituents, of which one kind is wider."""
    values, labels = np.full((120, N_PLACES, 3), np.nan), np.arange(120) % 2
    for jet, label in zip(values, labels, strict=True):
        n = int(rng.integers(2, N_PLACES + 1))
        jet[:n, 0] = np.sort(rng.exponential(50.0, n) + 1.0)[::-1]
        jet[:n, 1:] = rng.normal(0.0, 0.1 + 0.2 * label, (n, 2))
    table = EventTable.from_arrays(
        values.reshape(120, -1), features=ConstituentLayout(N_PLACES).feature_space(), labels=labels
    )
    return replace(table, sentinel=0.0)


def test_only_present_constituents_are_computed_and_nothing_changes(jets: EventTable) -> None:
    ours, padded = low_level(N_PLACES), particle_flow_jets(N_PLACES, pt_scale=100.0)
    for own, target in zip(ours.parameters(), padded.parameters(), strict=True):
        target.data = own.data
    values = torch.from_numpy(jets.network_values.copy()).float().requires_grad_()
    mine, other = ours(values), padded(values)
    assert torch.allclose(mine, other, atol=1e-6)
    slope, expected = (torch.autograd.grad(result.sum(), values)[0] for result in (mine, other))
    assert torch.allclose(slope, expected, atol=1e-5)
    assert slope.abs().max() > 0


def test_finished_stages_are_kept(jets: EventTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = (Stage(2, 1e-3), Stage(1, 1e-4))
    first = train(LOW, jets, jets, stages, seed=1, folder=tmp_path, early=(1,))
    assert len(first.history) == 3
    assert list(first.early) == [1]
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("analysis_examples.papers.ai_safety_jets.networks.fit", None)
    again = train(LOW, jets, jets, stages, seed=1, folder=tmp_path, early=(1,))
    assert np.array_equal(again.classifier.scores(jets.network_values), first.classifier.scores(jets.network_values))
    assert again.history == first.history
    for other in ({"seed": 2}, {"seed": 1, "early": (2,)}, {"seed": 1, "batch_size": 50}):
        with pytest.raises(TypeError, match="not callable"):
            train(LOW, jets, jets, stages, folder=tmp_path, **other)
    with pytest.raises(TypeError, match="not callable"):
        train(HIGH, jets, jets, stages, seed=1, folder=tmp_path)


def test_attacked_jets_are_kept(jets: EventTable, tmp_path: Path) -> None:
    moved = kept_values(tmp_path / "moved.npy", jets, lambda: jets)
    again = kept_values(tmp_path / "moved.npy", jets, lambda: pytest.fail("made twice"))
    assert np.array_equal(moved.values, again.values, equal_nan=True)


def test_fewer_jets_are_the_first_and_keep_their_part(jets: EventTable) -> None:
    number, part = np.repeat(np.arange(60), 2), np.tile([0, 0, 1, 1, 2, 2], 20)
    sample = Sample(jets, number, part, np.zeros(120))
    small, large = sample.first(30), sample.first(60)
    assert np.array_equal(small.test.values, large.test.values, equal_nan=True)
    assert [table.n_events for table in small] == [20, 20, 40]
    assert [table.n_events for table in large] == [40, 40, 40]
    assert np.array_equal(small.train.values, large.train.values[:20], equal_nan=True)


def test_parts_of_a_smaller_sample_are_those_of_a_larger_one(tmp_path: Path) -> None:
    assert [part[:2] for part in parts(tmp_path, 12_000)] == [part[:2] for part in parts(tmp_path, 30_000)[:2]]
    assert [number for *_, number in parts(tmp_path, 25_000)] == [10_000, 10_000, 5_000]
