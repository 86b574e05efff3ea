# SPDX-License-Identifier: BSD-3-Clause
"""
The tt̄ processor of the Analysis Grand Challenge with the lines that collect its events, and an attack on its jet assignment.

    git clone https://github.com/iris-hep/analysis-grand-challenge
    python agc.py analysis-grand-challenge/analyses/cms-open-data-ttbar [FILE]

Needs xgboost, correctionlib and what else the challenge asks for.  Its two tree ensembles score permutations of four jets; an event takes the best.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import click
import numpy as np
import uproot
from coffea.nanoevents import NanoAODSchema
from coffea.processor import FuturesExecutor, IterativeExecutor, Runner

from hepfool import Correlations, EventTable, Marginals, Validation, load_model, run_attack
from hepfool.attacks import CONSERVAttack
from hepfool.models import PerGroup
from hepfool.processors import table_of
from hepfool.samples import htautau

#: What is added to the processor, behind the line that unflattens the scores.
IMPORT = "from hepfool.processors import collect"
BEHIND_SCORES = "results = ak.unflatten(results, perm_counts)"
COLLECT = """
if syst_var == "nominal":
    of = np.repeat(ak.to_numpy(events.event[region_selection]), perm_counts)
    inputs = dict(zip(utils.config["ml"]["FEATURE_NAMES"], features.T))
    ml_hist_dict["attack"] = collect(events.metadata, inputs, label=0 * of, selected=of >= 0, event=of, even=even_perm)
"""
N_LINES = len([line for line in f"{IMPORT}\n{COLLECT}".splitlines() if line.strip()])


def extended(source: str) -> str:
    """Add the lines, as deep as the one before them."""
    (found,) = [line for line in source.splitlines() if line.strip() == BEHIND_SCORES]
    depth = found[: len(found) - len(found.lstrip())]
    added = "\n".join(depth + line for line in COLLECT.splitlines() if line)
    return source.replace(found, f"{found}\n{added}")


def processor_of(folder: Path) -> Any:
    """Make its processor, without the rest of the notebook."""
    source = extended((folder / "ttbar_analysis_pipeline.py").read_text("utf-8"))
    wanted = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef) and "servicex" not in ast.unparse(node)
    ]
    names: dict[str, Any] = {"__name__": "agc"}
    exec(compile("\n".join([IMPORT, *map(ast.unparse, wanted)]), "ttbar_analysis_pipeline.py", "exec"), names)
    return names["TtbarAnalysis"](use_inference=True, use_triton=False)


def attacked(table: EventTable, models: tuple[Path, Path], iterations: int) -> None:
    """Attack events of even and odd number, each with the ensemble that has not been trained with them."""
    validation = Validation(
        inputs=Marginals(max_js_distance=0.03), score=None, correlations=Correlations(max_shift=0.03)
    )
    attack = CONSERVAttack(strategy="frugal", validation=validation, n_iterations=iterations, start="nominal")
    for name, even, model in zip(("even", "odd"), (True, False), reversed(models), strict=True):
        part = table.select(table.spectators["even"] == even)
        best = PerGroup(load_model(model))
        result = run_attack(attack, best, part, rng=7, target=best.taken(part))
        counts = result.counts()
        moved = result.compatibility
        click.echo(
            f"{name}: {part.n_events} permutations, {counts.n_fooled} of {counts.n_attacked} events take another one; "
            f"largest distance {moved.js_distance.max():.4f}, correlation shift {moved.correlation_shift:.4f}"
        )


def stand_in(path: Path) -> Path:
    """Write the tt̄ events of the package with the branches that the processor reads; what the sample lacks is made up."""
    ((source, tree),) = htautau.fileset()["TTbar"]["files"].items()
    with uproot.open(source) as file:
        given = file[tree].arrays()
    rng = np.random.default_rng(1)
    columns = {}
    for name in ("Electron", "Muon", "Jet"):
        fields = {part: given[f"{name}_{part}"] for part in ("pt", "eta", "phi", "mass")}
        ones, counts = ak.ones_like(fields["pt"]), ak.num(fields["pt"])
        if name == "Jet":
            likelihood = ak.unflatten(rng.uniform(0.0, 1.0, int(ak.sum(counts))), counts)
            fields |= {"btagCSVV2": given["Jet_btagScore"], "qgl": likelihood, "jetId": ak.values_astype(6 * ones, int)}
        fields |= {
            "charge": ones,
            "sip3d": 0 * ones,
            "cutBased": 4 * ones,
            "tightId": ones > 0,
            "pfRelIso04_all": 0 * ones,
        }
        columns[name] = ak.zip(fields, depth_limit=2)
    columns |= {name: given[name] for name in ("run", "luminosityBlock", "event")}
    with uproot.recreate(path) as file:
        types = {name: values.type.content for name, values in columns.items()}
        file.mktree("Events", types, counter_name=lambda name: f"n{name}").extend(columns)
    return path


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--iterations", default=10, show_default=True)
def main(folder: Path, file: Path | None, iterations: int) -> None:
    """Run the processor of the challenge in FOLDER on FILE, or on stand-in events, with two executors, and attack what it collects."""
    file = file.resolve() if file else stand_in(Path("agc-events.root").resolve())
    os.chdir(folder)
    sys.path.insert(0, str(Path.cwd()))
    metadata = {"process": "ttbar", "variation": "nominal", "xsec": 729.84, "nevts": 1000}
    fileset = {"ttbar__nominal": {"files": [str(file)], "metadata": metadata}}
    tables = []
    for executor, chunksize in (
        (IterativeExecutor(status=False), 100_000),
        (FuturesExecutor(workers=2, status=False), 3000),
    ):
        runner = Runner(executor, schema=NanoAODSchema, chunksize=chunksize)
        out = runner(fileset, processor_of(Path()), treename="Events")
        tables.append(table_of(out["ml_hist_dict"]["attack"]))
    first, second = tables
    same = np.array_equal(first.values, second.values)
    click.echo(
        f"{N_LINES} lines added; {first.n_events} permutations of {len(np.unique(first.spectators['event']))} events, the same from both executors: {same}"
    )
    attacked(first, (Path("models/model_even.json"), Path("models/model_odd.json")), iterations)


if __name__ == "__main__":
    main()
