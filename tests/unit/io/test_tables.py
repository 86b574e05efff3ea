# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import uproot
from numpy.typing import NDArray

from hepfool.events import EventTable, Region
from hepfool.exceptions import UnreadableFileError
from hepfool.features import Feature
from hepfool.io import open_partitions, read_histograms, read_store, read_table, write_table
from hepfool.models import load_torch

Content = dict[str, NDArray[Any]]
FEATURES = ["pt", "eta"]


def write_tree(path: Path, content: Content) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Events", content)


def write_rntuple(path: Path, content: Content) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", content)


def write_parquet(path: Path, content: Content) -> None:
    pyarrow.parquet.write_table(pa.table(content), path)


def write_csv(path: Path, content: Content) -> None:
    data = "\n".join([",".join(content), *(",".join(map(str, row)) for row in zip(*content.values(), strict=True))])
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data.encode()))
    else:
        path.write_text(data)


WRITERS: dict[str, tuple[str, Callable[[Path, Content], None]]] = {
    "tree": ("a.root", write_tree),
    "rntuple": ("a.root", write_rntuple),
    "parquet": ("a.parquet", write_parquet),
    "csv": ("a.csv", write_csv),
    "csv.gz": ("a.csv.gz", write_csv),
}


@pytest.fixture
def content() -> Content:
    return {
        "pt": np.array([30.5, 20.25, -999.0, 40.0]),
        "eta": np.array([0.5, -1.5, 2.0, 0.0]),
        "truth": np.array([1, 0, 0, 1]),
        "w": np.array([0.5, -0.5, 1.0, 2.0]),
        "run": np.array([1, 1, 2, 2]),
    }


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_events(kind: str, tmp_path: Path, content: Content) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, content)
    table = read_table(
        tmp_path / name, features=FEATURES, label="truth", weight="w", missing_value=-999.0, spectators=["run"]
    )
    assert table.features.names == ("pt", "eta")
    np.testing.assert_array_equal(table.network_values, np.stack([content["pt"], content["eta"]], axis=1))
    assert np.argwhere(table.missing).tolist() == [[2, 0]]
    assert table.labels.tolist() == [1, 0, 0, 1]
    assert table.weights.tolist() == [0.5, -0.5, 1.0, 2.0]
    assert table.spectators["run"].tolist() == [1, 1, 2, 2]
    assert table.datasets == ("a",)


def test_several_files_and_patterns_are_joined_in_order(tmp_path: Path, content: Content) -> None:
    for name in ("b2.csv", "b1.csv", "signal.csv"):
        write_csv(tmp_path / name, content)
    table = read_table(
        [tmp_path / "signal.csv", str(tmp_path / "b?.csv")],
        features=FEATURES,
        missing_value=-999.0,
        classes={"signal": 1, "b1": 0, "b2": 0},
    )
    assert [table.datasets[i] for i in table.dataset_index] == ["signal"] * 4 + ["b1"] * 4 + ["b2"] * 4
    assert table.labels.tolist() == [1] * 4 + [0] * 8


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["s", "b", "b", "s"], None, [1, 0, 0, 1]),
        (["Sig", "ttbar", "ttbar", "Sig"], None, [1, 0, 0, 1]),
        (["wjets", "ttbar", "qcd", "qcd"], None, [2, 1, 0, 0]),
        (["s", "b", "b", "s"], {"s": 0, "b": 1}, [0, 1, 1, 0]),
        ([1, -1, -1, 1], {"-1": 0, "1": 1}, [1, 0, 0, 1]),
        ([1.0, 0.0, 2.0, -1.0], None, [1, 0, 2, -1]),
    ],
)
def test_labels_become_classes(
    labels: list[Any], classes: dict[str, int] | None, expected: list[int], tmp_path: Path, content: Content
) -> None:
    write_parquet(tmp_path / "a.parquet", {**content, "truth": np.array(labels)})
    table = read_table(tmp_path / "a.parquet", features=FEATURES, label="truth", classes=classes, missing_value=-999.0)
    assert table.labels.tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pt": np.full(4, np.nan)}, "'pt' is missing in all 4 events"),
        ({"pt": np.full(4, 7.0)}, "'pt' is 7 in every event"),
        ({"pt": np.array(["a", "b", "c", "d"])}, "'pt' is text, not one number per event"),
        ({"eta": np.array([0.0, 1.0, np.inf, 2.0])}, "'eta' of event 2 is inf"),
        ({"w": np.array([1.0, np.nan, 1.0, 1.0])}, "1 event weights are not finite"),
        ({"truth": np.array([0.0, 0.5, 1.0, 1.0])}, "0.5 is not a class"),
        ({"truth": np.array([-1, 1, 1, -1])}, "count from 0"),
        ({"truth": pa.array([1, None, 0, 1])}, "label column 'truth': 1 are missing"),
        ({"truth": pa.array([True, None, False, True])}, "label column 'truth': 1 are missing"),
        ({"truth": pa.array(["s", None, "b", "s"])}, "label column 'truth': 1 are missing"),
        ({"w": pa.array([1, None, 1, 1])}, "weight column 'w': 1 of 4 are missing"),
        ({"eta": pa.array([2**53 + 1, 1, 2, 3])}, "9007199254740993, which double precision would round"),
    ],
)
def test_bad_content_is_refused(change: Content, message: str, tmp_path: Path, content: Content) -> None:
    write_parquet(tmp_path / "a.parquet", {**content, **change})
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "a.parquet", features=FEATURES, label="truth", weight="w", missing_value=-999.0)


def test_a_label_outside_of_the_classes_is_refused(tmp_path: Path, content: Content) -> None:
    write_parquet(tmp_path / "a.parquet", {**content, "truth": np.array(["s", "b", "x", "s"])})
    with pytest.raises(ValueError, match="'x' belongs to no class; known are s, b"):
        read_table(
            tmp_path / "a.parquet", features=FEATURES, label="truth", classes={"s": 1, "b": 0}, missing_value=-999.0
        )


def test_too_many_classes_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"pt": np.arange(200.0), "truth": np.arange(200)})
    with pytest.raises(ValueError, match="too many for classes"):
        read_table(tmp_path / "a.parquet", features=["pt"], label="truth")


def test_a_jagged_branch_is_refused(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("Events", {"n": np.array([1.0, 2.0]), "jets": [[1.0], [2.0, 3.0]]})
    with pytest.raises(ValueError, match="'jets' is of type ndarray, not one number per event"):
        read_table(tmp_path / "a.root", features=["n", "jets"])


def test_a_forgotten_sentinel_is_mentioned(tmp_path: Path, content: Content) -> None:
    write_csv(tmp_path / "a.csv", content)
    with pytest.warns(UserWarning, match=r"'pt' is -999 in 25.0% of the events"):
        read_table(tmp_path / "a.csv", features=FEATURES)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_missing_column_suggests_close_names(kind: str, tmp_path: Path, content: Content) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=r"no (branch|column) 'etta'; did you mean eta\?"):
        read_table(tmp_path / name, features=["pt", "etta"])


def test_a_missing_tree_lists_those_there(tmp_path: Path, content: Content) -> None:
    write_tree(tmp_path / "a.root", content)
    with pytest.raises(ValueError, match="no tree 'mini'; there are: Events"):
        read_table(tmp_path / "a.root", features=FEATURES, tree="mini")


@pytest.mark.faults
@pytest.mark.parametrize("kind", WRITERS)
def test_a_broken_file_is_named(kind: str, tmp_path: Path, rng: np.random.Generator) -> None:
    name, write = WRITERS[kind]
    write(tmp_path / name, {"pt": rng.normal(size=3000), "eta": rng.normal(size=3000)})
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    if kind == "csv":
        (tmp_path / name).write_bytes(whole[: len(whole) // 2].rpartition(b",")[0])
    with pytest.raises(ValueError, match=name):
        read_table(tmp_path / name, features=FEATURES)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        read_table(tmp_path / name, features=FEATURES)
    (tmp_path / name).write_bytes(b"\x00garbage" * 100)
    with pytest.raises(ValueError, match=name):
        read_table(tmp_path / name, features=FEATURES)


@pytest.mark.faults
def test_a_truncated_file_is_refused_even_if_its_events_are_there(tmp_path: Path, content: Content) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("Events", content)
        file.mkrntuple("Later", {"x": np.arange(10_000.0)})
    whole = (tmp_path / "a.root").read_bytes()
    (tmp_path / "a.root").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"is truncated: {len(whole) // 2} of {len(whole)} bytes"):
        read_table(tmp_path / "a.root", features=FEATURES)


def test_bad_files_are_left_out_only_on_purpose(tmp_path: Path, content: Content) -> None:
    options: dict[str, Any] = {"features": FEATURES, "missing_value": -999}
    for name in ("a", "b"):
        write_parquet(tmp_path / f"{name}.parquet", content)
    good = tmp_path / "a.parquet"
    bad, absent = tmp_path / "b.parquet", tmp_path / "c.parquet"
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(UnreadableFileError, match=r"b\.parquet cannot be read"):
        read_table([bad, good], **options)
    with pytest.warns(UserWarning, match=r"events of 2 files are missing: .*b\.parquet.*c\.parquet"):
        table = read_table([bad, absent, good], **options, allow_missing=True)
    assert table.n_events == read_table(good, **options).n_events
    assert list(table.metadata["missing"]) == [str(bad), str(absent)]
    assert table.metadata["files"] == (str(good),)
    with pytest.raises(FileNotFoundError):
        read_table([bad, absent], **options, allow_missing=True)
    with pytest.raises(ValueError, match="has no column"):  # a mistake is no bad file
        read_table(good, features=["pt", "nowhere"], allow_missing=True)


def test_a_file_without_events_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"pt": np.zeros(0), "eta": np.zeros(0)})
    with pytest.raises(ValueError, match="holds no event"):
        read_table(tmp_path / "a.parquet", features=FEATURES)


def test_absent_files_and_unknown_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_table(tmp_path / "a.root", features=FEATURES)
    with pytest.raises(FileNotFoundError, match="no file matches"):
        read_table(tmp_path / "*.root", features=FEATURES)
    with pytest.raises(ValueError, match=r"use one that ends in \.root"):
        read_table(tmp_path / "a.h5", features=FEATURES)
    with pytest.raises(ValueError, match="name at least one"):
        read_table([], features=FEATURES)


@pytest.fixture
def table() -> EventTable:
    return EventTable.from_arrays(
        [[30.1, 0.5], [-999.0, 1.5], [20.7, -2.0]],
        features=FEATURES,
        labels=[1, 0, 0],
        weights=[1.0, 0.1, -0.2],
        sentinel=-999.0,
        dataset=["signal", "ttbar", "ttbar"],
        regions=(Region("low_mt", np.array([True, False, True])),),
        spectators={"event": np.array([11, 12, 13])},
    )


@pytest.mark.parametrize("name", ["a.root", "a.parquet"])
def test_a_written_table_reads_back(name: str, tmp_path: Path, table: EventTable) -> None:
    fooled = np.array([True, False, False])
    write_table(table, tmp_path / name, columns={"fooled": fooled})
    back = read_table(
        tmp_path / name,
        features=FEATURES,
        label="label",
        weight="weight",
        missing_value=-999.0,
        spectators=["dataset", "in_low_mt", "event", "fooled"],
    )
    np.testing.assert_array_equal(back.values, table.values.astype(np.float32))
    np.testing.assert_array_equal(back.weights, table.weights)
    assert back.labels.tolist() == [1, 0, 0]
    assert back.spectators["dataset"].tolist() == [0, 1, 1]
    assert back.spectators["in_low_mt"].tolist() == [True, False, True]
    assert back.spectators["event"].tolist() == [11, 12, 13]
    assert back.spectators["fooled"].tolist() == fooled.tolist()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_dataset_names_are_stored_beside_the_events(tmp_path: Path, table: EventTable) -> None:
    write_table(table, tmp_path / "a.root")
    write_table(table, tmp_path / "a.parquet")
    with uproot.open(tmp_path / "a.root") as file:
        assert json.loads(str(file["datasets"])) == ["signal", "ttbar"]
    metadata = pyarrow.parquet.read_schema(tmp_path / "a.parquet").metadata
    assert json.loads(metadata[b"datasets"]) == ["signal", "ttbar"]


def test_writing_refuses_what_would_be_lost(tmp_path: Path, table: EventTable) -> None:
    write_table(table, tmp_path / "a.root")
    with pytest.raises(FileExistsError, match="exists already"):
        write_table(table, tmp_path / "a.root")
    with pytest.raises(ValueError, match=r"end in \.root or \.parquet"):
        write_table(table, tmp_path / "a.csv")
    with pytest.raises(ValueError, match="two columns would be called label"):
        write_table(table, tmp_path / "b.root", columns={"label": table.labels})
    with pytest.raises(ValueError, match="one entry per event"):
        write_table(table, tmp_path / "b.root", columns={"flag": np.zeros(2)})


@pytest.mark.faults
def test_a_failed_write_leaves_nothing(tmp_path: Path, table: EventTable) -> None:
    with pytest.raises(TypeError, match="cannot write NumPy dtype object"):
        write_table(table, tmp_path / "a.root", columns={"bad": np.array([object()] * 3)})
    assert list(tmp_path.iterdir()) == []


def test_the_higgs_challenge_is_read(test_data: Path) -> None:
    path = test_data / "higgsml2014" / "atlas-higgs-challenge-2014-v2-first22889.csv.gz"
    with gzip.open(path, "rt") as file:
        header = file.readline().strip().split(",")
    features = [name for name in header if name.startswith(("DER_", "PRI_"))]
    table = read_table(path, features=features, label="Label", weight="Weight", missing_value=-999.0)
    assert table.values.shape == (22889, 30)
    assert int(table.labels.sum()) == 7817
    assert table.missing[:, features.index("PRI_jet_leading_pt")].mean() == pytest.approx(0.398, abs=1e-3)
    assert table.weights[table.labels == 1].sum() == pytest.approx(19.83, abs=0.01)


def test_angles_that_were_rounded_beyond_their_range_are_put_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("phi,met,Label\n-3.142,12.0,s\n3.142,8.0,b\n1.571,9.5,b\n", encoding="utf-8")
    features = [Feature(name="phi", kind="angle"), Feature(name="met")]
    table = read_table(path, features=features, label="Label")
    assert table.column("phi").tolist() == [-np.pi, np.pi, 1.571]
    path.write_text("phi,met,Label\n-3.15,12.0,s\n3.142,8.0,b\n", encoding="utf-8")
    with pytest.raises(ValueError, match="outside of its range"):
        read_table(path, features=features, label="Label")


@pytest.mark.faults
def test_ambiguous_and_unknown_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.csv").write_text("a,a,label\n1,2,0\n3,4,1\n")
    with pytest.raises(ValueError, match=r"twice\.csv has more than one column 'a'; rename all but one"):
        read_table(tmp_path / "twice.csv", features=["a"], label="label")
    with uproot.recreate(tmp_path / "matrix.root") as file:
        file.mktree("Events", {"a": np.dtype(("f8", (3,))), "b": "f8"}).extend({"a": np.ones((4, 3)), "b": np.ones(4)})
    with pytest.raises(ValueError, match=r"column 'a' has shape \(4, 3\), not one number per event"):
        read_table(tmp_path / "matrix.root", features=["a", "b"])


@pytest.mark.faults
@pytest.mark.parametrize("label", ["inf", "1e19", "-1e300"])
def test_labels_beyond_whole_numbers_are_named_as_they_are(tmp_path: Path, label: str) -> None:
    (tmp_path / "t.csv").write_text(f"a,label\n1,0\n2,{label}\n")
    with pytest.raises(ValueError, match=rf"{float(label):g} is not a class".replace("+", r"\+")):
        read_table(tmp_path / "t.csv", features=["a"], label="label")


@pytest.mark.faults
def test_values_whose_squares_overflow_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n2e200\n")
    with pytest.raises(ValueError, match=r"'a' of event 1 is 2e\+200"):
        read_table(tmp_path / "t.csv", features=["a"])


@pytest.mark.faults
def test_changed_numbers_in_parquet_are_found_out(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(50, 1))
    write_table(EventTable.from_arrays(values, features=["a"]), tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    place = content.index(np.float32(values[7, 0]).tobytes())
    (tmp_path / "t.parquet").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(ValueError, match="CRC"):
        read_table(tmp_path / "t.parquet", features=["a"])


def test_whole_numbers_beside_a_gap_stay_exact(tmp_path: Path) -> None:
    number = 2**60 + 1
    for name, kind in (("a", pa.uint64()), ("b", pa.int64())):
        columns = {"pt": pa.array([1, None, 3]), "event": pa.array([number, 2, 3], type=kind)}
        pyarrow.parquet.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    table = read_table([tmp_path / "a.parquet", tmp_path / "b.parquet"], features=["pt"], spectators=["event"])
    assert table.missing[:, 0].tolist() == [False, True, False] * 2
    assert table.spectators["event"].tolist() == [number, 2, 3] * 2


def test_an_event_number_with_a_gap_is_refused_where_a_double_would_round_it(tmp_path: Path) -> None:
    columns = {"pt": pa.array([1.0, 2.0]), "event": pa.array([2**60 + 1, None])}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="spectator 'event', which has gaps, holds 1152921504606846977"):
        read_table(tmp_path / "a.parquet", features=["pt"], spectators=["event"])


def test_a_sentinel_is_found_in_files_of_different_precision(tmp_path: Path) -> None:
    column = np.array([1.0, -999.9, 2.0])
    for kind in ("f8", "f4", "f2"):
        write_parquet(tmp_path / f"{kind}.parquet", {"pt": column.astype(kind)})
    table = read_table(sorted(tmp_path.glob("*.parquet")), features=["pt"], missing_value=-999.9)
    assert table.missing[:, 0].tolist() == [False, True, False] * 3


def test_fields_of_a_record_in_an_rntuple_are_columns(tmp_path: Path) -> None:
    pt = np.arange(5.0)
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mkrntuple("Events", {"jet": ak.zip({"pt": pt, "eta": pt**2}), "z": pt - 3, "all": ak.Array([[1.0]] * 5)})
    table = read_table(tmp_path / "a.root", features=["z", "jet.eta"])
    np.testing.assert_array_equal(table.values, np.stack([pt - 3, pt**2], axis=1))
    with pytest.raises(ValueError, match=r"no branch 'jet\.phi'"):
        read_table(tmp_path / "a.root", features=["jet.phi"])
    for name in ("jet", "all"):
        with pytest.raises(ValueError, match=f"column '{name}'.* not one number per event"):
            read_table(tmp_path / "a.root", features=[name, "z"])


def test_a_constant_input_may_be_read_if_it_is_fixed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", {"x": np.arange(4.0), "year": np.full(4, 2018)})
    table = read_table(tmp_path / "a.parquet", features=["x", Feature(name="year", kind="fixed")])
    assert table.column("year").tolist() == [2018.0] * 4
    with pytest.raises(ValueError, match=r"'year' is 2018 in every event.*kind='fixed'"):
        read_table(tmp_path / "a.parquet", features=["x", "year"])


def test_a_label_or_weight_that_is_a_feature_too_is_said(tmp_path: Path, content: Content) -> None:
    write_parquet(tmp_path / "a.parquet", content)
    with pytest.warns(UserWarning, match="column 'truth' is both the label and a feature"):
        read_table(tmp_path / "a.parquet", features=["eta", "truth"], label="truth")
    with pytest.warns(UserWarning, match="column 'w' is both the event weight and a feature"):
        read_table(tmp_path / "a.parquet", features=["eta", "w"], weight="w")


@pytest.mark.parametrize("protocol", ["root:/", "http:/", "https:/", "s3:/", "davs:/"])
def test_a_remote_path_is_refused_in_one_sentence(protocol: str, tmp_path: Path) -> None:
    table = EventTable.from_arrays([[1.0], [2.0]])
    remote = f"{protocol}/host.ch//store/a.root"
    tries: list[Callable[[], Any]] = [
        lambda: read_table(remote, features=["x0"]),
        lambda: read_table(Path(remote), features=["x0"]),
        lambda: write_table(table, remote),
        lambda: read_store(remote),
        lambda: read_histograms(remote),
        lambda: open_partitions(remote),
        lambda: load_torch(remote.replace(".root", ".pt2")),
    ]
    for attempt in tries:
        with pytest.raises(ValueError, match=r"is a remote path .* copy it first"):
            attempt()
    assert not list(tmp_path.iterdir())


def test_fields_of_records_in_parquet_are_columns(tmp_path: Path) -> None:
    inner = [{"pt": 30.0, "id": {"tight": 1}}, {"pt": None, "id": {"tight": 0}}, None, {"pt": 40.0, "id": {"tight": 1}}]
    pyarrow.parquet.write_table(pa.table({"muon": inner, "a.b": [1.0, 2.0, 3.0, 4.0]}), tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet", features=["muon.pt", "muon.id.tight", "a.b"])
    np.testing.assert_array_equal(table.values, [[30, 1, 1], [np.nan, 0, 2], [np.nan, np.nan, 3], [40, 1, 4]])
    with pytest.raises(ValueError, match=r"no column 'muon'; did you mean muon\.pt"):
        read_table(tmp_path / "a.parquet", features=["muon"])
    pyarrow.parquet.write_table(pa.table({"muon": [{"pt": 1.0}], "muon.pt": [2.0]}), tmp_path / "b.parquet")
    with pytest.raises(ValueError, match=r"more than one column 'muon\.pt'"):
        read_table(tmp_path / "b.parquet", features=["muon.pt"])
