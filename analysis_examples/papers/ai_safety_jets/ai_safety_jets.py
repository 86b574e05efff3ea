# SPDX-License-Identifier: BSD-3-Clause
"""
What small moves of a jet's constituents cost a search, after arXiv:1910.08606.

    python ai_safety_jets.py
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from hepfool import EventTable, run_attack
from hepfool.attacks import (
    AdversarySettings,
    Attack,
    MoveUnit,
    Noise,
    Observable,
    TrainedAdversary,
    constituent_fgsm,
    train_adversary,
)
from hepfool.contrib.jets import jet_d2, jet_mass, jet_pt
from hepfool.exceptions import NetworkWarning
from hepfool.identity import table_digest
from hepfool.models import TorchClassifier
from hepfool.plots import PlotStyle
from hepfool.training import auroc

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.ai_safety_jets.blinded_validation import (
    BlindedValidation,
    PairedObservable,
    validate_blinded,
)
from analysis_examples.papers.ai_safety_jets.checkpoints import ADVERSARIAL, CheckpointRecord, scan_checkpoints
from analysis_examples.papers.ai_safety_jets.networks import (
    EARLY,
    HIGH,
    LOW,
    STAGES,
    Stage,
    Trained,
    kept_values,
    key_of,
    train,
)
from analysis_examples.papers.ai_safety_jets.plots import (
    plot_blinded_validation,
    plot_checkpoints,
    plot_observables,
    plot_significance,
)
from analysis_examples.papers.ai_safety_jets.sample import LEVELS, Jets, make_sample, read_sample
from analysis_examples.papers.ai_safety_jets.significance import (
    SignificanceSettings,
    SignificanceStudy,
    compare_significance,
    optimal_threshold,
)
from analysis_examples.samples.jet_production import Level

SEED = 1
FGSM, ADVERSARY = "FGSM", "Adversarial network"
NOISE_1, NOISE_2 = "Noise ± 0.01", "Noise ± 0.02"
PUBLISHED = {(LOW, FGSM): "-30 %", (HIGH, FGSM): "-30 %", (LOW, ADVERSARY): "-25 %", (HIGH, ADVERSARY): "-15 %"}
#: Largest relative significances.
PEAKS = {LOW: 2.5, HIGH: 1.5}
#: Names of the attack in the scan of the training.
STAGE_ATTACKS = (ADVERSARY, ADVERSARIAL)
#: Largest moves of pt relative to its value, of eta and phi absolute.
UNITS: tuple[MoveUnit, ...] = ("relative", "absolute", "absolute")
#: Axis title, function and edges of each observable.
OBSERVABLES = {
    "mass": ("Jet mass [GeV]", jet_mass, np.linspace(0.0, 250.0, 26)),
    "pt": (r"Jet $p_\mathrm{T}$ [GeV]", jet_pt, np.linspace(300.0, 700.0, 21)),
    "d2": (r"Jet $D_2^{(\beta=2)}$", jet_d2, np.linspace(0.0, 10.0, 26)),
}
SCORE_EDGES = np.linspace(0.0, 1.0, 26)
PLAIN = PlotStyle(experiment="plain", label="", energy=13.0)


class Size(NamedTuple):
    """How much of everything."""

    n_jets: int
    n_constituents: int
    stages: tuple[Stage, ...]
    early: tuple[int, ...]
    batch_size: int
    adversary_epochs: int
    adversary_batch_size: int
    min_background: float


FULL = Size(10_000, 64, STAGES, EARLY, 100, 20, 64, 60.0)
QUICK = Size(400, 8, (Stage(4, 1e-3), Stage(2, 3e-4)), (2,), 20, 1, 256, 5.0)


class Study(NamedTuple):
    """A network, the test jets after each attack on it, and what that costs."""

    name: str
    classifier: TorchClassifier
    adversarial: dict[str, EventTable]
    signal_moved: SignificanceStudy
    all_moved: SignificanceStudy


def trained(name: str, jets: Jets, size: Size, folder: Path) -> Trained:
    """Train a network, or read it; the low-level one keeps its early epochs."""
    early = size.early if name == LOW else ()
    return train(
        name,
        jets.train,
        jets.validation,
        size.stages,
        seed=SEED,
        folder=folder,
        batch_size=size.batch_size,
        early=early,
    )


def move_signal(attack: Attack, classifier: TorchClassifier, jets: EventTable) -> EventTable:
    """Attack every signal jet, also those that the network misses at a threshold of one half."""
    eager = TorchClassifier(classifier.module, n_features=classifier.n_features, threshold=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetworkWarning)  # of one class for all jets, which is meant
        return run_attack(attack, eager, jets, rng=np.random.default_rng(SEED), target=1).adversarial


def move_all(attack: Attack, classifier: TorchClassifier, jets: EventTable) -> EventTable:
    """Attack every jet."""
    return run_attack(attack, classifier, jets, rng=np.random.default_rng(SEED), target="all").adversarial


def find_adversary(classifier: TorchClassifier, jets: Jets, size: Size) -> TrainedAdversary:
    """Train a network that moves each constituent by at most 2 %, keeping mass and pt of the background."""
    settings = AdversarySettings(
        rho=0.02,
        unit=UNITS * size.n_constituents,
        growth=1.5,
        max_epochs=size.adversary_epochs,
        learning_rate=5e-4,
        batch_size=size.adversary_batch_size,
    )
    kept = [Observable(name=name, function=OBSERVABLES[name][1]) for name in ("mass", "pt")]
    return train_adversary(classifier, jets.train, jets.validation, seed=SEED, observables=kept, settings=settings)


def adversarial_jets(classifier: TorchClassifier, jets: Jets, size: Size, folder: Path) -> EventTable:
    """Test jets as the adversarial network leaves them; they are kept."""

    def make() -> EventTable:
        found = find_adversary(classifier, jets, size)
        Console().print(found.summary)
        if found.admissible:
            return move_all(found.attack, classifier, jets.test)
        Console().print("So this attack moves nothing below.")
        return jets.test

    key = key_of(classifier.digest, *map(table_digest, jets), size.adversary_epochs, size.adversary_batch_size, SEED)
    return kept_values(folder / f"adversary-{key[:12]}.npy", jets.test, make)


def scores(classifier: TorchClassifier, table: EventTable) -> np.ndarray:
    """Score of the signal class."""
    return classifier.scores(table.network_values)[:, 1]


def study(name: str, classifier: TorchClassifier, jets: Jets, size: Size, folder: Path) -> Study:
    """Attack one network in every way and compare significances."""
    units = UNITS * size.n_constituents
    adversarial = {
        FGSM: move_signal(constituent_fgsm(size.n_constituents), classifier, jets.test),
        NOISE_1: move_signal(Noise(size=0.01, unit=units), classifier, jets.test),
        ADVERSARY: adversarial_jets(classifier, jets, size, folder),
        NOISE_2: move_all(Noise(size=0.02, unit=units), classifier, jets.test),
    }
    settings = SignificanceSettings(min_background=size.min_background)
    threshold = optimal_threshold(jets.validation.labels, scores(classifier, jets.validation), settings=settings)

    def compare(*attacks: str) -> SignificanceStudy:
        return compare_significance(
            jets.test.labels,
            scores(classifier, jets.test),
            {attack: scores(classifier, adversarial[attack]) for attack in attacks},
            rng=np.random.default_rng(SEED),
            threshold=threshold,
            settings=settings,
        )

    return Study(name, classifier, adversarial, compare(FGSM, NOISE_1), compare(ADVERSARY, NOISE_2))


def scan(
    early: dict[int, TorchClassifier], final: CheckpointRecord, jets: Jets, size: Size, folder: Path
) -> list[CheckpointRecord]:
    """Attack the under-trained networks, too."""
    records = scan_checkpoints(
        early,
        jets.test,
        lambda classifier: adversarial_jets(classifier, jets, size, folder),
        rng=np.random.default_rng(SEED),
        validation=jets.validation,
        settings=SignificanceSettings(min_background=size.min_background),
    )
    return [*records, final]


def observed(jets: EventTable, adversarial: EventTable) -> list[PairedObservable]:
    """Observables of jets before and after an attack."""
    before, after = (torch.from_numpy(table.network_values.copy()) for table in (jets, adversarial))
    return [
        PairedObservable(
            label=label, edges=edges, nominal=function(before).numpy(), adversarial=function(after).numpy()
        )
        for label, function, edges in OBSERVABLES.values()
    ]


def paired_score(found: Study, jets: EventTable, attack: str) -> PairedObservable:
    """Score of jets before and after an attack."""
    before, after = (scores(found.classifier, table) for table in (jets, found.adversarial[attack]))
    return PairedObservable(label=f"Score, {found.name.lower()}", edges=SCORE_EDGES, nominal=before, adversarial=after)


def draw(found: Study, jets: EventTable) -> dict[str, Figure]:
    """Figures of one network: significance and observables, as figs. 2 to 5 of the paper."""
    short = found.name.split()[0].lower()
    figures = {}
    for attack, file, result in ((FGSM, "fgsm", found.signal_moved), (ADVERSARY, "adversary", found.all_moved)):
        moved = "signal" if attack == FGSM else "all jets"
        note = f"{found.name}, {moved} moved"
        figures[f"significance_{file}_{short}"], _ = plot_significance(result, note=note, style=PLAIN)
        shown = [paired_score(found, jets, attack), *observed(jets, found.adversarial[attack])]
        names = ("Dijet", r"Z $\to$ qq")
        figures[f"observables_{file}_{short}"], _ = plot_observables(
            shown, jets.labels, label_names=names, note=attack.split(" ")[0], style=PLAIN
        )
    return figures


def validate(found: Study, jets: EventTable) -> BlindedValidation:
    """Blinded validation, as fig. 1 of the paper."""
    return validate_blinded(
        jets.labels,
        paired_score(found, jets, ADVERSARY),
        observed(jets, found.adversarial[ADVERSARY])[:2],
        rng=np.random.default_rng(SEED),
        optimum=found.all_moved.threshold,
    )


def show(studies: list[Study], seen: BlindedValidation, jets: EventTable) -> None:
    """Print the numbers behind the figures."""
    console = Console(width=120)
    table = Table("network", "AUROC", "jets moved by", "expected (published)", "change [68 %]", "published")
    for found in studies:
        area = f"{auroc(jets.labels, scores(found.classifier, jets)):.3f}"
        for result in (found.signal_moved, found.all_moved):
            for curve in result.varied:
                published = PUBLISHED.get((found.name, curve.name), "")
                expected, change = f"{result.expected:.2f} ({PEAKS[found.name]})", str(result.change(curve.name))
                table.add_row(found.name, area, curve.name, expected, change, published)
    console.print(table)
    for name, histogram in zip(("score", *OBSERVABLES), (seen.score, *seen.observables), strict=False):
        console.print(f"{name}: chi2/ndf {histogram.chi2:.1f}/{histogram.ndf}, p = {histogram.p_value:.2g}")
    console.print(f"{len(jets.labels)} test jets; control region: {seen.n_observed} against {seen.n_expected} dijets")


def show_stages(stages: list[CheckpointRecord]) -> None:
    """Print what the attack costs networks that were trained too little."""
    table = Table("network", "AUROC", "expected", "change [68 %]")
    for record in stages:
        result = record.significance
        change = str(result.change(next(curve.name for curve in result.varied if curve.name in STAGE_ATTACKS)))
        table.add_row(f"{LOW}, epoch {record.epoch}", f"{record.auroc:.3f}", f"{result.expected:.2f}", change)
    Console(width=120).print(table)


def save(figures: dict[str, Figure], output: Path) -> None:
    """Write figures as PDF and PNG."""
    for name, figure in figures.items():
        for kind in ("pdf", "png"):
            figure.savefig(output / f"{name}.{kind}")


@click.command()
@click.option("-o", "--output", default="output", show_default=True, type=click.Path(path_type=Path))
@click.option(
    "--sample", type=click.Path(path_type=Path), help="Folder of the simulated jets; in the output by default."
)
@click.option(
    "--level", default="towers", show_default=True, type=click.Choice(LEVELS), help="What the jets are made of."
)
@click.option("--jets", "n_jets", type=int, help="Jets of each kind, instead of the default number.")
@click.option("--quick", is_flag=True, help="Few jets and epochs.")
def main(output: Path, sample: Path | None, level: Level, n_jets: int | None, *, quick: bool) -> None:
    """Simulate jets, train two networks, attack them, and draw what a search loses and what its validation sees."""
    size = QUICK if quick else FULL
    size = size._replace(n_jets=n_jets or size.n_jets)
    folder = sample or output / ("sample-quick" if quick else "sample")
    work = output / "work"
    output.mkdir(parents=True, exist_ok=True)
    make_sample(folder, size.n_jets, (level,))
    jets = read_sample(folder, level, size.n_jets, size.n_constituents).first(size.n_jets)
    networks = {name: trained(name, jets, size, work) for name in (HIGH, LOW)}
    studies = [study(name, network.classifier, jets, size, work) for name, network in networks.items()]
    areas = [auroc(jets.test.labels, scores(found.classifier, jets.test)) for found in studies]
    last_high, last_low = (
        CheckpointRecord(epoch=len(network.history), auroc=area, significance=found.all_moved)
        for network, area, found in zip(networks.values(), areas, studies, strict=True)
    )
    seen = validate(studies[1], jets.test)
    show(studies, seen, jets.test)
    save({name: figure for found in studies for name, figure in draw(found, jets.test).items()}, output)
    save({"blinded_validation": plot_blinded_validation(seen, style=PLAIN)[0]}, output)
    stages = scan(networks[LOW].early, last_low, jets, size, work)
    show_stages(stages)
    figure, _ = plot_checkpoints({LOW: stages, HIGH: [last_high]}, note=ADVERSARY, style=PLAIN)
    save({"checkpoints": figure}, output)


if __name__ == "__main__":
    main()
