# SPDX-License-Identifier: BSD-3-Clause
"""What would change a fit without a word: flow bins, lost errors, names that exist, histograms that were not filled."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hist import Hist

from hepfool.inference import (
    Nuisance,
    Template,
    attack_patch,
    cabinetry_systematics,
    combine_lines,
    score_templates,
    write_combine_shapes,
)

CARD = "bin SR\nobservation 20\nbin SR SR\nprocess signal ttbar\nprocess 0 1\nrate 5 20\nadversarial lnN 1.1 -\n"
SCORES = [-0.5, 0.1, 0.2, 0.7, 1.0, 1.0]


def _filled(scores: list[float], storage: str = "Weight", **options: Any) -> Hist[Any]:
    histogram: Hist[Any] = getattr(Hist.new.Reg(2, 0.0, 1.0, name="score", **options), storage)()
    histogram.fill(scores)
    return histogram


def _of(nominal: Hist[Any], adversarial: Hist[Any], **options: Any) -> Template:
    return Template.of(nominal, adversarial, channel="SR", sample="ttbar", **options)


@pytest.mark.parametrize("storage", ["Weight", "Double", "Int64"])
def test_events_beyond_the_axis_are_refused_folded_or_dropped_by_choice(storage: str) -> None:
    pair = _filled(SCORES, storage), _filled([0.1, 0.2, 0.6, 0.7, 0.8, 0.9], storage)
    with pytest.raises(
        ValueError,
        match=r"SR/ttbar, nominal: 1 events lie below and 2 above the axis, beside 3 within; say flow='fold'",
    ):
        _of(*pair)
    folded, dropped = _of(*pair, flow="fold"), _of(*pair, flow="drop")
    np.testing.assert_array_equal(folded.nominal, [3.0, 3.0])
    np.testing.assert_array_equal(folded.variances, [3.0, 3.0])
    np.testing.assert_array_equal(folded.adversarial, [2.0, 4.0])
    np.testing.assert_array_equal(dropped.nominal, [2.0, 1.0])
    np.testing.assert_array_equal(dropped.variances, [2.0, 1.0])
    with pytest.raises(ValueError, match="flow must be one of refuse, fold, drop, got 'add'"):
        _of(*pair, flow="add")


def test_events_that_the_attack_moves_beyond_the_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="SR/ttbar, adversarial: 0 events lie below and 1 above"):
        _of(_filled([0.1, 0.6]), _filled([0.1, 1.0]))


@pytest.mark.parametrize("flow", ["fold", "drop"])
def test_an_axis_without_flow_bins_keeps_its_contents(flow: str) -> None:
    template = _of(_filled([0.1, 0.6, 0.7], flow=False), _filled([0.6, 0.6, 0.7], flow=False), flow=flow)
    np.testing.assert_array_equal(template.nominal, [1.0, 2.0])
    np.testing.assert_array_equal(template.adversarial, [0.0, 3.0])


@pytest.mark.parametrize("flow", ["refuse", "fold"])
def test_flow_of_a_histogram_of_processes_is_not_lost(flow: Any) -> None:
    histogram: Hist[Any] = (
        Hist.new.StrCat(["ttbar"], name="process", growth=True)
        .StrCat([], name="variation", growth=True)
        .Reg(2, 0.0, 1.0, name="score")
        .Weight()
    )
    # The variations come in another order than they are asked for.
    histogram.fill(process="ttbar", variation="adversarial", score=[0.6, 0.7, 0.8])
    histogram.fill(process="ttbar", variation="nominal", score=[0.1, 0.7, 1.0])
    if flow == "refuse":
        with pytest.raises(ValueError, match="SR/ttbar, nominal: 0 events lie below and 1 above"):
            score_templates(histogram, channel="SR", flow=flow)
        return
    (only,) = score_templates(histogram, channel="SR", flow=flow)
    np.testing.assert_array_equal(only.nominal, [1.0, 2.0])
    np.testing.assert_array_equal(only.adversarial, [0.0, 3.0])


def test_a_histogram_without_the_attack_names_its_variations() -> None:
    histogram: Hist[Any] = (
        Hist.new.StrCat(["ttbar"], name="process")
        .StrCat(["nominal", "jes"], name="variation")
        .Reg(2, 0.0, 1.0, name="score")
        .Weight()
    )
    histogram.fill(process="ttbar", variation="nominal", score=[0.1, 0.7])
    with pytest.raises(ValueError, match="no variation 'adversarial' in the histogram, only nominal, jes"):
        score_templates(histogram, channel="SR")


def test_events_of_a_process_without_a_name_are_refused() -> None:
    histogram: Hist[Any] = (
        Hist.new.StrCat(["ttbar"], name="process")
        .StrCat(["nominal", "adversarial"], name="variation")
        .Reg(2, 0.0, 1.0, name="score")
        .Weight()
    )
    for name in ("ttbar", "signal"):
        for variation in ("nominal", "adversarial"):
            histogram.fill(process=name, variation=variation, score=[0.1, 0.7])
    with pytest.raises(ValueError, match="4 events were filled under a process that the axis does not have"):
        score_templates(histogram, channel="SR")


@pytest.mark.parametrize(
    ("nominal", "adversarial", "message"),
    [
        (_filled([0.1]), _filled([]), "the adversarial yields add up to 0; fill this histogram"),
        (_filled([]), _filled([0.1]), "the nominal yields add up to 0; fill this histogram"),
        (_filled([0.1]), Hist.new.Reg(3, 0.0, 1.0, name="score").Weight(), "the same single axis"),
        (_filled([0.1]), Hist.new.Reg(2, 0.0, 1.0, name="score").Mean(), "hold means, not yields"),
    ],
)
def test_histograms_with_different_bins_are_refused(nominal: Any, adversarial: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _of(nominal, adversarial)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversarial": [1.0, np.nan, 1.0]}, "adversarial in bin 1 is not"),
        ({"variances": [1.0, 1.0, np.inf]}, "variances in bin 2 is not"),
        ({"variances": [1.0, -1.0, 1.0]}, "the variance in bin 1 is negative"),
    ],
)
def test_numbers_unusable_in_a_fit_are_refused(template: Template, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(template, **changes)


def test_variances_follow_a_template_onto_the_yields_of_the_analyst(template: Template) -> None:
    known = replace(template, variances=np.array([5.0, 2.0, 1.0]))
    scaled = known.onto(4.0 * template.nominal).variances
    assert scaled is not None
    np.testing.assert_allclose(scaled, [80.0, 32.0, 16.0])
    np.testing.assert_array_equal(
        known.onto(template.nominal, variances=np.array([9.0, 8.0, 7.0])).variances, [9.0, 8.0, 7.0]
    )
    assert template.onto(template.nominal).variances is None


def test_statistical_errors_reach_every_histogram_for_combine(template: Template, tmp_path: Path) -> None:
    moved = replace(template, variances=np.array([5.0, 2.0, 1.0])).onto(2.0 * template.nominal)
    path = write_combine_shapes(tmp_path / "shapes.root", [moved])
    with uproot.open(path) as file:
        for name in ("ttbar", "ttbar_adversarialUp", "ttbar_adversarialDown"):
            np.testing.assert_allclose(file[f"SR/{name}"].variances(), [20.0, 8.0, 4.0])


def test_unknown_statistical_errors_are_said(template: Template, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"statistical errors of SR/ttbar are unknown .* autoMCStats adds none"):
        write_combine_shapes(tmp_path / "shapes.root", [template])
    empty_bin = replace(template, variances=np.array([5.0, 0.0, 1.0]))
    with pytest.warns(UserWarning, match=r"statistical errors of SR/ttbar are unknown in some bins"):
        write_combine_shapes(tmp_path / "others.root", [empty_bin])


def test_an_attack_without_effect_is_said(template: Template) -> None:
    with pytest.warns(UserWarning, match="changes no yield, so that the parameter has no effect"):
        replace(template, adversarial=template.nominal).variation(Nuisance())


def test_a_parameter_that_exists_is_refused_everywhere(
    workspace: dict[str, Any], template: Template, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="the datacard has a line 'adversarial' already"):
        combine_lines(CARD, [template])
    assert combine_lines(CARD, [template], Nuisance(name="attack")) == ("attack shape - 1",)
    workspace["measurements"][0]["config"]["parameters"] = [{"name": "adversarial", "bounds": [[-2.0, 2.0]]}]
    with pytest.raises(ValueError, match="has a parameter 'adversarial' already"):
        attack_patch(workspace, [template])
    histo = pytest.importorskip("cabinetry").histo
    region, sample = {"Name": "SR"}, {"Name": "ttbar"}
    nominal = histo.Histogram.from_arrays([0.0, 0.3, 0.6, 1.0], template.nominal, np.array([3.0, 2.0, 1.0]))
    nominal.save(tmp_path / histo.name(region, sample, {}))
    config = {"Systematics": [{"Name": "adversarial", "Type": "Normalization"}]}
    with pytest.raises(ValueError, match="the configuration has a parameter 'adversarial' already"):
        cabinetry_systematics(tmp_path, [template], config=config)
    (written,) = cabinetry_systematics(tmp_path, [template], config={"Systematics": []})
    with pytest.raises(FileExistsError, match="exists already; give the nuisance another name"):
        cabinetry_systematics(tmp_path, [template])
    assert cabinetry_systematics(tmp_path, [template], force=True) == [written]
    up = histo.Histogram.from_path(tmp_path / histo.name(region, sample, written, template="Up"))
    np.testing.assert_allclose(up.yields, template.adversarial)
    np.testing.assert_allclose(up.stdev, [3.0, 2.0, 1.0])


def test_two_templates_of_one_process_are_refused(
    workspace: dict[str, Any], template: Template, tmp_path: Path
) -> None:
    twice = [template, template]
    for write in (
        lambda: attack_patch(workspace, twice),
        lambda: combine_lines(CARD, twice),
        lambda: write_combine_shapes(tmp_path / "shapes.root", twice),
        lambda: cabinetry_systematics(tmp_path, twice),
    ):
        with pytest.raises(ValueError, match=re.escape("two templates for channel 'SR', sample 'ttbar'")):
            write()


def test_channels_and_columns_of_one_name_are_refused(workspace: dict[str, Any], template: Template) -> None:
    workspace["channels"].append(workspace["channels"][1])
    with pytest.raises(ValueError, match="the workspace has 2 entries channel 'SR'"):
        attack_patch(workspace, [template])
    card = "bin SR\nobservation 20\nbin SR SR\nprocess ttbar ttbar\nprocess 0 1\nrate 5 20"
    with pytest.raises(ValueError, match="the datacard has 2 columns SR/ttbar"):
        combine_lines(card, [template])


def test_a_name_that_is_process_and_variation_at_once_is_refused(template: Template, tmp_path: Path) -> None:
    other = replace(template, sample="ttbar_adversarialUp")
    with pytest.raises(ValueError, match="SR/ttbar_adversarialUp would be both a process and a variation"):
        write_combine_shapes(tmp_path / "shapes.root", [template, other])


@pytest.mark.parametrize("name", ["", "my attack", "a\n"])
def test_a_nuisance_has_a_name_that_a_datacard_can_hold(name: str) -> None:
    with pytest.raises(ValueError, match="a name without spaces"):
        Nuisance(name=name)
