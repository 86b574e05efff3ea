# SPDX-License-Identifier: BSD-3-Clause
"""
The donut (arXiv:2603.13970, sec. 9): attack, detector, and what they do in the plane.

    python donut.py -o figures
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from common import CAPS, STYLE, Bar, preset, save, show_cross_runs
from matplotlib.figure import Figure
from torch import nn

from hepfool import EventTable, Region
from hepfool.defences import DetectorSettings
from hepfool.models import Standardise
from hepfool.models import donut as donut_network
from hepfool.plots import add_experiment_label, plot_cross_runs, plot_misclassification
from hepfool.samples import toys
from hepfool.studies import RunPlan, attack_events, prepare_run, run_cross_runs, split_events
from hepfool.training import TrainingSettings
from hepfool.typing import FloatArray

BACKGROUND, SIGNAL = 0, 1
#: 5000, 2500 and 2500 background events are attacked, as in the published code.
N_EVENTS = 20_000
N_DRAWN = 1500


def events(n_events: int, seed: int) -> EventTable:
    """Only background is constrained: the published attack sees nothing else."""
    values, labels = toys.donut(n_events, rng=np.random.default_rng(seed))
    regions = (
        Region("background", labels == BACKGROUND, "control"),
        Region("gaussian", labels != BACKGROUND, "signal"),
    )
    return EventTable.from_arrays(values, labels=labels, features=["x1", "x2"], regions=regions)


def network(table: EventTable) -> nn.Module:
    """Hidden layers of 32 and 16 nodes."""
    return donut_network(preprocessing=Standardise.of(table))


def plan(caps: str, *, quick: bool, efficiency_class: int | None = None) -> RunPlan:
    """Tables 17 and 18 differ in the number of bins; the threshold keeps the published fraction of all nominal events, or of a class."""
    training = TrainingSettings(max_epochs=3 if quick else 30, learning_rate=3e-3, batch_size=256)
    detector = DetectorSettings(
        hidden=(128, 64, 32), clean_efficiency=0.788, efficiency_class=efficiency_class, training=training
    )
    attack = preset("donut_detector", caps)
    return RunPlan(network=network, attack=attack, training=training, detector=detector, target=BACKGROUND)


def clouds(study: RunPlan, table: EventTable, seed: int, folder: Path) -> Figure:
    """Draw signal with nominal, with fooled, and with fooled and unflagged background of one training."""
    splits = split_events(table, study.fractions, seed)
    run = prepare_run(study, splits, seed=seed, folder=folder)
    result = attack_events(study, run.classifier, splits[2], seed=seed, folder=folder)
    before, after = result.nominal.values, result.adversarial.values
    signal = before[result.nominal.labels != BACKGROUND]
    unflagged = ~run.detector.flags(result.adversarial.network_values)
    # Signal that the detector would drop is missing from the last panel, as in the paper.
    kept = signal[~run.detector.flags(signal)]
    panels = [
        ("Nominal", signal, before[result.attacked]),
        ("Attacked", signal, after[result.attacked]),
        ("Fooled", signal, after[result.fooled]),
        ("Fooled, not flagged", kept, after[result.fooled & unflagged]),
    ]
    with STYLE.context():
        figure = STYLE.figure(width=2.2, height=0.75)
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True)
        for ax, (title, gaussian, ring) in zip(axes, panels, strict=True):
            _cloud(ax, gaussian, STYLE.nominal_colour, "Signal")
            _cloud(ax, ring, STYLE.adversarial_colour, f"Background: {len(ring)}")
            ax.set_xlim(-3.6, 3.6)
            ax.set_ylim(-3.6, 4.6)
            ax.set_xlabel("$x_1$")
            ax.legend(
                loc="upper left", title=title, fontsize=STYLE.text_size, title_fontsize=STYLE.text_size, markerscale=3
            )
        axes[0].set_ylabel("$x_2$")
        add_experiment_label(axes[0], STYLE, right=False)
    return figure


def _cloud(ax: object, points: FloatArray, colour: str, label: str) -> None:
    ax.plot(*points[:N_DRAWN].T, ".", color=colour, markersize=3, alpha=0.5, label=label, rasterized=True)  # type: ignore[attr-defined]


@click.command()
@click.option("-o", "--output", default="donut", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=5, show_default=True, help="Independent trainings.")
@click.option("--seed", default=1, show_default=True)
@CAPS
@click.option("--quick", is_flag=True, help="Few events and epochs.")
def main(output: Path, runs: int, seed: int, caps: str, *, quick: bool) -> None:
    """Cross every training with every other one, with the threshold at an efficiency of all events, and of signal."""
    table = events(1600 if quick else N_EVENTS, seed)
    n_runs, folder = 2 if quick else runs, output / "runs"
    for what, efficiency_class in (("all events", None), ("signal", SIGNAL)):
        study = plan(caps, quick=quick, efficiency_class=efficiency_class)
        found = run_cross_runs(study, table, seed=seed, n_runs=n_runs, resume=folder, progress=Bar("donut"))
        title = f"Donut, {n_runs} trainings, caps on {caps}, threshold at .788 of {what}"
        show_cross_runs(f"{title} (published 0.354, corrected 0.153, detector 0.568 and 0.788)", found)
    save(plot_cross_runs(found, style=STYLE)[0], output, "donut_cross_runs")
    save(plot_misclassification(found.misclassification(), style=STYLE)[0], output, "donut_misclassification")
    save(clouds(study, table, seed, folder), output, "donut_clouds")


if __name__ == "__main__":
    main()
