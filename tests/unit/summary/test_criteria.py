# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult
from hepfool.models.protocols import Classifier
from hepfool.studies.systematics import Measured, SystematicEffect
from hepfool.summary import Evidence, Thresholds
from hepfool.summary.criteria import (
    CRITERIA,
    AttackConverged,
    AttackFinished,
    CorrelationsWithinFloor,
    Criterion,
    EnoughEvents,
    FlaggedFractionsAgree,
    FoolingWithinSystematics,
    MarginalsWithinFloor,
    YieldsWithinSystematics,
)
from hepfool.summary.evidence import FlaggedFraction


def systematic(flips: float, shift: float = 0.0) -> SystematicEffect:
    return SystematicEffect(
        name="tes_up", kind="shape", flips=Measured(flips), yield_shift={"all_events": Measured(shift)}
    )


def fraction(data: float, simulation: float, error: float = 0.0) -> FlaggedFraction:
    return FlaggedFraction(region="low_met", data=Measured(data, error), simulation=Measured(simulation))


@pytest.fixture
def evidence(shifted_result: AttackResult, sign_classifier: Classifier) -> Evidence:
    return Evidence.of(shifted_result.sums(sign_classifier))


def judge(criterion: type[Criterion], evidence: Evidence, **changes: object) -> Criterion:
    return criterion.of(dataclasses.replace(evidence, **changes), Thresholds())  # type: ignore[arg-type]


def test_every_criterion_explains_itself(evidence: Evidence) -> None:
    for criterion in CRITERIA:
        judged = criterion.of(evidence, Thresholds())
        assert judged.sentence.endswith(".")
        assert "Attributes" not in judged.sentence
        assert judged.numbers
        assert judged.status in {"passed", "failed", "not evaluated", "not needed"}
    assert [c.__name__ for c in CRITERIA if c.decisive] == [
        "FoolingWithinSystematics",
        "FlaggedFractionsAgree",
        "AttackFinished",
    ]


def test_fooling_is_held_against_the_flips_of_the_systematics(evidence: Evidence) -> None:
    assert evidence.attack.flips is not None
    flips = evidence.attack.flips.value
    assert flips == pytest.approx(0.05, abs=0.02)
    assert judge(FoolingWithinSystematics, evidence).passed is None
    assert judge(FoolingWithinSystematics, evidence, effects=(systematic(flips),)).passed is True
    assert judge(FoolingWithinSystematics, evidence, effects=(systematic(0.99 * flips),)).passed is False
    allowed = FoolingWithinSystematics.of(
        dataclasses.replace(evidence, effects=(systematic(0.6 * flips),)), Thresholds(max_systematics_ratio=2.0)
    )
    assert allowed.passed is True


def test_a_detector_corrects_the_fooling_ratio(shifted_result: AttackResult, sign_classifier: Classifier) -> None:
    half = shifted_result.fooled & (np.cumsum(shifted_result.fooled) % 2 == 0)
    evidence = Evidence.of(shifted_result.sums(sign_classifier, flagged=half))
    judged = FoolingWithinSystematics.of(evidence, Thresholds())
    assert judged.corrected
    assert judged.fooling.value == pytest.approx((shifted_result.fooled & ~half).sum() / shifted_result.attacked.sum())
    assert "corrected" in judged.numbers


@pytest.mark.parametrize(
    ("fractions", "expected"),
    [
        ((), None),
        ((fraction(0.19, 0.18),), True),
        ((fraction(0.25, 0.18),), False),
        ((fraction(0.25, 0.18, 0.025),), True),
        ((fraction(0.20, 0.18), fraction(0.1, 0.2)), False),
    ],
)
def test_data_and_simulation_are_flagged_alike(
    fractions: tuple[FlaggedFraction, ...], expected: bool | None, evidence: Evidence
) -> None:
    assert judge(FlaggedFractionsAgree, evidence, fractions=fractions).passed is expected


def test_an_interrupted_attack_is_seen(evidence: Evidence) -> None:
    assert judge(AttackFinished, evidence).passed is True
    assert judge(AttackFinished, evidence, iterations_done=3, n_iterations=10).passed is False


def test_an_attack_that_stopped_by_itself_is_finished_and_converged(evidence: Evidence) -> None:
    assert judge(AttackFinished, evidence, iterations_done=3, n_iterations=10, converged=True).passed is True
    for converged, words in ((True, "converged after 7"), (False, "not converged after 7"), (None, "is not known")):
        judged = judge(AttackConverged, evidence, iterations_done=7, converged=converged)
        assert judged.passed is converged
        assert words in judged.numbers


def test_yields_are_compared_where_both_exist(evidence: Evidence) -> None:
    shift = evidence.attack.yield_shift["all_events"].value
    assert judge(YieldsWithinSystematics, evidence).passed is None
    assert judge(YieldsWithinSystematics, evidence, effects=(systematic(0.0, 1.01 * shift),)).passed is True
    assert judge(YieldsWithinSystematics, evidence, effects=(systematic(0.0, 0.99 * shift),)).passed is False
    assert judge(YieldsWithinSystematics, evidence, effects=(systematic(0.0, math.nan),)).passed is None


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
