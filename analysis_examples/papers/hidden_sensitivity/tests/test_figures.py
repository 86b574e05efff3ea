# SPDX-License-Identifier: BSD-3-Clause
"""Compare the figures of the study with their references; draw the references anew with ``make images``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.figure import Figure

from analysis_examples.papers.hidden_sensitivity.plots import plot_hidden_sensitivity
from analysis_examples.papers.hidden_sensitivity.records import SensitivityGrid
from analysis_examples.papers.hidden_sensitivity.tests.specimens import sensitivity_grid, trained_sensitivity
from tests.figures import STYLE, TOLERANCE, drawn

FIGURES: dict[str, Callable[[], tuple[Figure, Any]]] = {
    "hidden_sensitivity": lambda: plot_hidden_sensitivity(sensitivity_grid(), style=STYLE),
    "hidden_sensitivity_one": lambda: plot_hidden_sensitivity(
        SensitivityGrid(cells={("Donut", "MLP"): (trained_sensitivity(0.1, 0.02, 0.01),)}), style=STYLE
    ),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.mpl_image_compare(savefig_kwargs={"dpi": 32}, tolerance=TOLERANCE, baseline_dir="baseline")
def test_figure(name: str) -> Figure:
    return drawn(FIGURES[name])
