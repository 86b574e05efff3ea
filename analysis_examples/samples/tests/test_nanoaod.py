# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

from analysis_examples.samples.nanoaod import RunSummary, round_collections, rounded, write_nanoaod


def momenta(pt: list[list[float]], **fields: float) -> ak.Array:
    jagged = ak.Array(pt)
    more = {name: jagged * 0 + value for name, value in fields.items()}
    return ak.zip({"pt": jagged, "eta": jagged * 0, "phi": jagged * 0, "mass": jagged * 0, **more})


@pytest.fixture
def events() -> ak.Array:
    tau = momenta([[40.0], [50.0], [60.0]])
    tau = ak.with_field(tau, np.pi, "phi")
    return ak.zip(
        {
            "Muon": momenta([[40.0], [], [60.0, 20.0]], charge=-1),
            "Tau": ak.with_field(tau, ak.Array(np.array([[1], [-1], [1]], dtype=np.int32)), "charge"),
            "PuppiMET": ak.Array({"pt": [10.0, 20.0, 1 / 3], "phi": [0.0, 1.0, 2.0]}),
            "genWeight": np.array([0.5, 0.5, 1.5], dtype=np.float32),
        },
        depth_limit=1,
    )


def read(path: Path, mode: str) -> ak.Array:
    return NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=NanoAODSchema, mode=mode).events()


@pytest.mark.parametrize("mode", ["eager", "virtual"])
def test_coffea_reads_what_was_written(tmp_path: Path, events: ak.Array, mode: str) -> None:
    path = tmp_path / "sample.root"
    write_nanoaod(path, round_collections(events), summary=RunSummary(run=1, n_generated=9, sum_weights=9.0))
    read_back = read(path, mode)
    assert read_back.Muon.pt.to_list() == [[40.0], [], [60.0, 20.0]]
    assert read_back.Tau.charge.to_list() == [[1], [-1], [1]]
    assert read_back.genWeight.to_list() == [0.5, 0.5, 1.5]
    assert read_back.event.to_list() == [1, 2, 3]
    assert ak.all(read_back.run == 1)
    with_muon = read_back[ak.num(read_back.Muon) > 0]
    mass = (with_muon.Muon[:, 0] + with_muon.Tau[:, 0]).mass
    assert mass.to_list() == pytest.approx([80.0, 120.0], rel=1e-5)


def test_runs_hold_the_normalisation(tmp_path: Path, events: ak.Array) -> None:
    path = tmp_path / "sample.root"
    write_nanoaod(path, events, summary=RunSummary(run=7, n_generated=90, sum_weights=91.5))
    with uproot.open(path) as file:
        assert file["Events"].num_entries == 3
        runs = file["Runs"].arrays(library="np")
    assert {name: values.tolist() for name, values in runs.items()} == {
        "run": [7],
        "genEventCount": [90],
        "genEventSumw": [91.5],
    }


def test_data_have_no_normalisation(tmp_path: Path, events: ak.Array) -> None:
    path = tmp_path / "data.root"
    write_nanoaod(path, ak.without_field(events, "genWeight"), summary=RunSummary(run=2))
    with uproot.open(path) as file:
        assert file["Runs"].keys() == ["run"]
        assert "genWeight" not in file["Events"].keys()  # noqa: SIM118 (a tree is no dictionary)


def test_rounding_is_small_and_final(rng: np.random.Generator) -> None:
    values = ak.unflatten(rng.lognormal(3.0, 2.0, 1000), np.full(500, 2))
    once = rounded(values, 12)
    flat, original = ak.to_numpy(ak.flatten(once)), ak.to_numpy(ak.flatten(values))
    assert flat.dtype == np.float32
    assert np.abs(flat / original - 1.0).max() <= 2.0**-13 * (1 + 1e-6)
    assert np.array_equal(flat, ak.to_numpy(ak.flatten(rounded(once, 12))))


def test_rounding_clears_the_low_bits(rng: np.random.Generator) -> None:
    bits = ak.to_numpy(rounded(ak.Array(rng.normal(size=1000)), 10)).view(np.uint32)
    assert np.all(bits & ((1 << 13) - 1) == 0)


def test_rounding_leaves_integers_and_single_numbers(events: ak.Array) -> None:
    weights = ak.with_field(events, np.array([0.1, 0.2, 0.3], dtype=np.float32), "genWeight")
    result = round_collections(weights)
    assert result.Tau.charge.type == weights.Tau.charge.type
    assert result.genWeight.to_list() == weights.genWeight.to_list()
    assert result.PuppiMET.pt.to_list() != weights.PuppiMET.pt.to_list()


@pytest.mark.parametrize("bits", [0, 24])
def test_only_possible_mantissas(bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits {bits} is not in"):
        rounded(ak.Array([1.0]), bits)


def test_runs_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="run 0"):
        RunSummary(run=0)
