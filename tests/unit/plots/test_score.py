# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hist import Hist

from hepfool.attacks import AttackResult
from hepfool.plots import plot_score, plot_score_stack, score_histogram
from hepfool.sums import AttackSums


def test_every_event_is_filled_once_per_variation(sums: AttackSums, result: AttackResult) -> None:
    histogram = score_histogram(sums)
    for variation in ("nominal", "adversarial"):
        assert histogram[{"variation": variation}].values().sum() == result.nominal.weights.sum()  # type: ignore[union-attr]


def test_score_of_one_counts_in_the_last_bin(sums: AttackSums, result: AttackResult) -> None:
    histogram = score_histogram(sums, n_bins=100)
    last: Any = histogram[{"process": "Signal", "variation": "nominal", "score": -1}]
    assert last.value == result.nominal.weights[-1]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["Background", "Signal"]),
        ({"label_names": ["Z", "H"]}, ["H", "Z"]),
        ({"by": "dataset"}, ["background", "signal"]),
        ({"region": "late"}, ["Signal"]),
    ],
)
def test_processes_are_labels_or_datasets(sums: AttackSums, options: dict[str, Any], names: list[str]) -> None:
    assert list(score_histogram(sums, **options).axes["process"]) == names


def test_overlay_names_processes_variations_and_threshold(sums: AttackSums) -> None:
    figure, _ = plot_score(score_histogram(sums, by="dataset"), threshold=0.5)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["background", "signal", "Nominal", "Adversarial", "Threshold 0.5"]


def test_density_has_unit_area(sums: AttackSums) -> None:
    _, ax = plot_score(score_histogram(sums, n_bins=10), density=True)
    drawn: list[Any] = [patch.get_data() for patch in ax.patches if hasattr(patch, "get_data")]
    bands = [data for data in drawn if np.ndim(data.baseline)]
    assert len(bands) == 2
    lines = [data.values for data in drawn if not np.ndim(data.baseline)]
    assert [values.sum() / 10 for values in lines] == pytest.approx([1.0] * 4)
    middles = [0.5 * (data.values + data.baseline) for data in bands]
    assert [values.sum() / 10 for values in middles] == pytest.approx([1.0] * 2)


def test_bands_are_the_errors_of_weighted_events() -> None:
    histogram: Any = (
        Hist.new.StrCat(["a"], name="process")
        .StrCat(["nominal", "adversarial"], name="variation")
        .Reg(2, 0, 1, name="score")
        .Weight()
    )
    for variation in ("nominal", "adversarial"):
        histogram.fill(process="a", variation=variation, score=[0.1, 0.2, 0.7], weight=[3.0, 4.0, 2.0])
    _, ax = plot_score(histogram)
    drawn: list[Any] = [patch.get_data() for patch in ax.patches if hasattr(patch, "get_data")]
    (band,) = [data for data in drawn if np.ndim(data.baseline)]
    np.testing.assert_allclose(band.values, [12.0, 4.0])
    np.testing.assert_allclose(band.baseline, [2.0, 0.0])


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
