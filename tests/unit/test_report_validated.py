# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.attacks.stochastic import Noise
from hepfool.events import EventTable, Region
from hepfool.report.detection import looked_at
from hepfool.report.sections import opening, sections
from hepfool.report.validated import validated_in_words
from hepfool.statistics.checks import CheckSettings
from hepfool.studies.frontier import scaled_caps
from hepfool.summary import Evidence, Summary, decide, summarise, summary_schema
from hepfool.summary.record import detection_record
from hepfool.validation import Correlations, Marginals, Validation
from hepfool.worst_case.caps import attack_caps
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


def two_regions() -> EventTable:
    table = events(300, regions=False)
    low = table.values[:, 0] < 55.0
    return EventTable.from_arrays(
        table.values,
        features=table.features,
        labels=table.labels,
        weights=table.weights,
        regions=(Region("low", low), Region("high", ~low, "validation")),
        sentinel=table.sentinel,
    )


def run(attack: Any) -> AttackResult:
    return run_attack(attack, SineClassifier(), two_regions(), rng=1)


def summary_of(result: AttackResult) -> Summary:
    sums = result.sums(SineClassifier())
    evidence = Evidence.of(sums)
    return summarise(sums, evidence, decide(evidence))


def test_a_report_begins_with_the_largest_figures_and_their_caps() -> None:
    validation = Validation(correlations=Correlations(max_shift=0.02, separately="union"))
    result = run(CONSERVAttack(validation=validation, strategy="frugal", n_iterations=1))
    summary = summary_of(result)
    pytest.importorskip("jsonschema").validate(json.loads(summary.to_json()), summary_schema())
    text = opening(summary)
    largest = {figure.comparison: figure for figure in result.validated.largest()}
    inputs = largest["inputs"]
    assert (
        f"Largest changes in each region (low, high): inputs {inputs.value:.4f} (cap 0.0300) of {inputs.column} in {inputs.part}"
        in text
    )
    assert f"score {largest['score'].value:.4f} (cap 0.0300) in" in text
    assert f"in all validated events together: correlations {largest['correlations'].value:.4f} (cap 0.0200)." in text
    assert "not kept" not in text
    (section,) = (section for section in sections(summary) if section.title == "What the attack had to preserve")
    assert {row[:2] for row in section.rows} == {
        *((name, part) for name in ("inputs", "score") for part in ("low", "high")),
        ("correlations", "constrained"),
    }
    assert {row[-1] for row in section.rows} == {"yes"}
    assert summary.provenance["caps"] == {
        "max_js_distance": 0.03,
        "max_score_distance": 0.03,
        "max_correlation_shift": 0.02,
    }


def test_what_was_not_compared_is_said() -> None:
    published = summary_of(run(CONSERVAttack(max_js_distance=0.03, n_iterations=1)))
    text = opening(published)
    assert "Largest changes in all validated events together: inputs" in text
    assert "(no cap)" in text
    assert "The score was not constrained: comparing it may reveal the attack." in text
    assert published.provenance["caps"] == {"max_js_distance": 0.03}
    nothing = summary_of(run(Noise(size=0.01)))
    assert nothing.validation is None
    assert "Largest changes" not in opening(nothing)


def test_a_broken_cap_is_said() -> None:
    row = {"comparison": "inputs", "part": "low", "separately": "regions", "column": "pt", "value": 0.2, "cap": 0.1}
    record = {"figures": [row], "largest": [{**row, "kept": False}], "not_compared": []}
    assert (
        validated_in_words(record)
        == "Largest changes in low: inputs 0.2000 (cap 0.1000) of pt. Beyond its cap: inputs."
    )


def test_checks_of_the_score_are_named() -> None:
    settings = CheckSettings(n_data=300.0, checks=("chi2", "correlations"), n_toys=5)
    rng = np.random.default_rng(1)
    kept = run(CONSERVAttack(validation=Validation(), strategy="frugal", n_iterations=1))
    assert looked_at(detection_record(kept.checks(settings, rng=rng))) == "the inputs and the score"
    plain = run(CONSERVAttack(validation=Validation(score=None), n_iterations=1))
    # The score is looked at whether the attack kept it or not.
    assert looked_at(detection_record(plain.checks(settings, rng=rng))) == "the inputs and the score"
    found = plain.checks(settings, rng=rng, validation=Validation(score=None))
    assert looked_at(detection_record(found)) == "the inputs"


def test_a_scan_of_caps_scales_the_validation() -> None:
    attacks = scaled_caps(CONSERVAttack(validation=Validation(score=None)), [0.5, 2.0])
    assert [a.validation and a.validation.inputs for a in attacks.values()] == [
        Marginals(max_js_distance=0.015),
        Marginals(max_js_distance=0.06),
    ]


def test_a_cap_of_single_moves_is_a_cap() -> None:
    assert attack_caps(CONSERVAttack(max_js_change=0.1)) == {"max_js_change": 0.1}
