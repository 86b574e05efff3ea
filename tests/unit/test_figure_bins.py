# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hepfool.sums._fill import figure_edges


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e6))
def test_bins_of_a_figure_have_a_round_width_and_cover_the_range(low: float, length: float) -> None:
    high = low + length
    edges = figure_edges("continuous", np.array([low, high]))
    widths = np.diff(edges)
    digits = widths[0] / 10.0 ** np.floor(np.log10(widths[0]) + 1e-6)
    assert np.isclose([1.0, 2.0, 2.5, 5.0], digits, rtol=1e-4).any()
    np.testing.assert_allclose(widths, widths[0], rtol=1e-4)
    assert 20 <= len(widths) <= 52
    assert edges[0] <= low + 1e-6 * length
    assert edges[-1] >= high - 1e-6 * length


def test_whole_numbers_have_one_bin_each() -> None:
    assert figure_edges("integer", np.array([0.0, 3.0])).tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5]
