# SPDX-License-Identifier: BSD-3-Clause
r"""
Higgs bosons decaying to two taus, with backgrounds and pseudo-data.

The package contains proton-proton collisions at 13 TeV with one electron or
muon and one hadronic tau candidate, as NanoAOD-like ROOT files:

* signal: ``ggH`` and ``VBFH`` with H → ττ at 125 GeV;
* background: ``ZTauTau``, ``TTbar``, and ``WJets``, in which the tau is a
  misidentified jet;
* ``pseudodata``: all of them unweighted in the proportions of a small
  luminosity, generated with another tune and without any truth.

They were generated with Pythia 8 and a parametrised detector and carry
Pythia's leading-order cross sections; :func:`manifest` tells seeds and
settings.  A simulated event counts
``cross_section_pb * luminosity_pb * genWeight / sum_weights`` events.  The
files hold a loose skim, so that an analysis has something left to select:
:func:`hepfool.samples.selection.select_lepton_tau` is an example.

To make the files again, or more of them::

    python -m hepfool.samples.htautau --output my-sample --events 100000
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from rich.progress import Progress

from hepfool.samples.manifest import Manifest
from hepfool.samples.processes import DATASETS, Dataset
from hepfool.samples.production import PSEUDODATA, produce_pseudodata, produce_simulation

__all__ = ["DATA_FOLDER", "fileset", "luminosity_pb", "main", "manifest", "pseudodata_fileset"]

DATA_FOLDER: Final = Path(__file__).parent / "data"
DEFAULT_EVENTS: Final = 25_000
DEFAULT_LUMINOSITY_PB: Final = 150.0
DEFAULT_SEED: Final = 20_250
SEED_STEP: Final = 100
PSEUDODATA_TUNE: Final = 21
PSEUDODATA_SEED_OFFSET: Final = 50_000


def manifest(folder: Path = DATA_FOLDER) -> dict[str, Any]:
    """
    Tell how each file was made: seeds, settings, counts, and digests.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    dict
        One dictionary per dataset, with the fields of
        :class:`hepfool.samples.manifest.Entry`.

    Raises
    ------
    ValueError
        If the folder holds no sample.
    """
    entries = Manifest(folder).read()
    if not entries:
        msg = f"{folder} holds no manifest.json; make the sample with: python -m hepfool.samples.htautau"
        raise ValueError(msg)
    return entries


def luminosity_pb(folder: Path = DATA_FOLDER) -> float:
    """
    Look up the integrated luminosity of the pseudo-data in inverse pb.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    float
        Luminosity to which the simulation is to be normalised.
    """
    return float(manifest(folder)[PSEUDODATA]["metadata"]["luminosity_pb"])


def fileset(folder: Path = DATA_FOLDER) -> dict[str, Any]:
    """
    List the simulated datasets as coffea wants them.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    dict
        Per dataset ``files`` and ``metadata`` with ``is_signal``, ``is_data``,
        ``cross_section_pb``, and ``sum_weights``.

    Examples
    --------
    >>> sorted(fileset())
    ['TTbar', 'VBFH', 'WJets', 'ZTauTau', 'ggH']
    """
    return _as_fileset(folder, is_data=False)


def pseudodata_fileset(folder: Path = DATA_FOLDER) -> dict[str, Any]:
    """
    List the pseudo-data as coffea wants them.

    Parameters
    ----------
    folder : Path
        Folder of the files; by default those in the package.

    Returns
    -------
    dict
        ``pseudodata`` with ``files`` and ``metadata``, among it ``is_data``
        and ``luminosity_pb``.
    """
    return _as_fileset(folder, is_data=True)


def _as_fileset(folder: Path, *, is_data: bool) -> dict[str, Any]:
    return {
        name: {"files": {str(folder / entry["file"]): "Events"}, "metadata": entry["metadata"]}
        for name, entry in manifest(folder).items()
        if entry["metadata"]["is_data"] == is_data
    }


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
                    dataset, target, seed=seed + SEED_STEP * i, advance=_progress_bar(progress, dataset.name)
                )
        if not names or PSEUDODATA in names:
            produce_pseudodata(
                datasets,
                target,
                tune=PSEUDODATA_TUNE,
                luminosity_pb=luminosity,
                seed=seed + PSEUDODATA_SEED_OFFSET,
                advance=_progress_bar(progress, PSEUDODATA),
            )


def _progress_bar(progress: Progress, name: str) -> Callable[[float], None]:
    return partial(progress.advance, progress.add_task(name, total=1.0))


if __name__ == "__main__":
    main()
