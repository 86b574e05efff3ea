# SPDX-License-Identifier: BSD-3-Clause
"""Any order of columns, any type, any mask: the same table, or a refusal."""

from __future__ import annotations

import warnings
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hepfool.events import EventTable
from hepfool.features import FeatureSpace
from hepfool.io import read_table
from hepfool.processors import feature_matrix

DTYPES = ["i1", "u1", ">i2", "u2", "i4", ">u4", "i8", "u8", "f2", ">f4", "f4", "f8", "?"]
NAMES = ["pt", "eta", "label", "weight", "region", "index"]


@st.composite
def columns(draw: st.DrawFn) -> dict[str, tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Draw columns that double precision holds exactly, each with a mask that leaves two different values."""
    n_events = draw(st.integers(3, 12))
    result = {}
    for name in draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]:
        numbers = draw(
            st.lists(
                st.integers(0, 1 if (kind := draw(st.sampled_from(DTYPES))) == "?" else 100),
                min_size=n_events,
                max_size=n_events,
            )
        )
        values = np.array([0, 1, *numbers[2:]]).astype(kind)
        mask = np.array([False, False, *draw(st.lists(st.booleans(), min_size=n_events - 2, max_size=n_events - 2))])
        result[name] = values, mask
    return result


def expected(content: dict[str, Any], names: list[str]) -> NDArray[np.float64]:
    return np.stack([np.where(content[name][1], np.nan, content[name][0].astype("f8")) for name in names], axis=1)


def as_pandas(values: NDArray[Any], mask: NDArray[np.bool_]) -> Any:
    native = values.astype(values.dtype.newbyteorder("="))
    if native.dtype == np.float16:
        native = native.astype("f4")
    series = pd.array(native).astype("boolean") if native.dtype == np.bool_ else pd.Series(native).convert_dtypes()
    return pd.Series(series).mask(mask)


FORMS: dict[str, Any] = {
    "masked": lambda values, mask: np.ma.MaskedArray(values, mask=mask),
    "pandas": as_pandas,
    "awkward": lambda values, mask: ak.mask(ak.Array(values.astype(values.dtype.newbyteorder("="))), ~mask),
    "objects": lambda values, mask: [
        None if gone else value for value, gone in zip(values.tolist(), mask, strict=True)
    ],
}


@settings(max_examples=60)
@given(content=columns(), form=st.sampled_from(sorted(FORMS)), data=st.data())
def test_any_type_and_mask_in_any_order_gives_the_same_table(content: Any, form: str, data: st.DataObject) -> None:
    given_columns = {name: FORMS[form](*column) for name, column in content.items()}
    names = data.draw(st.permutations(sorted(content)))
    wanted = expected(content, names)
    table = EventTable.from_arrays(given_columns, features=names)
    np.testing.assert_array_equal(table.values, wanted)
    np.testing.assert_array_equal(table.missing, np.isnan(wanted))
    np.testing.assert_array_equal(feature_matrix(given_columns, FeatureSpace(names)), wanted)
    if form == "pandas":
        frame = pd.DataFrame(given_columns)
        np.testing.assert_array_equal(EventTable.from_dataframe(frame, features=names).values, wanted)
    if form == "awkward":
        np.testing.assert_array_equal(EventTable.from_awkward(ak.zip(given_columns), features=names).values, wanted)
    like = EventTable.from_dataframe(table.to_dataframe(), like=table)
    np.testing.assert_array_equal(like.values, wanted)


@settings(max_examples=30)
@given(content=columns())
def test_a_file_gives_the_table_that_its_columns_give(content: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("columns") / "a.parquet"
    native = {name: (values.astype(values.dtype.newbyteorder("=")), mask) for name, (values, mask) in content.items()}
    pyarrow.parquet.write_table(pa.table({name: pa.array(v, mask=m) for name, (v, m) in native.items()}), path)
    names = sorted(content)
    np.testing.assert_array_equal(read_table(path, features=names).values, expected(content, names))


@settings(max_examples=60)
@given(
    sentinel=st.sampled_from([-999.0, -999.9, -99.9, -9999.9, float(np.finfo("f4").max), -1.1e30]),
    kind=st.sampled_from(["f4", ">f4", "f8", "f4 read as f8"]),
    gone=st.lists(st.booleans(), min_size=2, max_size=8),
)
def test_a_sentinel_is_found_in_every_precision(sentinel: float, kind: str, gone: list[bool]) -> None:
    column = np.where(gone, sentinel, np.arange(float(len(gone))))
    column = column.astype("f4").astype("f8") if kind == "f4 read as f8" else column.astype(kind)
    table = EventTable.from_arrays({"x": column}, sentinel=sentinel)
    assert table.missing[:, 0].tolist() == gone


@given(
    numbers=st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=6),
    dtype=st.sampled_from(["i8", "u8", ">i8", "object"]),
)
def test_whole_numbers_are_exact_or_refused(numbers: list[int], dtype: str) -> None:
    try:
        column = np.array(numbers, dtype=dtype)
    except OverflowError:
        return
    exact = all(int(float(number)) == number for number in numbers)
    try:
        table = EventTable.from_arrays({"x": column}, spectators={"event": column})
    except ValueError:
        assert not exact or (min(numbers) < 0 and max(numbers) >= 2**63)
    else:
        assert exact
        assert [int(x) for x in table.values[:, 0]] == numbers
        assert table.spectators["event"].tolist() == numbers


@given(
    labels=st.lists(
        st.one_of(st.integers(-2, 3), st.floats(-2, 3), st.booleans(), st.sampled_from(["s", "b"])),
        min_size=1,
        max_size=6,
    ),
)
def test_labels_keep_their_meaning_or_are_refused(labels: list[Any]) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            table = EventTable.from_arrays(np.zeros((len(labels), 1)), labels=np.array(labels, dtype=object))
        except ValueError:
            return
    assert table.labels.tolist() == [round(label) for label in labels]
    assert all(abs(label - round(label)) <= 0.25 and round(label) >= -1 for label in labels)
    assert bool(said) == any(label != round(label) for label in labels)
