# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import itertools
import math
import pickle
import warnings
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import pytest

from hepfool.events import UNLABELLED, Envelope, EventTable, Region
from hepfool.events._columns import is_sentinel, joined, numbers_of, spectator
from hepfool.features import Feature, FeatureSpace
from hepfool.processors import feature_matrix

PT, ETA = [30.0, 40.0, 50.0], [0.5, -1.5, 2.0]


def tables_by_name() -> dict[str, Any]:
    structured = np.zeros(3, dtype=[("eta", ">f4"), ("extra", "i8"), ("pt", "f8")])
    structured["pt"], structured["eta"] = PT, ETA
    frame = pd.DataFrame({"eta": ETA, "extra": [1, 2, 3], "pt": PT}, index=[7, 3, 5])
    return {
        "dict": {"eta": ETA, "extra": [1, 2, 3], "pt": PT},
        "data frame": frame,
        "data frame of nullable numbers": frame.convert_dtypes(),
        "awkward": ak.Array({"eta": ETA, "extra": [1, 2, 3], "pt": PT}),
        "structured": structured,
        "record array": structured.view(np.recarray),
    }


@pytest.mark.parametrize("kind", tables_by_name())
def test_columns_with_names_are_taken_by_name_in_any_order(kind: str) -> None:
    table = EventTable.from_arrays(tables_by_name()[kind], features=["pt", "eta"])
    assert table.features.names == ("pt", "eta")
    np.testing.assert_array_equal(table.values, np.stack([PT, ETA], axis=1))


@pytest.mark.parametrize("kind", tables_by_name())
def test_names_that_are_missing_are_refused_with_those_that_come_near(kind: str) -> None:
    with pytest.raises(ValueError, match=r"no column 'ptt' \(did you mean pt\?\), 'qqq'; there are: eta, extra, pt"):
        EventTable.from_arrays(tables_by_name()[kind], features=["ptt", "qqq", "eta"])


def test_adversarial_values_of_a_data_frame_are_taken_by_name_too() -> None:
    table = EventTable.from_arrays({"pt": PT, "eta": ETA})
    moved = table.with_values(pd.DataFrame({"eta": ETA, "pt": [31.0, 41.0, 51.0]}))  # type: ignore[arg-type]
    assert moved.column("pt").tolist() == [31.0, 41.0, 51.0]


def test_a_data_frame_with_two_columns_of_one_name_or_two_levels_is_refused() -> None:
    twice = pd.DataFrame(np.ones((2, 3)), columns=["a", "b", "a"])
    assert EventTable.from_arrays(twice, features=["b"]).n_features == 1
    for features in (["a"], None):
        with pytest.raises(ValueError, match="more than one column is called 'a'"):
            EventTable.from_arrays(twice, features=features)
    levels = pd.DataFrame(np.ones((2, 2)), columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    with pytest.raises(ValueError, match="columns of 2 levels"):
        EventTable.from_arrays(levels)


def test_series_whose_index_is_in_another_order_are_refused() -> None:
    frame = pd.DataFrame({"pt": PT, "eta": ETA})
    labels = pd.Series([0, 1, 1], index=[2, 0, 1])
    with pytest.raises(ValueError, match=r"labels and values are pandas objects with different indices"):
        EventTable.from_arrays(frame, labels=labels)
    with pytest.raises(ValueError, match="different indices"):
        EventTable.from_arrays(frame.to_numpy(), labels=labels, weights=pd.Series([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="different indices"):
        EventTable.from_arrays(frame, weight_variations={"up": pd.Series([1.0, 2.0, 3.0], index=[1, 0, 2])})
    table = EventTable.from_arrays(frame, labels=labels.loc[frame.index])
    assert table.labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    "column",
    [
        np.ma.MaskedArray([1.0, 5.0, 3.0], mask=[False, True, False]),
        np.ma.MaskedArray(np.array([1, 5, 3], dtype="u1"), mask=[False, True, False]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3], dtype="category"),
        pd.Series([1, None, 3], dtype=object),
        pd.Series([1.0, None, 3.0], dtype="float32[pyarrow]"),
        ak.Array([1, None, 3]),
        [1, None, 3],
        np.array([1.0, np.nan, 3.0], dtype=">f4"),
    ],
    ids=lambda column: f"{type(column).__module__}-{getattr(column, 'dtype', '')}",
)
def test_a_mask_none_or_na_means_missing(column: Any) -> None:
    for table in (
        EventTable.from_arrays({"x": column}),
        EventTable.from_arrays(feature_matrix({"x": column}, FeatureSpace(["x"]))),
    ):
        assert table.missing[:, 0].tolist() == [False, True, False]
        assert table.values[[0, 2], 0].tolist() == [1.0, 3.0]


def test_the_mask_of_a_matrix_means_missing() -> None:
    values = np.ma.MaskedArray([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    assert EventTable.from_arrays(values).missing.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("what", ["labels", "weights"])
@pytest.mark.parametrize(
    "column",
    [
        np.ma.MaskedArray([1, 0], mask=[False, True]),
        pd.Series([1, None], dtype="Int64"),
        ak.Array([1, None]),
        [1, None],
    ],
    ids=["masked", "pandas", "awkward", "list"],
)
def test_a_masked_weight_or_label_is_refused(what: str, column: Any) -> None:
    with pytest.raises(ValueError, match="missing"):
        EventTable.from_arrays([[1.0], [2.0]], **{what: column})


def test_a_masked_array_cannot_slip_into_a_table_or_region() -> None:
    table = EventTable.from_arrays([[1.0], [2.0]])
    masked = np.ma.MaskedArray([1.0, 2.0], mask=[True, False])
    with pytest.raises(ValueError, match="mask would be lost"):
        EventTable(table.features, table.values, table.labels, masked, table.missing)
    with pytest.raises(ValueError, match="weight variation 'up': 1 of 2 are missing"):
        EventTable.from_arrays([[1.0], [2.0]], weight_variations={"up": masked})
    with pytest.raises(ValueError, match="mask of region 'sr'"):
        Region("sr", np.ma.MaskedArray([True, True], mask=[True, False]))


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([True, False], None, [1, 0]),
        (pd.Series([True, False], dtype="boolean"), None, [1, 0]),
        (np.array([1.0, 0.0]), None, [1, 0]),
        (np.array([2, 0], dtype=">u2"), None, [2, 0]),
        ([-1, 1], {-1: 0, 1: 1}, [0, 1]),
        ([-1.0, 1.0], {"-1": 1, "1": 0}, [1, 0]),
        (["sig", "bkg"], {"bkg": 0, "sig": 1}, [1, 0]),
        (pd.Series(["sig", "bkg"], dtype="category"), {"bkg": 0, "sig": 1}, [1, 0]),
        ([True, False], {True: 0, False: 1}, [0, 1]),
        ([UNLABELLED, 0], None, [UNLABELLED, 0]),
    ],
)
def test_labels_are_taken_as_they_are_meant(labels: Any, classes: Any, expected: list[int]) -> None:
    assert EventTable.from_arrays([[1.0], [2.0]], labels=labels, classes=classes).labels.tolist() == expected


def test_smoothed_labels_are_the_nearest_class_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="0.9 is taken as class 1, the nearest one, as 2 labels are within a quarter"):
        table = EventTable.from_arrays([[1.0], [2.0], [3.0]], labels=[0.9, 0.1, 2.0])
    assert table.labels.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.6, 0.1], "0.6 is not a class"),
        ([1.0, 0.5], "0.5 is not a class"),
        ([1.0, np.nan], "nan is not a class"),
        ([-1, 1], "-1 is not a class, they count from 0"),
        (["s", "b"], r"'b' is text; say which class it is, such as classes=\{'b': 0, 's': 1\}"),
        ([[0], [1]], r"shape \(2, 1\) is not one class per event; use ravel"),
        ([[0, 1], [1, 0]], r"argmax\(axis=1\) on one-hot labels"),
        (np.array(["2020", "2021"], dtype="M8[Y]"), "neither numbers nor text"),
        ([0, 1, 1], r"labels has shape \(3,\), expected \(2,\)"),
    ],
)
def test_labels_without_a_clear_meaning_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EventTable.from_arrays([[1.0], [2.0]], labels=labels)


@pytest.mark.parametrize(
    ("sentinel", "dtype"),
    [
        *((sentinel, "f2") for sentinel in (-999.9, -99.9, -999.0)),
        *itertools.product((-999.9, -99.9, -999.0, float(np.finfo("f4").max), 1e30), ("f4", ">f4", "f8", "f4 as f8")),
    ],
)
def test_a_sentinel_is_found_in_the_precision_of_the_column(sentinel: float, dtype: str) -> None:
    column = np.array([1.0, 2.0, 3.0], dtype="f8")
    column[1] = sentinel
    stored = column.astype(dtype.split(maxsplit=1)[0])
    stored = stored.astype("f8") if dtype.endswith("f8") else stored
    table = EventTable.from_arrays(stored[:, np.newaxis], sentinel=sentinel)
    assert table.missing[:, 0].tolist() == [False, True, False]
    assert table.network_values[1, 0] == sentinel


def test_a_sentinel_does_not_swallow_its_neighbours() -> None:
    assert is_sentinel(np.array([-999.0, -998.9999, -999.0001]), -999.0).tolist() == [True, False, False]
    assert not is_sentinel(np.array([255, 157], dtype="u1"), -99).any()
    assert is_sentinel(np.array([-99, 1], dtype="i1"), -99).tolist() == [True, False]
    assert is_sentinel(np.array([-999.9]), float(np.float32(-999.9))).all()


def test_nan_reaches_the_network_as_nan_unless_a_sentinel_is_named() -> None:
    values = [[1.0, np.nan], [2.0, 3.0]]
    assert np.isnan(EventTable.from_arrays(values).network_values[0, 1])
    assert EventTable.from_arrays(values, sentinel=-5.0).network_values[0, 1] == -5.0


def test_tables_whose_sentinel_is_nan_are_joined_also_from_two_workers() -> None:
    table = EventTable.from_arrays([[1.0], [np.nan]], sentinel=float("nan"))
    parts = [pickle.loads(pickle.dumps(table)) for _ in range(2)]
    assert EventTable.concatenate(parts).n_events == 4
    with pytest.raises(ValueError, match="share their sentinels"):
        EventTable.concatenate([table, EventTable.from_arrays([[1.0]], sentinel=-999.0)])


@pytest.mark.parametrize("dtype", ["i8", "u8", ">i8"])
def test_whole_numbers_that_doubles_would_round_are_refused(dtype: str) -> None:
    column = np.array([1, 2**53 + 2, 2**60], dtype=dtype)
    assert [int(x) for x in numbers_of("event", column)] == [1, 2**53 + 2, 2**60]
    column[1] = 2**53 + 1
    with pytest.raises(ValueError, match="9007199254740993, which double precision would round"):
        numbers_of("event", column)
    assert spectator("event", column).tolist() == column.tolist()


@pytest.mark.parametrize("column", [pd.Series([2**60 + 1, 3], dtype="Int64"), ak.Array([2**60 + 1, 3]), [2**60 + 1, 3]])
def test_event_numbers_travel_along_exactly(column: Any) -> None:
    table = EventTable.from_arrays([[1.0], [2.0]], spectators={"event": column})
    assert table.spectators["event"].tolist() == [2**60 + 1, 3]


def test_event_numbers_with_and_without_sign_are_joined_exactly() -> None:
    number = 2**62 + 1
    parts = [
        EventTable.from_arrays([[1.0]], spectators={"event": np.array([number], dtype=dtype)}) for dtype in ("u8", "i8")
    ]
    assert EventTable.concatenate(parts).spectators["event"].tolist() == [number, number]
    both = [np.array([2**64 - 1], dtype="u8"), np.array([1], dtype="i8")]
    assert joined("event", both).tolist() == [2**64 - 1, 1]
    with pytest.raises(ValueError, match="no 64-bit whole number"):
        joined("event", [np.array([2**64 - 1], dtype="u8"), np.array([-1], dtype="i8")])
    with pytest.raises(ValueError, match="would round"):
        joined("event", [np.array([2**53 + 1]), np.array([1.5])])
    with pytest.raises(ValueError, match="text in some parts and int64 in others"):
        joined("event", [np.array(["a"]), np.array([1])])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])), "is a date, not one number per event"),
        (["a", "b"], "is text"),
        (np.array([1 + 2j, 3j]), "is complex"),
        (ak.Array([[1.0, 2.0], [3.0]]), "2 dimensions; pick one object per event"),
        (ak.Array([{"x": 1.0}, {"x": 2.0}]), "is a record of x"),
        ([[1.0, 2.0], [3.0]], "cannot be read as one array|not one number per event"),
        (np.array([1, "a"], dtype=object), "not one number per event"),
        ([2**60 + 1, 0.5], "holds floats and 1152921504606846977"),
    ],
)
def test_a_value_that_is_not_a_number_is_refused_by_name(column: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EventTable.from_arrays({"x": column})


def test_shapes_that_do_not_fit_are_refused_with_the_repair() -> None:
    values = np.arange(30.0).reshape(10, 3)
    with pytest.raises(ValueError, match=r"values have shape \(3, 10\), expected \(n_events, 3\).*transpose them"):
        EventTable.from_arrays(values.T, features=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"labels has shape \(10,\), expected \(3,\).*are the values transposed"):
        EventTable.from_arrays(values.T, labels=np.zeros(10, dtype=int))
    with pytest.raises(ValueError, match=r"shape \(10,\), expected \(n_events, n_features\)"):
        EventTable.from_arrays(values[:, 0])
    with pytest.raises(ValueError, match=r"weights.*\(10, 1\)|weights has shape \(10, 1\).*ravel"):
        EventTable.from_arrays(values, weights=np.ones((10, 1)))
    with pytest.raises(ValueError, match=r"dataset has shape \(2,\)"):
        EventTable.from_arrays(values, dataset=["a", "b"])
    with pytest.raises(ValueError, match="different lengths"):
        EventTable.from_arrays({"a": [1.0, 2.0], "b": [1.0]})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_of_a_variation_must_be_numbers(bad: float) -> None:
    with pytest.raises(ValueError, match="weight variation 'up' is not finite at event 1"):
        EventTable.from_arrays([[1.0], [2.0]], weight_variations={"up": [1.0, bad]})


def reduced(values: Any, bits: int) -> Any:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent).astype("f4")


@pytest.mark.parametrize("bits", [12, 13, 24])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rounding_does_not_take_a_value_beyond_its_limit(bits: int, sign: float) -> None:
    rng = np.random.default_rng(0)
    features = FeatureSpace([Feature(name="phi", kind="angle"), Feature(name="eta", lower=-2.4, upper=2.4)])
    limits = sign * np.array([np.pi, 2.4])
    values = np.vstack([rng.uniform(-1, 1, (500, 2)) * limits, limits])
    stored = reduced(values, bits)
    assert (np.abs(stored[-1]) > np.abs(limits)).any()
    by_matrix = EventTable.from_arrays(stored, features=features)
    by_columns = feature_matrix({"phi": ak.Array(stored[:, 0]), "eta": ak.Array(stored[:, 1])}, features)
    np.testing.assert_array_equal(by_matrix.values, by_columns)
    assert (np.abs(by_columns) <= np.abs(limits)).all()
    np.testing.assert_allclose(by_columns[-1], limits, atol=2.4 * 2.0 ** (1 - bits))


def test_a_value_truly_beyond_its_limit_is_refused() -> None:
    features = [Feature(name="eta", lower=-2.4, upper=2.4)]
    values = np.random.default_rng(0).uniform(-2.4, 2.4, (100, 1))
    for bad in (2.4001, 2.400001):
        values[0] = bad
        with pytest.raises(ValueError, match="outside of its range"):
            EventTable.from_arrays(values, features=features)
    with pytest.raises(ValueError, match="'n' of event 1 is 5"):
        EventTable.from_arrays([[1.0], [5.0]], features=[Feature(name="n", upper=4.7)])


def test_an_angle_in_degrees_or_from_zero_is_refused_with_its_repair() -> None:
    features = [Feature(name="phi", kind="angle")]
    with pytest.raises(ValueError, match=r"in degrees.*lower=-180, upper=180"):
        EventTable.from_arrays([[-170.0], [120.0]], features=features)
    with pytest.raises(ValueError, match=r"lower=0, upper=2\*math\.pi"):
        EventTable.from_arrays([[0.5], [6.2]], features=features)
    ok = [Feature(name="phi", kind="angle", lower=0.0, upper=2 * math.pi)]
    assert EventTable.from_arrays([[0.5], [6.2]], features=ok).n_events == 2


def test_an_infinite_value_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"'x0' of event 1 is inf .* declare such values missing"):
        EventTable.from_arrays([[1.0], [np.inf]])


def test_a_label_or_weight_among_the_features_is_said() -> None:
    rng = np.random.default_rng(0)
    labels, weights = np.arange(60) % 2, rng.uniform(0.5, 1.5, 60)
    for column, what in (
        (labels, "the label"),
        (1 - 2 * labels, "the label"),
        (weights.astype("f4"), "the event weight"),
    ):
        with pytest.warns(UserWarning, match=f"'target' equals {what} in every event"):
            EventTable.from_arrays({"x": rng.normal(size=60), "target": column}, labels=labels, weights=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EventTable.from_arrays({"x": rng.normal(size=60), "n": np.arange(60) % 3}, labels=labels, weights=weights)


def test_a_usual_sentinel_that_nobody_named_is_said() -> None:
    values = np.random.default_rng(0).normal(size=(50, 1))
    values[::5] = np.float32(-999.9)
    with pytest.warns(UserWarning, match=r"'x0' is -999.9 in 20.0% of the events and never below"):
        EventTable.from_arrays(values)
    values[::5] = np.finfo("f4").max
    with pytest.warns(UserWarning, match="and never above"):
        EventTable.from_arrays(values)


def test_a_negative_sentinel_in_an_unsigned_column_is_said() -> None:
    column = np.array([1, -99, 3]).astype("u1")
    with pytest.warns(UserWarning, match=r"uint8 and cannot hold -99, but its largest number, 157"):
        EventTable.from_arrays({"n": column}, sentinel=-99)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EventTable.from_arrays(
            {"n": np.array([157, 158], dtype="u1"), "m": np.array([-99, 1], dtype="i1")}, sentinel=-99
        )


def test_uncertainties_of_an_envelope_are_taken_by_name() -> None:
    table = EventTable.from_arrays({"pt": PT, "eta": ETA})
    envelope = Envelope.absolute(table, pd.DataFrame({"eta": [0.1] * 3, "pt": [5.0] * 3}))
    np.testing.assert_allclose(envelope.upper - table.values, [[5.0, 0.1]] * 3)
    relative = Envelope.relative(table, {"eta": [0.0] * 3, "pt": [0.1] * 3})
    np.testing.assert_allclose(relative.upper - table.values, np.stack([0.1 * np.array(PT), np.zeros(3)], axis=1))
