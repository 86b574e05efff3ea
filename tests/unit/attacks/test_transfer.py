# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hepfool.attacks import PGD, AttackResult, run_attack
from hepfool.attacks._transfer import transferred
from hepfool.events import UNLABELLED
from tests.specimens import SineClassifier, events

OTHER = SineClassifier(offset=-1.2, digest="b" * 64)


@pytest.fixture(scope="module")
def result() -> AttackResult:
    return run_attack(PGD(step=0.02), SineClassifier(), events(500), rng=np.random.default_rng(1))


def test_the_attacked_network_judges_as_before(result: AttackResult) -> None:
    same = transferred(result, SineClassifier())
    np.testing.assert_array_equal(same.fooled, result.fooled)
    assert same.fooling_ratio == result.fooling_ratio
    assert same.compatibility is result.compatibility


def test_another_network_counts_what_it_got_right(result: AttackResult) -> None:
    other = transferred(result, OTHER)
    nominal, adversarial = result.nominal.network_values, result.adversarial.network_values
    right = OTHER.predict(nominal) == result.nominal.labels
    np.testing.assert_array_equal(other.attacked, result.attacked & right)
    np.testing.assert_array_equal(other.fooled, other.attacked & (OTHER.predict(adversarial) != OTHER.predict(nominal)))
    assert 0.0 < other.fooling_ratio < result.fooling_ratio
    assert other.classifier_digest == "b" * 64
    assert other.provenance["attacked_network"] == "a" * 64
    np.testing.assert_array_equal(other.adversarial_scores, OTHER.scores(adversarial))


def test_events_may_be_chosen(result: AttackResult) -> None:
    assert transferred(result, OTHER, attacked=result.attacked).attacked.sum() == result.attacked.sum()
    unlabelled = replace(result, nominal=replace(result.nominal, labels=np.full(500, UNLABELLED)))
    np.testing.assert_array_equal(transferred(unlabelled, OTHER).attacked, result.attacked)
    with pytest.raises(ValueError, match="no attacked event is left"):
        transferred(result, OTHER, attacked=np.zeros(500, dtype=bool))
