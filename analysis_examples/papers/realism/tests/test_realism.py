# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from analysis_examples.papers.realism.smooth_map import Distances, Following, Room, SmoothMap, judge
from hepfool import Correlations, EventTable, Marginals, Validation
from hepfool.events import Envelope
from hepfool.models import TorchClassifier
from hepfool.samples.htautau_analysis import FEATURES
from hepfool.typing import FloatArray

pytestmark = pytest.mark.torch
SCRIPT = Path(__file__).parents[1] / "realism.py"


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the script defines."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def table(rng: np.random.Generator) -> EventTable:
    """Events as the analysis has them, of which the scales of tau and missing momentum vary."""
    n_events = 300
    values = np.zeros((n_events, len(FEATURES)))
    values[:, :2] = rng.uniform(30.0, 90.0, (n_events, 2))
    values[:, 2], values[:, 3] = rng.uniform(0.0, 3.0, n_events), rng.uniform(0.0, np.pi, n_events)
    values[:, 4:6] = rng.normal(0.0, 30.0, (n_events, 2))
    values[:, 6] = rng.integers(0, 3, n_events)
    values[:, 7:9] = rng.uniform(40.0, 200.0, (n_events, 2))
    values[::3, 8] = np.nan
    varied = {name: values.copy() for name in ("tau_up", "tau_down", "met_up")}
    varied["tau_up"][:, 1] *= 1.03
    varied["tau_down"][:, 1] *= 0.97
    varied["met_up"][:, 4] += 5.0
    labels = values[:, 1] + rng.normal(0.0, 5.0, n_events) > 60.0
    variations = {name: followed(shape) for name, shape in varied.items()}
    return EventTable.from_arrays(
        followed(values), labels=labels, features=FEATURES, sentinel=-999.0, shape_variations=variations
    )


@pytest.fixture
def classifier() -> TorchClassifier:
    """Takes events of a hard tau for signal."""
    layer = nn.Linear(len(FEATURES), 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 1] = 0.2
        layer.bias[0] = -12.0
    return TorchClassifier(layer, n_features=len(FEATURES))


def followed(values: FloatArray) -> FloatArray:
    values = values.copy()
    for column in FEATURES.derived:
        values[:, column] = FEATURES.derive(values, column)
    return values


def test_inputs_follow_as_in_the_analysis_and_with_slopes(table: EventTable) -> None:
    tensor = torch.from_numpy(table.network_values.copy()).requires_grad_(True)
    found = Following()(tensor)
    assert FEATURES.derived == tuple(range(9, 14))
    np.testing.assert_allclose(found.detach().numpy(), table.network_values, rtol=1e-6, atol=1e-3)
    # At rest, where roots have no slope.
    still = torch.zeros((1, len(FEATURES)), dtype=torch.float64, requires_grad=True)
    for values, moved in ((tensor, found), (still, Following()(still))):
        torch.autograd.backward(moved.sum())
        assert values.grad is not None
        assert torch.isfinite(values.grad).all()


def test_a_map_stays_within_its_room_and_derived_inputs_follow(table: EventTable, rng: np.random.Generator) -> None:
    torch.manual_seed(1)
    found = SmoothMap(nn.Sequential(nn.Linear(len(FEATURES), len(FEATURES)), nn.Tanh()))
    for envelope in (Envelope.from_variations(table), None):
        room = Room.of(table, envelope)
        moved = found.moved(table, room)
        assert (moved.values != table.values)[~table.missing].any()
        np.testing.assert_array_equal(moved.missing, table.missing)
        np.testing.assert_array_equal(followed(moved.values), moved.values)
        np.testing.assert_array_equal(moved.values[:, 6], table.values[:, 6])
        inside = (moved.values >= room.lower) & (moved.values <= room.upper)
        assert inside[~table.missing].all()
        np.testing.assert_array_equal(found.moved(table, room, 0.0).values, table.values)
    only = Room.of(table, Envelope.from_variations(table)).size
    assert (only[:, [0, 2, 3, 5, 7]] == 0.0).all()
    assert (only[:, [1, 4]] > 0.0).mean() > 0.9


def test_soft_distances_are_those_of_the_validation(table: EventTable, classifier: TorchClassifier) -> None:
    marginals = Marginals(max_js_distance=0.03, n_bins=10, n_quantiles=0)
    validation = Validation(
        inputs=marginals, score=marginals, correlations=Correlations(max_shift=0.03), separately="union"
    )
    whole = table.select(np.flatnonzero(~np.isnan(table.column("dijet_mass"))))
    moved = whole.with_values(whole.shape_variations["met_up"])
    scores = classifier.scores(whole.network_values), classifier.scores(moved.network_values)
    measured = validation.measure(whole, moved, scores=scores, threshold=classifier.threshold)
    distances = Distances(validation, 0.03, whole, classifier)
    distances.soft *= 1e-3  # hard edges count events as the validation does
    columns = [
        torch.from_numpy(np.concatenate([one.network_values, score[:, 1:]], axis=1)).float()
        for one, score in zip((whole, moved), scores, strict=True)
    ]
    in_units = np.array([figure.value / figure.cap for figure in measured.figures]) ** 2
    assert len(in_units) == len(FEATURES) + 2
    assert float(distances.excess(*columns)) == pytest.approx(np.clip(in_units - 0.5, 0.0, None).sum(), rel=0.02)
    assert float(distances.excess(columns[0], columns[0])) == 0.0


def test_rungs_count_the_same_events(names: dict[str, Any], table: EventTable, classifier: TorchClassifier) -> None:
    climb = names["Climb"](classifier, table)
    up, down = (table.with_values(table.shape_variations[f"tau_{side}"]) for side in ("up", "down"))
    climb.reference = climb.fooled(up)
    rungs = [climb.rung(side, "own", moved) for side, moved in (("up", up), ("down", down))]
    correct = classifier.predict(table.network_values) == table.labels
    for rung, moved in zip(rungs, (up, down), strict=True):
        changed = (classifier.predict(moved.network_values) != table.labels)[correct]
        assert rung.fooled == pytest.approx(changed.mean())
        assert rung.fooled == judge(classifier, names["validation"](), table, moved)[0]
    assert (rungs[0].beyond, rungs[0].beyond_error) == (0.0, 0.0)
    assert rungs[1].beyond == pytest.approx(rungs[1].fooled - rungs[0].fooled)
    # No event goes both ways: the error of the difference is larger than that of independent samples.
    assert rungs[1].beyond_error > np.hypot(rungs[0].error, rungs[1].error)


def test_shifts_of_one_standard_deviation_are_the_variations(names: dict[str, Any], table: EventTable) -> None:
    assert names["sources_of"](table) == ("tau", "met")
    for shift, name in (({"tau": 1.0, "met": 0.0}, "tau_up"), ({"tau": -1.0, "met": 0.0}, "tau_down")):
        np.testing.assert_allclose(names["shifted"](table, shift).values, table.shape_variations[name], rtol=1e-12)
    half = names["shifted"](table, {"tau": 0.0, "met": 0.5}).values
    np.testing.assert_allclose(half[:, 4], table.values[:, 4] + 2.5)
    np.testing.assert_array_equal(followed(half), half)


@pytest.mark.slow
def test_the_ladder_is_climbed_and_drawn(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "-o", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "one smooth map, score kept" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"realism.json", "realism.pdf", "realism.png"}
    rungs = json.loads((tmp_path / "realism.json").read_text())
    assert len(rungs) == 13
    assert all(rung["fooled"] <= rung["limit"] for rung in rungs if rung["limit"] is not None)
    assert all(rung["kept"] for rung in rungs if rung["label"].endswith("score kept"))
