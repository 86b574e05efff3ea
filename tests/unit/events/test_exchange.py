# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import pytest

from hepfool.events import EventTable, Region
from hepfool.features import Feature
from hepfool.io import read_table, write_table

NAMES = ["label", "weight", "dataset", "region", "variation", "index", "in_cr"]


def a_table(names: list[str] | None = None) -> EventTable:
    rng = np.random.default_rng(3)
    names = ["pt", "eta", "phi"] if names is None else names
    values = rng.normal(size=(8, len(names)))
    values[2, 0] = np.nan
    return EventTable.from_arrays(
        values,
        features=[Feature(name=names[0], unit="GeV"), *names[1:]],
        labels=[0, 1, 2, -1, 0, 1, 0, 1],
        weights=rng.normal(size=8),
        sentinel=-999.0,
        dataset=["zz", "a", "a", "zz", "b", "b", "a", "a"],
        regions=(Region("cr", values[:, 1] > 0), Region("sr", values[:, 1] <= 0, "signal", {names[1]: (-9.0, 0.0)})),
        spectators={"event": np.array([2**60 + k for k in range(8)]), "tag": np.array(list("abcdefgh"))},
        weight_variations={"pu_up": rng.uniform(size=8)},
        shape_variations={"jes_up": values + 0.1, "jes_down": np.where(values > 1, np.nan, values)},
    )


def assert_same(first: EventTable, second: EventTable) -> None:
    assert first.features == second.features
    assert repr(first.sentinel) == repr(second.sentinel)
    for name in ("values", "labels", "weights", "missing"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    for table in (first, second):
        assert np.array(table.datasets)[table.dataset_index].tolist() == ["zz", "a", "a", "zz", "b", "b", "a", "a"]
    for one, other in zip(first.regions, second.regions, strict=True):
        assert (one.name, one.role, one.cuts, one.mask.tolist()) == (
            other.name,
            other.role,
            other.cuts,
            other.mask.tolist(),
        )
    for name in ("spectators", "weight_variations", "shape_variations"):
        assert list(getattr(first, name)) == list(getattr(second, name))
        for key, column in getattr(first, name).items():
            np.testing.assert_array_equal(column, getattr(second, name)[key])


def shuffled(frame: Any) -> Any:
    """Columns in another order, and an index of its own."""
    order = np.random.default_rng(1).permutation(len(frame.columns))
    return frame.iloc[:, order].set_axis(np.arange(8)[::-1])


@pytest.mark.parametrize("names", [None, NAMES])
def test_a_table_survives_a_data_frame_whatever_its_features_are_called(names: list[str] | None) -> None:
    table = a_table(names)
    frame = table.to_dataframe()
    assert list(frame.columns[: table.n_features]) == list(table.features.names)
    assert frame["event"].tolist() == table.spectators["event"].tolist()
    assert_same(EventTable.from_dataframe(shuffled(frame), like=table), table)


@pytest.mark.parametrize("names", [None, NAMES])
def test_a_table_survives_awkward_records(names: list[str] | None) -> None:
    table = a_table(names)
    array = table.to_awkward()
    assert len(array) == 8
    assert_same(EventTable.from_awkward(array[sorted(array.fields)], like=table), table)


def test_own_columns_give_way_to_features_of_their_name() -> None:
    frame = a_table(NAMES).to_dataframe()
    assert frame["label_"].tolist() == [0, 1, 2, -1, 0, 1, 0, 1]
    assert frame["dataset_"].tolist() == ["zz", "a", "a", "zz", "b", "b", "a", "a"]
    assert frame["in_cr_"].dtype == np.bool_
    assert frame["weight:pu_up"].between(0, 1).all()


@pytest.mark.parametrize("suffix", [".root", ".parquet"])
def test_features_of_any_name_survive_a_file(suffix: str, tmp_path: Path) -> None:
    table = a_table(NAMES)
    write_table(table, tmp_path / f"events{suffix}")
    back = read_table(
        tmp_path / f"events{suffix}",
        features=table.features,
        label="label_",
        weight="weight_",
        spectators=["event"],
        missing_value=-999.0,
    )
    np.testing.assert_array_equal(back.values, table.values.astype(np.float32))
    np.testing.assert_array_equal(back.labels, table.labels)
    np.testing.assert_array_equal(back.weights, table.weights)
    assert back.spectators["event"].tolist() == table.spectators["event"].tolist()


def test_a_spectator_with_the_name_of_a_feature_is_refused() -> None:
    table = replace(a_table(), spectators={"pt": np.arange(8)})
    with pytest.raises(ValueError, match="two columns would be called pt"):
        table.to_dataframe()


def test_roles_of_columns_are_taken_from_a_data_frame() -> None:
    frame = pd.DataFrame({"truth": ["s", "b"], "w": [1, 2], "eta": [1.0, 2.0], "pt": [3.0, 4.0], "run": [7, 8]})
    table = EventTable.from_dataframe(
        frame, label="truth", weight="w", spectators=["run"], classes={"s": 1, "b": 0}, dataset="zz"
    )
    assert table.features.names == ("eta", "pt")
    assert table.labels.tolist() == [1, 0]
    assert table.weights.tolist() == [1.0, 2.0]
    assert table.spectators["run"].tolist() == [7, 8]
    assert table.datasets == ("zz",)
    with pytest.raises(ValueError, match=r"no column 'trut' \(did you mean truth, run\?\)"):
        EventTable.from_dataframe(frame, label="trut")
    with pytest.raises(ValueError, match="ndarray has no names for its columns"):
        EventTable.from_dataframe(frame.to_numpy())
    with pytest.raises(ValueError, match="like= gives every column its role"):
        EventTable.from_dataframe(frame, like=table, label="truth")


def test_jagged_fields_are_refused_by_name() -> None:
    array = ak.Array([{"pt": [1.0, 2.0]}, {"pt": []}])
    with pytest.raises(ValueError, match="column 'pt' has 2 dimensions"):
        EventTable.from_awkward(array)
