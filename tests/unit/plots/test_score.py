# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import pytest
from hist import Hist

from hepfool.attacks.base import AttackResult
from hepfool.plots.scores import plot_score, plot_score_stack, score_histogram
from hepfool.sums import AttackSums


def test_every_event_is_filled_once_per_variation(sums: AttackSums, result: AttackResult) -> None:
    histogram = score_histogram(sums)
    for variation in ("nominal", "adversarial"):
        assert histogram[{"variation": variation}].values().sum() == result.nominal.weights.sum()  # type: ignore[union-attr]


def test_score_of_one_counts_in_the_last_bin(sums: AttackSums, result: AttackResult) -> None:
    histogram = score_histogram(sums, n_bins=100)
    last: Any = histogram[{"process": "Class 1", "variation": "nominal", "score": -1}]
    assert last.value == result.nominal.weights[-1]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["Class 0", "Class 1"]),
        ({"label_names": ["Z", "H"]}, ["H", "Z"]),
        ({"by": "dataset"}, ["background", "signal"]),
        ({"region": "late"}, ["Class 1"]),
    ],
)
def test_processes_are_labels_or_datasets(sums: AttackSums, options: dict[str, Any], names: list[str]) -> None:
    assert list(score_histogram(sums, **options).axes["process"]) == names


def test_overlay_names_processes_variations_and_threshold(sums: AttackSums) -> None:
    _, ax = plot_score(score_histogram(sums, by="dataset"), threshold=0.5)
    legend: Any = ax.get_legend()
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["background", "signal", "Nominal", "Adversarial", "Threshold 0.5"]


def test_density_has_unit_area(sums: AttackSums) -> None:
    _, ax = plot_score(score_histogram(sums, n_bins=10), density=True)
    areas = [patch.get_data().values.sum() / 10 for patch in ax.patches if hasattr(patch, "get_data")]
    assert areas == pytest.approx([1.0] * 4)


def test_stack_adds_up_to_all_events(sums: AttackSums, result: AttackResult) -> None:
    histogram = score_histogram(sums, by="dataset", n_bins=1)
    _, (ax, _) = plot_score_stack(histogram)
    highest = max(patch.get_data().values.max() for patch in ax.patches if hasattr(patch, "get_data"))
    assert highest == result.nominal.weights.sum()


def test_absent_axis_is_named() -> None:
    histogram: Hist[Any] = Hist.new.StrCat(["a"], name="dataset").Reg(2, 0, 1, name="score").Double()
    with pytest.raises(ValueError, match=r"expected .*'process', 'variation', 'score'"):
        plot_score(histogram)


def test_absent_variation_is_named() -> None:
    histogram: Hist[Any] = (
        Hist.new.StrCat(["a"], name="process").StrCat(["nominal"], name="variation").Reg(2, 0, 1, name="score").Double()
    )
    with pytest.raises(ValueError, match="no variation 'adversarial', only nominal"):
        plot_score_stack(histogram)
