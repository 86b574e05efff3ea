# SPDX-License-Identifier: BSD-3-Clause
"""Every way through coffea can give every answer, as those without it (``tests/unit/study/test_doors.py``)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, Runner

from hepfool import CONSERVAttack, EventTable, Validation
from hepfool.events import UNLABELLED
from hepfool.features import FeatureSpace
from hepfool.io import write_partitions
from hepfool.processors import (
    AttackPlan,
    AttackProcessor,
    PartitionedAttack,
    TableProcessor,
    attack_collected,
    collect,
    run_analysis,
    run_processor,
)
from hepfool.study import judged
from hepfool.sums import data_sums
from hepfool.typing import FloatArray, IntArray

# Workers cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")

ATTACK = CONSERVAttack(strategy="frugal", validation=Validation())
#: By answer, how far the systematic shifts x (not at all: None), and whether the analysers have looked into it.
ANSWERS: dict[str, tuple[float | None, bool]] = {
    "COVERED": (2.0, False),
    "INVESTIGATE": (1e-9, False),
    "ASSIGN": (1e-9, True),
    "INCOMPLETE": (None, False),
}


@dataclass(frozen=True)
class Line:
    """Class 1, a few percent, where x + y is large."""

    n_classes: int = 2
    n_features: int = 2
    digest: str = "line"

    def scores(self, values: FloatArray) -> FloatArray:
        signal = 1.0 / (1.0 + np.exp(2.5 - values.sum(axis=1)))
        return np.stack([1.0 - signal, signal], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return np.asarray(values.sum(axis=1) > 2.5, dtype=np.int64)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        sign = np.where(labels == 1, 1.0, -1.0)
        return sign * (values.sum(axis=1) - 2.5), np.repeat(sign[:, np.newaxis], 2, axis=1)

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -gradient / (1.0 + np.exp(margin))[:, np.newaxis]


@dataclass(frozen=True)
class Plane:
    """Events in a plane, with a systematic shift of x or none."""

    shift: float | None

    @property
    def features(self) -> FeatureSpace:
        return FeatureSpace(["x", "y"])

    def build(self, events: Any) -> EventTable:
        values = np.stack([ak.to_numpy(events.x), ak.to_numpy(events.y)], axis=1)
        data = events.metadata["dataset"] == "collisions"
        labels = np.full(len(values), UNLABELLED) if data else ak.to_numpy(events.truth)
        sides = {} if self.shift is None else {"up": self.shift, "down": -self.shift}
        return EventTable.from_arrays(
            values,
            features=self.features,
            labels=labels,
            dataset=events.metadata["dataset"],
            shape_variations={f"scale_{side}": values + np.array([by, 0.0]) for side, by in sides.items()},
        )


@pytest.fixture(scope="module")
def fileset(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder, rng = tmp_path_factory.mktemp("plane"), np.random.default_rng(1)
    for name, n in (("simulation", 1000), ("collisions", 300)):
        x, y, blur = rng.normal(size=(3, n))
        truth = (x + y + 0.2 * blur > 2.5).astype(np.int64)
        with uproot.recreate(folder / f"{name}.root") as file:
            file.mktree("Events", {"x": "float64", "y": "float64", "truth": "int64"}).extend(
                {"x": x, "y": y, "truth": truth}
            )
    return {name: {"files": [str(folder / f"{name}.root")]} for name in ("simulation", "collisions")}


def _runner() -> Runner:
    return Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=100_000)


def _selected(analysis: Plane, fileset: dict[str, Any]) -> EventTable:
    table: EventTable = run_processor(_runner(), fileset, TableProcessor(analysis))["table"]
    return table


def by_processor(analysis: Plane, fileset: dict[str, Any], _: Path) -> Any:
    return run_processor(_runner(), fileset, AttackProcessor(analysis, Line(), ATTACK, seed=3))["sums"]


def by_run(analysis: Plane, fileset: dict[str, Any], _: Path) -> Any:
    return run_analysis(_runner(), fileset, analysis, AttackPlan(Line(), ATTACK, seed=3)).out["sums"]


def by_partitions(analysis: Plane, fileset: dict[str, Any], folder: Path) -> Any:
    return PartitionedAttack(Line(), ATTACK, seed=3).run(write_partitions(folder, [_selected(analysis, fileset)])).sums


def by_collected(analysis: Plane, fileset: dict[str, Any], _: Path) -> Any:
    table = _selected(analysis, fileset)
    simulated = table.labels != UNLABELLED
    part = table.select(simulated)
    columns = {f.name: part.column(f.name) for f in part.features}
    varied = {name: {"x": values[:, 0]} for name, values in part.shape_variations.items()}
    collected = collect(
        {"dataset": "simulation", "filename": "simulation", "entrystart": 0, "entrystop": part.n_events},
        columns,
        label=part.labels,
        weights=part.weights,
        features=part.features,
        variations=varied,
    )
    result = attack_collected(collected, Line(), ATTACK, seed=3)
    return result.sums(Line()) + data_sums(table.select(~simulated), Line(), result.binning)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("door", [by_processor, by_run, by_partitions, by_collected])
def test_every_door_can_give_every_answer(
    door: Callable[..., Any], answer: str, fileset: dict[str, Any], tmp_path: Path
) -> None:
    shift, investigated = ANSWERS[answer]
    sums = door(Plane(shift), fileset, tmp_path)
    assert judged(sums, investigated=investigated).summary.verdict["decision"] == answer
