# SPDX-License-Identifier: BSD-3-Clause
"""
Pearson's against distance correlations, and what few events cost a detector (arXiv:2603.13970, sec. 10).

    python limited_data.py atlas-higgs-challenge-2014-v2.csv.gz -o figures
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
from common import CAPS, QUICK_TRAINING, STYLE, Bar, higgs_events, network, preset, save
from rich.console import Console
from rich.table import Table

from hepfool.defences import DetectorSettings
from hepfool.training import TrainingSettings

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.conservattack.limited_runs import LimitedData, LimitedDataPlan, run_limited_data
from analysis_examples.papers.conservattack.plots import plot_limited_data

QUANTITIES = (
    "fooling_ratio",
    "corrected_fooling_ratio",
    "adaptive.corrected_fooling_ratio",
    "auroc",
    "clean_efficiency",
    "efficiency_fooled",
    "mean_js_distance",
    "correlation_shift",
    "distance_correlation_shift",
)


def plan(n_events: int, n_runs: int, caps: str, *, quick: bool) -> LimitedDataPlan:
    """Table 8, and the same with Pearson's correlations: nothing else differs."""
    distance = preset("higgs_distance", caps, quick=quick)
    training = QUICK_TRAINING if quick else TrainingSettings(patience=5)
    return LimitedDataPlan(
        network=network,
        attacks={"Pearson": replace(distance, dependence="pearson"), "Distance correlation": distance},
        n_events=(n_events, n_events // 3, n_events // 3),
        sizes=(50, 200) if quick else (500, 1000, 2000, 4000, 8000),
        n_runs=n_runs,
        training=training,
        detector=DetectorSettings(hidden=(300, 102, 12, 6), training=training),
    )


def show(found: LimitedData) -> None:
    """Print both attacks and their paired difference, and the learning curve."""
    first, second, *_ = found.names
    title = f"{found.n_events} attacked events, {len(found.runs)} runs, seed {found.seed}"
    table = Table("", *found.names, "second less first", title=title)
    for quantity in QUANTITIES:
        means = [found.mean(name, quantity) for name in found.names]
        table.add_row(quantity, *map(str, means), str(found.difference(second, first, quantity)))
    Console(width=120).print(table)
    curve = ", ".join(f"{size}: {area}" for size, area in zip(found.sizes, found.learning_curve(), strict=True))
    Console(width=120).print(f"AUROC by training events: {curve}")


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", default="limited-data", show_default=True, type=click.Path(path_type=Path))
@click.option("--runs", default=5, show_default=True, help="Independent trainings.")
@click.option(
    "--events", default=1500, show_default=True, help="Attacked training events; the time grows with the square."
)
@click.option("--seed", default=1, show_default=True)
@click.option("--table-11", is_flag=True, help="Also the published settings for Pearson's, which differ from Table 8.")
@CAPS
@click.option("--quick", is_flag=True, help="Few events, epochs and iterations.")
def main(
    file: Path | None, output: Path, runs: int, events: int, seed: int, caps: str, *, table_11: bool, quick: bool
) -> None:
    """Compare on FILE of the challenge, or on the sample of the package."""
    table = higgs_events(file, quick=quick)
    study = plan(150, 2, caps, quick=True) if quick else plan(events, runs, caps, quick=False)
    if table_11:
        study = replace(study, attacks={**study.attacks, "Pearson, Table 11": preset("higgs_limited_data", caps)})
    found = run_limited_data(study, table, seed=seed, progress=Bar("limited data"))
    show(found)
    save(plot_limited_data(found, style=STYLE)[0], output, "limited_data")


if __name__ == "__main__":
    main()
