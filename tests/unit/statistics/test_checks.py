# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hepfool.events import EventTable, Region
from hepfool.features import Derived, Feature
from hepfool.statistics import Binning, CheckSettings, js_distance, run_checks
from hepfool.statistics._checks import DetectionTable
from hepfool.statistics._compatibility import chi2_power
from hepfool.validation import Marginals, Validation, identities
from tests.specimens import events

QUICK = CheckSettings(n_data=400.0, n_toys=60, n_trainings=2)


def checked(
    nominal: EventTable, adversarial: EventTable, settings: CheckSettings, rng: np.random.Generator, **kept: Any
) -> DetectionTable:
    comparisons = Validation(**{"score": None, **kept}).comparisons(nominal, adversarial)
    return run_checks(comparisons, settings, rng=rng)


def test_the_check_that_would_have_caught_it_comes_first(rng: np.random.Generator) -> None:
    values = rng.normal(size=(2000, 3))
    moved = values.copy()
    # Marginals and linear correlations stay; a projection and a classifier see it.
    moved[:, 1] = np.abs(moved[:, 1]) * np.sign(np.abs(moved[:, 0]) - 0.6745)
    table = EventTable.from_arrays(values, features=["pt", "eta", "phi"])
    checks = checked(table, table.with_values(moved), QUICK, rng)
    assert all(first.power.value >= second.power.value for first, second in pairwise(checks.rows))
    caught = {(row.check, row.features) for row in checks.rows if row.power.value > 0.9}
    assert caught == {("projection", ("pt", "eta")), ("classifier", ())}
    assert checks.strongest().power.value < 0.4
    assert checks.strongest(["projection"]).title == "χ² of a two-dimensional projection: pt, eta"
    kinds = [row.check for row in checks.rows]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "chi2": 3,
        "ks": 3,
        "projection": 3,
        "correlations": 1,
        "classifier": 1,
    }


def test_marginals_have_their_closed_form() -> None:
    table = events(2000, negative=0.1)
    moved = table.with_values(np.where(np.arange(6) == 0, 1.05 * table.values, table.values))
    settings = CheckSettings(n_data=300.0, checks=("chi2",))
    (row,) = (
        row
        for row in checked(table, moved, settings, np.random.default_rng(0), inputs=Marginals(n_bins=20)).rows
        if row.features == ("pt",)
    )
    inside = table.constrained
    binning = Binning.uniform(table, n_bins=20)
    p, q = (binning.yields(t.values[inside], table.weights[inside])[:1] for t in (table, moved))
    weights = table.weights[inside]
    assert row.n_simulated == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    expected = chi2_power(
        js_distance(p, q)[0], n_data=300.0, n_bins=int((p + q > 0).sum()), n_simulated=row.n_simulated
    )
    assert row.power.value == pytest.approx(float(expected))
    assert (row.n_toys, row.power.error, row.region) == (0, 0.0, "low_pt")


def test_regions_share_the_data_by_weight(rng: np.random.Generator) -> None:
    values = rng.normal(size=(400, 2))
    weights = np.repeat([1.0, 3.0], 200)
    left = np.arange(400) < 200
    regions = (Region("left", left), Region("right", ~left, "validation"), Region("blind", left, "signal"))
    table = EventTable.from_arrays(values, weights=weights, regions=regions)
    settings = CheckSettings(n_data=1000.0, n_simulated=2000.0, checks=("chi2",))
    rows = checked(table, table, settings, rng).rows
    assert {row.region: (row.n_data, row.n_simulated) for row in rows} == {
        "left": (250.0, 500.0),
        "right": (750.0, 1500.0),
    }


@pytest.mark.filterwarnings("error")
def test_missing_and_constant_features_are_accepted(rng: np.random.Generator) -> None:
    table = events(300, negative=0.05)
    checks = checked(table, table, replace(QUICK, n_toys=20), rng)
    assert {row.check for row in checks.rows} == {"chi2", "ks", "correlations", "projection", "classifier"}
    values = rng.normal(size=(200, 2))
    left = np.arange(200) < 100
    values[left, 1] = np.nan
    values[~left, 1] = np.where(values[~left, 1] > 0, 1.0, 2.0)
    regions = (Region("left", left), Region("right", ~left))
    gaps = EventTable.from_arrays(values, regions=regions)
    settings = replace(QUICK, checks=("chi2", "ks", "projection", "correlations"), n_toys=20)
    empty = [row for row in checked(gaps, gaps, settings, rng).rows if row.region == "left"]
    assert [row.power.value for row in empty if row.features == ("x1",)] == [0.05, 0.05]


def test_more_data_see_more_and_less_simulation_sees_less(rng: np.random.Generator) -> None:
    table = events(1000)
    moved = table.with_values(np.where(np.arange(6) == 0, 1.04 * table.values, table.values))
    settings = CheckSettings(n_data=300.0, checks=("chi2", "ks"), n_toys=200)
    powers = [
        checked(table, moved, chosen, rng).strongest()
        for chosen in (replace(settings, n_simulated=300.0), settings, replace(settings, n_data=5000.0))
    ]
    values = [row.power.value for row in powers]
    assert values == sorted(values)
    assert values[0] < values[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_data": 0.0}, "n_data must be positive, got 0"),
        ({"checks": ()}, "checks must be among chi2, ks, .*, got none"),
        ({"checks": ("chi",)}, "got chi"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
        ({"n_toys": 0}, "toys be at least 1"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CheckSettings(**{"n_data": 100.0, **options})


def test_impossible_questions_are_refused(rng: np.random.Generator) -> None:
    table = events(100)
    with pytest.raises(ValueError, match="different events"):
        checked(table, events(99), QUICK, rng)
    some = checked(table, table, CheckSettings(n_data=10.0, checks=("chi2",)), rng)
    with pytest.raises(ValueError, match="none of the checks classifier was evaluated"):
        some.strongest(["classifier"])
    cancelled = EventTable.from_arrays(np.arange(8.0).reshape(4, 2), weights=[1.0, -1.0, 1.0, -1.0])
    with pytest.raises(ValueError, match="a validation that compares nothing"):
        checked(table, table, QUICK, rng, inputs=None, correlations=None)
    with pytest.raises(ValueError, match="no part of the validation has a positive total weight"):
        checked(cancelled, cancelled, QUICK, rng)


def test_inputs_that_follow_from_others_are_recomputed(rng: np.random.Generator) -> None:
    following = Feature(name="sum", derived=Derived.by("a + b", 1e-3))
    values = rng.normal(size=(1000, 2))
    table = EventTable.from_arrays(np.column_stack([values, values.sum(axis=1)]), features=["a", "b", following])
    broken = table.values.copy()
    broken[:10, 2] += 0.01
    settings = CheckSettings(n_data=200.0)
    for after, expected in ((table, 0.05), (table.with_values(broken), 1.0 - np.exp(-2.0))):
        (row,) = run_checks(identities(table, after, "regions"), settings, rng=rng).rows
        assert (row.check, row.features) == ("identity", ("sum",))
        assert row.power.value == pytest.approx(expected)
    assert list(identities(events(10), events(10), "regions")) == []


def test_what_a_classifier_could_not_use_is_said(rng: np.random.Generator) -> None:
    table = events(300, negative=0.2)
    settings = CheckSettings(n_data=900.0, checks=("classifier",), n_trainings=1)
    notes = checked(table, table, settings, rng).notes
    negative = int((table.weights[table.constrained] < 0).sum())
    assert any("of 900 data events, as many as independent simulated events give" in note for note in notes)
    assert any(f"leaves out {negative} events of negative weight" in note for note in notes)
    few = replace(settings, n_data=10.0)
    assert checked(events(300), events(300), few, rng).notes == ()
