# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import pickle
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, ProcessorABC, Runner, accumulate

from hepfool.events import UNLABELLED, EventTable, Region
from hepfool.exceptions import IncompleteInputError, LowStatisticsWarning
from hepfool.processors._digest import digest
from hepfool.processors.chunk import attack_table
from hepfool.processors.completeness import check_complete, run_processor
from hepfool.processors.passes import RangeProcessor
from hepfool.processors.processor import AttackProcessor, ChunkProcessor
from hepfool.statistics.marginals import Binning


@pytest.fixture(autouse=True)
def _small_samples() -> Iterator[None]:
    """Let toy samples be small."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowStatisticsWarning)
        yield


def _runner(chunksize: int = 100, **options: Any) -> Runner:
    executor = IterativeExecutor(status=False, retries=0)
    return Runner(executor, schema=BaseSchema, chunksize=chunksize, metadata_cache={}, **options)


@pytest.fixture
def binning(analysis: Any, toy_fileset: dict[str, Any]) -> Binning:
    ranges: Binning = run_processor(_runner(), toy_fileset, RangeProcessor(analysis))["ranges"].binning(20)
    return ranges


def _chunked(analysis: Any, classifier: Any, attack: Any, binning: Binning, **options: Any) -> ChunkProcessor:
    return ChunkProcessor(analysis, classifier, attack, binning=binning, **options)


def test_attack_of_all_events_does_not_depend_on_the_chunk_size(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any
) -> None:
    processor = AttackProcessor(analysis, classifier, attack, seed=3)
    outputs = [run_processor(_runner(n), toy_fileset, processor) for n in (70, 1000)]
    assert digest(outputs[0], digits=15) == digest(outputs[1], digits=15)
    np.testing.assert_array_equal(*(out["result"].adversarial.values for out in outputs))
    result = outputs[0]["result"]
    sums = outputs[0]["sums"]
    merged = sums.compatibility()
    np.testing.assert_allclose(merged.js_distance, result.compatibility.js_distance, atol=1e-12)
    assert merged.correlation_shift == pytest.approx(result.compatibility.correlation_shift, rel=1e-9)
    assert result.fooling_ratio > 0
    assert sums.counts().n_fooled == result.counts().n_fooled
    assert sums.counts(dataset="collisions").n_events == 0


def test_attack_of_chunks_passes_nominal_and_systematics_through_unchanged(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, binning: Binning
) -> None:
    whole = run_processor(_runner(), toy_fileset, AttackProcessor(analysis, classifier, attack, binning=binning))
    processor = _chunked(analysis, classifier, attack, binning)
    for chunksize in (50, 1000):
        out = run_processor(_runner(chunksize), toy_fileset, processor)
        for variation in ("nominal", "jet_energy_up", "pileup_up"):
            where = {"variation": variation, "region": "low_met", "dataset": "background"}
            for name in analysis.features.names:
                found, expected = (o["sums"].histogram(name)[where].view(flow=True)["value"] for o in (out, whole))
                np.testing.assert_allclose(found, expected)
            found, expected = (o["sums"].scores()[where].values() for o in (out, whole))
            np.testing.assert_allclose(found, expected)
        for dataset in ("signal", "background"):
            of = {"dataset": dataset, "region": "all", "variation": "nominal"}
            found, expected = (o["sums"].total("moments", **of) for o in (out, whole))
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)
        for key in ("n_events", "processed"):
            assert out[key] == whole[key]
        # Flips are those of the attacked events.
        found, expected = (o["sums"].counts(variation="jet_energy_up") for o in (out, whole))
        missed = sum(counts["n_events"] for counts in out["not_attacked"].values())
        assert found.n_events == expected.n_events
        assert found.n_attacked + missed == expected.n_attacked
        assert found.n_fooled <= expected.n_fooled
        assert missed or astuple(found) == pytest.approx(astuple(expected))


def test_first_pass_gives_the_bins_of_all_events(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, binning: Binning
) -> None:
    out = run_processor(_runner(), toy_fileset, AttackProcessor(analysis, classifier, attack))
    np.testing.assert_array_equal(out["result"].binning.edges, binning.edges)


def test_data_are_never_attacked_and_their_signal_region_stays_blinded(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, binning: Binning
) -> None:
    for processor in (AttackProcessor(analysis, classifier, attack), _chunked(analysis, classifier, attack, binning)):
        out = run_processor(_runner(), toy_fileset, processor)
        data = out["sums"].histogram("met")[{"dataset": "collisions", "variation": "data"}]
        assert data["high_met", :].sum().value == 0
        assert data["low_met", :].sum().value > 0
        assert data["all", :].sum() == data["low_met", :].sum()
        assert out["sums"].attacked_datasets == ("background", "signal")
    unblinded = run_processor(_runner(), toy_fileset, AttackProcessor(analysis, classifier, attack, unblind=True))
    data = unblinded["sums"].histogram("met")[{"dataset": "collisions", "variation": "data"}]
    assert data["high_met", :].sum().value > 0


def test_attack_of_chunks_needs_bins_and_says_how_to_get_them(analysis: Any, classifier: Any, attack: Any) -> None:
    with pytest.raises(ValueError, match="run RangeProcessor"):
        ChunkProcessor(analysis, classifier, attack)


def test_small_chunks_are_warned_about_in_the_driver(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, binning: Binning
) -> None:
    with pytest.warns(LowStatisticsWarning, match=r"3 of 3 chunks have fewer than 20000 constrained"):
        run_processor(_runner(1000), toy_fileset, _chunked(analysis, classifier, attack, binning))


def test_nothing_selected_is_an_error_with_the_number_of_events_read(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any
) -> None:
    with pytest.raises(ValueError, match="no labelled event was selected among 1200 read"):
        run_processor(_runner(), toy_fileset, AttackProcessor(type(analysis)(min_pt=1e6), classifier, attack))


def test_a_processor_is_sent_to_workers_without_its_network(analysis: Any, classifier: Any, attack: Any) -> None:
    import cloudpickle

    sent = pickle.loads(cloudpickle.dumps(AttackProcessor(analysis, classifier, attack)))
    assert sent.plan is None
    with pytest.raises(ValueError, match="without its network"):
        sent.postprocess({"tables": {}})


def _table(label: int = 1, n: int = 60) -> EventTable:
    values = np.random.default_rng(1).exponential(60.0, (n, 3))
    regions = (Region("low_met", values[:, 1] < 40.0, "control", {"met": (0.0, 40.0)}),)
    return EventTable.from_arrays(
        values, features=["lepton_pt", "met", "jet_pt"], labels=np.full(n, label), dataset="tt", regions=regions
    )


def test_chunks_without_anything_to_attack_stay_nominal(classifier: Any, attack: Any) -> None:
    binning = Binning.uniform(_table(), n_bins=20)
    unconstrained = _table().select(~_table().constrained)
    for table in (unconstrained, _table(n=0), _table(label=UNLABELLED)):
        metadata = {"dataset": "tt", "filename": "tt.root", "entrystart": 0, "entrystop": 100}
        out = attack_table(table, classifier, attack, binning=binning, metadata=metadata)
        assert out["sums"].counts().n_fooled == 0
        assert out["n_events"] == {"tt": {"tt.root": table.n_events}}
        accumulate([out, attack_table(_table(), classifier, attack, binning=binning, metadata=metadata)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"weights": np.full(60, -1.0)}, "the weights of the constrained events do not sum to a positive number"),
        ({"weights": np.zeros(60)}, "the weights of the constrained events do not sum to a positive number"),
        (
            {"weights": np.where(np.arange(60) == 0, 1e18, 1.0)},
            "one constrained event outweighs all others to rounding",
        ),
        ({"weights": np.full(60, 1e-300)}, "the squares of the weights leave the range of numbers"),
        ({"regions": ()}, "no event lies in a control or validation region"),
    ],
)
def test_a_chunk_without_usable_sums_is_counted_with_its_reason(
    classifier: Any, attack: Any, change: dict[str, Any], reason: str
) -> None:
    sound, binning = _table(), Binning.uniform(_table(), n_bins=20)
    if "regions" in change:
        change = {"regions": (replace(sound.regions[0], role="signal"),)}
    wanted = int((classifier.predict(sound.network_values) == sound.labels).sum())
    with pytest.warns(LowStatisticsWarning, match=f"{wanted} events in 1 chunks were not attacked: {reason}"):
        out = attack_table(replace(sound, **change), classifier, attack, binning=binning)
    assert out["not_attacked"] == {reason: {"n_events": wanted, "n_chunks": 1}}
    assert [out["sums"].counts(region).n_attacked for region in ("low_met", "constrained", "all")] == [0, 0, 0]
    assert out["sums"].counts().n_events == 60
    if "regions" in change:
        return  # sums of other regions are not added
    both = accumulate([out, attack_table(sound, classifier, attack, binning=binning)])
    assert both["sums"].counts().n_attacked == wanted
    assert both["not_attacked"] == out["not_attacked"]


@dataclass(frozen=True)
class Signed:
    """An analysis with the weights of a generator at next-to-leading order."""

    analysis: Any
    branches: Any = None

    @property
    def features(self) -> Any:
        return self.analysis.features

    def build(self, found: Any) -> EventTable:
        table: EventTable = self.analysis.build(found)
        return replace(table, weights=np.where(np.arange(table.n_events) % 5 < 2, -1.0, 1.0), weight_variations={})


def test_small_chunks_of_signed_weights_are_attacked_or_counted(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, binning: Binning
) -> None:
    whole = run_processor(_runner(), toy_fileset, AttackProcessor(analysis, classifier, attack, binning=binning))
    wanted = whole["result"].counts().n_attacked
    with pytest.warns(LowStatisticsWarning, match=r"events in \d+ chunks were not attacked: .* raise chunksize"):
        out = run_processor(_runner(14), toy_fileset, _chunked(Signed(analysis), classifier, attack, binning))
    attacked = out["sums"].counts().n_attacked
    missed = sum(counts["n_events"] for counts in out["not_attacked"].values())
    assert attacked > 0
    assert missed > 0
    assert attacked + missed == wanted


@pytest.mark.parametrize("n_events", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", range(6))
def test_chunks_of_a_few_events_of_either_sign_never_raise(
    classifier: Any, attack: Any, n_events: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    few = _table().select(rng.choice(60, size=n_events, replace=False))
    table = replace(few, weights=rng.choice([-1.0, 1.0, 0.0], size=n_events))
    table = replace(
        table, values=np.where(np.arange(3) == 2, 50.0, table.values), missing=np.zeros((n_events, 3), bool)
    )
    out = attack_table(table, classifier, attack, binning=Binning.uniform(_table(), n_bins=20))
    missed = sum(counts["n_events"] for counts in out["not_attacked"].values())
    wanted = int((classifier.predict(table.network_values) == table.labels).sum())
    assert missed + out["sums"].counts().n_attacked == wanted


def test_random_numbers_follow_from_seed_file_and_entries_not_from_the_folder(classifier: Any, attack: Any) -> None:
    table = _table()
    binning = Binning.uniform(table, n_bins=20)
    base = {"dataset": "tt", "filename": "/a/tt.root", "entrystart": 0, "entrystop": 100}

    def moved(seed: int = 0, **changes: Any) -> Any:
        out = attack_table(table, classifier, attack, binning=binning, metadata={**base, **changes}, seed=seed)
        return out["sums"].total("moments", region="all", variation="adversarial").tolist()

    assert moved() == moved() == moved(filename="/elsewhere/tt.root")
    different = [moved(seed=1), moved(dataset="st"), moved(filename="/a/t2.root"), moved(entrystart=1), moved()]
    assert len({tuple(mean) for mean in different}) == 5


class ExistingProcessor(ProcessorABC):  # type: ignore[misc]
    """A processor of the user's own, with the attack in one line."""

    def __init__(self, analysis: Any, classifier: Any, attack: Any, binning: Binning) -> None:
        self.parts = analysis, classifier, attack, binning

    def process(self, events: Any) -> dict[str, Any]:
        analysis, classifier, attack, binning = self.parts
        table = analysis.build(events)
        attacked = attack_table(table, classifier, attack, binning=binning, metadata=events.metadata, seed=3)
        return {"cutflow": {"selected": table.n_events}, "attack": attacked}


def test_attack_table_in_an_existing_processor_gives_the_same(
    toy_fileset: dict[str, Any], analysis: Any, classifier: Any, attack: Any, binning: Binning
) -> None:
    theirs = _runner()(toy_fileset, ExistingProcessor(analysis, classifier, attack, binning), treename="Events")
    ours = run_processor(_runner(), toy_fileset, _chunked(analysis, classifier, attack, binning, seed=3))
    assert digest(theirs["attack"]) == digest(ours)
    assert theirs["cutflow"]["selected"] == sum(sum(files.values()) for files in ours["n_events"].values())


# Incomplete input


def _with_bad_file(toy_fileset: dict[str, Any], folder: Path, damage: str) -> tuple[dict[str, Any], Path]:
    good = [Path(name) for name in toy_fileset["signal"]["files"]]
    bad = folder / "bad.root"
    if damage == "missing":
        pass
    elif damage == "no_tree":
        with uproot.recreate(bad) as file:
            file.mktree("Other", {"x": "f8"}).extend({"x": np.ones(3)})
    else:
        shutil.copy(good[0], bad)
        bad.write_bytes(bad.read_bytes()[: bad.stat().st_size * 2 // 3])
    return {**toy_fileset, "signal": {**toy_fileset["signal"], "files": [str(f) for f in (*good, bad)]}}, bad


@pytest.mark.faults
@pytest.mark.parametrize("damage", ["missing", "truncated", "no_tree"])
@pytest.mark.parametrize("skip", [False, True, (Exception,)])
@pytest.mark.filterwarnings("ignore:Skipping bad file")
def test_a_bad_file_among_many_is_named(
    toy_fileset: dict[str, Any], tmp_path: Path, analysis: Any, classifier: Any, attack: Any, damage: str, skip: Any
) -> None:
    fileset, bad = _with_bad_file(toy_fileset, tmp_path, damage)
    with pytest.raises(IncompleteInputError) as caught:
        run_processor(_runner(skipbadfiles=skip), fileset, AttackProcessor(analysis, classifier, attack))
    message = str(caught.value)
    assert str(bad) in message
    assert "copy these files again" in message
    assert all(name not in message for name in toy_fileset["signal"]["files"])


class _Fails(ProcessorABC):  # type: ignore[misc]
    """Skipped by the runner as if the file were bad."""

    def process(self, events: Any) -> dict[str, Any]:
        metadata = events.metadata
        if metadata["filename"].endswith("signal_1.root") and metadata["entrystart"] > 0:
            msg = "model.pt is missing on this worker"
            raise FileNotFoundError(msg)
        n = metadata["entrystop"] - metadata["entrystart"]
        return {"processed": {metadata["dataset"]: {metadata["filename"]: n}}}


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:Skipping bad file")
def test_chunks_that_the_runner_skips_are_counted(toy_fileset: dict[str, Any]) -> None:
    with pytest.raises(IncompleteInputError, match=r"signal_1.root: 100 of 300 events .* 200 are missing"):
        run_processor(_runner(skipbadfiles=True), toy_fileset, _Fails())


def test_a_mistake_in_the_analysis_is_not_blamed_on_the_files(toy_fileset: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"model\.pt is missing"):
        run_processor(_runner(), toy_fileset, _Fails())


def test_a_run_limited_by_maxchunks_is_complete(toy_fileset: dict[str, Any], analysis: Any) -> None:
    out = run_processor(_runner(maxchunks=1), toy_fileset, RangeProcessor(analysis))
    assert sum(sum(files.values()) for files in out["processed"].values()) == 300


def test_complete_input_passes() -> None:
    check_complete({"tt": {"a.root": 3, "b.root": 0}}, {"processed": {"tt": {"a.root": 3}}})
