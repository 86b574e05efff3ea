# SPDX-License-Identifier: BSD-3-Clause
"""cabinetry and Combine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from hepfool.inference import Nuisance, Template, cabinetry_systematics, combine_lines, write_combine_shapes

CARD = """
imax 2
shapes * * shapes.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC
bin CR SR
observation 4000 1575
----
bin CR SR SR
process ttbar ttbar signal
process 1 1 0
rate 4000 1500 75
jes lnN 1.05 1.05 -
"""


def test_combine_reads_nominal_up_and_down(template: Template, tmp_path: Path) -> None:
    known = replace(template, variances=template.nominal)
    pair = [known, replace(known, sample="signal")]
    path = write_combine_shapes(tmp_path / "shapes.root", pair, Nuisance(per_process=True))
    with uproot.open(path) as file:
        assert set(file["SR"].keys(cycle=False)) == {
            name for s in ("ttbar", "signal") for name in (s, f"{s}_adversarial_{s}Up", f"{s}_adversarial_{s}Down")
        }
        nominal, up = file["SR/ttbar"], file["SR/ttbar_adversarial_ttbarUp"]
        np.testing.assert_allclose(nominal.values(), template.nominal)
        np.testing.assert_allclose(nominal.variances(), template.nominal)
        np.testing.assert_allclose(nominal.axis().edges(), [0.0, 0.3, 0.6, 1.0])
        np.testing.assert_allclose(up.values(), template.adversarial)
        np.testing.assert_allclose(
            file["SR/ttbar_adversarial_ttbarDown"].values(), 2.0 * template.nominal - template.adversarial
        )
    with pytest.raises(FileExistsError, match="exists already"):
        write_combine_shapes(path, pair)


def test_the_line_follows_the_columns_of_the_card(template: Template) -> None:
    other = replace(template, sample="signal")
    assert combine_lines(CARD, [template, other]) == ("adversarial shape - 1 1",)
    assert combine_lines(CARD, [template, other], Nuisance(per_process=True)) == (
        "adversarial_ttbar shape - 1 -",
        "adversarial_signal shape - - 1",
    )
    with pytest.raises(ValueError, match="no column SR/W, only CR/ttbar, SR/ttbar, SR/signal"):
        combine_lines(CARD, [replace(template, sample="W")])
    with pytest.raises(ValueError, match="two lines 'bin'"):
        combine_lines("rate 1 2", [template])


@pytest.mark.parametrize("side", ["symmetrised", "one-sided"])
def test_cabinetry_builds_a_workspace_with_the_attack(template: Template, tmp_path: Path, side: str) -> None:
    cabinetry = pytest.importorskip("cabinetry")
    pyhf = pytest.importorskip("pyhf")
    edges, yields = np.array([0.0, 0.3, 0.6, 1.0]), {"ttbar": [1000.0, 400.0, 100.0], "signal": [5.0, 20.0, 50.0]}
    for sample, content in yields.items():
        histogram = cabinetry.histo.Histogram.from_arrays(edges, np.array(content), np.zeros(3))
        histogram.save(tmp_path / cabinetry.histo.name({"Name": "SR"}, {"Name": sample}, {}))
    cabinetry.histo.Histogram.from_arrays(edges, np.array([1005.0, 420.0, 150.0]), np.zeros(3)).save(
        tmp_path / "SR_Data"
    )
    nuisance = Nuisance(side=side)  # type: ignore[arg-type]
    config: dict[str, Any] = {
        "General": {"Measurement": "strength", "POI": "mu", "InputPath": "", "HistogramFolder": str(tmp_path)},
        "Regions": [{"Name": "SR"}],
        "Samples": [
            {"Name": "Data", "Data": True, "Tree": "events"},
            {"Name": "ttbar", "DisableStaterror": True},
            {"Name": "signal", "DisableStaterror": True},
        ],
        "NormFactors": [{"Name": "mu", "Samples": "signal", "Nominal": 1, "Bounds": [0, 10]}],
        "Systematics": cabinetry_systematics(tmp_path, [template], nuisance),
    }
    workspace = cabinetry.workspace.build(config)
    model = pyhf.Workspace(workspace).model()
    assert set(model.config.par_names) == {"mu", "adversarial"}
    expected = template.onto(np.array(yields["ttbar"])).variation(nuisance)
    for alpha, shifted in ((1.0, expected.up), (-1.0, expected.down)):
        values = {"mu": 0.0, "adversarial": alpha}
        pars = [values[name] for name in model.config.par_names]
        np.testing.assert_allclose(model.expected_actualdata(pars), shifted, rtol=1e-9)
    with pytest.raises(ValueError, match=r"no histogram of SR, W in .*, only SR_Data, SR_signal, SR_ttbar"):
        cabinetry_systematics(tmp_path, [replace(template, sample="W")])
