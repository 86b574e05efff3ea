# SPDX-License-Identifier: BSD-3-Clause
"""A nuisance parameter for the attack in a cabinetry configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hepfool._settings import Nuisance
from hepfool.extras import import_extra
from hepfool.inference._templates import Template, distinct


def cabinetry_systematics(
    folder: str | Path,
    templates: Iterable[Template],
    nuisance: Nuisance | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    force: bool = False,
) -> list[dict[str, Any]]:
    """
    Write template histograms and describe them for a cabinetry configuration.

    Append the result to ``config["Systematics"]`` after ``cabinetry.templates.build`` or ``collect``, before
    ``cabinetry.workspace.build``.

    Parameters
    ----------
    folder : str or Path
        ``HistogramFolder`` of the configuration, which holds the nominal histograms.
    templates : iterable of Template
        ``channel`` and ``sample`` are the configuration's regions and samples.
    nuisance : Nuisance, optional
        Name, side, correlation and scale.
    config : mapping, optional
        The configuration, whose parameters are not to be taken a second time.
    force : bool
        Replace histograms of an earlier call.

    Returns
    -------
    list of dict
        One systematic per template; those of one nuisance parameter share their ``ModifierName``.

    Raises
    ------
    MissingExtraError
        If cabinetry is not installed.
    ValueError
        If the nominal histogram is absent or has other bins, or the parameter exists already.
    FileExistsError
        If histograms of this name are in the folder and ``force`` is False.

    Warns
    -----
    ClippedTemplateWarning
        If a template would be negative.
    """
    histo = import_extra("cabinetry", "inference").histo
    nuisance, folder = nuisance or Nuisance(), Path(folder)
    taken = _taken(config or {})
    systematics = []
    for template in distinct(templates, nuisance):
        region, sample = {"Name": template.channel}, {"Name": template.sample}
        systematic = {
            "Name": f"{nuisance.name}_{template.channel}_{template.sample}",
            "ModifierName": nuisance.parameter(template.channel, template.sample),
            "Type": "NormPlusShape",
            "Up": {},
            "Down": {},
            "Regions": template.channel,
            "Samples": template.sample,
        }
        if not (folder / f"{histo.name(region, sample, {})}.npz").is_file():
            known = sorted(path.stem for path in folder.glob("*.npz"))
            msg = f"no histogram of {template.channel}, {template.sample} in {folder}, only {', '.join(known)}"
            raise ValueError(msg)
        if taken & {systematic["Name"], systematic["ModifierName"]}:
            msg = f"the configuration has a parameter {systematic['ModifierName']!r} already; give the nuisance another name"
            raise ValueError(msg)
        nominal = histo.Histogram.from_config(folder, region, sample, {})
        varied = template.onto(nominal.yields, variances=nominal.stdev**2).variation(nuisance)
        for direction, yields in (("Up", varied.up), ("Down", varied.down)):
            path = folder / histo.name(region, sample, systematic, template=direction)
            if path.with_name(f"{path.name}.npz").exists() and not force:
                msg = f"{path}.npz exists already; give the nuisance another name, or replace it with force=True"
                raise FileExistsError(msg)
            histo.Histogram.from_arrays(nominal.bins, yields, nominal.stdev).save(path)
        systematics.append(systematic)
    return systematics


def _taken(config: Mapping[str, Any]) -> set[str]:
    """Names of the parameters in a configuration."""
    entries = [*(config.get("Systematics") or ()), *(config.get("NormFactors") or ())]
    return {str(entry[key]) for entry in entries for key in ("Name", "ModifierName") if key in entry}
