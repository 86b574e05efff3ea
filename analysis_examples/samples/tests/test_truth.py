# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Sequence

import awkward as ak
import numpy as np
import pytest

from analysis_examples.samples.truth import charge_of, cluster_jets, four_momenta, hadronic_taus, heavy_hadrons

FIELDS = ("id", "status", "daughter1", "daughter2", "px", "py", "pz", "e")


def record(*events: Sequence[tuple[float, ...]]) -> ak.Array:
    """Event records from rows of ``FIELDS``."""
    counts = [len(event) for event in events]
    rows = np.array([row for event in events for row in event], dtype=float).reshape(-1, len(FIELDS))
    columns = dict(zip(FIELDS, rows.T, strict=True))
    momentum = ak.zip({key: columns.pop(key) for key in ("px", "py", "pz", "e")})
    particles = ak.zip(
        {**{key: values.astype(np.int32) for key, values in columns.items()}, "p": momentum}, depth_limit=1
    )
    return ak.unflatten(particles, counts)


SYSTEM = (90, -11, 0, 0, 0, 0, 0, 13_000)
# tau- radiates, then decays to a pion, two neutral pions and its neutrino.
RADIATING = [
    SYSTEM,
    (15, -23, 2, 3, 60, 0, 0, 60.1),
    (15, -51, 4, 7, 50, 0, 0, 50.1),
    (22, 51, 0, 0, 10, 0, 0, 10),
    (16, 91, 0, 0, 20, 0, 0, 20),
    (-211, 91, 0, 0, 10, 0, 0, 10.1),
    (111, -91, 0, 0, 10, 0, 0, 10),
    (111, -91, 0, 0, 10, 0, 0, 10),
]
LEPTONIC = [
    SYSTEM,
    (-15, -2, 2, 4, 40, 0, 0, 40.1),
    (-16, 91, 0, 0, 10, 0, 0, 10),
    (-13, 91, 0, 0, 20, 0, 0, 20),
    (14, 91, 0, 0, 10, 0, 0, 10),
]
THREE_PRONG = [
    SYSTEM,
    (-15, -2, 2, 5, 0, 40, 0, 40.1),
    (-16, 91, 0, 0, 0, 10, 0, 10),
    (211, 91, 0, 0, 0, 10, 0, 10),
    (211, 91, 0, 0, 0, 10, 0, 10),
    (-211, 91, 0, 0, 0, 10, 0, 10),
]


def test_only_the_last_copy_of_a_hadronic_tau_counts() -> None:
    taus = hadronic_taus(record(RADIATING, LEPTONIC, THREE_PRONG))
    assert ak.num(taus).to_list() == [1, 0, 1]
    assert taus.pt.to_list() == [[pytest.approx(30.0)], [], [pytest.approx(30.0)]]


def test_decay_mode_and_charge() -> None:
    taus = hadronic_taus(record(RADIATING, LEPTONIC, THREE_PRONG))
    assert taus.decayMode.to_list() == [[1], [], [10]]
    assert taus.charge.to_list() == [[-1], [], [1]]


def test_an_event_without_taus() -> None:
    assert ak.num(hadronic_taus(record([SYSTEM], RADIATING))).to_list() == [0, 1]


def test_charges_of_stable_particles() -> None:
    numbers = ak.Array([11, -13, 211, -321, 2212, 22, 130, 3112, -3222])
    assert charge_of(numbers).to_list() == [-1, 1, 1, -1, 1, 0, 0, -1, -1]


def test_heavy_hadrons_by_quark_content() -> None:
    particles = record([
        (521, -83, 0, 0, 20, 0, 0, 21),  # B+
        (5122, -83, 0, 0, 20, 0, 0, 21),  # Lambda_b
        (-411, -83, 0, 0, 20, 0, 0, 21),  # D-
        (511, -83, 0, 0, 3, 0, 0, 6),  # too soft
        (5, -62, 0, 0, 50, 0, 0, 50),  # a quark
        (211, 83, 0, 0, 50, 0, 0, 50),
    ])  # fmt: skip
    assert heavy_hadrons(particles).flavour.to_list() == [[5, 5, 4]]


def test_momenta_in_collider_coordinates() -> None:
    momentum = four_momenta(ak.zip({"px": [3.0], "py": [4.0], "pz": [0.0], "e": [13.0]}))
    assert momentum.to_list() == [{"pt": 5.0, "eta": 0.0, "phi": pytest.approx(np.arctan2(4, 3)), "mass": 12.0}]


def test_jets_and_their_charge() -> None:
    pytest.importorskip("fastjet")
    momentum = ak.zip({
        "px": [[30.0, 10.0, -50.0], [20.0]],
        "py": [[0.0, 1.0, 0.0], [0.0]],
        "pz": [[0.0, 0.0, 0.0], [0.0]],
        "e": [[30.0, 10.1, 50.0], [20.0]],
    })  # fmt: skip
    jets = cluster_jets(momentum, ak.Array([[-1, 1, 1], [0]]))
    jets = jets[ak.argsort(jets.pt, ascending=False)]
    assert jets.pt.to_list() == [[pytest.approx(50.0), pytest.approx(np.hypot(40.0, 1.0))], [pytest.approx(20.0)]]
    assert jets.charge.to_list() == [[1, -1], [1]]
