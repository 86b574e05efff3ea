# SPDX-License-Identifier: BSD-3-Clause
"""Figures of an attack that need the network, or data, beside its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable
from hepfool.models.protocols import Classifier
from hepfool.studies.region_yields import region_yields, score_variable
from hepfool.studies.systematics import SystematicEffect
from hepfool.typing import BoolArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.plots.style import PlotStyle

__all__ = ["attack_figures"]


def attack_figures(
    result: AttackResult,
    classifier: Classifier,
    *,
    data: EventTable | None = None,
    flagged: BoolArray | None = None,
    effects: Iterable[SystematicEffect] = (),
    scale: float | Mapping[str, float] = 1.0,
    data_label: str = "Data",
    style: PlotStyle | None = None,
) -> dict[str, Figure]:
    """
    Draw the score by region with data, the pair of features that changes most, and fooling ratios by dataset and region.

    Parameters
    ----------
    result : AttackResult
        The attack.
    classifier : Classifier
        The attacked network.
    data : EventTable, optional
        Collision data; those of signal regions are not read.
    flagged : BoolArray, shape (n_events,), optional
        Adversarial events that a detector flags.
    effects : iterable of SystematicEffect
        Physics systematics, to stand beside the fooling ratios.
    scale : float or mapping of str to float
        Of the simulation, see :func:`hepfool.studies.region_yields.region_yields`.
    data_label : str
        Name of the data, such as ``Pseudo-data``.
    style : PlotStyle, optional
        Experiment and label; CMS by default.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        ``regions``, ``projection`` (not for a single feature) and ``fooling``, to be given to
        :func:`hepfool.workflow.write_study`.
    """
    # Drawing libraries are loaded only when something is drawn.
    from hepfool import plots  # noqa: PLC0415

    style = style or plots.PlotStyle()
    shown = region_yields(result, score_variable(classifier), data=data, scale=scale)
    figures = {"regions": plots.plot_region_yields(shown, data_label=data_label, log_y=True, style=style)[0]}
    if result.nominal.n_features > 1:
        figures["projection"] = plots.plot_projection(plots.projection(result), style=style)[0]
    systematics = [(e.name, e.flips.value, e.flips.error) for e in effects if e.flips is not None]
    by_part = plots.fooling_by_part(result, flagged=flagged)
    figures["fooling"] = plots.plot_fooling(
        by_part["attacks"], systematics, corrected=by_part.get("corrected", ()), style=style
    )[0]
    return figures
