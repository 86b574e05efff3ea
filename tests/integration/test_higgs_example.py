# SPDX-License-Identifier: BSD-3-Clause
"""The study of the file of the ATLAS Higgs challenge, and its division into simulation and pseudo-data."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hepfool.study.sources import read_events

FOLDER = Path(__file__).parents[2] / "analysis_examples" / "higgs_challenge"
FILE = "higgsml2014/atlas-higgs-challenge-2014-v2-first22889.csv.gz"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "report.py"))


@pytest.fixture(scope="module")
def prepared(test_data: Path, script: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("higgs")
    script["prepare"](test_data / FILE, folder)
    return folder


def test_pseudo_data_are_other_events_with_the_composition_of_the_simulation(test_data: Path, prepared: Path) -> None:
    simulation, data = (pd.read_parquet(prepared / f"{name}.parquet") for name in ("simulation", "pseudodata"))
    assert "Label" not in data
    events = pd.read_csv(test_data / FILE)
    # No two events of the file are alike, so that values say which event it was.
    keys = ["PRI_tau_pt", "PRI_lep_pt", "PRI_lep_phi", "PRI_met"]
    assert not set(map(tuple, data[keys].to_numpy())) & set(map(tuple, simulation[keys].to_numpy()))
    assert len(simulation) == len(events) - len(events[::3])
    expected, error = simulation["weight"].sum(), np.sqrt((simulation["weight"] ** 2).sum() + len(data))
    assert abs(len(data) - expected) < 3.0 * error
    for name in ("PRI_tau_pt", "PRI_met"):
        mean = np.average(simulation[name], weights=simulation["weight"])
        assert abs(data[name].mean() - mean) < 4.0 * data[name].std() / np.sqrt(len(data))


@pytest.mark.parametrize("quick", [True, False])
def test_the_report_is_a_study_of_consistent_events(quick: bool, prepared: Path, script: dict[str, Any]) -> None:
    study = script["configuration"](prepared, quick=quick)
    assert {"detector", "systematics", "checks"} <= {step.name for step in study.steps()}
    assert study.events is not None
    assert study.events.max_events == (3000 if quick else None)
    table = read_events(study.events)
    assert {region.name: region.role for region in table.regions} == {"high_mt": "control", "low_mt": "signal"}
    assert set(table.shape_variations) == {"tau_energy_up", "tau_energy_down"}
    for name in ("nominal", *table.shape_variations):
        varied = table if name == "nominal" else table.variation(name)
        for j in table.features.derived:
            np.testing.assert_allclose(table.features.derive(varied.values, j), varied.values[:, j], atol=1e-6)


def test_the_formulas_are_the_columns_of_the_file(test_data: Path, script: dict[str, Any], prepared: Path) -> None:
    events = pd.read_csv(test_data / FILE).replace(-999.0, np.nan)
    study = script["configuration"](prepared, quick=True)
    assert study.events is not None
    for given in study.events.features:
        feature = given.feature()
        # The massless formula is a lower limit of the mass of the two jets.
        if feature.derived is None or feature.name == "DER_mass_jet_jet":
            continue
        found = feature.derived.function(*(events[name].to_numpy() for name in feature.derived.inputs))
        expected = events[feature.name].to_numpy()
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        assert np.nanquantile(np.abs(found - expected), 0.99) < 0.15, feature.name
