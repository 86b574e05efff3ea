# SPDX-License-Identifier: BSD-3-Clause
"""Sums that do not depend on the order of their summands, against exact rational numbers."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepfool.statistics._exact import ExactSum

numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
arrays = st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=8)


@given(arrays, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_bits(rows: list[list[float]], random: Random) -> None:
    straight = sum((ExactSum.of(row) for row in rows[1:]), ExactSum.of(rows[0]))
    left = [ExactSum.of(row) for row in rows]
    while len(left) > 1:
        random.shuffle(left)
        left.append(left.pop() + left.pop())
    assert left[0] == straight
    assert left[0].value.tobytes() == straight.value.tobytes()


@given(arrays)
def test_nothing_is_lost(rows: list[list[float]]) -> None:
    found = sum((ExactSum.of(row) for row in rows[1:]), ExactSum.of(rows[0]))
    for column in range(3):
        windows = sum((Fraction(float(part[column])) for part in found.windows.values()), Fraction(0))
        assert windows == sum(Fraction(row[column]) for row in rows)


@given(arrays)
def test_empty_sums_are_neutral(rows: list[list[float]]) -> None:
    found = ExactSum.of(rows[0])
    assert found + ExactSum.of(np.zeros(3)) == found == ExactSum.of(np.zeros(3)) + found


def test_the_smallest_number_counts() -> None:
    tiny = ExactSum.of([5e-324, 1.0])
    assert (tiny + tiny).value.tolist() == [1e-323, 2.0]


@pytest.mark.parametrize("values", [[np.nan], [np.inf]])
def test_numbers_that_are_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="1 of 1 numbers to be added are not finite"):
        ExactSum.of(values)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\) and \(3,\) cannot be added"):
        ExactSum.of(np.zeros(2)) + ExactSum.of(np.zeros(3))
