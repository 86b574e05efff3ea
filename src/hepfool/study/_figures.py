# SPDX-License-Identifier: BSD-3-Clause
"""Figures of a study with its own steps: regions and pairs of features, its detector, and repeated trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hepfool.attacks.base import AttackResult
from hepfool.defences._detector import Detector
from hepfool.defences._detector_curves import detector_curves
from hepfool.report import attack_figures
from hepfool.studies._region_yields import region_yields, score_variable
from hepfool.study._plan import Study
from hepfool.summary._evidence import flagged_fractions
from hepfool.sums import AttackSums, scan_thresholds
from hepfool.worst_case.composition import compositions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.plots._style import PlotStyle
    from hepfool.studies._cross_run import CrossRuns


def detector_figures(
    sums: AttackSums,
    *,
    detector: Detector | None = None,
    result: AttackResult | None = None,
    regions: tuple[str, ...] = (),
    style: PlotStyle | None = None,
) -> dict[str, Figure]:
    """Draw the scan of a detector's threshold, and with the events ROC curve and calibration."""
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    if not sums.count("fooled").n:
        return {}
    style = style or plots.PlotStyle()
    scan = scan_thresholds(sums, regions=regions)
    figures = {"thresholds": plots.plot_threshold_scan(scan, labels=sums.labels, style=style)[0]}
    if detector is not None and result is not None:
        curves = plots.plot_detector(detector_curves(detector, result), style=style)[0]
        figures = {"detector": curves, **figures}
    return figures


def further_figures(
    configuration: Study, results: Mapping[str, Any], *, style: PlotStyle | None = None
) -> dict[str, Figure]:
    """Draw what needs more than the attack's result."""
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    style = style or plots.PlotStyle()
    result, detector, measured = results["attack"]["test"], results.get("detector"), results["systematics"]
    label = configuration.report.data_label
    # Without a name of the data nobody said that the simulation is normalised to them.
    shown = {} if label is None else {"scale": results["events"].scale, "data_label": label}
    figures = attack_figures(
        measured.sums if label is None else measured.all_sums,
        result=result,
        effects=measured.effects,
        style=style,
        **shown,
    )
    if detector is not None:
        regions = tuple(f.region for f in flagged_fractions(measured.all_sums, configuration.data_regions))
        looks = style.with_data(label or "Data") if regions else style
        figures |= detector_figures(measured.all_sums, detector=detector, result=result, regions=regions, style=looks)
    if "keeping_flags" in results:
        figures["score_kept"] = _score_kept(results, style, **shown)
    if "spread" in results:
        runs: CrossRuns = results["spread"]
        figures["cross_runs"] = plots.plot_cross_runs(runs, style=style)[0]
        if runs.correct[0].all(axis=0).any():
            figures["misclassification"] = plots.plot_misclassification(runs.misclassification(), style=style)[0]
    return figures


def _score_kept(
    results: Mapping[str, Any], style: PlotStyle, *, scale: float | Mapping[str, float] = 1.0, data_label: str = ""
) -> Figure:
    """Score of simulation, both attacks and data in control and validation regions, with what each attack fools there."""
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    free, kept = results["attack"]["test"], results["keeping_flags"]
    classifier, table = results["baseline"].classifier, free.nominal
    regions = [region.name for region in table.regions if region.constrained]
    limits = [one.limit for one in compositions(kept, classifier) if one.name in regions]
    limit = f" (limit {limits[0]:.3f})" if len(regions) == 1 and limits and limits[0] is not None else ""
    name = f"Attack, score and flags kept: fooled {kept.counts(table.constrained).fooling_ratio:.3f}{limit}"
    shown = region_yields(
        free,
        score_variable(classifier),
        data=results["events"].data if data_label else None,
        regions=regions or None,
        scale=scale,
        further={name: kept},
    )
    label = f"Attack: fooled {free.counts(table.constrained).fooling_ratio:.3f}"
    return plots.plot_region_yields(
        shown,
        data_label=data_label,
        attack_label=label,
        log_y=True,
        style=style.with_data(data_label) if data_label else style,
    )[0]
