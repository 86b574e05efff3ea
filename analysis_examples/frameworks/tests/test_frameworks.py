# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import uproot

FOLDER = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def agc() -> dict[str, object]:
    return runpy.run_path(str(FOLDER / "agc.py"))


def test_the_lines_stand_as_deep_as_those_before_them(agc: dict[str, object]) -> None:
    source = "def process():\n    if True:\n        results = ak.unflatten(results, perm_counts)\n        more\n"
    lines = agc["extended"](source).splitlines()  # type: ignore[operator]
    assert lines[3] == '        if syst_var == "nominal":'
    assert lines[4].startswith("            of = ")
    assert lines[-1] == "        more"
    assert agc["N_LINES"] == 5
    with pytest.raises(ValueError, match="unpack"):
        agc["extended"]("another version\n")  # type: ignore[operator]


def test_stand_in_events_have_what_the_processor_reads(agc: dict[str, object], tmp_path: Path) -> None:
    path = agc["stand_in"](tmp_path / "events.root")  # type: ignore[operator]
    with uproot.open(path) as file:
        names = set(file["Events"].keys())
        assert file["Events"].num_entries == 8977
    assert {"Jet_btagCSVV2", "Jet_qgl", "Jet_jetId", "Electron_cutBased", "Muon_tightId", "event", "nJet"} <= names


@pytest.mark.slow
def test_pocketcoffea_gives_the_same_number_from_both_executors() -> None:
    pytest.importorskip("pocket_coffea", reason="needs PocketCoffea")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / "pocketcoffea.py")], check=True, capture_output=True, text=True
    )
    found = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("chunks of")]
    assert len(found) == 2
    assert len(set(found)) == 1
