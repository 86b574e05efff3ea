# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from analysis_examples.papers.ai_safety_jets.checkpoints import CheckpointRecord
from analysis_examples.papers.ai_safety_jets.plots import plot_checkpoints, plot_significance
from analysis_examples.papers.ai_safety_jets.significance import (
    SignificanceSettings,
    SignificanceStudy,
    compare_significance,
)


@pytest.fixture(scope="module")
def study() -> SignificanceStudy:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [900, 300])
    scores = np.concatenate([rng.beta(1, 3, 900), rng.beta(3, 1, 300)])
    settings = SignificanceSettings(n_thresholds=20, n_bootstrap=20)
    return compare_significance(labels, scores, {"FGSM": scores**1.5}, rng=rng, settings=settings)


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_legend_states_the_change_and_how_the_optimum_was_found(study: SignificanceStudy) -> None:
    _, (ax, _) = plot_significance(study, note="Low level")
    change = 100 * study.change("FGSM").value
    assert texts(ax) == [
        "Nominal",
        f"FGSM, {change:+.1f} %",
        f"Expected optimum {study.threshold:.3g}",
        "Below 100 background events",
    ]
    assert ax.texts[0].get_text() == "Low level\n300 signal,\n900 background events"


def test_ratios_are_drawn_where_the_background_suffices(study: SignificanceStudy) -> None:
    _, (_, below) = plot_significance(study)
    drawn = below.lines[0].get_xdata()
    assert list(drawn) == study.thresholds[study.enough_background].tolist()  # type: ignore[arg-type]
    assert 0 < len(drawn) < len(study.thresholds)  # type: ignore[arg-type]


def test_checkpoints_are_joined_by_epoch_with_asymmetric_errors(study: SignificanceStudy) -> None:
    records = [CheckpointRecord(epoch=k, auroc=area, significance=study) for k, area in ((5, 0.9), (1, 0.8))]
    before = dict(mpl.rcParams)
    _, (ax, below) = plot_checkpoints({"Low level": records})
    assert dict(mpl.rcParams) == before
    assert list(ax.lines[0].get_xdata()) == [0.8, 0.9]  # type: ignore[arg-type]
    change = study.change("FGSM")
    assert ax.lines[1].get_ydata()[0] == pytest.approx(study.expected * (1 + change.value))  # type: ignore[index]
    (bars,) = below.containers
    (segments,) = bars[2]
    assert segments.get_segments()[0][:, 1].tolist() == pytest.approx([change.lower, change.upper])
    with pytest.raises(ValueError, match="no checkpoint to show"):
        plot_checkpoints({"Low level": []})
