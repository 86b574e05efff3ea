# SPDX-License-Identifier: BSD-3-Clause
"""
When do constituents beat four observables? With and without a detector, for several numbers of jets (arXiv:1910.08606, sec. II).

    python detector_and_size.py --sample FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier

from hepfool import EventTable
from hepfool.contrib.jets import jet_d2, jet_mass, jet_pt
from hepfool.plots import PlotStyle
from hepfool.training import auroc

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.ai_safety_jets.networks import EARLY, LOW, NETWORKS, STAGES, Stage, Trained, train
from analysis_examples.papers.ai_safety_jets.sample import LEVELS, TEST, make_sample, read_sample
from analysis_examples.samples.jet_production import Level

SEED, N_BOOTSTRAP = 1, 200
PUBLISHED = {"Low level": 0.88, "High level": 0.79}
STYLE = PlotStyle(experiment="plain", label="", energy=13.0)


class Size(NamedTuple):
    """How much of everything."""

    numbers: tuple[int, ...]
    stages: tuple[Stage, ...]
    n_constituents: int
    batch_size: int


FULL = Size((5_000, 10_000), STAGES, 64, 100)
QUICK = Size((200, 400), (Stage(3, 1e-3), Stage(1, 3e-4)), 8, 20)


class Point(NamedTuple):
    """One network; AUROCs are of the same test jets for all numbers of training jets of a level."""

    level: Level
    network: str
    n_jets: int
    auroc: float
    replicas: np.ndarray  # of the AUROC, with the same resampled test jets for all networks of a level
    by_epoch: list[float]  # of the validation jets
    seconds: float

    @property
    def error(self) -> float:
        """Standard error by resampling the test jets."""
        return float(self.replicas.std())


def resampled(scores: np.ndarray, jets: EventTable) -> np.ndarray:
    """AUROCs of resampled jets, always the same ones."""
    rng = np.random.default_rng(SEED)
    chosen = (rng.integers(len(jets.labels), size=len(jets.labels)) for _ in range(N_BOOTSTRAP))
    return np.array([auroc(jets.labels[c], scores[c]) for c in chosen])


def measured(folder: Path, work: Path, size: Size) -> list[Point]:
    """Train every network on every number of jets, as far as it is not kept."""
    points = []
    for level in LEVELS:
        sample = read_sample(folder, level, max(size.numbers), size.n_constituents)
        for number in size.numbers:
            jets = sample.first(number)
            for name in NETWORKS:
                found: Trained = train(
                    name,
                    jets.train,
                    jets.validation,
                    size.stages,
                    seed=SEED,
                    folder=work,
                    batch_size=size.batch_size,
                    early=EARLY if name == LOW else (),
                )
                scores = found.classifier.scores(jets.test.network_values)[:, 1]
                by_epoch = [each for _, each in found.history]
                points.append(
                    Point(
                        level,
                        name,
                        number,
                        auroc(jets.test.labels, scores),
                        resampled(scores, jets.test),
                        by_epoch,
                        found.seconds,
                    )
                )
                click.echo(
                    f"{level}, {number} jets of each kind, {name}: {points[-1].auroc:.4f} ± {points[-1].error:.4f}"
                )
    return points


def with_multiplicity(folder: Path, size: Size) -> None:
    """Print what trees make of three observables, alone and with the number of constituents, of the largest sample."""
    number = max(size.numbers)
    table = Table("trees on", *LEVELS)
    columns = []
    for level in LEVELS:
        sample = read_sample(folder, level, number, size.n_constituents)
        observables = observed(sample.table)
        among = np.minimum(sample.n_constituents, size.n_constituents)
        train_jets, test = sample.within(number, 0), sample.within(number, TEST)
        column = []
        for inputs in (observables, [*observables, among], [*observables, sample.n_constituents]):
            values = np.column_stack(inputs)
            trees = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=10, random_state=SEED)
            trees.fit(values[train_jets], sample.table.labels[train_jets])
            scores = trees.predict_proba(values[test])[:, 1]
            jets = sample.table.select(test)
            column.append(f"{auroc(jets.labels, scores):.4f} ± {resampled(scores, jets).std():.4f}")
        above = np.mean(sample.n_constituents > size.n_constituents)
        columns.append([*column, f"{above:.3f}"])
    rows = (
        "mass, pT and D2",
        "and the number of constituents kept",
        "and the number of all",
        "jets with more than are kept",
    )
    for name, *cells in zip(rows, *columns, strict=True):
        table.add_row(name, *cells)
    Console(width=150).print(table)


def observed(jets: EventTable) -> list[np.ndarray]:
    """The observables of the high-level network; jets are turned to eta = 0."""
    batches = torch.split(torch.from_numpy(jets.network_values.copy()), 4096)
    return [torch.cat([function(batch) for batch in batches]).numpy() for function in (jet_mass, jet_pt, jet_d2)]


def show(points: list[Point]) -> None:
    """Print all areas."""
    table = Table("constituents", "jets of each kind", "network", "AUROC", "validation, by epoch", "s")
    for point in points:
        epochs = " ".join(f"{each:.3f}"[1:] for each in point.by_epoch)
        value = f"{point.auroc:.4f} ± {point.error:.4f}"
        table.add_row(point.level, str(point.n_jets), point.network, value, epochs, f"{point.seconds:.0f}")
    console = Console(width=150)
    console.print(table)
    for low, high in zip(points[::2], points[1::2], strict=True):
        difference = f"{low.auroc - high.auroc:+.4f} ± {(low.replicas - high.replicas).std():.4f}"
        console.print(f"{low.level}, {low.n_jets} jets of each kind: low less high level {difference}")


def drawn(points: list[Point]) -> Figure:
    """Draw areas against the number of jets, full for towers and open for particles."""
    with STYLE.context():
        figure = STYLE.figure()
        figure.set_layout_engine("constrained")
        ax = figure.subplots()
        for name, colour in zip(NETWORKS, STYLE.colours, strict=False):
            for level in LEVELS:
                own = [point for point in points if (point.level, point.network) == (level, name)]
                ax.errorbar(
                    [point.n_jets / 1000 for point in own],
                    [point.auroc for point in own],
                    [point.error for point in own],
                    color=colour,
                    marker="o",
                    markersize=9,
                    linestyle="-" if level == "towers" else "--",
                    markerfacecolor=colour if level == "towers" else "white",
                    label=f"{name}, {level}",
                )
            ax.axhline(PUBLISHED[name], color=colour, linestyle=":", linewidth=2)
        ax.plot([], [], color="0.3", linestyle=":", linewidth=2, label="Published, Delphes")
        ax.set_xlabel("Thousand jets of each kind")
        ax.set_ylabel("AUROC")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.5 * (high - low))
        ax.legend(loc="upper left", fontsize=STYLE.text_size)
    return figure


@click.command()
@click.option("-o", "--output", default="output", show_default=True, type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="Folder of the jets, made there where they are not.")
@click.option("--jets", type=int, multiple=True, help="Numbers of jets of each kind, instead of the default ones.")
@click.option("--quick", is_flag=True, help="Few jets and epochs.")
def main(output: Path, sample: Path | None, jets: tuple[int, ...], *, quick: bool) -> None:
    """Simulate jets with and without a detector, train both networks on several numbers of them, and compare."""
    size = QUICK if quick else FULL
    size = size._replace(numbers=jets or size.numbers)
    folder = sample or output / ("sample-quick" if quick else "sample")
    output.mkdir(parents=True, exist_ok=True)
    make_sample(folder, max(size.numbers))
    with_multiplicity(folder, size)
    points = measured(folder, output / "work", size)
    show(points)
    figure = drawn(points)
    for kind in ("pdf", "png"):
        figure.savefig(output / f"detector_and_size.{kind}", dpi=60)


if __name__ == "__main__":
    main()
