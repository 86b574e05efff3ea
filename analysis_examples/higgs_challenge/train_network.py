# SPDX-License-Identifier: BSD-3-Clause
"""
Train a network on a file of the ATLAS Higgs challenge and export it for `hepfool attack`.

    python train_network.py atlas-higgs-challenge-2014-v2.csv.gz
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click
import numpy as np
from sklearn.model_selection import train_test_split

from hepfool.features import Feature
from hepfool.io import read_table
from hepfool.models import Standardise, export_program, mlp
from hepfool.training import TrainingSettings, fit

FEATURES = [line.partition(":")[0] for line in (Path(__file__).parent / "features.txt").read_text().split()]


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--output", default="higgs.pt2", show_default=True, help="File to write.")
@click.option("--quick", is_flag=True, help="Only two epochs.")
def main(file: str | None, output: str, *, quick: bool) -> None:
    """Train on two thirds of FILE, validate on the rest, and write the network."""
    if file is None:
        click.echo("Get the file from CERN Open Data record 328 and give its path.")
        return
    features = [Feature(name=name) for name in FEATURES]
    table = read_table([file], features=features, label="Label", classes={"b": 0, "s": 1}, missing_value=-999.0)
    split = train_test_split(np.arange(table.n_events), test_size=1 / 3, random_state=1, stratify=table.labels)
    train, validation = (table.select(np.sort(part)) for part in split)
    network = partial(mlp, table.n_features, preprocessing=Standardise.of(train))
    settings = TrainingSettings(max_epochs=2) if quick else TrainingSettings()
    result = fit(network, train, validation, seed=1, settings=settings)
    export_program(result.classifier, output)
    click.echo(
        f"{output}: AUROC {result.validation_auroc:.3f} on {validation.n_events} events, epoch {result.best_epoch}"
    )


if __name__ == "__main__":
    main()
