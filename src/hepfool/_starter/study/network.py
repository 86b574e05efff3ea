# SPDX-License-Identifier: BSD-3-Clause
"""
Your network: ``build`` makes the module that the parameters in a file belong to.

In study.yaml: ``network: {file: network.pt, network: "network.py:build", output: logit}``.  A file of ``torch.export`` (.pt2),
TorchScript, ONNX or trees needs no such function.
"""

from __future__ import annotations

from torch import nn


def build() -> nn.Module:
    """Make the network without its parameters; one input for each feature of study.yaml, in its order."""
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
