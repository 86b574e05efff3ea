# SPDX-License-Identifier: BSD-3-Clause
"""
Produce the files of the H → ττ sample.

:func:`produce_simulation` makes one weighted dataset; its ``genWeight`` holds
the efficiency of the tau identification or the rate of its mistakes, such
that ``cross_section_pb * luminosity_pb * genWeight / genEventSumw`` counts
events.  :func:`produce_pseudodata` makes unweighted events of all datasets in
the proportions that a luminosity implies, with another tune of Pythia.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import awkward as ak
import numpy as np

from analysis_examples.samples.nanoaod import RunSummary, round_collections, store
from analysis_examples.samples.processes import Component, Dataset
from analysis_examples.samples.pythia import EventGenerator
from analysis_examples.samples.reconstruction import LARGEST_WEIGHT, reconstruct
from analysis_examples.samples.selection import select_lepton_tau
from hepfool.samples import ComponentRecord, Manifest
from hepfool.samples.htautau import PSEUDODATA

__all__ = ["produce_pseudodata", "produce_simulation"]

MOST_EVENTS: Final = 10_000_000
#: What :mod:`hepfool.samples.htautau_analysis` does not read.
UNUSED: Final = {"Jet": ("hadronFlavour",), "PuppiMET": ("sumEt",)}
SIMULATION_RUN: Final = 1
DATA_RUN: Final = 2

Advance = Callable[[float], None]
Run = tuple[ak.Array, ComponentRecord]


def produce_simulation(dataset: Dataset, manifest: Manifest, *, seed: int, advance: Advance) -> None:
    """
    Generate one dataset until enough events pass the reference selection.

    Parameters
    ----------
    dataset : Dataset
        What to generate and how much of it.
    manifest : Manifest
        Where to write; an entry made by the same request is kept.
    seed : int
        Seed of the first component; the others follow.
    advance : callable
        Called with the fraction of the dataset newly done.
    """
    request = {"n_selected": dataset.n_selected, "seed": seed}
    if manifest.has(dataset.name, request):
        advance(1.0)
        return
    runs = [
        _until_selected(part, round(part.share * dataset.n_selected), seed + i, _scaled(advance, part.share))
        for i, part in enumerate(dataset.components)
    ]
    n_generated = sum(record.n_generated for _, record in runs)
    cross_section = sum(record.cross_section_pb for _, record in runs)
    summary = RunSummary(run=SIMULATION_RUN, n_generated=n_generated, sum_weights=float(n_generated))
    metadata = {
        "is_signal": dataset.is_signal,
        "is_data": False,
        "cross_section_pb": cross_section,
        "sum_weights": summary.sum_weights,
    }
    weighted = [_with_gen_weight(run, cross_section / n_generated) for run in runs]
    events = _shuffled(weighted, seed)
    _store(manifest, dataset.name, events, summary, runs, request=request, metadata=metadata)


def _until_selected(component: Component, n_selected: int, seed: int, advance: Advance) -> Run:
    """Generate batches until the reference selection has let ``n_selected`` pass."""
    generator = EventGenerator(component.process, seed=seed)
    kept, n_generated, n_passed = [], 0, 0
    for n_batch, events in _reconstructed(generator, component, MOST_EVENTS, seed):
        kept.append(events)
        n_new = int(ak.sum(select_lepton_tau(events)))
        n_generated, n_passed = n_generated + n_batch, n_passed + n_new
        advance(n_new / n_selected)
        if n_passed >= n_selected:
            break
    return ak.concatenate(kept), generator.record(n_generated=n_generated, n_selected=n_passed)


def _reconstructed(
    generator: EventGenerator, component: Component, n_events: int, seed: int
) -> Iterator[tuple[int, ak.Array]]:
    """Yield the number of generated events and the skimmed ones, batch by batch."""
    rng = np.random.default_rng([seed, 0])
    for particles in generator.batches(n_events):
        # Packed, since a view would keep the whole batch in memory.
        yield len(particles), ak.to_packed(reconstruct(particles, fakes=component.fakes, rng=rng))


def _with_gen_weight(run: Run, pb_per_event: float) -> ak.Array:
    """Weights relative to the mean cross section that one generated event stands for."""
    events, record = run
    scale = record.cross_section_pb / record.n_generated / pb_per_event
    gen_weight = ak.values_astype(events.weight * scale, np.float32)
    return ak.with_field(ak.without_field(events, "weight"), gen_weight, "genWeight")


def produce_pseudodata(
    datasets: Sequence[Dataset], manifest: Manifest, *, tune: int, luminosity_pb: float, seed: int, advance: Advance
) -> None:
    """
    Generate unweighted events of all datasets for a luminosity.

    The cross sections are those of the simulated datasets, hence these must
    be in the manifest.  Each number of events fluctuates as in an experiment.

    Parameters
    ----------
    datasets : sequence of Dataset
        Processes to mix.
    manifest : Manifest
        Where to write; an entry made by the same request is kept.
    tune : int
        Value of ``Tune:pp``.
    luminosity_pb : float
        Integrated luminosity in inverse pb.
    seed : int
        Seed of the first component; the others follow.
    advance : callable
        Called with the fraction of the pseudo-data newly done.

    Raises
    ------
    ValueError
        If the simulation is missing or no event is left.
    """
    request = {"tune": tune, "luminosity_pb": luminosity_pb, "seed": seed}
    if manifest.has(PSEUDODATA, request):
        advance(1.0)
        return
    rng = np.random.default_rng([seed, 2])
    components = [component for dataset in datasets for component in dataset.components]
    numbers = [_n_candidates(part, _cross_section(manifest, part), luminosity_pb, rng) for part in components]
    runs: list[Run] = []
    for i, (part, number) in enumerate(zip(components, numbers, strict=True)):
        with_tune = replace(part, process=replace(part.process, tune=tune))
        runs.append(_unweighted(with_tune, number, seed + i, _scaled(advance, 1.0 / max(sum(numbers), 1))))
    if not any(len(events) for events, _ in runs):
        msg = f"luminosity {luminosity_pb} / pb gives no event; ask for more"
        raise ValueError(msg)
    metadata = {"is_signal": False, "is_data": True, "luminosity_pb": luminosity_pb}
    events = _shuffled([_without_truth(events) for events, _ in runs], seed)
    _store(manifest, PSEUDODATA, events, RunSummary(run=DATA_RUN), runs, request=request, metadata=metadata)


def _cross_section(manifest: Manifest, component: Component) -> float:
    for entry in manifest.read().values():
        for record in entry["components"]:
            if record["name"] == component.process.name and not entry["metadata"]["is_data"]:
                return float(record["cross_section_pb"])
    msg = f"no cross section for {component.process.name} in {manifest.path}; produce the simulation first"
    raise ValueError(msg)


def _n_candidates(component: Component, cross_section_pb: float, luminosity_pb: float, rng: np.random.Generator) -> int:
    """Events to generate when each is kept with its weight over the largest weight."""
    return int(rng.poisson(cross_section_pb * luminosity_pb * _largest_weight(component)))


def _largest_weight(component: Component) -> float:
    return LARGEST_WEIGHT["fake" if component.fakes else "genuine"]


def _unweighted(component: Component, n_events: int, seed: int, advance: Advance) -> Run:
    """Generate ``n_events`` and keep each with a probability in proportion to its weight."""
    generator = EventGenerator(component.process, seed=seed)
    rng = np.random.default_rng([seed, 3])
    kept = []
    for n_batch, events in _reconstructed(generator, component, n_events, seed):
        kept.append(events[rng.random(len(events)) * _largest_weight(component) < ak.to_numpy(events.weight)])
        advance(n_batch)
    if not kept:
        return ak.Array([]), generator.record(n_generated=0, n_selected=0)
    events = ak.concatenate(kept)
    n_selected = int(ak.sum(select_lepton_tau(events)))
    return events, generator.record(n_generated=n_events, n_selected=n_selected)


def _without_truth(events: ak.Array) -> ak.Array:
    if len(events) == 0:
        return events
    events = ak.without_field(events, "weight")
    return ak.with_field(events, ak.without_field(events.Tau, "genPartFlav"), "Tau")


def _used(events: ak.Array) -> ak.Array:
    for collection, fields in UNUSED.items():
        for name in fields:
            events = ak.with_field(events, ak.without_field(events[collection], name), collection)
    return events


def _shuffled(parts: list[ak.Array], seed: int) -> ak.Array:
    events = ak.concatenate([part for part in parts if len(part) > 0])
    return events[np.random.default_rng([seed, 1]).permutation(len(events))]


def _scaled(advance: Advance, factor: float) -> Advance:
    return lambda done: advance(done * factor)


def _store(
    manifest: Manifest, name: str, events: ak.Array, summary: RunSummary, runs: list[Run], **fields: Any
) -> None:
    events = round_collections(_used(events))
    n_selected = int(ak.sum(select_lepton_tau(events)))
    components = tuple(record for _, record in runs)
    store(manifest, name, events, summary=summary, n_selected=n_selected, components=components, **fields)
