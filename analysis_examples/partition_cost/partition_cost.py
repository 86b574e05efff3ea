# SPDX-License-Identifier: BSD-3-Clause
"""
Fooling ratio against the size of the partitions in which events are attacked.

    python partition_cost.py -o figures
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from hepfool import EventTable
from hepfool.attacks import CONSERVAttack
from hepfool.exceptions import LowStatisticsWarning
from hepfool.models import Standardise, mlp
from hepfool.plots import PlotStyle, plot_partition_cost
from hepfool.processors import PartitionCost, PartitionedAttack, partition_cost
from hepfool.training import fit

SEED = 1
N_FEATURES = 10


def correlated_events(n_events: int, rng: np.random.Generator) -> EventTable:
    """Two classes that differ in the means of ten correlated inputs."""
    labels = rng.integers(2, size=n_events)
    mixing = np.random.default_rng(SEED).normal(size=(N_FEATURES, N_FEATURES)) / np.sqrt(N_FEATURES)
    means = 0.25 * np.random.default_rng(SEED + 1).normal(size=N_FEATURES)
    values = rng.normal(size=(n_events, N_FEATURES)) @ (np.eye(N_FEATURES) + 0.5 * mixing)
    return EventTable.from_arrays(values + np.where(labels == 1, 1.0, -1.0)[:, None] * means, labels=labels)


def measure(n_events: int, n_partitions: tuple[int, ...], n_seeds: int) -> PartitionCost:
    """Train a network and attack the same events whole and in parts."""
    rng = np.random.default_rng(SEED)
    training, validation, events = (correlated_events(n, rng) for n in (20_000, 5_000, n_events))
    network = partial(mlp, N_FEATURES, (32, 32), preprocessing=Standardise.of(training))
    classifier = fit(network, training, validation, seed=SEED).classifier
    attack = CONSERVAttack(
        strategy="frugal",
        # A search that is far from done in ten iterations shows what partitions cost.
        start="nominal",
        alpha=4.0,
        beta=1.0,
        reward=200.0,
        n_iterations=10,
        n_bins=100,
        max_js_distance=0.01,
        max_correlation_shift=0.02,
    )
    settings = PartitionedAttack(classifier=classifier, attack=attack)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowStatisticsWarning)  # small partitions are the question
        return partition_cost(events, settings, n_partitions=n_partitions, seeds=range(1, n_seeds + 1))


def show(cost: PartitionCost) -> None:
    """Print what the figure shows."""
    table = Table("events per partition", "fooling ratio", "JSD", "ΔFN", "raised by", "fooling ratio", "JSD", "ΔFN")
    for parts, kept, raised in zip(cost.n_partitions, cost.kept, cost.raised, strict=True):
        cells = [f"{cost.n_events / parts:.0f}"]
        for trials in (kept, raised):
            ratios = np.array([trial.fooling_ratio for trial in trials])
            if trials is raised:
                factors = np.mean([(t.js_factor, t.correlation_factor) for t in trials], axis=0)
                cells.append(f"{factors[0]:.2f}, {factors[1]:.2f}")
            spread = f" ± {ratios.std(ddof=1):.3f}" if len(ratios) > 1 else ""
            cells.append(f"{ratios.mean():.3f}{spread}")
            cells.append(f"{np.mean([t.max_js_distance for t in trials]):.4f}")
            cells.append(f"{np.mean([t.correlation_shift for t in trials]):.4f}")
        table.add_row(*cells)
    Console(width=120).print(table)


@click.command()
@click.option("-o", "--output", default="output", show_default=True, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Few events, to see that it runs.")
def main(output: Path, *, quick: bool) -> None:
    """Measure what partitions cost."""
    cost = measure(2000, (1, 4), 1) if quick else measure(20_000, (1, 4, 20, 100), 3)
    show(cost)
    output.mkdir(parents=True, exist_ok=True)
    figure, _ = plot_partition_cost(cost, style=PlotStyle(experiment="plain"))
    figure.savefig(output / "partition_cost.png", dpi=60)


if __name__ == "__main__":
    main()
