# SPDX-License-Identifier: BSD-3-Clause
"""The strong attack from processors that exist."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import cloudpickle
import numpy as np
import pandas as pd
import pytest
import torch
import uproot
from coffea.analysis_tools import PackedSelection, Weights
from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor import DaskExecutor, FuturesExecutor, IterativeExecutor, ProcessorABC, Runner, accumulate

from hepfool.attacks import CONSERVAttack
from hepfool.events import EventTable
from hepfool.features import FeatureSpace
from hepfool.models import Standardise, TorchClassifier, mlp
from hepfool.processors import (
    AttackProcessor,
    ChunkProcessor,
    TableProcessor,
    attack_collected,
    collect,
    feature_matrix,
    leading,
    run_processor,
    table_of,
)
from hepfool.processors._collected import Collected
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import FEATURES, HiggsToTauTau, compute_features, energy_scales, select
from tests.toy_analysis import Logistic, Push, ToyAnalysis

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")


class Existing(ProcessorABC):  # type: ignore[misc]
    """What a physicist has: objects, cuts and weights of a toy analysis, and one call."""

    def process(self, events: Any) -> dict[str, Any]:
        dataset, label = events.metadata["dataset"], events.metadata.get("label")
        lepton = leading(ak.zip({"pt": events.lepton_pt}), 1)[:, 0].pt
        jet = leading(ak.zip({"pt": events.jet_pt}), 1)[:, 0].pt
        selection = PackedSelection()
        selection.add("lepton", ak.to_numpy(ak.fill_none(lepton, 0.0)) > 20.0)
        selection.add("low_met", ak.to_numpy(events.met) < 40.0)
        selection.add("high_met", ak.to_numpy(events.met) >= 40.0)
        weights = Weights(len(events))
        weights.add("generator", ak.to_numpy(events.weight))
        weights.add("pileup", np.ones(len(events)), np.full(len(events), 1.1), np.full(len(events), 0.9))
        passed = selection.all("lepton")
        inputs = {"lepton_pt": lepton[passed], "met": events.met[passed], "jet_pt": jet[passed]}
        attack = collect(
            events.metadata,
            inputs,
            label=label,
            weights=weights,
            weight_variations=True,
            selection=selection,
            selected="lepton",
            regions={
                "low_met": ("control", "low_met", {"met": (0.0, 40.0)}),
                "high_met": ("signal", "high_met", {"met": (40.0, None)}),
            },
            features=ToyAnalysis().features,
            variations={"jet_energy_up": {"jet_pt": 1.05 * jet}},
            sentinel=-999.0,
            event=np.arange(events.metadata["entrystart"], events.metadata["entrystop"]),
        )
        return {"selected": {dataset: int(passed.sum())}, "attack": attack}

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


def _collected(fileset: dict[str, Any], executor: Any = None, chunksize: int = 100) -> Collected:
    executor = executor or IterativeExecutor(status=False, retries=0)
    runner = Runner(executor, schema=BaseSchema, chunksize=chunksize, metadata_cache={})
    found: Collected = runner(fileset, Existing(), treename="Events")["attack"]
    return found


def _attacked(fileset: dict[str, Any], **options: Any) -> Any:
    return attack_collected(_collected(fileset, **options), Logistic(), Push(), seed=7)


@pytest.fixture(scope="module")
def expected(toy_fileset: dict[str, Any]) -> Any:
    runner = Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=100)
    return run_processor(runner, toy_fileset, AttackProcessor(ToyAnalysis(), Logistic(), Push(), seed=7))["result"]


def same(result: Any, expected: Any) -> None:
    """Equal bits of all that was measured."""
    for name in ("nominal", "adversarial"):
        found, other = getattr(result, name), getattr(expected, name)
        assert found.datasets == other.datasets
        assert [region.name for region in found.regions] == [region.name for region in other.regions]
        for column in ("values", "labels", "weights", "dataset_index", "missing"):
            np.testing.assert_array_equal(getattr(found, column), getattr(other, column))
        for a, b in zip(found.regions, other.regions, strict=True):
            assert (a.role, a.cuts) == (b.role, b.cuts)
            np.testing.assert_array_equal(a.mask, b.mask)
    for name in ("classes", "attacked", "fooled", "nominal_scores", "adversarial_scores"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name))
    assert result.fooling_ratio == expected.fooling_ratio > 0
    np.testing.assert_array_equal(result.compatibility.js_distance, expected.compatibility.js_distance)
    assert result.compatibility.correlation_shift == expected.compatibility.correlation_shift


@pytest.mark.parametrize("chunksize", [70, 1000])
def test_the_result_is_that_of_the_attack_processor(toy_fileset: dict[str, Any], expected: Any, chunksize: int) -> None:
    same(_attacked(toy_fileset, chunksize=chunksize), expected)


def test_threads_give_the_same_bits(toy_fileset: dict[str, Any], expected: Any) -> None:
    same(_attacked(toy_fileset, executor=FuturesExecutor(workers=2, status=False, pool=ThreadPoolExecutor)), expected)


@pytest.mark.dask
def test_dask_gives_the_same_bits(toy_fileset: dict[str, Any], expected: Any) -> None:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        same(_attacked(toy_fileset, executor=DaskExecutor(client=client, status=False), chunksize=150), expected)


def test_the_table_is_that_of_the_table_processor(toy_fileset: dict[str, Any]) -> None:
    runner = Runner(IterativeExecutor(status=False), schema=BaseSchema, chunksize=100)
    expected = run_processor(runner, toy_fileset, TableProcessor(ToyAnalysis()))["table"]
    table = table_of(_collected(toy_fileset))
    for name in ("values", "labels", "weights", "dataset_index"):
        np.testing.assert_array_equal(getattr(table, name), getattr(expected, name))
    assert table.datasets == expected.datasets == ("background", "collisions", "signal")
    np.testing.assert_array_equal(table.shape_variations["jet_energy_up"], expected.shape_variations["jet_energy_up"])
    np.testing.assert_array_equal(table.weight_variations["pileup_up"], expected.weight_variations["pileup_up"])
    assert "pileup_down" in table.weight_variations
    assert len(set(table.spectators["event"].tolist())) > 100


def test_the_order_of_the_workers_does_not_matter(toy_fileset: dict[str, Any], expected: Any) -> None:
    parts = [Collected((chunk,)) for chunk in _collected(toy_fileset).chunks]
    turned = accumulate([{"attack": part} for part in reversed(parts)])["attack"]
    shuffled = pickle.loads(cloudpickle.dumps(turned))
    assert [chunk["start"] for chunk in shuffled.chunks] != [chunk["start"] for chunk in _collected(toy_fileset).chunks]
    same(attack_collected(shuffled, Logistic(), Push(), seed=7), expected)


def test_datasets_are_scaled_after_the_run(toy_fileset: dict[str, Any]) -> None:
    collected = _collected(toy_fileset)
    scale = {"signal": 0.25, "background": 2.0}
    table = table_of(collected, scale=scale)
    plain = table_of(collected)
    factor = np.array([scale.get(name, 1.0) for name in table.datasets])[table.dataset_index]
    np.testing.assert_array_equal(table.weights, factor * plain.weights)
    np.testing.assert_array_equal(table.weight_variations["pileup_up"], factor * plain.weight_variations["pileup_up"])
    result = attack_collected(collected, Logistic(), Push(), seed=7, scale=scale)
    assert result.nominal.weights.sum() == pytest.approx(table.weights[table.labels >= 0].sum())
    for wrong, rule in (
        ({**scale, "ttbar": 1.0}, "ttbar was not collected"),
        ({"signal": 1.0}, "background is simulated and has no factor"),
        ({**scale, "collisions": 1.0}, "collisions is data"),
        ({**scale, "signal": 0.0}, "needs a positive number"),
        ({**scale, "signal": np.nan}, "needs a positive number"),
    ):
        with pytest.raises(ValueError, match=rule):
            table_of(collected, scale=wrong)


class HiggsProcessor(ProcessorABC):  # type: ignore[misc]
    """The packaged analysis as it would be written without this package."""

    def __init__(self, analysis: HiggsToTauTau) -> None:
        self.analysis = analysis

    def process(self, events: Any) -> Any:
        objects, passed = select(events)
        objects = type(objects)(*(ak.drop_none(part[passed], axis=0) for part in objects))
        events = events[passed]
        inputs, *varied = (compute_features(scaled) for scaled in energy_scales(objects).values())
        selection = PackedSelection()
        b_jet = ak.to_numpy(objects.n_b_jets) > 0
        selection.add("b_jet", b_jet)
        selection.add("high_mt", ~b_jet & (ak.to_numpy(inputs["mt"]) >= 70.0))
        selection.add("low_mt", ~b_jet & (ak.to_numpy(inputs["mt"]) < 70.0))
        always = {"lepton_pt": (26.0, None), "tau_pt": (22.0, None), "delta_r": (0.5, None)}
        return collect(
            events.metadata,
            inputs,
            label=int(events.metadata["is_signal"]),
            weights=self.analysis.weights(events, objects, events.metadata),
            selection=selection,
            regions={
                "high_mt": ("control", "high_mt", {**always, "mt": (70.0, None)}),
                "b_jet": ("control", "b_jet", always),
                "low_mt": ("signal", "low_mt", {**always, "mt": (None, 70.0)}),
            },
            features=FEATURES,
            sentinel=-999.0,
            variations=dict(zip(list(energy_scales(objects))[1:], varied, strict=True)),
            run=events.run,
            event=events.event,
        )

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::hepfool.exceptions.NetworkWarning")
def test_a_whole_analysis_collects_what_its_rewritten_form_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NanoAODSchema, "warn_missing_crossrefs", False)
    analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
    fileset = {name: htautau.fileset()[name] for name in ("ggH", "TTbar")}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = TorchClassifier(mlp(len(FEATURES), [8]))
    attack = CONSERVAttack(n_bins=20, strategy="frugal", n_iterations=2, max_js_distance=0.05, start="nominal")
    executor = IterativeExecutor(status=False, retries=0)
    runner = Runner(executor, schema=NanoAODSchema, chunksize=2000, maxchunks=1, metadata_cache={})
    options: dict[str, Any] = {"seed": 3, "target": "all"}
    expected = run_processor(runner, fileset, AttackProcessor(analysis, network, attack, **options))["result"]
    collected = runner(fileset, HiggsProcessor(analysis), treename="Events")
    same(attack_collected(collected, network, attack, **options), expected)
    table = table_of(collected)
    assert table.shape_variations.keys() == expected.nominal.shape_variations.keys() >= {"tau_energy_up"}
    for name, values in expected.nominal.shape_variations.items():
        np.testing.assert_array_equal(table.shape_variations[name], values)


class Flat(ProcessorABC):  # type: ignore[misc]
    """A processor of flat ntuples whose inputs are branches."""

    def __init__(self, inputs: tuple[str, ...]) -> None:
        self.inputs = inputs

    def process(self, events: Any) -> Any:
        return {
            "attack": collect(
                events.metadata, {name: events[name] for name in self.inputs}, label=events.metadata["label"]
            )
        }

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


def _written(folder: Path, columns: dict[str, Any], labels: Any) -> dict[str, Any]:
    """Fileset of one flat file per class."""
    fileset: dict[str, Any] = {}
    for label, name in enumerate(("background", "signal")):
        path = folder / f"{name}.root"
        chosen = {key: np.asarray(column[labels == label]) for key, column in columns.items()}
        with uproot.recreate(path) as file:
            file.mktree("Events", {key: column.dtype for key, column in chosen.items()}).extend(chosen)
        fileset[name] = {"files": [str(path)], "metadata": {"label": label}}
    return fileset


def _discriminant(table: EventTable) -> TorchClassifier:
    """Fisher's linear discriminant as a network."""
    net = mlp(table.n_features, [], preprocessing=Standardise.of(table))
    scaled = (table.values - table.values.mean(axis=0)) / table.values.std(axis=0)
    means = [scaled[table.labels == label].mean(axis=0) for label in (0, 1)]
    slope = np.linalg.solve(np.cov(scaled.T), means[1] - means[0])
    linear = next(module for module in net.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        linear.weight[:] = torch.as_tensor(slope)
        linear.bias[:] = float(-slope @ (means[0] + means[1]) / 2)
    return TorchClassifier(net)


@dataclass(frozen=True)
class FlatAnalysis:
    """The same events for an attack chunk by chunk."""

    inputs: tuple[str, ...]

    @property
    def features(self) -> FeatureSpace:
        return FeatureSpace(self.inputs)

    def build(self, events: Any) -> EventTable:
        values = feature_matrix({name: events[name] for name in self.inputs}, self.features)
        labels = np.full(len(values), events.metadata["label"])
        return EventTable.from_arrays(values, features=self.features, labels=labels, dataset=events.metadata["dataset"])


def _whole_and_chunks(fileset: dict[str, Any], inputs: tuple[str, ...]) -> tuple[float, float]:
    """Fooling ratio of all events at once, and of chunks of fifty."""
    executor = IterativeExecutor(status=False, retries=0)
    runner = Runner(executor, schema=BaseSchema, chunksize=50, metadata_cache={})
    collected = runner(fileset, Flat(inputs), treename="Events")["attack"]
    table = table_of(collected)
    network = _discriminant(table)
    attack = CONSERVAttack(
        strategy="frugal", n_bins=20, n_iterations=4, max_js_distance=0.03, max_correlation_shift=0.03
    )
    whole = attack_collected(collected, network, attack, seed=1)
    processor = ChunkProcessor(FlatAnalysis(inputs), network, attack, binning=whole.binning, seed=1)
    out = run_processor(runner, fileset, processor)
    return whole.fooling_ratio, out["sums"].fooling_ratio


@pytest.mark.torch
def test_all_events_at_once_are_fooled_more_than_chunks_of_fifty(tmp_path: Path, rng: np.random.Generator) -> None:
    labels = rng.integers(0, 2, 600)
    columns = {name: rng.normal(shift * labels, 1.0) for name, shift in (("a", 1.0), ("b", 0.5), ("c", 0.0))}
    whole, chunks = _whole_and_chunks(_written(tmp_path, columns, labels), tuple(columns))
    assert whole > 3 * chunks


@pytest.mark.torch
def test_events_of_a_published_analysis_show_the_same(test_data: Path, tmp_path: Path) -> None:
    (path,) = (test_data / "higgsml2014").glob("*.csv.gz")
    frame = pd.read_csv(path, nrows=1500)
    inputs = ("DER_mass_vis", "DER_mass_transverse_met_lep", "DER_pt_h", "PRI_tau_pt", "PRI_lep_pt", "PRI_met")
    labels = (frame["Label"] == "s").to_numpy(dtype=np.int64)
    fileset = _written(tmp_path, {name: frame[name].to_numpy() for name in inputs}, labels)
    whole, chunks = _whole_and_chunks(fileset, inputs)
    assert whole > 3 * chunks
