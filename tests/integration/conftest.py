# SPDX-License-Identifier: BSD-3-Clause
"""A small analysis, network and attack to run through coffea, and files to run them on."""

from __future__ import annotations

from typing import Any

import pytest

from tests import toy_analysis
from tests.toy_analysis import Logistic, Push, ToyAnalysis


@pytest.fixture
def analysis() -> ToyAnalysis:
    return ToyAnalysis()


@pytest.fixture
def classifier() -> Logistic:
    return Logistic()


@pytest.fixture
def attack() -> Push:
    return Push()


@pytest.fixture(scope="session")
def toy_fileset(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two files of signal, one of background, an empty one, and one of data."""
    return toy_analysis.toy_fileset(tmp_path_factory.mktemp("toy"))
