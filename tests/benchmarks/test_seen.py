# SPDX-License-Identifier: BSD-3-Clause
"""
What tests of score and inputs see of an attack that keeps the score, and of one that does not, by toys.

Every toy draws data from the attacked distribution and an independent prediction from the nominal one, four times as large;
the classifier's toys take data and prediction from different events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import pytest

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.demo import demo_steps
from hepfool.events import EventTable
from hepfool.models.pytorch import TorchClassifier
from hepfool.statistics.checks import CheckSettings, DetectionTable
from hepfool.statistics.comparisons import Comparison
from hepfool.statistics.toys import Power, Toys, binned_power, two_sample_chi2
from hepfool.statistics.two_sample import classifier_power
from hepfool.validation import Correlations, Marginals, Validation
from tests.benchmarks.conftest import Record
from tests.benchmarks.samples import synthetic
from tests.benchmarks.test_validation import CAP, SHIFT

KEPT = Validation(
    inputs=Marginals(max_js_distance=CAP),
    score=Marginals(max_js_distance=CAP, n_bins=25, n_quantiles=25),
    correlations=Correlations(max_shift=SHIFT),
)
#: Simulated events per data event.
RATIO, N_TOYS, N_TRAININGS = 4.0, 200, 10
N_DATA = (700, 20_000)
ATTACKS: dict[str, Callable[[int], Validation]] = {
    "score not kept": lambda _: replace(KEPT, score=None),
    "score kept": lambda _: KEPT,
    "each check at power 0.10": lambda n_data: Validation.at_power(0.10, n_data=n_data),
    "each check and KS at power 0.10": lambda n_data: Validation.at_power(0.10, n_data=n_data, ks=True),
}


def attacked(table: EventTable, classifier: TorchClassifier, validation: Validation) -> AttackResult:
    return run_attack(CONSERVAttack(strategy="frugal", validation=validation), classifier, table, rng=1)


def control_region() -> tuple[EventTable, TorchClassifier]:
    steps = demo_steps(until="attack")
    test, classifier = steps["events"].simulation["test"], steps["baseline"].classifier
    return replace(test.select(test.region("high_mt").mask), regions=()), classifier


@dataclass(frozen=True)
class Seen:
    """Checks of one attack with so many data events."""

    result: AttackResult
    n_data: int

    @property
    def toys(self) -> Toys:
        return Toys(n_data=self.n_data, n_simulated=RATIO * self.n_data, n_toys=N_TOYS)

    def powers(self, rng: np.random.Generator) -> dict[str, tuple[Power, str]]:
        """Power and what was looked at, by check."""
        rows, of = self.table(rng).rows, {c.name: c for c in self.result.comparisons(KEPT)}
        found = {}
        for looked, check in product(("score", "inputs"), ("chi2", "ks")):
            row = max((r for r in rows if (r.comparison, r.check) == (looked, check)), key=lambda r: r.power.value)
            power = self.chi2(of[looked], row.features[0], rng) if check == "chi2" else row.power
            closed = f", closed form {row.power.value:.3f}" if check == "chi2" else ""
            found[f"{check}, {looked}"] = power, row.features[0] + closed
        found["correlations"] = next(r for r in rows if r.check == "correlations").power, "all inputs"
        if self.n_data <= self.result.nominal.n_events:
            for columns in ((of["score"],), (of["inputs"], of["score"])):
                power, used = self.classifier(columns, rng)
                found[f"classifier, {' and '.join(c.name for c in columns)}"] = power, f"{used} data events"
        return found

    def table(self, rng: np.random.Generator) -> DetectionTable:
        settings = CheckSettings(
            n_data=self.n_data, n_simulated=RATIO * self.n_data, checks=("chi2", "ks", "correlations"), n_toys=N_TOYS
        )
        return self.result.checks(settings, rng=rng, validation=KEPT)

    def chi2(self, comparison: Comparison, column: str, rng: np.random.Generator) -> Power:
        """Toys in place of the closed form."""
        j, binning = comparison.columns.index(column), comparison.chi2_binning
        assert binning is not None
        yields = [binning.yields(values, comparison.weights)[j] for values in (comparison.before, comparison.after)]
        used = (yields[0] > 0) | (yields[1] > 0)
        statistic = partial(two_sample_chi2, data_share=1.0 / (1.0 + RATIO))
        return binned_power(yields[0][used], yields[1][used], statistic, self.toys, rng=rng)

    def classifier(self, columns: tuple[Comparison, ...], rng: np.random.Generator) -> tuple[Power, int]:
        before, after = (np.column_stack([getattr(c, side) for c in columns]) for side in ("before", "after"))
        toys = replace(self.toys, n_toys=N_TRAININGS)
        found = classifier_power(before, after, columns[0].weights, toys, rng=rng)
        return found.power, found.n_data


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
@pytest.mark.parametrize(
    ("name", "problem"),
    [("demo", control_region), pytest.param("synthetic", partial(synthetic, 20_000), marks=pytest.mark.slow)],
)
def test_power_to_see_the_attack(
    record: Record, name: str, problem: Callable[[], tuple[EventTable, TorchClassifier]]
) -> None:
    table, classifier = problem()
    powers = {}
    fixed = {kept: attacked(table, classifier, ATTACKS[kept](0)) for kept in ("score not kept", "score kept")}
    for kept, n_data in product(ATTACKS, N_DATA):
        result = fixed.get(kept) or attacked(table, classifier, ATTACKS[kept](n_data))
        assert result.validated.kept
        for check, (power, remark) in Seen(result, n_data).powers(np.random.default_rng(1)).items():
            powers[kept, n_data, check] = power.value
            text = f"± {power.error:.3f}, {remark}, fooling ratio {result.fooling_ratio:.3f}"
            record(f"power, {name}, {n_data} data, {kept}: {check}", power.value, remark=text)
    for n_data, looked in product(N_DATA, ("chi2", "ks")):
        with_score, without = (powers[k, n_data, f"{looked}, score"] for k in ("score kept", "score not kept"))
        assert with_score <= without
    assert powers["score not kept", 20_000, "chi2, score"] == 1.0
    for n_data in N_DATA:
        assert powers["each check at power 0.10", n_data, "chi2, score"] < 0.25
