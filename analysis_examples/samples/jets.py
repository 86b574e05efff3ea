# SPDX-License-Identifier: BSD-3-Clause
r"""
Jets of two tasks, with their constituents, to be made on your machine.

* ``zqq``: boosted Z bosons decaying to quarks beside a photon (``ZGamma``) against ``Dijet`` events at 13 TeV, as in
  arXiv:1910.08606: anti-kT jets of radius 1.0 with pT > 300 GeV and m > 50 GeV, up to 64 constituents;
* ``ttww``: top pairs (``TTbarJet``) against pairs of W bosons (``WWJet``) at 8 TeV, both decaying to quarks, as in
  arXiv:2603.13970: radius 0.8, pT > 400 GeV, 30 constituents.

Pythia 8 and FastJet make them (``pip install 'hepfool[samples]'``), 20 000 jets of each process in about ten minutes::

    python -m analysis_examples.samples.jets --output my-jets --task zqq

The files are NanoAOD-like: the leading jet of each event is ``FatJet``, its constituents are ``FatJetPFCands``;
:func:`read_jets` reads both for :class:`hepfool.contrib.jets.ConstituentLayout`.  Constituents are particles; with
``--level towers`` they are the towers of an ATLAS-like calorimeter (:mod:`analysis_examples.samples.towers`), in files of their
own, such as ``Dijet_towers.root``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import awkward as ak
import click
import uproot
from rich.progress import Progress

from analysis_examples.samples.jet_production import LEVELS, TASKS, Level, level_name, produce_jets
from hepfool.contrib.jets import leading_jets
from hepfool.samples import Manifest

__all__ = ["fileset", "main", "manifest", "read_jets"]

DEFAULT_JETS: Final = 20_000
DEFAULT_SEED: Final = 20_260
SEED_STEP: Final = 100
COLLECTIONS: Final = ("FatJet", "FatJetPFCands")


def manifest(folder: Path) -> dict[str, Any]:
    """
    Tell how each file was made: seeds, settings, counts, and digests.

    Parameters
    ----------
    folder : Path
        Folder of the files.

    Returns
    -------
    dict
        One dictionary per dataset, with the fields of
        :class:`hepfool.samples.Entry`.

    Raises
    ------
    ValueError
        If the folder holds no sample.
    """
    entries = Manifest(folder).read()
    if not entries:
        msg = f"{folder} holds no manifest.json; make the jets with: python -m analysis_examples.samples.jets --output {folder}"
        raise ValueError(msg)
    return entries


def fileset(folder: Path, task: str | None = None, level: Level = "particles") -> dict[str, Any]:
    """
    List the datasets as coffea wants them.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    task : {"zqq", "ttww"}, optional
        Only the datasets of this task.
    level : {"particles", "towers"}
        What the constituents are.

    Returns
    -------
    dict
        Per dataset ``files`` and ``metadata`` with ``is_signal``, ``is_data``,
        ``cross_section_pb``, and ``sum_weights``.

    Raises
    ------
    ValueError
        If there is no such task or level, or no sample.
    """
    names = [level_name(dataset, level) for name in _tasks(task) for dataset in TASKS[name]]
    return {
        name: {"files": {str(folder / entry["file"]): "Events"}, "metadata": entry["metadata"]}
        for name, entry in manifest(folder).items()
        if name in names
    }


def read_jets(path: Path) -> ak.Array:
    """
    Read the leading jet of each event.

    Parameters
    ----------
    path : Path
        One of the files.

    Returns
    -------
    awkward.Array, shape (n_events,)
        Jets with ``pt``, ``eta``, ``phi``, ``mass`` (GeV), ``nConstituents``, and their ``constituents``.
    """
    with uproot.open(path) as file:
        arrays = file["Events"].arrays(filter_name=[f"{name}_*" for name in COLLECTIONS])
    events = {
        name: ak.zip({key.removeprefix(f"{name}_"): arrays[key] for key in arrays.fields if key.startswith(f"{name}_")})
        for name in COLLECTIONS
    }
    return leading_jets(ak.zip(events, depth_limit=1))


def _tasks(task: str | None) -> list[str]:
    if task is not None and task not in TASKS:
        msg = f"no task {task!r}; use one of {', '.join(TASKS)}"
        raise ValueError(msg)
    return list(TASKS) if task is None else [task]


@click.command()
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the files.")
@click.option("--task", type=click.Choice(sorted(TASKS)), help="Only the datasets of this task.")
@click.option("--jets", default=DEFAULT_JETS, show_default=True, help="Jets of each dataset after the selection.")
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="First of the seeds, 1 to 100000.")
@click.option(
    "--level",
    "levels",
    multiple=True,
    default=("particles",),
    show_default=True,
    type=click.Choice(LEVELS),
    help="Constituents: particles, or towers of a calorimeter; may be repeated, for the same events.",
)
@click.option("--dataset", "names", multiple=True, help="Only this dataset; may be repeated.")
def main(
    output: Path, task: str | None, jets: int, seed: int, levels: tuple[Level, ...], names: tuple[str, ...]
) -> None:
    """Generate jets with their constituents; a dataset that lies there already is kept."""
    output.mkdir(parents=True, exist_ok=True)
    target = Manifest(output)
    everything = [dataset for name in TASKS for dataset in TASKS[name]]
    wanted = [dataset for name in _tasks(task) for dataset in TASKS[name] if not names or dataset.name in names]
    with Progress() as progress:
        for dataset in wanted:
            produce_jets(
                dataset,
                target,
                n_jets=jets,
                seed=seed + SEED_STEP * everything.index(dataset),
                levels=levels,
                advance=partial(progress.advance, progress.add_task(dataset.name, total=1.0)),
            )


if __name__ == "__main__":
    main()
