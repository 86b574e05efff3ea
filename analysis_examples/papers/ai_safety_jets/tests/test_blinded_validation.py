# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis_examples.papers.ai_safety_jets.blinded_validation import (
    BlindedValidation,
    PairedObservable,
    validate_blinded,
)
from hepfool.typing import FloatArray, IntArray

EDGES = np.linspace(0.0, 1.0, 26)
MASS_EDGES = np.linspace(-3.0, 3.0, 13)


def sample(rng: np.random.Generator, n_events: int = 3000) -> tuple[IntArray, FloatArray, FloatArray]:
    labels = (np.arange(n_events) % 3 == 0).astype(np.int64)
    scores = np.where(labels == 1, rng.beta(4.0, 1.5, n_events), rng.beta(1.0, 3.0, n_events))
    return labels, scores, rng.normal(size=n_events)


def paired(
    nominal: FloatArray, adversarial: FloatArray | None = None, edges: FloatArray = MASS_EDGES
) -> PairedObservable:
    moved = nominal if adversarial is None else adversarial
    return PairedObservable(label="mass [GeV]", edges=edges, nominal=nominal, adversarial=moved)


def validated(rng: np.random.Generator, shift: float = 0.0, weight: float = 1.0) -> BlindedValidation:
    labels, scores, mass = sample(rng)
    weights = np.full(len(labels), weight)
    return validate_blinded(labels, paired(scores, edges=EDGES), [paired(mass, mass + shift)], rng=rng, weights=weights)


@pytest.mark.parametrize("weight", [1.0, 0.2])
def test_chi2_follows_its_distribution_where_nothing_changed(rng: np.random.Generator, weight: float) -> None:
    """The same events in both halves would give zero."""
    tests = [validated(rng, weight=weight) for _ in range(200)]
    for p_values in ([t.observables[0].p_value for t in tests], [t.score.p_value for t in tests]):
        assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    assert np.mean([t.observables[0].chi2 / t.observables[0].ndf for t in tests]) == pytest.approx(1.0, abs=0.1)


def test_a_visible_change_is_seen(rng: np.random.Generator) -> None:
    assert np.median([validated(rng, shift=0.3).observables[0].p_value for _ in range(11)]) < 1e-3


def test_halves_share_no_event_and_only_background_counts(rng: np.random.Generator) -> None:
    labels, scores, mass = sample(rng)
    found = validate_blinded(labels, paired(scores, edges=EDGES), [paired(mass)], rng=rng)
    total = found.score.observed + found.score.expected
    background = np.histogram(scores[labels == 0], EDGES)[0]
    assert total.tolist() == background.tolist()
    assert 0.4 < found.score.observed.sum() / background.sum() < 0.6


def test_control_region_is_where_a_tenth_of_the_signal_lies(rng: np.random.Generator) -> None:
    labels, scores, mass = sample(rng)
    found = validate_blinded(labels, paired(scores, edges=EDGES), [paired(mass)], rng=rng, optimum=0.8)
    signal = scores[labels == 1]
    assert found.signal_efficiency == pytest.approx((signal < found.control_threshold).mean())
    assert found.signal_efficiency <= 0.1 < (signal < found.control_threshold + EDGES[1]).mean()
    assert found.score.edges[1:][found.score.visible][-1] == found.control_threshold
    assert not found.score.compared[~found.score.visible].any()
    assert found.n_observed + found.n_expected == ((labels == 0) & (scores < found.control_threshold)).sum()
    assert found.observables[0].observed.sum() == found.n_observed
    assert found.optimum == 0.8


def test_pseudo_data_enter_the_control_region_with_the_score_they_have(rng: np.random.Generator) -> None:
    labels, scores, mass = sample(rng)
    lifted = np.where(mass > 0, 0.99, scores)
    found = validate_blinded(labels, paired(scores, lifted, EDGES), [paired(mass)], rng=rng)
    assert found.observables[0].observed[6:].sum() == 0
    assert found.observables[0].expected[6:].sum() > 100


def test_bins_with_few_events_are_not_compared(rng: np.random.Generator) -> None:
    labels, scores, mass = sample(rng)
    edges = np.linspace(-30.0, 30.0, 61)
    found = validate_blinded(labels, paired(scores, edges=EDGES), [paired(mass, edges=edges)], rng=rng)
    histogram = found.observables[0]
    assert (histogram.compared == (histogram.observed + histogram.expected >= 10)).all()
    assert 4 <= histogram.ndf <= 8


def test_input_is_checked(rng: np.random.Generator) -> None:
    labels, scores, mass = sample(rng, 300)
    score = paired(scores, edges=EDGES)
    with pytest.raises(ValueError, match="299 values for 300 events"):
        validate_blinded(labels, score, [paired(mass[:-1])], rng=rng)
    with pytest.raises(ValueError, match=r"first bin of the score holds .* use finer bins"):
        validate_blinded(labels, paired(scores, edges=np.array([0.0, 0.9, 1.0])), [], rng=rng)
    with pytest.raises(ValueError, match="max_signal_efficiency must lie between 0 and 1, got 1"):
        validate_blinded(labels, score, [], rng=rng, max_signal_efficiency=1)
    with pytest.raises(ValueError, match=r"mass .*: some values are not finite"):
        paired(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"one value per event before and after, got \(2,\), \(3,\)"):
        paired(np.zeros(2), np.zeros(3))
