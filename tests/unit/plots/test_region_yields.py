# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from hepfool.plots import PlotStyle, plot_region_yields
from hepfool.studies._region_yields import RegionYields

CONTROL = RegionYields(
    region="low_met",
    role="control",
    label="MET [GeV]",
    edges=np.array([0.0, 10.0, 20.0]),
    processes={"large": np.array([8.0, 4.0]), "small": np.array([2.0, 1.0])},
    adversarial=np.array([9.0, 6.0]),
    statistical=np.array([1.0, 0.5]),
    systematic_up=np.array([1.0, 0.5]),
    systematic_down=np.array([1.0, 0.5]),
    sources=("tes",),
    data=np.array([11.0, 0.0]),
)
BLINDED = replace(CONTROL, region="high_met", role="signal", data=None, blinded=True)


def test_data_are_drawn_where_they_are_not_blinded() -> None:
    figure, ((control, ratio), (signal, _)) = plot_region_yields([CONTROL, BLINDED], data_label="Pseudo-data")
    assert points(control) == [[11.0, 0.0]]
    assert points(ratio) == [[1.1, 0.0]]
    assert not signal.containers
    assert "data blinded" in signal.texts[0].get_text()
    assert "blinded" not in control.texts[0].get_text()
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["Pseudo-data", "large", "small", "Stat. and syst. unc.", "Simulation after the attack"]
    assert control.get_ylabel() == "Events / 10 GeV"


def test_further_attacks_are_lines_of_their_own() -> None:
    attacked = replace(CONTROL, further={"Score kept": np.array([10.0, 30.0])})
    figure, ((ax, ratio),) = plot_region_yields([attacked], attack_label="Score not kept")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[-2:] == ["Score not kept", "Score kept"]
    lines = [[patch for patch in panel.patches if not patch.get_fill()] for panel in (ax, ratio)]
    drawn = [[patch.get_data()[0].tolist() for patch in panel if isinstance(patch, StepPatch)] for panel in lines]
    assert drawn == [[[9.0, 6.0], [10.0, 30.0]], [[0.9, 1.2], [1.0, 6.0]]]
    first, second = (patch.get_edgecolor() for patch in lines[0])
    assert first != second
    assert second not in [patch.get_facecolor() for patch in figure.legends[0].get_patches()]
    assert ax.get_ylim()[1] > 30.0


def points(ax: Axes) -> list[list[float]]:
    containers: Any = ax.containers
    return [list(container.lines[0].get_ydata()) for container in containers]


def test_no_process_has_the_colour_of_the_attack() -> None:
    style = PlotStyle(colours=("red", "green", "blue"))
    many = replace(CONTROL, processes={f"process {k}": np.ones(2) for k in range(4)})
    figure, _ = plot_region_yields([many], style=style)
    patches = figure.legends[0].get_patches()
    assert style.adversarial_colour == "blue"
    assert (0.0, 0.0, 1.0, 1.0) not in [patch.get_facecolor() for patch in patches]


def test_without_data_and_systematics_the_legend_says_so() -> None:
    figure, _ = plot_region_yields([replace(CONTROL, data=None, sources=())])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["large", "small", "Stat. unc.", "Simulation after the attack"]


def test_no_region_is_refused() -> None:
    with pytest.raises(ValueError, match="no region to show"):
        plot_region_yields([])
