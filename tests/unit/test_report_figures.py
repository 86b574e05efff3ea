# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
import pytest

from hepfool.attacks import AttackResult, Noise, run_attack
from hepfool.plots import PlotStyle
from hepfool.report import attack_figures
from hepfool.report._captions import CAPTIONS
from hepfool.studies import Measured
from hepfool.studies._contributions import SystematicEffect
from hepfool.sums import data_sums
from tests.specimens import SineClassifier, events


@pytest.fixture(scope="module")
def result() -> AttackResult:
    attack = Noise(size=0.2, unit="range")
    return run_attack(attack, SineClassifier(), events(300), rng=np.random.default_rng(1))


def test_figures_follow_from_result_network_and_data(result: AttackResult) -> None:
    effects = [
        SystematicEffect(name="tes_up", kind="shape", flips=Measured(0.02, 0.001)),
        SystematicEffect(name="pileup_up", kind="weight", flips=None),
    ]
    flagged = np.arange(300) % 2 == 0
    data = events(100, seed=3, weighted=False)
    style = PlotStyle(experiment="plain")
    sums = result.sums(SineClassifier(), flagged=flagged) + data_sums(data, SineClassifier(), result.binning)
    figures = attack_figures(sums, result=result, effects=effects, data_label="Toy data", style=style)
    assert list(attack_figures(sums, style=style)) == ["regions", "fooling"]
    assert list(figures) == ["regions", "projection", "fooling"]
    assert set(figures) <= set(CAPTIONS)
    remarks = [text.get_text() for ax in figures["regions"].axes for text in ax.texts]
    assert any("pt < 60 GeV, control region" in remark and "blinded" not in remark for remark in remarks)
    assert any("pt > 60 GeV, signal region" in remark and "data blinded" in remark for remark in remarks)
    assert "Toy data" in [text.get_text() for text in figures["regions"].legends[0].get_texts()]
    bars = [text.get_text() for text in figures["fooling"].axes[0].get_yticklabels()]
    assert bars == ["all events", "pt < 60 GeV (control)", "pt > 60 GeV (signal)", "tes", "pileup"]


def test_a_single_feature_has_no_projection(result: AttackResult) -> None:
    column = result.nominal.values[:, :1]
    table = events(300).from_arrays(column, labels=(column[:, 0] > 60.0).astype(int))

    class Cut:
        n_classes, n_features, digest = 2, 1, "cut"

        def scores(self, values: np.ndarray) -> np.ndarray:
            score = 1.0 / (1.0 + np.exp(-(values[:, 0] - 60.0) / 10.0))
            return np.stack([1.0 - score, score], axis=1)

        def predict(self, values: np.ndarray) -> np.ndarray:
            return (values[:, 0] > 60.0).astype(np.int64)

    alone = run_attack(Noise(size=0.2, unit="range"), Cut(), table, rng=np.random.default_rng(1))
    assert list(attack_figures(alone.sums(Cut()), result=alone)) == ["regions", "fooling"]
