# SPDX-License-Identifier: BSD-3-Clause
"""Inputs that look like what is meant: refused or told, never taken for something else."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

import hepfool as hf
from hepfool.attacks._checks import attacked_events, check_input
from hepfool.exceptions import NetworkWarning
from hepfool.io import read_table, write_table
from hepfool.models import CallableClassifier, TorchClassifier
from hepfool.models._probe import check_network

N_EVENTS = 60
VALUES = np.random.default_rng(3).normal(size=(N_EVENTS, 3))
LABELS = (VALUES.sum(axis=1) > 0).astype(int)


def score(values: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-values.sum(axis=1)))


def table(**options: Any) -> hf.EventTable:
    return hf.EventTable.from_arrays(VALUES, **{"labels": LABELS, **options})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda values: np.ma.masked_where(values[:, 0] > 0, score(values)), "masked .* scores"),
        (lambda values: score(values) + 0j, "array of real numbers"),
        (lambda values: {"signal": score(values)}, "a dict, expected an array of real numbers"),
        (lambda values: np.where(score(values) > 0.5, "s", "b"), "array of real numbers"),
        (lambda _: None, "a NoneType, expected an array of real numbers"),
        (lambda values: score(values) > 0.5, "returned classes"),
    ],
)
def test_answers_that_are_not_numbers_are_refused(function: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CallableClassifier(function).scores(VALUES)


def test_a_tensor_with_a_gradient_is_an_answer() -> None:
    classifier = CallableClassifier(lambda values: torch.tensor(score(values), requires_grad=True))
    np.testing.assert_allclose(classifier.scores(VALUES)[:, 1], score(VALUES))


def test_an_estimator_class_is_refused() -> None:
    with pytest.raises(TypeError, match="got the class LogisticRegression"):
        CallableClassifier(LogisticRegression)


@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
def test_an_estimator_keeps_the_order_of_its_features() -> None:
    trained = LogisticRegression().fit(pd.DataFrame(VALUES, columns=["a", "b", "c"]), LABELS)
    classifier = CallableClassifier(trained)
    check_input(classifier, table(features=["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"was trained on a, b, c, the table has them as c, b, a"):
        check_input(classifier, table(features=["c", "b", "a"]))
    with pytest.warns(NetworkWarning, match="check that these are the same"):
        check_input(classifier, table(features=["a", "b", "d"]))
    narrow = CallableClassifier(LogisticRegression().fit(VALUES[:, :2], LABELS))
    with pytest.raises(ValueError, match="takes 2 inputs but the table has 3"):
        check_input(narrow, table())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"batch_size": True}, "batch_size must be a whole number"),
        ({"device": "gpu"}, "cannot be moved to the device 'gpu'"),
    ],
)
def test_settings_of_a_network_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TorchClassifier(nn.Linear(3, 1), **options)


def test_of_two_sigmoids_none_is_taken_off() -> None:
    linear = nn.Linear(3, 1)
    twice = TorchClassifier(nn.Sequential(linear, nn.Sigmoid(), nn.Sigmoid()), output="probability")
    expected = linear(torch.tensor(VALUES, dtype=torch.float32)).sigmoid().sigmoid().detach().numpy()[:, 0]
    np.testing.assert_allclose(twice.scores(VALUES)[:, 1], expected, rtol=1e-5)
    (remark,) = remarks(twice)
    assert remark.startswith(f"the network says class 1 for all {N_EVENTS} events")


def remarks(classifier: Any) -> tuple[str, ...]:
    scores, classes = classifier.scores(VALUES), classifier.predict(VALUES)
    return check_network(classifier, VALUES, LABELS, scores, classes)


def test_weights_that_are_infinite_are_found() -> None:
    module = nn.Linear(3, 1)
    module.weight.data[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"output is infinite for .* events; check its weights"):
        remarks(TorchClassifier(module))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": {0: 0.5, 1: 1}}, "class 0.5 of 0 is not a whole number"),
        ({"classes": {0: "0", 1: 1}}, "class '0' of 0 is not a whole number"),
        ({"classes": {0: 1, "0": 0, 1: 1}}, "'0' has the classes 1 and 0"),
        ({"labels": None, "classes": {0: 0}}, "there are no labels"),
        ({"labels": np.where(LABELS, 15, -15)}, r"pass classes=\{'-15': 0, '15': 1\}"),
        ({"sentinel": "-999"}, "sentinel must be a number, got '-999'"),
        ({"sentinel": [-999, -99]}, "sentinel must be a number"),
        ({"sentinel": True}, "sentinel must be a number"),
        ({"features": [hf.Feature(name="a", kind="integer"), "b", "c"]}, "declared an integer, but holds fractions"),
        ({"shape_variations": {"nominal": VALUES}}, "'nominal' names the nominal events"),
        (
            {"shape_variations": {"jes": VALUES}, "weight_variations": {"jes": np.ones(N_EVENTS)}},
            "'jes' names .* both a shape and a weight variation",
        ),
    ],
)
def test_fields_with_two_meanings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(**options)


def test_keys_of_classes_may_be_floats() -> None:
    found = table(labels=2.0 * LABELS - 1.0, classes={-1.0: 0, 1.0: 1})
    np.testing.assert_array_equal(found.labels, LABELS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: table(weight=np.ones(N_EVENTS)), "no field 'weight'; did you mean weights"),
        (lambda: table(features=[0, 1, 2]), "features are names or Feature"),
    ],
)
def test_names_of_another_kind_are_refused(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((row for row in VALUES), "a generator is not a table"),
        ([{"a": 1.0}, {"a": 2.0}], "a list is not a table"),
        (torch.ones(2, 3, requires_grad=True), "cannot be read as one array"),
        (ak.Array([{"a": 1}, {"a": "x"}]), "column 'a' holds union"),
    ],
)
def test_a_value_that_is_not_a_table_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hf.EventTable.from_arrays(values)


@pytest.mark.parametrize("mask", [LABELS, np.ones(N_EVENTS), [True, False], 3, "all"])
def test_a_selection_is_booleans_or_positions(mask: Any) -> None:
    with pytest.raises(ValueError, match=f"selected by {N_EVENTS} booleans or by their positions"):
        table().select(mask)


def test_sound_selections_stay() -> None:
    assert table().select(np.array([])).n_events == 0
    assert table().select(LABELS == 1).n_events == LABELS.sum()
    np.testing.assert_array_equal(table().select(np.array([5, 5, 1])).values, VALUES[[5, 5, 1]])


@pytest.mark.parametrize(
    ("value", "told"), [(-2147483648.0, True), (-10.0, True), (-50.0, True), (-1.0, False), (float("nan"), False)]
)
def test_a_number_that_stands_apart_may_be_missing(value: float, told: bool) -> None:
    values = np.abs(VALUES)
    values[:5, 0] = value
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        hf.EventTable.from_arrays(values, labels=LABELS)
    assert any("if that stands for a missing value" in str(warning.message) for warning in said) is told


@pytest.mark.parametrize(("value", "options"), [(-999.0, {}), (-99.9, {}), (-7.0, {"sentinel": -7.0})])
def test_weights_that_are_missing_are_told(value: float, options: dict[str, Any]) -> None:
    weights = np.ones(N_EVENTS)
    weights[3] = value
    with pytest.warns(UserWarning, match=f"1 event weights are {value:g}, which usually stands for a missing value"):
        table(weights=weights, **options)


@pytest.mark.parametrize("target", [True, 1.0, None, "signal"])
def test_a_target_is_a_rule_a_class_or_a_mask(target: Any) -> None:
    with pytest.raises(ValueError, match=f"target {target!r} is unknown"):
        attacked_events(target, table(), LABELS)


def test_a_list_is_a_mask() -> None:
    wanted = [bool(k % 2) for k in range(N_EVENTS)]
    target: Any = wanted
    assert attacked_events(target, table(), LABELS).tolist() == wanted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_iterations": True}, "n_iterations must be a whole number, got True"),
        ({"n_iterations": 2.5}, "n_iterations must be a whole number"),
        ({"n_bins": 1, "max_js_distance": 0.1}, "n_bins must be at least 2"),
        ({"max_js_distance": "0.05"}, "max_js_distance must be a number, got '0.05'"),
        ({"max_js_distance": None}, "max_js_distance must be a number"),
        ({"max_correlation_shift": True}, "max_correlation_shift must be a number"),
        ({"max_js_distance": 2.0}, "above 1, the largest distance there is"),
        ({"min_change": 1.0}, "min_change is a fraction"),
        ({"beta": np.inf}, "beta must be finite"),
    ],
)
def test_settings_of_an_attack_are_numbers_in_range(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hf.CONSERVAttack(**settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hf.Validation(inputs=None, score=None, correlations=None), "compares nothing"),
        (lambda: hf.Marginals(n_bins=1, n_quantiles=0), "a single bin compares nothing"),
        (lambda: hf.Marginals(n_quantiles=2.5), "n_quantiles must be a whole number"),  # type: ignore[arg-type]
        (lambda: hf.Marginals(max_js_distance="0.1"), "max_js_distance must be a number"),  # type: ignore[arg-type]
        (lambda: hf.Region("", np.ones(3, np.bool_)), "a region needs a name"),
    ],
)
def test_comparisons_of_nothing_are_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    pd.DataFrame({"a": VALUES[:, 0], "b": VALUES[:, 1], "y": LABELS}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["twice", "relative", "symbolic link", "hard link", "pattern"])
def test_one_file_under_two_names_is_refused(kind: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    other = file.with_name("other.csv")
    if kind == "symbolic link":
        other.symlink_to(file)
    elif kind == "hard link":
        other.hardlink_to(file)
    names: dict[str, str | Path] = {"twice": file, "relative": file.name, "pattern": "ev*.csv"}
    second = names.get(kind, other)
    with pytest.raises(ValueError, match=r"is the same file as .*, so that its events would count twice"):
        read_table([file, second], features=["a", "b"], label="y")


def test_files_of_one_name_in_two_folders_are_told(file: Path) -> None:
    folder = file.parent / "more"
    folder.mkdir()
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    with pytest.warns(UserWarning, match="have one name and count as one process, 'events'"):
        read_table([file, copy], features=["a", "b"], label="y")
    named = read_table([file, copy], features=["a", "b"], label="y", dataset="ttbar")
    assert named.datasets == ("ttbar",)


def test_a_folder_and_a_tree_behind_a_colon_are_named(file: Path) -> None:
    folder = file.with_name("parts.parquet")
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r"is a folder; name its files, as .*/\*\.parquet"):
        read_table(folder, features=["a", "b"])
    with pytest.raises(ValueError, match=r"the name of a tree is given apart"):
        read_table(f"{file}.root:Events", features=["a", "b"])
    with pytest.raises(ValueError, match="missing_value must be a number"):
        read_table(file, features=["a", "b"], missing_value="-999")  # type: ignore[arg-type]
    file.write_text("a, b\n1,2\n3,4\n")
    with pytest.raises(ValueError, match="did you mean ' b'"):
        read_table(file, features=["a", "b"])


def test_no_file_takes_the_place_of_a_folder(file: Path) -> None:
    folder = file.with_name("mine.parquet")
    folder.mkdir()
    (folder / "thesis.tex").write_text("all of it")
    with pytest.raises(FileExistsError, match="is a folder, which no file replaces"):
        write_table(table(), folder, force=True)
    assert (folder / "thesis.tex").read_text() == "all of it"
