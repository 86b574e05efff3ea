# SPDX-License-Identifier: BSD-3-Clause
"""cabinetry and Combine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import jsonpatch
import numpy as np
import pytest
import uproot
from click.testing import CliRunner
from hist import Hist

from hepfool.inference import (
    Nuisance,
    Template,
    attack_patch,
    cabinetry_systematics,
    combine_lines,
    expected_impact,
    write_combine_shapes,
)
from hepfool.inference.impact import NuisanceImpact
from hepfool.settings import Side
from tests.datacards import modifiers_of, read_datacard

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
        np.testing.assert_array_equal(file["SR/ttbar_adversarial_ttbarDown"].values(), template.nominal)
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
    # The same model without the control region, by way of pyhf; cabinetry parts rate and shape, so that they interpolate
    # the rate otherwise.
    bare = cabinetry.workspace.build({**config, "Systematics": []})
    patch = attack_patch(bare, [template], nuisance)
    assert_same(fitted(workspace, ["adversarial"]), fitted(bare, ["adversarial"], patch), rel=0.01)
    with pytest.raises(ValueError, match=r"no histogram of SR, W in .*, only SR_Data, SR_signal, SR_ttbar"):
        cabinetry_systematics(tmp_path, [replace(template, sample="W")])


def fitted(workspace: dict[str, Any], names: list[str], patch: list[dict[str, Any]] | None = None) -> list[float]:
    """Fit a model; uncertainties of the parameter of interest and of nuisance parameters, and their impacts."""
    impact = expected_impact(workspace, patch or [], parameters=names)
    entries: dict[str, NuisanceImpact] = {entry.name: entry for entry in impact.ranking}
    found = [impact.after.down, impact.after.up]
    for name in names:
        found += [entries[name].interval.down, entries[name].interval.up, entries[name].down, entries[name].up]
    return found


def assert_same(these: list[float], those: list[float], rel: float) -> None:
    np.testing.assert_allclose(these, those, rtol=rel, atol=rel * max(np.abs(those)))


@pytest.mark.parametrize("side", get_args(Side))
@pytest.mark.parametrize("per", [(False, False), (False, True), (True, False), (True, True)])
def test_datacard_and_workspace_are_one_model(
    workspace: dict[str, Any], template: Template, tmp_path: Path, side: Side, per: tuple[bool, bool]
) -> None:
    pytest.importorskip("iminuit")
    for channel in workspace["channels"]:
        channel["samples"][0]["modifiers"][0]["data"]["lo"] = 1.0 / 1.05  # as lnN means it
    nuisance = Nuisance(side=side, per_process=per[0], per_channel=per[1])
    control = Template(channel="CR", sample="ttbar", nominal=np.array([40.0]), adversarial=np.array([40.4]))
    signal = Template(
        channel="SR", sample="signal", nominal=np.array([5.0, 20.0, 50.0]), adversarial=np.array([7.0, 22.0, 46.0])
    )
    yields = {(c["name"], s["name"]): np.array(s["data"]) for c in workspace["channels"] for s in c["samples"]}
    shifts = [
        t.onto(yields[t.channel, t.sample], variances=yields[t.channel, t.sample]) for t in (template, control, signal)
    ]
    path = write_combine_shapes(tmp_path / "shapes.root", shifts, nuisance)
    with uproot.update(path) as file:
        for entry in workspace["observations"]:
            observed: Any = Hist.new.Reg(len(entry["data"]), 0.0, 1.0).Double()
            observed.view()[:] = entry["data"]
            file[f"{entry['name']}/data_obs"] = observed
    card = "\n".join([CARD.strip(), *combine_lines(CARD, shifts, nuisance)])
    (tmp_path / "card.txt").write_text(card, encoding="utf-8")
    patch = json.loads(json.dumps(attack_patch(workspace, shifts, nuisance)))
    read, expected = read_datacard(tmp_path / "card.txt"), jsonpatch.apply_patch(workspace, patch)
    assert modifiers_of(read, "normsys", "histosys") == modifiers_of(expected, "normsys", "histosys")
    names = sorted({nuisance.parameter(t.channel, t.sample) for t in shifts})
    assert len(names) == 1 + sum(per)
    if per[0] == per[1]:  # two of the four are enough to compare fits
        assert_same(fitted(read, names), fitted(workspace, names, patch), rel=1e-3)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # pyhf leaves the patch open
def test_the_command_line_of_pyhf_takes_the_patch(
    workspace: dict[str, Any], template: Template, tmp_path: Path
) -> None:
    pyhf = pytest.importorskip("pyhf")
    cli = pytest.importorskip("pyhf.cli")
    patch = attack_patch(workspace, [template])
    files = {"workspace.json": workspace, "patch.json": patch}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    command = ["cls", str(tmp_path / "workspace.json"), "--test-poi", "1.5"]
    model = pyhf.Workspace(workspace).model(patches=[patch])
    data = pyhf.Workspace(workspace).data(model)
    printed = [
        json.loads(CliRunner().invoke(cli.cli, [*command, *options], catch_exceptions=False).stdout)["CLs_obs"]
        for options in ([], ["--patch", str(tmp_path / "patch.json")])
    ]
    assert printed[1] == pytest.approx(float(pyhf.infer.hypotest(1.5, data, model, test_stat="qtilde")), rel=1e-6)
    assert printed[1] > printed[0]
