# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from analysis_examples.papers.ai_safety_jets.blinded_validation import PairedObservable, validate_blinded
from analysis_examples.papers.ai_safety_jets.plots import plot_blinded_validation, plot_observables

LABELS = np.repeat([0, 1], [900, 300])


def score_and_mass() -> tuple[PairedObservable, PairedObservable]:
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.beta(1, 3, 900), rng.beta(3, 1, 300)])
    mass = rng.normal(90.0, 10.0, 1200)
    return (
        PairedObservable(label="Score", edges=np.linspace(0, 1, 21), nominal=scores, adversarial=scores**1.2),
        PairedObservable(label="Mass [GeV]", edges=np.linspace(60, 120, 13), nominal=mass, adversarial=mass + 1.0),
    )


def test_blinded_bins_hold_no_pseudo_data() -> None:
    score, mass = score_and_mass()
    validation = validate_blinded(LABELS, score, [mass], rng=np.random.default_rng(1), optimum=0.7)
    figure, ((ax, _), _) = plot_blinded_validation(validation)
    points: Any = ax.containers[0][0]
    assert points.get_xdata().max() < validation.control_threshold
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 4
    assert labels[2:] == ["Blinded", "Expected optimum"]


def test_shapes_have_unit_area() -> None:
    score, mass = score_and_mass()
    weights = np.linspace(0.5, 2.0, len(LABELS))
    _, panels = plot_observables([score, mass], LABELS, weights=weights)
    for ax, observable in zip(panels, (score, mass), strict=True):
        drawn = [patch for patch in ax.patches if isinstance(patch, StepPatch)]
        assert len(drawn) == 4
        for patch in drawn:
            data: Any = patch.get_data()
            assert (data.values * np.diff(observable.edges)).sum() == pytest.approx(1.0)


def test_nothing_to_show_and_other_events_are_refused() -> None:
    with pytest.raises(ValueError, match="no observable to show"):
        plot_observables([], LABELS)
    with pytest.raises(ValueError, match="Score: 1200 values for 1199 labels"):
        plot_observables(score_and_mass()[:1], LABELS[1:])
