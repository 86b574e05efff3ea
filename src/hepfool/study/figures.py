# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a study with its own steps: regions and pairs of features, its detector, and repeated trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepfool.attacks.base import AttackResult
from hepfool.defences.detector import Detector
from hepfool.defences.detector_curves import detector_curves
from hepfool.report import attack_figures
from hepfool.sums import AttackSums, data_sums, scan_thresholds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.plots.style import PlotStyle

__all__ = ["detector_figures", "further_figures"]


def detector_figures(
    sums: AttackSums,
    *,
    detector: Detector | None = None,
    result: AttackResult | None = None,
    regions: tuple[str, ...] = (),
    style: PlotStyle | None = None,
) -> dict[str, Figure]:
    """
    Draw the scan of a detector's threshold, and with the events ROC curve and calibration.

    Parameters
    ----------
    sums : AttackSums
        With the scores of the detector; with those of data added where regions are compared.
    detector : Detector, optional
        Trained on other events.
    result : AttackResult, optional
        The attack on the test part.
    regions : tuple of str
        Regions in which data are compared with simulation.
    style : PlotStyle, optional
        Experiment and label; CMS by default.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        ``thresholds``, and ``detector`` with both detector and result; nothing if no event is fooled.
    """
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    if not sums.count("fooled").n:
        return {}
    style = style or plots.PlotStyle()
    scan = scan_thresholds(sums, regions=regions)
    figures = {"thresholds": plots.plot_threshold_scan(scan, style=style)[0]}
    if detector is not None and result is not None:
        curves = plots.plot_detector(detector_curves(detector, result), style=style)[0]
        figures = {"detector": curves, **figures}
    return figures


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
        sums = results["systematics"].sums
        if compared:
            network = results["baseline"].classifier
            sums += data_sums(results["events"].data, network, result.binning, detector=detector)
        figures |= detector_figures(sums, detector=detector, result=result, regions=compared, style=style)
    if "spread" in results:
        figures["cross_runs"] = plots.plot_cross_runs(results["spread"], style=style)[0]
    return figures
