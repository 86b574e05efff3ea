# SPDX-License-Identifier: BSD-3-Clause
"""
Generate events, cluster them, and write the leading jet of each with its constituents.

Constituents are the visible particles, or the towers of a calorimeter that measures them; all are taken as massless, as a
network takes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import awkward as ak
import numpy as np
import vector

from analysis_examples.samples.nanoaod import RunSummary, round_collections, rounded, store
from analysis_examples.samples.pythia import EventGenerator, ProcessSettings, final_visible
from analysis_examples.samples.towers import ECAL, HCAL, towers
from analysis_examples.samples.truth import four_momenta
from hepfool.extras import import_extra
from hepfool.samples import ComponentRecord, Manifest

__all__ = [
    "LEVELS",
    "TASKS",
    "JetDataset",
    "JetSelection",
    "Level",
    "hardest_photon",
    "leading_jet",
    "level_name",
    "produce_jets",
]

RUN: Final = 1
MOST_EVENTS: Final = 10_000_000
PHOTON: Final = 22
#: Mantissa of the constituents' coordinates in the file: single jets' masses are good to 1e-4.
CONSTITUENT_BITS: Final = 16

Advance = Callable[[float], None]
Level = Literal["particles", "towers"]
LEVELS: Final[tuple[Level, ...]] = ("particles", "towers")
#: What the towers were measured with, for the manifest.
DETECTOR: Final = {"electromagnetic": asdict(ECAL), "hadronic": asdict(HCAL)}


@dataclass(frozen=True, slots=True, kw_only=True)
class JetSelection:
    """
    Which jets are kept.

    Attributes
    ----------
    radius : float
        Of the anti-kT jets.
    smallest_pt : float
        In GeV.
    smallest_mass : float
        In GeV.
    largest_eta : float
        Absolute pseudorapidity.
    smallest_n : int
        Fewest constituents.
    n_constituents : int
        Hardest constituents that are written; the jet's own momentum is that of all.
    """

    radius: float
    smallest_pt: float
    smallest_mass: float = 0.0
    largest_eta: float = 2.0
    smallest_n: int = 3
    n_constituents: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class JetDataset:
    """
    One simulated process and the jets to keep of it.

    Attributes
    ----------
    name : str
        Key in the fileset and stem of the file.
    is_signal : bool
        Whether it is the class looked for.
    process : ProcessSettings
        What is generated.
    selection : JetSelection
        Which jets are kept.
    remove_photon : bool
        Whether the hardest photon of each event is left out of the jets.
    """

    name: str
    is_signal: bool
    process: ProcessSettings
    selection: JetSelection
    remove_photon: bool = False


_LARGE: Final = JetSelection(radius=1.0, smallest_pt=300.0, smallest_mass=50.0)
_TOP: Final = JetSelection(radius=0.8, smallest_pt=400.0, n_constituents=30)
_TO_QUARKS: Final = ("24:onMode=off", "24:onIfAny=1 2 3 4 5", "PhaseSpace:pTHatMin=380.")


def _dataset(
    name: str, selection: JetSelection, settings: tuple[str, ...], *, is_signal: bool, energy: float = 13_000.0
) -> JetDataset:
    process = ProcessSettings(name=name, settings=settings, energy=energy)
    return JetDataset(
        name=name, is_signal=is_signal, process=process, selection=selection, remove_photon=name == "ZGamma"
    )


#: Signal and background of each task: Z to quarks with a photon against dijets, and top pairs against W pairs.
TASKS: Final = MappingProxyType(
    {
        "zqq": (
            _dataset(
                "ZGamma",
                _LARGE,
                (
                    "WeakBosonAndParton:ffbar2gmZgm=on",
                    "23:mMin=50.",
                    "23:onMode=off",
                    "23:onIfAny=1 2 3 4 5",
                    "PhaseSpace:pTHatMin=280.",
                ),
                is_signal=True,
            ),
            _dataset("Dijet", _LARGE, ("HardQCD:all=on", "PhaseSpace:pTHatMin=280."), is_signal=False),
        ),
        "ttww": (
            _dataset(
                "TTbarJet",
                _TOP,
                ("Top:gg2ttbar=on", "Top:qqbar2ttbar=on", *_TO_QUARKS),
                is_signal=True,
                energy=8_000.0,
            ),
            _dataset("WWJet", _TOP, ("WeakDoubleBoson:ffbar2WW=on", *_TO_QUARKS), is_signal=False, energy=8_000.0),
        ),
    }
)


def hardest_photon(particles: ak.Array) -> ak.Array:
    """
    Mark the photon with the largest pt of each event.

    Parameters
    ----------
    particles : awkward.Array, shape (n_events, var)
        Final particles with ``id`` and momentum ``p``.

    Returns
    -------
    awkward.Array, shape (n_events, var)
        True for one particle of each event that has a photon.
    """
    pt = np.hypot(particles.p.px, particles.p.py)
    hardest = ak.fill_none(ak.argmax(ak.where(particles.id == PHOTON, pt, -1.0), axis=1), -1)
    return (ak.local_index(pt, axis=1) == hardest) & (particles.id == PHOTON)


def leading_jet(momentum: ak.Array, selection: JetSelection) -> ak.Array:
    """
    Cluster particles or towers of each event and keep its leading jet if it passes the selection.

    Parameters
    ----------
    momentum : awkward.Array, shape (n_events, var)
        Visible particles or towers as records of ``px``, ``py``, ``pz`` in GeV; taken as massless.
    selection : JetSelection
        Radius and thresholds.

    Returns
    -------
    awkward.Array, shape (n_passed,)
        Jets with ``pt``, ``eta``, ``phi``, ``mass``, the number of all constituents ``nConstituents``, and the
        hardest of them, ``constituents``, in falling pt.

    Raises
    ------
    MissingExtraError
        If ``fastjet`` is not installed.
    """
    fastjet = import_extra("fastjet", "samples")
    inputs = ak.zip(
        {
            "px": momentum.px,
            "py": momentum.py,
            "pz": momentum.pz,
            "E": np.sqrt(momentum.px**2 + momentum.py**2 + momentum.pz**2),
        },
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )
    sequence = fastjet.ClusterSequence(inputs, fastjet.JetDefinition(fastjet.antikt_algorithm, selection.radius))
    found = sequence.inclusive_jets(min_pt=selection.smallest_pt)
    index = sequence.constituent_index(min_pt=selection.smallest_pt)
    has_jet = ak.to_numpy(ak.num(found)) > 0
    found, index, inputs = found[has_jet], index[has_jet], inputs[has_jet]
    best = ak.to_numpy(ak.argmax(found.px**2 + found.py**2, axis=1), allow_missing=False)
    found, index = found[np.arange(len(best)), best], index[np.arange(len(best)), best]
    members = ak.zip({name: getattr(inputs[index], name) for name in ("pt", "eta", "phi")})
    members = members[ak.argsort(members.pt, axis=1, ascending=False)]
    total = ak.zip({"px": found.px, "py": found.py, "pz": found.pz, "e": found.E})
    jets = four_momenta(total, nConstituents=ak.values_astype(ak.num(members), np.int32))
    jets = ak.with_field(jets, members[:, : selection.n_constituents], "constituents")
    passed = (jets.mass > selection.smallest_mass) & (abs(jets.eta) < selection.largest_eta)
    return jets[passed & (jets.nConstituents >= selection.smallest_n)]


def produce_jets(
    dataset: JetDataset,
    manifest: Manifest,
    *,
    n_jets: int,
    seed: int,
    advance: Advance,
    levels: Sequence[Level] = ("particles",),
) -> None:
    """
    Generate one dataset until enough jets pass the selection.

    Both levels are of the same events; each has the same jets as if it had been asked for alone.

    Parameters
    ----------
    dataset : JetDataset
        What to generate and which jets to keep.
    manifest : Manifest
        Where to write; an entry made by the same request is kept.
    n_jets : int
        Jets that shall be left; those of the last batch come on top.
    seed : int
        Seed of the generator; the detector's random numbers follow from it.
    advance : callable
        Called with the fraction of the dataset newly done.
    levels : sequence of {"particles", "towers"}
        What is clustered: visible particles, or the towers of :mod:`analysis_examples.samples.towers`.

    Raises
    ------
    MissingExtraError
        If Pythia or FastJet is not installed.
    ValueError
        If no jet is asked for, or there is no such level.
    """
    if n_jets < 1:
        msg = f"{dataset.name}: n_jets {n_jets} is below 1; ask for jets"
        raise ValueError(msg)
    requests = {level: _request(dataset, level, n_jets, seed) for level in levels}
    kept: dict[Level, list[ak.Array]] = {
        level: [] for level in levels if not manifest.has(level_name(dataset, level), requests[level])
    }
    if not kept:
        advance(1.0)
        return
    generator = EventGenerator(dataset.process, seed=seed)
    n_generated = 0
    for batch, particles in enumerate(generator.batches(MOST_EVENTS)):
        n_generated += len(particles)
        visible = _visible(particles, dataset)
        for level, found in list(kept.items()):
            rng = np.random.default_rng((seed, batch))
            found.append(ak.to_packed(leading_jet(_clustered(visible, level, rng), dataset.selection)))
            advance(len(found[-1]) / n_jets / len(levels))
            n_kept = sum(map(len, found))
            if n_kept >= n_jets:
                record = generator.record(n_generated=n_generated, n_selected=n_kept)
                _store(manifest, level_name(dataset, level), dataset, ak.concatenate(found), record, requests[level])
                del kept[level]
        if not kept:
            break


def level_name(dataset: JetDataset, level: Level) -> str:
    """
    Key in the fileset and stem of the file: the dataset's own name for particles.

    Raises
    ------
    ValueError
        If there is no such level.
    """
    if level not in LEVELS:
        msg = f"no level {level!r}; use one of {', '.join(LEVELS)}"
        raise ValueError(msg)
    return dataset.name if level == "particles" else f"{dataset.name}_{level}"


def _request(dataset: JetDataset, level: Level, n_jets: int, seed: int) -> dict[str, Any]:
    request = {"n_jets": n_jets, "seed": seed, "selection": asdict(dataset.selection)}
    # As json has it, to compare equal when read again.
    return request if level == "particles" else json.loads(json.dumps(request | {"detector": DETECTOR}))


def _visible(particles: ak.Array, dataset: JetDataset) -> ak.Array:
    visible = particles[final_visible(particles)]
    return visible[~hardest_photon(visible)] if dataset.remove_photon else visible


def _clustered(visible: ak.Array, level: Level, rng: np.random.Generator) -> ak.Array:
    return towers(visible, rng=rng) if level == "towers" else visible.p


def _store(
    manifest: Manifest,
    name: str,
    dataset: JetDataset,
    jets: ak.Array,
    record: ComponentRecord,
    request: dict[str, Any],
) -> None:
    summary = RunSummary(run=RUN, n_generated=record.n_generated, sum_weights=float(record.n_generated))
    metadata = {
        "is_signal": dataset.is_signal,
        "is_data": False,
        "cross_section_pb": record.cross_section_pb,
        "sum_weights": summary.sum_weights,
    }
    store(
        manifest,
        name,
        _as_events(jets),
        summary=summary,
        n_selected=len(jets),
        request=request,
        metadata=metadata,
        components=(record,),
    )


def _as_events(jets: ak.Array) -> ak.Array:
    """Events of one jet, as NanoAOD has them: its constituents in a collection that points to it."""
    members = jets.constituents
    candidates = {name: rounded(members[name], CONSTITUENT_BITS) for name in ("pt", "eta", "phi")}
    candidates["jetIdx"] = ak.values_astype(ak.zeros_like(members.pt), np.int16)
    collection = ak.unflatten(ak.without_field(jets, "constituents"), np.ones(len(jets), dtype=np.int64))
    events = round_collections(ak.zip({"FatJet": collection}, depth_limit=1))
    events = ak.with_field(events, ak.zip(candidates), "FatJetPFCands")
    return ak.with_field(events, np.ones(len(jets), dtype=np.float32), "genWeight")
