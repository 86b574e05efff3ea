# SPDX-License-Identifier: BSD-3-Clause
"""Every combination of what an attack may be asked for keeps its caps, or is refused for the reason stated here."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from hepfool.attacks.base import run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import EventTable, Region
from hepfool.features import Derived, Feature
from hepfool.validation import Correlations, Marginals, Validation
from tests.specimens import SineClassifier

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")

CLASSIFIER = SineClassifier(weights=np.array([1.0, 0.8, 0.6, 0.5]), scales=np.ones(4), offset=0.0)


class Combination(NamedTuple):
    strategy: str
    kind: str
    inputs: str
    separately: str
    score: bool
    repaired: bool
    ahead: bool


COMBINATIONS = [
    Combination(*asked)  # type: ignore[arg-type]
    for asked in itertools.product(
        ("paper", "frugal"),
        ("pearson", "distance"),
        ("plain", "derived"),
        ("union", "regions", "processes"),
        *[(False, True)] * 3,
    )
]


def refused(asked: Combination) -> str | None:
    """Reason why a combination is refused, if it is."""
    reasons = {
        "optimize_already_fooled=True has no effect": asked.repaired and asked.strategy == "frugal",
        "n_ahead=4 goes with Pearson correlations": asked.ahead and asked.kind == "distance",
        "with distance correlations every input must move by itself": asked.kind == "distance"
        and asked.inputs == "derived",
        "n_ahead=4 needs inputs that move by themselves": asked.ahead and asked.inputs == "derived",
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


@cache
def table(inputs: str) -> EventTable:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(60, 4))
    features: list[Feature | str] = ["x", "y", "z", "s"]
    if inputs == "derived":
        values[:, 3] = values[:, 0] + values[:, 1]
        features[3] = Feature(name="s", derived=Derived(["x", "y"], np.add))
    low = values[:, 2] < 0.0
    regions = (Region("low", low, cuts={"z": (-np.inf, 0.0)}), Region("high", ~low, cuts={"z": (0.0, np.inf)}))
    return EventTable.from_arrays(values, labels=CLASSIFIER.predict(values), features=features, regions=regions)


def attack_of(asked: Combination) -> CONSERVAttack:
    validation = Validation(
        inputs=Marginals(max_js_distance=0.2, n_bins=8, n_quantiles=0),
        score=Marginals(max_js_distance=0.25, n_bins=4, n_quantiles=4) if asked.score else None,
        correlations=Correlations(max_shift=0.2, kind=asked.kind),  # type: ignore[arg-type]
        separately=asked.separately,  # type: ignore[arg-type]
    )
    options: dict[str, Any] = (
        {"n_candidates": 8} if asked.inputs == "derived" or asked.strategy == "frugal" else {"step": 0.05}
    )
    return CONSERVAttack(
        strategy=asked.strategy,  # type: ignore[arg-type]
        validation=validation,
        n_iterations=2,
        converge=False,
        optimize_already_fooled=asked.repaired,
        n_ahead=4 if asked.ahead else 1,
        **options,
    )


@pytest.mark.parametrize("asked", COMBINATIONS, ids=lambda asked: "-".join(map(str, asked)))
def test_a_combination_keeps_its_caps_or_is_refused(asked: Combination) -> None:
    reason, nominal = refused(asked), table(asked.inputs)
    if reason is not None:
        with pytest.raises(ValueError, match=reason):
            run_attack(attack_of(asked), CLASSIFIER, nominal, rng=1)
        return
    result = run_attack(attack_of(asked), CLASSIFIER, nominal, rng=1)
    assert result.validated.kept
    compared = {(one.comparison, one.part) for one in result.validated.figures}
    n_parts = {"union": 1, "regions": 2, "processes": 4}[asked.separately]
    assert len(compared) == n_parts * (2 + asked.score)
    assert (result.adversarial.values != nominal.values).any()


def test_every_combination_is_tried() -> None:
    assert len(COMBINATIONS) == len(set(COMBINATIONS)) == 192
    assert sum(refused(asked) is None for asked in COMBINATIONS) == 72
