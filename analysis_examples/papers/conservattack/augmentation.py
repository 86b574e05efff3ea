# SPDX-License-Identifier: BSD-3-Clause
"""
Adversarial events where training events are few (arXiv:2603.13970, sec. 6).

    python augmentation.py atlas-higgs-challenge-2014-v2.csv.gz -o figures
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from common import CAPS, QUICK_TRAINING, STYLE, Bar, higgs_events, network, preset, save
from rich.console import Console
from rich.table import Table

from hepfool.attacks import PGD, Attack, CONSERVAttack
from hepfool.studies import split_events
from hepfool.training import TrainingSettings

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.conservattack.augmented_runs import Augmentation, AugmentationPlan, run_augmentation
from analysis_examples.papers.conservattack.plots import plot_augmentation

N_TRAIN = 5000


def attacks(caps: str, *, quick: bool) -> dict[str, Attack]:
    """Table 4, the same with few and short moves, and steps along the gradient that fool few events."""
    published = preset("higgs_augmentation", caps, quick=quick)
    return {
        "table_4": published,
        "frugal": replace(
            published, step=CONSERVAttack().step, strategy="frugal", beta=1.0, reward=200.0, start="nominal"
        ),
        "pgd": PGD(step=0.01 if quick else 0.001, n_iterations=3),
    }


def show(name: str, found: Augmentation) -> None:
    """Print gains with their errors."""
    table = Table("", "mean", "error", "p-value", "better", title=f"{name}; published: + 0.01, better for all")
    for kind, over in (("augmented", "baseline"), ("control", "baseline"), ("augmented", "control")):
        gain = found.gain(kind, over)  # type: ignore[arg-type]
        cells = (f"{gain.mean:+.4f}", f"{gain.error:.4f}", f"{gain.p_value:.2g}", f"{gain.n_better} of {gain.n_seeds}")
        table.add_row(f"{kind} less {over}", *cells)
    Console(width=100).print(table)
    areas, ratios = ([getattr(run, name) for run in found.runs] for name in ("baseline", "fooling_ratio"))
    Console().print(f"baseline {np.mean(areas):.4f}, fooling ratio {np.mean(ratios):.3f}, {found.n_test} test events")


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", default="augmentation", show_default=True, type=click.Path(path_type=Path))
@click.option("--seeds", default=10, show_default=True, help="Repetitions.")
@click.option("--seed", default=1, show_default=True)
@click.option("--attack", "names", multiple=True, help="Only table_4, frugal or pgd; may be repeated.")
@CAPS
@click.option("--quick", is_flag=True, help="Few events and epochs.")
def main(
    file: Path | None, output: Path, seeds: int, seed: int, names: tuple[str, ...], caps: str, *, quick: bool
) -> None:
    """Train on a few events of FILE of the challenge, or of the sample of the package."""
    splits = split_events(higgs_events(file, quick=quick), (0.5, 0.25, 0.25), seed)
    training = QUICK_TRAINING if quick else TrainingSettings(max_epochs=40, patience=6)
    n_seeds, n_train = (2, 500) if quick else (seeds, N_TRAIN)
    for name, attack in attacks(caps, quick=quick).items():
        if names and name not in names:
            continue
        plan = AugmentationPlan(network=network, attack=attack, n_train=n_train, n_seeds=n_seeds, training=training)
        found = run_augmentation(plan, *splits, seed=seed, progress=Bar(name))
        show(name, found)
        save(plot_augmentation(found, style=STYLE)[0], output, f"augmentation_{name}")


if __name__ == "__main__":
    main()
