# SPDX-License-Identifier: BSD-3-Clause
"""What a Combine datacard and its shapes say, as a pyhf workspace: read by rules of its own, and refused where it knows none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import uproot


def read_datacard(path: Path) -> dict[str, Any]:
    """Read counts, shapes, lnN, shape and autoMCStats lines; signals are the processes with numbers below 1."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip("- ")]
    rows = [row for row in rows if row[0] not in {"imax", "jmax", "kmax"}]
    ((_, *channels),) = [row for row in rows if row[0] == "bin"][:1]
    columns = list(
        zip(*(row[1:] for row in [r for r in rows if r[0] == "bin"][1:] + named(rows, "process")), strict=True)
    )
    ((_, *rates),), ((_, *observed),) = named(rows, "rate"), named(rows, "observation")
    ((*_, file_name, nominal_name, varied_name),) = named(rows, "shapes")
    known = {"bin", "process", "rate", "observation", "shapes", "*"}
    nuisances = [row for row in rows if row[0] not in known]
    assert all(len(row) == len(columns) + 2 for row in nuisances)
    spec: dict[str, Any] = {"channels": [{"name": name, "samples": []} for name in channels], "version": "1.0.0"}
    with uproot.open(path.parent / file_name) as file:

        def histogram(channel: str, process: str, systematic: str | None = None) -> Any:
            name = nominal_name if systematic is None else varied_name.replace("$SYSTEMATIC", systematic)
            return file[name.replace("$CHANNEL", channel).replace("$PROCESS", process)]

        for k, (channel, process, number) in enumerate(columns):
            nominal = histogram(channel, process)
            np.testing.assert_allclose(nominal.values().sum(), float(rates[k]), rtol=1e-9)
            modifiers: list[dict[str, Any]] = []
            for name, kind, *values in nuisances:
                if values[k] == "-":
                    continue
                if kind == "lnN":
                    data = {"hi": float(values[k]), "lo": 1.0 / float(values[k])}
                    modifiers.append({"name": name, "type": "normsys", "data": data})
                else:
                    assert (kind, float(values[k])) == ("shape", 1.0)
                    up, down = (histogram(channel, process, f"{name}{side}").values() for side in ("Up", "Down"))
                    data = {"hi_data": up.tolist(), "lo_data": down.tolist()}
                    modifiers.append({"name": name, "type": "histosys", "data": data})
            if int(number) < 1:
                modifiers.append({"name": "mu", "type": "normfactor", "data": None})
            if ["*", "autoMCStats", "0"] in rows:
                errors = np.sqrt(nominal.variances()).tolist()
                modifiers.append({"name": f"mc_{channel}", "type": "staterror", "data": errors})
            sample = {"name": process, "data": nominal.values().tolist(), "modifiers": modifiers}
            spec["channels"][channels.index(channel)]["samples"].append(sample)
        counts = {channel: histogram(channel, "data_obs").values() for channel in channels}
    np.testing.assert_allclose([counts[c].sum() for c in channels], np.array(observed, dtype=float), rtol=1e-9)
    spec["observations"] = [{"name": channel, "data": counts[channel].tolist()} for channel in channels]
    spec["measurements"] = [{"name": "strength", "config": {"poi": "mu", "parameters": []}}]
    return spec


def named(rows: list[list[str]], name: str) -> list[list[str]]:
    """Rows that begin with a word."""
    return [row for row in rows if row[0] == name]


def modifiers_of(spec: dict[str, Any], *kinds: str) -> dict[tuple[str, str, str], Any]:
    """Contents of the modifiers of these kinds by channel, sample and parameter."""
    return {
        (channel["name"], sample["name"], modifier["name"]): modifier["data"]
        for channel in spec["channels"]
        for sample in channel["samples"]
        for modifier in sample["modifiers"]
        if modifier["type"] in kinds
    }
