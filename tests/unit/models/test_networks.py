# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.events import EventTable
from hepfool.models import Standardise, mlp
from hepfool.models._networks import NETWORKS

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("name", "n_parameters"), [("conservattack_higgs", 42_163), ("conservattack_jets", 59_263)])
def test_published_networks_have_the_published_size(name: str, n_parameters: int) -> None:
    assert sum(p.numel() for p in NETWORKS[name]().parameters() if p.requires_grad) == n_parameters


def test_layers_are_numbered_as_in_a_plain_sequential() -> None:
    keys = NETWORKS["donut"](sigmoid=True).state_dict()
    assert [key for key in keys if key.endswith("weight")] == [
        "0.weight",
        "2.weight",
        "3.weight",
        "5.weight",
        "6.weight",
    ]


def test_without_batch_norm_and_with_several_outputs() -> None:
    network = mlp(3, (5,), n_outputs=4, batch_norm=False)
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in network)
    assert network(torch.zeros(2, 3)).shape == (2, 4)


@pytest.mark.parametrize(("widths", "options"), [((0, (4,)), {}), ((2, (4,)), {"n_outputs": 3, "sigmoid": True})])
def test_impossible_networks_are_refused(widths: tuple[int, tuple[int]], options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"at least one node|needs one output"):
        mlp(*widths, **options)  # type: ignore[arg-type]


def test_standardised_events_have_unit_width(rng: np.random.Generator) -> None:
    values = rng.normal(50.0, 7.0, size=(400, 2))
    values[:40, 1] = -999.0
    table = EventTable.from_arrays(values, sentinel=-999.0, weights=rng.uniform(-0.2, 1.0, 400))
    layer = Standardise.of(table)
    output = layer(torch.tensor(table.network_values, dtype=torch.float32)).numpy()
    assert (output[:40, 1] == 0.0).all()
    present = output[40:, 1]
    weights = np.abs(table.weights[40:])
    mean = np.average(present, weights=weights)
    assert mean == pytest.approx(0.0, abs=1e-5)
    assert np.average((present - mean) ** 2, weights=weights) == pytest.approx(1.0, abs=1e-5)


def test_constant_feature_is_only_shifted() -> None:
    layer = Standardise.of(EventTable.from_arrays([[3.0], [3.0]]))
    assert layer(torch.tensor([[3.0], [4.0]])).tolist() == [[0.0], [1.0]]


def test_missing_value_has_no_slope_and_takes_the_fill() -> None:
    layer = Standardise([1.0], [2.0], sentinel=-999.0, fill=[5.0])
    values = torch.tensor([[-999.0], [5.0]], requires_grad=True)
    output = layer(values)
    output.sum().backward()
    assert output.tolist() == [[2.0], [2.0]]
    assert values.grad is not None
    assert values.grad.tolist() == [[0.0], [0.5]]


@pytest.mark.parametrize(
    ("mean", "scale", "rule"),
    [([0.0], [0.0], "not positive"), ([0.0, 1.0], [1.0], "one finite number"), ([np.nan], [1.0], "one finite number")],
)
def test_bad_scales_are_refused(mean: list[float], scale: list[float], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Standardise(mean, scale)
