# SPDX-License-Identifier: BSD-3-Clause
"""An attack and its judgement without the other steps of a study."""

from __future__ import annotations

import numpy as np

from hepfool.attacks import Attack, Target, run_attack
from hepfool.events import EventTable, signal_region_envelope
from hepfool.models import Classifier
from hepfool.statistics import CheckSettings
from hepfool.study import Outcome, judged
from hepfool.study._outcome import check_shown


def judged_attack(
    table: EventTable,
    classifier: Classifier,
    attack: Attack,
    *,
    seed: int,
    target: Target = "correct",
    checks: CheckSettings | None = None,
    investigated: bool = False,
) -> Outcome:
    """Attack all events of a table, and judge."""
    check_shown(table)
    envelope = signal_region_envelope(table)
    result = run_attack(attack, classifier, table, rng=seed, target=target, envelope=envelope)
    detection = None if checks is None else result.checks(checks, rng=np.random.default_rng(seed))
    sums = result.sums(classifier)
    return judged(sums, result=result, seed=seed, detection=detection, investigated=investigated)
