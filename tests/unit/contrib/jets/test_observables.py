# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
import pytest
import torch
import vector

from hepfool.contrib.jets import ConstituentLayout, jet_d2, jet_mass, jet_pt
from hepfool.contrib.jets._observables import constituents, jet_axis, jet_eta, jet_phi
from hepfool.typing import FloatArray
from tests.jet_specimens import N_CONSTITUENTS, random_jets

pytestmark = pytest.mark.torch

LAYOUT = ConstituentLayout(20)
OBSERVABLES: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (jet_pt, jet_eta, jet_phi, jet_mass, jet_d2)


@pytest.fixture
def values(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(np.nan_to_num(LAYOUT.pad(random_jets(rng))))


def slow_d2(rows: FloatArray, beta: float) -> float:
    """D2 from its definition, by loops over pairs and triples."""
    z = rows[:, 0] / rows[:, 0].sum()

    def distance(i: int, j: int) -> float:
        phi = abs(rows[i, 2] - rows[j, 2])
        return float(np.hypot(rows[i, 1] - rows[j, 1], min(phi, 2 * np.pi - phi)) ** beta)

    n = range(len(rows))
    e2 = sum(z[i] * z[j] * distance(i, j) for i, j in itertools.combinations(n, 2))
    e3 = sum(
        z[i] * z[j] * z[k] * distance(i, j) * distance(j, k) * distance(i, k)
        for i, j, k in itertools.combinations(n, 3)
    )
    return float(e3 / e2**3) if e2 else 0.0


def massless(values: torch.Tensor) -> Any:
    """Four-momenta for fastjet."""
    pt, eta, phi = values.reshape(len(values), -1, 3).numpy().transpose(2, 0, 1)
    momenta = ak.zip(
        {"px": pt * np.cos(phi), "py": pt * np.sin(phi), "pz": pt * np.sinh(eta), "E": pt * np.cosh(eta)},
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )
    return ak.drop_none(ak.mask(momenta, pt > 0))


@pytest.fixture
def cluster(values: torch.Tensor) -> Any:
    """One Cambridge-Aachen jet per event that holds everything."""
    fastjet = pytest.importorskip("fastjet")
    return fastjet.ClusterSequence(massless(values), fastjet.JetDefinition(fastjet.cambridge_algorithm, 10.0))


@pytest.mark.parametrize("observable", [jet_pt, jet_eta, jet_phi, jet_mass])
def test_momentum_agrees_with_fastjet(
    values: torch.Tensor, cluster: Any, observable: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    jets = cluster.inclusive_jets()
    momenta = vector.zip({"px": jets.px, "py": jets.py, "pz": jets.pz, "E": jets.E})[:, 0]
    expected = ak.to_numpy(getattr(momenta, observable.__name__.removeprefix("jet_")))
    # A single massless particle has the mass of fastjet's rounding.
    np.testing.assert_allclose(observable(values).numpy(), expected, rtol=1e-9, atol=1e-4)
    massive = np.array(N_CONSTITUENTS) > 1
    np.testing.assert_allclose(observable(values).numpy()[massive], expected[massive], rtol=1e-9)
    single = observable(values.float()).numpy()[massive]
    np.testing.assert_allclose(single, expected[massive], rtol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_d2_agrees_with_fastjet(values: torch.Tensor, cluster: Any, beta: float) -> None:
    found = cluster.exclusive_jets_energy_correlator(njets=1, beta=beta, func="D2", normalized=False)
    expected = np.array(ak.flatten(found, axis=None))
    several = np.array(N_CONSTITUENTS) > 2
    np.testing.assert_allclose(jet_d2(values, beta).numpy()[several], expected[several], rtol=1e-9)
    np.testing.assert_allclose(jet_d2(values.float(), beta).numpy()[several], expected[several], rtol=1e-4)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 3.0])
def test_d2_agrees_with_its_definition(values: torch.Tensor, beta: float) -> None:
    rows = values.reshape(len(values), -1, 3).numpy()
    expected = [slow_d2(row[row[:, 0] > 0], beta) for row in rows]
    assert jet_d2(values, beta).tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("observable", OBSERVABLES)
@pytest.mark.parametrize("filler", [0.0, -999.0, float("nan")])
def test_empty_places_neither_count_nor_have_a_slope(
    values: torch.Tensor, observable: Callable[[torch.Tensor], torch.Tensor], filler: float
) -> None:
    empty = (values.reshape(8, -1, 3)[..., :1] == 0).expand(-1, -1, 3).reshape(values.shape)
    padded = values.masked_fill(empty, filler).requires_grad_()
    result = observable(padded)
    torch.testing.assert_close(result, observable(values), rtol=1e-12, atol=0.0)
    result.sum().backward()  # type: ignore[no-untyped-call]
    assert padded.grad is not None
    assert torch.isfinite(padded.grad).all()
    assert (padded.grad[empty] == 0).all()
    assert (padded.grad[0][~empty[0]] != 0).any()


@pytest.mark.parametrize("observable", [*OBSERVABLES, lambda values: jet_d2(values, 1.0)])
def test_slopes_are_those_of_finite_differences(
    values: torch.Tensor, observable: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    inputs = values[[0, 1]].requires_grad_()
    (slope,) = torch.autograd.grad(observable(inputs).sum(), inputs)
    for event, column in ((0, 0), (0, 4), (0, 8), (1, 0), (1, 1), (1, 2)):
        step = torch.zeros_like(values[[0, 1]])
        step[event, column] = 1e-5
        up, down = (observable(values[[0, 1]] + sign * step)[event] for sign in (1, -1))
        assert slope[event, column].item() == pytest.approx((up - down).item() / 2e-5, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("observable", OBSERVABLES)
def test_jets_of_one_or_no_constituent_are_finite(observable: Callable[[torch.Tensor], torch.Tensor]) -> None:
    values = torch.tensor([[40.0, 0.5, 1.0, 0.0, 0.0, 0.0], [0.0] * 6], requires_grad=True)
    result = observable(values)
    result.sum().backward()  # type: ignore[no-untyped-call]
    expected = {"jet_pt": 40.0, "jet_eta": 0.5, "jet_phi": 1.0}.get(observable.__name__, 0.0)
    assert result.tolist() == pytest.approx([expected, 0.0], abs=1e-6)
    assert values.grad is not None
    assert torch.isfinite(values.grad).all()


@pytest.mark.parametrize("observable", [jet_pt, jet_mass, jet_d2])
def test_a_turned_and_boosted_jet_is_the_same(
    values: torch.Tensor, observable: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    moved = values.reshape(8, -1, 3) + torch.tensor([0.0, 0.7, 4.0]) * (values.reshape(8, -1, 3)[..., :1] > 0)
    torch.testing.assert_close(observable(moved.reshape(values.shape)), observable(values), rtol=1e-9, atol=1e-9)


def test_the_axis_is_that_of_the_jet(values: torch.Tensor) -> None:
    jet = constituents(values)
    rapidity, phi = jet_axis(jet)
    momenta = ak.sum(massless(values), axis=1)
    assert (rapidity + jet.origin_eta[:, 0]).tolist() == pytest.approx(momenta.rapidity.to_list())
    difference = (phi + jet.origin_phi[:, 0] - torch.from_numpy(ak.to_numpy(momenta.phi))) / (2 * np.pi)
    assert (difference - difference.round()).tolist() == pytest.approx([0.0] * 8, abs=1e-9)


@pytest.mark.parametrize("shape", [(3, 7), (3, 0), (6,)])
@pytest.mark.parametrize("observable", OBSERVABLES)
def test_a_wrong_number_of_columns_is_refused(
    observable: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"expected \(n_events, 3 \* n_constituents\)"):
        observable(torch.zeros(shape))


def test_an_exponent_must_be_positive(values: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="beta 0 is not positive"):
        jet_d2(values, 0)


@pytest.mark.parametrize("observable", OBSERVABLES)
def test_no_events_give_no_numbers(observable: Callable[[torch.Tensor], torch.Tensor]) -> None:
    assert observable(torch.zeros(0, 6)).shape == (0,)
