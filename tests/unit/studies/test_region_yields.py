# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hepfool.attacks import AttackResult, run_attack
from hepfool.events import EventTable
from hepfool.studies import feature_variable, region_yields, score_variable
from hepfool.studies._region_yields import RegionYields, Variable
from hepfool.typing import BoolArray, FloatArray
from tests.specimens import SENTINEL, SineClassifier, events

SCORE = score_variable(SineClassifier(), n_bins=5)


@dataclass(frozen=True)
class Shift:
    """Move eta by a constant within its bounds."""

    n_iterations: int = 1
    n_bins: int = 10

    def iterate(self, problem: Any, values: FloatArray, iteration: int, rng: np.random.Generator) -> FloatArray:
        return np.asarray(problem.bounds.clip(values + np.array([0.0, 0.4, 0.0, 0.0, 0.0, 0.0])))


def varied(n_events: int = 300) -> EventTable:
    table = events(n_events, seed=4)
    factors = {"energy_up": 1.1, "energy_down": 0.95, "soft_up": 1.02}
    shifted = {name: table.values * np.array([f, 1.0, 1.0, 1.0, 1.0, max(f, 1.0)]) for name, f in factors.items()}
    return replace(
        table,
        datasets=("Z", "W"),
        dataset_index=np.arange(n_events) % 3 % 2,
        shape_variations=shifted,
        weight_variations={"pileup_up": 1.2 * table.weights, "pileup_down": 0.9 * table.weights},
    )


@pytest.fixture(scope="module")
def result() -> AttackResult:
    return run_attack(Shift(), SineClassifier(), varied(), rng=np.random.default_rng(1))


@pytest.fixture(scope="module")
def data() -> EventTable:
    return events(80, seed=9, weighted=False)


def plain(table: EventTable, weights: FloatArray, mask: BoolArray | None = None) -> FloatArray:
    """Fill scores of the control region event by event."""
    scores = SineClassifier().scores(np.where(np.isnan(table.values), SENTINEL, table.values))[:, 1]
    chosen = table.values[:, 0] < 60.0 if mask is None else mask
    filled = np.zeros(5)
    for score, weight, inside in zip(scores, weights, chosen, strict=True):
        if inside:
            filled[min(int(5 * score), 4)] += weight
    return filled


def test_processes_attack_and_statistics_are_those_of_counting_event_by_event(result: AttackResult) -> None:
    control = region_yields(result, SCORE)[0]
    table = result.nominal
    assert (control.region, control.role) == ("low_pt", "control")
    for name in ("Z", "W"):
        expected = plain(table, table.weights * table.dataset_mask(name))
        np.testing.assert_allclose(control.processes[name], expected)
    np.testing.assert_allclose(control.total, plain(table, table.weights))
    np.testing.assert_allclose(control.statistical**2, plain(table, table.weights**2))
    mask = table.region("low_pt").mask
    np.testing.assert_allclose(control.adversarial, plain(result.adversarial, table.weights, mask))


def test_further_attacks_are_filled_as_the_first_one(result: AttackResult) -> None:
    other = replace(result, adversarial=result.nominal)
    found = region_yields(result, SCORE, scale=2.0, further={"nothing": other, "the same": result})
    for one in found:
        np.testing.assert_allclose(one.further["nothing"], one.total)
        np.testing.assert_allclose(one.further["the same"], one.adversarial)
    assert not np.allclose(found[0].adversarial, found[0].total)
    elsewhere = replace(result, nominal=result.adversarial)
    with pytest.raises(ValueError, match="'moved' was on other events"):
        region_yields(result, SCORE, further={"moved": elsewhere})


def test_larger_changes_of_each_source_are_added_in_quadrature(result: AttackResult) -> None:
    control, table = region_yields(result, SCORE)[0], result.nominal
    nominal = plain(table, table.weights)
    changes = {name: plain(table.variation(name), table.weights) - nominal for name in table.shape_variations}
    changes |= {name: plain(table, w) - nominal for name, w in table.weight_variations.items()}
    up, down = np.zeros(5), np.zeros(5)
    for source in ("energy", "soft", "pileup"):
        sides = [change for name, change in changes.items() if name.startswith(source)]
        up += np.maximum(np.max(sides, axis=0), 0.0) ** 2
        down += np.minimum(np.min(sides, axis=0), 0.0) ** 2
    np.testing.assert_allclose(control.systematic_up, np.sqrt(up), atol=1e-12)
    np.testing.assert_allclose(control.systematic_down, np.sqrt(down), atol=1e-12)
    assert control.sources == ("energy", "soft", "pileup")
    # Events cross the cut that defines the region, or the score moves: something changes.
    assert (control.systematic_up > 0.0).all()
    lower, upper = control.band
    np.testing.assert_allclose(upper - nominal, np.hypot(control.statistical, control.systematic_up))
    np.testing.assert_allclose(nominal - lower, np.hypot(control.statistical, control.systematic_down))


def test_data_are_counted_in_control_regions_and_not_read_in_signal_regions(
    result: AttackResult, data: EventTable
) -> None:
    read: list[int] = []

    def scores(table: EventTable) -> FloatArray:
        if (table.values[:, 0] >= 60.0).any() and table.n_events <= data.n_events:
            read.append(table.n_events)
        return SCORE.values(table)

    control, signal = region_yields(result, Variable(label="Score", edges=SCORE.edges, values=scores), data=data)
    assert control.data is not None
    assert control.data.sum() == data.region("low_pt").mask.sum()
    assert not control.blinded
    assert signal.blinded
    assert signal.data is None
    assert not read
    (shown,) = region_yields(result, SCORE, data=data, regions=["high_pt"], unblind=True)
    assert shown.data is not None
    assert shown.data.sum() == data.region("high_pt").mask.sum()


def test_without_data_nothing_is_blinded(result: AttackResult) -> None:
    assert [(item.data, item.blinded) for item in region_yields(result, SCORE)] == [(None, False)] * 2


def test_scale_applies_to_everything_simulated(result: AttackResult) -> None:
    once, twice = region_yields(result, SCORE)[0], region_yields(result, SCORE, scale=2.0)[0]
    for name in ("total", "adversarial", "statistical", "systematic_up", "systematic_down"):
        np.testing.assert_allclose(getattr(twice, name), 2.0 * getattr(once, name), err_msg=name)
    own = region_yields(result, SCORE, scale={"Z": 3.0, "W": 1.0})[0]
    np.testing.assert_allclose(own.processes["Z"], 3.0 * once.processes["Z"])
    np.testing.assert_allclose(own.processes["W"], once.processes["W"])


def test_a_table_without_regions_is_one_region() -> None:
    table = events(100, regions=False, weighted=False)
    result = run_attack(Shift(), SineClassifier(), table, rng=np.random.default_rng(1))
    (everything,) = region_yields(result, SCORE, data=table)
    assert everything.data is not None
    assert everything.data.sum() == everything.total.sum() == 100
    assert everything.sources == ()


def test_a_feature_is_shown_without_its_missing_values(result: AttackResult) -> None:
    variable = feature_variable(result.nominal, "jet_pt", n_bins=8)
    assert variable.label == "jet_pt [GeV]"
    control = region_yields(result, variable)[0]
    table = result.nominal
    present = table.region("low_pt").mask & ~table.missing[:, 5]
    assert 0 < present.sum() < table.region("low_pt").mask.sum()
    assert control.total.sum() == pytest.approx(table.weights[present].sum())
    assert feature_variable(table, "n_jets").edges[:2].tolist() == [-0.5, 0.5]


def test_poisson_errors_cover_68_per_cent() -> None:
    nothing = np.zeros(3)
    item = RegionYields(
        region="r",
        role="control",
        label="x",
        edges=np.arange(4.0),
        processes={"Z": nothing},
        adversarial=nothing,
        statistical=nothing,
        systematic_up=nothing,
        systematic_down=nothing,
        data=np.array([0.0, 1.0, 100.0]),
    )
    lower, upper = item.data_interval
    np.testing.assert_allclose(lower, [0.0, 0.1727, 90.02], atol=0.01)
    np.testing.assert_allclose(upper, [1.841, 3.300, 111.03], atol=0.01)
    # At its ends, a count as extreme as this one has the probability of one tail.
    assert stats.poisson.sf(99, lower[2]) == pytest.approx(stats.norm.sf(1.0))
    assert stats.poisson.cdf(100, upper[2]) == pytest.approx(stats.norm.sf(1.0))


def test_what_is_unclear_is_refused(result: AttackResult, data: EventTable) -> None:
    with pytest.raises(ValueError, match="no scale for 'W'"):
        region_yields(result, SCORE, scale={"Z": 1.0})
    with pytest.raises(ValueError, match="no region named 'other'"):
        region_yields(result, SCORE, regions=["other"])
    with pytest.raises(ValueError, match="data events have weights"):
        region_yields(result, SCORE, data=replace(data, weights=2.0 * data.weights))
    constant = EventTable.from_arrays([[1.0], [1.0]], features=["x"])
    with pytest.raises(ValueError, match="'x' has no range"):
        feature_variable(constant, "x")
