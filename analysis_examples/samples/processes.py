# SPDX-License-Identifier: BSD-3-Clause
"""
The processes of the H → ττ sample as Pythia settings, all at 13 TeV.

Decays that end in one electron or muon and one hadronic tau are forced, once
for each sign of the charge, which saves most of the computing; the branching
fraction that this leaves out is part of the settings.  The taus of Z → ττ alone
are unpolarised and decay independently of each other, which doubles the speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analysis_examples.samples.pythia import ProcessSettings

__all__ = ["DATASETS", "Component", "Dataset"]

TAU_TO_LEPTON: Final = 0.352
TAU_TO_HADRONS: Final = 0.648
LEPTON_AND_HADRONS: Final = TAU_TO_LEPTON * TAU_TO_HADRONS
HADRONS: Final = "111 211 311 321 310 130 221 223"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """
    One generator run of a dataset.

    Attributes
    ----------
    process : ProcessSettings
        What is generated.
    fakes : bool
        Whether its hadronic taus are misidentified jets or genuine decays.
    share : float
        Fraction of the dataset's selected events that it provides.
    """

    process: ProcessSettings
    fakes: bool
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """
    One simulated process, made of one or more components.

    Attributes
    ----------
    name : str
        Key in the fileset and stem of the file.
    is_signal : bool
        Whether it is the process searched for.
    n_selected : int
        Events that shall be left after the reference selection.
    components : tuple of Component
        Generator runs; their shares add up to one.
    """

    name: str
    is_signal: bool
    n_selected: int
    components: tuple[Component, ...]


def _tau_decays(lepton: str, hadron: str) -> tuple[str, ...]:
    return ("15:onMode=off", f"15:on{lepton}IfAny=11 13", f"15:on{hadron}IfAny={HADRONS}")


def _to_tau_pair(name: str, *settings: str) -> tuple[Component, ...]:
    """Force the decays into a lepton and a hadronic tau, once for each charge."""
    return tuple(
        Component(
            process=ProcessSettings(
                name=f"{name}_{label}",
                settings=(*settings, *_tau_decays(lepton, hadron)),
                branching_ratio=LEPTON_AND_HADRONS,
            ),
            fakes=False,
            share=0.5,
        )
        for label, lepton, hadron in (("lepton_minus", "Pos", "Neg"), ("lepton_plus", "Neg", "Pos"))
    )


def _top_pair() -> tuple[Component, ...]:
    """Genuine taus from W → τν beside W → ℓν or W → τν → ℓ, and fakes from a jet beside W → qq̄."""
    components = []
    for label, lepton, other in (("lepton_plus", "Pos", "Neg"), ("lepton_minus", "Neg", "Pos")):
        # "Pos" is the particle: W+ but tau-. Hence the tau of the other W has the sign of this lepton's W.
        hadronic_tau = _tau_decays(lepton=other, hadron=lepton)
        one_tau = (f"24:on{lepton}IfAny=11 13", f"24:on{other}IfAny=15", *hadronic_tau)
        two_taus = ("24:onIfAny=15", *hadronic_tau)
        no_tau = (f"24:on{lepton}IfAny=11 13 15", f"24:on{other}IfAny=1 2 3 4 5")
        for kind, decays, fraction, share in (
            ("one_tau", one_tau, TAU_TO_HADRONS, 0.27),
            ("two_taus", two_taus, LEPTON_AND_HADRONS, 0.05),
            ("jet", no_tau, 1.0, 0.18),
        ):
            name = f"TTbar_{kind}_{label}"
            process = ProcessSettings(name=name, settings=(*TOP_PAIR, *decays), branching_ratio=fraction)
            components.append(Component(process=process, fakes=kind == "jet", share=share))
    return tuple(components)


TOP_PAIR: Final = ("Top:gg2ttbar=on", "Top:qqbar2ttbar=on", "24:onMode=off")
HIGGS: Final = ("25:m0=125.", "25:onMode=off", "25:onIfMatch=15 -15")
Z_BOSON: Final = (
    "WeakSingleBoson:ffbar2gmZ=on",
    "PhaseSpace:mHatMin=60.",
    "23:onMode=off",
    "23:onIfMatch=15 -15",
    "TauDecays:mode=3",
    "TauDecays:tauPolarization=0.",
)
W_BOSON: Final = (
    "WeakBosonAndParton:qqbar2Wg=on",
    "WeakBosonAndParton:qg2Wq=on",
    "PhaseSpace:pTHatMin=20.",
    "24:onMode=off",
    "24:onIfAny=11 13 15",
)

DATASETS: Final = (
    Dataset(name="ggH", is_signal=True, n_selected=4500, components=_to_tau_pair("ggH", "HiggsSM:gg2H=on", *HIGGS)),
    Dataset(
        name="VBFH",
        is_signal=True,
        n_selected=4500,
        components=_to_tau_pair("VBFH", "HiggsSM:ff2Hff(t:ZZ)=on", "HiggsSM:ff2Hff(t:WW)=on", *HIGGS),
    ),
    Dataset(name="ZTauTau", is_signal=False, n_selected=6000, components=_to_tau_pair("ZTauTau", *Z_BOSON)),
    Dataset(name="TTbar", is_signal=False, n_selected=5000, components=_top_pair()),
    Dataset(
        name="WJets",
        is_signal=False,
        n_selected=22_500,
        components=(Component(process=ProcessSettings(name="WJets", settings=W_BOSON), fakes=True, share=1.0),),
    ),
)
