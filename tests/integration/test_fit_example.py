# SPDX-License-Identifier: BSD-3-Clause
"""The example of a fit with an attack, without the attack."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import jsonpatch
import numpy as np
import pytest
import uproot
from hist import Hist

from hepfool.inference import attack_patch
from tests.datacards import modifiers_of, read_datacard

pyhf = pytest.importorskip("pyhf")

SCRIPT = Path(__file__).parents[2] / "analysis_examples" / "fit" / "fit.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def scores(example: dict[str, Any]) -> dict[str, Any]:
    """Yields that differ in every process and variation."""
    rng = np.random.default_rng(1)
    variations = ["nominal", "adversarial", *(f"{s}_{side}" for s in example["SHAPES"] for side in ("up", "down"))]
    found = {}
    for process in (*example["SIGNALS"], *example["BACKGROUNDS"]):
        nominal = rng.uniform(50.0, 100.0, 5)
        for variation in variations:
            histogram = Hist.new.Reg(5, 0, 1, name="score").Weight()
            view: Any = histogram.view()
            view["value"] = nominal * (1.0 if variation == "nominal" else rng.uniform(0.8, 1.2, 5))
            view["variance"] = nominal
            found[process, variation] = histogram
    return {"low_mt": found}


def test_the_datacard_and_its_shapes_are_the_patched_workspace(
    example: dict[str, Any], scores: dict[str, Any], tmp_path: Path
) -> None:
    model, shifts = example["workspace"](scores), example["templates"](scores)
    pyhf.Workspace(model).model()
    patch = attack_patch(model, shifts)
    example["write_combine"](tmp_path, model, shifts, scores)
    # Five processes with a nominal histogram, and two for each of seven nuisance parameters.
    assert example["check_combine"](tmp_path, model, patch) == 75
    lines = [line.split() for line in (tmp_path / "datacard.txt").read_text().splitlines()]
    columns = {len(line) for line in lines if line[0] in {"process", "rate"}}
    assert columns == {6}
    assert ["adversarial", "shape", *["1"] * 5] in lines
    assert all(len(line) == 7 for line in lines if len(line) > 1 and line[1] in {"shape", "lnN"})
    read, expected = read_datacard(tmp_path / "datacard.txt"), jsonpatch.apply_patch(model, patch)
    kinds = ("histosys", "staterror", "normfactor")
    assert modifiers_of(read, *kinds) == modifiers_of(expected, *kinds)
    assert {k: v["hi"] for k, v in modifiers_of(read, "normsys").items()} == {
        k: v["hi"] for k, v in modifiers_of(expected, "normsys").items()
    }
    assert read["observations"] == expected["observations"]
    with uproot.open(tmp_path / "shapes.root") as file:
        rate = next(line for line in lines if line[0] == "rate")
        assert file["low_mt/ggH"].values().sum() == pytest.approx(float(rate[1]))
        np.testing.assert_allclose(file["low_mt/data_obs"].values(), model["observations"][0]["data"])
    other = {"low_mt": {**scores["low_mt"], ("TTbar", "adversarial"): scores["low_mt"]["ggH", "nominal"]}}
    with pytest.raises(AssertionError):
        example["check_combine"](tmp_path, model, attack_patch(model, example["templates"](other)))
