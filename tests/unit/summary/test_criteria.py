# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hepfool.attacks import AttackResult
from hepfool.models import Classifier
from hepfool.studies import Measured
from hepfool.studies._contributions import SystematicEffect
from hepfool.studies._excess import Difference, Excess
from hepfool.summary import Evidence, Thresholds
from hepfool.summary._criteria import (
    COMMON_CRITERIA,
    REGION_CRITERIA,
    AttackConverged,
    CorrelationsWithinFloor,
    Criterion,
    DataAgree,
    DetectorPrice,
    EnoughEvents,
    FlaggedFractionsAgree,
    FoolingWithinSystematics,
    MarginalsWithinFloor,
    YieldsWithinSystematics,
)
from hepfool.summary._evidence import FlaggedFraction, FlaggedSignal
from hepfool.summary._observed import ObservedCheck

REGION = "high_met"


def systematic(flips: float, shift: float = 0.0) -> SystematicEffect:
    return SystematicEffect(name="tes_up", kind="shape", flips=Measured(flips), yield_shift={REGION: Measured(shift)})


def fraction(data: float, simulation: float, n_data: float = 1e6) -> FlaggedFraction:
    numbers = (Measured(p) for p in (data, simulation, simulation + 0.08))
    names = ("data", "simulation", "attacked")
    return FlaggedFraction(region="low_met", n_data=n_data, n_simulated=1e6, **dict(zip(names, numbers, strict=True)))


def observed(p_nominal: float, check: str = "chi2") -> ObservedCheck:
    return ObservedCheck(
        check=check,  # type: ignore[arg-type]
        region="low_met",
        quantity="met",
        p_nominal=p_nominal,
        p_attacked=1e-9,
        n_data=100.0,
        n_bins=10,
    )


@pytest.fixture
def evidence(shifted_result: AttackResult, sign_classifier: Classifier) -> Evidence:
    return Evidence.of(shifted_result.sums(sign_classifier))


def judge(criterion: type[Criterion], evidence: Evidence, **changes: object) -> Criterion:
    return criterion.of(dataclasses.replace(evidence, **changes), Thresholds(), REGION)  # type: ignore[arg-type]


def test_every_criterion_explains_itself(evidence: Evidence) -> None:
    for criterion in (*REGION_CRITERIA, *COMMON_CRITERIA):
        judged = criterion.of(evidence, Thresholds(), REGION)
        assert judged.sentence.endswith(".")
        assert "Attributes" not in judged.sentence
        assert judged.numbers
        assert judged.status in {"passed", "failed", "not evaluated", "not needed"}
    assert [c.__name__ for c in (*REGION_CRITERIA, *COMMON_CRITERIA) if c.decisive] == [
        "FoolingWithinSystematics",
        "YieldsWithinSystematics",
        "DetectorPrice",
        "FlaggedFractionsAgree",
        "DataAgree",
        "AttackConverged",
    ]


@pytest.mark.parametrize(
    ("criterion", "place"), [(FoolingWithinSystematics, "region_flips"), (YieldsWithinSystematics, "yield_shift")]
)
@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [(-0.03, 0.01, True), (0.03, 0.01, False), (-0.01, 0.01, None), (0.01, 0.01, None), (0.0, 0.0, True)],
)
def test_intervals_decide_not_central_values(
    criterion: type[Criterion], place: str, value: float, error: float, expected: bool | None, evidence: Evidence
) -> None:
    size = Measured(0.05)
    difference = Difference(value, error, Measured(0.05 + value, error), size)
    fields = {"flips": difference, "yield_shift": {}, "region_flips": {}, place: {REGION: difference}}
    judged = judge(criterion, evidence, effects=(systematic(0.05),), excess=Excess(**fields))  # type: ignore[arg-type]
    assert judged.passed is expected
    assert ("more simulated events in high_met" in judged.lacking) == (expected is None)


@pytest.mark.parametrize("criterion", [FoolingWithinSystematics, YieldsWithinSystematics])
def test_a_region_is_held_against_its_own_systematics(criterion: type[Criterion], evidence: Evidence) -> None:
    assert judge(criterion, evidence).passed is None
    assert "physics systematics" in judge(criterion, evidence).lacking
    sizes = Measured(0.3, 0.01), Measured(0.2)
    inside, outside = Difference(-0.1, 0.01, *sizes[::-1]), Difference(0.1, 0.01, *sizes)
    for region, expected in ((REGION, False), ("low_met", True)):
        found = {REGION: outside, "low_met": inside}
        excess = Excess(flips=inside, yield_shift=found, region_flips=found)
        changed = dataclasses.replace(evidence, effects=(systematic(0.1),), excess=excess)
        assert criterion.of(changed, Thresholds(), region).passed is expected


def test_the_allowed_ratio_counts(evidence: Evidence) -> None:
    difference = Difference(0.02, 0.002, Measured(0.06, 0.002), Measured(0.04))
    excess = Excess(flips=difference, yield_shift={}, region_flips={})
    changed = dataclasses.replace(evidence, effects=(systematic(0.04),), excess=excess)
    for ratio, expected in ((1.0, False), (2.0, True), (1.5, None)):
        thresholds = Thresholds(max_systematics_ratio=ratio)
        assert FoolingWithinSystematics.of(changed, thresholds, REGION).passed is expected


def test_a_detector_corrects_the_fooling_ratio(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    half = shifted_result.fooled & (np.cumsum(shifted_result.fooled) % 2 == 0)
    evidence = Evidence.of(shifted_result.sums(sign_classifier, flagged=half))
    judged = FoolingWithinSystematics.of(evidence, Thresholds(), REGION)
    place = shifted_result.nominal.region(REGION).mask
    assert judged.corrected
    assert judged.effect.value == pytest.approx(
        (shifted_result.fooled & ~half & place).sum() / (shifted_result.attacked & place).sum()
    )
    assert "corrected" in judged.numbers


@pytest.mark.parametrize(
    ("fractions", "expected"),
    [
        ((), None),
        ((fraction(0.19, 0.18),), True),
        ((fraction(0.21, 0.18),), False),
        ((fraction(0.19, 0.18, 100.0),), None),
        ((fraction(0.30, 0.18, 2000.0),), False),
        ((fraction(0.19, 0.18), fraction(0.1, 0.2)), False),
        ((fraction(0.19, 0.18), fraction(0.19, 0.18, 100.0)), None),
    ],
)
def test_data_and_simulation_are_flagged_alike(
    fractions: tuple[FlaggedFraction, ...], expected: bool | None, evidence: Evidence
) -> None:
    judged = judge(FlaggedFractionsAgree, evidence, fractions=fractions)
    assert judged.passed is expected
    if fractions and expected is None:
        assert judged.lacking == "more data or simulation in low_met, to show that flagged fractions agree"


def test_fewer_data_do_not_make_it_easier(evidence: Evidence) -> None:
    answers = [
        judge(FlaggedFractionsAgree, evidence, fractions=(fraction(0.18, 0.18, n),)).passed for n in (10, 100, 1e5)
    ]
    assert answers == [None, None, True]
    # Nor do none that are flagged of few.
    assert judge(FlaggedFractionsAgree, evidence, fractions=(fraction(0.0, 0.01, 10),)).passed is None


@pytest.mark.parametrize(
    ("flagged", "n", "expected"), [(0.1, 1000, True), (0.3, 1000, False), (0.19, 100, None), (0.3, 20, None)]
)
def test_the_price_of_a_detector_is_what_it_takes_of_the_signal(
    flagged: float, n: float, expected: bool | None, evidence: Evidence
) -> None:
    prices = {REGION: FlaggedSignal(fraction=Measured(flagged), n_effective=n, every_signal=Measured(0.3))}
    judged = judge(DetectorPrice, evidence, corrected=evidence.attack, prices=prices)
    assert judged.passed is expected
    assert ("more simulated signal" in judged.lacking) == (expected is None)
    assert judge(DetectorPrice, evidence, prices=prices).status == "not needed"


def test_data_are_held_against_all_tests_that_know_systematics(evidence: Evidence) -> None:
    assert "data in a control" in judge(DataAgree, evidence).lacking
    assert judge(DataAgree, evidence, observed=(observed(0.04),)).passed is False
    assert judge(DataAgree, evidence, observed=(observed(0.04), observed(0.5))).passed is True
    assert judge(DataAgree, evidence, observed=(observed(0.001), observed(0.5))).passed is False
    assert judge(DataAgree, evidence, observed=(observed(0.5), observed(1e-9, "ks"))).passed is True
    assert judge(DataAgree, evidence, observed=(observed(0.5), observed(math.nan))).passed is True


@pytest.mark.parametrize(
    ("converged", "done", "lacking", "words"),
    [
        (True, 7, "", "converged after 7"),
        (False, 10, "more iterations of the attack", "not converged after 10"),
        (None, 10, "an attack that stops when it has converged", "is not known"),
        (None, 3, "more iterations of the attack", "not converged after 3"),
    ],
)
def test_a_search_has_to_converge(
    converged: bool | None, done: int, lacking: str, words: str, evidence: Evidence
) -> None:
    judged = judge(AttackConverged, evidence, iterations_done=done, n_iterations=10, converged=converged)
    assert (judged.passed, judged.lacking) == (converged or None, lacking)
    assert words in judged.numbers


def test_distances_are_held_against_their_floors(evidence: Evidence) -> None:
    compared = evidence.compatibility
    worst = judge(MarginalsWithinFloor, evidence)
    assert isinstance(worst, MarginalsWithinFloor)
    assert worst.feature == "lead_jet_pt"
    assert worst.passed is bool((compared.js_distance <= compared.js_floor).all())
    quiet = dataclasses.replace(compared, js_distance=0.9 * compared.js_floor)
    assert judge(MarginalsWithinFloor, evidence, compatibility=quiet).passed is True
    for ratio, expected in ((0.9, True), (1.1, False)):
        moved = dataclasses.replace(compared, correlation_shift=ratio * compared.correlation_floor)
        assert judge(CorrelationsWithinFloor, evidence, compatibility=moved).passed is expected


def test_small_samples_are_pointed_out(evidence: Evidence) -> None:
    assert judge(EnoughEvents, evidence).passed is True
    few = dataclasses.replace(evidence.compatibility, n_events=199)
    assert judge(EnoughEvents, evidence, compatibility=few).passed is False
