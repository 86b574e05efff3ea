# SPDX-License-Identifier: BSD-3-Clause
"""The limit on the fraction of an attack against a fit of its own, and what it reads."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.events import UNLABELLED, EventTable
from hepfool.summary import AllowedFraction, ControlYields, scaled_size
from hepfool.summary.allowed_fraction import allowed_fraction, cls_of, control_yields, limits_of
from hepfool.sums import AttackSums, data_sums, sums_of
from hepfool.typing import FloatArray
from tests.specimens import SineClassifier, events
from tests.toys_of_fractions import small_truth

pytestmark = [
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
pyhf = pytest.importorskip("pyhf")

MODEL = "every input free, inputs not compared"


class HalfDetector:
    """Flags events by their first input."""

    threshold = 0.45

    def score(self, values: FloatArray) -> FloatArray:
        return np.asarray(0.5 + 0.5 * np.tanh(values[:, 0] / 60.0 - 1.0))


def data(seed: int = 11) -> EventTable:
    table = events(1300, seed, weighted=False)
    return replace(table, labels=np.full(table.n_events, UNLABELLED))


@pytest.fixture(scope="module")
def result() -> AttackResult:
    table = events(1200)
    shifted = table.values.copy()
    shifted[:, 1] = np.clip(1.1 * shifted[:, 1], -2.5, 2.5)
    table = replace(
        table,
        shape_variations={"rapidity_up": shifted},
        weight_variations={"pileup_up": 1.1 * table.weights, "pileup_down": 0.9 * table.weights},
    )
    return run_attack(CONSERVAttack(n_iterations=2, validation=None), SineClassifier(), table, rng=1)


@pytest.fixture(scope="module")
def simulated(result: AttackResult) -> AttackSums:
    return sums_of(result, SineClassifier(), detector=HalfDetector())


def observed(result: AttackResult, **options: Any) -> AttackSums:
    return data_sums(data(), SineClassifier(), result.binning, **{"detector": HalfDetector(), **options})


@pytest.fixture(scope="module")
def sums(result: AttackResult, simulated: AttackSums) -> AttackSums:
    return simulated + observed(result)


def yields_of(
    nominal: list[float], attacked: list[float], observed: list[float], variance: float = 0.0
) -> ControlYields:
    errors = np.full(len(nominal), variance)
    return ControlYields(
        nominal=np.array(nominal),
        attacked=np.array(attacked),
        nominal_variance=errors,
        attacked_variance=errors,
        sources={},
        data=np.array(observed),
    )


def histogram(table: EventTable, values: FloatArray, weights: FloatArray, *, flagged: bool) -> FloatArray:
    shown = np.where(np.isnan(values), -999.0, values)
    chosen = table.region("low_pt").mask & ((HalfDetector().score(shown) > HalfDetector.threshold) == flagged)
    return np.histogram(SineClassifier().scores(shown)[chosen, 1], bins=5, range=(0.0, 1.0), weights=weights[chosen])[0]


def test_yields_are_those_of_the_events(result: AttackResult, sums: AttackSums) -> None:
    table, pseudo = result.nominal, data()
    found = control_yields(sums, regions=("low_pt",), n_bins=5, min_yield=0.0, scale=2.0)

    def expected(values: FloatArray, weights: FloatArray, of: EventTable = table) -> FloatArray:
        return np.concatenate([histogram(of, values, weights, flagged=flagged) for flagged in (False, True)])

    assert found.nominal == pytest.approx(expected(table.values, 2.0 * table.weights))
    assert found.attacked == pytest.approx(expected(result.adversarial.values, 2.0 * table.weights))
    assert found.nominal_variance == pytest.approx(expected(table.values, 4.0 * table.weights**2))
    assert found.attacked_variance == pytest.approx(expected(result.adversarial.values, 4.0 * table.weights**2))
    assert found.data == pytest.approx(expected(pseudo.values, pseudo.weights, pseudo))
    assert list(found.sources) == ["rapidity", "pileup"]
    up, down = found.sources["rapidity"]
    assert up == pytest.approx(expected(table.shape_variations["rapidity_up"], 2.0 * table.weights))
    assert down == pytest.approx(2.0 * found.nominal - up)  # which is not in the table
    for side, factor in zip(found.sources["pileup"], (1.1, 0.9), strict=True):
        assert side == pytest.approx(factor * found.nominal)
    assert found.nominal[5:].sum() > 0.0
    assert found.data[5:].sum() > 0.0


def own_cls(yields: ControlYields, fraction: float) -> float:
    """CLs by a likelihood of our own: Poisson terms, a free normalisation and the constraint of the variation."""
    nominal, attacked = yields.nominal, yields.attacked

    def twice_nll(a: float, factor: float, counts: FloatArray, at: float) -> float:
        expected = factor * (nominal + a * (attacked - nominal))
        return float(-2.0 * (counts * np.log(expected) - expected).sum() + ((a - at) / 3.0) ** 2)

    def profiled(a: float, counts: FloatArray, at: float) -> float:
        return min(
            optimize.minimize_scalar(lambda f: twice_nll(a, f, counts, at), bounds=(0.3, 3.0), method="bounded").fun,
            np.inf,
        )

    def q(counts: FloatArray, at: float) -> float:
        best = optimize.minimize_scalar(lambda a: profiled(a, counts, at), bounds=(0.0, 1.0), method="bounded")
        least = min(best.fun, profiled(0.0, counts, at))
        above = best.x > fraction and profiled(0.0, counts, at) > best.fun
        return 0.0 if above else max(profiled(fraction, counts, at) - least, 0.0)

    factor = yields.data.sum() / nominal.sum()
    root, asimov = np.sqrt(q(yields.data, 0.0)), np.sqrt(q(factor * nominal, 0.0))
    if root <= asimov:
        return float(stats.norm.sf(root) / stats.norm.cdf(asimov - root))
    far = (root**2 - asimov**2) / (2.0 * asimov), (root**2 + asimov**2) / (2.0 * asimov)
    return float(stats.norm.sf(far[1]) / stats.norm.sf(far[0]))


@pytest.mark.parametrize("counts", [[101.0, 49.0, 22.0], [90.0, 52.0, 31.0], [110.0, 44.0, 12.0]])
def test_cls_is_that_of_a_likelihood_of_our_own(counts: list[float]) -> None:
    yields = yields_of([100.0, 50.0, 20.0], [80.0, 45.0, 45.0], counts)
    for fraction in (0.1, 0.3, 0.8):
        assert cls_of(yields, fraction) == pytest.approx(own_cls(yields, fraction), abs=2e-3)
    found = limits_of(yields)
    assert own_cls(yields, found["limit"]) == pytest.approx(0.05, abs=3e-3)


def test_the_fit_finds_the_fraction_of_its_data() -> None:
    nominal, attacked = np.array([1000.0, 500.0, 200.0]), np.array([800.0, 450.0, 450.0])
    yields = yields_of(nominal.tolist(), attacked.tolist(), (0.7 * nominal + 0.3 * attacked).tolist())
    found = limits_of(yields)
    assert found["value"] == pytest.approx(0.3, abs=0.01)
    assert 0.3 < found["limit"] < 0.5
    fractions, cls, _ = zip(*found["scan"], strict=True)
    assert list(fractions) == sorted(fractions)
    assert all(later <= before + 1e-6 for before, later in itertools.pairwise(cls))


def test_statistics_of_either_simulation_loosen_the_limit() -> None:
    exact = yields_of([100.0, 50.0, 20.0], [80.0, 45.0, 45.0], [100.0, 50.0, 20.0])
    few = np.array([100.0, 50.0, 20.0])
    limits = [
        limits_of(one)["limit"]
        for one in (exact, replace(exact, nominal_variance=few), replace(exact, attacked_variance=9.0 * few))
    ]
    assert limits[0] < limits[1] - 0.02
    assert limits[0] < limits[2] - 0.02


def test_statistical_errors_are_those_of_the_mixture_that_is_tested() -> None:
    yields = replace(
        yields_of([100.0, 5.0], [80.0, 25.0], [100.0, 5.0]),
        nominal_variance=np.array([100.0, 5.0]),
        attacked_variance=np.array([80.0, 25.0]),
    )
    for fraction in (0.0, 0.4, 1.0):
        channels = yields.spec(fraction)["channels"]
        mixed = (1.0 - fraction) * yields.nominal + fraction * yields.attacked
        relative = [one["samples"][0]["modifiers"][1]["data"][0] / one["samples"][0]["data"][0] for one in channels]
        assert relative == pytest.approx(1.0 / np.sqrt(mixed))  # as many simulated events as are expected


def test_a_source_that_looks_like_the_attack_loosens_the_limit() -> None:
    yields = yields_of([100.0, 50.0, 20.0], [80.0, 45.0, 45.0], [100.0, 50.0, 20.0])
    change = 0.3 * (yields.attacked - yields.nominal)
    sources = {"scale": (yields.nominal + change, yields.nominal - change)}
    assert limits_of(replace(yields, sources=sources))["limit"] > limits_of(yields)["limit"] + 0.1


def test_an_empty_bin_of_data_is_fitted() -> None:
    nominal = np.array([165.0, 76.0, 35.0, 17.0, 6.0, 6.0])
    yields = yields_of(
        nominal.tolist(), [132.0, 57.0, 34.0, 33.0, 25.0, 24.0], [112.0, 90.0, 37.0, 35.0, 0.0, 18.0], 10.0
    )
    up, down = np.array([[153.0, 79.0, 34.0, 27.0, 0.0, 12.0], [176.0, 72.0, 42.0, 3.0, 6.0, 6.0]])
    found = limits_of(replace(yields, sources={"scale": (up, down)}))
    assert 0.0 <= found["value"] < found["limit"] <= 1.0


def test_an_attack_that_moves_nothing_is_allowed_as_a_whole(sums: AttackSums) -> None:
    yields = yields_of([100.0, 50.0], [100.0, 50.0], [98.0, 53.0])
    assert limits_of(yields)["limit"] == 1.0


@given(st.lists(st.floats(0.0, 20.0), min_size=2, max_size=12), st.floats(0.1, 30.0), st.integers(1, 2))
def test_joined_bins_expect_enough(expected: list[float], least: float, n_parts: int) -> None:
    one = yields_of(expected * n_parts, expected[::-1] * n_parts, list(range(len(expected) * n_parts)), 1.0)
    joined = one.joined(least, n_parts)
    for name in ("nominal", "attacked", "nominal_variance", "data"):
        assert getattr(joined, name).sum() == pytest.approx(getattr(one, name).sum())
    per_part = len(joined.data) // n_parts
    assert len(joined.data) == n_parts * per_part
    assert per_part == 1 or joined.nominal.min() >= least * (1.0 - 1e-9)
    assert joined.nominal[:per_part].sum() == pytest.approx(sum(expected))


def test_signal_regions_are_not_read(result: AttackResult, simulated: AttackSums, sums: AttackSums) -> None:
    both = simulated + observed(result, unblind=True)
    assert both.total("score", variation="data", region="high_pt").any()
    alike = [control_yields(one, regions=("low_pt",)) for one in (both, sums)]
    assert np.array_equal(alike[0].data, alike[1].data)
    assert np.array_equal(alike[0].nominal, alike[1].nominal)
    with pytest.raises(ValueError, match="'high_pt' is no control or validation region, only low_pt"):
        allowed_fraction(both, threat_model=MODEL, regions=["high_pt"])


def test_limit_of_sums(result: AttackResult, simulated: AttackSums, sums: AttackSums) -> None:
    before = pyhf.get_backend()
    found = allowed_fraction(sums, threat_model=MODEL, n_bins=5)
    assert pyhf.get_backend() == before
    assert (found.observable, found.regions, found.sources) == ("score and flag", ("low_pt",), ("rapidity", "pileup"))
    assert found.n_data == data().region("low_pt").mask.sum()
    assert found.excludes
    assert found.limit < 0.9
    assert found.value <= found.limit
    assert f"allow at most {found.limit:.3f} at 95% CLs" in str(found)
    assert MODEL in str(found)
    blind = sums_of(result, SineClassifier()) + data_sums(data(), SineClassifier(), result.binning)
    alone = allowed_fraction(blind, threat_model=MODEL, n_bins=5)
    assert alone.observable == "score"
    assert alone.n_bins < found.n_bins
    with pytest.raises(ValueError, match="the detector did not score data"):
        allowed_fraction(simulated + observed(result, detector=None), threat_model=MODEL)


def test_what_cannot_be_compared_is_refused(simulated: AttackSums, sums: AttackSums) -> None:
    with pytest.raises(ValueError, match="hold no data"):
        allowed_fraction(simulated, threat_model=MODEL)
    with pytest.raises(ValueError, match="no scale for 'events'"):
        allowed_fraction(sums, threat_model=MODEL, scale={"ttbar": 1.0})


def limited(limit: float) -> AllowedFraction:
    return AllowedFraction(
        threat_model=MODEL,
        value=0.0,
        limit=limit,
        expected=0.2,
        level=0.95,
        observable="score",
        regions=("low_pt",),
        sources=(),
        n_data=100,
        n_bins=4,
        scan=(),
    )


def test_sizes_need_the_same_attack_and_an_assumption() -> None:
    scaled = scaled_size(limited(0.4), 0.3, threat_model=MODEL, transfer="the same calorimeter")
    assert scaled.size == pytest.approx(0.12)
    assert (scaled.full, scaled.transfer) == (0.3, "the same calorimeter")
    assert scaled_size(limited(1.0), 0.3, threat_model=MODEL, transfer="the same").size == 0.3
    assert "all of it" in str(limited(1.0))
    with pytest.raises(ValueError, match="run the same attack"):
        scaled_size(limited(0.4), 0.3, threat_model="another", transfer="the same calorimeter")
    with pytest.raises(ValueError, match="transfer is empty"):
        scaled_size(limited(0.4), 0.3, threat_model=MODEL, transfer=" ")
    with pytest.raises(TypeError, match="transfer"):
        scaled_size(limited(0.4), 0.3, threat_model=MODEL)  # type: ignore[call-arg]


def test_limits_cover_the_truth_with_little_simulation(rng: np.random.Generator) -> None:
    truth = replace(small_truth(rng, n_events=3000), share=0.1)  # as many events as data
    n_toys = 60
    # Four standard deviations of a binomial below 0.95.
    assert truth.coverage(0.2, n_toys, rng) > 0.95 - 4.0 * np.sqrt(0.95 * 0.05 / n_toys)
    assert np.mean([cls_of(truth.toy(0.0, rng), 0.9) < 0.05 for _ in range(6)]) > 0.5
