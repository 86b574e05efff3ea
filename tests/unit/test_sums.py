# SPDX-License-Identifier: BSD-3-Clause
"""Sums against the events that they were made of."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import AttackResult, CONSERVAttack, run_attack
from hepfool.attacks._convergence import weighted_fraction
from hepfool.events import EventTable
from hepfool.statistics import Binning, compare
from hepfool.studies import Measured, total
from hepfool.studies._excess import Difference
from hepfool.studies._systematics import attack_effect as effect_of_events
from hepfool.sums import AttackSums, data_sums, sums_of
from hepfool.sums._effects import attack_effect, excess, systematic_effects
from hepfool.typing import FloatArray
from hepfool.validation import Correlations, Marginals, Validation
from hepfool.worst_case import compositions
from tests.effects import run_excess, run_systematics
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")

VALIDATION = Validation(
    inputs=Marginals(max_js_distance=0.05, n_bins=20, n_quantiles=0),
    score=Marginals(max_js_distance=0.05, n_bins=10, n_quantiles=0),
    correlations=Correlations(max_shift=0.05),
)
ATTACK = CONSERVAttack(n_iterations=2, validation=VALIDATION, strategy="frugal")


class HalfDetector:
    """Flags events by their first input."""

    threshold = 0.55

    def score(self, values: FloatArray) -> FloatArray:
        return np.asarray(0.5 + 0.5 * np.tanh(values[:, 0] / 60.0 - 1.0))


def varied(table: EventTable) -> EventTable:
    rng = np.random.default_rng(5)
    up, down = table.values.copy(), table.values.copy()
    scale = rng.normal(1.0, 0.1, table.n_events)
    up[:, 0], down[:, 0] = up[:, 0] * scale, down[:, 0] / scale
    return replace(
        table,
        shape_variations={"tes_up": up, "tes_down": down},
        weight_variations={"pileup_up": table.weights * rng.uniform(0.9, 1.3, table.n_events)},
    )


@pytest.fixture(scope="module")
def results() -> list[AttackResult]:
    """Three attacks of other events, in the same bins."""
    table = varied(events(600, weighted=True))
    binning = Binning.uniform(table, n_bins=20)
    third = np.arange(table.n_events) % 3
    return [run_attack(ATTACK, SineClassifier(), table.select(third == k), rng=k, binning=binning) for k in range(3)]


@pytest.fixture(scope="module")
def parts(results: list[AttackResult]) -> list[AttackSums]:
    return [sums_of(result, SineClassifier(), detector=HalfDetector()) for result in results]


@pytest.fixture(scope="module")
def together(results: list[AttackResult]) -> AttackResult:
    """The very same attacked events in one table."""
    joined: dict[str, Any] = {
        name: EventTable.concatenate([getattr(r, name) for r in results]) for name in ("nominal", "adversarial")
    }
    arrays = ("attacked", "fooled", "nominal_scores", "adversarial_scores", "classes")
    joined |= {name: np.concatenate([getattr(r, name) for r in results]) for name in arrays}
    return replace(results[0], **joined)


def test_any_order_gives_the_same_bits(parts: list[AttackSums]) -> None:
    a, b, c = parts
    data = data_sums(events(50), SineClassifier(), a.facts["binning"], detector=HalfDetector())
    whole = ((a + b) + c) + data
    for order in itertools.permutations([a, b, c, data]):
        assert sum(order[1:], order[0]) == whole
        assert (order[0] + order[1]) + (order[2] + order[3]) == whole
    assert whole + AttackSums() == AttackSums() + whole == whole
    assert pickle.loads(pickle.dumps(whole)) == whole
    assert a + b != a + c


def test_what_is_added_is_what_all_events_give(parts: list[AttackSums], together: AttackResult) -> None:
    found, whole = sum(parts[1:], parts[0]), sums_of(together, SineClassifier(), detector=HalfDetector())
    assert found.sums.keys() == whole.sums.keys()
    for key, one in found.sums.items():
        if key.name != "exchange":  # which is within one attack
            assert np.allclose(one.value, whole.sums[key].value, rtol=1e-12, atol=1e-9), key
    assert [f.value for f in found.validated.figures] == pytest.approx([f.value for f in whole.validated.figures])
    assert [(f.comparison, f.part, f.column) for f in found.validated.figures] == [
        (f.comparison, f.part, f.column) for f in whole.validated.figures
    ]


def test_compatibility_is_that_of_the_events(parts: list[AttackSums], together: AttackResult) -> None:
    found = sum(parts[1:], parts[0])
    expected = {r.name: together.compare(r.name) for r in together.nominal.regions}
    expected["constrained"] = compare(together.nominal, together.adversarial, together.binning)
    for region, other in expected.items():
        one = found.compatibility(region)
        assert one.n_events == other.n_events
        for name in ("js_distance", "js_floor", "correlation_nominal", "correlation_adversarial"):
            assert np.allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-12), (region, name)
        for name in ("n_effective", "correlation_shift", "correlation_floor", "n_merged_bins"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9), (region, name)


def test_counts_and_qualities_are_those_of_the_events(parts: list[AttackSums], together: AttackResult) -> None:
    found = sum(parts[1:], parts[0])
    flagged = HalfDetector().score(together.adversarial.network_values) > HalfDetector.threshold
    weights = together.nominal.weights[together.attacked]
    for region in together.nominal.regions:
        one, other = found.counts(region.name), together.counts(region.mask)
        assert (one.n_events, one.n_attacked, one.n_fooled) == (other.n_events, other.n_attacked, other.n_fooled)
        assert one.fooling_ratio == pytest.approx(other.fooling_ratio)
    for name, chosen in (("fooled", together.fooled), ("unflagged", together.fooled & ~flagged)):
        expected = weighted_fraction(chosen[together.attacked], weights)
        fraction = found.count(name).of(found.count("attacked"))
        assert (fraction.value, fraction.error) == pytest.approx(expected)
    assert found.count("moved").n == together.moved.sum()
    assert found.accuracy == pytest.approx(together.accuracy)
    assert found.auroc == pytest.approx(together.auroc, abs=1e-4)


def _close(one: Measured | None, other: Measured | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.value, one.error) == pytest.approx((other.value, other.error), rel=1e-6, abs=1e-9, nan_ok=True)


def test_effects_and_their_errors_are_those_of_the_events(parts: list[AttackSums], together: AttackResult) -> None:
    found, network = sum(parts[1:], parts[0]), SineClassifier()
    flagged = HalfDetector().score(together.adversarial.network_values) > HalfDetector.threshold
    pairs = [
        (attack_effect(found), effect_of_events(together, network)),
        (attack_effect(found, remaining=True), effect_of_events(together, network, flagged=flagged)),
        *zip(
            systematic_effects(found),
            run_systematics(network, together.nominal, attacked=together.attacked),
            strict=True,
        ),
    ]
    for one, other in pairs:
        assert (one.name, one.kind) == (other.name, other.kind)
        assert _close(one.flips, other.flips), one.name
        assert one.yield_shift.keys() == other.yield_shift.keys() > set()
        assert all(_close(one.yield_shift[r], other.yield_shift[r]) for r in one.yield_shift), one.name
    for correlations in (None, {("tes", "pileup"): 0.5}):
        mine = excess(found, correlations=correlations)
        theirs = run_excess(together, network, flagged=flagged, correlations=correlations)
        assert _close(mine.flips, theirs.flips)
        assert mine.yield_shift.keys() == theirs.yield_shift.keys() > set()
        assert all(_close(mine.yield_shift[r], theirs.yield_shift[r]) for r in theirs.yield_shift)


def test_flips_of_a_region_are_those_of_its_attacked_events(parts: list[AttackSums], together: AttackResult) -> None:
    found, network = sum(parts[1:], parts[0]), SineClassifier()
    flagged = HalfDetector().score(together.adversarial.network_values) > HalfDetector.threshold
    compared, added = excess(found), total(systematic_effects(found))
    for region in together.nominal.regions:
        inside = replace(together, attacked=together.attacked & region.mask, fooled=together.fooled & region.mask)
        expected = effect_of_events(inside, network, flagged=flagged).flips
        assert _close(attack_effect(found, remaining=True).flips_in(region.name), expected)
        theirs = run_excess(inside, network, flagged=flagged)
        difference = compared.region_flips[region.name]
        assert isinstance(difference, Difference)
        assert _close(difference, theirs.flips)
        assert _close(difference.effect, expected)
        assert difference.systematics.value == pytest.approx(added.region_flips[region.name].value)
        weights = together.nominal.weights[inside.attacked]
        assert difference.floor == pytest.approx((weights**2).sum() / weights.sum() ** 2)
        # Both sides of the only source that flips: their difference, event by event.
        nominal = together.nominal
        up, down = (network.predict(nominal.variation(f"tes_{side}").network_values) for side in ("up", "down"))
        before, own = network.predict(nominal.network_values), nominal.weights * inside.attacked
        sides = own * ((up != before).astype(float) - (down != before))
        spread = np.linalg.norm(sides - sides.sum() / own.sum() * own) / own.sum()
        assert difference.selection == pytest.approx(spread / np.sqrt(2.0 * np.pi))
        half = difference.at(0.5)
        assert half.value == pytest.approx(difference.effect.value - 0.5 * difference.systematics.value)
        assert difference.at(0.0).error == pytest.approx(difference.effect.error)
        low, high = difference.interval(0.95, 0.0)
        spread = np.hypot(difference.effect.error, difference.floor)
        assert (high - low) / 2.0 == pytest.approx(1.95996 * spread, rel=1e-4)


def test_the_selected_signal_is_counted(parts: list[AttackSums], together: AttackResult) -> None:
    found, table = sum(parts[1:], parts[0]), together.nominal
    flagged = HalfDetector().score(table.network_values) > HalfDetector.threshold
    for region in table.regions:
        chosen = region.mask & (table.labels == 1) & (together.classes == 1)
        counted = [
            found.count(name, region=region.name, variation="nominal", label="1")
            for name in ("selected", "flagged selected")
        ]
        assert [one.n for one in counted] == [int(chosen.sum()), int((chosen & flagged).sum())]
        assert counted[1].weight == pytest.approx(table.weights[chosen & flagged].sum())


def test_compositions_are_those_of_the_events(parts: list[AttackSums], together: AttackResult) -> None:
    found, expected = sum(parts[1:], parts[0]).compositions, compositions(together, SineClassifier())
    assert len(found) == len(expected) > 1
    for one, other in zip(found, expected, strict=True):
        assert (one.name, one.reason) == (other.name, other.reason)
        assert one.exchange <= other.exchange + 1e-12
        for name in ("fooling_ratio", "opposite", "limit", "cap"):
            assert getattr(one, name) == pytest.approx(getattr(other, name)), name


def test_sums_of_other_attacks_are_refused(parts: list[AttackSums], results: list[AttackResult]) -> None:
    other = sums_of(
        replace(results[1], attack=replace(ATTACK, n_iterations=3)), SineClassifier(), detector=HalfDetector()
    )
    with pytest.raises(ValueError, match="different attacks cannot be added: they differ in attack"):
        parts[0] + other
    bins = Binning.uniform(results[1].nominal, n_bins=7)
    with pytest.raises(ValueError, match="they differ in binning"):
        parts[0] + data_sums(results[1].nominal, SineClassifier(), bins, detector=HalfDetector())


def test_figures_of_other_bins_are_those_of_their_common_edges(
    results: list[AttackResult], together: AttackResult
) -> None:
    moved = replace(VALIDATION, score=Marginals(max_js_distance=0.05, n_bins=10, n_quantiles=5))
    parts = [sums_of(replace(result, validation=moved), SineClassifier()) for result in results]
    found = {f.part: f.value for f in sum(parts[1:], parts[0]).validated.figures if f.comparison == "score"}
    expected = {
        f.part: f.value for f in sums_of(together, SineClassifier()).validated.figures if f.comparison == "score"
    }
    assert found == pytest.approx(expected)  # the ten bins of equal width


def test_figures_without_common_edges_are_the_largest_of_their_attacks(results: list[AttackResult]) -> None:
    moved = replace(VALIDATION, correlations=Correlations(max_shift=0.05, kind="distance"))
    parts = [sums_of(replace(result, validation=moved), SineClassifier()) for result in results]
    each = [one.value for part in parts for one in part.validated.figures if one.comparison == "correlations"]
    (value,) = [f.value for f in sum(parts[1:], parts[0]).validated.figures if f.comparison == "correlations"]
    assert value == max(each) > min(each)


def test_an_empty_table_of_data_adds_nothing_but_its_facts(parts: list[AttackSums]) -> None:
    none = data_sums(
        events(10).select(np.zeros(10, dtype=bool)),
        SineClassifier(),
        parts[0].facts["binning"],
        detector=HalfDetector(),
    )
    assert parts[0] + none == parts[0]


def test_scores_join_to_coarser_bins(parts: list[AttackSums], results: list[AttackResult]) -> None:
    edges = Binning(np.linspace(0, 1, 26)[None])
    expected = edges.yields(results[0].nominal_scores[:, 1:], results[0].nominal.weights)[0, :-1]
    assert parts[0].score_yields(25, variation="nominal", region="all")[0] == pytest.approx(expected)
    with pytest.raises(ValueError, match="kept in 600 bins, which cannot be joined to 7"):
        parts[0].score_yields(7)


def test_scores_of_flagged_events_are_kept(results: list[AttackResult], parts: list[AttackSums]) -> None:
    table, detector = results[0].nominal, HalfDetector()
    tables = {"nominal": table, "adversarial": results[0].adversarial}
    tables |= {name: table.variation(name) for name in ("tes_up", "pileup_up")}
    for name, one in tables.items():
        chosen = detector.score(one.network_values) > detector.threshold
        scores = SineClassifier().scores(one.network_values)[chosen, 1]
        expected = np.histogram(scores, bins=10, range=(0.0, 1.0), weights=one.weights[chosen])[0]
        found = parts[0].score_yields(10, flagged=True, variation=name, region="all")
        assert found[0] == pytest.approx(expected)
        assert 0 < chosen.sum() < len(chosen)
    assert not sums_of(results[0], SineClassifier()).names("flagged score", "variation")
