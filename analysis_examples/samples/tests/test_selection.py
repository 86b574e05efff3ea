# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from analysis_examples.samples.selection import select_lepton_tau

MUON: dict[str, Any] = {"pt": 30.0, "eta": 0.0, "phi": 3.0, "charge": 1, "pfRelIso04_all": 0.05, "tightId": True}
ELECTRON: dict[str, Any] = {
    "pt": 30.0,
    "eta": 0.0,
    "phi": 0.0,
    "charge": 1,
    "pfRelIso03_all": 0.05,
    "mvaNoIso_WP90": True,
}
TAU: dict[str, Any] = {"pt": 30.0, "eta": 0.0, "phi": -1.0, "charge": -1}


def jagged(template: dict[str, Any], objects: list[dict[str, Any]]) -> ak.Array:
    columns = {key: [item[key] for item in objects] for key in template}
    records = ak.zip({key: np.array(values, dtype=type(template[key])) for key, values in columns.items()})
    return ak.unflatten(records, [len(objects)])


def is_selected(muons: list[dict[str, Any]], electrons: list[dict[str, Any]], taus: list[dict[str, Any]]) -> bool:
    collections = {"Muon": jagged(MUON, muons), "Electron": jagged(ELECTRON, electrons), "Tau": jagged(TAU, taus)}
    return bool(select_lepton_tau(ak.zip(collections, depth_limit=1))[0])


def test_a_muon_or_an_electron_beside_a_tau() -> None:
    assert is_selected([MUON], [], [TAU])
    assert is_selected([], [ELECTRON], [TAU])


def test_a_second_lepton_vetoes_unless_it_is_bad() -> None:
    assert not is_selected([MUON], [ELECTRON], [TAU])
    assert is_selected([MUON], [ELECTRON | {"mvaNoIso_WP90": False}], [TAU])
    assert is_selected([MUON], [ELECTRON | {"pt": 12.0}], [TAU])
    assert is_selected([MUON, MUON | {"pfRelIso04_all": 0.4}], [], [TAU])


@pytest.mark.parametrize("change", [{"pt": 25.0}, {"eta": -2.45}, {"charge": -1}, {"phi": -0.8}, {"tightId": False}])
def test_each_cut_on_the_lepton(change: dict[str, Any]) -> None:
    assert not is_selected([MUON | change], [], [TAU])


@pytest.mark.parametrize("change", [{"pt": 21.0}, {"eta": 2.4}, {"charge": 1}])
def test_each_cut_on_the_tau(change: dict[str, Any]) -> None:
    assert not is_selected([MUON], [], [TAU | change])


def test_the_distance_is_periodic() -> None:
    near_seam = {"phi": np.pi - 0.1}
    assert not is_selected([MUON | near_seam], [], [TAU | {"phi": -np.pi + 0.1}])


def test_no_candidate() -> None:
    assert not is_selected([MUON], [], [])
    assert not is_selected([], [], [TAU])
