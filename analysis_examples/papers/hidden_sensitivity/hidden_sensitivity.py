# SPDX-License-Identifier: BSD-3-Clause
"""
How much more networks move within their input uncertainties than ordinary variations tell.

    python hidden_sensitivity.py

Asked by arXiv:2605.07470, of which only the abstract was read: nothing here repeats numbers or definitions of that paper.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import click
import numpy as np
import torch
from coffea.nanoevents import NanoAODSchema
from coffea.processor import IterativeExecutor, Runner
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn

from hepfool import EventTable
from hepfool.attacks import CONSERVAttack
from hepfool.contrib.attention import attention_features, attention_jets
from hepfool.contrib.jets import ConstituentLayout, ConstituentSum
from hepfool.events import Envelope
from hepfool.exceptions import MissingExtraError
from hepfool.models import Standardise, TreeClassifier, mlp
from hepfool.plots import PlotStyle
from hepfool.processors import TableProcessor, run_processor
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
from hepfool.studies import Splits, envelope_variations, split_events
from hepfool.study import thin
from hepfool.training import TrainingSettings, fit

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.hidden_sensitivity.grid import Architecture, Task, run_sensitivity_grid
from analysis_examples.papers.hidden_sensitivity.measure import SensitivitySettings
from analysis_examples.papers.hidden_sensitivity.plots import plot_hidden_sensitivity
from analysis_examples.papers.hidden_sensitivity.records import SensitivityGrid
from analysis_examples.samples import jets as jet_sample

SEED = 1
DATASETS = ("WWJet", "TTbarJet")
N_CONSTITUENTS = 20
#: Assumed uncertainties of a constituent: relative for pt, absolute for eta and phi.
PT_UNCERTAINTY, ANGLE_UNCERTAINTY = 0.02, 0.005
CAP = 0.02
MLP, PFN, ATTENTION, TREES = "MLP", "PFN", "Attention", "Trees"
NO_CONSTITUENTS = "the inputs are quantities of the event, not a set of constituents"
TREE_SETTINGS: dict[str, Any] = {"max_iter": 100, "max_leaf_nodes": 15, "learning_rate": 0.1}


class Size(NamedTuple):
    """How much of everything."""

    n_jets: int
    n_test: int
    epochs: int
    batch_size: int
    trainings: int
    chunks: int | None
    settings: SensitivitySettings


def settings(n_iterations: int, n_draws: int, proof_seconds: float) -> SensitivitySettings:
    """Both tasks are attacked alike."""
    attack = CONSERVAttack(strategy="frugal", n_iterations=n_iterations, max_js_distance=CAP, max_correlation_shift=CAP)
    return SensitivitySettings(attack=attack, n_draws=n_draws, proof_seconds=proof_seconds)


FULL = Size(4000, 1500, 20, 100, 3, None, settings(15, 10, 30.0))
QUICK = Size(400, 240, 4, 20, 2, 1, settings(2, 2, 2.0))


class Schema(NanoAODSchema):  # type: ignore[misc]  # coffea has no types
    """Stays quiet about collections that the sample does not have."""

    warn_missing_crossrefs = False


def scale_envelope(table: EventTable) -> Envelope:
    """Span what the energy scales of tau, jets and unclustered energy do to each event."""
    return Envelope.from_variations(table)


def constituent_envelope(table: EventTable) -> Envelope:
    """Assume the same relative and absolute uncertainties for every constituent."""
    sigma = np.full(table.values.shape, ANGLE_UNCERTAINTY)
    sigma[:, ::3] = PT_UNCERTAINTY * np.nan_to_num(table.values[:, ::3])
    return Envelope.absolute(table, sigma)


def higgs_splits(size: Size) -> Splits:
    """Simulated events of the package; every event counts the same, and all are constrained alike."""
    chunksize = 100_000 if size.chunks is None else 1500
    runner = Runner(IterativeExecutor(status=False), schema=Schema, chunksize=chunksize, maxchunks=size.chunks)
    analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
    table = run_processor(runner, htautau.fileset(), TableProcessor(analysis))["table"]
    plain = replace(table, weights=np.ones(table.n_events), weight_variations={}, regions=())
    return split_events(thin(plain, 4 * size.n_jets, seed=SEED), (0.5, 0.25, 0.25), SEED)


def make_jets(folder: Path, n_jets: int) -> None:
    """Let Pythia make jets; those that lie there already are kept."""
    options = ["--output", str(folder), "--task", "ttww", "--jets", str(n_jets)]
    jet_sample.main.main(options, standalone_mode=False)


def jet_splits(folder: Path, n_jets: int) -> Splits:
    """Hardest constituents, eta and phi from the jet's axis."""
    jets = ak.concatenate([jet_sample.read_jets(folder / f"{name}.root")[:n_jets] for name in DATASETS])
    for name in ("eta", "phi"):
        jets["constituents", name] = jets.constituents[name] - jets[name]
    labels = np.repeat(np.arange(len(DATASETS)), n_jets)
    return split_events(ConstituentLayout(N_CONSTITUENTS).table(jets, labels=labels), (0.5, 0.2, 0.3), SEED)


def with_variations(table: EventTable, envelope: Envelope, **together: list[str]) -> EventTable:
    """Add each input by itself, and some together, to the variations that the table has already."""
    alone = envelope_variations(table, envelope)
    joint = envelope_variations(table, envelope, together) if together else {}
    return replace(table, shape_variations={**table.shape_variations, **alone, **joint})


def particle_flow() -> nn.Module:
    """Particle flow network with Φ of 64, 64, 32 and F of 64, 64 nodes; it starts with angles in units of 0.2."""
    first = ConstituentSum(N_CONSTITUENTS, (64, 64, 32), pt_scale=100.0)
    layer = next(m for m in first.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        layer.weight[:, 1:] /= 0.2
    return mlp(32, (64, 64), batch_norm=False, preprocessing=first)


def dense(train: EventTable) -> nn.Module:
    """Fully connected network of all inputs."""
    return mlp(train.n_features, (64, 64, 32), preprocessing=Standardise.of(train))


def trained(name: str, build: Callable[[EventTable], nn.Module], training: TrainingSettings) -> Architecture:
    """Name a network and how it is trained."""

    def train(events: EventTable, validation: EventTable, seed: int) -> Any:
        return fit(lambda: build(events), events, validation, seed=seed, settings=training).classifier

    return Architecture(name=name, train=train, settings=repr(training))


def train_trees(events: EventTable, _validation: EventTable, seed: int) -> TreeClassifier:
    """Boost trees on a bootstrap sample of the training's own: the same events would give the same trees."""
    trees = HistGradientBoostingClassifier(random_state=seed % 2**32, early_stopping=False, **TREE_SETTINGS)
    chosen = np.random.default_rng(seed).integers(0, events.n_events, events.n_events)
    return TreeClassifier.of(trees.fit(events.network_values[chosen], events.labels[chosen]))


#: Boosted trees, of which the attack takes the exact change of the margin.
TREES_OF_BOTH = Architecture(name=TREES, train=train_trees, settings=f"{TREE_SETTINGS} bootstrap")


def covering(envelope: Envelope, table: EventTable) -> Envelope:
    """Let derived inputs go as far as the variations of the table take them: a length has its least value between the ends of its parts."""
    lower, upper = envelope.lower.copy(), envelope.upper.copy()
    columns = list(table.features.derived)
    for varied in table.shape_variations.values():
        lower[:, columns] = np.fmin(lower[:, columns], varied[:, columns])
        upper[:, columns] = np.fmax(upper[:, columns], varied[:, columns])
    return replace(envelope, lower=lower, upper=upper)


def higgs_task(size: Size) -> Task:
    """Event classification: H → ττ against its backgrounds, with the energy scales of the analysis."""
    train, validation, test = higgs_splits(size)
    test = thin(test, size.n_test, seed=SEED)
    scales = scale_envelope(test)
    test = with_variations(test, scales)
    envelope = covering(scales, test)
    training = TrainingSettings(max_epochs=size.epochs, batch_size=2 * size.batch_size)
    return Task(
        name=r"H $\to \tau\tau$",
        train=train,
        validation=validation,
        test=test,
        envelope=envelope,
        architectures=(
            trained(MLP, dense, training),
            trained(ATTENTION, lambda table: attention_features(Standardise.of(table)), training),
            TREES_OF_BOTH,
        ),
        absent={PFN: NO_CONSTITUENTS},
        settings=size.settings,
    )


def jet_task(folder: Path, size: Size) -> Task:
    """Object identification: jets of top quarks against W bosons, from their constituents."""
    train, validation, test = jet_splits(folder, size.n_jets)
    test = thin(test, size.n_test, seed=SEED)
    envelope = constituent_envelope(test)
    names = test.features.names
    training = TrainingSettings(max_epochs=size.epochs, batch_size=size.batch_size)
    return Task(
        name="Top and W jets",
        train=train,
        validation=validation,
        test=with_variations(
            test, envelope, all_pt=list(names[::3]), all_eta=list(names[1::3]), all_phi=list(names[2::3])
        ),
        envelope=envelope,
        architectures=(
            trained(MLP, dense, training),
            trained(PFN, lambda _: particle_flow(), training),
            trained(ATTENTION, lambda _: attention_jets(N_CONSTITUENTS), training),
            TREES_OF_BOTH,
        ),
        settings=size.settings,
    )


def tasks(output: Path, sample: Path | None, size: Size, wanted: str | None = None) -> Iterator[Task]:
    """Jets come first, because they have all architectures."""
    folder = sample or output / f"jets-{size.n_jets}"
    try:
        if wanted != "higgs":
            if sample is None:
                make_jets(folder, size.n_jets)
            yield jet_task(folder, size)
    except MissingExtraError as error:
        click.echo(f"No jets: {error}; or name a folder of jets with --sample.")
    if wanted != "jets":
        yield higgs_task(size)


def show(grid: SensitivityGrid) -> None:
    """Print the numbers behind the figure."""
    columns = ("ordinary", "random", "attack", "above_ordinary", "above_random")
    table = Table("task", "classifier", "AUROC", "", *columns, "found, proved (no caps)", "JSD (floor)", "ΔFN (floor)")
    for task, name in ((task, name) for task in grid.tasks for name in grid.architectures):
        runs = grid.cells.get((task, name), ())
        if not runs:
            table.add_row(plain(task), name, *["–"] * 10)
            continue
        worst = max((run.found.attacked for run in runs), key=lambda found: found.max_js_distance)
        shift = max((run.found.attacked for run in runs), key=lambda found: found.correlation_shift)
        distances = f"{worst.max_js_distance:.4f} ({worst.js_floor:.3f})"
        shifts = f"{shift.correlation_shift:.4f} ({shift.correlation_floor:.3f})"
        area = f"{np.mean([run.auroc for run in runs]):.3f}"
        for quantity, title in (("flips", "fooled"), ("yield_shift", "yield")):
            means = [grid.mean(task, name, quantity, number) for number in columns]  # type: ignore[arg-type]
            cells = [f"{mean.value:.3f} ± {mean.error:.3f}" for mean in means]
            limits = [grid.limit(task, name, quantity, side) for side in ("found", "proved")]  # type: ignore[arg-type]
            bracket = ", ".join("–" if np.isnan(one.value) else f"{one.value:.3f} ± {one.error:.3f}" for one in limits)
            table.add_row(plain(task), name, area, title, *cells, bracket, distances, shifts)
    console = Console(width=205)
    console.print(table)
    for (task, name), why in grid.absent.items():
        console.print(f"– {name}, {plain(task)}: {why}.")
    for task in grid.tasks:
        cells = [runs for (where, _), runs in grid.cells.items() if where == task]
        found = cells[0][0].found
        errors = [run.found.flips.attack.error for runs in cells for run in runs]
        console.print(
            f"{plain(task)}: {found.n_events} test events, {len(cells[0])} trainings each; statistical error of a fooling "
            f"ratio under attack {min(errors):.4f} to {max(errors):.4f}, common to the trainings"
        )


def plain(task: str) -> str:
    """Write the name of a task without LaTeX."""
    return task.replace(r"$\to \tau\tau$", "→ ττ")


@click.command()
@click.option("-o", "--output", default="output", show_default=True, type=click.Path(path_type=Path))
@click.option("--sample", type=click.Path(exists=True, path_type=Path), help="Folder of simulated top and W jets.")
@click.option("--task", "wanted", type=click.Choice(("jets", "higgs")), help="Only one of the two tasks.")
@click.option("--trainings", type=int, help="Trainings per cell.")
@click.option("--quick", is_flag=True, help="Few events, epochs and iterations.")
def main(output: Path, sample: Path | None, wanted: str | None, trainings: int | None, *, quick: bool) -> None:
    """Move events within their uncertainties in three ways, and compare what networks make of them."""
    size = QUICK if quick else FULL
    output.mkdir(parents=True, exist_ok=True)
    found = list(tasks(output, sample, size, wanted))
    with Progress() as progress:
        update = partial(progress.update, progress.add_task("Trainings", total=1.0))
        grid = run_sensitivity_grid(
            found,
            seed=SEED,
            n_trainings=trainings or size.trainings,
            folder=output / "trainings",
            progress=lambda _, fraction: update(completed=fraction),
        )
    show(grid)
    figure, _ = plot_hidden_sensitivity(grid, style=PlotStyle(experiment="plain", label=""))
    for kind, options in (("pdf", {}), ("png", {"dpi": 60})):
        figure.savefig(output / f"hidden_sensitivity.{kind}", **options)


if __name__ == "__main__":
    main()
