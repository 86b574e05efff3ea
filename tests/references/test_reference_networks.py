# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hepfool.models import TorchClassifier
from hepfool.models._networks import NETWORKS

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("network", "events", "weights"),
    [
        ("conservattack_higgs", "higgs2014.npz", "higgs2014_weights.npz"),
        ("donut", "donut.npz", "donut_weights.npz"),
    ],
)
def test_published_training_classifies_its_events(
    reference_data: Path, network: str, events: str, weights: str
) -> None:
    module = NETWORKS[network](sigmoid=True)
    with np.load(reference_data / weights) as state:
        module.load_state_dict({key: torch.from_numpy(state[key]) for key in state})
    classifier = TorchClassifier(module, output="probability")
    with np.load(reference_data / events) as sample:
        correct = classifier.predict(sample["X"]) == sample["y"]
    assert correct.mean() >= 0.999
