# SPDX-License-Identifier: BSD-3-Clause
"""
Parametrised detector response for the generated samples.

Every function takes flat NumPy arrays, momenta in GeV, and a random generator, so that a
sample is reproduced by its seed alone.  The resolutions are those of a
generic LHC detector, not a tuned description of one experiment.

* objects: ``muon_resolution`` ... ``jet_resolution`` with :func:`smear_pt`;
* missing transverse momentum: :func:`smear_met`;
* identification: :func:`draw_btag_score`, :func:`draw_tau_working_point`,
  :func:`draw_pass`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hepfool.typing import BoolArray, FloatArray

__all__ = [
    "draw_btag_score",
    "draw_pass",
    "draw_tau_working_point",
    "electron_resolution",
    "jet_resolution",
    "muon_resolution",
    "smear_met",
    "smear_pt",
    "tau_resolution",
]

SMALLEST_RESPONSE: Final = 0.1
SOFT_TERM_POWER: Final = 1.8
PILE_UP_SUM: Final = (70.0, 35.0)
BTAG_LOGIT: Final = {5: (1.7, 2.5), 4: (-2.35, 2.0), 0: (-4.19, 1.8)}
TAU_MEDIUM: Final = 5
TAU_TIGHT: Final = 6
TIGHT_GIVEN_MEDIUM: Final = {"genuine": 0.85, "fake": 0.5}


def muon_resolution(pt: FloatArray) -> FloatArray:
    """Relative resolution of a muon's transverse momentum, 2 % throughout."""
    return np.full_like(pt, 0.02)


def electron_resolution(pt: FloatArray) -> FloatArray:
    """Relative resolution of an electron's transverse momentum, 2.5 % throughout."""
    return np.full_like(pt, 0.025)


def tau_resolution(pt: FloatArray) -> FloatArray:
    """Relative resolution of a hadronic tau: 50 %/√pt and 4 % in quadrature."""
    return np.hypot(0.5 / np.sqrt(pt), 0.04)


def jet_resolution(pt: FloatArray) -> FloatArray:
    r"""
    Relative resolution of a jet: 70 %/√pt and 5 % in quadrature.

    Examples
    --------
    >>> jet_resolution(np.array([49.0])).round(3)
    array([0.112])
    """
    return np.hypot(0.7 / np.sqrt(pt), 0.05)


def smear_pt(pt: FloatArray, resolution: FloatArray, *, rng: np.random.Generator) -> FloatArray:
    """
    Transverse momenta multiplied by a Gaussian response around one.

    The response is kept above 0.1, so that no momentum turns negative.

    Parameters
    ----------
    pt : FloatArray, shape (n,)
        True transverse momenta in GeV.
    resolution : FloatArray, shape (n,)
        Relative resolutions, dimensionless.

    Returns
    -------
    FloatArray, shape (n,)
        Measured transverse momenta in GeV.
    """
    response = 1.0 + resolution * rng.standard_normal(pt.shape)
    return pt * np.maximum(response, SMALLEST_RESPONSE)


def smear_met(
    visible: FloatArray, hard_shift: FloatArray, hard: FloatArray, *, scalar_sum: FloatArray, rng: np.random.Generator
) -> FloatArray:
    r"""
    Missing transverse momentum with hard-object, soft-term and pile-up noise.

    Start from minus the visible sum, corrected by the smearing of the hard
    objects, and add per component a Gaussian of width
    :math:`0.55\sqrt{S + P}` GeV, with :math:`S` the visible scalar sum and
    :math:`P` a pile-up contribution drawn from a normal of 70 GeV and width
    35 GeV, cut at zero.  What then does not balance the hard objects is the
    soft term; it is scaled by :math:`u^{1.8}` with :math:`u` uniform in
    [0, 1], as a soft term from tracks would be.

    Parameters
    ----------
    visible : FloatArray, shape (n_events, 2)
        Vector sum of all true visible transverse momenta in GeV.
    hard_shift : FloatArray, shape (n_events, 2)
        Sum over the hard objects of measured minus true momentum in GeV.
    hard : FloatArray, shape (n_events, 2)
        Vector sum of the measured hard objects in GeV.
    scalar_sum : FloatArray, shape (n_events,)
        Scalar sum of the true visible transverse momenta in GeV.

    Returns
    -------
    FloatArray, shape (n_events, 2)
        Both components in GeV.
    """
    pile_up = np.maximum(rng.normal(*PILE_UP_SUM, scalar_sum.shape), 0.0)
    width = 0.55 * np.sqrt(scalar_sum + pile_up)
    raw = -(visible + hard_shift) + width[:, None] * rng.standard_normal(visible.shape)
    scale = rng.random(scalar_sum.shape) ** SOFT_TERM_POWER
    return -hard + scale[:, None] * (raw + hard)


def draw_pass(n: int, efficiency: float, *, rng: np.random.Generator) -> BoolArray:
    """
    Identification flags that are true with a given efficiency.

    Parameters
    ----------
    n : int
        Number of objects.
    efficiency : float
        Probability to pass, in [0, 1].

    Returns
    -------
    BoolArray, shape (n,)
        True for an object that passes.

    Raises
    ------
    ValueError
        If the efficiency lies outside [0, 1].
    """
    if not 0.0 <= efficiency <= 1.0:
        msg = f"efficiency {efficiency} is not in [0, 1]; give a probability"
        raise ValueError(msg)
    return np.asarray(rng.random(n) < efficiency)


def draw_btag_score(flavour: NDArray[np.integer], *, rng: np.random.Generator) -> FloatArray:
    """
    Flavour-tagging scores in (0, 1) for jets of known hadron flavour.

    The logit is Gaussian with a mean and width per flavour, chosen such that
    a threshold of 0.5 keeps 75 % of the b, 12 % of the c and 1 % of the light
    jets, independent of their momentum.

    Parameters
    ----------
    flavour : NDArray[np.integer], shape (n,)
        5 for a b jet, 4 for a c jet, 0 otherwise.

    Returns
    -------
    FloatArray, shape (n,)
        Scores, dimensionless; large for b jets.
    """
    logit = rng.standard_normal(flavour.shape)
    for value, (mean, width) in BTAG_LOGIT.items():
        logit = np.where(flavour == value, mean + width * logit, logit)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def draw_tau_working_point(genuine: BoolArray, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """
    Tightest working point that a tau candidate passes, given the medium one.

    85 % of the genuine and 50 % of the fake candidates also pass the tight
    working point.

    Parameters
    ----------
    genuine : BoolArray, shape (n,)
        True for a hadronic tau decay, false for a jet.

    Returns
    -------
    NDArray[np.uint8], shape (n,)
        5 for medium, 6 for tight, numbered as in NanoAOD.
    """
    probability = np.where(genuine, TIGHT_GIVEN_MEDIUM["genuine"], TIGHT_GIVEN_MEDIUM["fake"])
    tight = rng.random(genuine.shape) < probability
    return np.where(tight, TAU_TIGHT, TAU_MEDIUM).astype(np.uint8)
