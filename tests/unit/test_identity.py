# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from hepfool.attacks import CONSERVAttack
from hepfool.identity import code_digest, identity
from hepfool.samples.htautau_analysis import HiggsToTauTau


@dataclass(frozen=True)
class Record:
    values: Any = 1
    more: dict[str, Any] = field(default_factory=dict)


class Plain:
    def __init__(self, values: Any) -> None:
        self.values = values


def scaled(by: float) -> Callable[[float], float]:
    return lambda x: by * x


SAME_KIND = [
    [1, 1.0, True, "1", b"1", None, np.float32(1.0)],
    [np.zeros(3), np.ones(3), np.zeros(3, dtype=np.float32), np.zeros((3, 1))],
    [Record(), Record(2), Record(np.arange(3)), Record(more={"a": 1}), Plain(1), Plain(2)],
    [scaled(1.0), scaled(2.0), abs, functools.partial(scaled, 1.0), functools.partial(scaled, 2.0)],
    [{"a", "b"}, {"a", "c"}, ("a", "b"), {"a": "b"}],
    [CONSERVAttack(), CONSERVAttack(n_bins=50), HiggsToTauTau(), HiggsToTauTau(luminosity_pb=2.0)],
]


@pytest.mark.parametrize("values", SAME_KIND, ids=lambda values: type(values[0]).__name__)
def test_what_differs_has_another_identity(values: list[Any]) -> None:
    assert len({identity(value) for value in values}) == len(values)


def test_the_same_has_the_same_identity() -> None:
    assert identity(Record(np.arange(3), {"a": 1, "b": [2]})) == identity(Record(np.arange(3), {"b": [2], "a": 1}))
    assert identity(Plain(np.arange(3))) == identity(Plain(np.arange(3)))
    assert identity(scaled(2.0)) == identity(scaled(2.0))
    loop: list[Any] = []
    loop.append(loop)
    assert identity(loop) == identity(loop)


def test_a_network_is_its_own_digest() -> None:
    @dataclass
    class Network:
        digest: str
        anything: Any = None

    assert identity(Network("a", 1)) == identity(Network("a", 2)) != identity(Network("b", 1))


def test_every_process_finds_the_same() -> None:
    program = (
        "from hepfool.identity import identity\n"
        "from hepfool.samples.htautau_analysis import HiggsToTauTau\n"
        "print(identity((HiggsToTauTau(sum_weights={'a': 1.0}), {'a', 'b', 'c'}, lambda x: x in {'u', 'v', 'w'})))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]


def test_undecidable_input_is_refused() -> None:
    with pytest.raises(ValueError, match="has no fingerprint"):
        identity(i for i in range(3))


def test_the_code_of_the_analysis_counts() -> None:
    assert code_digest(HiggsToTauTau()) == code_digest(HiggsToTauTau(luminosity_pb=3.0))
    assert code_digest(HiggsToTauTau()) != code_digest(Record()) != code_digest()
    assert code_digest(scaled) == code_digest(Record())  # of the same file
