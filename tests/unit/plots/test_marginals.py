# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hist import Hist
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from hepfool.attacks import AttackResult
from hepfool.plots import marginal, plot_marginal, plot_marginals, representative_marginals
from hepfool.plots._inputs import Marginal
from hepfool.statistics._migration import Migration
from hepfool.sums import AttackSums


def test_marginal_holds_all_weights_of_the_region(sums: AttackSums, result: AttackResult) -> None:
    shown = marginal(sums, "score_like")
    assert shown.nominal.axes[0].size == 50
    assert shown.nominal.values().sum() == result.nominal.weights.sum()
    variances: Any = shown.nominal.variances()
    assert variances.sum() == (result.nominal.weights**2).sum()
    assert shown.adversarial.values().sum() == result.nominal.weights.sum()


def test_marginal_takes_distance_and_floor_from_the_bins_of_the_attack(sums: AttackSums, result: AttackResult) -> None:
    shown = marginal(sums, "n_jets")
    assert shown.js_distance == result.compatibility.js_distance[2]
    assert shown.js_floor == result.compatibility.js_floor[2]


def test_marginal_of_a_region_uses_its_events_only(sums: AttackSums, result: AttackResult) -> None:
    shown = marginal(sums, "score_like", region="late")
    assert shown.nominal.values().sum() == result.nominal.weights[50:].sum()
    assert shown.js_distance == result.compare("late").js_distance[0]
    assert shown.note == "late"


def test_integer_feature_has_one_bin_per_number(sums: AttackSums) -> None:
    edges = marginal(sums, "n_jets").nominal.axes[0].edges
    assert edges.tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]


def test_missing_values_are_left_out(sums: AttackSums, result: AttackResult) -> None:
    total = result.nominal.weights.sum()
    assert marginal(sums, "eta").nominal.values().sum() == total - result.nominal.weights[3]


def test_representative_features_are_those_moved_least_typically_and_most(
    sums: AttackSums, result: AttackResult
) -> None:
    shown = representative_marginals(sums)
    distances = [item.js_distance for item in shown]
    assert distances == sorted(result.compatibility.js_distance)
    assert [item.note for item in shown] == ["Smallest distance", "Median distance", "Largest distance"]


def test_figure_shows_both_yields_and_the_net_change(sums: AttackSums) -> None:
    shown = marginal(sums, "n_jets")
    figure, (ax, below) = plot_marginal(shown)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["Nominal", "Adversarial", "Stat. unc., for scale"]
    assert is_drawn(shown.adversarial.values() - shown.nominal.values(), below)
    assert below.get_ylabel() == "Change"
    assert below.get_xlabel() == "Number of jets"
    assert ax.get_ylabel() == "Events"


def test_histograms_alone_show_their_ratio(sums: AttackSums) -> None:
    shown = replace(marginal(sums, "n_jets"), migration=None)
    _, (_, below) = plot_marginal(shown)
    assert is_drawn(shown.adversarial.values() / shown.nominal.values(), below)
    assert below.get_ylabel() == "Ratio"


def test_errors_of_the_changes_are_those_of_the_events_that_moved(sums: AttackSums) -> None:
    shown = marginal(sums, "n_jets")
    # Every event but those with 4 jets moves up by one; each fifth of the events has the squared weights 50.
    assert shown.migration is not None
    assert shown.migration.net.tolist() == [-30.0, 0.0, 0.0, 0.0, 30.0]
    assert shown.migration.variance.tolist() == [50.0, 100.0, 100.0, 100.0, 50.0]


def test_missing_values_do_not_migrate(sums: AttackSums) -> None:
    shown = marginal(sums, "eta")
    assert shown.migration is not None
    assert not shown.migration.net.any()


def test_beyond_the_last_column_a_row_begins(sums: AttackSums) -> None:
    figure, panels = plot_marginals([marginal(sums, "n_jets")] * 3, n_columns=2)
    assert len(panels) == 3
    assert len(figure.axes) == 6
    figure.draw_without_rendering()
    heights = [round(ax.get_position().y0, 3) for ax, _ in panels]
    assert heights[0] == heights[1] > heights[2]


def test_remarks_state_distance_and_floor() -> None:
    histogram = filled([0.1, 0.2])
    shown = Marginal(nominal=histogram, adversarial=histogram, js_distance=0.0123, js_floor=0.034, note="SR")
    _, (ax, _) = plot_marginal(shown)
    assert any(text.get_text() == "SR\nJS distance 0.0123\nStat. floor 0.034" for text in ax.texts)


def test_bins_beyond_nearly_all_events_are_not_shown() -> None:
    histogram: Hist[Any] = Hist.new.Reg(4, 0, 4, label="$m$ [GeV]").Weight()
    histogram.fill(np.repeat([0.5, 1.5, 3.5], [3, 4000, 3]))
    _, (_, below) = plot_marginal(Marginal(nominal=histogram, adversarial=histogram))
    assert below.get_xlim() == (1.0, 2.0)


def test_one_column_per_feature() -> None:
    histogram = filled([0.1, 0.2])
    _, columns = plot_marginals([Marginal(nominal=histogram, adversarial=histogram)] * 3)
    assert len(columns) == 3


def test_histograms_of_different_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="must have the same bins"):
        Marginal(nominal=filled([0.1], n_bins=2), adversarial=filled([0.1], n_bins=3))


def test_histogram_of_two_axes_is_refused() -> None:
    two: Hist[Any] = Hist.new.Reg(2, 0, 1).Reg(2, 0, 1).Double()
    with pytest.raises(ValueError, match="one axis, got 2 and 2"):
        Marginal(nominal=two, adversarial=two)


def test_migration_in_other_bins_is_refused() -> None:
    histogram = filled([0.1], n_bins=2)
    migration = Migration(net=np.zeros(3), variance=np.zeros(3))
    with pytest.raises(ValueError, match="the migration has 3 bins, the histograms 2"):
        Marginal(nominal=histogram, adversarial=histogram, migration=migration)


def test_no_marginal_is_refused() -> None:
    with pytest.raises(ValueError, match="no marginal to show"):
        plot_marginals([])


def is_drawn(expected: Any, ax: Axes) -> bool:
    patches: list[Any] = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
    drawn = [patch.get_data().values for patch in patches]
    return any(np.array_equal(values, expected) for values in drawn)


def filled(values: list[float], *, n_bins: int = 4) -> Hist[Any]:
    histogram: Hist[Any] = Hist.new.Reg(n_bins, 0, 1, label="$m$ [GeV]").Weight()
    return histogram.fill(values)
