# SPDX-License-Identifier: BSD-3-Clause
"""What the studies share: networks, and tables and figures of several trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import nn

from hepfool.attacks import PRESETS, AttackResult, CONSERVAttack, from_nominal, scaled_to
from hepfool.events import EventTable
from hepfool.models import Standardise, mlp
from hepfool.plots import PlotStyle, add_experiment_label
from hepfool.studies import CrossRuns
from hepfool.training import TrainingSettings

STYLE = PlotStyle(experiment="plain", label="")
#: For ``--quick``.
QUICK_TRAINING = TrainingSettings(max_epochs=4, batch_size=64, learning_rate=3e-3)
#: Events per step of a training, by task.
BATCH_SIZES = {"higgs": 1024, "jets": 256}
#: Test events of the paper's Higgs study.
PUBLISHED_TEST_EVENTS = 63_000


#: The two readings of the caps of the paper's Table 2.
CAPS = click.option(
    "--caps",
    type=click.Choice(("move", "nominal")),
    default="nominal",
    show_default=True,
    help="What the published cap on a distance limits: a single move, or the distance from nominal.",
)


def preset(name: str, caps: str, *, quick: bool = False) -> CONSERVAttack:
    """Take a table of the paper in one of its two readings."""
    attack = PRESETS[name] if caps == "move" else from_nominal(PRESETS[name])
    return quick_attack(attack) if quick else attack


def quick_attack(attack: CONSERVAttack) -> CONSERVAttack:
    """Two iterations under caps for 500 events."""
    return replace(scaled_to(attack, 500, published_n_events=PUBLISHED_TEST_EVENTS), n_iterations=2)


def network(table: EventTable) -> nn.Module:
    """Layers of Tables 19 and 21 of the paper, for any number of inputs."""
    return mlp(table.n_features, (300, 102, 12, 6), preprocessing=Standardise.of(table))


class Trainings(NamedTuple):
    """One attack on several trainings: its figures by name, one number per training."""

    name: str
    numbers: Mapping[str, list[float]]
    published: Mapping[str, float]


def measured(result: AttackResult) -> dict[str, float]:
    """Return what the paper gives of an attack."""
    found = result.compatibility
    return {
        "Fooling ratio": result.fooling_ratio,
        "Mean JSD": found.mean_js_distance,
        "Correlation shift": found.correlation_shift,
    }


def gathered(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Turn one dictionary per training into one of lists."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def show_trainings(title: str, studies: Sequence[Trainings]) -> None:
    """Print mean and standard deviation over the trainings."""
    names = _names(studies)
    table = Table("", *names, title=title)
    for study in studies:
        rows = {name: f"{np.mean(v):.4f} ± {np.std(v, ddof=1):.4f}" for name, v in study.numbers.items()}
        published = {name: f"{value:g}" for name, value in study.published.items()}
        table.add_row(study.name, *(rows.get(name, "") for name in names))
        if published:
            table.add_row("  published", *(published.get(name, "") for name in names))
    Console(width=140).print(table)


def plot_trainings(studies: Sequence[Trainings], note: str) -> Figure:
    """Draw every training (open) with mean and standard deviation, and what was published (line)."""
    names = _names(studies)
    with STYLE.context():
        figure = STYLE.figure(width=0.75 * len(names), height=0.95)
        axes = np.atleast_1d(np.asarray(figure.subplots(1, len(names)), dtype=object))
        for ax, name in zip(axes, names, strict=True):
            for x, (study, colour) in enumerate(zip(studies, STYLE.colours, strict=False)):
                _draw_training(ax, x, study, name, colour)
            if any(study.published for study in studies):
                ax.plot([], [], color="0.4", linestyle="--", linewidth=3, label="Published")
            ax.set_xlim(-0.6, len(studies) - 0.4)
            ax.set_ylim(0.0, 1.15 * max(*ax.dataLim.intervaly, 1e-3))
            ax.set_xticks([])
            ax.set_ylabel(name)
        handles = axes[0].get_legend_handles_labels()
        style: dict[str, Any] = {"fontsize": STYLE.text_size, "title": note, "title_fontsize": STYLE.text_size}
        figure.legend(*handles, loc="outside lower center", ncols=3, **style)
        add_experiment_label(axes[0], STYLE, right=False)
    return figure


def _draw_training(ax: Any, x: int, study: Trainings, name: str, colour: str) -> None:
    style: dict[str, Any] = {"color": colour, "linestyle": "none", "markersize": 8}
    values = np.array(study.numbers.get(name, [np.nan]))
    ax.plot(x + 0.35 * np.linspace(-1.0, 1.0, len(values)), values, "o", markerfacecolor="none", **style)
    spread = values.std(ddof=1) if len(values) > 1 else np.nan
    ax.errorbar(x, values.mean(), spread, fmt="s", capsize=5, label=study.name, **style)
    if name in study.published:
        ax.plot([x - 0.4, x + 0.4], 2 * [study.published[name]], color=colour, linestyle="--", linewidth=3)


def _names(studies: Sequence[Trainings]) -> list[str]:
    return list(dict.fromkeys(name for study in studies for name in study.numbers))


def show_cross_runs(title: str, runs: CrossRuns) -> None:
    """Print means over the cells with their errors."""
    kinds = ("white_box", "grey_box", *(("adaptive",) if runs.adaptive else ()))
    table = Table("", *kinds, title=title)
    for quantity in (
        "fooling_ratio",
        "corrected_fooling_ratio",
        "product_fooling_ratio",
        "efficiency_fooled",
        "efficiency_adversarial",
        "clean_efficiency",
        "clean_efficiency_signal",
        "clean_efficiency_background",
        "auroc",
    ):
        means = [runs.mean(kind, quantity) for kind in kinds]  # type: ignore[arg-type]
        table.add_row(quantity, *(f"{mean.value:.3f} ± {mean.error:.3f}" for mean in means))
    Console(width=120).print(table)
    areas = runs.auroc
    Console().print(f"AUROC of the networks {areas.mean():.4f} ± {areas.std():.4f} (standard deviation)")


def show_flags(flags: Any) -> None:
    """Print how often clean events were flagged, and how often by chance, of ``systematic_misclassification``."""
    Console(width=140).print(
        f"Of {flags.n_events} clean events {flags.observed.tolist()} are flagged 0, 1, … times, by chance "
        f"{flags.expected.round(1).tolist()}; excess at {flags.times[flags.significant].tolist()}; "
        f"p-value {flags.p_value:.2g}, variance over binomial {flags.dispersion:.2f}"
    )


class Bar:
    """Progress of a study: call it with the present step and the finished fraction."""

    def __init__(self, title: str) -> None:
        self.progress = Progress()
        self.task = self.progress.add_task(title, total=1.0)

    def __call__(self, _: str, fraction: float) -> None:
        """Advance."""
        self.progress.update(self.task, completed=fraction)
        self.progress.refresh()


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write a figure as PDF and, small, as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.pdf")
    figure.savefig(folder / f"{name}.png", dpi=50)
