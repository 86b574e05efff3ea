# SPDX-License-Identifier: BSD-3-Clause
"""
Make the H → ττ sample of the package again, or more of its events.

Run from the folder of the repository::

    python -m analysis_examples.samples.htautau --output my-sample --events 100000

The sample of the package are the default events and seeds: half an hour for W + jets, which fills the control region of the
analysis, and another half for the rest on one core.  Pseudo-data have seeds of their own and another tune of Pythia.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.progress import Progress

from analysis_examples.samples.processes import DATASETS, Dataset
from analysis_examples.samples.production import produce_pseudodata, produce_simulation
from hepfool.samples import Manifest
from hepfool.samples.htautau import PSEUDODATA

__all__ = ["main"]

DEFAULT_EVENTS: Final = sum(dataset.n_selected for dataset in DATASETS)
DEFAULT_LUMINOSITY_PB: Final = 150.0
DEFAULT_SEED: Final = 20_250
SEED_STEP: Final = 100
PSEUDODATA_TUNE: Final = 21
PSEUDODATA_SEED_OFFSET: Final = 50_000


def _scaled_datasets(n_events: int) -> list[Dataset]:
    total = sum(dataset.n_selected for dataset in DATASETS)
    return [replace(dataset, n_selected=round(dataset.n_selected * n_events / total)) for dataset in DATASETS]


@click.command()
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the files.")
@click.option("--events", default=DEFAULT_EVENTS, show_default=True, help="Simulated events after the selection.")
@click.option("--luminosity", default=DEFAULT_LUMINOSITY_PB, show_default=True, help="Pseudo-data in inverse pb.")
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="First of the seeds, 1 to 100000.")
@click.option("--dataset", "names", multiple=True, help="Only this dataset; may be repeated.")
def main(output: Path, events: int, luminosity: float, seed: int, names: tuple[str, ...]) -> None:
    """Generate the H → ττ sample; a dataset that lies there already is kept."""
    output.mkdir(parents=True, exist_ok=True)
    target = Manifest(output)
    datasets = _scaled_datasets(events)
    with Progress() as progress:
        for i, dataset in enumerate(datasets):
            if not names or dataset.name in names:
                produce_simulation(
                    dataset,
                    target,
                    seed=seed + SEED_STEP * i,
                    advance=partial(progress.advance, progress.add_task(dataset.name, total=1.0)),
                )
        if not names or PSEUDODATA in names:
            produce_pseudodata(
                datasets,
                target,
                tune=PSEUDODATA_TUNE,
                luminosity_pb=luminosity,
                seed=seed + PSEUDODATA_SEED_OFFSET,
                advance=partial(progress.advance, progress.add_task(PSEUDODATA, total=1.0)),
            )


if __name__ == "__main__":
    main()
