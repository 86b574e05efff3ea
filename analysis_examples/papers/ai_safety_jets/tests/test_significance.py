# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest

from analysis_examples.papers.ai_safety_jets.significance import (
    SignificanceSettings,
    compare_significance,
    optimal_threshold,
    relative_significance,
)
from hepfool.typing import FloatArray, IntArray

FEW = SignificanceSettings(n_thresholds=50, n_bootstrap=100)


def sample(rng: np.random.Generator, n_events: int = 4000) -> tuple[IntArray, FloatArray]:
    """Events of which a third are signal, with scores of beta distributions."""
    labels = (np.arange(n_events) % 3 == 0).astype(np.int64)
    return labels, np.where(labels == 1, rng.beta(3.0, 1.5, n_events), rng.beta(1.0, 4.0, n_events))


def plain_significance(labels: IntArray, scores: FloatArray, weights: FloatArray, threshold: float) -> float:
    passed = scores > threshold
    signal, background = (weights[passed & (labels == k)].sum() / weights[labels == k].sum() for k in (1, 0))
    return float(signal / np.sqrt(background))


def test_curves_are_the_weighted_fractions_above_each_threshold(rng: np.random.Generator) -> None:
    labels, scores = sample(rng, 500)
    weights = rng.uniform(-0.2, 2.0, 500)
    study = compare_significance(labels, scores, {"half": scores / 2}, rng=rng, weights=weights, settings=FEW)
    for index in (0, 5, 15):
        threshold = study.thresholds[index]
        assert study.nominal.significance[index] == pytest.approx(
            plain_significance(labels, scores, weights, threshold)
        )
        half = plain_significance(labels, scores / 2, weights, threshold)
        assert study.curve("half").significance[index] == pytest.approx(half)
        assert study.curve("half").ratio[index] == pytest.approx(half / study.nominal.significance[index])


def test_scores_on_a_threshold_do_not_pass() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.0, 0.5, 0.5, 1.0])
    settings = SignificanceSettings(n_thresholds=2, min_background=1, n_bootstrap=2)
    study = compare_significance(labels, scores, {"same": scores}, rng=np.random.default_rng(1), settings=settings)
    assert study.thresholds.tolist() == [0.0, 0.5]
    assert study.nominal.signal_efficiency.tolist() == [1.0, 0.5]
    assert study.nominal.background_efficiency.tolist() == [0.5, 0.0]


def test_optimum_keeps_the_asked_background(rng: np.random.Generator) -> None:
    labels, scores = sample(rng)
    values = relative_significance(
        *(np.array([(scores[labels == k] > t / 50).mean() for t in range(50)]) for k in (1, 0))
    )
    n_background = np.array([(scores[labels == 0] > t / 50).sum() for t in range(50)])
    for wanted in (20, 100, 400):
        settings = SignificanceSettings(n_thresholds=50, min_background=wanted)
        best = max((t for t in range(50) if n_background[t] >= wanted), key=lambda t: values[t])
        assert optimal_threshold(labels, scores, settings=settings) == pytest.approx(best / 50)
    free = np.nanargmax(np.where(n_background > 0, values, np.nan))
    assert n_background[free] < 400


def test_weights_that_are_all_one_event_do_not_count_as_many(rng: np.random.Generator) -> None:
    labels, scores = sample(rng, 600)
    weights = np.where(labels == 0, 1e-6, 1.0)
    weights[np.argmax(np.where(labels == 0, scores, -1.0))] = 1.0
    assert 0 < optimal_threshold(labels, scores, settings=FEW) < 1
    with pytest.raises(ValueError, match="no threshold leaves 100 effective background events of 400; bring more"):
        optimal_threshold(labels, scores, weights=weights, settings=FEW)


def test_optimum_of_other_events_is_kept(rng: np.random.Generator) -> None:
    labels, scores = sample(rng)
    study = compare_significance(labels, scores, {"same": scores}, rng=rng, threshold=0.123, settings=FEW)
    assert study.threshold == 0.123
    assert len(study.thresholds) == 51
    assert study.expected == pytest.approx(plain_significance(labels, scores, np.ones(len(labels)), 0.123))


def test_nothing_changes_with_certainty_when_scores_stay(rng: np.random.Generator) -> None:
    labels, scores = sample(rng)
    study = compare_significance(labels, scores, {"same": scores.copy()}, rng=rng, settings=FEW)
    assert study.change("same") == (0.0, 0.0, 0.0)


def test_band_is_that_of_pairs_and_covers_the_truth() -> None:
    """A band of independent samples would be several times wider, and cover always."""

    def moved(labels: IntArray, scores: FloatArray) -> FloatArray:
        return np.where(labels == 1, np.maximum(scores - 0.02, 0.0), scores)

    rng = np.random.default_rng(7)
    labels, scores = sample(rng, 300_000)
    weights = np.ones(300_000)
    truth = (
        plain_significance(labels, moved(labels, scores), weights, 0.5)
        / plain_significance(labels, scores, weights, 0.5)
        - 1.0
    )
    changes = []
    for _ in range(60):
        labels, scores = sample(rng, 1500)
        study = compare_significance(
            labels, scores, {"moved": moved(labels, scores)}, rng=rng, threshold=0.5, settings=FEW
        )
        changes.append(study.change("moved"))
    covered = np.mean([change.lower <= truth <= change.upper for change in changes])
    assert 0.5 < covered < 0.85
    widths = np.mean([change.upper - change.lower for change in changes])
    assert widths == pytest.approx(2 * np.std([change.value for change in changes]), rel=0.3)


def test_band_agrees_with_propagated_errors(rng: np.random.Generator) -> None:
    labels, scores = sample(rng)
    shifted = np.where(labels == 1, scores * 0.9, scores)
    settings = SignificanceSettings(n_bootstrap=400)
    study = compare_significance(labels, scores, {"shifted": shifted}, rng=rng, threshold=0.5, settings=settings)
    before, after = ((values > 0.5)[labels == 1].astype(float) for values in (scores, shifted))
    ratio = after.mean() / before.mean()
    error = np.linalg.norm(after - ratio * before) / before.sum()
    change = study.change("shifted")
    assert change.value == pytest.approx(ratio - 1.0)
    assert change.upper - change.lower == pytest.approx(2 * error, rel=0.15)


def test_same_seed_same_band(rng: np.random.Generator) -> None:
    labels, scores = sample(rng, 600)
    first, second = (
        compare_significance(labels, scores, {"x": scores / 2}, rng=np.random.default_rng(3), settings=FEW).change("x")
        for _ in range(2)
    )
    assert first == second
    assert str(first).startswith(f"{100 * first.value:+.1f} % [")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 0, 0, 0])}, r"signal events \(label 1\) have no positive total weight"),
        ({"labels": np.array([0, 1, -1, 1])}, r"labels must be 0 or 1, found \[-1, 0, 1\]"),
        ({"nominal": np.array([0.1, 0.2, 0.3, 1.2])}, "scores 'nominal' must be 4 numbers in"),
        ({"varied": {"attack": np.array([0.1, np.nan, 0.3, 0.4])}}, "scores 'attack' must be 4 numbers in"),
        ({"varied": {"attack": np.array([0.1])}}, r"'attack' must be 4 .* got shape \(1,\)"),
        ({"varied": {}}, "nothing to compare with"),
        ({"weights": np.ones(3)}, r"weights have shape \(3,\), expected \(4,\)"),
        ({"threshold": 1.0}, r"the threshold must lie in \[0, 1\), got 1.0"),
    ],
)
def test_input_is_checked(change: dict[str, object], message: str) -> None:
    scores = np.array([0.1, 0.9, 0.2, 0.8])
    arguments = {"labels": np.array([0, 1, 0, 1]), "nominal": scores, "varied": {"attack": scores}, **change}
    with pytest.raises(ValueError, match=message):
        compare_significance(rng=np.random.default_rng(1), **arguments)  # type: ignore[arg-type]


def test_settings_and_names_are_checked(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="got n_thresholds=1"):
        SignificanceSettings(n_thresholds=1)
    with pytest.raises(ValueError, match="got min_background=0"):
        SignificanceSettings(min_background=0)
    labels, scores = sample(rng, 900)
    study = compare_significance(labels, scores, {"FGSM": scores}, rng=rng, settings=FEW)
    with pytest.raises(ValueError, match="no scores are called 'PGD'; use one of FGSM"):
        study.change("PGD")
