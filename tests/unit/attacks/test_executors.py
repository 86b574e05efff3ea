# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from distributed import Client

from hepfool.attacks import AttackResult, CONSERVAttack, Noise, run_attack
from hepfool.events import EventTable, Region
from hepfool.validation import Correlations, Marginals, Validation
from tests.specimens import SineClassifier, events

pytestmark = pytest.mark.filterwarnings("ignore::hepfool.exceptions.LowStatisticsWarning")
KEPT = {
    "score": Validation(),
    "no score": Validation(score=None),
    "distance": Validation(score=None, correlations=Correlations(kind="distance")),
    "processes": Validation(score=Marginals(separately="regions"), separately="processes"),
}


def table() -> EventTable:
    found = events(240, regions=False)
    near = found.values[:, 0] < 55.0
    cuts: tuple[dict[str, tuple[float, float]], ...] = ({"pt": (-np.inf, 55.0)}, {"pt": (55.0, np.inf)})
    return replace(found, regions=(Region("low", near, cuts=cuts[0]), Region("high", ~near, cuts=cuts[1])))


def attacked(kept: Validation, executor: Any = None, **options: Any) -> AttackResult:
    attack = CONSERVAttack(validation=kept, n_iterations=2, **{"strategy": "frugal", **options})
    return run_attack(attack, SineClassifier(), table(), rng=1, executor=executor)


@contextmanager
def dask() -> Iterator[Any]:
    options: dict[str, Any] = {"processes": False, "n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with Client(**options) as client:  # type: ignore[no-untyped-call]
        yield client.get_executor()


@pytest.mark.parametrize("strategy", ["paper", "frugal"])
@pytest.mark.parametrize("name", KEPT)
def test_threads_give_the_bits_of_the_serial_run(name: str, strategy: str) -> None:
    alone = attacked(KEPT[name], strategy=strategy)
    with ThreadPoolExecutor(2) as pool:
        together = attacked(KEPT[name], pool, strategy=strategy)
    np.testing.assert_array_equal(together.adversarial.values, alone.adversarial.values)
    assert together.fooling_ratio == alone.fooling_ratio > 0.0
    assert together.validated == alone.validated


@pytest.mark.parametrize("name", ["score", "distance"])
def test_workers_of_dask_give_the_bits_of_the_serial_run(name: str) -> None:
    with dask() as executor:
        together = attacked(KEPT[name], executor)
    np.testing.assert_array_equal(together.adversarial.values, attacked(KEPT[name]).adversarial.values)


@pytest.mark.slow
def test_other_processes_give_the_bits_of_the_serial_run() -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        together = attacked(KEPT["score"], pool)
    np.testing.assert_array_equal(together.adversarial.values, attacked(KEPT["score"]).adversarial.values)


class Counting(ThreadPoolExecutor):
    def __init__(self) -> None:
        super().__init__(2)
        self.submitted = 0

    def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        self.submitted += 1
        return super().submit(function, *arguments, **options)


def test_every_group_is_a_call() -> None:
    with Counting() as pool:
        attacked(KEPT["no score"], pool, converge=False)
    assert pool.submitted == 4  # two regions, two iterations


def test_an_executor_without_effect_is_said() -> None:
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="executor has no effect: Noise"):
            run_attack(Noise(size=0.1), SineClassifier(), table(), rng=1, executor=pool)
        with pytest.warns(UserWarning, match="executor gains nothing: all events are compared together"):
            attacked(Validation(score=None, separately="union"), pool)


def test_what_fails_on_a_worker_is_raised() -> None:
    class Broken(ThreadPoolExecutor):
        def submit(self, function: Any, /, *_: Any, **__: Any) -> Any:
            def fail() -> None:
                msg = "worker lost"
                raise OSError(msg)

            return super().submit(fail)

    with Broken(1) as pool, pytest.raises(OSError, match="worker lost"):
        attacked(KEPT["no score"], pool)
