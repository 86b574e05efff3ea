# SPDX-License-Identifier: BSD-3-Clause
"""
A detector for the Higgs classification (arXiv:2603.13970, secs. 7 and 8), on each training and across them.

    python higgs_detector.py atlas-higgs-challenge-2014-v2.csv.gz -o figures
    python higgs_detector.py atlas-higgs-challenge-2014-v2.csv.gz -o figures --max-shift 0.03
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import click
from common import CAPS, QUICK_TRAINING, STYLE, Bar, network, preset, quick_attack, save, show_cross_runs, show_flags
from inputs import higgs_events

from hepfool.defences import DetectorSettings
from hepfool.plots import plot_cross_runs, plot_misclassification
from hepfool.studies import RunPlan, run_cross_runs
from hepfool.training import TrainingSettings


def plan(caps: str, max_shift: float, *, quick: bool) -> RunPlan:
    """Tables 5 and 20, and an efficiency a little above 0.9, because the threshold is set on other events."""
    attack, training = preset("higgs_detector", caps), TrainingSettings()
    if math.isfinite(max_shift):
        attack = replace(attack, beta=20.0, max_correlation_shift=max_shift)
    if quick:
        attack, training = quick_attack(attack), QUICK_TRAINING
    detector = DetectorSettings(hidden=(300, 102, 12, 6), clean_efficiency=0.92, training=training)
    return RunPlan(network=network, attack=attack, training=training, detector=detector)


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", default="higgs-detector", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=5, show_default=True, help="Independent trainings.")
@click.option("--seed", default=1, show_default=True)
@click.option("--max-shift", default=math.inf, help="Cap on the whole correlation shift; none in the paper.")
@CAPS
@click.option("--quick", is_flag=True, help="Few events, epochs and iterations.")
def main(file: Path | None, output: Path, runs: int, seed: int, max_shift: float, caps: str, *, quick: bool) -> None:
    """Judge attacks on FILE of the challenge, or on the sample of the package."""
    table, n_runs = higgs_events(file, quick=quick), 2 if quick else runs
    found = run_cross_runs(
        plan(caps, max_shift, quick=quick),
        table,
        seed=seed,
        n_runs=n_runs,
        resume=output / "runs",
        progress=Bar("detector"),
    )
    show_cross_runs(f"{table.n_events} events, {n_runs} trainings, seed {seed}, caps on {caps}", found)
    flags = found.misclassification()
    show_flags(flags)
    end = (f"_{max_shift:g}" if math.isfinite(max_shift) else "") + ("" if caps == "move" else "_nominal")
    save(plot_cross_runs(found, style=STYLE)[0], output, f"higgs_detector{end}")
    save(plot_misclassification(flags, style=STYLE)[0], output, f"higgs_misclassification{end}")


if __name__ == "__main__":
    main()
