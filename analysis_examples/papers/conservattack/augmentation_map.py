# SPDX-License-Identifier: BSD-3-Clause
"""
Where adversarial events help a training, if anywhere: strength of the attack against the part of its successes that is added.

    python augmentation_map.py atlas-higgs-challenge-2014-v2.csv.gz -o figures

Networks are trained as in the other studies, and so that they overfit. What gains more than two standard errors is
repeated with fresh seeds, because one of so many cells will by chance, and because all cells of a seed share its baseline; beside it
stands what the same events gain if they are added as they were.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from common import QUICK_TRAINING, STYLE, Bar, network, preset, save
from inputs import task_events
from kept import kept
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.console import Console
from rich.table import Table

from hepfool import EventTable, TorchClassifier, run_attack
from hepfool.attacks import PGD, Attack, AttackResult
from hepfool.defences import successes
from hepfool.identity import table_digest
from hepfool.plots import add_experiment_label
from hepfool.studies import Splits, split_events
from hepfool.training import TrainingSettings, auroc, fit
from hepfool.typing import FloatArray, IntArray

PARTS = (0.03, 0.1, 0.3, 1.0)
TABLE_4, NEAREST = "Table 4", "Table 4, nearest"
#: Standard errors above which a gain is repeated, with this many times the seeds.
N_SIGMA, MORE = 2.0, 2


class Regime(NamedTuple):
    """How a network is trained, and on how many events; ``last`` keeps the last epoch, not the best on validation events."""

    name: str
    n_train: int
    training: TrainingSettings
    last: bool


class Cell(NamedTuple):
    """Gains of one attack and part, seed by seed."""

    regime: str
    attack: str
    part: float
    gains: FloatArray
    fooled: float  # fooling ratio of the attack on the training events
    repeated: bool = False

    @property
    def mean(self) -> float:
        """Mean gain in AUROC."""
        return float(self.gains.mean())

    @property
    def error(self) -> float:
        """Standard error from the spread of the seeds."""
        return float(self.gains.std(ddof=1) / np.sqrt(len(self.gains)))

    @property
    def stands_out(self) -> bool:
        """Whether it is worth a repetition."""
        return self.mean > N_SIGMA * self.error

    def __str__(self) -> str:
        """Give mean and error."""
        return f"{self.mean:+.4f} ± {self.error:.4f}"


def regimes(*, quick: bool) -> tuple[Regime, ...]:
    """As in the study of Table 4, and overfitting on few events without early stopping."""
    if quick:
        return (Regime("best epoch", 400, QUICK_TRAINING, last=False),)

    endless = TrainingSettings(max_epochs=30, patience=30, checkpoints=(30,), batch_size=128)
    return (
        Regime("5000 events, best epoch", 5000, TrainingSettings(max_epochs=40, patience=6), last=False),
        Regime("1000 events, last of 30 epochs", 1000, endless, last=True),
    )


def cells_of(regime: Regime, *, quick: bool) -> list[tuple[str, float]]:
    """Attacks and parts to measure: the published attack alone where networks overfit."""
    names = (TABLE_4,) if regime.last else (*attacks(quick=quick), NEAREST)
    return [(name, part) for name in names for part in PARTS]


def attacks(*, quick: bool) -> dict[str, Attack]:
    """From steps that hardly fool to the published attack."""
    steps = {f"PGD, step {step:g}": PGD(step=step, n_iterations=3) for step in (0.001, 0.004, 0.016)}
    return {**steps, TABLE_4: preset("higgs_augmentation", "move", quick=quick)}


def nearest(result: AttackResult) -> IntArray:
    """Order the successes by how far they went beyond the boundary, the nearest first."""
    beyond = np.abs(result.adversarial_scores[result.fooled, 1] - result.threshold)
    return np.argsort(beyond, kind="stable")


def unmoved(name: str) -> str:
    """Name the control of an attack: its fooled events as they were before."""
    return f"{name}, unmoved"


def one_seed(
    regime: Regime, splits: Splits, seed: int, wanted: Collection[tuple[str, float]], *, quick: bool
) -> dict[str, list[float]]:
    """
    Return fooling ratio and gains of every part by attack, NaN for what is not wanted.

    Initial weights and order are drawn alike without and with added events.
    """
    rng = np.random.default_rng(seed)
    train, validation, test = splits
    events = train.select(np.sort(rng.choice(train.n_events, regime.n_train, replace=False)))
    start = int(rng.integers(2**31))

    def trained(*added: EventTable) -> tuple[TorchClassifier, float]:
        sample = EventTable.concatenate([events, *added])
        result = fit(lambda: network(sample), sample, validation, seed=start, settings=regime.training)
        classifier = result.checkpoints[regime.training.max_epochs] if regime.last else result.classifier
        return classifier, auroc(test.labels, classifier.scores(test.network_values), test.weights)

    classifier, baseline = trained()
    found = {"baseline": [baseline]}
    for name, attack in attacks(quick=quick).items():
        if not any(of.startswith(name) for of, _ in wanted):
            continue
        result = run_attack(attack, classifier, events, rng=rng)
        orders = {name: rng.permutation(int(result.fooled.sum()))}
        if name == TABLE_4:
            orders[NEAREST] = nearest(result)
        for row, order in orders.items():
            for of, pool in ((row, successes(result)), (unmoved(row), result.nominal.select(result.fooled))):
                gains = [
                    trained(pool.select(order[: max(1, round(part * pool.n_events))]))[1] - baseline
                    if (of, part) in wanted
                    else math.nan
                    for part in PARTS
                ]
                if any(attack == of for attack, _ in wanted):
                    found[of] = [result.fooling_ratio, *(gains if pool.n_events else [])]
    return found


def collected(regime: Regime, seeds: list[dict[str, list[float]]]) -> list[Cell]:
    """Gather the seeds by attack and part, but for seeds at which an attack fooled nothing."""
    cells = []
    for name in list(seeds[0])[1:]:
        rows = np.array([found[name] for found in seeds if len(found[name]) > 1])
        if len(rows) > 1:
            cells += [
                Cell(regime.name, name, part, column, float(rows[:, 0].mean()))
                for part, column in zip(PARTS, rows[:, 1:].T, strict=True)
            ]
    return cells


def show(cells: list[Cell], title: str) -> None:
    """Print mean and standard error of every cell of a regime."""
    table = Table("attack", "fooling ratio", *(f"{part:.0%} added" for part in PARTS), title=title)
    for name in dict.fromkeys(cell.attack for cell in cells):
        row = [cell for cell in cells if cell.attack == name]
        table.add_row(name, f"{row[0].fooled:.3f}", *map(str, row))
    Console(width=140).print(table)


def show_repeated(again: list[Cell], fresh: Mapping[tuple[str, float], Cell]) -> None:
    """Print what gained with fresh seeds, beside the same events unmoved and the difference of both."""
    table = Table("attack", "part", "first", "fresh seeds", "unmoved", "difference", title="Repeated with fresh seeds")
    for cell in again:
        moved, still = (fresh[name, cell.part] for name in (cell.attack, unmoved(cell.attack)))
        difference = moved._replace(gains=moved.gains - still.gains)
        table.add_row(cell.attack, f"{cell.part:.0%}", *map(str, (cell, moved, still, difference)))
    Console(width=140).print(table)


def draw(ax: Axes, cells: list[Cell], largest: float) -> None:
    """Draw one regime: blue where events help, red where they harm, framed what was measured again with fresh seeds."""
    names = list(dict.fromkeys(cell.attack for cell in cells))
    means = np.array([cell.mean for cell in cells]).reshape(len(names), len(PARTS))
    ax.imshow(means, cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
    for cell in cells:
        row, column = names.index(cell.attack), PARTS.index(cell.part)
        colour = "white" if abs(cell.mean) > 0.6 * largest else "black"
        text = f"{1e3 * cell.mean:+.1f}\n$\\pm$ {1e3 * cell.error:.1f}"
        ax.text(column, row, text, ha="center", va="center", fontsize=STYLE.text_size, color=colour)
        if cell.repeated:
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1.0, 1.0, fill=False, edgecolor="black", linewidth=4))
    ratios = [next(cell.fooled for cell in cells if cell.attack == name) for name in names]
    labels = [f"{name}\n(fools {ratio:.2f})" for name, ratio in zip(names, ratios, strict=True)]
    ax.set_yticks(np.arange(len(names)), labels, fontsize=STYLE.text_size)
    ax.set_xticks(np.arange(len(PARTS)), [f"{100 * part:.0f} %" for part in PARTS], fontsize=STYLE.text_size)
    ax.tick_params(axis="both", which="both", length=0)
    ax.set_title(cells[0].regime, fontsize=STYLE.text_size, loc="right")


def drawn(cells: Mapping[str, list[Cell]], note: str) -> Figure:
    """Draw all regimes below each other."""
    largest = max(1e-4, *(abs(cell.mean) for part in cells.values() for cell in part))
    with STYLE.context():
        heights = [len(part) // len(PARTS) for part in cells.values()]
        figure = STYLE.figure(width=1.3, height=0.35 + 0.12 * sum(heights))
        axes = figure.subplots(len(cells), 1, height_ratios=heights, squeeze=False)[:, 0]
        for ax, part in zip(axes, cells.values(), strict=True):
            draw(ax, part, largest)
        figure.supxlabel("Part of the fooled events that is added", fontsize=STYLE.text_size)
        figure.suptitle(f"Gain in AUROC, thousandths; {note}", fontsize=STYLE.text_size)
        add_experiment_label(axes[0], STYLE, right=False)
    return figure


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", default="augmentation-map", show_default=True, type=click.Path(path_type=Path))
@click.option("--seeds", default=5, show_default=True, help="Repetitions.")
@click.option("--seed", default=1, show_default=True)
@click.option("--quick", is_flag=True, help="Few events and epochs.")
def main(file: Path | None, output: Path, seeds: int, seed: int, *, quick: bool) -> None:
    """Map the gain on FILE of the challenge, or on the sample of the package."""
    splits = split_events(task_events(file, quick=quick)[1], (0.5, 0.25, 0.25), seed)
    n_seeds, bar = 2 if quick else seeds, Bar("augmentation map")
    events = list(map(table_digest, splits))

    def measured(regime: Regime, first: int, last: int, wanted: list[tuple[str, float]]) -> list[Cell]:
        found = []
        for k in range(first, last):
            key = (regime, attacks(quick=quick), wanted, events, seed, k)
            compute = partial(one_seed, regime, splits, 1000 * seed + k, wanted, quick=quick)
            found.append(kept(output / "runs", key, compute))
            bar("Train", (k + 1) / last)
        return collected(regime, found)

    maps = {}
    for regime in regimes(quick=quick):
        maps[regime.name] = measured(regime, 0, n_seeds, cells_of(regime, quick=quick))
        show(maps[regime.name], f"{regime.name}, {n_seeds} seeds, {splits[2].n_events} test events; published + 0.01")
        again = [cell for cell in maps[regime.name] if cell.stands_out]
        wanted = [(name, cell.part) for cell in again for name in (cell.attack, unmoved(cell.attack))]
        if again:
            fresh = {(cell.attack, cell.part): cell for cell in measured(regime, n_seeds, (1 + MORE) * n_seeds, wanted)}
            show_repeated(again, fresh)
            # In the figure fresh seeds take the place of those that were selected.
            maps[regime.name] = [
                fresh[cell.attack, cell.part]._replace(repeated=True, fooled=cell.fooled) if cell.stands_out else cell
                for cell in maps[regime.name]
            ]
    note = f"{n_seeds} seeds, framed: repeated with {MORE * n_seeds} fresh ones; {splits[2].n_events} test events"
    save(drawn(maps, note), output, "augmentation_map")


if __name__ == "__main__":
    main()
