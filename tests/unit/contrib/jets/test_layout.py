# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
import vector

from hepfool.contrib.jets import ConstituentLayout
from hepfool.events import EventTable
from tests.jet_specimens import N_CONSTITUENTS, random_jets, summed

LAYOUT = ConstituentLayout(6)
FIELDS = ("pt", "eta", "phi", "mass")


@pytest.fixture
def jets(rng: np.random.Generator) -> Any:
    return random_jets(rng)


def shaken(values: Any, rng: np.random.Generator) -> Any:
    """Values moved by up to 10 % in pt and 0.05 in eta and phi, angles wrapped."""
    cube = values.reshape(len(values), -1, 3).copy()
    cube[..., 0] *= rng.uniform(0.9, 1.1, cube.shape[:2])
    cube[..., 1:] += rng.uniform(-0.05, 0.05, (*cube.shape[:2], 2))
    cube[..., 2] = np.arctan2(np.sin(cube[..., 2]), np.cos(cube[..., 2]))
    return cube.reshape(values.shape)


def test_the_hardest_come_first_and_the_rest_is_missing(jets: Any) -> None:
    values = LAYOUT.pad(jets).reshape(len(jets), 6, 3)
    assert set(ak.num(jets.constituents) > 6) == {False, True}
    for row, jet in zip(values, jets.constituents.to_list(), strict=True):
        hardest = sorted(jet, key=lambda c: -c["pt"])[:6]
        assert row[: len(hardest)].tolist() == [[c["pt"], c["eta"], c["phi"]] for c in hardest]
        assert np.isnan(row[len(hardest) :]).all()


def test_columns_and_features_agree() -> None:
    space = LAYOUT.feature_space()
    assert space.names == LAYOUT.columns
    assert len(space) == LAYOUT.n_features == 18
    assert space.lower[:3].tolist() == [0.0, -np.inf, -np.pi]
    assert space.of_kind("angle").tolist() == [False, False, True] * 6


def test_a_table_keeps_true_zeros_and_marks_empty_places(jets: Any) -> None:
    jets["constituents", "eta"] = ak.zeros_like(jets.constituents.eta)
    table = LAYOUT.table(jets, labels=np.arange(8) % 2, weights=np.full(8, 0.5))
    assert table.missing.sum() == 3 * sum(max(6 - n, 0) for n in N_CONSTITUENTS)
    assert (table.network_values[table.missing] == 0.0).all()
    assert table.labels.tolist() == [0, 1] * 4
    assert table.weights.sum() == 4.0


def test_an_angle_that_a_float_rounds_beyond_its_range_is_wrapped() -> None:
    jets = ak.Array([{"constituents": [{"pt": 5.0, "eta": 0.0, "phi": np.float32(np.pi)}]}])
    jets["constituents"] = ak.values_astype(jets.constituents, np.float32)
    (phi,) = ConstituentLayout(1).table(jets).column("constituent_0_phi")
    assert abs(phi) <= np.pi
    assert np.cos(phi) == pytest.approx(-1.0)


def test_an_angle_that_was_wrapped_comes_back_as_it_was(jets: Any) -> None:
    jets["constituents", "phi"] = ak.full_like(jets.constituents.phi, float(np.float32(np.pi)))
    values = LAYOUT.pad(jets)
    values[:, 0] *= 1.1
    back = LAYOUT.write_back(jets, values)
    assert ak.all(back.constituents.phi == jets.constituents.phi)


def test_unmoved_jets_come_back_to_the_last_bit(jets: Any) -> None:
    for dtype in (np.float64, np.float32):
        typed = ak.values_astype(jets, dtype)
        back = LAYOUT.write_back(typed, LAYOUT.pad(typed))
        assert back.type == typed.type
        assert ak.almost_equal(back, typed, rtol=0.0, atol=0.0)


def test_attacked_columns_come_back_and_the_jet_is_their_sum(jets: Any, rng: np.random.Generator) -> None:
    values = shaken(LAYOUT.pad(jets), rng)
    back = LAYOUT.write_back(jets, values)
    for name, expected in summed(back.constituents).items():
        np.testing.assert_allclose(ak.to_numpy(back[name]), ak.to_numpy(expected), rtol=1e-9, atol=2e-5)
    # Compared as sets: pad orders by the new pt.
    again = LAYOUT.pad(back).reshape(8, 6, 3)
    wanted = values.reshape(8, 6, 3)
    for row, expected_row, n in zip(again, wanted, N_CONSTITUENTS, strict=True):
        if n <= 6:
            np.testing.assert_allclose(sorted(row[:n].tolist()), sorted(expected_row[:n].tolist()))
    assert ak.all(back.constituents.pdgId == jets.constituents.pdgId)
    assert ak.all(back.constituents.mass == jets.constituents.mass)
    assert ak.all(back.btag == jets.btag)
    assert not ak.any(back.pt == jets.pt)


def test_only_the_moved_jet_and_its_hardest_constituents_change(jets: Any) -> None:
    values = LAYOUT.pad(jets)
    values[0, 0] *= 1.1
    back = LAYOUT.write_back(jets, values)
    assert (back.pt != jets.pt).to_list() == [True] + [False] * 7
    changed = back.constituents.pt != jets.constituents.pt
    assert ak.sum(changed, axis=1).to_list() == [1] + [0] * 7
    assert ak.argmax(jets.constituents.pt[0]) == ak.argmax(changed[0])


def test_a_calibrated_jet_keeps_its_calibration(jets: Any) -> None:
    calibrated = ak.with_field(jets, jets.pt * 1.05, "pt")
    values = LAYOUT.pad(calibrated)
    values[0, 0] += 1e-6
    back = LAYOUT.write_back(calibrated, values)
    assert ak.to_numpy(back.pt) == pytest.approx(ak.to_numpy(calibrated.pt), rel=1e-6)


def test_behaviours_of_vector_survive(jets: Any, rng: np.random.Generator) -> None:
    vector.register_awkward()
    named = ak.with_name(jets, "Momentum4D")
    named["constituents"] = ak.with_name(jets.constituents, "Momentum4D")
    back = LAYOUT.write_back(named, shaken(LAYOUT.pad(named), rng))
    total = ak.sum(back.constituents, axis=1)
    assert ak.to_numpy(total.mass) == pytest.approx(ak.to_numpy(back.mass), abs=2e-5)
    assert ak.to_numpy((back + back).pt) == pytest.approx(2.0 * ak.to_numpy(back.pt))


def test_zeros_of_a_network_stay_empty(jets: Any) -> None:
    values = np.nan_to_num(LAYOUT.pad(jets))
    assert ak.num(LAYOUT.write_back(jets, values).constituents).to_list() == list(N_CONSTITUENTS)


def test_no_jets_are_fine(jets: Any) -> None:
    none = jets[:0]
    assert LAYOUT.pad(none).shape == (0, 18)
    assert len(LAYOUT.write_back(none, np.zeros((0, 18)))) == 0
    assert isinstance(LAYOUT.table(none), EventTable)


@pytest.mark.parametrize(
    ("field", "bad"), [("pt", np.nan), ("pt", -1.0), ("pt", np.inf), ("eta", np.inf), ("phi", np.nan)]
)
def test_impossible_constituents_are_refused(jets: Any, field: str, bad: float) -> None:
    flat = ak.to_numpy(ak.flatten(jets.constituents[field])).copy()
    flat[13] = bad
    jets["constituents", field] = ak.unflatten(flat, list(N_CONSTITUENTS))
    with pytest.raises(ValueError, match=f"1 constituents have a {field}.*first {bad} in event 1; drop or repair"):
        LAYOUT.pad(jets)


def test_jets_without_constituents_are_refused() -> None:
    jets = ak.Array([{"constituents": [{"pt": 1.0, "eta": 0.0, "phi": 0.0}]}, {"constituents": []}])
    with pytest.raises(ValueError, match="1 jets have no constituent with a momentum, first in event 1; select"):
        LAYOUT.pad(jets)


def test_absent_fields_are_named(jets: Any) -> None:
    with pytest.raises(ValueError, match="a jet needs the field constituents, there are: pt, eta, phi, mass, btag"):
        LAYOUT.pad(ak.without_field(jets, "constituents"))
    with pytest.raises(ValueError, match="a jet needs the field mass"):
        LAYOUT.write_back(ak.without_field(jets, "mass"), LAYOUT.pad(jets))
    jets["constituents"] = ak.without_field(jets.constituents, "phi")
    with pytest.raises(ValueError, match="a constituent needs the field phi"):
        LAYOUT.pad(jets)


def test_impossible_values_are_not_written_back(jets: Any) -> None:
    nominal = LAYOUT.pad(jets)
    with pytest.raises(ValueError, match=r"values have shape \(8, 15\), the jets \(8, 18\)"):
        LAYOUT.write_back(jets, nominal[:, :15])
    for column, bad, rule in ((0, -1.0, "negative pt"), (1, np.nan, "not finite"), (15, 3.0, "fill an empty place")):
        values = nominal.copy()
        values[1, column] = bad
        with pytest.raises(ValueError, match=rf"1 values .*{rule}.* in event 1"):
            LAYOUT.write_back(jets, values)


def test_a_layout_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="n_constituents 0 is below 1"):
        ConstituentLayout(0)
