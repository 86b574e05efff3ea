# SPDX-License-Identifier: BSD-3-Clause
"""
Fooling ratio against the change of the correlations, for every attack of the package.

    python compare_attacks.py -o figures
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hepfool import EventTable, run_attack
from hepfool.attacks import PGD, Attack, CONSERVAttack, Noise
from hepfool.demo import demo_steps
from hepfool.models import Standardise, TorchClassifier, conservattack_higgs, donut
from hepfool.plots import AttackPoint, PlotStyle, plot_attack_comparison
from hepfool.samples import toys
from hepfool.study import thin
from hepfool.training import fit

SHIFTS = (0.003, 0.01, 0.03, 0.1)
SIZES = (0.003, 0.01, 0.03, 0.1)
SEED = 1


class Study(NamedTuple):
    """A data set with its network and cap."""

    note: str
    table: EventTable
    classifier: TorchClassifier
    max_js_distance: float
    published: dict[str, AttackPoint]


def donut_study(n_events: int) -> Study:
    """Two dimensions: a Gaussian in a ring."""
    rng = np.random.default_rng(SEED)
    parts = [
        EventTable.from_arrays(x, labels=y) for x, y in (toys.donut(n, rng=rng) for n in (20_000, 5_000, n_events))
    ]
    network = partial(donut, preprocessing=Standardise.of(parts[0]))
    classifier = fit(network, parts[0], parts[1], seed=SEED).classifier
    return Study(f"Donut, {n_events} events", parts[2], classifier, 0.02, {})


def embedded_study(n_events: int) -> Study:
    """H to tau tau of the package, all events constrained alike, without weights."""
    steps = demo_steps(until="attack", seed=SEED)
    classifier = steps["baseline"].classifier
    test = thin(steps["events"].simulation["test"], n_events, seed=SEED)
    table = EventTable.from_arrays(test.values, labels=test.labels, features=test.features, sentinel=test.sentinel)
    return Study(rf"H $\to \tau\tau$, {table.n_events} events", table, classifier, 0.03, {})


def higgs2014_study(folder: Path, n_events: int) -> Study:
    """Inputs and network of the published code, with its result on the same events."""
    with np.load(folder / "higgs2014.npz", allow_pickle=False) as file:
        names = [str(name) for name in file["columns"]]
        table = EventTable.from_arrays(file["X"][:n_events], labels=file["y"][:n_events], features=names)
    with np.load(folder / "higgs2014_weights.npz") as file:
        state = {name: torch.from_numpy(file[name]) for name in file.files}
    module = conservattack_higgs()
    module.load_state_dict(state)
    # Public code TSaala/CONSERVAttack (f16098e) with its Table 3, measured on the first 2000 of these events.
    published = {"Public code (2000 events)": AttackPoint(0.516, 0.129, 0.0337)}
    return Study(f"ATLAS Higgs challenge, {n_events} events", table, TorchClassifier(module), 0.0337, published)


def attacks(cap: float, n_iterations: int, *, n_bins: int = 200) -> dict[str, list[Attack]]:
    """Return every attack at several caps or sizes; the prices of "frugal" are its own."""
    common = {"n_iterations": n_iterations, "max_js_distance": cap, "n_bins": n_bins}

    def constrained(**settings: Any) -> list[Attack]:
        return [CONSERVAttack(**{**common, **settings}, max_correlation_shift=shift) for shift in SHIFTS]

    return {
        "CONSERVAttack, frugal": constrained(strategy="frugal", n_iterations=3 * n_iterations),
        "CONSERVAttack, paper": constrained(alpha=4.0, beta=20.0),
        "PGD": [PGD(step=size / 10, n_bins=n_bins) for size in SIZES],
        "Uniform noise": [Noise(size=size, n_bins=n_bins) for size in SIZES],
    }


def run(study: Study, n_iterations: int) -> dict[str, list[AttackPoint]]:
    """Attack and measure."""
    curves: dict[str, list[AttackPoint]] = {}
    for name, configurations in attacks(study.max_js_distance, n_iterations).items():
        for attack in configurations:
            result = run_attack(attack, study.classifier, study.table, rng=np.random.default_rng(SEED))
            found = result.compatibility
            point = AttackPoint(result.fooling_ratio, found.correlation_shift, found.max_js_distance)
            curves.setdefault(name, []).append(point)
    return curves


def show(name: str, curves: dict[str, list[AttackPoint]]) -> None:
    """Print the numbers behind a figure."""
    table = Table("attack", "fooling ratio", "correlation shift", "largest JSD", title=name)
    for attack, points in curves.items():
        for point in points:
            table.add_row(
                attack, f"{point.fooling_ratio:.3f}", f"{point.correlation_shift:.4f}", f"{point.max_js_distance:.4f}"
            )
    Console().print(table)


@click.command()
@click.option("-o", "--output", default="attack-comparison", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--higgs2014", type=click.Path(exists=True, path_type=Path), help="Folder with higgs2014.npz and its weights."
)
@click.option("--quick", is_flag=True, help="Few events and iterations.")
def main(output: Path, higgs2014: Path | None, *, quick: bool) -> None:
    """Compare the attacks on the donut, on the sample of the package and, if given, on the published inputs."""
    n_events, n_iterations = (400, 2) if quick else (2000, 20)
    studies: dict[str, Callable[[int], Study]] = {"donut": donut_study, "htautau": embedded_study}
    if higgs2014 is not None:
        studies["higgs2014"] = partial(higgs2014_study, higgs2014)
    output.mkdir(parents=True, exist_ok=True)
    for name, prepare in studies.items():
        study = prepare(n_events)
        curves = run(study, n_iterations)
        show(name, curves)
        style = PlotStyle(experiment="plain")
        floor = run_attack(
            Noise(size=0.0), study.classifier, study.table, rng=np.random.default_rng(SEED)
        ).compatibility.correlation_floor
        figure, _ = plot_attack_comparison(
            curves,
            max_js_distance=study.max_js_distance,
            published=study.published,
            floor=floor,
            note=study.note,
            style=style,
        )
        for kind in ("pdf", "png"):
            figure.savefig(output / f"{name}.{kind}")


if __name__ == "__main__":
    main()
