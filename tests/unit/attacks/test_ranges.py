# SPDX-License-Identifier: BSD-3-Clause
"""Inputs that are constant, narrow far from zero, or have an outlier."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import special

from hepfool.attacks import PGD, Attack, CONSERVAttack, MiniFool, run_attack
from hepfool.attacks._bounds import Bounds
from hepfool.events import Envelope, EventTable, Region
from hepfool.features import Feature
from hepfool.processors.passes import Ranges
from hepfool.report._folder import sum_histograms
from hepfool.statistics import Binning
from hepfool.statistics._dependence import Moments
from hepfool.statistics._remarks import remark_on_ranges
from hepfool.sums import data_sums
from hepfool.typing import FloatArray, IntArray


@dataclass(frozen=True)
class Line:
    """Log-odds that are a line in the first two features around an offset."""

    offset: float = 0.0
    scale: float = 1.0
    n_features: int = 4
    n_classes: int = 2
    digest: str = field(default="b" * 64)

    def log_odds(self, values: FloatArray) -> FloatArray:
        return np.asarray((values[:, 0] - self.offset) / self.scale + values[:, 1])

    def scores(self, values: FloatArray) -> FloatArray:
        probability = special.expit(self.log_odds(values))
        return np.stack([1.0 - probability, probability], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return (self.log_odds(values) > 0.0).astype(np.int64)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        sign = np.where(labels == 1, 1.0, -1.0)
        slope = np.zeros_like(values)
        slope[:, 0], slope[:, 1] = 1.0 / self.scale, 1.0
        return sign * self.log_odds(values), sign[:, np.newaxis] * slope

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -special.expit(-margin)[:, np.newaxis] * gradient


def conserv(strategy: str) -> CONSERVAttack:
    return CONSERVAttack(
        max_js_distance=0.1,
        max_correlation_shift=0.1,
        strategy=strategy,  # type: ignore[arg-type]
        n_iterations=2,
        n_bins=20,
    )


def with_constants(constant: float = 0.1, *, kind: str = "fixed") -> EventTable:
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=(400, 2)), np.full(400, constant), np.full(400, np.nan)])
    named = [Feature(name=name, kind=kind) for name in ("variation", "weight")]  # type: ignore[arg-type]
    regions = (Region("cr", values[:, 0] < 0.5), Region("sr", values[:, 0] >= 0.5, "signal"))
    labels = (values[:, :2].sum(axis=1) > 0).astype(int)
    features: list[str | Feature] = ["dataset", "region", *named]
    weights = rng.uniform(0.3, 1.7, 400)
    return EventTable.from_arrays(values, labels=labels, features=features, regions=regions, weights=weights)


@pytest.mark.parametrize("constant", [0.1, -999.0, 1.7e9, 0.0])
@pytest.mark.parametrize("strategy", ["frugal", "paper"])
def test_a_constant_fixed_input_is_harmless(constant: float, strategy: str) -> None:
    table = with_constants(constant)
    result = run_attack(conserv(strategy), Line(), table, rng=np.random.default_rng(1))
    assert result.fooling_ratio > 0.1
    assert result.compatibility.js_distance[2:].tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(result.compatibility.correlation_nominal[2:], np.eye(4)[2:])
    np.testing.assert_array_equal(result.adversarial.values[:, 2:], table.values[:, 2:])
    assert list(sum_histograms(result.sums(Line()))) == ["dataset", "region", "variation", "weight"]


def test_a_constant_that_is_no_binary_fraction_has_no_correlation() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(size=999), np.full(999, 0.1), np.full(999, 1e7 / 3)])
    parts = np.split(np.arange(999), 3)
    weights = rng.normal(1.0, 0.5, 999)
    for moments in (
        Moments.of(values, weights),
        sum((Moments.of(values[p], weights[p]) for p in parts), start=Moments.zero(3)),
    ):
        np.testing.assert_array_equal(moments.correlation, np.eye(3))


def test_a_constant_input_that_could_move_is_refused_with_the_repair() -> None:
    table = with_constants(kind="continuous")
    with pytest.raises(ValueError, match=r"'variation' is constant \(0\.1\).*Feature\(kind='fixed'\)"):
        run_attack(conserv("frugal"), Line(), table, rng=np.random.default_rng(1))
    with pytest.raises(ValueError, match=r"'variation' is constant \(0\.1\).*Feature\(kind='fixed'\)"):
        Ranges.of(table).binning(10)


def test_chunks_give_the_bins_of_a_constant_input_that_all_events_give() -> None:
    table = with_constants()
    halves = [table.select(np.arange(400) < 150), table.select(np.arange(400) >= 150)]
    ranges = Ranges.of(halves[0]) + Ranges.of(halves[1])
    np.testing.assert_array_equal(ranges.binning(20).edges, Binning.uniform(table, n_bins=20).edges)
    assert Binning.quantiles(table, n_bins=20).n_bins == 20


def test_histograms_take_features_of_any_name() -> None:
    table = with_constants()
    sums = data_sums(table, Line(), Binning.uniform(table, n_bins=5), unblind=True)
    names = ("dataset", "region", "variation", "weight")
    assert {name: sums.histogram(name).axes[-1].name for name in names} == {name: f"{name}_" for name in names}
    everything = sums.histogram("region")[{"region": "all"}]
    assert everything.values(flow=True).sum() == pytest.approx(table.weights.sum())  # type: ignore[union-attr]


NARROW = {
    "time stamp": (1e7, 1.0, Feature(name="narrow")),
    "Unix time": (1.7e9, 300.0, Feature(name="narrow")),
    "saturated score": (1.0 - 5e-6, 1.6e-6, Feature(name="narrow", lower=0.99999, upper=1.0)),
    "modified Julian date": (6e4, 1e-3, Feature(name="narrow")),
}


@pytest.mark.parametrize("what", NARROW)
@pytest.mark.parametrize(
    "attack",
    [conserv("paper"), conserv("frugal"), PGD(step=0.05), MiniFool(sigma=0.1)],
    ids=["paper", "frugal", "pgd", "minifool"],
)
@pytest.mark.filterwarnings("ignore:single precision:UserWarning")
def test_no_move_leaves_a_narrow_range_far_from_zero(what: str, attack: Attack) -> None:
    offset, scale, feature = NARROW[what]
    values = np.random.default_rng(0).normal(size=(300, 4))
    values[:, 0] = np.clip(offset + scale * values[:, 0], feature.lower, feature.upper)
    network = Line(offset, scale)
    table = EventTable.from_arrays(values, labels=network.predict(values), features=[feature, "b", "c", "d"])
    moved = run_attack(attack, network, table, rng=np.random.default_rng(1)).adversarial.values[:, 0]
    assert (moved >= values[:, 0].min()).all()
    assert (moved <= values[:, 0].max()).all()
    if attack == conserv("paper"):
        # Along the gradient in each step, not against it where rounding steps back.
        forward = np.where(network.predict(values) == 1, -1.0, 1.0) * (moved - values[:, 0])
        assert (forward >= 0).all()


def test_bounds_hold_every_value_also_between_narrow_thresholds() -> None:
    values = 1e7 + np.linspace(0.0, 1.0, 41)[:, np.newaxis]
    regions = (Region("cr", values[:, 0] < 1e7 + 0.5, cuts={"x0": (-np.inf, 1e7 + 0.5)}),)
    bounds = Bounds.of(EventTable.from_arrays(values, regions=regions))
    assert (bounds.lower[bounds.row] <= values).all()
    assert (bounds.upper[bounds.row] >= values).all()


def test_values_are_clipped_to_both_ends_of_an_envelope() -> None:
    table = EventTable.from_arrays([[0.0, 10.0], [1.0, 20.0], [np.nan, 30.0]])
    envelope = Envelope.absolute(table, [0.25, 5.0])
    bounds = Bounds.of(table, envelope)
    for far, end in ((1e3, envelope.upper), (-1e3, envelope.lower)):
        limit = np.clip(end, [0.0, 10.0], [1.0, 30.0])  # no event leaves the range of the sample either
        np.testing.assert_array_equal(bounds.clip(table.values + far), np.where(table.missing, np.nan, limit))
    np.testing.assert_array_equal(bounds.clip(table.values), table.values)


def test_a_range_that_single_precision_does_not_resolve_is_said() -> None:
    rng = np.random.default_rng(0)
    table = EventTable.from_arrays(np.column_stack([1e7 + rng.normal(size=200), 1e3 + rng.normal(size=200)]))
    with pytest.warns(UserWarning, match=r"range of 'x0', so that moves there are coarse or impossible; subtract"):
        remark_on_ranges(table, Binning.uniform(table, n_bins=20))


def test_an_outlier_that_leaves_a_feature_in_one_bin_is_said_with_the_repair() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.exponential(50, 500), rng.normal(size=500)])
    values[7, 0] = 1e9
    table = EventTable.from_arrays(values, features=["met", "eta"])
    with pytest.warns(
        UserWarning, match=r"one of 50 bins, .* holds at least 99% of feature 'met'.* reach from .* to 1e\+09"
    ):
        remark_on_ranges(table, Binning.uniform(table, n_bins=50))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        remark_on_ranges(table, Binning.uniform(table, n_bins=50).united(Binning.quantiles(table, n_bins=50)))


def test_sound_features_with_a_common_value_are_not_remarked_on() -> None:
    rng = np.random.default_rng(0)
    n_b_jets = (rng.random(2000) < 0.003).astype(float)
    isolation = np.where(rng.random(2000) < 0.995, 0.0, rng.exponential(size=2000))
    table = EventTable.from_arrays(
        np.column_stack([n_b_jets, isolation, rng.normal(size=2000)]),
        features=[Feature(name="n_b_jets", kind="integer"), "isolation", "eta"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        remark_on_ranges(table, Binning.uniform(table, n_bins=100))
