# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from hepfool.features import FeatureSpace
from hepfool.processors import feature_matrix, leading


def test_columns_are_put_into_network_order_with_nan_for_none() -> None:
    features = FeatureSpace(["b", "a"])
    matrix = feature_matrix({"a": ak.Array([1, None]), "b": np.array([3.0, 4.0], dtype=np.float32)}, features)
    np.testing.assert_array_equal(matrix, [[3.0, 1.0], [4.0, np.nan]])
    assert matrix.dtype == np.float64


def test_no_event_gives_an_empty_matrix() -> None:
    jets = ak.Array([[{"pt": 1.0}]])[:0]
    matrix = feature_matrix({"pt": leading(jets, 2)[:, 1].pt, "n": ak.num(jets)}, FeatureSpace(["pt", "n"]))
    assert matrix.shape == (0, 2)


def test_names_that_differ_are_listed() -> None:
    with pytest.raises(ValueError, match=r"without a feature \['tau_pt'\], without a column \['pt'\]"):
        feature_matrix({"tau_pt": [1.0]}, FeatureSpace(["pt"]))


def test_a_column_of_lists_is_refused_with_the_repair() -> None:
    with pytest.raises(ValueError, match=r"'pt' has 2 dimensions.*leading"):
        feature_matrix({"pt": ak.Array([[1.0], []])}, FeatureSpace(["pt"]))


def test_leading_orders_and_pads() -> None:
    jets = ak.Array([[{"pt": 1.0}, {"pt": 3.0}, {"pt": 2.0}], [{"pt": 5.0}], []])
    assert leading(jets, 2).pt.tolist() == [[3.0, 2.0], [5.0, None], [None, None]]
