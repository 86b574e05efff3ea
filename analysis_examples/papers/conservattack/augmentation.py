# SPDX-License-Identifier: BSD-3-Clause
"""
Adversarial events where training events are few (arXiv:2603.13970, sec. 6; jets: appendix D.2).

    python augmentation.py atlas-higgs-challenge-2014-v2.csv.gz -o figures
    python augmentation.py JETS -o figures
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from common import BATCH_SIZES, CAPS, QUICK_TRAINING, STYLE, Bar, network, preset, save
from inputs import Task, task_events
from rich.console import Console
from rich.table import Table

from hepfool.attacks import PGD, Attack, CONSERVAttack
from hepfool.studies import split_events
from hepfool.training import TrainingSettings

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.conservattack.augmented_runs import Augmentation, AugmentationPlan, run_augmentation
from analysis_examples.papers.conservattack.plots import plot_augmentation

#: Table of the paper for each task, and training events; the paper has 5000, and a quarter of its jets.
TABLES: dict[Task, str] = {"higgs": "table_4", "jets": "table_13"}
N_TRAIN: dict[Task, int] = {"higgs": 5000, "jets": 1250}
#: Of the gradient steps; a thousandth of each range fools no jet.
STEPS: dict[Task, float] = {"higgs": 0.001, "jets": 0.005}


def attacks(task: Task, caps: str, *, quick: bool) -> dict[str, Attack]:
    """The published attack, the same with few and short moves, and steps along the gradient that fool few events."""
    published = preset(f"{task}_augmentation", caps, quick=quick)
    return {
        TABLES[task]: published,
        "frugal": replace(
            published, step=CONSERVAttack().step, strategy="frugal", beta=1.0, reward=200.0, start="nominal"
        ),
        "pgd": PGD(step=0.01 if quick else STEPS[task], n_iterations=3),
    }


def training(task: Task, *, quick: bool) -> TrainingSettings:
    """Smaller batches for jets, as in their other studies."""
    return QUICK_TRAINING if quick else TrainingSettings(max_epochs=40, patience=6, batch_size=BATCH_SIZES[task])


def show(name: str, found: Augmentation) -> None:
    """Print gains with their errors."""
    table = Table("", "mean", "error", "p-value", "better", title=f"{name}; published: better for all, Higgs + 0.01")
    for kind, over in (("augmented", "baseline"), ("control", "baseline"), ("augmented", "control")):
        gain = found.gain(kind, over)  # type: ignore[arg-type]
        cells = (f"{gain.mean:+.4f}", f"{gain.error:.4f}", f"{gain.p_value:.2g}", f"{gain.n_better} of {gain.n_seeds}")
        table.add_row(f"{kind} less {over}", *cells)
    Console(width=100).print(table)
    areas, ratios = ([getattr(run, name) for run in found.runs] for name in ("baseline", "fooling_ratio"))
    Console().print(f"baseline {np.mean(areas):.4f}, fooling ratio {np.mean(ratios):.3f}, {found.n_test} test events")


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", default="augmentation", show_default=True, type=click.Path(path_type=Path))
@click.option("--seeds", default=10, show_default=True, help="Repetitions.")
@click.option("--train", "n_train", type=int, help="Training events, 5000 or 1250 jets by default.")
@click.option("--seed", default=1, show_default=True)
@click.option("--attack", "names", multiple=True, help="Only table_4 or table_13, frugal or pgd; may be repeated.")
@CAPS
@click.option("--quick", is_flag=True, help="Few events and epochs.")
def main(
    path: Path | None,
    output: Path,
    seeds: int,
    n_train: int | None,
    seed: int,
    names: tuple[str, ...],
    caps: str,
    *,
    quick: bool,
) -> None:
    """Train on a few events of PATH, or of the sample of the package."""
    task, table = task_events(path, quick=quick)
    splits = split_events(table, (0.5, 0.25, 0.25), seed)
    n_seeds, few = (2, 300) if quick else (seeds, n_train or N_TRAIN[task])
    for name, attack in attacks(task, caps, quick=quick).items():
        if names and name not in names:
            continue
        plan = AugmentationPlan(
            network=network, attack=attack, n_train=few, n_seeds=n_seeds, training=training(task, quick=quick)
        )
        found = run_augmentation(plan, *splits, seed=seed, resume=output / "runs", progress=Bar(name))
        show(f"{name}, {few} training events", found)
        end = name if name == TABLES[task] else f"{task}_{name}"
        save(plot_augmentation(found, style=STYLE)[0], output, f"augmentation_{end}")


if __name__ == "__main__":
    main()
