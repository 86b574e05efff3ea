# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import uproot

SCRIPT = Path(__file__).parents[1] / "facility.py"


@pytest.fixture(scope="module")
def names() -> dict[str, object]:
    pytest.importorskip("distributed")
    return runpy.run_path(str(SCRIPT))


def test_events_are_repeated_in_the_proportions_of_the_sample(names: dict[str, object], tmp_path: Path) -> None:
    production = names["production"]
    fileset = production(tmp_path, 200_000)  # type: ignore[operator]
    sizes = {
        name: sum(uproot.open(file)["Events"].num_entries for file in entry["files"]) for name, entry in fileset.items()
    }
    assert sizes == {"TTbar": 17954, "VBFH": 12714, "WJets": 102948, "ZTauTau": 21772, "ggH": 13280}
    assert fileset["ggH"]["metadata"]["sum_weights"] == 64000.0
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    production(tmp_path, 200_000)  # type: ignore[operator]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept
