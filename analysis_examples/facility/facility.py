# SPDX-License-Identifier: BSD-3-Clause
"""
Millions of events through an attack on workers that share nothing with this process, beside the network alone.

    python facility.py --events 10_000_000 --workers 2 --python /other/environment/bin/python

The sample of the package is repeated until it holds so many events.  Workers are processes of another environment, without a home
directory and without the modules of this one.
"""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import click
import numpy as np
import uproot
from coffea.nanoevents import NanoAODSchema
from coffea.processor import DaskExecutor, IterativeExecutor, ProcessorABC, Runner
from distributed import Client, LocalCluster

import hepfool
from hepfool import CONSERVAttack, TorchClassifier, Validation
from hepfool.models import Standardise, mlp
from hepfool.processors import AttackPlan, RunSettings, TableProcessor, run_analysis, run_processor
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import HiggsToTauTau
from hepfool.studies import split_events
from hepfool.training import TrainingSettings, fit

SEED = 1
#: Events of a file, at most.
FILE = 1_000_000


class Schema(NanoAODSchema):  # type: ignore[misc]  # coffea has no types
    """The sample does not hold every collection."""

    warn_missing_crossrefs = False


@dataclass(frozen=True)
class Inference(ProcessorABC):  # type: ignore[misc]
    """The analysis with its network and a histogram of the score, before anything is attacked."""

    analysis: HiggsToTauTau
    network: TorchClassifier

    def process(self, events: Any) -> dict[str, Any]:
        """Select events, and fill their scores."""
        table = self.analysis.build(events)
        scores = self.network.scores(table.network_values)[:, 1]
        metadata = events.metadata
        read = {metadata["dataset"]: {metadata["filename"]: metadata["entrystop"] - metadata["entrystart"]}}
        return {"scores": np.histogram(scores, bins=50, range=(0, 1), weights=table.weights)[0], "processed": read}

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing is left to do."""
        return accumulator


def repeat(source: str | Path, targets: list[Path], n_times: int) -> None:
    """Write the events of a file several times into each of others that do not exist."""
    targets = [target for target in targets if not target.exists()]
    if not targets:
        return
    with uproot.open(source) as file:
        arrays = file["Events"].arrays(how=dict)
    collections: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, values in arrays.items():
        collection, _, field = name.partition("_")
        if values.ndim > 1 and field:
            collections[collection][field] = values
    columns = {name: ak.zip(fields, depth_limit=2) for name, fields in collections.items()}
    counters = {f"n{name}" for name in columns}
    columns |= {name: values for name, values in arrays.items() if values.ndim == 1 and name not in counters}
    for target in targets:
        part = target.with_suffix(".part")
        with uproot.recreate(part) as file:
            tree = file.mktree(
                "Events",
                {name: values.type.content for name, values in columns.items()},
                counter_name=lambda name: f"n{name}",
            )
            long = {name: ak.concatenate([values] * n_times) for name, values in columns.items()}
            tree.extend(long)
        part.rename(target)


def production(folder: Path, n_events: int) -> dict[str, Any]:
    """Repeat the datasets of the sample, in the same proportions."""
    folder.mkdir(parents=True, exist_ok=True)
    given = htautau.fileset()
    sources = {name: next(iter(entry["files"])) for name, entry in given.items()}
    sizes = {name: uproot.open(source)["Events"].num_entries for name, source in sources.items()}
    n_times = max(1, round(n_events / sum(sizes.values())))
    fileset = {}
    for name, entry in given.items():
        n_files = -(-n_times * sizes[name] // FILE)
        each = -(-n_times // n_files)
        targets = [folder / f"{name}_{each}_{k}.root" for k in range(n_files)]
        repeat(sources[name], targets, each)
        weights = entry["metadata"]["sum_weights"] * each * n_files
        fileset[name] = {
            "files": [str(target) for target in targets],
            "metadata": {**entry["metadata"], "sum_weights": weights},
        }
    return fileset


def trained(analysis: HiggsToTauTau, epochs: int) -> TorchClassifier:
    """Train a network on the sample itself."""
    runner = Runner(IterativeExecutor(status=False), schema=Schema)
    table = run_processor(runner, htautau.fileset(), TableProcessor(analysis))["table"]
    train, validation, _ = split_events(table, (0.6, 0.2, 0.2), SEED)
    build = partial(mlp, table.n_features, (64, 64, 32), preprocessing=Standardise.of(train))
    return fit(build, train, validation, seed=SEED, settings=TrainingSettings(max_epochs=epochs)).classifier


@contextmanager
def workers(command: str, n_workers: int, folder: Path) -> Iterator[Client]:
    """Start workers with a bare environment, and a scheduler in this process."""
    variables = {"PATH": os.environ["PATH"], "HOME": "/dev/null", "OMP_NUM_THREADS": "1"}
    with LocalCluster(n_workers=0, dashboard_address=":0", host="127.0.0.1") as cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
        address = cluster.scheduler_address
        call = [
            *shlex.split(command),
            *("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"),
            *("--local-directory", str(folder / "scratch")),
        ]
        started = []
        for k in range(n_workers):
            log = (folder / f"worker-{k}.log").open("w")
            started.append(subprocess.Popen(call, env=variables, cwd="/", stdout=log, stderr=log))  # noqa: S603 - the command that was given
        try:
            client.wait_for_workers(n_workers, timeout=120)
            yield client
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(timeout=30)


def where() -> dict[str, Any]:
    """What a worker sees of itself."""
    return {
        "python": sys.executable,
        "user": os.getuid(),
        "home": os.environ.get("HOME"),
        "hepfool": str(Path(hepfool.__file__).parent),
    }


def peak() -> float:
    """Peak memory of a process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


@click.command()
@click.option("--events", "n_events", default=1_000_000, show_default=True, help="Events to read.")
@click.option("--workers", "n_workers", default=2, show_default=True)
@click.option(
    "--python", default=sys.executable, show_default=True, help="How workers call Python, a command with options."
)
@click.option(
    "--score/--no-score", default=False, show_default=True, help="Keep the score as well as inputs and correlations."
)
@click.option("--iterations", "n_iterations", default=10, show_default=True)
@click.option("--chunksize", default=250_000, show_default=True)
@click.option("-o", "--output", default="facility", show_default=True, type=click.Path(path_type=Path))
@click.option("--quick", is_flag=True, help="The sample once, and a short training.")
def main(
    n_events: int,
    n_workers: int,
    python: str,
    n_iterations: int,
    chunksize: int,
    output: Path,
    *,
    score: bool,
    quick: bool,
) -> None:
    """Measure how many events a second go through the network alone, and through an attack."""
    n_events, output = 1 if quick else n_events, output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    fileset = production(output / "events", n_events)
    analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
    network = trained(analysis, epochs=2 if quick else 15)
    attack = CONSERVAttack(
        validation=replace(Validation(), score=Validation().score if score else None), n_iterations=n_iterations
    )
    plan = AttackPlan(network, attack, seed=SEED)
    with workers(python, n_workers, output) as client:
        for name, seen in client.run(where).items():
            click.echo(f"{name}: {seen}")
        runner = Runner(DaskExecutor(client=client, status=False), schema=Schema, chunksize=chunksize)
        start = time.perf_counter()
        read = run_processor(runner, fileset, Inference(analysis, network))["processed"]
        alone = time.perf_counter() - start
        n_read = sum(n for files in read.values() for n in files.values())
        click.echo(f"network alone: {n_read} events in {alone:.0f} s, {n_read / alone:.0f} events/s")
        start = time.perf_counter()
        run = run_analysis(
            runner, fileset, analysis, plan, scope="chunk", resume=output / "state", settings=RunSettings()
        )
        seconds = time.perf_counter() - start
        n_attacked = run.completeness.n_processed
        memory = max(client.run(peak).values())
    click.echo(
        f"run_analysis:  {n_attacked} events in {seconds:.0f} s, {n_attacked / seconds:.0f} events/s, {seconds / alone:.1f} times as long"
    )
    sums = run.out["sums"]
    click.echo(
        f"fooling ratio {sums.fooling_ratio:.4f}; peak memory {memory:.1f} GB in a worker, {peak():.1f} GB in this process"
    )
    if n_attacked != n_read:
        msg = f"{n_read} events were read, {n_attacked} attacked"
        raise click.ClickException(msg)


if __name__ == "__main__":
    main()
