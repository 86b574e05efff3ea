# SPDX-License-Identifier: BSD-3-Clause
"""The report on the file of the ATLAS Higgs challenge, as far as the file is not needed."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "analysis_examples" / "higgs_challenge" / "report.py"


@pytest.mark.parametrize("quick", [True, False])
def test_the_report_is_a_workflow(quick: bool, tmp_path: Path) -> None:
    file = tmp_path / "higgs.csv"
    file.write_text("Label\n")
    configuration = runpy.run_path(str(SCRIPT))["configuration"](file, tmp_path / "report", quick=quick)
    kinds = [feature.kind for feature in configuration.events.features]
    assert (len(kinds), kinds.count("angle"), kinds.count("integer")) == (30, 5, 1)
    names = [step.name for step in configuration.steps()]
    assert names[-3:] == ["checks", "frontier", "report"]
    assert "detector" in names
