# SPDX-License-Identifier: BSD-3-Clause
r"""
Calorimeter towers as an ATLAS-like detector would show them, after the card of Delphes 3.4.1.

arXiv:1910.08606 clusters the towers of Delphes 3.4.1 with "an ATLAS-like detector simulation".  All numbers here are those of
``cards/delphes_card_ATLAS.tcl`` of that release (arXiv:1307.6346):

* charged particles bend in a field of 2 T within a radius of 1.15 m and a half-length of 3.51 m (:func:`at_calorimeter`);
* electrons and photons, with 30 % of K0s and Λ, leave their energy in the electromagnetic calorimeter :data:`ECAL`, all other
  hadrons in the hadronic one, :data:`HCAL`; muons and neutrinos leave none;
* the energy of each tower is smeared log-normally, so that its mean is kept, and dropped if it is below a threshold or
  twice its resolution; a tower's direction is uniform within its edges.

Simpler than Delphes: all particles come from the centre, and beyond abs(eta) = 2.5 the hadronic towers have one width in eta.
No tracks, no pile-up, no calibration of jets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import awkward as ak
import numpy as np

from analysis_examples.samples.truth import charge_of
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["ECAL", "HCAL", "Calorimeter", "Ring", "Towers", "at_calorimeter", "measure", "towers"]

#: Field in T, radius and half-length of its volume in m.
FIELD: Final = 2.0
RADIUS: Final = 1.15
HALF_LENGTH: Final = 3.51
#: Radius of curvature in m of 1 GeV in 1 T.
BENDING: Final = 1.0 / 0.299792458
ELECTRON, MUON, PHOTON, K_SHORT, LAMBDA = 11, 13, 22, 310, 3122
NEUTRINOS: Final = (12, 14, 16)
SHARED_FRACTION: Final = 0.3
SIGNIFICANCE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """
    Towers of equal size and resolution.

    Attributes
    ----------
    largest_eta : float
        Absolute pseudorapidity at which they end; they begin where the ring before ends.
    eta_width : float
        Of one tower.
    n_phi : int
        Towers around the axis.
    constant, stochastic, noise : float
        Resolution of an energy E in GeV: constant times E, stochastic times √E and noise, in quadrature.
    """

    largest_eta: float
    eta_width: float
    n_phi: int
    constant: float
    stochastic: float
    noise: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calorimeter:
    """
    Rings of towers, from the centre outwards.

    Attributes
    ----------
    smallest_energy : float
        Of a tower that is kept, in GeV.
    rings : tuple of Ring
        In rising eta.
    """

    smallest_energy: float
    rings: tuple[Ring, ...]


ECAL: Final = Calorimeter(
    smallest_energy=0.5,
    rings=(
        Ring(largest_eta=2.958, eta_width=0.0174, n_phi=360, constant=0.0017, stochastic=0.101),
        Ring(largest_eta=3.2, eta_width=0.175, n_phi=36, constant=0.0017, stochastic=0.101),
        Ring(largest_eta=4.9, eta_width=0.175, n_phi=36, constant=0.0350, stochastic=0.285),
    ),
)
HCAL: Final = Calorimeter(
    smallest_energy=1.0,
    rings=(
        Ring(largest_eta=1.7, eta_width=0.1, n_phi=36, constant=0.0302, stochastic=0.5205, noise=1.59),
        Ring(largest_eta=2.5, eta_width=0.1, n_phi=36, constant=0.0500, stochastic=0.706),
        Ring(largest_eta=3.2, eta_width=0.2, n_phi=18, constant=0.0500, stochastic=0.706),
        Ring(largest_eta=4.9, eta_width=0.2, n_phi=18, constant=0.0942, stochastic=1.00),
    ),
)


@dataclass(frozen=True, slots=True)
class Towers:
    """Towers with energy, each of shape (n_towers,)."""

    event: IntArray
    energy: FloatArray  # in GeV
    eta: FloatArray
    phi: FloatArray


def at_calorimeter(
    pt: FloatArray, eta: FloatArray, phi: FloatArray, charge: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r"""
    Direction in which a particle from the centre leaves the magnetic field.

    A charge follows a circle of radius :math:`p_\mathrm{T}/(0.3\,B)`, and leaves through the side or through an end,
    whichever it meets first.

    Parameters
    ----------
    pt, eta, phi : FloatArray, shape (n,)
        Momentum at the centre, in GeV and rad.
    charge : FloatArray, shape (n,)
        In units of the positron's.

    Returns
    -------
    eta, phi : FloatArray, shape (n,)
        Of the point on the surface of the volume.

    Examples
    --------
    >>> at_calorimeter(np.array([1.0]), np.array([0.0]), np.array([0.0]), np.array([1.0]))[1].round(3)
    array([-0.352])
    """
    charged = charge != 0
    curvature = np.where(charged, pt * BENDING / (FIELD * np.where(charged, np.abs(charge), 1.0)), np.inf)  # in m
    slope = np.sinh(eta)
    chord = np.minimum(RADIUS / (2.0 * curvature), 1.0)  # sine of half the angle turned until the side
    to_side = np.where(charged, 2.0 * np.where(charged, curvature, 0.0) * np.arcsin(chord), RADIUS)
    to_side = np.where(2.0 * curvature < RADIUS, np.inf, to_side)
    with np.errstate(divide="ignore"):
        to_end = HALF_LENGTH / np.abs(slope)
    length = np.minimum(to_side, to_end)  # in the transverse plane, in m
    half_angle = length / (2.0 * curvature)
    distance = np.where(charged, 2.0 * np.where(charged, curvature, 0.0) * np.sin(half_angle), length)
    turned = phi - np.sign(charge) * half_angle + np.where(distance < 0.0, np.pi, 0.0)
    return np.arcsinh(slope * length / np.maximum(np.abs(distance), 1e-9)), turned


def measure(
    calorimeter: Calorimeter,
    event: IntArray,
    energy: FloatArray,
    eta: FloatArray,
    phi: FloatArray,
    *,
    rng: np.random.Generator,
) -> Towers:
    """
    Sum energies in towers, smear them, and keep what is significant.

    Parameters
    ----------
    calorimeter : Calorimeter
        Towers, resolution and thresholds.
    event : IntArray, shape (n,)
        Number of the event of each deposit.
    energy, eta, phi : FloatArray, shape (n,)
        Deposits in GeV and their directions.

    Returns
    -------
    Towers
        In rising order of the event.
    """
    kept, inner = [], 0.0
    for ring in calorimeter.rings:
        inside = (np.abs(eta) >= inner) & (np.abs(eta) < ring.largest_eta) & (energy > 0.0)
        deposits = event[inside], energy[inside], eta[inside], phi[inside]
        kept.append(_measured(ring, inner, calorimeter.smallest_energy, deposits, rng))
        inner = ring.largest_eta
    order = np.argsort(np.concatenate([t.event for t in kept]), kind="stable")
    return Towers(
        *(np.concatenate([getattr(t, name) for t in kept])[order] for name in ("event", "energy", "eta", "phi"))
    )


def _measured(
    ring: Ring,
    inner: float,
    smallest: float,
    deposits: tuple[IntArray, FloatArray, FloatArray, FloatArray],
    rng: np.random.Generator,
) -> Towers:
    event, energy, eta, phi = deposits
    n_eta = int(np.ceil((ring.largest_eta - inner) / ring.eta_width - 1e-9))
    along = np.minimum(((np.abs(eta) - inner) / ring.eta_width).astype(np.int64), n_eta - 1)
    side = np.where(eta < 0.0, n_eta, 0) + along
    around = np.floor(np.mod(phi, 2.0 * np.pi) / (2.0 * np.pi) * ring.n_phi).astype(np.int64) % ring.n_phi
    cells, place = np.unique((event * 2 * n_eta + side) * ring.n_phi + around, return_inverse=True)
    true = np.bincount(place, weights=energy, minlength=len(cells)).astype(np.float64)
    found = _log_normal(true, _resolution(ring, true), rng)
    side, around = np.divmod(cells, ring.n_phi)
    event, side = np.divmod(side, 2 * n_eta)
    lower = inner + ring.eta_width * (side % n_eta)
    upper = np.minimum(lower + ring.eta_width, ring.largest_eta)
    absolute = lower + (upper - lower) * rng.random(len(cells))
    azimuth = 2.0 * np.pi / ring.n_phi * (around + rng.random(len(cells)))
    kept = _significant(found, ring, smallest)
    return Towers(
        event[kept],
        found[kept],
        np.where(side < n_eta, absolute, -absolute)[kept],
        np.where(azimuth > np.pi, azimuth - 2.0 * np.pi, azimuth)[kept],
    )


def _significant(energy: FloatArray, ring: Ring, smallest: float) -> BoolArray:
    return np.asarray((energy >= smallest) & (energy >= SIGNIFICANCE * _resolution(ring, energy)))


def _resolution(ring: Ring, energy: FloatArray) -> FloatArray:
    """Width of the measured energy in GeV."""
    return np.sqrt((ring.constant * energy) ** 2 + ring.stochastic**2 * energy + ring.noise**2)


def _log_normal(mean: FloatArray, width: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Positive numbers of this mean and standard deviation."""
    log_variance = np.log1p((width / mean) ** 2)
    return np.asarray(mean * np.exp(np.sqrt(log_variance) * rng.standard_normal(len(mean)) - 0.5 * log_variance))


def towers(particles: ak.Array, *, rng: np.random.Generator) -> ak.Array:
    """
    Towers of both calorimeters for the final particles of each event.

    Parameters
    ----------
    particles : awkward.Array, shape (n_events, var)
        Final particles with ``id`` and momentum ``p`` of ``px``, ``py``, ``pz``, ``e`` in GeV.
    rng : numpy.random.Generator
        For energies and directions.

    Returns
    -------
    awkward.Array, shape (n_events, var)
        Massless momenta ``px``, ``py``, ``pz``, ``e`` in GeV, those of the electromagnetic calorimeter first.
    """
    counts = ak.to_numpy(ak.num(particles))
    event = np.repeat(np.arange(len(counts)), counts)
    flat = ak.flatten(particles)
    px, py, pz, energy = (ak.to_numpy(flat.p[name]).astype(np.float64) for name in ("px", "py", "pz", "e"))
    number = np.abs(ak.to_numpy(flat.id))
    charge = ak.to_numpy(charge_of(flat.id)).astype(np.float64)
    pt = np.hypot(px, py)
    eta, phi = at_calorimeter(pt, np.arcsinh(pz / pt), np.arctan2(py, px), charge)
    electromagnetic = _electromagnetic_fraction(number)
    seen = ~np.isin(number, (MUON, *NEUTRINOS))
    measured = [
        measure(calorimeter, event, energy * fraction * seen, eta, phi, rng=rng)
        for calorimeter, fraction in ((ECAL, electromagnetic), (HCAL, 1.0 - electromagnetic))
    ]
    return ak.concatenate([_momenta(found, len(counts)) for found in measured], axis=1)


def _electromagnetic_fraction(number: IntArray) -> FloatArray:
    electromagnetic = np.isin(number, (ELECTRON, PHOTON)).astype(np.float64)
    return np.where(np.isin(number, (K_SHORT, LAMBDA)), SHARED_FRACTION, electromagnetic)


def _momenta(found: Towers, n_events: int) -> ak.Array:
    pt = found.energy / np.cosh(found.eta)
    momenta = ak.zip(
        {
            "px": pt * np.cos(found.phi),
            "py": pt * np.sin(found.phi),
            "pz": pt * np.sinh(found.eta),
            "e": found.energy,
        }
    )
    return ak.unflatten(momenta, np.bincount(found.event, minlength=n_events))
