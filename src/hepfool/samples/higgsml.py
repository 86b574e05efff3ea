# SPDX-License-Identifier: BSD-3-Clause
"""
Inputs of the ATLAS Higgs challenge: 17 measured quantities and what follows from them.

Eleven of the thirteen ``DER_`` columns are functions of the ``PRI_`` columns; an attack on
:data:`FEATURES` keeps them, up to the rounding of the file.  The mass of the two jets needs the jets' own masses
and the collinear mass a likelihood; both are left as they are.  The number of jets is fixed, as
it decides which other columns exist.  The data are CERN Open Data record 328.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hepfool.features import Derived, Feature, FeatureSpace
from hepfool.typing import FloatArray

__all__ = ["FEATURES", "MISSING_VALUE"]

#: What stands for a value that does not exist.
MISSING_VALUE: Final = -999.0


def _transverse_mass(lep_pt: FloatArray, lep_phi: FloatArray, met: FloatArray, met_phi: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(2.0 * lep_pt * met * (1.0 - np.cos(lep_phi - met_phi))))


def _visible_mass(*lepton_and_tau: FloatArray) -> FloatArray:
    pt, eta, phi, tau_pt, tau_eta, tau_phi = lepton_and_tau
    return np.asarray(np.sqrt(2.0 * pt * tau_pt * (np.cosh(eta - tau_eta) - np.cos(phi - tau_phi)).clip(0.0)))


def _vector_sum(*pairs: FloatArray) -> FloatArray:
    """Length of a sum of transverse momenta, given as pt, phi, pt, phi, and so on; absent ones count as zero."""
    pt, phi = np.nan_to_num(np.stack(pairs[::2])), np.nan_to_num(np.stack(pairs[1::2]))
    return np.asarray(np.hypot((pt * np.cos(phi)).sum(axis=0), (pt * np.sin(phi)).sum(axis=0)))


def _distance(eta: FloatArray, phi: FloatArray, other_eta: FloatArray, other_phi: FloatArray) -> FloatArray:
    angle = np.mod(phi - other_phi + np.pi, 2.0 * np.pi) - np.pi
    return np.asarray(np.hypot(eta - other_eta, angle))


def _separation(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray(np.abs(first - second))


def _sum(tau_pt: FloatArray, lep_pt: FloatArray, jets_pt: FloatArray) -> FloatArray:
    return tau_pt + lep_pt + jets_pt


def _met_centrality(tau_phi: FloatArray, lep_phi: FloatArray, met_phi: FloatArray) -> FloatArray:
    sign = np.sign(np.sin(tau_phi - lep_phi))
    from_lep, from_tau = sign * np.sin(met_phi - lep_phi), sign * np.sin(tau_phi - met_phi)
    length = np.hypot(from_lep, from_tau)
    return np.asarray(np.divide(from_lep + from_tau, length, out=np.zeros_like(length), where=length > 0))


def _lepton_centrality(lep_eta: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    width = np.maximum((first - second) ** 2, 1e-12)
    return np.asarray(np.exp(-4.0 * (lep_eta - 0.5 * (first + second)) ** 2 / width))


_LEPTON, _TAU, _MET = (("PRI_lep_pt", "PRI_lep_phi"), ("PRI_tau_pt", "PRI_tau_phi"), ("PRI_met", "PRI_met_phi"))
_JETS = ("PRI_jet_leading_pt", "PRI_jet_leading_phi", "PRI_jet_subleading_pt", "PRI_jet_subleading_phi")
_JET_ETAS = ("PRI_jet_leading_eta", "PRI_jet_subleading_eta")

#: The 30 inputs in the order of the file.  Tolerances are what rounding to three digits does to its events; it turns
#: the sign of the missing momentum's centrality where tau and lepton are back to back.
FEATURES: Final = FeatureSpace(
    [
        Feature(name="DER_mass_MMC", unit="GeV", lower=0.0),
        Feature(
            name="DER_mass_transverse_met_lep",
            unit="GeV",
            lower=0.0,
            derived=Derived((*_LEPTON, *_MET), _transverse_mass, 0.3),
        ),
        Feature(
            name="DER_mass_vis",
            unit="GeV",
            lower=0.0,
            derived=Derived(
                ("PRI_lep_pt", "PRI_lep_eta", "PRI_lep_phi", "PRI_tau_pt", "PRI_tau_eta", "PRI_tau_phi"),
                _visible_mass,
                0.5,
            ),
        ),
        Feature(name="DER_pt_h", unit="GeV", lower=0.0, derived=Derived((*_LEPTON, *_TAU, *_MET), _vector_sum, 0.3)),
        Feature(name="DER_deltaeta_jet_jet", lower=0.0, derived=Derived(_JET_ETAS, _separation, 2e-3)),
        Feature(name="DER_mass_jet_jet", unit="GeV", lower=0.0),
        Feature(name="DER_prodeta_jet_jet", derived=Derived(_JET_ETAS, np.multiply, 1e-2)),
        Feature(
            name="DER_deltar_tau_lep",
            lower=0.0,
            derived=Derived(("PRI_tau_eta", "PRI_tau_phi", "PRI_lep_eta", "PRI_lep_phi"), _distance, 4e-3),
        ),
        Feature(
            name="DER_pt_tot",
            unit="GeV",
            lower=0.0,
            derived=Derived((*_LEPTON, *_TAU, *_MET, *_JETS), _vector_sum, 0.6),
        ),
        Feature(
            name="DER_sum_pt",
            unit="GeV",
            lower=0.0,
            derived=Derived(("PRI_tau_pt", "PRI_lep_pt", "PRI_jet_all_pt"), _sum, 1e-2),
        ),
        Feature(name="DER_pt_ratio_lep_tau", lower=0.0, derived=Derived(("PRI_lep_pt", "PRI_tau_pt"), np.divide, 2e-3)),
        Feature(
            name="DER_met_phi_centrality",
            lower=-1.5,
            upper=1.5,
            derived=Derived(("PRI_tau_phi", "PRI_lep_phi", "PRI_met_phi"), _met_centrality, 3.0),
        ),
        Feature(
            name="DER_lep_eta_centrality",
            lower=0.0,
            upper=1.0,
            derived=Derived(("PRI_lep_eta", *_JET_ETAS), _lepton_centrality, 2e-2),
        ),
        Feature(name="PRI_tau_pt", unit="GeV", lower=0.0),
        Feature(name="PRI_tau_eta", lower=-2.5, upper=2.5),
        Feature(name="PRI_tau_phi", kind="angle"),
        Feature(name="PRI_lep_pt", unit="GeV", lower=0.0),
        Feature(name="PRI_lep_eta", lower=-2.8, upper=2.8),
        Feature(name="PRI_lep_phi", kind="angle"),
        Feature(name="PRI_met", unit="GeV", lower=0.0),
        Feature(name="PRI_met_phi", kind="angle"),
        Feature(name="PRI_met_sumet", unit="GeV", lower=0.0),
        Feature(name="PRI_jet_num", lower=0.0, upper=3.0, kind="fixed"),
        Feature(name="PRI_jet_leading_pt", unit="GeV", lower=0.0),
        Feature(name="PRI_jet_leading_eta", lower=-4.5, upper=4.5),
        Feature(name="PRI_jet_leading_phi", kind="angle"),
        Feature(name="PRI_jet_subleading_pt", unit="GeV", lower=0.0),
        Feature(name="PRI_jet_subleading_eta", lower=-4.5, upper=4.5),
        Feature(name="PRI_jet_subleading_phi", kind="angle"),
        Feature(name="PRI_jet_all_pt", unit="GeV", lower=0.0),
    ]
)
