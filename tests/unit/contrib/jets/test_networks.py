# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hepfool.contrib.jets import ConstituentLayout, ConstituentSum, high_level_jets, jet_d2, jet_mass, jet_pt
from hepfool.contrib.jets._networks import JET_NETWORKS, JetObservables
from hepfool.contrib.jets._observables import jet_eta
from hepfool.events import EventTable
from hepfool.models import TorchClassifier, export_program, load_torch, save_state
from hepfool.training import TrainingSettings, fit
from tests.jet_specimens import random_jets

pytestmark = pytest.mark.torch

LAYOUT = ConstituentLayout(20)


@pytest.fixture
def table(rng: np.random.Generator) -> EventTable:
    return LAYOUT.table(random_jets(rng), labels=np.arange(8) % 2, weights=np.arange(1.0, 9.0))


@pytest.fixture(params=sorted(JET_NETWORKS))
def network(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return JET_NETWORKS[request.param](20).double().eval()


def test_sizes_are_those_of_the_paper() -> None:
    layers = {
        name: [m.out_features for m in build().modules() if isinstance(m, nn.Linear)]
        for name, build in JET_NETWORKS.items()
    }
    assert layers == {
        "high_level_jets": [384, 384, 384, 1],
        "particle_flow_jets": [256, 256, 64, 256, 256, 256, 1],
    }


def test_the_order_of_the_constituents_does_not_matter(
    network: nn.Module, table: EventTable, rng: np.random.Generator
) -> None:
    values = torch.tensor(table.network_values)
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(20), (8, 1)), axis=1))
    mixed = values.reshape(8, 20, 3).gather(1, order[..., None].expand(-1, -1, 3)).reshape(8, 60)
    assert not torch.equal(mixed, values)
    torch.testing.assert_close(network(mixed), network(values), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("filler", [0.0, -999.0, float("nan")])
def test_empty_places_do_not_matter(network: nn.Module, table: EventTable, filler: float) -> None:
    values = torch.tensor(table.network_values)
    expected = network(values)
    padded = values.masked_fill(torch.tensor(table.missing), filler).requires_grad_()
    found = network(padded)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0.0)
    found.sum().backward()
    assert padded.grad is not None
    assert (padded.grad[torch.tensor(table.missing)] == 0).all()
    assert torch.isfinite(padded.grad).all()
    assert (padded.grad != 0).any(dim=1).all()


def test_more_places_give_the_same_answer(network: nn.Module, table: EventTable) -> None:
    wider = [type(m)(25) if isinstance(m, JetObservables | ConstituentSum) else m for m in network.modules()]
    (first,) = [m for m in wider if isinstance(m, JetObservables | ConstituentSum)]
    (narrow,) = [m for m in network.modules() if isinstance(m, JetObservables | ConstituentSum)]
    first.double().load_state_dict(narrow.state_dict())
    values = torch.tensor(table.network_values)
    torch.testing.assert_close(first(nn.functional.pad(values, (0, 15))), narrow(values), rtol=1e-9, atol=1e-9)


def test_a_jet_moved_as_a_whole_looks_the_same_to_the_particle_flow(table: EventTable) -> None:
    network = JET_NETWORKS["particle_flow_jets"](20).double()
    cube = torch.tensor(table.network_values).reshape(8, 20, 3)
    moved = cube + torch.tensor([0.0, 0.4, 2.5]) * (cube[..., :1] > 0)
    torch.testing.assert_close(network(moved.reshape(8, 60)), network(cube.reshape(8, 60)), rtol=1e-8, atol=1e-8)


def test_constituents_enter_relative_to_the_axis(table: EventTable) -> None:
    layer = ConstituentSum(20, (4,), pt_scale=10.0).double()
    layer.phi = nn.Sequential(nn.Identity())
    summed = layer(torch.tensor(table.network_values)).numpy()
    for row, found in zip(table.network_values.reshape(8, 20, 3), summed, strict=True):
        pt, eta, phi = row[row[:, 0] > 0].T
        total = [(pt * part).sum() for part in (np.cosh(eta), np.sinh(eta), np.cos(phi), np.sin(phi))]
        relative = phi - np.arctan2(total[3], total[2])
        relative -= 2.0 * np.pi * np.round(relative / (2.0 * np.pi))
        expected = [pt.sum() / 10.0, (eta - np.arctanh(total[1] / total[0])).sum(), relative.sum()]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_first_layer_computes_the_observables(table: EventTable) -> None:
    values = torch.tensor(table.network_values)
    expected = torch.stack([jet_pt(values), jet_eta(values), jet_mass(values), jet_d2(values)], dim=1)
    assert torch.equal(JetObservables(20)(values), expected)


def test_observables_are_standardised(table: EventTable) -> None:
    layer = JetObservables(20)
    scaled = layer.standardise(table)(layer(torch.tensor(table.network_values)))
    mean = np.average(scaled.numpy(), axis=0, weights=table.weights)
    assert mean == pytest.approx([0.0] * 4, abs=1e-5)
    assert np.average((scaled.numpy() - mean) ** 2, axis=0, weights=table.weights) == pytest.approx([1.0] * 4, rel=1e-4)
    assert "standardise" not in str(high_level_jets(20, standardise=layer.standardise(table)).state_dict().keys())


def test_classifiers_find_the_width_and_come_back_from_a_file(tmp_path: Path) -> None:
    assert set(JET_NETWORKS) == {"high_level_jets", "particle_flow_jets"}
    for name, build in JET_NETWORKS.items():
        classifier = TorchClassifier(build(sigmoid=True), output="probability")
        assert classifier.n_features == 192
        save_state(classifier, tmp_path / f"{name}.pt")
        again = load_torch(tmp_path / f"{name}.pt", network=name)
        values = np.random.default_rng(2).uniform(0.1, 1.0, (3, 192))
        np.testing.assert_array_equal(again.scores(values), classifier.scores(values))


@pytest.mark.parametrize("name", sorted(JET_NETWORKS))
def test_exported_programs_have_the_same_scores_and_slopes(tmp_path: Path, name: str, rng: np.random.Generator) -> None:
    classifier = TorchClassifier(JET_NETWORKS[name](5))
    export_program(classifier, tmp_path / "network.pt2")
    again = load_torch(tmp_path / "network.pt2")
    values, labels = rng.uniform(0.1, 1.0, (7, 15)), np.ones(7, dtype=np.int64)
    for found, expected in zip(
        again.margin_and_gradient(values, labels), classifier.margin_and_gradient(values, labels), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", sorted(JET_NETWORKS))
def test_they_learn_two_prongs_from_one(rng: np.random.Generator, name: str) -> None:
    table = prongs(rng)
    train, test = table.select(np.arange(400)), table.select(np.arange(400, 600))
    settings = TrainingSettings(max_epochs=12, batch_size=100, learning_rate=3e-3)
    kwargs = {"standardise": JetObservables(6).standardise(train)} if name == "high_level_jets" else {"pt_scale": 100.0}
    result = fit(lambda: JET_NETWORKS[name](6, **kwargs), train, test, seed=1, settings=settings)
    assert result.validation_auroc > 0.95


def prongs(rng: np.random.Generator) -> EventTable:
    """Jets of five constituents around one axis, or around two 0.6 apart."""
    labels = np.arange(600) % 2
    side = rng.integers(0, 2, (600, 5)) * labels[:, None] * 0.6
    pt = rng.uniform(20.0, 40.0, (600, 5))
    eta, phi = rng.normal(0.0, 0.12, (2, 600, 5)) + np.stack([side, np.zeros_like(side)])
    cube = np.full((600, 6, 3), np.nan)
    cube[:, :5] = np.stack([pt, eta, phi], axis=2)
    layout = ConstituentLayout(6)
    return EventTable.from_arrays(cube.reshape(600, 18), labels=labels, features=layout.feature_space())


@pytest.mark.parametrize("name", sorted(JET_NETWORKS))
def test_wrong_widths_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"values have shape \(2, 6\), expected \(n_events, 9\)"):
        JET_NETWORKS[name](3)(torch.ones(2, 6))
    with pytest.raises(ValueError, match="n_constituents 0 is below 1"):
        JET_NETWORKS[name](0)


@pytest.mark.parametrize(("widths", "scale"), [((), 1.0), ((4, 0), 1.0), ((4,), 0.0)])
def test_impossible_sums_are_refused(widths: tuple[int, ...], scale: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        ConstituentSum(3, widths, pt_scale=scale)
