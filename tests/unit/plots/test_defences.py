# SPDX-License-Identifier: BSD-3-Clause
"""What figures of defences say; how they look is compared in ``tests/images``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from hepfool.defences import DetectorReport
from hepfool.plots import PlotStyle, plot_cross_runs, plot_misclassification
from hepfool.studies import CrossRuns, systematic_misclassification

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


def test_stars_stand_where_there_is_an_excess() -> None:
    rng = np.random.default_rng(1)
    flagged = rng.uniform(size=(6, 2000)) < np.where(np.arange(2000) < 20, 0.9, 0.05)
    study = systematic_misclassification(flagged)
    _, ax = plot_misclassification(study, style=PLAIN)
    (stars,) = (line for line in ax.lines if line.get_marker() == "*")
    assert list(np.asarray(stars.get_xdata())) == np.flatnonzero(study.significant).tolist()
    assert {5, 6} <= set(np.flatnonzero(study.significant).tolist())
    assert f"$p$ = {study.probability:.3g}" in labels(ax)[1]


def test_each_cell_has_its_number() -> None:
    def cell(attacked: int, judging: int) -> DetectorReport:
        return replace(REPORT, fooling_ratio=0.1 * (3 * attacked + judging))

    nothing = np.zeros((1, 3, 5), dtype=bool)
    runs = CrossRuns(
        cells=(tuple(tuple(cell(i, j) for j in range(3)) for i in range(3)),),
        flagged=nothing,
        correct=~nothing,
        auroc=np.ones((1, 3)),
        seed=1,
    )
    _, (left, right) = plot_cross_runs(runs, style=PLAIN)
    found = {text.get_position(): text.get_text() for text in left.texts}
    # Columns judge: run 3 on the attack of run 1.
    assert found[2, 0] == "0.20"
    assert found[0, 2] == "0.60"
    assert {text.get_text() for text in right.texts} >= {"0.12\n$\\pm$ 0.03\n(0.15)"}
    summary = next(text.get_text() for text in right.texts if "Grey-box" in text.get_text())
    assert "White-box (framed): 0.125" in summary
    assert "(product form 0.150)" in summary
