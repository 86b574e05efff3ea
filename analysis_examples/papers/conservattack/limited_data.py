# SPDX-License-Identifier: BSD-3-Clause
"""
Pearson's against distance correlations, and what few events cost a detector (arXiv:2603.13970, sec. 10).

    python limited_data.py atlas-higgs-challenge-2014-v2.csv.gz -o figures
    python limited_data.py atlas-higgs-challenge-2014-v2.csv.gz -o figures --published --caps move
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
from common import CAPS, QUICK_TRAINING, STYLE, Bar, network, preset, save
from inputs import higgs_events
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


def published(study: LimitedDataPlan, n_events: int, caps: str, *, quick: bool) -> LimitedDataPlan:
    """Tables 9 and 10 for training and test, Table 11 for Pearson's; the paper has 2500 events for training and 1000 for test."""
    names = ("Pearson", "Distance correlation")
    tables = ("higgs_limited_data", "higgs_distance_detector_train")
    test = {names[1]: preset("higgs_distance_detector_test", caps, quick=quick)}
    known = {name: preset(table, caps, quick=quick) for name, table in zip(names, tables, strict=True)}
    return replace(study, attacks=known, test_attacks=test, n_events=(n_events, 2 * n_events // 5, 2 * n_events // 5))


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
    "--events", type=int, help="Attacked training events, 1500 or as published; the time grows with the square."
)
@click.option("--seed", default=1, show_default=True)
@click.option("--published", "as_published", is_flag=True, help="Tables 9 to 11 and 2500 events, not Table 8 for both.")
@CAPS
@click.option("--quick", is_flag=True, help="Few events, epochs and iterations.")
def main(
    file: Path | None,
    output: Path,
    runs: int,
    events: int | None,
    seed: int,
    caps: str,
    *,
    as_published: bool,
    quick: bool,
) -> None:
    """Compare on FILE of the challenge, or on the sample of the package."""
    table = higgs_events(file, quick=quick)
    n_events = 150 if quick else events or (2500 if as_published else 1500)
    study = plan(n_events, 2 if quick else runs, caps, quick=quick)
    if as_published:
        study = published(study, n_events, caps, quick=quick)
    found = run_limited_data(study, table, seed=seed, resume=output / "runs", progress=Bar("limited data"))
    show(found)
    save(plot_limited_data(found, style=STYLE)[0], output, "limited_data" + ("_published" if as_published else ""))


if __name__ == "__main__":
    main()
