# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from hepfool.attacks import AttackResult
from hepfool.plots import fooling_by_part, plot_fooling

ATTACKS = [("Control region", 0.7, 0.01), ("Signal region", 0.9, 0.004)]
SYSTEMATICS = [("Tau energy", 0.02, 0.001), ("Jet energy", 0.03, math.nan)]
from tests.unit.plots.conftest import FirstFeature


def written(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_one_bar_per_measurement_in_the_order_given() -> None:
    _, ax = plot_fooling(ATTACKS, SYSTEMATICS)
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.9, 0.02, 0.03]  # type: ignore[attr-defined]
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["Control region", "Signal region", "Tau energy", "Jet energy"]


def test_values_are_written_to_the_digit_of_their_error() -> None:
    _, ax = plot_fooling(ATTACKS, SYSTEMATICS)
    assert written(ax)[:4] == [r"0.70 $\pm$ 0.01", r"0.900 $\pm$ 0.004", r"0.020 $\pm$ 0.001", "0.03"]


def test_both_sides_of_a_source_share_a_row_and_weights_change_no_class() -> None:
    sides = [("tes_down", 0.01, 0.001), ("tes_up", 0.02, 0.001), ("norm_up", math.nan, math.nan)]
    figure, ax = plot_fooling(ATTACKS[:1], sides)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Control region", "tes", "norm"]
    bars = [(bar.get_width(), bar.get_y() < 1.0 - 0.3) for bar in ax.patches[1:]]  # type: ignore[attr-defined]
    assert bars == [(0.02, True), (0.01, False)]
    assert "no event" in written(ax)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["Attack", "Systematic, up", "down"]


def test_corrected_ratio_stands_in_the_row_of_its_attack() -> None:
    _, ax = plot_fooling(ATTACKS, corrected=[("Signal region", 0.1, 0.01)])
    rows = [round(bar.get_y() + bar.get_height() / 2) for bar in ax.patches]  # type: ignore[attr-defined]
    assert rows == [0, 1, 1]


def test_reader_is_told_that_the_attack_is_a_lower_limit_of_the_worst_case() -> None:
    figure, _ = plot_fooling(ATTACKS)
    assert "lower limit of the worst case" in figure.legends[0].get_title().get_text()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_extreme_fractions_can_be_drawn_on_a_logarithmic_axis(value: float) -> None:
    figure, ax = plot_fooling([("All", value, 0.0)], SYSTEMATICS, log_x=True)
    figure.draw_without_rendering()
    assert ax.get_xlim()[0] > 0


def test_no_attack_is_refused() -> None:
    with pytest.raises(ValueError, match="no fooling ratio to show"):
        plot_fooling([], SYSTEMATICS)


def test_corrected_ratio_without_attack_is_refused() -> None:
    with pytest.raises(ValueError, match="'SR' has no attack of that name"):
        plot_fooling(ATTACKS, corrected=[("SR", 0.1, 0.01)])


def test_only_known_errors_are_drawn() -> None:
    _, ax = plot_fooling(ATTACKS[:1], SYSTEMATICS)
    bars = [container for container in ax.containers if isinstance(container, ErrorbarContainer)]
    centres = [bar.lines[2][0].get_segments()[0][:, 0].tolist() for bar in bars]
    assert centres == [pytest.approx([0.69, 0.71]), pytest.approx([0.019, 0.021])]


def test_ratios_by_part_are_those_of_its_attacked_events(result: AttackResult) -> None:
    table, flagged = result.nominal, np.arange(result.nominal.n_events) % 3 == 0
    by_part = fooling_by_part(result.sums(FirstFeature(), flagged=flagged))
    masks = {
        "all events": np.ones(table.n_events, dtype=bool),
        "background": table.dataset_mask("background"),
        "signal": table.dataset_mask("signal"),
        "control region (control)": table.region("control_region").mask,
        "late (signal)": table.region("late").mask,
    }
    for kind, counted in (("attacks", result.fooled), ("corrected", result.fooled & ~flagged)):
        found = {name: (value, error) for name, value, error in by_part[kind]}
        assert set(found) <= set(masks)
        assert {"all events", "background"} <= set(found)
        for name, (value, error) in found.items():
            events = [k for k in range(table.n_events) if masks[name][k] and result.attacked[k]]
            total = sum(table.weights[k] for k in events)
            ratio = sum(table.weights[k] for k in events if counted[k]) / total
            assert value == pytest.approx(ratio)
            squares = sum((table.weights[k] * (counted[k] - ratio)) ** 2 for k in events)
            assert error == pytest.approx(np.sqrt(squares) / total)
    assert "corrected" not in fooling_by_part(result.sums(FirstFeature()))
    plot_fooling(by_part["attacks"], corrected=by_part["corrected"])
