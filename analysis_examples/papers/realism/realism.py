# SPDX-License-Identifier: BSD-3-Clause
"""
From the variations of an analysis to an adversary of every event: what each freedom does to the same events.

    python realism.py -o figures
"""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from rich.console import Console
from rich.table import Table

from hepfool import CONSERVAttack, Correlations, EventTable, Marginals, Validation, certify, run_attack
from hepfool.attacks import AttackResult, Noise
from hepfool.demo import demo_steps
from hepfool.events import Envelope
from hepfool.models import TorchClassifier
from hepfool.plots import PlotStyle
from hepfool.study import thin
from hepfool.typing import BoolArray, FloatArray
from hepfool.worst_case import compositions

sys.path.append(str(Path(__file__).parents[3]))
from analysis_examples.papers.realism.smooth_map import Room, SmoothMap, judge, train_map

SEED, CAP = 1, 0.03
OWN, UNCERTAINTIES, FREE = "own", "uncertainties", "free"
#: Colour of each kind of freedom, and its words.
KINDS = {
    OWN: ("#3f90da", "along the sources of the analysis"),
    UNCERTAINTIES: ("#bd1f01", "every input within its uncertainty"),
    FREE: ("#832db6", "anywhere"),
}
STYLE = PlotStyle(experiment="plain", label="")


class Size(NamedTuple):
    """How much of everything."""

    n_events: int | None
    epochs: int
    n_iterations: int
    seconds: float
    n_levels: int


FULL, QUICK = Size(None, 100, 15, 90.0, 5), Size(1000, 2, 2, 3.0, 3)


class Sample(NamedTuple):
    """Events and network of the demo."""

    train: EventTable
    validation: EventTable
    test: EventTable
    classifier: TorchClassifier


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What one freedom does to the attacked events, and what the validation says; ``limit`` is what is proved not to be exceeded."""

    label: str
    kind: str
    fooled: float
    error: float
    beyond: float
    beyond_error: float
    largest: dict[str, float]
    kept: bool
    limit: float | None


class Climb:
    """Counts, for moves of the same events, which of the correctly classified ones change class."""

    def __init__(self, classifier: TorchClassifier, nominal: EventTable) -> None:
        self.classifier, self.nominal = classifier, nominal
        self.scores = classifier.scores(nominal.network_values)
        self.classes = classifier.predict(nominal.network_values)
        self.attacked = self.classes == nominal.labels
        #: What the others are compared with.
        self.reference = np.zeros(int(self.attacked.sum()))

    def fooled(self, moved: EventTable) -> FloatArray:
        """1 for each attacked event that changes class."""
        changed = self.classifier.predict(moved.network_values) != self.classes
        return np.asarray(changed[self.attacked], dtype=np.float64)

    def rung(self, label: str, kind: str, moved: EventTable, limit: float | None = None) -> Rung:
        """Count; the difference from the reference has the error of the differences event by event."""
        fooled = self.fooled(moved)
        (ratio, error), (beyond, beyond_error) = mean(fooled), mean(fooled - self.reference)
        scores = (self.scores, self.classifier.scores(moved.network_values))
        measured = validation().measure(self.nominal, moved, scores=scores, threshold=self.classifier.threshold)
        return Rung(
            label=label,
            kind=kind,
            fooled=ratio,
            error=error,
            beyond=beyond,
            beyond_error=beyond_error,
            largest={figure.comparison: figure.value for figure in measured.largest()},
            kept=measured.kept,
            limit=limit,
        )


def mean(values: FloatArray) -> tuple[float, float]:
    """Average and its statistical error."""
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def validation(*, score: bool = True) -> Validation:
    """Compare inputs and correlations, and the score if it shall be kept."""
    marginals = Marginals(max_js_distance=CAP, n_bins=25, n_quantiles=25)
    return Validation(
        inputs=marginals,
        score=marginals if score else None,
        correlations=Correlations(max_shift=CAP),
        separately="union",
    )


def sample(size: Size) -> Sample:
    """Every event counts the same, and all are compared as one."""
    steps = demo_steps(until="attack", seed=SEED)
    train, judged, test = (
        replace(part, weights=np.ones(part.n_events), regions=(), weight_variations={})
        for part in (steps["events"].simulation[name] for name in ("train", "validation", "test"))
    )
    return Sample(train, judged, thin(test, size.n_events, seed=SEED), steps["baseline"].classifier)


def sources_of(table: EventTable) -> tuple[str, ...]:
    """Names without up and down."""
    return tuple(dict.fromkeys(name.removesuffix("_up").removesuffix("_down") for name in table.shape_variations))


def shifted(table: EventTable, shift: dict[str, float]) -> EventTable:
    """Move measured inputs by so many standard deviations of each source, linear on either side of nominal; the others follow."""
    values = table.values.copy()
    for source, theta in ((name, size) for name, size in shift.items() if size):
        varied = table.variation(f"{source}_{'up' if theta > 0.0 else 'down'}").values
        values += abs(theta) * (varied - table.values)
    values = np.where(np.isnan(values), table.values, values)
    for column in table.features.derived:
        values[:, column] = table.features.derive(values, column)
    return table.with_values(values)


def along_sources(climb: Climb, size: Size) -> list[Rung]:
    """Move every source by itself, all with one shift for all events, and all with a shift of its own for every event."""
    nominal, sources = climb.nominal, sources_of(climb.nominal)
    proof = certify(
        climb.classifier, nominal, Envelope.from_variations(nominal), coherent=sources, seconds=size.seconds
    )
    levels = np.linspace(-1.0, 1.0, size.n_levels)
    grid = [dict(zip(sources, theta, strict=True)) for theta in itertools.product(levels, repeat=len(sources))]
    worst = max(grid, key=lambda shift: climb.fooled(shifted(nominal, shift)).sum())
    common = shifted(nominal, worst)
    climb.reference = climb.fooled(common)
    click.echo("one shift for all events: " + ", ".join(f"{name} {theta:+.2f}" for name, theta in worst.items()))
    rungs = []
    for source in sources:
        sides = [nominal.variation(f"{source}_{side}") for side in ("up", "down")]
        larger = max(sides, key=lambda moved: climb.fooled(moved).sum())
        rungs.append(climb.rung(f"{source.replace('_', ' ')} by 1σ", OWN, larger, proof.proved))
    rungs.append(climb.rung("all sources, one shift for all", OWN, common))
    each = with_events(nominal, proof.counterexamples, proof.states == "found")
    return [*rungs, climb.rung("all sources, a shift for each event", OWN, each, proof.proved)]


def with_events(table: EventTable, moved: EventTable, where: BoolArray) -> EventTable:
    """Put some events at other values."""
    values = table.values.copy()
    values[where] = moved.values
    return table.with_values(values)


def within_uncertainties(climb: Climb, events: Sample, size: Size) -> list[Rung]:
    """Move inputs within the span of their variations: at random, by one map, event by event, and with nothing compared."""
    nominal, envelope = climb.nominal, Envelope.from_variations(climb.nominal)
    proof = certify(climb.classifier, nominal, envelope, seconds=size.seconds)
    random = run_attack(
        Noise(size=1.0, unit="envelope"), climb.classifier, nominal, rng=SEED, target="all", envelope=envelope
    )
    found = {
        "every input at random": random.adversarial,
        "one smooth map, score kept": one_map(climb, events, size, envelope),
        "each event by itself, score kept": searched(climb, size, envelope, score=True).adversarial,
        "each event by itself, score free": searched(climb, size, envelope, score=False).adversarial,
        "each event by itself, nothing compared": with_events(nominal, proof.counterexamples, proof.states == "found"),
    }
    return [climb.rung(label, UNCERTAINTIES, moved, proof.proved) for label, moved in found.items()]


def anywhere(climb: Climb, events: Sample, size: Size) -> list[Rung]:
    """Move inputs within the range of all events: by one map, and event by event; the kept score limits both."""
    kept = searched(climb, size, None, score=True)
    limit = next(found for found in compositions(kept, climb.classifier) if found.name == "all").limit
    free = searched(climb, size, None, score=False)
    return [
        climb.rung("one smooth map, score kept", FREE, one_map(climb, events, size, None), limit),
        climb.rung("each event by itself, score kept", FREE, kept.adversarial, limit),
        climb.rung("each event by itself, score free", FREE, free.adversarial),
    ]


def searched(climb: Climb, size: Size, envelope: Envelope | None, *, score: bool) -> AttackResult:
    """Let every event be moved by itself."""
    attack = CONSERVAttack(strategy="frugal", validation=validation(score=score), n_iterations=size.n_iterations)
    return run_attack(attack, climb.classifier, climb.nominal, rng=SEED, envelope=envelope)


def one_map(climb: Climb, events: Sample, size: Size, envelope: Envelope | None) -> EventTable:
    """Move all events by one smooth function, by as much of it, of 20 parts, as the validation lets pass."""
    found = train_map(
        climb.classifier,
        validation(),
        CAP,
        (events.train, events.validation),
        uncertainties=envelope is not None,
        epochs=size.epochs,
        seed=SEED,
    )
    return largest_part(climb, found, Room.of(climb.nominal, envelope))


def largest_part(climb: Climb, found: SmoothMap, room: Room) -> EventTable:
    """Scale a map down until the validation of these events passes."""
    for part in np.linspace(1.0, 0.0, 21):
        moved = found.moved(climb.nominal, room, float(part))
        if judge(climb.classifier, validation(), climb.nominal, moved)[1]:
            click.echo(f"one smooth map: {part:.2f} of it passes the validation")
            return moved
    msg = "not even the nominal events pass their own validation"
    raise ValueError(msg)


def show(climb: Climb, rungs: list[Rung]) -> None:
    """Print what is drawn, and how far inputs, correlations and score moved."""
    title = f"{int(climb.attacked.sum())} attacked of {climb.nominal.n_events} events; in per cent"
    table = Table(
        "freedom", "fooled", "less one shift for all", "proved", "inputs", "corr.", "score", "kept", title=title
    )
    for rung in rungs:
        limit = "–" if rung.limit is None else f"{100.0 * rung.limit:.2f}"
        numbers = [f"{rung.largest[name]:.4f}" for name in ("inputs", "correlations", "score")]
        table.add_row(
            f"{rung.label} ({KINDS[rung.kind][1]})",
            f"{100.0 * rung.fooled:.2f} ± {100.0 * rung.error:.2f}",
            f"{100.0 * rung.beyond:+.2f} ± {100.0 * rung.beyond_error:.2f}",
            limit,
            *numbers,
            "yes" if rung.kept else "no",
        )
    Console(width=170).print(table)


def draw(rungs: list[Rung], n_attacked: int, output: Path) -> None:
    """Draw the rungs on a logarithmic axis, filled where the validation passes."""
    figure = STYLE.figure(width=1.7, height=1.15)
    ax = figure.subplots()
    for row, rung in enumerate(rungs):
        draw_rung(ax, row, rung)
    labels = [rung.label for rung in rungs]
    ax.set_yticks(range(len(rungs)), labels, fontsize=STYLE.text_size)
    ax.tick_params(axis="y", which="both", length=0)
    ax.set_ylim(len(rungs) - 0.4, -0.6)
    ax.set_xscale("log")
    ax.set_xlim(0.1, 1000.0)
    ax.set_xticks([0.1, 1.0, 10.0, 100.0], ["0.1", "1", "10", "100"])
    ax.set_xlabel(f"Of {n_attacked} correctly classified events, change class (%)")
    edges = [row for row in range(1, len(rungs)) if rungs[row].kind != rungs[row - 1].kind]
    for edge in edges:
        ax.axhline(edge - 0.5, color="0.6", linewidth=1)
    marker: dict[str, Any] = {"marker": "o", "markersize": 9, "linestyle": ""}
    handles = [Line2D([], [], color=colour, label=f"Moves {words}", **marker) for colour, words in KINDS.values()]
    handles += [
        Line2D([], [], color="0.3", label="Passes the validation", **marker),
        Line2D([], [], color="0.3", markerfacecolor="white", label="Would be noticed", **marker),
        Line2D([], [], color="black", marker="|", markersize=16, linestyle="", label="Proved not to be exceeded"),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=2, fontsize=STYLE.text_size)
    figure.savefig(output / "realism.pdf")
    figure.savefig(output / "realism.png", dpi=75)


def draw_rung(ax: Axes, row: int, rung: Rung) -> None:
    """Draw one point with its error, its limit and its number."""
    colour, fooled = KINDS[rung.kind][0], 100.0 * rung.fooled
    face = colour if rung.kept else "white"
    if fooled > 0.0:
        options: dict[str, Any] = {"markersize": 9, "color": colour, "markerfacecolor": face}
        ax.errorbar(fooled, row, xerr=100.0 * rung.error, fmt="o", **options)
    if rung.limit is not None:
        ax.plot(100.0 * rung.limit, row, color="black", marker="|", markersize=16)
    text = (
        f"{fooled:.2f} ± {100.0 * rung.error:.2f} %" if fooled < 10.0 else f"{fooled:.1f} ± {100.0 * rung.error:.1f} %"
    )
    ax.text(900.0, row, text, va="center", ha="right", fontsize=STYLE.text_size)


@click.command()
@click.option("-o", "--output", default="realism", show_default=True, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="Few events, epochs and iterations.")
def main(output: Path, *, quick: bool) -> None:
    """Climb from the variations of the demo's analysis to an adversary of every event."""
    size = QUICK if quick else FULL
    events = sample(size)
    climb = Climb(events.classifier, events.test)
    rungs = [
        *along_sources(climb, size),
        *within_uncertainties(climb, events, size),
        *anywhere(climb, events, size),
    ]
    show(climb, rungs)
    output.mkdir(parents=True, exist_ok=True)
    (output / "realism.json").write_text(json.dumps([asdict(rung) for rung in rungs], indent=1), encoding="utf-8")
    draw(rungs, int(climb.attacked.sum()), output)


if __name__ == "__main__":
    main()
