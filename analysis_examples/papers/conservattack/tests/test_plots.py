# SPDX-License-Identifier: BSD-3-Clause
"""What the figures say; how they look is compared in ``test_figures``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from analysis_examples.papers.conservattack.augmented_runs import Augmentation, AugmentedRun
from analysis_examples.papers.conservattack.limited_runs import LimitedAttack, LimitedData, LimitedRun
from analysis_examples.papers.conservattack.plots import plot_augmentation, plot_limited_data
from hepfool.defences import DetectorReport
from hepfool.plots import PlotStyle

PLAIN = PlotStyle(experiment="plain")
REPORT = DetectorReport(
    n_clean=10,
    n_attacked=10,
    n_fooled=5,
    n_fooled_unflagged=1,
    threshold=0.5,
    clean_efficiency=0.9,
    clean_efficiency_by_class={},
    efficiency_fooled=0.8,
    efficiency_unfooled=0.5,
    efficiency_adversarial=0.7,
    fooling_ratio=0.5,
    corrected_fooling_ratio=0.125,
    corrected_fooling_ratio_error=0.03,
    product_fooling_ratio=0.15,
    auroc=0.9,
)


def labels(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    assert legend is not None
    return [legend.get_title().get_text(), *(text.get_text() for text in legend.get_texts())]


def test_gains_are_named_with_their_errors() -> None:
    run = AugmentedRun(baseline=0.8, augmented=0.82, control=0.79, n_train=100, n_added=10, fooling_ratio=0.1)
    study = Augmentation(runs=(run, replace(run, augmented=0.84)), n_test=500, seed=1)
    _, ax = plot_augmentation(study, style=PLAIN)
    note, adversarial, control = labels(ax)
    assert note == "100 training and 500 test events"
    assert "+0.0300 $\\pm$ 0.0100, better for 2 of 2" in adversarial
    assert "\N{MINUS SIGN}0.0100 $\\pm$ 0.0000, better for 0 of 2" in control


def test_each_attack_stands_with_its_runs_and_the_curve_with_its_errors() -> None:
    def run(k: int) -> LimitedRun:
        report = replace(REPORT, fooling_ratio=0.5 + 0.1 * k, auroc=0.8 + 0.02 * k)
        attack = LimitedAttack(
            report=report, adaptive=None, mean_js_distance=0.0, correlation_shift=0.0, distance_correlation_shift=0.0
        )
        return LimitedRun(attacks={"A": attack, "B": attack}, curve=(report, replace(report, auroc=0.9)))

    study = LimitedData(runs=(run(0), run(1)), n_events=(30, 20, 10), sizes=(10, 20), seed=1)
    _, (left, right) = plot_limited_data(study, style=PLAIN)
    assert labels(left) == ["10 test events, 2 runs (open) and mean", "Fooled", "and not flagged"]
    first = next(line for line in left.lines if line.get_markerfacecolor() == "none")
    assert list(np.asarray(first.get_ydata())) == [0.5, 0.6]
    assert "B, 30 events: 0.810 $\\pm$ 0.010" in labels(right)
    (curve,) = (line for line in right.lines if line.get_linestyle() == "-")
    np.testing.assert_allclose(np.asarray(curve.get_xydata()), [[10, 0.81], [20, 0.9]])
