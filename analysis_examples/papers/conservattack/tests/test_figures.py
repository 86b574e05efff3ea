# SPDX-License-Identifier: BSD-3-Clause
"""Compare the figures of the study with their references; draw the references anew with ``make images``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis_examples.papers.conservattack.augmented_runs import Augmentation, AugmentedRun
from analysis_examples.papers.conservattack.limited_runs import LimitedAttack, LimitedData, LimitedRun
from analysis_examples.papers.conservattack.plots import plot_augmentation, plot_limited_data
from tests.figures import STYLE, TOLERANCE, drawn, judged


def augmentation() -> Augmentation:
    waves = np.sin(np.arange(10))
    runs = [
        AugmentedRun(
            baseline=0.84 + 0.01 * wave,
            augmented=0.85 + 0.006 * wave,
            control=0.843 + 0.009 * wave,
            n_train=5000,
            n_added=3000,
            fooling_ratio=0.7,
        )
        for wave in waves
    ]
    return Augmentation(runs=tuple(runs), n_test=20000, seed=1)


def limited_data(n_runs: int = 5, *, adaptive: bool = True) -> LimitedData:
    """Runs around fixed ratios, with a curve that rises."""

    def attack(row: int, run: int) -> LimitedAttack:
        report = judged(row, row, run)
        area = 0.78 - 0.01 * row + 0.01 * np.sin(5.0 * run)
        return LimitedAttack(
            report=replace(report, auroc=area),
            adaptive=replace(report, corrected_fooling_ratio=report.fooling_ratio - 0.1) if adaptive else None,
            mean_js_distance=0.01,
            correlation_shift=0.1,
            distance_correlation_shift=0.1,
        )

    sizes = (500, 1000, 2000, 4000, 8000)
    runs = [
        LimitedRun(
            attacks={"Pearson": attack(0, k), "Distance correlation": attack(1, k)},
            curve=tuple(replace(judged(0, 0, k), auroc=0.9 - 4.0 / np.sqrt(n) + 0.01 * np.sin(n + k)) for n in sizes),
        )
        for k in range(n_runs)
    ]
    return LimitedData(runs=tuple(runs), n_events=(2500, 1000, 1000), sizes=sizes, seed=1)


FIGURES: dict[str, Callable[[], tuple[Figure, Any]]] = {
    "augmentation": lambda: plot_augmentation(augmentation(), style=STYLE),
    "limited_data": lambda: plot_limited_data(limited_data(), style=STYLE),
    "limited_data_naive": lambda: plot_limited_data(limited_data(2, adaptive=False), style=STYLE),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.mpl_image_compare(savefig_kwargs={"dpi": 32}, tolerance=TOLERANCE, baseline_dir="baseline")
def test_figure(name: str) -> Figure:
    return drawn(FIGURES[name])
