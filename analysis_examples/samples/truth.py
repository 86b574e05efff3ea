# SPDX-License-Identifier: BSD-3-Clause
"""
What a generated event contains before any detector effect.

All functions take complete event records, an awkward array of shape
``(n_events, var)`` as :class:`analysis_examples.samples.pythia.EventGenerator` yields
them, and return jagged momenta with ``pt``, ``eta``, ``phi``, ``mass`` (GeV).
"""

from __future__ import annotations

from typing import Final

import awkward as ak
import numpy as np
import vector

from hepfool.extras import import_extra
from hepfool.typing import IntArray

__all__ = ["charge_of", "cluster_jets", "four_momenta", "hadronic_taus", "heavy_hadrons"]

JET_RADIUS: Final = 0.4
SMALLEST_JET_PT: Final = 12.0
SMALLEST_HADRON_PT: Final = 5.0
JET_CHARGE_POWER: Final = 0.5
POSITIVE: Final = (211, 321, 2212, 3222, -11, -13, -3112, -3312, -3334)
CHARGED_TAU_PRODUCTS: Final = (211, 321)
NEUTRAL_PION: Final = 111
TAU: Final = 15
TAU_NEUTRINO: Final = 16


def charge_of(pdg_id: ak.Array) -> ak.Array:
    """
    Electric charges of stable particles.

    Parameters
    ----------
    pdg_id : awkward.Array
        Particle numbers of the PDG scheme.

    Returns
    -------
    awkward.Array
        1, -1 or 0 with the structure of the input.
    """
    charge = ak.zeros_like(pdg_id)
    for number in POSITIVE:
        charge = charge + (pdg_id == number) - (pdg_id == -number)
    return charge


def four_momenta(momentum: ak.Array, **fields: ak.Array) -> ak.Array:
    """
    Momenta in collider coordinates, with further fields.

    Parameters
    ----------
    momentum : awkward.Array
        Record of ``px``, ``py``, ``pz``, ``e`` in GeV.
    **fields : awkward.Array
        More fields of the same structure.

    Returns
    -------
    awkward.Array
        Records ``Momentum4D`` of ``pt``, ``eta``, ``phi``, ``mass`` in GeV.
    """
    pt = np.hypot(momentum.px, momentum.py)
    mass_squared = momentum.e**2 - pt**2 - momentum.pz**2
    return ak.zip(
        {
            "pt": pt,
            "eta": np.arcsinh(momentum.pz / pt),
            "phi": np.arctan2(momentum.py, momentum.px),
            "mass": np.sqrt(ak.where(mass_squared > 0.0, mass_squared, 0.0)),
            **fields,
        },
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )


def hadronic_taus(particles: ak.Array) -> ak.Array:
    """
    Visible part of hadronic tau decays: the last tau minus its tau neutrino.

    Parameters
    ----------
    particles : awkward.Array, shape (n_events, var)
        Complete event records.

    Returns
    -------
    awkward.Array, shape (n_events, var)
        Momenta with ``charge`` and the NanoAOD ``decayMode``: 0 and 1 for one
        charged particle without and with neutral pions, 10 and 11 for three.
    """
    counts = ak.to_numpy(ak.num(particles))
    flat = ak.flatten(particles)
    pdg_id = ak.to_numpy(flat.id)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    decayed = np.flatnonzero((abs(pdg_id) == TAU) & (ak.to_numpy(flat.daughter1) > 0))
    products = _daughters(flat, decayed, first)
    product_id = abs(_take(flat.id, products))
    final = ~ak.any((product_id == TAU) | (product_id == 11) | (product_id == 13), axis=1)
    decayed, products, product_id = decayed[final], products[final], product_id[final]
    neutrino = ak.firsts(products[product_id == TAU_NEUTRINO])
    complete = ~ak.to_numpy(ak.is_none(neutrino))
    decayed, product_id = decayed[complete], product_id[complete]
    neutrino = ak.to_numpy(ak.drop_none(neutrino))
    visible = {key: flat.p[key][decayed] - flat.p[key][neutrino] for key in ("px", "py", "pz", "e")}
    n_charged = sum(ak.sum(product_id == number, axis=1) for number in CHARGED_TAU_PRODUCTS)
    has_pion = ak.any(product_id == NEUTRAL_PION, axis=1)
    mode = np.where(n_charged > 1, 10, 0) + ak.to_numpy(has_pion)
    taus = four_momenta(ak.zip(visible), charge=-np.sign(pdg_id[decayed]), decayMode=mode)
    event = np.repeat(np.arange(counts.size), counts)[decayed]
    return ak.unflatten(taus, np.bincount(event, minlength=counts.size))


def _daughters(flat: ak.Array, mothers: IntArray, first: IntArray) -> ak.Array:
    """Positions in ``flat`` of each mother's daughters, shape (n_mothers, var)."""
    begin = ak.to_numpy(flat.daughter1)[mothers]
    end = np.maximum(ak.to_numpy(flat.daughter2)[mothers], begin) + 1
    number = end - begin
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    return ak.unflatten(np.repeat(first[mothers] + begin, number) + within, number)


def _take(flat: ak.Array, positions: ak.Array) -> ak.Array:
    """Entries of ``flat`` with the structure of ``positions``."""
    return ak.unflatten(flat[ak.flatten(positions)], ak.num(positions))


def heavy_hadrons(particles: ak.Array) -> ak.Array:
    """
    Hadrons with a b or c quark and a transverse momentum above 5 GeV.

    Parameters
    ----------
    particles : awkward.Array, shape (n_events, var)
        Complete event records.

    Returns
    -------
    awkward.Array, shape (n_events, var)
        Momenta with ``flavour``, 5 or 4.
    """
    number = abs(particles.id)
    meson, baryon = (number // 100) % 10, (number // 1000) % 10
    heaviest = ak.where(meson > baryon, meson, baryon)
    hadron = (number > 100) & (number < 1_000_000) & ((heaviest == 5) | (heaviest == 4))
    pt = np.hypot(particles.p.px, particles.p.py)
    keep = hadron & (pt > SMALLEST_HADRON_PT)
    return four_momenta(particles.p[keep], flavour=heaviest[keep])


def cluster_jets(momentum: ak.Array, charge: ak.Array) -> ak.Array:
    """
    Anti-kT jets of radius 0.4 above 12 GeV.

    Parameters
    ----------
    momentum : awkward.Array, shape (n_events, var)
        Visible particles as records of ``px``, ``py``, ``pz``, ``e`` in GeV.
    charge : awkward.Array, shape (n_events, var)
        Their electric charges.

    Returns
    -------
    awkward.Array, shape (n_events, var)
        Momenta with ``charge``, the sign of the sum of the constituents'
        charges weighted by the square root of their transverse momenta.

    Raises
    ------
    MissingExtraError
        If ``fastjet`` is not installed.
    """
    fastjet = import_extra("fastjet", "samples")
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, JET_RADIUS)
    inputs = ak.zip(
        {"px": momentum.px, "py": momentum.py, "pz": momentum.pz, "E": momentum.e},
        with_name="Momentum4D",
        behavior=vector.backends.awkward.behavior,
    )
    sequence = fastjet.ClusterSequence(inputs, definition)
    jets = sequence.inclusive_jets(min_pt=SMALLEST_JET_PT)
    constituents = sequence.constituent_index(min_pt=SMALLEST_JET_PT)
    weighted = charge * np.hypot(momentum.px, momentum.py) ** JET_CHARGE_POWER
    members = ak.unflatten(
        ak.flatten(weighted[ak.flatten(constituents, axis=2)]), ak.flatten(ak.num(constituents, axis=2))
    )
    total = ak.unflatten(ak.sum(members, axis=1), ak.num(jets))
    cartesian = ak.zip({"px": jets.px, "py": jets.py, "pz": jets.pz, "e": jets.E})
    return four_momenta(cartesian, charge=ak.where(total < 0.0, -1, 1))
