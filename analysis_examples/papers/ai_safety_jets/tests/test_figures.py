# SPDX-License-Identifier: BSD-3-Clause
"""Compare the figures of the study with their references; draw the references anew with ``make images``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis_examples.papers.ai_safety_jets.blinded_validation import (
    BlindedValidation,
    PairedObservable,
    validate_blinded,
)
from analysis_examples.papers.ai_safety_jets.checkpoints import CheckpointRecord
from analysis_examples.papers.ai_safety_jets.plots import (
    plot_blinded_validation,
    plot_checkpoints,
    plot_observables,
    plot_significance,
)
from analysis_examples.papers.ai_safety_jets.significance import (
    SignificanceSettings,
    SignificanceStudy,
    compare_significance,
)
from hepfool.typing import IntArray
from tests.figures import STYLE, TOLERANCE, drawn, quantiles


def paired_observables() -> tuple[IntArray, PairedObservable, tuple[PairedObservable, ...]]:
    """Labels, scores and two observables of 6000 background and 2000 signal events."""
    labels = np.repeat([0, 1], [6000, 2000])
    # Orders that know nothing of each other.
    steps = [np.concatenate([quantiles(n)[(np.arange(n) * prime) % n] for n in (6000, 2000)]) for prime in (1, 7, 1999)]
    score = np.where(labels == 1, steps[0] ** 0.4, steps[0] ** 3.0)
    mass = np.where(labels == 1, 91.0 + 12.0 * np.log(steps[1] / (1.0 - steps[1])), 50.0 - 40.0 * np.log(steps[1]))
    momentum = 300.0 - 80.0 * np.log(steps[2])
    pairs = (
        ("Score", np.linspace(0.0, 1.0, 26), score, score * (1.0 - 0.2 * labels)),
        ("Jet mass [GeV]", np.linspace(0.0, 250.0, 26), mass, mass * (1.0 + 0.05 * labels)),
        (r"Jet $p_\mathrm{T}$ [GeV]", np.linspace(300.0, 700.0, 21), momentum, 1.01 * momentum),
    )
    made = [PairedObservable(label=t, edges=e, nominal=before, adversarial=after) for t, e, before, after in pairs]
    return labels, made[0], tuple(made[1:])


def significance(strength: float = 0.2) -> SignificanceStudy:
    labels, score, _ = paired_observables()
    varied = {"FGSM": score.nominal * (1.0 - strength * labels), "Noise": score.nominal**1.02}
    settings = SignificanceSettings(n_bootstrap=50)
    return compare_significance(labels, score.nominal, varied, rng=np.random.default_rng(1), settings=settings)


def validation() -> BlindedValidation:
    labels, score, observables = paired_observables()
    return validate_blinded(labels, score, observables, rng=np.random.default_rng(1), optimum=0.8)


def checkpoints() -> dict[str, list[CheckpointRecord]]:
    stages = [(1, 0.77, 0.02), (4, 0.82, 0.08), (20, 0.88, 0.2)]
    low = [CheckpointRecord(epoch=k, auroc=area, significance=significance(s)) for k, area, s in stages]
    return {"Low level": low, "High level": [CheckpointRecord(epoch=20, auroc=0.79, significance=significance(0.1))]}


FIGURES: dict[str, Callable[[], tuple[Figure, Any]]] = {
    "significance": lambda: plot_significance(significance(), note="Low level", style=STYLE),
    "checkpoints": lambda: plot_checkpoints(checkpoints(), note="Adversarial network", style=STYLE),
    "blinded_validation": lambda: plot_blinded_validation(validation(), style=STYLE),
    "observables": lambda: plot_observables(
        [paired_observables()[1], *paired_observables()[2]], paired_observables()[0], note="FGSM", style=STYLE
    ),
}


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.mpl_image_compare(savefig_kwargs={"dpi": 32}, tolerance=TOLERANCE, baseline_dir="baseline")
def test_figure(name: str) -> Figure:
    return drawn(FIGURES[name])
