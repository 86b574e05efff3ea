# SPDX-License-Identifier: BSD-3-Clause
"""Attacked events of the ATLAS Higgs challenge whose derived columns still follow from the measured ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.events import best_single_cut
from hepfool.io import read_table
from hepfool.models import Standardise, TorchClassifier, mlp
from hepfool.samples.higgsml import FEATURES, MISSING_VALUE

pytestmark = pytest.mark.torch
FILE = "higgsml2014/atlas-higgs-challenge-2014-v2-first22889.csv.gz"


def test_the_best_single_cut_is_that_of_the_paper(test_data: Path) -> None:
    """arXiv:2603.13970, sec. 5."""
    table = read_table(
        test_data / FILE, features=FEATURES, label="Label", classes={"b": 0, "s": 1}, missing_value=MISSING_VALUE
    )
    cut = best_single_cut(table)
    assert (cut.feature, cut.signal_above) == ("DER_mass_MMC", True)
    assert cut.threshold == pytest.approx(96.572)
    assert cut.accuracy == pytest.approx(0.7044, abs=1e-4)


def test_derived_columns_hold_before_and_after_an_attack(test_data: Path) -> None:
    table = read_table(
        test_data / FILE, features=FEATURES, label="Label", classes={"b": 0, "s": 1}, missing_value=MISSING_VALUE
    )
    assert len(FEATURES.derived) == 11
    part = table.select(np.arange(1500))
    torch.manual_seed(1)
    classifier = TorchClassifier(mlp(30, (16,), preprocessing=Standardise.of(part)))
    attack = CONSERVAttack(n_iterations=2, beta=20.0, max_js_distance=0.05, max_correlation_shift=0.05)
    result = run_attack(attack, classifier, part, rng=np.random.default_rng(1), target="all")
    after = result.adversarial.values
    moved = (after != part.values) & ~part.missing
    assert result.fooling_ratio > 0.0
    assert result.compatibility.max_js_distance <= 0.05
    for j in FEATURES.derived:
        inputs = [FEATURES.index(name) for name in FEATURES[j].derived.inputs]  # type: ignore[union-attr]
        touched = moved[:, inputs].any(axis=1) & ~part.missing[:, j]
        assert touched.sum() > 20
        np.testing.assert_allclose(after[touched, j], FEATURES.derive(after, j)[touched], atol=1e-9)
