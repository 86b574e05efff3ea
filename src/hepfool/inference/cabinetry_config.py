# SPDX-License-Identifier: BSD-3-Clause
"""A nuisance parameter for the attack in a cabinetry configuration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hepfool.extras import import_extra
from hepfool.inference.templates import Nuisance, Template

__all__ = ["cabinetry_systematics"]


def cabinetry_systematics(
    folder: str | Path, templates: Iterable[Template], nuisance: Nuisance | None = None
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

    Returns
    -------
    list of dict
        One systematic per template; those of one nuisance parameter share their ``ModifierName``.

    Raises
    ------
    MissingExtraError
        If cabinetry is not installed.
    ValueError
        If the nominal histogram is absent or has other bins.

    Warns
    -----
    ClippedTemplateWarning
        If a template would be negative.
    """
    histo = import_extra("cabinetry", "inference").histo
    nuisance, folder = nuisance or Nuisance(), Path(folder)
    systematics = []
    for template in templates:
        region, sample = {"Name": template.channel}, {"Name": template.sample}
        systematic = {
            "Name": f"{nuisance.name}_{template.channel}_{template.sample}",
            "ModifierName": nuisance.parameter(template.sample),
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
        nominal = histo.Histogram.from_config(folder, region, sample, {})
        varied = template.onto(nominal.yields).variation(nuisance)
        for direction, yields in (("Up", varied.up), ("Down", varied.down)):
            histogram = histo.Histogram.from_arrays(nominal.bins, yields, np.zeros_like(yields))
            histogram.save(folder / histo.name(region, sample, systematic, template=direction))
        systematics.append(systematic)
    return systematics
