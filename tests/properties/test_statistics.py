# SPDX-License-Identifier: BSD-3-Clause
"""What must hold for any data: the distance is a metric, sums do not depend on their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import rel_entr

from hepfool.statistics import Binning, correlation_shift, js_distance
from hepfool.statistics._dependence import Moments
from hepfool.typing import FloatArray

BINS = 12
contents = hnp.arrays(np.float64, (1, BINS), elements=st.floats(0.0, 1e3)).filter(lambda a: a.sum() > 1e-3)


@given(contents, contents)
def test_js_distance_is_its_definition_and_symmetric(p: FloatArray, q: FloatArray) -> None:
    found = js_distance(p, q)[0]
    first, second = p[0] / p.sum(), q[0] / q.sum()
    nats = 0.5 * sum(rel_entr(a, 0.5 * (first + second)).sum() for a in (first, second))
    assert found == pytest.approx(np.sqrt(max(nats, 0.0) / np.log(2.0)), abs=1e-7)
    assert found == pytest.approx(js_distance(q, p)[0], abs=1e-12)
    assert 0.0 <= found <= 1.0 + 1e-12
    assert js_distance(p, 3.0 * p)[0] == pytest.approx(0.0, abs=1e-7)


@given(contents, contents, contents)
def test_js_distance_obeys_the_triangle_inequality(p: FloatArray, q: FloatArray, r: FloatArray) -> None:
    assert js_distance(p, r)[0] <= js_distance(p, q)[0] + js_distance(q, r)[0] + 1e-9


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(-1e3, 1e3))
def test_moments_do_not_depend_on_the_order_of_merging(seed: int, n_parts: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    values = offset + rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
    values[rng.uniform(size=values.shape) < 0.1] = np.nan
    weights = rng.uniform(0.1, 2.0, size=200)
    fill = np.nanmean(values, axis=0)
    part = rng.integers(n_parts, size=200)
    pieces = [Moments.of(values[part == k], weights[part == k], fill=fill) for k in range(n_parts)]
    whole = Moments.of(values, weights, fill=fill)
    for order in (range(n_parts), rng.permutation(n_parts)):
        merged = sum((pieces[k] for k in order), start=Moments.zero(4))
        np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(merged.correlation, whole.correlation, atol=1e-9)
    filled = np.where(np.isnan(values), fill, values)
    expected = np.cov(filled, rowvar=False, aweights=weights)
    sigma = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(whole.correlation, expected / np.outer(sigma, sigma), atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_correlation_shift_is_the_relative_frobenius_norm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = (np.asarray(np.corrcoef(rng.normal(size=(50, 5)), rowvar=False)) for _ in range(2))
    expected = np.linalg.norm(second - first) / np.linalg.norm(first)
    assert correlation_shift(first, second) == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_yields_are_sums_over_the_bins_of_all_values(seed: int, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(150, 3)).round(1)
    values[rng.uniform(size=values.shape) < 0.1] = np.nan
    weights = rng.normal(1.0, 1.0, size=150)
    # Many a value lies on an edge, and bins of very different width mislead the first guess.
    places = np.arange(-20, 21) / 10
    binning = Binning(np.stack([np.sort(rng.choice(places, n_bins + 1, replace=False)) for _ in range(3)]))
    index = binning.indices(values)
    expected = [np.bincount(column, weights=weights, minlength=n_bins + 1) for column in index.T]
    np.testing.assert_array_equal(binning.yields(values, weights), expected)
