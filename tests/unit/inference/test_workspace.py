# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import jsonpatch
import numpy as np
import pytest

from hepfool.inference import Nuisance, Template, attack_patch


def test_the_patch_adds_one_modifier_to_the_named_sample(workspace: dict[str, Any], template: Template) -> None:
    before = copy.deepcopy(workspace)
    patched = jsonpatch.apply_patch(workspace, attack_patch(workspace, [template]))
    assert workspace == before
    added = patched["channels"][1]["samples"][0]["modifiers"].pop()
    assert patched == before
    assert (added["name"], added["type"]) == ("adversarial", "histosys")
    np.testing.assert_allclose(added["data"]["hi_data"], [985.0, 403.0, 112.0])
    np.testing.assert_allclose(added["data"]["lo_data"], [1000.0, 400.0, 100.0])
    mirrored = attack_patch(workspace, [template], Nuisance(side="symmetrised"))[-1]["value"]["data"]
    np.testing.assert_allclose(mirrored["lo_data"], [1015.0, 397.0, 88.0])


def test_the_patch_fails_on_a_workspace_of_another_order(workspace: dict[str, Any], template: Template) -> None:
    patch = attack_patch(workspace, [template])
    workspace["channels"].reverse()
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(workspace, patch)


def test_processes_share_a_parameter_or_have_their_own(workspace: dict[str, Any], template: Template) -> None:
    other = replace(template, sample="signal")
    control = Template(channel="CR", sample="ttbar", nominal=np.array([10.0]), adversarial=np.array([11.0]))
    choices: tuple[tuple[dict[str, Any], set[str]], ...] = (
        ({}, {"adversarial"}),
        ({"per_process": True}, {"adversarial_ttbar", "adversarial_signal"}),
        ({"per_channel": True}, {"adversarial_SR", "adversarial_CR"}),
        (
            {"per_process": True, "per_channel": True},
            {"adversarial_SR_ttbar", "adversarial_SR_signal", "adversarial_CR_ttbar"},
        ),
    )
    for options, expected in choices:
        patch = attack_patch(workspace, [template, other, control], Nuisance(**options, scale=0.1))
        assert {step["value"]["name"] for step in patch if step["op"] == "add"} == expected


def test_two_pairs_of_channel_and_sample_do_not_share_a_name() -> None:
    given: dict[str, Any] = {"nominal": np.array([10.0]), "adversarial": np.array([11.0])}
    pair = [Template(channel="SR_a", sample="b", **given), Template(channel="SR", sample="a_b", **given)]
    with pytest.raises(ValueError, match="would share the parameter 'adversarial_SR_a_b'; rename"):
        attack_patch({"channels": []}, pair, Nuisance(per_process=True, per_channel=True))


def test_unknown_names_and_wrong_bins_name_the_choices(workspace: dict[str, Any], template: Template) -> None:
    with pytest.raises(ValueError, match="no channel 'VR' in the workspace, only CR, SR"):
        attack_patch(workspace, [replace(template, channel="VR")])
    with pytest.raises(ValueError, match="no sample 'W' in channel 'SR', only ttbar, signal"):
        attack_patch(workspace, [replace(template, sample="W")])
    with pytest.raises(ValueError, match="'CR', sample 'ttbar': the template has 3 bins, the model 1"):
        attack_patch(workspace, [replace(template, channel="CR")])
    with pytest.raises(ValueError, match="has a parameter 'jes' already"):
        attack_patch(workspace, [template], Nuisance(name="jes"))
    with pytest.raises(ValueError, match="no template"):
        attack_patch(workspace, [])
