# SPDX-License-Identifier: BSD-3-Clause
"""Figures of an attack beside those of every study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hepfool.attacks.base import AttackResult
from hepfool.studies._contributions import SystematicEffect
from hepfool.sums import AttackSums
from hepfool.sums._regions import score_regions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.plots._style import PlotStyle


def attack_figures(
    sums: AttackSums,
    *,
    result: AttackResult | None = None,
    effects: Iterable[SystematicEffect] = (),
    scale: float | Mapping[str, float] = 1.0,
    data_label: str = "Data",
    style: PlotStyle | None = None,
) -> dict[str, Figure]:
    """
    Draw the score by region with data, fooling ratios by dataset and region, and the pair of features that changes most.

    Parameters
    ----------
    sums : AttackSums
        Sums of the attack, with those of data added if there are any.
    result : AttackResult, optional
        The events, which a pair of features needs.
    effects : iterable of SystematicEffect
        Physics systematics, to stand beside the fooling ratios.
    scale : float or mapping of str to float
        Of the simulation, see :func:`hepfool.sums.score_regions`.
    data_label : str
        Name of the data, such as ``Pseudo-data``.
    style : PlotStyle, optional
        Experiment and label; no experiment's by default.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        ``regions``, ``projection`` (with events of several features) and ``fooling``, to be given to
        :func:`hepfool.study.write_study`.
    """
    # Drawing libraries are loaded only when something is drawn.
    from hepfool import plots  # noqa: PLC0415

    style = style or plots.PlotStyle()
    shown = score_regions(sums, scale=scale)
    looks = style.with_data(data_label) if any(one.data is not None for one in shown) else style
    figures = {"regions": plots.plot_region_yields(shown, data_label=data_label, log_y=True, style=looks)[0]}
    if result is not None and result.nominal.n_features > 1:
        figures["projection"] = plots.plot_projection(plots.projection(result), style=style)[0]
    systematics = [(e.name, e.flips.value, e.flips.error) if e.flips else (e.name, math.nan, math.nan) for e in effects]
    by_part = plots.fooling_by_part(sums)
    figures["fooling"] = plots.plot_fooling(
        by_part["attacks"], systematics, corrected=by_part.get("corrected", ()), style=style
    )[0]
    return figures
