# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from hepfool.formula import FUNCTIONS, Formula

PT, MET, DPHI = np.array([30.0, 50.0]), np.array([20.0, 80.0]), np.array([0.5, -2.0])


def test_a_transverse_mass_is_computed() -> None:
    formula = Formula("sqrt(2 * pt * met * (1 - cos(dphi)))")
    assert formula.inputs == ("pt", "met", "dphi")
    assert formula(PT, MET, DPHI) == pytest.approx(np.sqrt(2.0 * PT * MET * (1.0 - np.cos(DPHI))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-a ** 2 + 1", [-3.0, -8.0]),
        ("min(a, 2.5, 9) - max(a, 2.5)", [-0.5, -0.5]),
        ("hypot(a, 0 * a) / a", [1.0, 1.0]),
        ("arctan2(sin(a - 2 * pi), cos(a))", [2.0, 3.0]),
        ("abs(-jet.pt) + exp(log(jet.pt))", [4.0, 6.0]),
        ("a / b", None),
    ],
)
def test_arithmetic_means_what_it_says(text: str, expected: list[float] | None) -> None:
    formula = Formula(text)
    if expected is None:
        assert formula.inputs == ("a", "b")
    else:
        assert formula(np.array([2.0, 3.0])) == pytest.approx(expected)


def test_every_function_is_there() -> None:
    two = {"min", "max", "hypot", "arctan2", "filled"}
    assert {"abs", "cos", "exp", "log", "sin", "sqrt", *two} <= set(FUNCTIONS)
    for name in FUNCTIONS:
        arguments = "x, x" if name in two else "x"
        assert np.isfinite(Formula(f"{name}({arguments})")(np.array([0.5]))).all(), name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('x')", "is not arithmetic over columns"),
        ("eval(a)", "there is no function 'eval'"),
        ("a if b else c", "is not arithmetic"),
        ("[a for a in b]", "is not arithmetic"),
        ("a[0]", "is not arithmetic"),
        ("(a + b).real", "is not a column"),
        ("a and b", "is not arithmetic"),
        ("a < b", "is not arithmetic"),
        ("a + True", "is not arithmetic"),
        ("a + 'x'", "is not arithmetic"),
        ("lambda: a", "is not arithmetic"),
        ("sqrt(a, b)", "sqrt takes 1 value, got 2"),
        ("min(a)", "min takes 2 values, got 1"),
        ("sqrt(x=a)", "is not arithmetic"),
        ("a +", "cannot be read"),
        ("a = 3", "cannot be read"),
        ("1 + 2", "takes no column"),
        ("a * 1e200", "too large a number"),
        ("(" * 400 + "a" + ")" * 400, "cannot be read"),
        ("-" * 998 + "a", "cannot be read|nested too deeply"),
        ("a" * 1001, "has 1001 characters"),
    ],
)
def test_what_is_not_arithmetic_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Formula(text)


def test_a_missing_input_gives_a_missing_value_and_an_impossible_one_is_refused() -> None:
    formula = Formula("sqrt(a)")
    columns = {"a": np.array([4.0, math.nan])}
    np.testing.assert_array_equal(formula.complete(columns), [2.0, math.nan])
    with pytest.raises(ValueError, match=r"'sqrt\(a\)' gives nan in 1 events, first at event 1 \(a -1\); protect it"):
        formula.complete({"a": np.array([4.0, -1.0])})
    with pytest.raises(ValueError, match="gives inf in 1 events"):
        Formula("1 / a").complete({"a": np.array([0.0])})


def test_a_missing_value_can_be_filled() -> None:
    formula = Formula("a + filled(b * cos(c), 0)")
    found = formula(np.array([1.0, 2.0]), np.array([3.0, math.nan]), np.array([0.0, math.nan]))
    assert found.tolist() == [4.0, 2.0]


def test_a_formula_travels_to_workers() -> None:
    formula = Formula("a - b")
    assert pickle.loads(pickle.dumps(formula)) == formula
    assert repr(formula) == "Formula(text='a - b', inputs=('a', 'b'))"
