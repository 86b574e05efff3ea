# SPDX-License-Identifier: BSD-3-Clause
"""
What an attack costs in a fit: expected uncertainty on μ before and after, and the ranking of the nuisance parameters.

    python fit.py -o output
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyhf
import uproot
from hist import Hist, rebin
from rich.console import Console
from rich.table import Table

from hepfool.demo import demo_steps, demo_study
from hepfool.exceptions import LowStatisticsWarning
from hepfool.inference import (
    LOWER_LIMIT,
    Impact,
    Nuisance,
    Template,
    attack_patch,
    combine_lines,
    expected_impact,
    write_combine_shapes,
)
from hepfool.plots import PlotStyle, plot_impacts
from hepfool.processors import attack_table
from hepfool.samples import htautau

SEED = 1
#: The signal region; the control region holds too few simulated events of a high score for a template.
CHANNELS = ("low_mt",)
SIGNALS = ("ggH", "VBFH")
BACKGROUNDS = ("ZTauTau", "TTbar", "WJets")
SHAPES = ("tau_energy", "jet_energy", "unclustered_energy", "tau_id", "tau_fake_rate", "z_pt")
N_BINS = 5
LUMINOSITY_ERROR = 0.025
#: The fit is one of so many events; the simulation is that of 0.15 per fb.
LUMINOSITY_FB = 3.0

#: Score by process and variation in one channel.
Scores = Mapping[tuple[str, str], Hist[Any]]


def attacked_scores(n_iterations: int | None) -> dict[str, Scores]:
    """Attack the test part of the embedded sample; take the score by channel, process and variation."""
    steps = demo_steps(until="attack", seed=SEED)
    table, attack = steps["events"].simulation["test"], demo_study("report").attack
    if n_iterations is not None:
        attack = replace(attack, n_iterations=n_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowStatisticsWarning)  # the README says how many events there are
        out = attack_table(
            table,
            steps["baseline"].classifier,
            attack,
            binning=attack.kept.input_binning(table),
            seed=SEED,
        )
    scores = out["sums"].scores()
    # The test part is a quarter of the simulation.
    simulated_fb = htautau.luminosity_pb() / 4.0 / 1000.0
    scores = scores * (LUMINOSITY_FB / simulated_fb)
    step = slice(None, None, rebin(len(scores.axes["score"]) // N_BINS))
    return {
        channel: {
            (process, variation): scores[process, channel, variation, step]
            for process in (*SIGNALS, *BACKGROUNDS)
            for variation in scores.axes["variation"]
        }
        for channel in CHANNELS
    }


def workspace(scores: Mapping[str, Scores]) -> dict[str, Any]:
    """The model of the analysis, without an attack; the data are its own expectation."""
    channels = [
        {"name": channel, "samples": [sample(found, channel, process) for process in (*SIGNALS, *BACKGROUNDS)]}
        for channel, found in scores.items()
    ]
    data = {c["name"]: np.sum([s["data"] for s in c["samples"]], axis=0).tolist() for c in channels}
    # Few signal events: a fit may well prefer none, or less.
    strength = {"name": "mu", "inits": [1.0], "bounds": [[-10.0, 20.0]]}
    return {
        "channels": channels,
        "observations": [{"name": channel, "data": yields} for channel, yields in data.items()],
        "measurements": [{"name": "signal strength", "config": {"poi": "mu", "parameters": [strength]}}],
        "version": "1.0.0",
    }


def sample(scores: Scores, channel: str, process: str) -> dict[str, Any]:
    """One process with its ordinary uncertainties."""
    nominal = scores[process, "nominal"]
    luminosity = {"hi": 1.0 + LUMINOSITY_ERROR, "lo": 1.0 - LUMINOSITY_ERROR}
    modifiers: list[dict[str, Any]] = [
        {"name": "luminosity", "type": "normsys", "data": luminosity},
        {"name": f"mc_{channel}", "type": "staterror", "data": np.sqrt(nominal.variances()).tolist()},
    ]
    for shape in SHAPES:
        sides = {
            key: scores[process, f"{shape}_{side}"].values() for key, side in (("hi_data", "up"), ("lo_data", "down"))
        }
        data = {key: values.tolist() for key, values in sides.items()}
        modifiers.append({"name": shape, "type": "histosys", "data": data})
    if process in SIGNALS:
        modifiers.append({"name": "mu", "type": "normfactor", "data": None})
    return {"name": process, "data": nominal.values().tolist(), "modifiers": modifiers}


def templates(scores: Mapping[str, Scores]) -> tuple[Template, ...]:
    """What the attack does to every process in every channel."""
    return tuple(
        Template.of(found[process, "nominal"], found[process, "adversarial"], channel=channel, sample=process)
        for channel, found in scores.items()
        for process in (*SIGNALS, *BACKGROUNDS)
    )


def write_combine(
    folder: Path, model: dict[str, Any], shifts: tuple[Template, ...], scores: Mapping[str, Scores]
) -> None:
    """The same model for Combine: shapes.root and datacard.txt."""
    path = write_combine_shapes(folder / "shapes.root", shifts, force=True)
    with uproot.update(path) as file:
        for channel, found in scores.items():
            for (process, variation), histogram in found.items():
                name, _, side = variation.rpartition("_")
                if name in SHAPES:
                    file[f"{channel}/{process}_{name}{side.capitalize()}"] = histogram
            file[f"{channel}/data_obs"] = sum(found[process, "nominal"] for process in (*SIGNALS, *BACKGROUNDS))
    columns = [(c["name"], s["name"], sum(s["data"])) for c in model["channels"] for s in c["samples"]]
    numbers = {process: str(k - len(SIGNALS) + 1) for k, process in enumerate((*SIGNALS, *BACKGROUNDS))}
    card = [
        "imax * number of channels",
        "jmax * number of processes less one",
        "kmax * number of nuisance parameters",
        "shapes * * shapes.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        " ".join(["bin", *scores]),
        " ".join(["observation", *(str(sum(entry["data"])) for entry in model["observations"])]),
        " ".join(["bin", *(channel for channel, _, _ in columns)]),
        " ".join(["process", *(process for _, process, _ in columns)]),
        " ".join(["process", *(numbers[process] for _, process, _ in columns)]),
        " ".join(["rate", *(str(rate) for _, _, rate in columns)]),
        " ".join(["luminosity lnN", *(str(1.0 + LUMINOSITY_ERROR) for _ in columns)]),
        *(" ".join([f"{shape} shape", *("1" for _ in columns)]) for shape in SHAPES),
    ]
    card += combine_lines("\n".join(card), shifts)
    (folder / "datacard.txt").write_text("\n".join([*card, "* autoMCStats 0"]) + "\n", encoding="utf-8")


def check_combine(folder: Path, model: dict[str, Any], patch: list[dict[str, Any]]) -> int:
    """Read the shapes back: they must be those of pyhf. Returns the number of histograms that were compared."""
    patched = pyhf.Workspace(model).model(patches=[patch]).spec
    compared = 0
    with uproot.open(folder / "shapes.root") as file:
        for channel in patched["channels"]:
            for entry in channel["samples"]:
                name = f"{channel['name']}/{entry['name']}"
                expected = {name: entry["data"]}
                for modifier in entry["modifiers"]:
                    if modifier["type"] == "histosys":
                        expected[f"{name}_{modifier['name']}Up"] = modifier["data"]["hi_data"]
                        expected[f"{name}_{modifier['name']}Down"] = modifier["data"]["lo_data"]
                for key, values in expected.items():
                    np.testing.assert_allclose(file[key].values(), values, rtol=1e-12, atol=1e-12)
                    compared += 1
    return compared


def show(impacts: Mapping[str, Impact]) -> None:
    """Print uncertainties and places."""
    table = Table("the attack as a nuisance", "uncertainty on mu without", "with", "increase", "its place", "its own")
    for name, impact in impacts.items():
        places = ", ".join(str(place) for place in impact.ranks.values())
        of = len(impact.ranking)
        own = ", ".join(f"{entry.constraint:.2f}" for entry in impact.ranking if entry.adversarial)
        table.add_row(name, str(impact.before), str(impact.after), f"{impact.increase:.1%}", f"{places} of {of}", own)
    console = Console()
    console.print(table)
    bias = next(iter(impacts.values())).bias
    console.print(
        f"Data with the attack, fitted without it: mu shifts by {bias.shift:.3f}, {bias.n_sigma:.2f} of its uncertainty; goodness of "
        f"fit p = {bias.p_value:.2g}, below 0.05 with a probability of {bias.power:.3f} once data fluctuate"
    )
    console.print(LOWER_LIMIT)


@click.command()
@click.option(
    "-o", "--output", default="output", show_default=True, help="Folder for figure, workspace, patch and datacard."
)
@click.option("--quick", is_flag=True, help="One iteration of the attack, and no variants.")
def main(output: str, *, quick: bool) -> None:
    """Put the attack of the demo into a fit of its score."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    scores = attacked_scores(1 if quick else None)
    model, shifts = workspace(scores), templates(scores)
    variants = {"common, one-sided": Nuisance()}
    if not quick:
        variants["common, symmetrised"] = Nuisance(side="symmetrised")
        variants["per process, one-sided"] = Nuisance(per_process=True)
    patches = {name: attack_patch(model, shifts, nuisance) for name, nuisance in variants.items()}
    # The statistics of the simulation is in the fit, but not in the ranking.
    ranked = ("tau_energy",) if quick else ("luminosity", *SHAPES)
    impacts = {name: expected_impact(model, patch, parameters=ranked) for name, patch in patches.items()}
    show(impacts)
    first = next(iter(variants))
    (folder / "workspace.json").write_text(json.dumps(model, indent=1), encoding="utf-8")
    (folder / "patch.json").write_text(json.dumps(patches[first], indent=1), encoding="utf-8")
    write_combine(folder, model, shifts, scores)
    compared = check_combine(folder, model, patches[first])
    print(f"{compared} histograms for Combine are those of pyhf")
    style = PlotStyle(experiment="plain", label="Private work")
    plot_impacts(impacts[first], style=style)[0].savefig(folder / "impacts.png", dpi=100)


if __name__ == "__main__":
    main()
