# SPDX-License-Identifier: BSD-3-Clause
"""
Processors in whatever coffea is installed: that of the tests, or one that analyses are pinned to.

``python -m pytest --noconftest tests/integration/test_any_coffea.py`` needs the core, coffea 0.7.29 or newer and pytest.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, ProcessorABC, Runner

from hepfool import Correlations, EventTable, Feature, FeatureSpace, Marginals, Validation, run_attack
from hepfool.attacks import CONSERVAttack
from hepfool.io import read_table, write_table
from hepfool.models import CallableClassifier, FiniteDifference
from hepfool.processors import Analysis, AttackProcessor, TableProcessor, attack_collected, collect, run_processor

NAMES = ("a", "b", "c")
CAPS = Validation(inputs=Marginals(max_js_distance=0.03), correlations=Correlations(max_shift=0.03), score=None)
ATTACK = CONSERVAttack(strategy="frugal", n_iterations=3, validation=CAPS)


def score(values: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-values @ [3.0, 2.0, 1.0]))


@pytest.fixture(scope="module")
def classifier() -> FiniteDifference:
    return FiniteDifference(CallableClassifier(score), step=[0.01] * 3)


@pytest.fixture(scope="module")
def table() -> EventTable:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(600, 3)).astype(np.float32)
    return EventTable.from_arrays(values, features=NAMES, labels=values.sum(axis=1) > 0)


@pytest.fixture(scope="module")
def fileset(table: EventTable, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("events") / "events.root"
    with uproot.recreate(path) as file:
        columns = {name: table.values[:, k] for k, name in enumerate(NAMES)} | {"truth": table.labels}
        file.mktree("Events", {name: column.dtype for name, column in columns.items()}).extend(columns)
    return {"toy": {"treename": "Events", "files": [str(path)]}}


class Toy(Analysis):
    @property
    def features(self) -> FeatureSpace:
        return FeatureSpace([Feature(name) for name in NAMES])

    def build(self, events: Any) -> EventTable:
        values = np.column_stack([ak.to_numpy(events[name]) for name in NAMES])
        return EventTable.from_arrays(values, features=self.features, labels=ak.to_numpy(events["truth"]))


class Existing(ProcessorABC):  # type: ignore[misc]  # coffea has no types
    def process(self, events: Any) -> dict[str, Any]:
        columns = {name: events[name] for name in NAMES}
        return {"attack": collect(events.metadata, columns, label=events["truth"])}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        return accumulator


def runner() -> Runner:
    return Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=100)


def test_an_existing_processor(fileset: dict[str, Any], classifier: FiniteDifference, table: EventTable) -> None:
    out = runner()(fileset, treename="Events", processor_instance=Existing())
    result = attack_collected(out["attack"], classifier, ATTACK, seed=7)
    alone = run_attack(ATTACK, classifier, table, rng=7)
    assert 0.1 < result.fooling_ratio == alone.fooling_ratio
    np.testing.assert_array_equal(result.adversarial.values, alone.adversarial.values)


def test_an_attack_processor(fileset: dict[str, Any], classifier: FiniteDifference, table: EventTable) -> None:
    processor = AttackProcessor(Toy(), classifier, ATTACK, seed=7)
    out = runner()(fileset, treename="Events", processor_instance=processor)
    assert out["result"].fooling_ratio == run_attack(ATTACK, classifier, table, rng=7).fooling_ratio
    assert out["sums"].counts().n_fooled == out["result"].fooled.sum()


def test_a_complete_table_and_its_file(fileset: dict[str, Any], table: EventTable, tmp_path: Path) -> None:
    gathered = run_processor(runner(), fileset, TableProcessor(Toy()))["table"]
    np.testing.assert_array_equal(gathered.values, table.values)
    write_table(gathered, tmp_path / "events.root")
    back = read_table(tmp_path / "events.root", features=NAMES, label="label")
    np.testing.assert_array_equal(back.values, table.values)


def test_the_hook_of_pocket_coffea_is_there() -> None:
    base = pytest.importorskip("pocket_coffea.workflows.base").BaseProcessorABC
    assert list(inspect.signature(base.fill_histograms_extra).parameters) == ["self", "variation"]
    assert issubclass(base, ProcessorABC)
