# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepfool.contrib.jets import topodnn_table
from hepfool.contrib.jets._topodnn import LAYOUT, TopoDNNFrame, topodnn_features
from hepfool.typing import FloatArray
from tests.jet_specimens import N_CONSTITUENTS, random_jets


@pytest.fixture
def jets(rng: np.random.Generator) -> Any:
    return random_jets(rng)


@pytest.fixture
def values(jets: Any) -> FloatArray:
    return LAYOUT.pad(jets)


def inputs(values: FloatArray) -> FloatArray:
    return TopoDNNFrame.of(values).inputs(values)


def as_cube(values: FloatArray) -> FloatArray:
    return values.reshape(len(values), -1, 3).copy()


def all_columns(found: FloatArray) -> FloatArray:
    """Inputs with the three constant columns put back."""
    names = topodnn_features().names
    full = np.zeros((len(found), 90))
    full[:, [LAYOUT.columns.index(name) for name in names]] = found
    return as_cube(full)


def test_87_inputs_are_described() -> None:
    space = topodnn_features()
    assert len(space) == 87
    assert set(LAYOUT.columns) - set(space.names) == {"constituent_0_eta", "constituent_0_phi", "constituent_1_eta"}
    assert not space.of_kind("angle").any()
    assert space.upper[2] == np.pi


def test_a_jet_worked_out_by_hand() -> None:
    # The second constituent lies straight above the first in eta: it is turned to negative phi.
    pt, height = 10.0, 0.3
    values = np.full((1, 90), np.nan)
    values[0, :6] = [50.0, 1.0, 2.0, pt, 1.0 + height, 2.0]
    expected = [50.0, np.hypot(pt, pt * np.sinh(height)), -np.arctan(np.sinh(height))]
    assert inputs(values)[0, :3] == pytest.approx(expected)


def test_the_second_lies_below_the_first_and_most_momentum_at_positive_eta(values: FloatArray) -> None:
    found = all_columns(inputs(values))
    several = np.array(N_CONSTITUENTS) > 1
    assert (found[several, 1, 2] <= 0.0).all()
    assert (np.nansum(found[..., 0] * found[..., 1], axis=1) >= 0.0).all()


def test_angles_and_lengths_in_space_are_kept(values: FloatArray) -> None:
    before, after = as_cube(values), all_columns(inputs(values))
    before[..., 1:] -= before[:, :1, 1:]
    momenta = [
        np.stack([c[..., 0] * np.cos(c[..., 2]), c[..., 0] * np.sin(c[..., 2]), c[..., 0] * np.sinh(c[..., 1])], axis=2)
        for c in (before, after)
    ]
    products = [np.einsum("nix,njx->nij", m, m) for m in momenta]
    np.testing.assert_allclose(products[1], products[0], rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(("shift", "factor"), [((0.7, 0.0), 1.0), ((0.0, 2.5), 1.0), ((0.0, 0.0), -1.0)])
def test_boosted_turned_and_mirrored_jets_give_the_same(
    values: FloatArray, shift: tuple[float, float], factor: float
) -> None:
    cube = as_cube(values)
    cube[..., 1:] += shift
    cube[..., 1] *= factor
    cube[..., 2] = np.arctan2(np.sin(cube[..., 2]), np.cos(cube[..., 2]))
    several = np.array(N_CONSTITUENTS) > 2
    found = inputs(cube.reshape(values.shape))
    np.testing.assert_allclose(found[several], inputs(values)[several], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("angle", [0.4, 2.0, -3.0])
def test_jets_turned_around_their_hardest_constituent_give_the_same(values: FloatArray, angle: float) -> None:
    cube = as_cube(values)
    cube[..., 1:] -= cube[:, :1, 1:]
    pt, eta, phi = np.moveaxis(cube, 2, 0)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    py, pz = py * np.cos(angle) - pz * np.sin(angle), pz * np.cos(angle) + py * np.sin(angle)
    turned = np.stack([np.hypot(px, py), np.arcsinh(pz / np.hypot(px, py)), np.arctan2(py, px)], axis=2)
    # Turned jets may change order in pt; only those that do not are comparable.
    same = ~(np.diff(turned[..., 0], axis=1) > 0).any(axis=1) & (np.array(N_CONSTITUENTS) > 1)
    assert same.sum() > 1
    turned, original = turned.reshape(values.shape)[same], values[same]
    np.testing.assert_allclose(inputs(turned), inputs(original), rtol=1e-8, atol=1e-8)


def test_constituents_come_back(values: FloatArray, rng: np.random.Generator) -> None:
    frame = TopoDNNFrame.of(values)
    np.testing.assert_allclose(frame.constituents(frame.inputs(values)), values, rtol=1e-9, atol=1e-9)
    attacked = frame.inputs(values) + rng.uniform(0.0, 0.01, (8, 87))
    np.testing.assert_allclose(frame.inputs(frame.constituents(attacked)), attacked, rtol=1e-9, atol=1e-9)


def test_attacked_inputs_reach_the_jets(jets: Any, values: FloatArray) -> None:
    frame = TopoDNNFrame.of(values)
    attacked = frame.inputs(values)
    attacked[:, 0] *= 1.1
    back = LAYOUT.write_back(jets, frame.constituents(attacked))
    hardest = ak.max(jets.constituents.pt, axis=1)
    np.testing.assert_allclose(ak.to_numpy(ak.max(back.constituents.pt, axis=1) / hardest), 1.1)
    np.testing.assert_allclose(frame.inputs(LAYOUT.pad(back)), attacked, rtol=1e-9, atol=1e-9)


def test_a_table_marks_empty_places(jets: Any) -> None:
    table = topodnn_table(jets, labels=np.arange(8) % 2)
    assert table.n_features == 87
    expected = [n * 3 - min(n, 2) - 1 for n in N_CONSTITUENTS]
    assert (~table.missing).sum(axis=1).tolist() == expected
    assert (table.network_values[table.missing] == 0.0).all()


def test_a_single_constituent_is_not_turned() -> None:
    values = np.full((1, 90), np.nan)
    values[0, :3] = [50.0, 1.0, 2.0]
    assert TopoDNNFrame.of(values).angle.tolist() == [0.0]
    assert inputs(values)[0, 0] == 50.0


def test_impossible_jets_are_refused(values: FloatArray) -> None:
    frame = TopoDNNFrame.of(values)
    for shape, call in (((8, 60), TopoDNNFrame.of), ((8, 60), frame.inputs), ((8, 90), frame.constituents)):
        with pytest.raises(ValueError, match=rf"values have shape \({shape[0]}, {shape[1]}\), expected"):
            call(np.ones(shape))
    for column, bad, rule in (
        (0, np.nan, "no constituent"),
        (1, np.inf, "is inf"),
        (1, np.nan, "is nan"),
        (3, 1e6, "falling"),
    ):
        broken = values.copy()
        broken[3, column] = bad
        with pytest.raises(ValueError, match=rule):
            TopoDNNFrame.of(broken)
