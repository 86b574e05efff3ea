# SPDX-License-Identifier: BSD-3-Clause
"""
From generated events to the collections of a NanoAOD-like file.

:func:`reconstruct` keeps an event with an isolated lepton and one hadronic
tau candidate.  The candidate is a genuine hadronic decay or, for processes
without one, a jet drawn at random among those that could be mistaken; the
event weight then carries the probability of the mistake.  There is no
pile-up and no trigger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import awkward as ak
import numpy as np
import vector

from analysis_examples.samples import smearing
from analysis_examples.samples.pythia import final_visible
from analysis_examples.samples.truth import charge_of, cluster_jets, four_momenta, hadronic_taus, heavy_hadrons
from hepfool.typing import FloatArray, IntArray

__all__ = ["FAKE_RATE", "LARGEST_WEIGHT", "TAU_EFFICIENCY", "reconstruct"]

TAU_EFFICIENCY: Final = 0.6
FAKE_RATE: Final = 0.005
MOST_FAKE_JETS: Final = 6
LARGEST_WEIGHT: Final = {"genuine": TAU_EFFICIENCY, "fake": FAKE_RATE * MOST_FAKE_JETS}

STORED_LEPTON_PT, STORED_ISOLATION = 10.0, 0.5
SKIM_LEPTON_PT, SKIM_ISOLATION = 23.0, 0.3
TAU_PT, JET_PT = 20.0, 25.0
TRACKER_ETA, JET_ETA = 2.5, 4.7
OVERLAP, MATCHING = 0.4, 0.4
ISOLATION_CONE: Final = {11: 0.3, 13: 0.4}
IDENTIFICATION: Final = {11: 0.88, 13: 0.96}
FAKE_MODES: Final = ((0, 1, 10, 11), (0.35, 0.35, 0.2, 0.1))
PION_MASS: Final = 0.13957
FAKE_MASS: Final = (0.95, 0.25, 0.35, 1.5)
GENUINE_TAU: Final = 5
SOFT_SUM: Final = (50.0, 25.0)


def reconstruct(particles: ak.Array, *, fakes: bool, rng: np.random.Generator) -> ak.Array:
    """
    Apply the detector response and the skim to a batch of generated events.

    Parameters
    ----------
    particles : awkward.Array, shape (n_events, var)
        Complete event records.
    fakes : bool
        Whether the tau candidate is a misidentified jet (and events with a
        genuine candidate are dropped) or a genuine hadronic decay.
    rng : numpy.random.Generator
        Source of the random numbers.

    Returns
    -------
    awkward.Array, shape (n_selected,)
        Records of ``Muon``, ``Electron``, ``Tau``, ``Jet``, ``PuppiMET`` and
        ``weight``, the probability to identify the tau candidate.
    """
    seen = final_visible(particles)
    leptons = _leptons(particles, seen, rng)
    triggered = ak.any((leptons.pt > SKIM_LEPTON_PT) & (leptons.isolation < SKIM_ISOLATION), axis=1)
    particles, seen, leptons = particles[triggered], seen[triggered], leptons[triggered]
    visible = particles[seen]
    jets = _smear(cluster_jets(visible.p, charge_of(visible.id)), smearing.jet_resolution, rng)
    jets = jets[_isolated_from(jets, leptons)]
    taus = _smear(hadronic_taus(particles), smearing.tau_resolution, rng)
    taus = taus[_isolated_from(taus, leptons)]
    taus = taus[(taus.pt > TAU_PT) & (abs(taus.eta) < TRACKER_ETA)]
    taus, weight = _fake_candidates(jets, taus, rng) if fakes else _genuine_candidates(taus)
    kept = ak.num(taus) == 1
    taus, weight, leptons, jets, particles, visible = (
        array[kept] for array in (taus, weight, leptons, jets, particles, visible)
    )
    jets = jets[(jets.pt > JET_PT) & (abs(jets.eta) < JET_ETA) & _isolated_from(jets, taus)]
    collections = {
        "Muon": _muons(leptons[leptons.flavour == 13]),
        "Electron": _electrons(leptons[leptons.flavour == 11]),
        "Tau": _identified_taus(taus, genuine=not fakes, rng=rng),
        "Jet": _tagged_jets(jets, heavy_hadrons(particles), rng),
        "PuppiMET": _missing_momentum(visible.p, (leptons, taus, jets), rng),
        "weight": weight,
    }
    return ak.zip(collections, depth_limit=1)


def _smear(objects: ak.Array, resolution: Callable[[FloatArray], FloatArray], rng: np.random.Generator) -> ak.Array:
    """Objects with measured ``pt`` and the true one as ``true_pt``, hardest first."""
    true_pt = ak.to_numpy(ak.flatten(objects.pt)).astype(np.float64)
    return _with_measured_pt(objects, smearing.smear_pt(true_pt, resolution(true_pt), rng=rng))


def _with_measured_pt(objects: ak.Array, pt: FloatArray) -> ak.Array:
    measured = ak.unflatten(pt, ak.num(objects))
    objects = ak.with_field(ak.with_field(objects, objects.pt, "true_pt"), measured, "pt")
    return objects[ak.argsort(objects.pt, axis=1, ascending=False)]


def _isolated_from(objects: ak.Array, others: ak.Array) -> ak.Array:
    pairs = ak.cartesian({"object": objects, "other": others}, nested=True)
    return ~ak.any(pairs.object.deltaR(pairs.other) < OVERLAP, axis=2)


def _leptons(particles: ak.Array, seen: ak.Array, rng: np.random.Generator) -> ak.Array:
    """Reconstructed electrons and muons with ``isolation``, ``identified`` and ``cone``."""
    visible = particles[seen]
    momenta = four_momenta(visible.p, flavour=abs(visible.id), charge=charge_of(visible.id))
    kind = (momenta.flavour == 11) | (momenta.flavour == 13)
    leptons = momenta[kind & (momenta.pt > 0.8 * STORED_LEPTON_PT) & (abs(momenta.eta) < TRACKER_ETA)]
    leptons = ak.with_field(leptons, _cone_sums(leptons, momenta), "isolation")
    flavour = ak.to_numpy(ak.flatten(leptons.flavour))
    true_pt = ak.to_numpy(ak.flatten(leptons.pt)).astype(np.float64)
    muon = flavour == 13
    width = np.where(muon, smearing.muon_resolution(true_pt), smearing.electron_resolution(true_pt))
    good = np.where(
        muon,
        smearing.draw_pass(muon.size, IDENTIFICATION[13], rng=rng),
        smearing.draw_pass(muon.size, IDENTIFICATION[11], rng=rng),
    )
    leptons = ak.with_field(leptons, ak.unflatten(good, ak.num(leptons)), "identified")
    leptons = _with_measured_pt(leptons, smearing.smear_pt(true_pt, width, rng=rng))
    leptons = ak.with_field(leptons, leptons.isolation / leptons.pt, "isolation")
    return leptons[(leptons.pt > STORED_LEPTON_PT) & (leptons.isolation < STORED_ISOLATION)]


def _cone_sums(leptons: ak.Array, visible: ak.Array) -> ak.Array:
    """Scalar sum of the visible momenta around each lepton, without itself, in GeV."""
    pairs = ak.cartesian({"lepton": leptons, "other": visible}, nested=True)
    cone = ak.where(pairs.lepton.flavour == 13, ISOLATION_CONE[13], ISOLATION_CONE[11])
    inside = pairs.lepton.deltaR(pairs.other) < cone
    total = ak.sum(ak.where(inside, pairs.other.pt, 0.0), axis=2) - leptons.pt
    return ak.where(total > 0.0, total, 0.0)


def _genuine_candidates(taus: ak.Array) -> tuple[ak.Array, FloatArray]:
    return taus[:, :1], np.full(len(taus), TAU_EFFICIENCY)


def _fake_candidates(jets: ak.Array, taus: ak.Array, rng: np.random.Generator) -> tuple[ak.Array, FloatArray]:
    """One eligible jet per event as a tau, weighted by their number; none beside a genuine tau."""
    eligible = jets[(jets.pt > TAU_PT) & (abs(jets.eta) < TRACKER_ETA)]
    number = ak.to_numpy(ak.num(eligible))
    number = np.where(ak.to_numpy(ak.num(taus)) > 0, 0, number)
    chosen = np.floor(rng.random(number.size) * number).astype(np.int64)
    picked = eligible[(ak.local_index(eligible, axis=1) == chosen) & (number > 0)]
    counts = ak.num(picked)
    mode, mass = _fake_decays(int(ak.sum(counts)), rng)
    picked = ak.with_field(picked, ak.unflatten(mode, counts), "decayMode")
    picked = ak.with_field(picked, ak.unflatten(mass, counts), "mass")
    return picked, FAKE_RATE * np.minimum(number, MOST_FAKE_JETS)


def _fake_decays(n: int, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Decay modes and visible masses (GeV) of misidentified jets."""
    mode = rng.choice(FAKE_MODES[0], size=n, p=FAKE_MODES[1]).astype(np.int64)
    mean, width, lowest, highest = FAKE_MASS
    mass = np.clip(rng.normal(mean, width, n), lowest, highest)
    return mode, np.where(mode == 0, PION_MASS, mass)


def _collection(objects: ak.Array, **fields: ak.Array) -> ak.Array:
    """Momenta and the named fields only, without the simulation's helpers."""
    return ak.zip(
        {"pt": objects.pt, "eta": objects.eta, "phi": objects.phi, "mass": objects.mass, **fields},
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )


def _muons(leptons: ak.Array) -> ak.Array:
    return _collection(
        leptons,
        charge=ak.values_astype(leptons.charge, np.int32),
        pfRelIso04_all=leptons.isolation,
        tightId=leptons.identified,
    )


def _electrons(leptons: ak.Array) -> ak.Array:
    return _collection(
        leptons,
        charge=ak.values_astype(leptons.charge, np.int32),
        pfRelIso03_all=leptons.isolation,
        mvaNoIso_WP90=leptons.identified,
    )


def _identified_taus(taus: ak.Array, *, genuine: bool, rng: np.random.Generator) -> ak.Array:
    counts = ak.num(taus)
    truth = np.full(int(ak.sum(counts)), genuine)
    working_point = smearing.draw_tau_working_point(truth, rng=rng)
    return _collection(
        taus,
        charge=ak.values_astype(taus.charge, np.int32),
        decayMode=ak.values_astype(taus.decayMode, np.uint8),
        idVSjet=ak.unflatten(working_point, counts),
        genPartFlav=ak.unflatten(np.where(truth, GENUINE_TAU, 0).astype(np.uint8), counts),
    )


def _tagged_jets(jets: ak.Array, hadrons: ak.Array, rng: np.random.Generator) -> ak.Array:
    pairs = ak.cartesian({"jet": jets, "hadron": hadrons}, nested=True)
    inside = pairs.jet.deltaR(pairs.hadron) < MATCHING
    flavour = ak.fill_none(ak.max(ak.where(inside, pairs.hadron.flavour, 0), axis=2), 0)
    flat = ak.to_numpy(ak.flatten(flavour)).astype(np.int64)
    score = smearing.draw_btag_score(flat, rng=rng)
    counts = ak.num(jets)
    return _collection(
        jets,
        btagScore=ak.unflatten(score, counts),
        hadronFlavour=ak.unflatten(flat.astype(np.uint8), counts),
    )


def _missing_momentum(visible: ak.Array, hard: tuple[ak.Array, ...], rng: np.random.Generator) -> ak.Array:
    """Measured missing transverse momentum; ``sumEt`` is that of the hard objects plus a soft part."""
    true_sum = np.stack([ak.to_numpy(ak.sum(visible[axis], axis=1)) for axis in ("px", "py")], axis=1)
    scalar = ak.to_numpy(ak.sum(np.hypot(visible.px, visible.py), axis=1))
    measured = np.sum([_vector_sum(objects, "pt") for objects in hard], axis=0)
    shift = measured - np.sum([_vector_sum(objects, "true_pt") for objects in hard], axis=0)
    met = smearing.smear_met(true_sum, shift, measured, scalar_sum=scalar, rng=rng)
    hard_sum = sum(ak.to_numpy(ak.sum(objects.pt, axis=1)) for objects in hard)
    soft_sum = np.abs(rng.normal(*SOFT_SUM, scalar.size))
    return ak.zip(
        {"pt": np.hypot(met[:, 0], met[:, 1]), "phi": np.arctan2(met[:, 1], met[:, 0]), "sumEt": hard_sum + soft_sum}
    )


def _vector_sum(objects: ak.Array, field: str) -> FloatArray:
    pt = objects[field]
    components = [ak.sum(pt * turn(objects.phi), axis=1) for turn in (np.cos, np.sin)]
    return np.stack([ak.to_numpy(component) for component in components], axis=1)
