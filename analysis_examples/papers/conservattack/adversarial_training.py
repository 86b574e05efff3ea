# SPDX-License-Identifier: BSD-3-Clause
"""
Adversarial training (arXiv:2603.13970, sec. 7; jets: appendix D.3), judged by attacks on other trainings.

    python adversarial_training.py atlas-higgs-challenge-2014-v2.csv.gz -o figures
    python adversarial_training.py JETS -o figures
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from common import BATCH_SIZES, CAPS, QUICK_TRAINING, STYLE, Bar, network, preset, save
from inputs import Task, some, task_events
from rich.console import Console
from rich.table import Table

from hepfool import EventTable, run_attack
from hepfool.attacks import RANGES, CONSERVAttack, from_nominal
from hepfool.defences import (
    AdversarialTraining,
    AdversarialTrainingSettings,
    Robustness,
    judge_robustness,
    train_adversarially,
)
from hepfool.plots import plot_robustness
from hepfool.studies import split_events
from hepfool.training import TrainingSettings

DrawAttack = Callable[[np.random.Generator], CONSERVAttack]
#: The paper has 10 and 5, and gives numbers for the Higgs classification only.
ITERATIONS: dict[Task, int] = {"higgs": 4, "jets": 5}
PUBLISHED: dict[Task, tuple[str, ...]] = {"higgs": ("0.70", "0.20", "0.15"), "jets": ()}


def settings(task: Task, iterations: int | None, *, quick: bool) -> AdversarialTrainingSettings:
    """Up to a tenth of the area under the ROC curve may be lost; the paper does not say what it lost."""
    if quick:
        return AdversarialTrainingSettings(n_iterations=1, training=QUICK_TRAINING, max_auroc_loss=1.0)
    training = TrainingSettings(max_epochs=20, patience=4, batch_size=BATCH_SIZES[task])
    return AdversarialTrainingSettings(
        n_iterations=iterations or ITERATIONS[task], training=training, max_auroc_loss=0.1
    )


def drawn(task: Task, caps: str) -> DrawAttack:
    """Draw from the ranges of the paper, in one of the two readings of its caps."""
    ranges = RANGES[f"{task}_retraining"]
    return ranges.draw if caps == "move" else lambda rng: from_nominal(ranges.draw(rng))


def judge(trainings: list[AdversarialTraining], attack: CONSERVAttack, test: EventTable, seed: int) -> list[Robustness]:
    """Attack the first network of every training, and judge each training by the attacks on the others."""
    rng = np.random.default_rng(seed)
    made = [run_attack(attack, training.initial, test, rng=rng) for training in trainings]
    return [
        judge_robustness(training, made[:k] + made[k + 1 :], attack=attack, rng=rng)
        for k, training in enumerate(trainings)
        if training.best is not None
    ]


def show(judged: list[Robustness], title: str, published: tuple[str, ...]) -> None:
    """Print all trainings and their mean."""
    table = Table(
        "training",
        "grey-box before",
        "mean iteration",
        "best iteration",
        "white-box before",
        "after",
        "AUROC lost",
        title=title,
    )
    rows = []
    for k, found in enumerate(judged):
        ratios = (
            found.before,
            found.mean_iteration,
            found.best_iteration,
            found.white_box_before,
            found.white_box_after,
        )
        rows.append([*(ratio.value for ratio in ratios), found.auroc_loss])
        cells = [f"{ratio.value:.3f} ± {ratio.error:.3f}" for ratio in ratios]
        table.add_row(str(k + 1), *cells, f"{found.auroc_loss:.4f} ± {found.auroc_loss_error:.4f}")
    spread = np.std(rows, axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.full(6, np.nan)
    table.add_row("mean", *(f"{m:.3f} ± {s:.3f}" for m, s in zip(np.mean(rows, axis=0), spread, strict=True)))
    table.add_row("published", *published)
    Console(width=140).print(table)


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", default="adversarial-training", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=3, show_default=True, help="Independent trainings.")
@click.option("--iterations", type=int, help="4, or 5 for jets, by default; the paper has 10 and 5.")
@click.option("--events", type=int, help="All by default.")
@click.option("--seed", default=1, show_default=True)
@CAPS
@click.option("--quick", is_flag=True, help="Few events and epochs.")
def main(
    path: Path | None,
    output: Path,
    runs: int,
    iterations: int | None,
    events: int | None,
    seed: int,
    caps: str,
    *,
    quick: bool,
) -> None:
    """Train on PATH, or on the sample of the package."""
    task, table = task_events(path, quick=quick)
    splits = split_events(some(table, events) if events else table, (0.5, 0.25, 0.25), seed)
    n_runs, how = 2 if quick else runs, settings(task, iterations, quick=quick)
    judging, bar = preset(f"{task}_retraining_test", caps, quick=quick), Bar("adversarial training")
    draw: DrawAttack = (lambda _: judging) if quick else drawn(task, caps)
    trainings = []
    for k in range(n_runs):
        trainings.append(
            train_adversarially(network, *splits[:2], draw=draw, judge=judging, seed=seed + k, settings=how)
        )
        bar("Train and attack", (k + 1) / n_runs)
        losses = ", ".join(f"{it.fooling_ratio:.3f} ({it.auroc_loss:+.4f})" for it in trainings[-1].iterations)
        click.echo(f"validation: {trainings[-1].fooling_ratio:.3f} -> fooling ratio (AUROC lost) {losses}")
    judged = judge(trainings, judging, splits[2], seed)
    if not judged:
        click.echo("Every iteration lost too much of the area under the ROC curve.")
        return
    show(judged, f"{splits[2].n_events} test events, {len(judged)} of {n_runs} trainings, seed {seed}", PUBLISHED[task])
    end = "" if task == "higgs" else f"_{task}"
    save(plot_robustness(judged[0], style=STYLE)[0], output, f"adversarial_training{end}")


if __name__ == "__main__":
    main()
