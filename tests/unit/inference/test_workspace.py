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
    np.testing.assert_allclose(added["data"]["lo_data"], [1015.0, 397.0, 88.0])


def test_the_patch_fails_on_a_workspace_of_another_order(workspace: dict[str, Any], template: Template) -> None:
    patch = attack_patch(workspace, [template])
    workspace["channels"].reverse()
    with pytest.raises(jsonpatch.JsonPatchTestFailed):
        jsonpatch.apply_patch(workspace, patch)


def test_processes_share_a_parameter_or_have_their_own(workspace: dict[str, Any], template: Template) -> None:
    other = replace(template, sample="signal")
    for per_process, expected in ((False, {"adversarial"}), (True, {"adversarial_ttbar", "adversarial_signal"})):
        nuisance = Nuisance(per_process=per_process, scale=0.1)
        patch = attack_patch(workspace, [template, other], nuisance)
        assert {step["value"]["name"] for step in patch if step["op"] == "add"} == expected


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
