# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a workflow beside those of every study: regions and pairs of features, its detector, and repeated trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepfool.attacks.base import AttackResult
from hepfool.defences.detector import Detector
from hepfool.defences.detector_curves import detector_curves
from hepfool.events import EventTable
from hepfool.report import attack_figures
from hepfool.studies.threshold_scan import scan_thresholds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.plots.style import PlotStyle

__all__ = ["detector_figures", "further_figures"]


def detector_figures(
    detector: Detector,
    result: AttackResult,
    *,
    data: EventTable | None = None,
    regions: tuple[str, ...] = (),
    style: PlotStyle | None = None,
) -> dict[str, Figure]:
    """
    Draw ROC curve, calibration and scan of the threshold.

    Parameters
    ----------
    detector : Detector
        Trained on other events.
    result : AttackResult
        The attack on the test part.
    data : EventTable, optional
        Collision data outside of signal regions.
    regions : tuple of str
        Regions in which data are compared with simulation.
    style : PlotStyle, optional
        Experiment and label; CMS by default.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        ``detector`` and ``thresholds``; nothing if no event is fooled.
    """
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    if not result.fooled.any():
        return {}
    style = style or plots.PlotStyle()
    scan = scan_thresholds(detector, result, data=data, regions=regions)
    return {
        "detector": plots.plot_detector(detector_curves(detector, result), style=style)[0],
        "thresholds": plots.plot_threshold_scan(scan, style=style)[0],
    }


def further_figures(results: Mapping[str, Any], *, style: PlotStyle | None = None) -> dict[str, Figure]:
    """
    Draw what needs more than the attack's result.

    Parameters
    ----------
    results : mapping of str to object
        Results of the steps by name.
    style : PlotStyle, optional
        Experiment and label; CMS by default.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name.
    """
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    style = style or plots.PlotStyle()
    result, detector = results["attack"]["test"], results.get("detector")
    # Data stay out of the regions' figure: nobody said to which luminosity the test part is normalised.
    figures = attack_figures(
        results["systematics"].sums,
        result=result,
        effects=results["systematics"].effects,
        style=style,
    )
    if detector is not None:
        compared = tuple(fraction.region for fraction in results.get("data_check", ()))
        data = results["events"].data if compared else None
        figures |= detector_figures(detector, result, data=data, regions=compared, style=style)
    if "spread" in results:
        figures["cross_runs"] = plots.plot_cross_runs(results["spread"], style=style)[0]
    return figures
