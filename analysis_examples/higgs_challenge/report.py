# SPDX-License-Identifier: BSD-3-Clause
"""
From a file of the ATLAS Higgs challenge to a report for a review, by the plan of `study.yaml`.

    python report.py atlas-higgs-challenge-2014-v2.csv.gz

Every third event is held out.  Of these an event becomes data with a probability in proportion to its weight, so that data have
no weights and the composition of an experiment; the others are simulation, normalised to the data's luminosity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import yaml

from hepfool.study import Study

PLAN = Path(__file__).with_name("study.yaml")
HELD_OUT = 3
SEED = 1
QUICK: dict[str, dict[str, Any]] = {
    "events": {"max_events": 3000},
    "network": {"training": {"max_epochs": 3}},
    "attack": {"n_iterations": 2, "converge": False},
    "detector": {"training": {"max_epochs": 3}},
    "checks": {"n_toys": 20},
}


def prepare(file: Path, folder: Path) -> float:
    """
    Write `simulation.parquet` and `pseudodata.parquet`.

    Parameters
    ----------
    file : Path
        CSV file of the challenge.
    folder : Path
        Where to write.

    Returns
    -------
    float
        Luminosity of the pseudo-data in units of that of all events that were read.
    """
    events = pd.read_csv(file)
    measured = [name for name in events if name.startswith("PRI_")]
    held_out = np.arange(len(events)) % HELD_OUT == 0
    drawn, simulation = events[held_out], events[~held_out]
    largest = events["Weight"].max()
    chosen = np.random.default_rng(SEED).random(len(drawn)) * largest < drawn["Weight"]
    luminosity = 1.0 / (HELD_OUT * largest)
    # As many events as the held-out part stands for, by class, because the two parts differ by chance.
    total, kept = (part.groupby("Label")["Weight"].sum() for part in (events, simulation))
    scale = luminosity * simulation["Label"].map(total / kept)
    folder.mkdir(parents=True, exist_ok=True)
    simulation[[*measured, "Label"]].assign(weight=scale * simulation["Weight"]).to_parquet(
        folder / "simulation.parquet"
    )
    drawn.loc[chosen, measured].assign(weight=1.0).to_parquet(folder / "pseudodata.parquet")
    return luminosity


def configuration(folder: Path, *, quick: bool) -> Study:
    """Read the plan, for files in another folder."""
    content: dict[str, Any] = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    content["output"] = folder.resolve() / "report"
    for name in ("files", "data_files"):
        content["events"][name] = [folder.resolve() / Path(path).name for path in content["events"][name]]
    for part, changes in QUICK.items() if quick else ():
        content[part] = content.get(part, {}) | changes
    return Study.model_validate(content)


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", default="output", show_default=True, type=click.Path(path_type=Path))
@click.option("--only-divide", is_flag=True, help="Leave the study to `hepfool workflow study.yaml`.")
@click.option("--quick", is_flag=True, help="3000 events, and few epochs, iterations and toys.")
def main(file: Path | None, output: Path, *, only_divide: bool, quick: bool) -> None:
    """Divide FILE into simulation and pseudo-data; train, attack, detect, and judge on a quarter of the simulation."""
    if file is None:
        click.echo("Get the file from CERN Open Data record 328 and give its path.")
        return
    luminosity = prepare(file, output)
    click.echo(f"{output}: pseudo-data of {luminosity:.4f} of the luminosity of the file")
    if only_divide:
        return
    study = configuration(output, quick=quick)
    summary = study.run(force=True)
    click.echo(f"{summary.verdict['decision']}: {study.output / 'report.html'}")


if __name__ == "__main__":
    main()
