# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import subprocess
import sys
from typing import Any

import awkward as ak
import numpy as np
import pytest

from hepfool.attacks import CONSERVAttack
from hepfool.events import UNLABELLED
from hepfool.exceptions import LowStatisticsWarning
from hepfool.features import Derived, Feature
from hepfool.models import CallableClassifier, FiniteDifference
from hepfool.processors import attack_collected, collect, table_of
from hepfool.validation import Marginals, Validation
from tests.toy_analysis import Logistic, Push

CUTS = {"trigger": [True, True, False, True], "low": [True, False, True, False], "b": [False, True, False, False]}


class Cuts:
    """What a PackedSelection offers."""

    names = tuple(CUTS)

    def all(self, *names: str) -> Any:
        return np.logical_and.reduce([CUTS[name] for name in names or self.names])


class Scales:
    """What coffea's Weights offer."""

    variations = frozenset({"pileupUp", "pileupDown"})

    def weight(self, modifier: str | None = None) -> Any:
        return {None: 1.0, "pileupUp": 2.0, "pileupDown": 0.5}[modifier] * np.arange(1.0, 5.0)


def chunk(start: int = 0, stop: int = 4, dataset: str = "ttbar", file: str = "a.root", **more: Any) -> dict[str, Any]:
    return {"dataset": dataset, "filename": file, "entrystart": start, "entrystop": stop, **more}


INPUTS = {"met": [30.0, 50.0, 70.0, 90.0], "pt": [1.0, 2.0, 3.0, 4.0]}


def column(name: str, **options: Any) -> list[float]:
    inputs = options.pop("inputs", INPUTS)
    found: list[float] = table_of(collect(chunk(), inputs, **options)).column(name).tolist()
    return found


def test_regions_are_cuts_by_name_masks_or_intervals_and_may_overlap() -> None:
    regions = {
        "low": "control",
        "both": ("validation", "trigger", ("b",)),
        "mask": ("signal", np.array([False, False, False, True])),
        "met": ("control", "trigger", {"met": (None, 50)}),
    }
    table = table_of(collect(chunk(), INPUTS, label=1, selection=Cuts(), regions=regions))
    assert table.column("met").tolist() == [30.0, 50.0, 70.0, 90.0]
    assert {region.name: region.mask.tolist() for region in table.regions} == {
        "low": [True, False, True, False],
        "both": [False, True, False, False],
        "mask": [False, False, False, True],
        "met": [True, False, False, False],
    }
    assert [region.role for region in table.regions] == ["control", "validation", "signal", "control"]
    assert table.region("met").cuts == {"met": (-np.inf, 50)}


def test_events_outside_of_all_regions_are_left_out() -> None:
    assert column("met", label=1, selection=Cuts(), regions={"low": "control"}) == [30.0, 70.0]


def test_without_regions_the_selection_decides() -> None:
    assert column("met", selection=Cuts()) == []
    assert column("met", selected=[True, False, True, True]) == [30.0, 70.0, 90.0]


def test_columns_of_all_events_are_cut_down_to_the_selected_ones() -> None:
    passed = np.array([True, True, False, True])
    inputs = {"met": np.array(INPUTS["met"])[passed], "pt": INPUTS["pt"]}
    found = collect(
        chunk(),
        inputs,
        label=0,
        weights=Scales(),
        selected="trigger",
        selection=Cuts(),
        regions={"low": "control"},
        era="2018",
    )
    table = table_of(found)
    assert table.values.tolist() == [[30.0, 1.0]]
    assert (table.weights.tolist(), table.spectators["era"].tolist()) == ([1.0], ["2018"])


def test_variations_of_weights_and_inputs() -> None:
    found = collect(
        chunk(),
        INPUTS,
        label=0,
        weights=Scales(),
        weight_variations=True,
        variations={"jes_up": {"pt": [2.0, 3.0, 4.0, 5.0]}},
    )
    other = collect(chunk(dataset="qcd", file="b.root"), INPUTS, label=1, weights=[1.0, 1.0, 1.0, 3.0])
    table = table_of(found + other)
    assert table.datasets == ("qcd", "ttbar")
    assert table.weights.tolist() == [1.0, 1.0, 1.0, 3.0, 1.0, 2.0, 3.0, 4.0]
    assert table.weight_variations["pileup_up"].tolist() == [1.0, 1.0, 1.0, 3.0, 2.0, 4.0, 6.0, 8.0]
    assert table.shape_variations["jes_up"][:, 0].tolist() == 2 * INPUTS["met"]
    assert table.shape_variations["jes_up"][:, 1].tolist() == [1.0, 2.0, 3.0, 4.0, 2.0, 3.0, 4.0, 5.0]
    named = table_of(
        collect(chunk(), INPUTS, weights=Scales(), weight_variations={"own_up": Scales().weight("pileupUp")})
    )
    assert list(named.weight_variations) == ["own_up"]
    assert table_of(collect(chunk(), INPUTS, weights=Scales())).weight_variations == {}


def test_missing_values_come_as_none_and_lists_are_refused() -> None:
    met = ak.Array([30.0, None, 70.0, 90.0])
    table = table_of(collect(chunk(), {**INPUTS, "met": met}, sentinel=-9.0))
    assert table.missing[:, 0].tolist() == [False, True, False, False]
    assert table.network_values[1, 0] == -9.0
    assert np.isnan(column("met", inputs={**INPUTS, "met": met}, selected=[False, True, True, False])).tolist() == [
        True,
        False,
    ]
    with pytest.raises(ValueError, match="pick one object per event"):
        collect(chunk(), {**INPUTS, "met": ak.Array([[1.0], [], [2.0], [3.0]])})


def test_data_stay_blind_in_signal_regions() -> None:
    regions = {"low": "control", "b": "signal"}
    assert column("met", selection=Cuts(), regions=regions) == [30.0, 70.0]
    assert column("met", selection=Cuts(), regions=regions, unblind=True) == [30.0, 50.0, 70.0]
    assert column("met", selection=Cuts(), regions=regions, label=0) == [30.0, 50.0, 70.0]
    mixed = table_of(collect(chunk(), INPUTS, label=[0, UNLABELLED, 0, 0], selection=Cuts(), regions=regions))
    assert mixed.column("met").tolist() == [30.0, 70.0]


def test_features_are_declared_and_follow_from_others() -> None:
    features = [
        Feature(name="pt", unit="GeV", lower=0.0),
        Feature(name="met", unit="GeV"),
        Feature(name="ratio", derived=Derived(["pt", "met"], np.divide)),
    ]
    ratio = np.divide(INPUTS["pt"], INPUTS["met"])
    table = table_of(collect(chunk(), {**INPUTS, "ratio": ratio}, features=features))
    assert table.features.names == ("pt", "met", "ratio")
    assert table.features[0].lower == 0.0
    with pytest.raises(ValueError, match="columns pt are not features"):
        collect(chunk(), INPUTS, features=["met"])


@pytest.mark.parametrize(
    ("others", "rule"),
    [
        ([chunk()], "entries 0 to 4 and 0 to 4 of .*a.root in ttbar overlap"),
        ([chunk(2, 6)], "entries 0 to 4 and 2 to 6"),
        ([chunk(dataset="qcd", start=4, stop=8)], "is in the datasets qcd, ttbar"),
        ([chunk(file="./a.root")], "overlap"),
        ([chunk(file="b.root", fileuuid=b"\x01"), chunk(4, 8, fileuuid=b"\x01")], "copies of one file"),
    ],
    ids=["twice", "overlap", "two datasets", "two names", "copies"],
)
def test_no_event_counts_twice(others: list[dict[str, Any]], rule: str) -> None:
    found = collect(chunk(), INPUTS, label=1)
    for other in others:
        found += collect(other, INPUTS, label=1)
    with pytest.raises(ValueError, match=rule):
        table_of(found)


def test_neighbours_and_empty_chunks_are_not_counted_twice() -> None:
    empty: dict[str, list[float]] = {name: [] for name in INPUTS}
    found = collect(chunk(4, 8), INPUTS, label=1) + collect(chunk(), INPUTS, label=1)
    for _ in range(2):
        found += collect(chunk(2, 2), empty, label=1)
    assert table_of(found).n_events == 8


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"metadata": {"dataset": "ttbar"}}, "metadata do not hold filename, entrystart, entrystop"),
        ({"inputs": np.ones((4, 2))}, "without named columns"),
        ({"weights": [1.0]}, "weights has 1 entries for 4 events"),
        ({"weights": [1.0], "weight_variations": True}, "takes them from coffea's Weights"),
        ({"regions": {"low": "control"}}, r"there is no cut 'low'; selection= has none"),
        ({"regions": {"lw": "control"}, "selection": Cuts()}, r"no cut 'lw'; selection= has trigger, low, b"),
        ({"regions": {"all": ("control", [True] * 4)}, "selection": Cuts()}, "selection has no effect"),
        ({"regions": {"low": ("sideband", "low")}, "selection": Cuts()}, "role 'sideband' is unknown"),
        ({"regions": {"low": ("control", [1, 0, 1, 0])}}, "not True or False"),
        ({"variations": {"jes_up": {"jet": [1.0] * 4}}}, "columns jet are not features"),
        ({"label": "signal"}, "say which class it is"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], rule: str) -> None:
    given = {"metadata": chunk(), "inputs": INPUTS, "label": 1, **options}
    with pytest.raises(ValueError, match=rule):
        collect(given.pop("metadata"), given.pop("inputs"), **given)


def test_a_region_needs_a_role() -> None:
    with pytest.raises(TypeError, match="region 'low' has no role"):
        collect(chunk(), INPUTS, regions={"low": np.ones(4, dtype=bool)})


def test_what_cannot_be_attacked_is_said_in_one_sentence() -> None:
    three = {name: [float(k) for k in range(4)] for name in ("lepton_pt", "met", "jet_pt")}
    data, signal = collect(chunk(dataset="data", file="d.root"), three), collect(chunk(), three, label=1)
    nothing = collect(chunk(), three, label=1, selected=[False] * 4)
    for found, rule in (
        (nothing, "no event was collected among 4 read"),
        (data, "all 4 collected events are data"),
        (data + signal, "all collected simulation has the label 1"),
    ):
        with pytest.raises(ValueError, match=rule):
            attack_collected(found, Logistic(), Push())
    with pytest.raises(ValueError, match="Push keeps no validation"):
        attack_collected(signal, Logistic(), Push(), validation=object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"nothing was collected in \{\}"):
        table_of({})  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_a_validation_takes_the_place_of_the_attacks_own(rng: np.random.Generator) -> None:
    found = [
        collect(chunk(0, 200, str(k), f"{k}.root"), {"x": rng.normal(k, 1.0, 200), "y": rng.normal(size=200)}, label=k)
        for k in (0, 1)
    ]
    network = FiniteDifference(CallableClassifier(lambda x: 1.0 / (1.0 + np.exp(0.5 - x[:, 0]))), step=[0.1, 0.1])
    attack = CONSERVAttack(strategy="frugal", n_iterations=2)
    validation = Validation(inputs=Marginals(max_js_distance=0.05, n_bins=20), score=None, correlations=None)
    free, kept = (attack_collected(found[0] + found[1], network, attack, validation=v) for v in (None, validation))
    assert kept.compatibility.max_js_distance <= 0.05 < free.compatibility.max_js_distance
    assert kept.validation == validation


def test_a_negative_yield_is_warned_of() -> None:
    found = collect(chunk(), INPUTS, label=1, weights=[1.0, -2.0, 0.5, 0.0])
    with pytest.warns(LowStatisticsWarning, match="sum to -0.5"):
        table_of(found, scale={"ttbar": 1.0})


def test_neither_coffea_nor_awkward_is_needed() -> None:
    program = """
import sys
sys.modules.update(dict.fromkeys(["coffea", "awkward", "uproot", "torch"]))
import numpy as np
from hepfool.attacks import Noise
from hepfool.models.blackbox import CallableClassifier
from hepfool.models.blackbox import CallableClassifier, FiniteDifference
from hepfool.processors import attack_collected, collect
x = np.linspace(-1, 1, 200)
out = [
    collect({"dataset": str(k), "filename": f"{k}.root", "entrystart": 0, "entrystop": 200}, {"x": x + k}, label=k)
    for k in (0, 1)
]
network = CallableClassifier(lambda v: (v[:, 0] > 0.5).astype(float))
print(attack_collected(out[0] + out[1], network, Noise(size=0.3, n_bins=10)).fooling_ratio)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 0 < float(done.stdout) < 1
