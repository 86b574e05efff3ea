# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from typing import Any

import hist
import numpy as np
import pytest

from hepfool.attacks.base import FoolingCounts
from hepfool.events import EventTable, Region
from hepfool.processors.digest import digest
from hepfool.processors.results import RegionSums, compatibility, sort_categories
from hepfool.statistics.compatibility import compare
from hepfool.statistics.dependence import MaskedMoments, Moments, present_mean
from hepfool.statistics.marginals import Binning
from hepfool.typing import FloatArray


@pytest.fixture
def values(rng: np.random.Generator) -> FloatArray:
    values = rng.normal(100.0, 3.0, (500, 3))
    values[:, 1] += 0.5 * values[:, 0]
    values[rng.random(500) < 0.3, 2] = np.nan
    return values


def test_moments_of_parts_filled_later_are_those_of_all_events(values: FloatArray, rng: np.random.Generator) -> None:
    weights = rng.choice([1.0, -0.3], len(values))
    direct = Moments.of(values, weights, fill=present_mean(values, weights))
    parts = sum(MaskedMoments.of(values[i : i + 61], weights[i : i + 61]) for i in range(0, len(values), 61))
    assert isinstance(parts, MaskedMoments)
    np.testing.assert_allclose(parts.mean, present_mean(values, weights), rtol=1e-12)
    np.testing.assert_allclose(parts.filled().comoments, direct.comoments, rtol=1e-10)
    np.testing.assert_allclose(parts.filled().correlation, direct.correlation, atol=1e-12)


def test_no_events_add_nothing(values: FloatArray) -> None:
    some = MaskedMoments.of(values, np.ones(len(values)))
    none = MaskedMoments.of(values[:0], np.ones(0))
    np.testing.assert_array_equal((none + some).mean, some.mean)
    np.testing.assert_array_equal((some + none).mean, some.mean)


def _table(values: FloatArray) -> EventTable:
    return EventTable.from_arrays(
        values,
        weights=np.where(np.arange(len(values)) % 5, 1.0, -0.5),
        dataset=np.where(np.arange(len(values)) % 2, "a", "b"),
        regions=(Region("low", values[:, 0] < 100.0), Region("high", values[:, 0] >= 102.0, "signal")),
    )


def test_merged_sums_compare_like_the_events_themselves(values: FloatArray, rng: np.random.Generator) -> None:
    nominal = _table(values)
    adversarial = nominal.with_values(values + rng.normal(0.0, 0.3, values.shape))
    binning = Binning.uniform(nominal, n_bins=20)
    sums = RegionSums(nominal, binning, ["nominal", "adversarial"], (1,))
    scores = np.full((nominal.n_events, 2), 0.5)
    for name, table in (("nominal", nominal), ("adversarial", adversarial)):
        sums.fill(name, table, scores, moments=True)
    everything = np.ones(nominal.n_events, dtype=np.bool_)
    sums.count("adversarial", everything, everything)
    expected = compare(nominal, adversarial, binning, events=nominal.region("low").mask, region="low")
    merged = compatibility(sums.as_dict(), "low")
    np.testing.assert_allclose(merged.js_distance, expected.js_distance, atol=1e-12)
    np.testing.assert_allclose(merged.js_floor, expected.js_floor, rtol=1e-12)
    assert merged.correlation_shift == pytest.approx(expected.correlation_shift, rel=1e-9)
    assert merged.n_events == expected.n_events
    assert merged.n_effective == pytest.approx(expected.n_effective)


def test_histograms_hold_what_the_binning_says(values: FloatArray) -> None:
    table = _table(values)
    binning = Binning.uniform(table, n_bins=7)
    sums = RegionSums(table, binning, ["nominal"], (1,))
    sums.fill("nominal", table, np.tile([0.0, 1.0], (table.n_events, 1)))
    histogram: Any = sums.histograms["x2"]["a", "low", "nominal", :]
    mask = table.region("low").mask & table.dataset_mask("a")
    contents = histogram.view(flow=True)
    np.testing.assert_allclose(contents["value"], binning.yields(values[mask], table.weights[mask])[2])
    np.testing.assert_allclose(contents["variance"], binning.yields(values[mask], table.weights[mask] ** 2)[2])
    scores = sums.scores[1]["b", "all", "nominal", :].values()
    assert scores[-1] == pytest.approx(table.weights[table.dataset_mask("b")].sum())


def test_a_region_may_not_take_a_reserved_name() -> None:
    table = EventTable.from_arrays([[1.0], [2.0]], regions=(Region("all", np.array([True, True])),))
    with pytest.raises(ValueError, match=r"'all'.*rename"):
        RegionSums(table, Binning.uniform(table, n_bins=2), ["nominal"], (1,))


def _histogram(names: list[str]) -> hist.Hist[hist.storage.Weight]:
    histogram: hist.Hist[hist.storage.Weight] = hist.Hist(
        hist.axis.StrCategory([], name="dataset", growth=True),
        hist.axis.Variable([0.0, 1.0, 3.0], name="x", underflow=False),
        storage=hist.storage.Weight(),
    )
    for name in names:
        histogram.fill(dataset=name, x=[0.5, 2.0, 9.0], weight=float(len(name)))
    return histogram


def test_order_of_categories_and_keys_does_not_change_the_digest() -> None:
    one, other = _histogram(["tt", "wjets"]), _histogram(["wjets", "tt"])
    assert digest({"h": one, "n": {"a": 1, "b": 2}}) == digest({"n": {"b": 2, "a": 1}, "h": other})
    assert digest(one) != digest(_histogram(["tt"]))
    ordered: Any = sort_categories(other)
    assert list(ordered.axes[0]) == ["tt", "wjets"]
    for name in ("tt", "wjets"):
        expected: Any = other[name, :]
        np.testing.assert_array_equal(ordered[name, :].view(flow=True), expected.view(flow=True))


def test_rounding_does_not_change_the_digest_but_one_event_does(values: FloatArray) -> None:
    weights = np.full(len(values), 0.1)
    whole = MaskedMoments.of(values, weights)
    parts = MaskedMoments.of(values[300:], weights[300:]) + MaskedMoments.of(values[:300], weights[:300])
    assert digest(whole) == digest(parts)
    assert digest(whole) != digest(MaskedMoments.of(values[1:], weights[1:]))
    assert digest(FoolingCounts(n_fooled=1)) != digest(FoolingCounts(n_fooled=2))


def test_an_output_without_adversarial_events_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="no attacked event"):
        compatibility({"moments": {"tt": {"constrained": {}}}, "fooling": {}, "histograms": {}})
