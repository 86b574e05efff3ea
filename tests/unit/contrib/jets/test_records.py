# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepfool.contrib.jets import ConstituentLayout, leading_jets, with_leading_jets
from tests.jet_specimens import random_jets

LAYOUT = ConstituentLayout(4)
LEADING = (0, 2, 1, 0)


@pytest.fixture
def events(rng: np.random.Generator) -> Any:
    """Four events of one to three jets, constituents of all jets mixed."""
    jets = random_jets(rng)
    number = np.array([2, 3, 2, 1])
    index = np.concatenate([np.arange(n) for n in number])
    candidates = ak.flatten(ak.with_field(jets.constituents, index, "jetIdx"))
    per_jet = ak.to_numpy(ak.num(jets.constituents))
    per_event = np.add.reduceat(per_jet, np.cumsum(number) - number)
    candidates = ak.unflatten(candidates, per_event)
    candidates = candidates[ak.argsort(candidates.eta, axis=1)]
    pt = np.where(index == np.repeat(LEADING, number), 900.0 + np.arange(8), 100.0)
    collection = ak.unflatten(ak.with_field(ak.without_field(jets, "constituents"), pt, "pt"), number)
    return ak.zip({"FatJet": collection, "FatJetPFCands": candidates, "run": np.ones(4)}, depth_limit=1)


def test_the_leading_jet_gets_its_constituents(events: Any) -> None:
    leading = leading_jets(events)
    assert (leading.pt >= 900.0).to_list() == [True] * 4
    for event, index, jet in zip(events, LEADING, leading, strict=True):
        expected = [c.to_list() for c in event.FatJetPFCands if c.jetIdx == index]
        assert jet.constituents.to_list() == expected


def test_an_analysis_runs_unchanged_on_attacked_events(events: Any) -> None:
    leading = leading_jets(events)
    values = LAYOUT.pad(leading)
    values[:, 0] *= 1.2
    attacked = with_leading_jets(events, LAYOUT.write_back(leading, values))
    assert attacked.type == events.type
    changed = attacked.FatJet.pt != events.FatJet.pt
    assert changed.to_list() == [[i == LEADING[n] for i in range(len(jets))] for n, jets in enumerate(events.FatJet)]
    moved = attacked.FatJetPFCands.pt != events.FatJetPFCands.pt
    assert ak.sum(moved, axis=1).to_list() == [1] * 4
    assert ak.to_numpy((attacked.FatJetPFCands.pt / events.FatJetPFCands.pt)[moved][:, 0]) == pytest.approx(1.2)
    assert ak.all(attacked.FatJetPFCands.jetIdx[moved][:, 0] == np.array(LEADING))
    assert ak.all(attacked.FatJetPFCands.pdgId == events.FatJetPFCands.pdgId)
    assert ak.to_list(leading_jets(attacked).constituents) == ak.to_list(
        LAYOUT.write_back(leading, values).constituents
    )


def test_unattacked_events_come_back_to_the_last_bit(events: Any) -> None:
    back = with_leading_jets(events, leading_jets(events))
    assert back.type == events.type
    assert back.to_list() == events.to_list()


def test_events_that_do_not_fit_are_refused(events: Any) -> None:
    leading = leading_jets(events)
    with pytest.raises(ValueError, match="no collection Jet in the events"):
        leading_jets(events, jets="Jet")
    with pytest.raises(ValueError, match="3 jets do not belong to these 4 events"):
        with_leading_jets(events, leading[:3])
    with pytest.raises(ValueError, match="4 jets do not belong to these 4 events"):
        with_leading_jets(events, leading[::-1])
    events["FatJetPFCands"] = ak.without_field(events.FatJetPFCands, "jetIdx")
    with pytest.raises(ValueError, match="FatJetPFCands has no field jetIdx"):
        leading_jets(events)
    events["FatJet"] = events.FatJet[[[0, 1], [], [0], [0]]]
    events["FatJetPFCands", "jetIdx"] = ak.zeros_like(events.FatJetPFCands.pt)
    with pytest.raises(ValueError, match="1 events have no FatJet, first event 1"):
        leading_jets(events)
