# SPDX-License-Identifier: BSD-3-Clause
"""How often a decision is wrong where the effect of the attack is exactly that of the systematics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from hepfool.statistics.compatibility import Compatibility
from hepfool.statistics.exact import ExactSum
from hepfool.studies.systematics import Measured
from hepfool.summary import Evidence, decide
from hepfool.summary.evidence import FlaggedFraction, FlaggedSignal
from hepfool.summary.observed import ObservedCheck
from hepfool.sums import AttackSums
from hepfool.sums.effects import attack_effect, excess, systematic_effects
from hepfool.sums.record import Key
from hepfool.typing import FloatArray

N_TOYS, ALLOWED = 500, 0.05
REGION = "sr"
NOTHING_MOVED = Compatibility(
    features=("pt",),
    region="constrained",
    n_events=1000,
    n_effective=1000.0,
    js_distance=np.zeros(1),
    js_floor=np.ones(1),
    correlation_nominal=np.eye(1),
    correlation_adversarial=np.eye(1),
    correlation_shift=0.0,
    correlation_floor=1.0,
)
SEEN = ObservedCheck(check="chi2", region="cr", quantity="pt", p_nominal=0.5, p_attacked=0.5, n_data=1000.0, n_bins=10)


@dataclass(frozen=True)
class Model:
    """
    Events that attack and systematics flip independently, but for a common part.

    ``effect`` is the flip fraction of the attack, and ``total`` the quadratic sum of ``n_sources`` equal sources with ``sides``
    equal sides.  Selected events are gained by whoever flips, so that yield shifts are as large as flip fractions.
    """

    n_events: int = 2000
    effect: float = 0.05
    total: float = 0.05
    n_sources: int = 1
    sides: tuple[str, ...] = ("up", "down")
    common: float = 0.0
    weighted: bool = False

    def evidence(self, rng: np.random.Generator) -> Evidence:
        names = [f"source{k}_{side}" for k in range(self.n_sources) for side in self.sides]
        weights = rng.exponential(size=self.n_events) if self.weighted else np.ones(self.n_events)
        single = self.total / np.sqrt(self.n_sources)
        own, shared = rng.random((self.n_events, 1 + len(names))), rng.random((self.n_events, 1))
        drawn = np.where(rng.random(own.shape) < self.common, shared, own)
        flipped = drawn < np.array([self.effect, *(single for _ in names)])
        attack, varied = flipped[:, :1], flipped[:, 1:]
        columns = weights[:, np.newaxis] * np.hstack([np.ones_like(attack), attack, attack, varied])
        return evidence_of(columns, names)


def evidence_of(columns: FloatArray, names: list[str]) -> Evidence:
    rows = ExactSum.of(np.vstack([columns.sum(axis=0), columns.T @ columns]))
    sums = AttackSums(
        facts={"attack": "Toy()", "regions": ((REGION, "signal"),), "shapes": tuple(names), "weights": ()},
        sums={Key(what, region=place): rows for what in ("flips", "yields") for place in (REGION, "all_events")},
    )
    return Evidence(
        attack=attack_effect(sums),
        corrected=attack_effect(sums, remaining=True),
        effects=systematic_effects(sums),
        fractions=(flagged(1e6, 0.1, 0.1),),
        compatibility=NOTHING_MOVED,
        iterations_done=1,
        n_iterations=1,
        regions=(REGION,),
        excess=excess(sums),
        prices={REGION: FlaggedSignal(fraction=Measured(0.1), n_effective=1e6, every_signal=Measured(0.1))},
        observed=(SEEN,),
        converged=True,
    )


def flagged(n_data: float, data: float, simulation: float) -> FlaggedFraction:
    names = {"data": Measured(data), "simulation": Measured(simulation), "attacked": Measured(0.3)}
    return FlaggedFraction(region="cr", n_data=n_data, n_simulated=1e6, **names)


def decisions(model: Model, seed: int, n_toys: int = N_TOYS) -> dict[str, float]:
    """Fraction of each answer."""
    rng = np.random.default_rng(seed)
    found = Counter(decide(model.evidence(rng)).decision for _ in range(n_toys))
    return {name: found[name] / n_toys for name in ("COVERED", "INVESTIGATE", "INCOMPLETE")}


AT_THE_EDGE = {
    "one source": Model(sides=("up",)),
    "up and down": Model(),
    "four sources": Model(n_sources=4),
    "common events": Model(common=0.6),
    "weighted": Model(weighted=True, n_sources=2),
    "few flips": Model(n_events=600, effect=0.01, total=0.01),
    "many flips": Model(effect=0.4, total=0.4),
}


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the decisions with other thresholds, for speed."""
    monkeypatch.setattr("hepfool.summary.verdict._OTHERS", {})


@pytest.mark.slow
@pytest.mark.parametrize("name", AT_THE_EDGE)
def test_neither_answer_is_given_wrongly_too_often(name: str) -> None:
    found = decisions(AT_THE_EDGE[name], seed=1)
    assert found["COVERED"] <= ALLOWED
    assert found["INVESTIGATE"] <= ALLOWED


def test_clear_cases_are_decided() -> None:
    assert decisions(Model(effect=0.05, total=0.1), seed=2, n_toys=100)["COVERED"] > 0.95
    assert decisions(Model(effect=0.1, total=0.05), seed=2, n_toys=100)["INVESTIGATE"] > 0.95


def test_more_events_decide_more() -> None:
    undecided = [
        decisions(Model(n_events=n, total=0.06), seed=3, n_toys=100)["INCOMPLETE"] for n in (500, 5000, 50_000)
    ]
    assert undecided[0] > 0.8 > undecided[1] > undecided[2]
    assert undecided[2] < 0.1


@pytest.mark.parametrize("n_data", [30, 300, 3000])
def test_equivalence_is_claimed_or_refuted_wrongly_at_most_as_often(n_data: int) -> None:
    """The attack flags 0.2 more, so that data that differ by a quarter of it are at the edge of the tolerance."""
    rng = np.random.default_rng(4)
    answers: Counter[bool | None] = Counter()
    for data in rng.binomial(n_data, 0.15, size=N_TOYS) / n_data:
        evidence = Evidence(
            **{name: getattr(BASE, name) for name in BASE.__dataclass_fields__ if name != "fractions"},
            fractions=(flagged(n_data, data, 0.1),),
        )
        answers[decide(evidence).common[0].passed] += 1
    assert answers[True] / N_TOYS <= ALLOWED
    assert answers[False] / N_TOYS <= ALLOWED
    assert answers[None] / N_TOYS > 0.9


BASE = Model(effect=0.01, total=0.2).evidence(np.random.default_rng(1))
