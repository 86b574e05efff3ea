# SPDX-License-Identifier: BSD-3-Clause
"""
Top against W jets (arXiv:2603.13970, sec. 5 and appendix D): attack and detector on several trainings.

    python jets.py FOLDER -o figures

FOLDER comes from `python -m analysis_examples.samples.jets --task ttww --output FOLDER`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from common import (
    QUICK_TRAINING,
    STYLE,
    Bar,
    Trainings,
    gathered,
    measured,
    network,
    plot_trainings,
    save,
    show_cross_runs,
    show_trainings,
)
from inputs import sample, task_events

from hepfool import run_attack
from hepfool.attacks import PRESETS, AttackResult, CONSERVAttack, from_nominal
from hepfool.defences import DetectorSettings
from hepfool.exceptions import MissingExtraError
from hepfool.plots import plot_cross_runs
from hepfool.statistics import correlation_shift
from hepfool.studies import RunPlan, Splits, run_cross_runs, split_events
from hepfool.training import TrainingSettings, fit

PUBLISHED_JSD = 0.045
TABLE_12 = {"Fooling ratio": 0.675, "Mean JSD": PUBLISHED_JSD, "Correlation shift": 0.182}
PER_MOVE, ZEROS = "Table 12, caps per move", "Shift, empty as 0"
CAPPED = "cap on distances 0.045"


def make_jets(folder: Path, n_jets: int) -> None:
    """Let Pythia make some of each kind."""
    sample.main.main(["--output", str(folder), "--task", "ttww", "--jets", str(n_jets)], standalone_mode=False)


def attacks(*, quick: bool) -> dict[str, CONSERVAttack]:
    """Table 12 in both readings of its cap on distances, and a cap at the distance that was published."""
    literal = replace(PRESETS["jets"], n_iterations=2) if quick else PRESETS["jets"]
    capped = replace(from_nominal(literal), max_js_distance=PUBLISHED_JSD)
    shift = replace(capped, beta=20.0, max_correlation_shift=0.03)
    return {
        PER_MOVE: literal,
        "Table 12, caps from nominal": from_nominal(literal),
        CAPPED: capped,
        "and shift below 0.03": shift,
    }


def measured_with_zeros(result: AttackResult) -> dict[str, float]:
    """Measure with empty places as zeros, which is what the network sees and the paper compares, too."""
    before, after = (np.corrcoef(table.network_values, rowvar=False) for table in (result.nominal, result.adversarial))
    return {**measured(result), ZEROS: correlation_shift(before, after)}


def attack_trainings(splits: Splits, n_runs: int, seed: int, *, quick: bool) -> list[Trainings]:
    """Attack the test jets of every training."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in attacks(quick=quick)}
    bar = Bar("jets, attack")
    for k in range(n_runs):
        settings = QUICK_TRAINING if quick else TrainingSettings(batch_size=256)
        trained = fit(lambda: network(splits[0]), *splits[:2], seed=seed + k, settings=settings)
        click.echo(f"AUROC {trained.validation_auroc:.4f}")
        for name, attack in attacks(quick=quick).items():
            result = run_attack(attack, trained.classifier, splits[2], rng=np.random.default_rng(seed))
            rows[name].append(measured_with_zeros(result))
        bar("Train and attack", (k + 1) / n_runs)
    return [
        Trainings(name, gathered(found), TABLE_12 if name in {PER_MOVE, CAPPED} else {}) for name, found in rows.items()
    ]


def detector_plan(*, quick: bool) -> RunPlan:
    """Table 14, with a cap at the distance that was published."""
    training = QUICK_TRAINING if quick else TrainingSettings(batch_size=256)
    attack = from_nominal(PRESETS["jets_detector"])
    return RunPlan(
        network=network,
        attack=replace(attack, max_js_distance=PUBLISHED_JSD, n_iterations=2 if quick else 10),
        training=training,
        detector=DetectorSettings(hidden=(300, 102, 12, 6), clean_efficiency=0.9, training=training),
    )


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", default="jets", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=5, show_default=True, help="Independent trainings.")
@click.option("--seed", default=1, show_default=True)
@click.option("--detector/--no-detector", default=True, help="Whether to train detectors.")
@click.option("--quick", is_flag=True, help="Few jets, epochs and iterations.")
def main(path: Path | None, output: Path, runs: int, seed: int, *, detector: bool, quick: bool) -> None:
    """Attack jets in PATH, or of Pythia if it is installed."""
    if path is None:
        path = output / "sample"
        try:
            make_jets(path, 300 if quick else 5000)
        except MissingExtraError as error:
            click.echo(f"No jets, nothing done: {error}; or give a folder of jets.")
            return
    (_, table), n_runs = task_events(path, quick=quick), 2 if quick else runs
    splits = split_events(table, (0.5, 0.25, 0.25), seed)
    studies = attack_trainings(splits, n_runs, seed, quick=quick)
    note = f"{splits[2].n_events} test jets, {n_runs} trainings, seed {seed}"
    show_trainings(note, studies)
    save(plot_trainings(studies, note), output, "jets_attack")
    if not detector:
        return
    found = run_cross_runs(
        detector_plan(quick=quick),
        table,
        seed=seed,
        n_runs=n_runs,
        resume=output / "runs",
        progress=Bar("jets, detector"),
    )
    show_cross_runs(note, found)
    save(plot_cross_runs(found, style=STYLE)[0], output, "jets_detector")


if __name__ == "__main__":
    main()
