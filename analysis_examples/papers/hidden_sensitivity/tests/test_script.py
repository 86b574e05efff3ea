# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepfool.contrib.jets import ConstituentLayout
from hepfool.events import Envelope, EventTable
from hepfool.features import Derived, Feature, FeatureSpace
from tests.jet_specimens import random_jets

pytestmark = pytest.mark.torch
SCRIPT = Path(__file__).parents[1] / "hidden_sensitivity.py"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the script defines."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def jets(rng: np.random.Generator) -> EventTable:
    constituents = ak.concatenate([random_jets(rng) for _ in range(5)])
    return ConstituentLayout(20).table(constituents, labels=np.arange(40) % 2)


def test_constituents_have_the_stated_uncertainties(names: dict[str, Any], jets: EventTable) -> None:
    envelope = names["constituent_envelope"](jets)
    width = (envelope.upper - envelope.lower)[~jets.missing] / 2
    expected = np.where(np.arange(60) % 3 == 0, 0.02 * jets.values, 0.005)[~jets.missing]
    np.testing.assert_allclose(width, expected, rtol=1e-9)


def test_variations_are_those_of_each_input_and_of_the_analysis(names: dict[str, Any], jets: EventTable) -> None:
    envelope = names["constituent_envelope"](jets)
    momenta = list(jets.features.names[::3])
    varied = names["with_variations"](jets, envelope, all_pt=momenta).shape_variations
    assert len(varied) == 2 * 61
    np.testing.assert_array_equal(varied["all_pt_up"][:, 1::3], jets.values[:, 1::3])
    np.testing.assert_array_equal(varied["all_pt_up"][:, 3], varied["constituent_1_pt_up"][:, 3])
    again = names["with_variations"](EventTable.from_arrays(jets.values, features=jets.features), envelope)
    assert len(again.shape_variations) == 2 * 60


def test_derived_inputs_may_go_where_the_variations_take_them(names: dict[str, Any]) -> None:
    features = FeatureSpace(
        [Feature(name="x"), Feature(name="y"), Feature(name="r", derived=Derived.by("hypot(x, y)"))]
    )
    values = np.array([[1.0, 0.5, np.hypot(1.0, 0.5)]])
    table = EventTable.from_arrays(values, features=features, labels=[1])
    envelope = Envelope(np.array([[-1.0, 0.4, 0.9]]), np.array([[3.0, 0.6, 3.1]]))
    # Between the ends of x, which are both further away than its middle.
    varied = {"x_up": np.array([[0.0, 0.5, 0.5]]), "y_up": np.array([[1.0, 0.6, np.hypot(1.0, 0.6)]])}
    covering = names["covering"](envelope, replace(table, shape_variations=varied))
    np.testing.assert_array_equal(covering.lower, [[-1.0, 0.4, 0.5]])
    np.testing.assert_array_equal(covering.upper, envelope.upper)


def test_trees_answer_as_their_library_does(names: dict[str, Any], rng: np.random.Generator) -> None:
    table = EventTable.from_arrays(rng.normal(size=(200, 3)), labels=np.arange(200) % 2)
    first, again, other = (names["train_trees"](table, table, seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert hasattr(first, "margin_profile")


@pytest.mark.slow
def test_the_study_goes_from_events_to_its_figure(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    command = [sys.executable, str(SCRIPT), "--quick", "-o", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert len(list((tmp_path / "trainings").glob("sensitivity-*"))) == 14
    assert (tmp_path / "hidden_sensitivity.png").stat().st_size > 10_000
    assert (tmp_path / "hidden_sensitivity.pdf").exists()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    assert [row[1] for row in rows if row[3] == "fooled"] == [
        "MLP",
        "PFN",
        "Attention",
        "Trees",
        "MLP",
        "Attention",
        "Trees",
    ]
    assert "– PFN, H → ττ: the inputs are quantities of the event" in printed
