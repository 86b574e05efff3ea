# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis_examples.papers.ai_safety_jets.soft_and_collinear import with_free_places
from hepfool import EventTable
from hepfool.contrib.jets import ConstituentLayout

pytestmark = pytest.mark.torch
FOLDER = Path(__file__).parents[1]


def test_empty_places_become_free(rng: np.random.Generator) -> None:
    values = rng.uniform(0.1, 2.0, (40, 6))
    values[::2, 3:] = np.nan
    jets = EventTable.from_arrays(values, features=ConstituentLayout(2).feature_space(), labels=[0, 1] * 20)
    free = with_free_places(jets, 10)
    assert free.n_events == 10
    assert not free.missing.any()
    assert np.array_equal(free.values[:, 3] > 0.0, free.labels == 1)


@pytest.mark.slow
def test_networks_are_compared_for_both_levels_and_their_jets_moved(tmp_path: Path) -> None:
    pytest.importorskip("pythia8mc")
    pytest.importorskip("fastjet")
    printed = {
        name: subprocess.run(
            [sys.executable, str(FOLDER / f"{name}.py"), "--quick", "-o", str(tmp_path)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in ("detector_and_size", "soft_and_collinear")
    }
    assert printed["detector_and_size"].count("jets of each kind, Low level") == 4
    assert printed["soft_and_collinear"].count("All of them") == 2
    for name in printed:
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000
