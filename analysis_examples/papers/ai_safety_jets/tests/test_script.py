# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "ai_safety_jets.py"


@pytest.mark.torch
@pytest.mark.slow
def test_the_jet_study_goes_from_the_generator_to_its_figures(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    command = [sys.executable, str(SCRIPT), "--quick", "-o", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kinds = [f"{kind}_{attack}_{level}" for kind in ("significance", "observables") for attack in ("fgsm", "adversary")
             for level in ("low", "high")]  # fmt: skip
    for name in (*kinds, "checkpoints", "blinded_validation"):
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    changes = re.findall(r"│ (\w+) level +│ [\d.]+ │ FGSM +│ [\d.]+ \([\d.]+\) +│ ([-+][\d.]+) %", printed)
    assert [level for level, _ in changes] == ["High", "Low"]
    assert all(float(change) < 0.0 for _, change in changes)
    assert re.search(r"mass: chi2/ndf \d+\.\d/\d+", printed)
