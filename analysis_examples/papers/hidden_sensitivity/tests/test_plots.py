# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import pytest

from analysis_examples.papers.hidden_sensitivity.plots import plot_hidden_sensitivity
from analysis_examples.papers.hidden_sensitivity.records import SensitivityGrid
from analysis_examples.papers.hidden_sensitivity.tests.specimens import sensitivity_grid


def test_points_are_means_with_errors_over_trainings() -> None:
    grid = sensitivity_grid()
    _, axes = plot_hidden_sensitivity(grid)
    places = [(task, name) for task in grid.tasks for name in grid.architectures]
    for ax, quantity in zip(axes, ("flips", "yield_shift"), strict=True):
        drawn: list[Any] = list(ax.containers)
        for container, number in zip(
            drawn,
            [n for n in ("ordinary", "random", "attack") for _ in grid.cells],
            strict=True,
        ):
            (place,) = [
                (task, name)
                for k, (task, name) in enumerate((t, a) for t in grid.tasks for a in grid.architectures)
                if abs(container.lines[0].get_xdata()[0] - k) < 0.3
            ]
            mean = grid.mean(*place, quantity, number)  # type: ignore[arg-type]
            assert container.lines[0].get_ydata()[0] == mean.value
            (low, high) = container.lines[2][0].get_segments()[0][:, 1]
            assert (high - low) / 2 == pytest.approx(mean.error)
        lines: list[Any] = [line for line in ax.lines if line.get_linewidth() == 3.0]
        limits = [grid.limit(*place, quantity, "proved").value for place in (places[0], places[7])]  # type: ignore[arg-type]
        assert [line.get_ydata()[0] for line in lines] == limits
    dashes = [text for text in axes[0].texts if text.get_text() == "–"]
    assert [text.get_position()[0] for text in dashes] == [5.0]
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["MLP", "PFN", "Attention", "Trees"] * 2


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="no training to show"):
        plot_hidden_sensitivity(SensitivityGrid(cells={}, absent={("jets", "MLP"): "why"}))
