# SPDX-License-Identifier: BSD-3-Clause
"""What the conformance tests attack, and a network that perturbs at random."""

from __future__ import annotations

import torch
from torch import nn

from hepfool.attacks._adversarial_network import PerturbationNetwork
from hepfool.testing._specimens import FEATURES, SENTINEL, SineClassifier, events

__all__ = ["FEATURES", "SENTINEL", "SineClassifier", "events", "perturbation_network"]


def perturbation_network() -> PerturbationNetwork:
    """Untrained, but large and different moves of every feature."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first, last = nn.Linear(len(FEATURES), 8), nn.Linear(8, len(FEATURES))
        return PerturbationNetwork(nn.Sequential(first, nn.Tanh(), last, nn.Tanh()), n_features=len(FEATURES))
