# SPDX-License-Identifier: BSD-3-Clause
"""What the image comparisons of the package and of the examples share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from hepfool.defences import DetectorReport
from hepfool.plots import PlotStyle
from hepfool.typing import FloatArray

STYLE = PlotStyle(experiment="CMS", lumi=59.7, energy=13.6)
#: Largest difference of colour values (root mean square) between two installations.
TOLERANCE = 3


def quantiles(n_events: int) -> FloatArray:
    """Even steps instead of random numbers: the same data everywhere."""
    return (np.arange(n_events) + 0.5) / n_events


def judged(attacked: int, judging: int, split: int) -> DetectorReport:
    ratio = (0.9 if attacked == judging else 0.6) - 0.05 * attacked + 0.03 * judging + 0.02 * split
    return DetectorReport(
        n_clean=1000,
        n_attacked=900,
        n_fooled=400,
        n_fooled_unflagged=100,
        threshold=0.6,
        clean_efficiency=0.9,
        clean_efficiency_by_class={0: 0.9, 1: 0.9},
        efficiency_fooled=0.8,
        efficiency_unfooled=0.5,
        efficiency_adversarial=0.7,
        fooling_ratio=ratio,
        corrected_fooling_ratio=0.2 * ratio,
        corrected_fooling_ratio_error=0.012,
        product_fooling_ratio=0.3 * ratio,
        auroc=0.9,
    )


def drawn(draw: Callable[[], tuple[Figure, Any]]) -> Figure:
    """Draw a figure, and check that it is whole and leaves Matplotlib as it was."""
    settings = dict(mpl.rcParams)
    figure, _ = draw()
    figure.draw_without_rendering()
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == []
    assert_nothing_leaves(figure)
    return figure


def assert_nothing_leaves(figure: Figure) -> None:
    """No text or line may be cut off at the border."""
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height
