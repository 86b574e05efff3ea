# SPDX-License-Identifier: BSD-3-Clause
"""A nuisance parameter for the attack as a JSON patch on the analyst's own pyhf workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hepfool._settings import Nuisance
from hepfool.inference._templates import Template, distinct

Json = dict[str, Any]


def attack_patch(
    workspace: Mapping[str, Any], templates: Iterable[Template], nuisance: Nuisance | None = None
) -> list[Json]:
    """
    Describe the attack as a change of a workspace.

    Parameters
    ----------
    workspace : mapping
        The analyst's pyhf workspace; it is not changed.
    templates : iterable of Template
        One per affected sample and channel, in the bins of the workspace.
    nuisance : Nuisance, optional
        Name, side, correlation and scale.

    Returns
    -------
    list of dict
        JSON patch (RFC 6902) for ``pyhf.Workspace.model(patches=[...])`` or ``pyhf cls --patch``. It tests the
        names before it adds, so that it fails on a workspace with another order.

    Raises
    ------
    ValueError
        If a channel or sample is unknown, the bins differ in number, or the parameter exists already.

    Warns
    -----
    ClippedTemplateWarning
        If a template would be negative.

    Examples
    --------
    >>> sample = {"name": "ttbar", "data": [10.0, 10.0], "modifiers": []}
    >>> workspace = {"channels": [{"name": "SR", "samples": [sample]}]}
    >>> shift = Template(channel="SR", sample="ttbar", nominal=[5.0, 5.0], adversarial=[4.0, 6.0])
    >>> attack_patch(workspace, [shift])[-1]["value"]["data"]
    {'hi_data': [8.0, 12.0], 'lo_data': [10.0, 10.0]}
    """
    nuisance = nuisance or Nuisance()
    channels = workspace["channels"]
    taken = {
        modifier["name"]
        for channel in channels
        for sample in channel["samples"]
        for modifier in sample.get("modifiers", [])
    }
    taken |= {
        parameter["name"]
        for measurement in workspace.get("measurements", [])
        for parameter in measurement.get("config", {}).get("parameters", [])
    }
    patch: list[Json] = []
    for template in distinct(templates, nuisance):
        c = _position("channel", template.channel, channels, "the workspace")
        samples = channels[c]["samples"]
        s = _position("sample", template.sample, samples, f"channel {template.channel!r}")
        parameter = nuisance.parameter(template.channel, template.sample)
        if parameter in taken:
            msg = f"the workspace has a parameter {parameter!r} already; give the nuisance another name"
            raise ValueError(msg)
        varied = template.onto(samples[s]["data"]).variation(nuisance)
        path = f"/channels/{c}/samples/{s}"
        data = {"hi_data": varied.up.tolist(), "lo_data": varied.down.tolist()}
        patch += [
            {"op": "test", "path": f"/channels/{c}/name", "value": template.channel},
            {"op": "test", "path": f"{path}/name", "value": template.sample},
            {
                "op": "add",
                "path": f"{path}/modifiers/-",
                "value": {"name": parameter, "type": "histosys", "data": data},
            },
        ]
    return patch


def _position(kind: str, name: str, entries: Sequence[Mapping[str, Any]], where: str) -> int:
    names = [entry["name"] for entry in entries]
    if name not in names:
        msg = f"no {kind} {name!r} in {where}, only {', '.join(names)}"
        raise ValueError(msg)
    if names.count(name) > 1:
        msg = f"{where} has {names.count(name)} entries {kind} {name!r}; give each a name of its own"
        raise ValueError(msg)
    return names.index(name)
