# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from hepfool.attacks.base import run_attack
from hepfool.attacks.checks import leaving
from hepfool.attacks.stochastic import Noise
from hepfool.events import EventTable
from hepfool.studies.contributions import varied_mask
from hepfool.study.inputs import check_inputs
from hepfool.study.plan import EventsConfiguration, Study
from hepfool.study.sources import read_events
from tests.specimens import SineClassifier

Content = dict[str, NDArray[Any]]
N = 400


def write(path: Path, content: Content) -> Path:
    pyarrow.parquet.write_table(pa.table(content), path)
    return path


@pytest.fixture
def content(rng: np.random.Generator) -> Content:
    pt, met = rng.uniform(20.0, 100.0, size=(2, N))
    return {
        "pt": pt,
        "met": met,
        "ratio": np.round(pt / met, 4),
        "njets": rng.integers(0, 4, size=N),
        "event": np.arange(N),
        "signal": rng.integers(0, 2, size=N),
        "w": rng.uniform(0.5, 1.5, size=N),
        "pt_up": 1.05 * pt,
        "w_up": rng.uniform(0.5, 1.5, size=N),
        "w_down": rng.uniform(0.5, 1.5, size=N),
    }


@pytest.fixture
def read(tmp_path: Path, content: Content) -> Callable[..., EventTable]:
    files = [write(tmp_path / "mc.parquet", content)]
    features = ({"name": "pt", "unit": "GeV"}, "met", {"name": "ratio", "derived": "pt / met", "tolerance": 1e-4})

    def reader(**changes: Any) -> EventTable:
        given = {"files": files, "features": features, "label": "signal", "weight": "w", **changes}
        events = EventsConfiguration.model_validate(given)
        check_inputs(Study(output=tmp_path / "out", events=events))
        return read_events(events)

    return reader


def test_columns_in_place_of_others_are_variations(read: Callable[..., EventTable], content: Content) -> None:
    table = read(
        columns={"pt_down": "0.95 * pt"},
        variations={"jes": {"pt": ["pt_up", "pt_down"]}, "pileup": {"w": ["w_up", "w_down"]}, "met": {"met": "pt_up"}},
    )
    assert list(table.shape_variations) == ["jes_up", "jes_down", "met"]
    up, down = table.variation("jes_up"), table.variation("jes_down")
    np.testing.assert_allclose(up.column("pt"), content["pt_up"])
    np.testing.assert_allclose(down.column("pt"), 0.95 * content["pt"])
    np.testing.assert_array_equal(up.column("met"), content["met"])
    np.testing.assert_allclose(up.column("ratio"), content["pt_up"] / content["met"])
    np.testing.assert_array_equal(table.weight_variations["pileup_down"], content["w_down"])


def test_a_derived_feature_is_taken_from_the_file_or_computed(
    read: Callable[..., EventTable], content: Content
) -> None:
    np.testing.assert_array_equal(read().column("ratio"), content["ratio"])
    features = ("pt", "met", {"name": "total", "derived": "pt + met"})
    table = read(features=features)
    np.testing.assert_array_equal(table.column("total"), content["pt"] + content["met"])
    result = run_attack(
        Noise(size=0.05), SineClassifier(np.ones(3), np.full(3, 60.0)), table, rng=np.random.default_rng(1)
    )
    moved = result.adversarial
    assert (moved.column("pt") != table.column("pt")).any()
    np.testing.assert_allclose(moved.column("total"), moved.column("pt") + moved.column("met"))


def test_what_follows_from_an_angle_that_the_file_rounds_beyond_pi_follows_from_the_angle_in_the_table(
    tmp_path: Path, content: Content
) -> None:
    phi = np.where(content["event"] == 0, -3.142, 0.5)
    features = ({"name": "phi", "kind": "angle"}, "pt", {"name": "py", "derived": "pt * sin(phi)"})
    files = [write(tmp_path / "angles.parquet", content | {"phi": phi})]
    given = {"files": files, "features": features, "label": "signal", "weight": "w"}
    table = read_events(EventsConfiguration.model_validate(given))
    assert table.column("phi")[0] == -np.pi
    np.testing.assert_array_equal(table.features.derive(table.values, 2), table.column("py"))


def test_a_weight_can_be_computed_and_varied_by_one_of_its_factors(
    read: Callable[..., EventTable], content: Content
) -> None:
    table = read(columns={"full": "w * w_up"}, weight="full", variations={"btag": {"w_up": ["w_down", "w_up"]}})
    np.testing.assert_allclose(table.weights, content["w"] * content["w_up"])
    np.testing.assert_allclose(table.weight_variations["btag_up"], content["w"] * content["w_down"])


def test_regions_cut_on_any_column(read: Callable[..., EventTable], content: Content) -> None:
    table = read(
        columns={"sum": "pt + met", "double": "2 * njets"},
        regions={
            "sr": {"role": "signal", "cuts": {"sum": [100.0, None], "njets": [2, None]}},
            "cr": {"role": "control", "cuts": {"sum": [None, 100.0]}},
            "vr": {"role": "validation", "cuts": {"double": [None, 4], "pt": [50.0, None]}},
        },
    )
    total = content["pt"] + content["met"]
    np.testing.assert_array_equal(table.region("sr").mask, (total >= 100.0) & (content["njets"] >= 2))
    np.testing.assert_array_equal(table.region("vr").mask, (content["njets"] < 2) & (content["pt"] >= 50.0))
    assert table.region("vr").select is None
    assert table.region("vr").cuts == {"pt": (50.0, np.inf)}
    assert set(table.spectators) == {"sum", "njets", "double"}


def test_attacked_events_stay_on_their_side_of_a_computed_cut(read: Callable[..., EventTable]) -> None:
    table = read(
        features=("pt", "met"),
        columns={"sum": "pt + met"},
        variations={"jes": {"pt": "pt_up"}},
        regions={
            "sr": {"role": "signal", "cuts": {"sum": [100.0, None], "njets": [2, None]}},
            "cr": {"cuts": {"sum": [None, 100.0]}},
        },
    )
    shifted = table.values + 20.0
    crossing = (table.values.sum(axis=1) < 100.0) & (shifted.sum(axis=1) >= 100.0)
    assert 10 < crossing.sum() < N - 10
    np.testing.assert_array_equal(leaving(table, shifted), crossing)
    result = run_attack(
        Noise(size=0.3), SineClassifier(np.ones(2), np.full(2, 60.0)), table, rng=np.random.default_rng(1)
    )
    assert not leaving(table, result.adversarial.values).any()
    assert (result.adversarial.values != table.values).any()
    # Events migrate where the whole selection follows from features.
    varied = table.variation("jes").values
    np.testing.assert_array_equal(varied_mask(table.region("cr"), table, varied), varied.sum(axis=1) < 100.0)
    np.testing.assert_array_equal(varied_mask(table.region("sr"), table, varied), table.region("sr").mask)


def test_variations_come_from_files_of_the_same_events(
    read: Callable[..., EventTable], content: Content, tmp_path: Path
) -> None:
    up = write(
        tmp_path / "up.parquet",
        {**content, "met": 1.1 * content["met"], "ratio": content["pt"] / (1.1 * content["met"])},
    )
    heavy = write(tmp_path / "heavy.parquet", {**content, "w": 2.0 * content["w"]})
    table = read(variation_files={"tes_up": [up], "norm_up": [heavy]}, spectators=["event"])
    np.testing.assert_allclose(table.shape_variations["tes_up"][:, 1], 1.1 * content["met"])
    np.testing.assert_allclose(table.weight_variations["norm_up"], 2.0 * content["w"])
    for change, message in (
        ({name: column[1:] for name, column in content.items()}, "tes_up holds 399 events, not 400"),
        ({**content, "event": content["event"][::-1]}, "tes_up holds another event"),
        ({**content, "w": 2.0 * content["w"], "met": 1.1 * content["met"]}, "other features and other weights"),
    ):
        bad = write(tmp_path / "bad.parquet", change)
        with pytest.raises(ValueError, match=message):
            read(variation_files={"tes_up": [bad]}, spectators=["event"])


def test_data_have_regions_and_no_label_weight_or_variation(
    read: Callable[..., EventTable], content: Content, tmp_path: Path
) -> None:
    data = write(tmp_path / "data.parquet", {name: content[name] for name in ("pt", "met", "ratio", "njets")})
    table = read(
        data_files=[data],
        columns={"sum": "pt + met", "full": "w * w_up"},
        weight="full",
        variations={"jes": {"pt": ["pt_up", "pt"]}},
        regions={"cr": {"cuts": {"sum": [None, 100.0], "njets": [1, None]}}},
    )
    assert (table.labels == -1).sum() == N
    measured = table.select(table.labels == -1)
    np.testing.assert_array_equal(measured.shape_variations["jes_up"], measured.values)
    assert (measured.weights == 1.0).all()
    assert 10 < measured.region("cr").mask.sum() < N - 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"variations": {"jes": {"njets": "pt_up"}}},
            "'jes' replaces njets, on which neither a feature nor the weight",
        ),
        ({"variations": {"jes": {"pt": "pt_up", "w": "w_up"}}}, "on which both the weight and features depend"),
        ({"variations": {"jes": {"pt": ["pt_up", "pt"], "met": "pt"}}}, "give every column one other, or two"),
        ({"variations": {"jes": {}}}, "'jes' replaces nothing"),
        ({"variations": {"jes": {"pt": ["pt_up", "pt_don"]}}}, "has no column 'pt_don'; did you mean w_down, pt_up"),
        ({"columns": {"mt": "pt + met"}}, "column=mt has no effect"),
        ({"columns": {"mt": "pt + mass"}, "spectators": ["mt"]}, "has no column 'mass'"),
        (
            {"columns": {"a": "pt + met", "b": "2 * a"}, "spectators": ["a", "b"]},
            "'b' takes 'a', which is computed itself",
        ),
        (
            {"columns": {"truth": "njets + 0"}, "label": "truth", "spectators": ["truth"]},
            "label 'truth' is a computed column",
        ),
        ({"columns": {"event": "njets + 0"}, "spectators": ["event"]}, "'event' is computed, but the files hold"),
        ({"columns": {"x": "sqrt(pt - 60)"}, "spectators": ["x"]}, "gives nan in"),
        (
            {"columns": {"x": "pt + njets"}, "regions": {"cr": {"cuts": {"x": [50, None]}}}},
            "cr cuts on 'x', which takes features and 'njets', .* make njets a feature of kind fixed",
        ),
        ({"features": ("pt", {"name": "met", "tolerance": 1.0})}, "tolerance has no effect without derived"),
        ({"features": ("pt", {"name": "total", "derived": "pt + met"})}, "total is derived from met, which is absent"),
    ],
)
def test_layouts_that_mean_nothing_are_refused(
    change: dict[str, Any], message: str, read: Callable[..., EventTable]
) -> None:
    with pytest.raises(ValueError, match=message):
        read(**change)


def test_the_number_pi_is_not_taken_for_a_column(
    read: Callable[..., EventTable], content: Content, tmp_path: Path
) -> None:
    table = read(columns={"turn": "2 * pi + 0 * pt"}, spectators=["turn"])
    np.testing.assert_allclose(table.spectators["turn"], 2 * np.pi)
    files = [write(tmp_path / "pi.parquet", {**content, "pi": content["pt"]})]
    with pytest.raises(ValueError, match="the files hold a column 'pi'"):
        read(files=files, columns={"turn": "2 * pi + 0 * pt"}, spectators=["turn"])
