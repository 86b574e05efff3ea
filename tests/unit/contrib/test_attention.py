# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.contrib.attention import (
    ConstituentAttention,
    FeatureAttention,
    TokenEncoder,
    attention_features,
    attention_jets,
)
from hepfool.contrib.jets import ConstituentLayout
from hepfool.events import EventTable
from hepfool.models import Standardise, TorchClassifier, export_program, load_torch, save_state
from hepfool.training import TrainingSettings, fit
from tests.jet_specimens import random_jets

pytestmark = pytest.mark.torch


@pytest.fixture
def table(rng: np.random.Generator) -> EventTable:
    return ConstituentLayout(20).table(random_jets(rng), labels=np.arange(8) % 2)


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return attention_jets(20).double().eval()


def plain_encoder(encoder: TokenEncoder, tokens: torch.Tensor) -> torch.Tensor:
    """One event without empty places, written out head by head with PyTorch's simplest operations."""
    blocks: list[Any] = list(encoder.blocks)
    for block in blocks:
        normed = block.first(tokens)
        query, key, value = (normed @ block.project.weight.T + block.project.bias).chunk(3, dim=1)
        width = query.shape[1] // block.n_heads
        heads = []
        for head in range(block.n_heads):
            part = slice(head * width, (head + 1) * width)
            attention = torch.softmax(query[:, part] @ key[:, part].T / width**0.5, dim=1)
            heads.append(attention @ value[:, part])
        tokens = tokens + block.join(torch.cat(heads, dim=1))
        tokens = tokens + block.nodes(block.second(tokens))
    mean: torch.Tensor = encoder.norm(tokens).mean(dim=0)
    return mean


def test_the_encoder_is_the_attention_written_out() -> None:
    torch.manual_seed(1)
    encoder = TokenEncoder(8, n_heads=2, n_blocks=3).double()
    tokens = torch.randn(4, 6, 8, dtype=torch.float64)
    present = torch.arange(6) < torch.tensor([6, 3, 1, 5])[:, None]
    found = encoder(tokens, present)
    for event in range(4):
        expected = plain_encoder(encoder, tokens[event, present[event]])
        torch.testing.assert_close(found[event], expected, rtol=1e-10, atol=1e-12)


def test_an_event_without_tokens_gives_zero() -> None:
    encoder = TokenEncoder(8, n_heads=2)
    found = encoder(torch.randn(2, 3, 8), torch.tensor([[False] * 3, [True] * 3]))
    assert (found[0] == 0).all()
    assert (found[1] != 0).any()


def test_the_order_of_the_constituents_does_not_matter(
    network: nn.Module, table: EventTable, rng: np.random.Generator
) -> None:
    values = torch.tensor(table.network_values)
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(20), (8, 1)), axis=1))
    mixed = values.reshape(8, 20, 3).gather(1, order[..., None].expand(-1, -1, 3)).reshape(8, 60)
    assert not torch.equal(mixed, values)
    torch.testing.assert_close(network(mixed), network(values), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("filler", [0.0, -999.0, float("nan")])
def test_empty_places_do_not_matter(network: nn.Module, table: EventTable, filler: float) -> None:
    values = torch.tensor(table.network_values)
    padded = values.masked_fill(torch.tensor(table.missing), filler).requires_grad_()
    found = network(padded)
    torch.testing.assert_close(found, network(values), rtol=1e-12, atol=0.0)
    found.sum().backward()
    assert padded.grad is not None
    assert (padded.grad[torch.tensor(table.missing)] == 0).all()
    assert torch.isfinite(padded.grad).all()


def test_more_places_give_the_same_answer(table: EventTable) -> None:
    narrow, wide = ConstituentAttention(20).double(), ConstituentAttention(25).double()
    wide.load_state_dict(narrow.state_dict())
    values = torch.tensor(table.network_values)
    torch.testing.assert_close(wide(nn.functional.pad(values, (0, 15))), narrow(values), rtol=1e-9, atol=1e-10)


def test_a_jet_moved_as_a_whole_looks_the_same(network: nn.Module, table: EventTable) -> None:
    cube = torch.tensor(table.network_values).reshape(8, 20, 3)
    moved = cube + torch.tensor([0.0, 0.4, 2.5]) * (cube[..., :1] > 0)
    torch.testing.assert_close(network(moved.reshape(8, 60)), network(cube.reshape(8, 60)), rtol=1e-8, atol=1e-8)


def test_what_is_missing_is_masked(rng: np.random.Generator) -> None:
    table = EventTable.from_arrays(rng.normal(3.0, 2.0, (50, 4)), labels=np.arange(50) % 2)
    values = np.where(rng.random((50, 4)) < 0.3, -999.0, table.values)
    table = EventTable.from_arrays(values, labels=table.labels, sentinel=-999.0)
    first = FeatureAttention(Standardise.of(table)).double()
    found = first(torch.tensor(table.network_values))
    scaled = first.standardise(torch.tensor(table.network_values))
    tokens = scaled[..., None] * first.slope + first.offset
    for event in range(50):
        present = torch.tensor(~table.missing[event])
        if present.any():
            expected = plain_encoder(first.encoder, tokens[event, present])
            torch.testing.assert_close(found[event], expected, rtol=1e-9, atol=1e-10)


def test_without_a_sentinel_nothing_is_masked() -> None:
    first = FeatureAttention(Standardise([0.0, 0.0], [1.0, 1.0]))
    values = torch.tensor([[0.0, -999.0]])
    tokens = values[..., None] * first.slope + first.offset
    torch.testing.assert_close(first(values)[0], plain_encoder(first.encoder, tokens[0]), rtol=1e-4, atol=1e-5)


def test_files_and_programs_give_the_same_scores(tmp_path: Path, rng: np.random.Generator) -> None:
    classifier = TorchClassifier(attention_jets(sigmoid=True), output="probability")
    assert classifier.n_features == 192
    save_state(classifier, tmp_path / "network.pt")
    values = rng.uniform(0.1, 1.0, (3, 192))
    again = load_torch(tmp_path / "network.pt", network="attention_jets")
    np.testing.assert_array_equal(again.scores(values), classifier.scores(values))
    tabular = TorchClassifier(attention_features(Standardise(np.zeros(5), np.ones(5))))
    assert tabular.n_features == 5
    original = TorchClassifier(attention_jets(5))
    export_program(original, tmp_path / "network.pt2")
    few, labels = rng.uniform(0.1, 1.0, (7, 15)), np.ones(7, dtype=np.int64)
    again = load_torch(tmp_path / "network.pt2")
    for found, expected in zip(
        again.margin_and_gradient(few, labels), original.margin_and_gradient(few, labels), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_tokens_learn_correlations_between_features(rng: np.random.Generator) -> None:
    values = rng.normal(size=(1500, 3))
    table = EventTable.from_arrays(values, labels=(values[:, 0] * values[:, 1] > 0).astype(int))
    train, test = table.select(np.arange(1000)), table.select(np.arange(1000, 1500))
    settings = TrainingSettings(max_epochs=10, batch_size=50, learning_rate=3e-3)
    result = fit(lambda: attention_features(Standardise.of(train)), train, test, seed=1, settings=settings)
    assert result.validation_auroc > 0.95


@pytest.mark.parametrize(("width", "heads", "blocks"), [(0, 1, 1), (6, 4, 1), (8, 0, 1), (8, 4, 0)])
def test_impossible_encoders_are_refused(width: int, heads: int, blocks: int) -> None:
    with pytest.raises(ValueError, match="must be a positive multiple"):
        TokenEncoder(width, n_heads=heads, n_blocks=blocks)


def test_impossible_jets_are_refused() -> None:
    with pytest.raises(ValueError, match="n_constituents 0 is below 1"):
        attention_jets(0)
    with pytest.raises(ValueError, match=r"values have shape \(2, 6\), expected \(n_events, 9\)"):
        attention_jets(3)(torch.ones(2, 6))
    with pytest.raises(ValueError, match="pt_scale 0 and angle_scale"):
        ConstituentAttention(3, pt_scale=0)
