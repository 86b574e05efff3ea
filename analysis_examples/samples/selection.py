# SPDX-License-Identifier: BSD-3-Clause
"""The reference selection of the H → ττ sample, in coffea's words."""

from __future__ import annotations

from typing import Final

import awkward as ak
import numpy as np

__all__ = ["select_lepton_tau"]

LARGEST_ISOLATION: Final = 0.15
VETO_PT, LEPTON_PT, LEPTON_ETA = 15.0, 26.0, 2.4
TAU_PT, TAU_ETA = 22.0, 2.3
SMALLEST_DISTANCE: Final = 0.5


def select_lepton_tau(events: ak.Array) -> ak.Array:
    """
    Select one isolated lepton and a hadronic tau of opposite charge.

    Exactly one identified lepton with a relative isolation below 0.15 and
    pT > 15 GeV; it has pT > 26 GeV and a pseudorapidity within 2.4.  The tau candidate has
    pT > 22 GeV and a pseudorapidity within 2.3 and is more than 0.5 away from the
    lepton.

    Parameters
    ----------
    events : awkward.Array, shape (n_events,)
        NanoAOD-like events as the sample holds them.

    Returns
    -------
    awkward.Array, shape (n_events,)
        True for a selected event.
    """
    muons = events.Muon[events.Muon.tightId & (events.Muon.pfRelIso04_all < LARGEST_ISOLATION)]
    electrons = events.Electron[events.Electron.mvaNoIso_WP90 & (events.Electron.pfRelIso03_all < LARGEST_ISOLATION)]
    leptons = ak.zip(
        {key: ak.concatenate([muons[key], electrons[key]], axis=1) for key in ("pt", "eta", "phi", "charge")}
    )
    leptons = leptons[leptons.pt > VETO_PT]
    lepton = ak.firsts(leptons)
    tau = ak.firsts(events.Tau[(events.Tau.pt > TAU_PT) & (abs(events.Tau.eta) < TAU_ETA)])
    delta_phi = (tau.phi - lepton.phi + np.pi) % (2 * np.pi) - np.pi
    apart = np.hypot(tau.eta - lepton.eta, delta_phi) > SMALLEST_DISTANCE
    good = (lepton.pt > LEPTON_PT) & (abs(lepton.eta) < LEPTON_ETA)
    pair = good & apart & (tau.charge * lepton.charge < 0)
    return (ak.num(leptons) == 1) & ak.fill_none(pair, value=False)
