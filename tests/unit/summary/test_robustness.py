# SPDX-License-Identifier: BSD-3-Clause
"""The decision with one choice changed at a time."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable
from hepfool.report import summary_markdown
from hepfool.report.html import summary_html
from hepfool.studies.excess import Difference
from hepfool.summary import Evidence, decide, other_choices, robustness, summarise, summary_schema
from hepfool.summary.robustness import robustness_record
from hepfool.validation import Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")

BINS = Marginals(max_js_distance=0.1, n_bins=10, n_quantiles=0)
ATTACK = CONSERVAttack(
    strategy="frugal", n_iterations=3, converge=False, validation=Validation(inputs=BINS, score=BINS)
)


@pytest.fixture(scope="module")
def table() -> EventTable:
    nominal = events(300)
    shifted = nominal.values.copy()
    shifted[:, 0] *= 1.05
    return dataclasses.replace(nominal, shape_variations={"pt_scale_up": shifted})


@pytest.fixture(scope="module")
def result(table: EventTable) -> AttackResult:
    return run_attack(ATTACK, SineClassifier(), table, rng=1)


def test_each_choice_differs_from_the_study_in_one_thing() -> None:
    found = list(other_choices(ATTACK, seed=7, n_seeds=3))
    assert [(c.changed, c.value) for c in found] == [
        ("strategy", "paper"),
        ("seed", "8"),
        ("seed", "9"),
        ("seed", "10"),
        ("score in the validation", "without"),
        ("compared separately", "union"),
        ("compared separately", "processes"),
    ]
    kept = ATTACK.kept
    assert [c.seed for c in found] == [7, 8, 9, 10, 7, 7, 7]
    assert [c.attack.kept == kept for c in found] == [True] * 4 + [False] * 3
    assert found[4].attack.kept == dataclasses.replace(kept, score=None)
    assert found[6].attack.kept == dataclasses.replace(kept, separately="processes")
    # A published attack states caps without a validation, of which nothing can be changed.
    published = CONSERVAttack(max_js_distance=0.03)
    assert [c.changed for c in other_choices(published, seed=1, n_seeds=1)] == ["strategy", "seed"]
    with_score = CONSERVAttack(validation=Validation(score=None))
    assert [c.value for c in other_choices(with_score, seed=1, n_seeds=0)][:2] == ["frugal", "with"]


def test_a_row_is_what_a_study_of_that_choice_finds(result: AttackResult, table: EventTable) -> None:
    changes = [c for c in other_choices(ATTACK, seed=1) if c.value in {"union", "without"}]
    told: list[float] = []
    found = robustness(changes, result, SineClassifier(), progress=lambda _, fraction: told.append(fraction))
    assert told == [0.5, 1.0]
    for row, change in zip(found.rows, changes, strict=True):
        own = run_attack(change.attack, SineClassifier(), table, rng=np.random.default_rng(1), target=result.attacked)
        evidence = Evidence.of(own.sums(SineClassifier()))
        assert row.fooling == evidence.attack.flips
        assert row.decision == decide(evidence).decision
        assert row.seconds > 0.0
        assert evidence.excess is not None
        (region,) = evidence.regions
        largest = evidence.excess.region_flips[region]
        assert isinstance(largest, Difference)
        assert row.excess is not None
        assert (row.excess.value, row.excess.error) == (largest.value, largest.error)
    # The search without the score has more freedom.
    assert found.rows[0].fooling.value != found.rows[1].fooling.value


def test_the_report_tabulates_every_choice(result: AttackResult) -> None:
    found = robustness(list(other_choices(ATTACK, seed=1, n_seeds=1))[1:3], result, SineClassifier())
    sums = result.sums(SineClassifier())
    evidence = Evidence.of(sums)
    summary = dataclasses.replace(summarise(sums, evidence, decide(evidence)), robustness=robustness_record(found))
    for text in (summary_markdown(summary), summary_html(summary)):
        assert "Robustness of the decision" in text
        assert "score in the validation" in text
        assert "max\\_systematics\\_ratio" in text or "max_systematics_ratio" in text
    validator = pytest.importorskip("jsonschema").Draft202012Validator(summary_schema())
    assert list(validator.iter_errors(json.loads(summary.to_json()))) == []
