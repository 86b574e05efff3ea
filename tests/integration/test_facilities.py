# SPDX-License-Identifier: BSD-3-Clause
"""The recipes of the page on facilities, run as they stand there, with small stand-ins for what a facility offers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, IterativeExecutor, ProcessorABC, Runner, accumulate

from hepfool.attacks import CONSERVAttack
from hepfool.events import EventTable
from hepfool.exceptions import LowStatisticsWarning
from hepfool.io import read_table
from hepfool.processors import (
    AttackProcessor,
    PartitionedAttack,
    PartitionProcessor,
    attack_collected,
    attack_table,
    collect,
    digest,
    raise_caps,
    run_processor,
)
from hepfool.statistics import Binning
from tests.specimens import SineClassifier, events

ROOT = Path(__file__).parents[2]
RECIPES = re.findall(r"```py\n(.*?)```", (ROOT / "docs" / "facility.md").read_text("utf-8"), flags=re.DOTALL)


@pytest.fixture(autouse=True)
def _small_samples() -> Iterator[None]:
    """Let toy samples be small."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowStatisticsWarning)
        yield


def _run(recipe: str, names: dict[str, Any], **replaced: str) -> Any:
    """Run a recipe and return the value of its last line."""
    for old, new in replaced.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    *lines, last = recipe.strip().splitlines()
    if last[:1].isspace():
        lines, last = [*lines, last], "None"
    exec(compile("\n".join(lines), "facility.md", "exec"), names)
    return eval(last.partition("  #")[0], names) if " = " not in last else exec(last, names)


def test_there_are_four_recipes() -> None:
    assert len(RECIPES) == 4


def _module(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's module that no worker can find by itself."""
    source = (ROOT / "tests" / "integration" / "conftest.py").read_text("utf-8")
    path = folder / f"{name}.py"
    path.write_text(source.replace("cloudpickle.register_pickle_by_value(sys.modules[__name__])", ""))
    monkeypatch.syspath_prepend(str(folder))
    return path


@pytest.mark.dask
def test_remote_client_and_a_module_that_is_sent(
    toy_fileset: dict[str, Any],
    classifier: Any,
    attack: Any,
    dask_client: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import Client

    path = _module(tmp_path, "sent_analysis", monkeypatch)
    module = __import__("sent_analysis")
    names = {
        "Client": Client,
        "Runner": Runner,
        "DaskExecutor": lambda client: DaskExecutor(client=client, status=False),
        "NanoAODSchema": BaseSchema,
        "run_processor": run_processor,
        "AttackProcessor": AttackProcessor,
        "MyAnalysis": module.ToyAnalysis,
        "fileset": toy_fileset,
        "classifier": classifier,
        "attack": attack,
    }
    places = {"tls://localhost:8786": dask_client.scheduler.address, "my_analysis.py": str(path)}
    _run(RECIPES[0], names, **places)
    names["client"].close()
    executor = IterativeExecutor(status=False)
    runner = Runner(executor, schema=BaseSchema, chunksize=200_000)
    expected = run_processor(runner, toy_fileset, AttackProcessor(module.ToyAnalysis(), classifier, attack))
    assert digest(names["out"]) == digest(expected)


@pytest.mark.dask
def test_a_zipped_package_reaches_workers_without_it(dask_client: Any, tmp_path: Path) -> None:
    package = tmp_path / "src" / "sent_package" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "__init__.py").write_text("NUMBER = 7\n")
    archive = shutil.make_archive(str(tmp_path / "sent_package"), "zip", tmp_path / "src", "sent_package")

    def number() -> int:
        import importlib

        return int(importlib.import_module("sent_package.inner").NUMBER)

    with pytest.raises(ModuleNotFoundError, match="sent_package"):
        dask_client.submit(number, pure=False).result()
    dask_client.upload_file(archive)
    assert dask_client.submit(number, pure=False).result() == 7


def test_this_package_runs_from_a_zip(tmp_path: Path) -> None:
    """So that it can be uploaded where it cannot be installed."""
    archive = shutil.make_archive(str(tmp_path / "hepfool"), "zip", ROOT / "src", "hepfool")
    code = (
        f"import sys; sys.path.insert(0, {archive!r}); import numpy as np, hepfool; "
        "from hepfool.statistics.marginals import Binning; "
        "b = Binning(np.array([[0.0, 1.0, 2.0]])); "
        "print(hepfool.__file__, b.yields(np.array([[1.5]]), np.ones(1)).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split(" ", 1)[0].startswith(archive)
    assert "[[0.0, 1.0, 0.0]]" in done.stdout


@pytest.mark.slow
@pytest.mark.dask
@pytest.mark.filterwarnings("ignore")
def test_jobs_of_dask_jobqueue(toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any) -> None:
    local = pytest.importorskip("dask_jobqueue.local")
    from distributed import Client

    options = {"cores": 1, "processes": 1, "memory": "2GB", "scheduler_options": {"dashboard_address": ":0"}}
    processor = AttackProcessor(analysis, classifier, attack)
    with local.LocalCluster(**options) as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        cluster.scale(jobs=1)
        client.wait_for_workers(1, timeout=60)
        runner = Runner(DaskExecutor(client=client, status=False), schema=BaseSchema, chunksize=200_000)
        out = run_processor(runner, toy_fileset, processor)
    expected = run_processor(
        Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=200_000), toy_fileset, processor
    )
    assert digest(out) == digest(expected)


@pytest.mark.dask
def test_partitions(
    toy_fileset: dict[str, Any], analysis: Any, dask_client: Any, classifier: Any, tmp_path: Path
) -> None:
    from hepfool.models import FiniteDifference

    names = {
        "run_processor": run_processor,
        "runner": Runner(DaskExecutor(client=dask_client, status=False), schema=BaseSchema, chunksize=200_000),
        "client": dask_client,
        "fileset": toy_fileset,
        "PartitionProcessor": PartitionProcessor,
        "MyAnalysis": lambda: analysis,
        "PartitionedAttack": PartitionedAttack,
        "raise_caps": raise_caps,
        "classifier": FiniteDifference(classifier, step=[0.1, 0.1, 0.1]),
        "attack": CONSERVAttack(n_iterations=1, n_bins=20, n_candidates=5, max_js_distance=0.1),
    }
    ratio, distances, bound = _run(RECIPES[1], names, **{"/shared/events": str(tmp_path)})
    assert 0 < ratio < 1
    assert distances.max() <= 0.1
    assert len(bound) == 3
    assert (tmp_path / "manifest.json").exists()


class MyWorkflow(ProcessorABC):  # type: ignore[misc]
    """Stand-in for a workflow of PocketCoffea: nominal first, then the variations; events are sliced in between."""

    def process(self, events: Any) -> Any:
        self.output: dict[str, Any] = {"cutflow": {"initial": {events.metadata["dataset"]: len(events)}}}
        for variation in ("nominal", "JES_TotalUp"):
            self.events = events
            self.fill_histograms_extra(variation)
        return self.output

    def fill_histograms_extra(self, variation: str) -> None:
        """Fill nothing."""


def test_pocket_coffea(toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any) -> None:
    simulated = {name: toy_fileset[name] for name in ("signal", "background")}
    runner = Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=200)

    def my_columns(workflow: Any) -> dict[str, Any]:
        table = analysis.build(workflow.events)
        return {
            "inputs": {name: table.column(name) for name in table.features.names},
            "label": workflow.events.metadata["label"],
            "weights": table.weights,
            "regions": {
                "low_met": ("control", {"met": (0.0, 40.0)}),
                "high_met": ("signal", {"met": (40.0, None)}),
            },
            "features": table.features,
            "variations": {
                name: dict(zip(table.features.names, values.T, strict=True))
                for name, values in table.shape_variations.items()
            },
            "sentinel": table.sentinel,
        }

    names: dict[str, Any] = {"MyWorkflow": MyWorkflow, "my_columns": my_columns, "collect": collect}
    _run(RECIPES[2], names)
    theirs = runner(simulated, names["AttackedWorkflow"](), treename="Events")
    found = attack_collected(theirs["attack"], classifier, attack, seed=3)
    ours = run_processor(runner, simulated, AttackProcessor(analysis, classifier, attack, seed=3))["result"]
    np.testing.assert_array_equal(found.adversarial.values, ours.adversarial.values)
    assert found.fooling_ratio == ours.fooling_ratio > 0
    assert theirs["cutflow"]["initial"] == {"signal": 600, "background": 400}


def test_columnflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = events(400, regions=False)
    table = EventTable.from_arrays(
        np.nan_to_num(table.values, nan=30.0), labels=table.labels, features=table.features, weights=table.weights
    )
    (tmp_path / "united").mkdir()
    for k in range(2):
        part = table.select(np.arange(k, 400, 2))
        columns = {
            **dict(zip(table.features.names, part.values.T, strict=True)),
            "label": part.labels,
            "weight": part.weights,
        }
        content = pa.table({name: np.ascontiguousarray(column) for name, column in columns.items()})
        pyarrow.parquet.write_table(content, tmp_path / "united" / f"data_{k}.parquet")
    monkeypatch.chdir(tmp_path)
    names = {
        "Path": Path,
        "read_table": read_table,
        "attack_table": attack_table,
        "accumulate": accumulate,
        "features": table.features,
        "classifier": SineClassifier(),
        "attack": CONSERVAttack(n_iterations=1, n_bins=20, n_candidates=5, max_js_distance=0.05),
        "binning": Binning.uniform(table, n_bins=20),
    }
    distances = _run(RECIPES[3], names)
    assert 0 < distances.max() <= 0.05
    assert len(names["parts"]) == 2
