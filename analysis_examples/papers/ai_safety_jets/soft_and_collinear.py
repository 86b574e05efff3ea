# SPDX-License-Identifier: BSD-3-Clause
"""
Splitting, soft radiation and merging beside turning: which moves of constituents fool which network (outlook of arXiv:1910.08606).

    python soft_and_collinear.py --sample FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from hepfool import EventTable, Marginals, TorchClassifier, Validation, run_attack
from hepfool.attacks import AttackResult
from hepfool.contrib.jets import ConstituentLayout, ConstituentMoves, jet_d2, jet_mass, jet_observables
from hepfool.plots import PlotStyle
from hepfool.training import auroc

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.ai_safety_jets.networks import EARLY, LOW, NETWORKS, STAGES, Stage, train
from analysis_examples.papers.ai_safety_jets.sample import LEVELS, make_sample, read_sample
from analysis_examples.samples.jet_production import Level

SEED, CAP = 1, 0.03
STYLE = PlotStyle(experiment="plain", label="", energy=13.0)
MOVES: Mapping[str, tuple[str, ...]] = {
    "Turn": ("turn",),
    "Split": ("split",),
    "Merge": ("merge",),
    "Radiate": ("radiate",),
    "All of them": ("turn", "split", "merge", "radiate"),
}


class Size(NamedTuple):
    """How much of everything."""

    n_jets: int
    n_constituents: int
    stages: tuple[Stage, ...]
    batch_size: int
    n_attacked: int
    n_iterations: int
    n_candidates: int


FULL = Size(10_000, 64, STAGES, 100, 400, 6, 6)
QUICK = Size(400, 24, (Stage(2, 1e-3), Stage(1, 3e-4)), 20, 150, 2, 2)


class Row(NamedTuple):
    """What moves of one kind did to one network."""

    network: str
    moves: str
    free: AttackResult
    kept: AttackResult


def with_free_places(jets: EventTable, n_jets: int) -> EventTable:
    """Take some jets of both kinds, with zeros in empty places, which a splitting may fill."""
    chosen = np.sort(np.random.default_rng(SEED).permutation(jets.n_events)[:n_jets])
    return EventTable.from_arrays(
        np.nan_to_num(jets.values[chosen]), features=jets.features, labels=jets.labels[chosen]
    )


def attack(size: Size, moves: tuple[str, ...], validation: Validation | None) -> ConstituentMoves:
    """The same number of draws for every kind."""
    return ConstituentMoves(
        moves=moves,  # type: ignore[arg-type]
        n_iterations=size.n_iterations,
        n_candidates=size.n_candidates,
        validation=validation,
    )


def measured(networks: Mapping[str, TorchClassifier], test: EventTable, size: Size) -> list[Row]:
    """Attack every network with every kind of move, without caps and with all of them kept."""
    bins = {"max_js_distance": CAP, "n_bins": 25, "n_quantiles": 0}
    kept = Validation(
        inputs=None,
        correlations=None,
        score=Marginals(max_js_distance=3 * CAP, n_bins=10, n_quantiles=0),
        observables=jet_observables(ConstituentLayout(test.n_features // 3), **bins),  # type: ignore[arg-type]
    )
    return [
        Row(
            name,
            kind,
            *(run_attack(attack(size, moves, validation), network, test, rng=SEED) for validation in (None, kept)),
        )
        for name, network in networks.items()
        for kind, moves in MOVES.items()
    ]


def change(result: AttackResult, function: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Median relative size of what the attack does to an observable of the fooled jets."""
    before, after = (
        function(torch.from_numpy(table.values[result.fooled])).numpy()
        for table in (result.nominal, result.adversarial)
    )
    return float(np.median(np.abs(after / before - 1.0))) if len(before) else np.nan


def multiplicity(result: AttackResult) -> float:
    """Mean change of the number of constituents of the fooled jets."""
    numbers = [(t.values[result.fooled][:, ::3] > 0).sum(axis=1) for t in (result.nominal, result.adversarial)]
    return float((numbers[1] - numbers[0]).mean()) if len(numbers[0]) else np.nan


def show(rows: list[Row]) -> None:
    """Print fooling ratios and what became of the jets."""
    columns = ("attacked", "fooled", "all kept", "|Δm|/m", "|ΔD2|/D2", "Δn", "largest JSD (cap .03)", "score (cap .09)")
    table = Table("network", "moves", *columns)
    for row in rows:
        kept = row.kept
        distances = {
            kind: max(figure.value for figure in kept.validated.figures if figure.comparison == kind)
            for kind in ("observables", "score")
        }
        cells = [str(int(row.free.attacked.sum())), f"{row.free.fooling_ratio:.3f}", f"{kept.fooling_ratio:.3f}"]
        cells += [f"{change(kept, f):.4f}" for f in (jet_mass, jet_d2)]
        cells += [f"{multiplicity(kept):+.1f}", *(f"{distances[kind]:.4f}" for kind in ("observables", "score"))]
        table.add_row(row.network, row.moves, *cells)
    Console(width=150).print(table)


def drawn(rows: list[Row]) -> Figure:
    """Draw fooling ratios by kind of move, open without caps, full with them."""
    with STYLE.context():
        figure = STYLE.figure(width=1.25, height=0.95)
        figure.set_layout_engine("constrained")
        ax = figure.subplots()
        names = list(dict.fromkeys(row.network for row in rows))
        for k, (name, colour) in enumerate(zip(names, STYLE.colours, strict=False)):
            own = [row for row in rows if row.network == name]
            places = np.arange(len(own)) + 0.36 * (k - 0.5)
            for what, style in (
                ("free", {"fill": False, "edgecolor": colour, "linewidth": 2}),
                ("kept", {"color": colour}),
            ):
                values = [getattr(row, what).fooling_ratio for row in own]
                label = f"{name}, {'no caps' if what == 'free' else 'mass, pT, D2 and score kept'}"
                ax.bar(places, values, width=0.32, label=label.replace("pT", r"$p_\mathrm{T}$"), **style)
        ax.set_xticks(np.arange(len(MOVES)), list(MOVES))
        ax.tick_params(axis="x", which="both", length=0)
        ax.set_ylabel("Fooled / attacked jets")
        ax.set_ylim(0.0, 1.6 * ax.get_ylim()[1])
        ax.legend(loc="upper left", fontsize=STYLE.text_size)
    return figure


@click.command()
@click.option("-o", "--output", default="output", show_default=True, type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(path_type=Path), help="Folder of the jets, made there where they are not.")
@click.option(
    "--level", default="towers", show_default=True, type=click.Choice(LEVELS), help="What the jets are made of."
)
@click.option("--jets", type=int, help="Jets of each kind, instead of the default number.")
@click.option("--quick", is_flag=True, help="Few jets, epochs and iterations.")
def main(output: Path, sample: Path | None, level: Level, jets: int | None, *, quick: bool) -> None:
    """Train two networks, or take those that are kept, and move constituents of test jets."""
    size = QUICK if quick else FULL
    size = size._replace(n_jets=jets or size.n_jets)
    folder = sample or output / ("sample-quick" if quick else "sample")
    make_sample(folder, size.n_jets, (level,))
    parts = read_sample(folder, level, size.n_jets, size.n_constituents).first(size.n_jets)
    networks = {}
    for name in NETWORKS:
        early = EARLY if name == LOW and not quick else ()
        found = train(
            name, parts.train, parts.validation, size.stages, seed=SEED, folder=output / "work",
            batch_size=size.batch_size, early=early,
        )  # fmt: skip
        networks[name] = found.classifier
        click.echo(f"{name}: AUROC {auroc(parts.test.labels, found.classifier.scores(parts.test.network_values)):.3f}")
    rows = measured(networks, with_free_places(parts.test, size.n_attacked), size)
    show(rows)
    figure = drawn(rows)
    for kind in ("pdf", "png"):
        figure.savefig(output / f"soft_and_collinear.{kind}", dpi=60)


if __name__ == "__main__":
    main()
