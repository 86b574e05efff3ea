# SPDX-License-Identifier: BSD-3-Clause
"""
Adversarial training for the Higgs classification (arXiv:2603.13970, sec. 7), judged by attacks on other trainings.

    python adversarial_training.py atlas-higgs-challenge-2014-v2.csv.gz -o figures
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from common import CAPS, QUICK_TRAINING, STYLE, Bar, higgs_events, network, preset, save
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


def settings(iterations: int, *, quick: bool) -> AdversarialTrainingSettings:
    """Up to a tenth of the area under the ROC curve may be lost; the paper does not say what it lost."""
    training = QUICK_TRAINING if quick else TrainingSettings(max_epochs=20, patience=4)
    return AdversarialTrainingSettings(n_iterations=iterations, training=training, max_auroc_loss=1.0 if quick else 0.1)


def judge(trainings: list[AdversarialTraining], attack: CONSERVAttack, test: EventTable, seed: int) -> list[Robustness]:
    """Attack the first network of every training, and judge each training by the attacks on the others."""
    rng = np.random.default_rng(seed)
    made = [run_attack(attack, training.initial, test, rng=rng) for training in trainings]
    return [
        judge_robustness(training, made[:k] + made[k + 1 :], attack=attack, rng=rng)
        for k, training in enumerate(trainings)
        if training.best is not None
    ]


def show(judged: list[Robustness], title: str) -> None:
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
    table.add_row("published", "0.70", "0.20", "0.15")
    Console(width=140).print(table)


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", default="adversarial-training", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=3, show_default=True, help="Independent trainings.")
@click.option("--iterations", default=4, show_default=True, help="The paper has 10.")
@click.option("--seed", default=1, show_default=True)
@CAPS
@click.option("--quick", is_flag=True, help="Few events and epochs.")
def main(file: Path | None, output: Path, runs: int, iterations: int, seed: int, caps: str, *, quick: bool) -> None:
    """Train on FILE of the challenge, or on the sample of the package."""
    splits = split_events(higgs_events(file, quick=quick), (0.5, 0.25, 0.25), seed)
    n_runs, n_iterations = (2, 1) if quick else (runs, iterations)
    judging, bar = preset("higgs_retraining_test", caps, quick=quick), Bar("adversarial training")

    def draw(rng: np.random.Generator) -> CONSERVAttack:
        drawn = RANGES["higgs_retraining"].draw(rng)
        return judging if quick else drawn if caps == "move" else from_nominal(drawn)

    trainings = []
    for k in range(n_runs):
        trainings.append(
            train_adversarially(
                network,
                *splits[:2],
                draw=draw,
                judge=judging,
                seed=seed + k,
                settings=settings(n_iterations, quick=quick),
            )
        )
        bar("Train and attack", (k + 1) / n_runs)
        losses = ", ".join(f"{it.fooling_ratio:.3f} ({it.auroc_loss:+.4f})" for it in trainings[-1].iterations)
        click.echo(f"validation: {trainings[-1].fooling_ratio:.3f} -> fooling ratio (AUROC lost) {losses}")
    judged = judge(trainings, judging, splits[2], seed)
    if not judged:
        click.echo("Every iteration lost too much of the area under the ROC curve.")
        return
    show(judged, f"{splits[2].n_events} test events, {len(judged)} of {n_runs} trainings, seed {seed}")
    save(plot_robustness(judged[0], style=STYLE)[0], output, "adversarial_training")


if __name__ == "__main__":
    main()
