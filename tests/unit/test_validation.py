# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hepfool as hf
from hepfool.attacks import AttackResult, Noise, run_attack
from hepfool.attacks._problem import n_bins_of
from hepfool.events import EventTable, Region
from hepfool.features import Derived
from hepfool.statistics import Binning, CheckSettings, compare, distance_correlation_shift, js_distance, run_checks
from hepfool.statistics._comparisons import Comparison
from hepfool.statistics._compatibility import chi2_power
from hepfool.typing import BoolArray, FloatArray
from hepfool.validation import AtPower, Correlations, Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
CLASSIFIER = SineClassifier()
SUM = Derived(["pt", "eta"], np.add)


class HighPt:
    """A detector that needs no training."""

    def flags(self, values: FloatArray) -> BoolArray:
        return values[:, 0] > 45.0


def attack(table: EventTable, validation: Validation | None, seed: int = 1, **options: Any) -> AttackResult:
    configuration = hf.CONSERVAttack(validation=validation, **{"strategy": "frugal", "n_iterations": 3, **options})
    return run_attack(configuration, CLASSIFIER, table, rng=seed)


def two_regions(n_events: int = 400, **options: Any) -> EventTable:
    table = events(n_events, regions=False, **options)
    near = table.values[:, 0] < 55.0
    cuts: tuple[dict[str, tuple[float, float]], ...] = ({"pt": (-np.inf, 55.0)}, {"pt": (55.0, np.inf)})
    return replace(
        table, regions=(Region("low", near, cuts=cuts[0]), Region("high", ~near, "validation", cuts=cuts[1]))
    )


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    strategy=st.sampled_from(["paper", "frugal"]),
    separately=st.sampled_from(["union", "regions", "processes"]),
    inputs=st.booleans(),
    score=st.sampled_from([None, Marginals(max_js_distance=0.05, n_bins=10, n_quantiles=5)]),
    correlations=st.sampled_from([None, Correlations(max_shift=0.02), Correlations(separately="union")]),
    observed=st.booleans(),
    flagged=st.booleans(),
    cap=st.sampled_from([0.0, 0.03, AtPower(detection_power=0.2, n_data=500.0)]),
)
def test_every_cap_of_every_part_is_kept_on_the_returned_events(
    *,
    seed: int,
    strategy: str,
    separately: Any,
    inputs: bool,
    score: Marginals | None,
    correlations: Correlations | None,
    observed: bool,
    flagged: bool,
    cap: Any,
) -> None:
    assume(inputs or score or correlations or observed)
    validation = Validation(
        inputs=Marginals(max_js_distance=cap, n_bins=10, n_quantiles=10) if inputs else None,
        score=score,
        correlations=correlations,
        observables={"sum": Marginals(n_bins=15, n_quantiles=8, of=SUM)} if observed else {},
        separately=separately,
        flagged=HighPt() if flagged and score is not None else None,
    )
    result = attack(two_regions(250, seed=seed), validation, seed, strategy=strategy, n_iterations=2)
    assert result.validated.kept, [figure for figure in result.validated.figures if not figure.kept]
    found = {figure.comparison for figure in result.validated.figures}
    assert found >= {name for name, there in (("inputs", inputs), ("observables", observed)) if there}
    assert set(result.validated.not_compared) == {
        name for name, there in (("inputs", inputs), ("score", score), ("correlations", correlations)) if not there
    }


def test_figures_are_those_of_the_formulas_in_each_region() -> None:
    table = two_regions()
    result = attack(table, Validation(inputs=Marginals(n_bins=20, n_quantiles=10)))
    for region in table.regions:
        mine = {(f.comparison, f.column): f for f in result.validated.figures if f.part == region.name}
        expected = compare(table, result.adversarial, result.binning, events=region.mask)
        for name, distance in zip(table.features.names, expected.js_distance, strict=True):
            assert mine["inputs", name].value == pytest.approx(distance)
        assert mine["correlations", ""].value == pytest.approx(expected.correlation_shift)
        edges = result.validation.score_edges(result.nominal_scores[:, 1], table.constrained, 0.5)  # type: ignore[union-attr]
        yields = [
            np.bincount(np.searchsorted(edges, s[region.mask, 1]), table.weights[region.mask], minlength=len(edges) + 1)
            for s in (result.nominal_scores, result.adversarial_scores)
        ]
        assert mine["score", "score"].value == pytest.approx(_js(yields))
    assert result.validated.kept
    assert result.fooling_ratio > 0.02
    assert result.compare("low").max_js_distance == max(
        f.value for f in result.validated.figures if (f.comparison, f.part) == ("inputs", "low")
    )


def _js(yields: list[Any]) -> float:
    return float(js_distance(yields[0][np.newaxis], yields[1][np.newaxis])[0])


def test_a_broken_cap_is_seen_on_the_events_whatever_the_search_believed() -> None:
    table = two_regions()
    moved = table.with_values(np.where(np.arange(6) == 1, np.clip(table.values + 0.3, -2.5, 2.5), table.values))
    validated = Validation(score=None).measure(table, moved)
    assert not validated.kept
    broken = {figure.column for figure in validated.figures if not figure.kept}
    assert "eta" in broken
    assert "pt" not in broken
    assert validated.largest()[0].column == "eta"


def test_distance_correlations_are_recomputed_as_such() -> None:
    table = events(150, regions=False)
    validation = Validation(score=None, correlations=Correlations(kind="distance", max_shift=0.05))
    result = attack(table, validation, n_iterations=1)
    (figure,) = (f for f in result.validated.figures if f.comparison == "correlations")
    assert figure.value == pytest.approx(distance_correlation_shift(table, result.adversarial))
    assert 0.0 < figure.value <= 0.05


def test_parts_have_names_by_which_a_result_compares() -> None:
    table = two_regions()
    result = attack(table, Validation(score=None, separately="processes"), n_iterations=1)
    parts = {figure.part for figure in result.validated.figures}
    assert parts == {f"{region}, class {k}" for region in ("low", "high") for k in (0, 1)}
    assert result.compare("low, class 1").n_events == int(((table.values[:, 0] < 55.0) & (table.labels == 1)).sum())
    with pytest.raises(ValueError, match="low, class 7"):
        result.compare("low, class 7")


def test_an_attack_without_a_validation_reports_none() -> None:
    result = run_attack(Noise(size=0.01), CLASSIFIER, events(200), rng=1)
    assert result.validation is None
    assert not result.validated.figures


def test_the_bins_of_the_validation_are_those_of_the_attack() -> None:
    table, validation = events(300), Validation(inputs=Marginals(n_bins=7, n_quantiles=4))
    plain = attack(table, validation, n_iterations=1)
    assert np.array_equal(plain.binning.edges, validation.binning(table).edges)


def test_a_checkpoint_of_an_observable_is_found_again_by_another_process() -> None:
    assert "0x" not in repr(Validation(observables={"sum": Marginals(of=Derived(["pt"], lambda pt: 2.0 * pt))}))
    first, second = (Derived(["pt"], f) for f in (lambda pt: 2.0 * pt, lambda pt: 3.0 * pt))
    assert repr(first) != repr(second)


def test_observables_are_binned_where_regions_are_cuts() -> None:
    table = two_regions()
    bins = Validation(observables={"sum": Marginals(n_bins=5, n_quantiles=0, of=SUM)}).binning(table)
    assert len(bins.edges) == 7
    both = table.values[:, 0] + table.values[:, 1]
    assert (bins.edges[-1, 0], bins.edges[-1, -1]) == (both.min(), both.max())


def test_checks_look_at_what_the_validation_compares(rng: np.random.Generator) -> None:
    table = two_regions()
    validation = Validation(
        observables={"sum": Marginals(of=SUM)}, correlations=Correlations(separately="union"), flagged=HighPt()
    )
    result = attack(table, validation, n_iterations=1)
    table_of_checks = result.checks(
        CheckSettings(n_data=500.0, checks=("chi2", "ks", "correlations"), n_toys=20), rng=rng
    )
    found = {(row.check, row.comparison, row.region) for row in table_of_checks.rows}
    for part in ("low", "high"):
        for check in ("chi2", "ks"):
            assert {(check, kind, part) for kind in ("inputs", "score", "observables")} <= found
        assert {("chi2", "flagged fraction", part), ("chi2", "score and flag", part)} <= found
    assert [row.region for row in table_of_checks.rows if row.check == "correlations"] == ["constrained"]
    assert sum(row.n_data for row in table_of_checks.rows if row.features == ("score",) and row.check == "ks") == (
        pytest.approx(500.0)
    )


def test_a_cap_at_a_power_is_what_its_check_then_has(rng: np.random.Generator) -> None:
    table = two_regions(1500)
    validation = Validation.at_power(0.2, n_data=2000)
    result = attack(table, validation)
    assert result.validated.kept
    assert result.validated.largest()[0].value > 0.8 * result.validated.largest()[0].cap
    settings = CheckSettings(n_data=2000.0, n_simulated=np.inf, checks=("chi2",))
    powers = [row.power.value for row in result.checks(settings, rng=rng).rows]
    assert max(powers) <= 0.2 + 1e-6
    for part in validation.parts(table, Marginals()):
        cap = Marginals(max_js_distance=AtPower(detection_power=0.2, n_data=2000.0)).cap(part.share)
        power = chi2_power(cap, n_data=2000.0 * part.share, n_bins=50)
        assert float(power) == pytest.approx(0.2)


@pytest.mark.parametrize(("n_data", "n_quantiles"), [(2000.0, 100), (20_000.0, 400)])
def test_no_kolmogorov_smirnov_check_of_a_region_has_more_power_than_asked_for(
    rng: np.random.Generator, n_data: float, n_quantiles: int
) -> None:
    table, bins = two_regions(1500), Marginals(n_quantiles=n_quantiles)
    settings = CheckSettings(n_data=n_data, n_simulated=np.inf, checks=("ks",), n_toys=200)

    def largest(validation: Validation) -> float:
        result = attack(table, validation)
        assert result.validated.kept
        rows = result.checks(settings, rng=rng).rows
        assert {row.region for row in rows} == {"low", "high"}
        return max(row.power.value for row in rows)

    assert largest(Validation.at_power(0.2, n_data=n_data, inputs=bins, score=bins, ks=True)) <= 0.2
    loose = replace(bins, max_js_distance=0.1)
    assert largest(Validation(inputs=loose, score=loose)) > 0.5


def test_checks_of_an_attack_without_a_validation_look_at_the_score_too(rng: np.random.Generator) -> None:
    result = attack(two_regions(), None, max_js_distance=0.05, n_iterations=1)
    settings = CheckSettings(n_data=500.0, checks=("chi2",))
    rows = result.checks(settings, rng=rng).rows
    assert rows == run_checks(result.comparisons(Validation()), settings, rng=rng).rows
    assert {(row.region, row.comparison) for row in rows} == {
        (region, comparison) for region in ("low", "high") for comparison in ("inputs", "score")
    }
    told = result.checks(settings, rng=rng, validation=Validation(inputs=None, correlations=None)).rows
    assert {(row.comparison, row.features) for row in told} == {("score", ("score",))}


class AndBoth(Validation):
    """Adds the input ``eta`` of both regions together, more strictly than in each: in this one place."""

    def comparisons(self, nominal: EventTable, *arguments: Any, **options: Any) -> Iterator[Comparison]:
        for one in super().comparisons(nominal, *arguments, **options):
            yield one
            if (one.name, one.part) == ("inputs", "low"):
                assert one.binning is not None
                eta: dict[str, Any] = {"columns": ("eta",), "values": tuple(values[:, 1:2] for values in one.values)}
                bins: dict[str, Any] = {
                    "binning": Binning(one.binning.edges[1:2]),
                    "chi2_binning": None,
                    "caps": (0.004,),
                }
                yield replace(one, part="both", events=nominal.constrained, share=1.0, **eta, **bins)


@pytest.mark.parametrize("strategy", ["paper", "frugal"])
def test_what_is_added_to_the_comparisons_is_kept_measured_and_checked(strategy: str, rng: np.random.Generator) -> None:
    table = two_regions()
    options: dict[str, Any] = {"strategy": strategy, "n_iterations": 2, "start": "nominal"}
    without = attack(table, Validation(score=None), **options)
    added = attack(table, AndBoth(score=None), **options)
    assert (
        next(f for f in AndBoth(score=None).measure(table, without.adversarial).figures if f.part == "both").value
        > 0.01
    )
    (figure,) = (figure for figure in added.validated.figures if figure.part == "both")
    assert 0.0 < figure.value <= figure.cap == 0.004
    assert added.fooling_ratio > 0.0
    assert added.compare("both").n_events == table.n_events
    rows = added.checks(CheckSettings(n_data=500.0, checks=("chi2",)), rng=rng).rows
    assert [(row.features, row.comparison) for row in rows if row.region == "both"] == [(("eta",), "inputs")]


def test_a_score_that_is_compared_must_be_given() -> None:
    table = events(100)
    with pytest.raises(ValueError, match="compares the network's score; pass scores="):
        Validation().measure(table, table)
    with pytest.raises(ValueError, match="different events"):
        Validation(score=None).measure(table, table.select(np.arange(50)))


def test_caps_scale_be_they_numbers_or_powers() -> None:
    scaled = Validation(observables={"sum": Marginals(of=SUM)}).scaled(2.0)
    assert scaled.inputs is not None
    assert (scaled.inputs.max_js_distance, scaled.observables["sum"].max_js_distance) == (0.06, 0.06)
    assert scaled.correlations == Correlations(max_shift=0.06)
    table = two_regions()
    plain, twice = (
        [one.caps for one in kept.comparisons(table, table)]
        for kept in (
            Validation.at_power(n_data=100, score=None),
            Validation.at_power(n_data=100, score=None).scaled(2.0),
        )
    )
    np.testing.assert_allclose(np.concatenate(twice), 2.0 * np.concatenate(plain))
    with pytest.raises(ValueError, match="factor must not be negative, got -1"):
        Validation.at_power(n_data=100).scaled(-1.0)


def test_a_score_at_the_threshold_is_in_the_bin_below() -> None:
    table = EventTable.from_arrays(np.linspace(0.0, 1.0, 40)[:, np.newaxis], labels=np.arange(40) % 2)
    score = np.where(np.arange(40) < 20, 0.25, 0.5)
    pair = np.stack([1.0 - score, score], axis=1)
    other = np.where(np.arange(40) < 20, 0.25, np.nextafter(0.5, 1.0))
    moved = np.stack([1.0 - other, other], axis=1)
    validation = Validation(inputs=None, correlations=None, score=Marginals(n_bins=2, n_quantiles=0))
    (figure,) = validation.measure(table, table, scores=(pair, moved)).figures
    assert figure.value == pytest.approx(np.sqrt(1.5 - 0.75 * np.log2(3.0)))
    assert Binning(np.array([[0.0, 0.5, 1.0]])).indices(score[:, np.newaxis])[-1, 0] == 1


def test_bins_from_ranges_alone_are_as_many_as_the_validation_has() -> None:
    table = events(300)
    validation = Validation(inputs=Marginals(n_bins=7, n_quantiles=4))
    stated = hf.CONSERVAttack(validation=validation)
    assert n_bins_of(stated) == validation.input_binning(table).n_bins
    assert n_bins_of(hf.CONSERVAttack(n_bins=31)) == n_bins_of(Noise(size=0.1, n_bins=31)) == 31


def test_the_cap_of_an_input_with_few_values_is_that_of_few_bins() -> None:
    table = events(400, regions=False)
    marginals = Marginals(max_js_distance=AtPower(detection_power=0.2, n_data=1000.0))
    (part,) = Validation(separately="union").parts(table, marginals)
    caps = marginals.caps(part, table.values, Validation().input_binning(table))
    by_name = dict(zip(table.features.names, caps, strict=True))
    assert by_name["charge"] == marginals.cap(1.0, 2)
    assert by_name["charge"] < by_name["n_jets"] < by_name["phi"] == marginals.cap(1.0)
