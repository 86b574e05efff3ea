# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from hepfool.events import Region
from hepfool.events._region import region_titles
from hepfool.features import Feature, FeatureSpace

SPACE = FeatureSpace([Feature(name="mt", label="$m_T$", unit="GeV"), Feature(name="n_jets", label="jets")])


@pytest.mark.parametrize(
    ("cuts", "title"),
    [
        ({"mt": (70.0, math.inf)}, "$m_T$ > 70 GeV"),
        ({"mt": (-math.inf, 70.0)}, "$m_T$ < 70 GeV"),
        ({"mt": (40.0, 70.0), "n_jets": (2.0, math.inf)}, "40 < $m_T$ < 70 GeV, jets > 2"),
        ({}, "my region"),
        ({"mt": (-math.inf, math.inf)}, "my region"),
        ({"mt": (70.0, math.inf), "n_b": (1.0, math.inf)}, "my region"),
    ],
)
def test_a_region_is_called_by_all_its_cuts_or_by_its_name(cuts: Mapping[str, tuple[float, float]], title: str) -> None:
    assert Region("my_region", np.ones(2, dtype=bool), cuts=cuts).title(SPACE) == title


def test_a_selection_is_more_than_its_cuts() -> None:
    chosen = Region(
        "my_region", np.ones(2, dtype=bool), cuts={"mt": (70.0, math.inf)}, select=lambda values: values[:, 0] > 1.0
    )
    assert chosen.title(SPACE) == "my region"


def test_cuts_that_all_regions_share_are_left_out_on_figures() -> None:
    space, everywhere = FeatureSpace([Feature("pt", unit="GeV"), Feature("mt", unit="GeV")]), np.ones(3, dtype=bool)
    shared = {"pt": (20.0, np.inf)}
    low = Region("low_mt", everywhere, cuts={**shared, "mt": (-np.inf, 70.0)})
    high = Region("high_mt", everywhere, cuts={**shared, "mt": (70.0, np.inf)})
    assert region_titles((low, high), space) == ("mt < 70 GeV", "mt > 70 GeV")
    assert region_titles((low,), space) == ("mt < 70 GeV, pt > 20 GeV",)
    many = Region("high_mt", everywhere, cuts={**dict.fromkeys("abc", (0.0, 1.0))})
    assert region_titles((many,), FeatureSpace(["a", "b", "c"])) == ("high mt",)
    assert region_titles((), space) == ()
