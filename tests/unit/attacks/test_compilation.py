# SPDX-License-Identifier: BSD-3-Clause
"""What compiling costs: each kernel once, and nothing for the collector of garbage."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import numba
import numpy as np
import pytest
from numba.core import event

from hepfool import _kernels as kernels
from hepfool._kernels import allocating_part, inline_kernel

KERNELS = [
    "hepfool.attacks._search.sweep._propose",
    "hepfool.attacks._search.sweep._sweep",
    "hepfool.statistics._bins.add_to_bins",
    "hepfool.statistics._dataset_state._refresh_divergence",
]
PROGRAM = """
import importlib, json
from dataclasses import replace
import numpy as np
from hepfool import CONSERVAttack, EventTable, run_attack
from tests.specimens import SineClassifier, events

tables = [events(60), events(60, regions=False), events(60, weighted=False)]
by_column = EventTable.from_arrays(
    np.asfortranarray(tables[1].values), labels=tables[1].labels, features=tables[1].features, sentinel=-999.0
)
assert by_column.values.flags.f_contiguous
tables += [by_column, tables[1].select(np.arange(60) % 2 == 0)]
for table in tables:
    for options in ({"n_ahead": 4}, {"n_candidates": 5}, {"strategy": "frugal"}):
        attack = CONSERVAttack(n_iterations=2, **options)
        run_attack(attack, SineClassifier(), table, rng=np.random.default_rng(1))
found = {}
for name in NAMES:
    module, _, function = name.rpartition(".")
    found[name] = len(getattr(importlib.import_module(module), function).signatures)
print(json.dumps(found))
"""


def test_a_kernel_is_compiled_for_one_set_of_types_whatever_the_table() -> None:
    program = PROGRAM.replace("NAMES", repr(KERNELS))
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=root)
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(KERNELS, 1)


class Watch(event.Listener):
    """Writes down whether the collector works while something is compiled."""

    def __init__(self) -> None:
        self.working: list[bool] = []

    def on_start(self, _: event.Event) -> None:
        self.working.append(gc.isenabled())

    def on_end(self, _: event.Event) -> None: ...


def half_of(x: float) -> float:
    return 0.5 * x


def broken_for(x: float) -> float:
    return x.nothing  # type: ignore[attr-defined, no-any-return]


def fresh(function: Callable[[float], float]) -> Callable[[float], float]:
    """Return a copy: a function is merged once."""
    return FunctionType(function.__code__, globals())


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("function", [half_of, broken_for])
def test_the_collector_rests_while_a_kernel_is_compiled(function: Callable[[float], float], enabled: bool) -> None:
    merged = inline_kernel(fresh(function))
    compiled = numba.njit(lambda x: merged(x) + 1.0)
    watch = Watch()
    (gc.enable if enabled else gc.disable)()
    try:
        with event.install_listener("numba:compile", watch):
            if function is half_of:
                assert compiled(3.0) == 2.5
            else:
                with pytest.raises(Exception, match="nothing"):
                    compiled(3.0)
        assert len(watch.working) >= 2
        assert not any(watch.working)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_a_merged_kernel_runs_from_python_as_it_stands() -> None:
    half = fresh(half_of)
    assert inline_kernel(half) is half
    assert half(3.0) == 1.5
    assert numba.njit(lambda x: half(x) + 1.0)(3.0) == 2.5


def rows_above(x: np.ndarray, least: float) -> np.ndarray:
    return x[x[:, 0] > least] + 1.0


def test_a_part_is_translated_within_its_callers_only() -> None:
    part = allocating_part(FunctionType(rows_above.__code__, globals()))
    whole = numba.njit(lambda x: part(x, 0.5).sum() + part(x, 2.0).sum())
    x = np.arange(6.0).reshape(3, 2)
    assert whole(x) == part(x, 0.5).sum() + part(x, 2.0).sum() == 29.0
    (entry,) = kernels._parts[-1].overloads.values()
    assert entry.library.get_pointer_to_function(entry.fndesc.mangled_name) == 0
