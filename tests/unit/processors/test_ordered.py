# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import functools
import operator
import pickle

import numpy as np
import pytest
from coffea.processor import accumulate

from hepfool.processors._ordered import OrderedSum
from hepfool.statistics._dependence import MaskedMoments


def _parts(rng: np.random.Generator, n: int) -> list[OrderedSum]:
    outputs = [
        {"moments": MaskedMoments.of(rng.lognormal(sigma=8.0, size=(3, 2)), rng.normal(size=3)), "n": {f"file {k}": k}}
        for k in range(n)
    ]
    return [OrderedSum.of(k, out) for k, out in enumerate(outputs)]


@pytest.mark.parametrize("n", [1, 2, 7, 16, 23])
def test_the_last_bit_does_not_depend_on_the_order(rng: np.random.Generator, n: int) -> None:
    parts = _parts(rng, n)
    expected = accumulate(parts).total()
    plain = set()
    for _ in range(10):
        order = rng.permutation(n)
        cut = int(rng.integers(0, n + 1))
        # In two pieces, as two workers would, one of them through a pickle.
        left = functools.reduce(operator.add, [parts[k] for k in order[:cut]], OrderedSum({}))
        right = functools.reduce(operator.add, [parts[k] for k in order[cut:]], OrderedSum({}))
        total = (pickle.loads(pickle.dumps(right)) + left).total()
        assert total["n"] == expected["n"]
        np.testing.assert_array_equal(total["moments"].sums.second, expected["moments"].sums.second)
        plain.add(sum(parts[k].parts[0, k]["moments"] for k in order).sums.second.tobytes())
    assert len(plain) > 1 or n < 3, "these numbers do not tell one order from another"


def test_neighbours_merge_at_once(rng: np.random.Generator) -> None:
    merged = functools.reduce(operator.add, _parts(rng, 11))
    assert set(merged.parts) == {(3, 0), (1, 4), (0, 10)}


def test_a_chunk_counts_once(rng: np.random.Generator) -> None:
    first, second, *_ = _parts(rng, 3)
    with pytest.raises(ValueError, match=r"\[\(0, 0\)\].* merged twice"):
        _ = first + first
    both = first + second
    with pytest.raises(ValueError, match="merged twice"):
        _ = both + both


def test_nothing_is_changed_by_adding(rng: np.random.Generator) -> None:
    first, second, *_ = _parts(rng, 3)
    _ = first + second
    assert list(first.parts) == [(0, 0)]
    assert first.parts[0, 0]["n"] == {"file 0": 0}
