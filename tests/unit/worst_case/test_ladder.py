# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.events import Envelope, EventTable, Region
from hepfool.features import Feature
from hepfool.models import CallableClassifier, FoldedClassifier, TorchClassifier
from hepfool.typing import BoolArray, FloatArray
from hepfool.worst_case import Ladder
from hepfool.worst_case._shifts import Shifts
from hepfool.worst_case.ladder import _grid, ladder

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.NetworkWarning"),
    pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning"),
]


def network(seed: int = 1) -> TorchClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TorchClassifier(nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1)), output="logit")


def varied(n: int = 60, seed: int = 3, size: float = 0.3) -> EventTable:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 3))
    classes = network().predict(values)
    shifts = {
        "energy_up": values + size * np.array([1.0, 0.6, 0.0]),
        "energy_down": values - size * np.array([0.8, 0.5, 0.0]),
        "tail_up": values + size * values**2 * np.array([0.0, 0.3, 0.4]),
    }
    regions = (Region("low", values[:, 0] < 0.3, role="signal"), Region("high", values[:, 0] >= 0.3, role="control"))
    labels = np.where(rng.uniform(size=n) < 0.9, classes, 1 - classes)
    weights = rng.uniform(0.5, 2.0, n)
    return EventTable.from_arrays(
        values, labels=labels, features=["a", "b", "c"], weights=weights, shape_variations=shifts, regions=regions
    )


def fraction(weights: FloatArray, flags: BoolArray) -> float:
    return float(weights[flags].sum() / weights.sum())


@pytest.fixture(scope="module")
def climbed() -> Ladder:
    return ladder(network(), varied(), seed=5)


def test_each_rung_is_what_brute_force_finds(climbed: Ladder) -> None:
    table, classifier = varied(), network()
    classes = classifier.predict(table.values)
    attacked = classes == table.labels
    weights = table.weights[attacked]

    def flips(values: FloatArray) -> BoolArray:
        return np.asarray((classifier.predict(values) != classes)[attacked])

    alone = {name: fraction(weights, flips(v)) for name, v in table.shape_variations.items()}
    energy = max(alone["energy_up"], alone["energy_down"])
    assert climbed.rung("sources").fooling.found == pytest.approx(np.hypot(energy, alone["tail_up"]), abs=1e-12)

    up, down, tail = (table.shape_variations[n] - table.values for n in ("energy_up", "energy_down", "tail_up"))
    at_grid = [
        flips(table.values + max(e, 0.0) * up + max(-e, 0.0) * down + max(t, 0.0) * tail)
        for e, t in itertools.product(np.linspace(-1.0, 1.0, 31), repeat=2)
    ]
    common = max(fraction(weights, f) for f in at_grid)
    own = fraction(weights, np.any(at_grid, axis=0))
    one, each = climbed.rung("one shift").fooling, climbed.rung("shift per event").fooling
    assert one.found == pytest.approx(common, abs=0.03)
    assert one.found <= own <= each.found + 1e-9
    assert each.proved is not None
    assert each.found <= each.proved
    assert each.found == pytest.approx(own, abs=0.02)
    assert one.proved == each.proved

    box = Envelope.from_variations(table)
    corners = [flips(np.where(which, box.lower, box.upper)) for which in itertools.product([True, False], repeat=3)]
    free = climbed.rung("inputs").fooling
    assert free.proved is not None
    assert fraction(weights, np.any(corners, axis=0)) <= free.found + 1e-9 <= free.proved + 2e-9
    assert 0.0 < climbed.rung("sources").fooling.found < free.found


def test_yields_count_what_enters_and_leaves_the_selection(climbed: Ladder) -> None:
    table, classifier = varied(), network()
    classes = classifier.predict(table.values)
    attacked, selected = classes == table.labels, classes == 1
    nominal = table.weights[selected].sum()
    inputs = climbed.rung("inputs")
    by_class = [inputs.gain.found * nominal, inputs.loss.found * nominal]
    assert sum(by_class) == pytest.approx(inputs.fooling.found * table.weights[attacked].sum())
    far = varied(size=1.5)
    for name, values in far.shape_variations.items():
        new = classifier.predict(values) == 1
        shift = (table.weights * attacked * (new * 1.0 - selected)).sum() / nominal
        alone = ladder(classifier, replace(far, shape_variations={name: values})).rung("sources")
        assert alone.gain.found == pytest.approx(max(shift, 0.0))
        assert alone.loss.found == pytest.approx(max(-shift, 0.0))
        assert shift != 0.0


def test_events_of_negative_weight_move_the_yield_the_other_way() -> None:
    table, classifier = varied(), network()
    weights = np.where(np.arange(table.n_events) % 4 == 0, -0.5, 1.0) * table.weights
    table = replace(table, weights=weights)
    box, classes = Envelope.from_variations(table), classifier.predict(table.values)
    corners = [
        classifier.predict(np.where(w, box.lower, box.upper)) for w in itertools.product([True, False], repeat=3)
    ]
    movable = np.any([at != classes for at in corners], axis=0) & (classes == table.labels)
    nominal = weights[classes == 1].sum()
    rung = ladder(classifier, table, seed=5).rung("inputs")
    inside = classes == 1
    up = np.where(weights > 0.0, movable & ~inside, movable & inside)
    down = np.where(weights > 0.0, movable & inside, movable & ~inside)
    assert (movable & (weights < 0.0)).any()
    for side, moved in ((rung.gain, up), (rung.loss, down)):
        reached = np.abs(weights[moved]).sum() / nominal
        assert side.proved is not None
        assert reached <= side.proved + 1e-9
        assert side.found == pytest.approx(reached, rel=0.25)
        assert side.found > np.maximum(weights[moved], 0.0).sum() / nominal or not (moved & (weights < 0.0)).any()


def test_the_networks_of_a_k_fold_training_climb_together() -> None:
    table = varied()
    fold = np.arange(table.n_events) % 2
    table = replace(table, spectators={"fold": fold}, regions=())
    classifiers = [network(), network(2)]
    climbed = ladder(FoldedClassifier(classifiers), table, seed=5, target="all")
    for freedom in ("one shift", "inputs"):
        parts = [
            ladder(one, table.select(fold == k), seed=5, target="all").rung(freedom).fooling
            for k, one in enumerate(classifiers)
        ]
        sizes = [table.weights[fold == k].sum() for k in (0, 1)]
        mean = np.average([part.proved for part in parts], weights=sizes)
        assert climbed.rung(freedom).fooling.proved == pytest.approx(mean)


KILLED = """
import os, signal, sys
from tests.unit.worst_case.test_ladder import ladder, network, varied

def tell(step, fraction):
    sys.stdout.write(step + "\\n")
    sys.stdout.flush()
    if step.startswith("divided"):
        os.kill(os.getpid(), signal.SIGKILL)

print(ladder(network(), varied(200, size=0.8), seed=5, max_boxes=2, progress=tell, resume=sys.argv[1]).to_json())
"""


def test_a_ladder_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"seed": 5, "max_boxes": 2}
    table, place = varied(200, size=0.8), tmp_path / "kept"
    whole = ladder(network(), table, **options)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(place)], check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"kept-inputs", "kept-shifts"}
    steps: list[str] = []
    assert ladder(network(), table, resume=place, progress=lambda step, _: steps.append(step), **options) == whole
    assert not any(step.startswith(("bounded", "searched")) for step in steps)


def test_an_interrupt_ends_a_ladder(tmp_path: Path) -> None:
    def interrupt(_step: str, _fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ladder(network(), varied(), progress=interrupt, resume=tmp_path / "kept")


def test_errors_are_those_of_a_bootstrap(climbed: Ladder) -> None:
    table, classifier = varied(), network()
    classes = classifier.predict(table.values)
    attacked = classes == table.labels
    flipped = {n: (classifier.predict(v) != classes) & attacked for n, v in table.shape_variations.items()}
    rng = np.random.default_rng(2)
    largest = max(("energy_up", "energy_down"), key=lambda n: fraction(table.weights[attacked], flipped[n][attacked]))
    sizes = []
    for _ in range(3000):
        weights = (table.weights * rng.poisson(1.0, table.n_events))[attacked]
        both = [fraction(weights, flipped[n][attacked]) for n in (largest, "tail_up")]
        sizes.append(np.hypot(both[0], both[1]))
    assert climbed.rung("sources").fooling.error == pytest.approx(np.std(sizes), rel=0.12)


def test_a_region_an_attack_and_the_record(climbed: Ladder) -> None:
    table, classifier = varied(), network()
    result = run_attack(CONSERVAttack(max_js_distance=0.3, n_iterations=2), classifier, table, rng=1)
    part = ladder(classifier, table, region="high", attacks={"Under the caps": result}, seed=5)
    chosen = table.region("high").mask
    moved = result.fooled[chosen & result.attacked]
    rung = part.rung("Under the caps")
    assert rung.fooling.found == pytest.approx(fraction(table.weights[chosen & result.attacked], moved))
    assert rung.fooling.proved is None
    assert (part.events, part.n_events, part.rungs[-1]) == ("high", chosen.sum(), rung)
    assert Ladder.from_json(part.to_json()) == part
    assert "Under the caps" in str(part)
    assert "%" in climbed.statement
    assert set(climbed.shift) == {"energy", "tail"}
    with pytest.raises(ValueError, match="not the record of a ladder"):
        Ladder.from_json("{}")
    with pytest.raises(KeyError, match="no rung 'top'; there are Each source"):
        climbed.rung("top")


def test_where_nothing_can_be_proved_the_search_remains(climbed: Ladder) -> None:
    table, same = varied(), network()
    opaque = CallableClassifier(same.scores, n_features=3)
    with pytest.warns(
        UserWarning, match="no upper limit of the worst case is proved, what is found is a lower one: nothing"
    ):
        searched = ladder(opaque, table, seed=5)
    assert [rung.freedom for rung in searched.rungs] == ["sources", "one shift", "inputs"]
    assert all(side.proved is None for rung in searched.rungs for side in (rung.fooling, rung.gain, rung.loss))
    for freedom in ("sources", "one shift"):
        assert searched.rung(freedom).fooling.found == climbed.rung(freedom).fooling.found
    found, proved = searched.rung("inputs").fooling.found, climbed.rung("inputs").fooling.proved
    assert proved is not None
    assert 0.8 * climbed.rung("inputs").fooling.found <= found <= proved


def test_what_cannot_be_climbed_is_refused() -> None:
    table, classifier = varied(20), network()
    with pytest.raises(ValueError, match="no source 'tau' among the shape variations; known are energy, tail"):
        ladder(classifier, table, sources=["tau"])
    with pytest.raises(ValueError, match="no shape variation to climb from"):
        ladder(classifier, replace(table, shape_variations={}))
    other = run_attack(CONSERVAttack(max_js_distance=0.3, n_iterations=1), classifier, varied(21), rng=1)
    with pytest.raises(ValueError, match="the attack 'mine' is of another table"):
        ladder(classifier, table, attacks={"mine": other})
    with pytest.raises(ValueError, match="must be one of the 2 classes from 0, got 7"):
        ladder(classifier, table, selected_class=7)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(0.05, 0.6))
def test_what_is_found_is_never_more_than_what_is_proved(seed: int, size: float) -> None:
    climbed = ladder(network(seed), varied(25, seed, size), max_boxes=3, seed=seed, target="all")
    assert climbed.rung("inputs").fooling.proved is not None
    for rung in climbed.rungs:
        for number in (rung.fooling, rung.gain, rung.loss):
            assert number.proved is None or not number.found > number.proved + 1e-12


@pytest.mark.parametrize(("n_sources", "n_points"), [(1, 9), (2, 81), (3, 729), (6, 729), (7, 1014)])
def test_the_grid_has_its_corners_and_an_end(n_sources: int, n_points: int) -> None:
    points = _grid(n_sources)
    assert points.shape == (n_points, n_sources)
    assert np.abs(points).max() == 1.0
    assert (np.abs(points).sum(axis=1) == n_sources).any()


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_one_standard_deviation_is_the_variation_also_where_an_angle_is_missing(side: float) -> None:
    features = [Feature(name="pt"), Feature(name="phi", kind="angle")]
    values = np.array([[40.0, 3.1], [50.0, np.nan], [60.0, -3.0]])
    up, down = values + np.array([2.0, 0.2]), values - np.array([1.0, 0.3])
    up[0, 1], down[2, 1] = up[0, 1] - 2.0 * np.pi, down[2, 1] + 2.0 * np.pi
    shifts = {"energy_up": up, "energy_down": down}
    table = EventTable.from_arrays(values, features=features, sentinel=-999.0, shape_variations=shifts)
    at = Shifts.of(table, ("energy",)).at(np.array([side]))
    expected = table.variation("energy_up" if side > 0 else "energy_down").network_values
    np.testing.assert_allclose(at, expected, rtol=1e-12)
    assert at[1, 1] == -999.0
