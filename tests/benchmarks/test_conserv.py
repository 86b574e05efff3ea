# SPDX-License-Identifier: BSD-3-Clause
"""What the attack costs: against the gradient alone, and how that grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hepfool.attacks import CONSERVAttack, run_attack
from hepfool.demo import demo_steps
from hepfool.events import EventTable
from hepfool.models import Standardise, TorchClassifier, conservattack_higgs, mlp
from tests.benchmarks.conftest import Record

Wall = Callable[..., float]


def caps(n_events: int) -> dict[str, Any]:
    """Table 3 of the paper with its caps scaled to the number of events."""
    return {
        "max_js_distance": 0.006 * (63000 / n_events) ** 0.5,
        "max_correlation_change": 12.6 / n_events,
        "beta": 20.0,
    }


@pytest.fixture(scope="module")
def higgs(reference_data: Path) -> tuple[EventTable, TorchClassifier]:
    with np.load(reference_data / "higgs2014.npz", allow_pickle=False) as file:
        table = EventTable.from_arrays(file["X"], labels=file["y"], features=[str(name) for name in file["columns"]])
    with np.load(reference_data / "higgs2014_weights.npz") as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    module = conservattack_higgs()
    module.load_state_dict(state)
    return table, TorchClassifier(module)


def attack(table: EventTable, classifier: TorchClassifier, **settings: Any) -> Callable[[], Any]:
    configuration = CONSERVAttack(**{**caps(table.n_events), **settings})
    return lambda: run_attack(configuration, classifier, table, rng=np.random.default_rng(1))


def bare_gradient(table: EventTable, classifier: TorchClassifier, n_iterations: int) -> Callable[[], Any]:
    def call() -> None:
        for _ in range(n_iterations):
            classifier.margin_and_gradient(table.values, table.labels)

    return call


@pytest.mark.parametrize(("strategy", "target"), [("paper", "<= 2"), ("frugal", "<= 6")])
def test_iteration_against_the_bare_gradient(
    higgs: tuple[EventTable, TorchClassifier], record: Record, wall: Wall, strategy: str, target: str
) -> None:
    table, classifier = higgs
    settings: dict[str, Any] = {"n_iterations": 10, "max_correlation_shift": 0.02}
    if strategy == "frugal":  # at its own prices
        settings |= {"alpha": None, "beta": None, "max_correlation_change": np.inf, "converge": False}
    seconds = wall(attack(table, classifier, strategy=strategy, **settings))
    bare = wall(bare_gradient(table, classifier, 10))
    record(
        f"iteration / bare gradient, {strategy}",
        seconds / bare,
        target=target,
        remark=f"higgs2014, {table.n_events} x {table.n_features}, 10 iterations, {seconds:.2f} s / {bare:.2f} s",
    )


def test_two_threads_against_one(
    higgs: tuple[EventTable, TorchClassifier], record: Record, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, classifier = higgs
    seconds = []
    for n_threads in (1, 2):
        monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", n_threads)
        seconds.append(wall(attack(table, classifier, n_ahead=256)))
    ratios = [attack(table, classifier, n_ahead=n)().fooling_ratio for n in (1, 256)]
    remark = f"n_ahead=256, fooling ratio {ratios[1]:.3f} against {ratios[0]:.3f} with n_ahead=1, {seconds[0]:.2f} s"
    record("one thread / two threads", seconds[0] / seconds[1], remark=remark)


def test_fooling_ratio(higgs: tuple[EventTable, TorchClassifier], record: Record) -> None:
    table, classifier = higgs[0].select(np.arange(2000)), higgs[1]
    result = attack(table, classifier, n_iterations=20, max_js_distance=0.0337, max_correlation_shift=0.03)()
    assert result.compatibility.correlation_shift <= 0.03
    remark = f"higgs2014, N = 2000, JSD <= 0.0337, correlation shift {result.compatibility.correlation_shift:.4f}"
    record("fooling ratio, paper", result.fooling_ratio, target=">= 0.70", remark=remark)


def resampled(table: EventTable, n_events: int) -> EventTable:
    """Bootstrap with a little smearing, so that no two events are equal."""
    rng = np.random.default_rng(2)
    chosen = rng.integers(table.n_events, size=n_events)
    noise = 1.0 + 1e-3 * rng.normal(size=(n_events, table.n_features))
    return EventTable.from_arrays(
        table.values[chosen] * noise, labels=table.labels[chosen], features=table.features.names
    )


@pytest.fixture(scope="module")
def large() -> Callable[[int], tuple[EventTable, TorchClassifier]]:
    sample = demo_steps(until="baseline")["events"].simulation["train"]
    torch.manual_seed(1)
    network = TorchClassifier(mlp(sample.n_features, (64, 32), preprocessing=Standardise.of(sample)))

    def make(n_events: int) -> tuple[EventTable, TorchClassifier]:
        table = resampled(sample, n_events)
        labels = network.predict(table.network_values)
        return EventTable.from_arrays(table.values, labels=labels), network

    return make


def test_time_grows_linearly(
    large: Callable[[int], tuple[EventTable, TorchClassifier]], record: Record, wall: Wall
) -> None:
    small, four = (wall(attack(*large(n), n_iterations=3), repeat=1) for n in (20_000, 80_000))
    record(
        "time(4 n) / time(n)",
        four / small,
        target="<= 4.4",
        remark=f"H to tau tau bootstrapped to 20 000 x 28, 3 iterations, {small:.2f} s",
    )


def test_a_dense_grid_costs_little_more(
    large: Callable[[int], tuple[EventTable, TorchClassifier]], record: Record, wall: Wall
) -> None:
    table, classifier = large(10_000)
    dense = wall(attack(table, classifier, step=5e-4, n_iterations=3))
    fifty = wall(attack(table, classifier, n_candidates=50, n_iterations=3))
    record("dense grid / 50 random candidates", dense / fifty, target="<= 2", remark=f"10 000 x 28, {dense:.2f} s")


def test_weights_cost_little(
    large: Callable[[int], tuple[EventTable, TorchClassifier]], record: Record, wall: Wall
) -> None:
    table, classifier = large(10_000)
    weights = np.random.default_rng(3).uniform(0.2, 2.0, size=table.n_events)
    weighted = EventTable.from_arrays(table.values, labels=table.labels, weights=weights)
    seconds = [wall(attack(t, classifier, n_iterations=3)) for t in (weighted, table)]
    record("weighted / unweighted", seconds[0] / seconds[1], target="<= 2", remark=f"10 000 x 28, {seconds[0]:.2f} s")
