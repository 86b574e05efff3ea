# SPDX-License-Identifier: BSD-3-Clause
"""A small workspace with one physics systematic, and what an attack does to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hepfool.inference import Template

SIGNAL = [5.0, 20.0, 50.0]
BACKGROUND = [1000.0, 400.0, 100.0]


@pytest.fixture
def workspace() -> dict[str, Any]:
    signal = {"name": "signal", "data": SIGNAL, "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    scale = {"name": "jes", "type": "normsys", "data": {"hi": 1.05, "lo": 0.95}}
    background = {"name": "ttbar", "data": BACKGROUND, "modifiers": [scale]}
    control = {"name": "ttbar", "data": [4000.0], "modifiers": [scale]}
    return {
        "channels": [{"name": "CR", "samples": [control]}, {"name": "SR", "samples": [background, signal]}],
        "observations": [{"name": "CR", "data": [4000.0]}, {"name": "SR", "data": [1005.0, 420.0, 150.0]}],
        "measurements": [{"name": "strength", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


@pytest.fixture
def template() -> Template:
    """Half of the events of the workspace, and a shift towards the signal."""
    nominal = 0.5 * np.array(BACKGROUND)
    return Template(
        channel="SR",
        sample="ttbar",
        nominal=nominal,
        adversarial=nominal + np.array([-7.5, 1.5, 6.0]),
        edges=np.array([0.0, 0.3, 0.6, 1.0]),
    )
