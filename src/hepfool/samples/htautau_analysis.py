# SPDX-License-Identifier: BSD-3-Clause
r"""
H → ττ in the lepton-hadron channel: a complete analysis to copy from.

From top to bottom: the network's inputs, the branches of different NanoAOD
versions, and :class:`HiggsToTauTau`, which selects objects and events, computes the
inputs, repeats that for every energy scale, and weights the events.  It runs on
the sample of :mod:`hepfool.samples.htautau` and on CMS NanoAOD.

Choices of this analysis that matter to an attack:

* The regions are a cut on the transverse mass of lepton and missing momentum:
  W + jets and tt̄ fill the control region above 70 GeV, the signal lies below.
  As ``cuts`` of the regions it is a wall that attacked events do not cross.
* Inputs that do not exist, such as the mass of two jets in an event with one,
  are missing (NaN) and stay missing.
* Every energy scale holds the *same* events with other inputs: events enter and
  leave by the nominal selection only.  Jets do cross their threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import awkward as ak
import click
import numpy as np
import rich
from coffea.analysis_tools import PackedSelection, Weights
from coffea.nanoevents import NanoAODSchema
from coffea.nanoevents.methods import vector
from coffea.processor import IterativeExecutor, Runner
from rich.table import Table

from hepfool.events import UNLABELLED, EventTable, Region
from hepfool.features import Feature, FeatureSpace
from hepfool.processors import TableProcessor, feature_matrix, leading, run_processor
from hepfool.samples import htautau
from hepfool.studies import weight_variations
from hepfool.typing import FloatArray

__all__ = ["HiggsToTauTau"]

LEPTON_PT, LEPTON_ETA, LEPTON_ISOLATION, VETO_PT = 26.0, 2.4, 0.15, 15.0
TAU_PT, TAU_ETA = 22.0, 2.3
JET_PT, JET_ETA, B_JET_ETA = 30.0, 4.7, 2.5
OVERLAP: Final = 0.5
CONTROL_MT: Final = 70.0
#: What stands for a missing value in the inputs of the network.
MISSING: Final = -999.0

TAU_SCALE: Final = 0.03
UNCLUSTERED_SCALE: Final = 0.10
TAU_ID_UNCERTAINTY: Final = 0.05
FAKE_RATE_UNCERTAINTY: Final = 0.20
Z_PT_SLOPE: Final = 0.10

# What differs between versions of NanoAOD; the first that exists is used.
MET = ("PuppiMET", "MET")
ELECTRON_ID = ("mvaNoIso_WP90", "mvaFall17V2noIso_WP90")
TAU_ID = {"idVSjet": 5, "idDeepTau2018v2p5VSjet": 5, "idDeepTau2017v2p1VSjet": 16, "idMVAoldDM": 8}
B_TAG = {"btagScore": 0.5, "btagDeepFlavB": 0.3}

FEATURES = FeatureSpace(
    [
        Feature(name="lepton_pt", label=r"lepton $p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="lepton_eta", label=r"lepton $\eta$", lower=-2.5, upper=2.5),
        Feature(name="lepton_is_muon", label="lepton is a muon", lower=0.0, upper=1.0, kind="fixed"),
        Feature(name="tau_pt", label=r"$\tau_\mathrm{h}$ $p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="tau_eta", label=r"$\tau_\mathrm{h}$ $\eta$", lower=-2.5, upper=2.5),
        Feature(name="tau_decay_mode", label=r"$\tau_\mathrm{h}$ decay mode", lower=0.0, upper=11.0, kind="fixed"),
        Feature(name="met", label=r"$p_\mathrm{T}^\mathrm{miss}$", unit="GeV", lower=0.0),
        Feature(name="met_sum_et", label=r"$\sum E_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="mt", label=r"$m_\mathrm{T}(\ell)$", unit="GeV", lower=0.0),
        Feature(name="mt_tau", label=r"$m_\mathrm{T}(\tau_\mathrm{h})$", unit="GeV", lower=0.0),
        Feature(name="visible_mass", label=r"$m_\mathrm{vis}$", unit="GeV", lower=0.0),
        Feature(name="higgs_pt", label=r"$p_\mathrm{T}^{\tau\tau}$", unit="GeV", lower=0.0),
        Feature(name="total_pt", label=r"$p_\mathrm{T}^\mathrm{tot}$", unit="GeV", lower=0.0),
        Feature(name="delta_r", label=r"$\Delta R(\ell, \tau_\mathrm{h})$", lower=0.0),
        Feature(name="delta_phi_met", label=r"$|\Delta\phi(\ell, \mathrm{MET})|$", unit="rad", lower=0.0, upper=np.pi),
        Feature(name="sum_pt", label=r"$\sum p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="pt_ratio", label=r"$p_\mathrm{T}^\ell/p_\mathrm{T}^{\tau_\mathrm{h}}$", lower=0.0),
        Feature(name="met_centrality", label=r"$p_\mathrm{T}^\mathrm{miss}$ $\phi$ centrality", lower=-1.5, upper=1.5),
        Feature(name="n_jets", label="number of jets", lower=0.0, kind="integer"),
        Feature(name="jets_sum_pt", label=r"$\sum_\mathrm{jets} p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="lead_jet_pt", label=r"leading jet $p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="lead_jet_eta", label=r"leading jet $\eta$", lower=-JET_ETA, upper=JET_ETA),
        Feature(name="second_jet_pt", label=r"second jet $p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="second_jet_eta", label=r"second jet $\eta$", lower=-JET_ETA, upper=JET_ETA),
        Feature(name="dijet_mass", label=r"$m_\mathrm{jj}$", unit="GeV", lower=0.0),
        Feature(name="dijet_delta_eta", label=r"$|\Delta\eta_\mathrm{jj}|$", lower=0.0, upper=2 * JET_ETA),
        Feature(name="dijet_eta_product", label=r"$\eta_\mathrm{j1}\,\eta_\mathrm{j2}$", lower=-25.0, upper=25.0),
        Feature(name="lepton_centrality", label=r"lepton $\eta$ centrality", lower=0.0, upper=1.0),
    ]
)


class Objects(NamedTuple):
    """Lepton, tau and missing momentum of each event, its jets, and its scalar sum of transverse energy."""

    lepton: Any
    tau: Any
    jets: Any
    met: Any
    sum_et: Any


@dataclass(frozen=True)
class HiggsToTauTau:
    """
    One lepton and one hadronic tau of opposite charge, no b jet.

    Parameters
    ----------
    luminosity_pb : float
        Integrated luminosity in inverse pb to which simulation is normalised.
    sum_weights : mapping of str to float, optional
        Sum of generator weights before any selection, by dataset; not needed
        where the fileset's metadata have ``sum_weights``.

    Notes
    -----
    Of the fileset's metadata it reads ``is_signal``, ``cross_section_pb``, and ``is_data``
    for collision data.  Without a cross section events keep their generator weight.
    """

    luminosity_pb: float = 1.0
    sum_weights: Mapping[str, float] = field(default_factory=dict)

    branches = (
        *("run", "luminosityBlock", "event", "genWeight", "nMuon", "nElectron", "nTau", "nJet"),
        *("Muon_*", "Electron_*", "Tau_*", "Jet_*", "PuppiMET_*", "MET_*"),
    )

    @property
    def features(self) -> FeatureSpace:
        """Inputs of the network."""
        return FEATURES

    def build(self, events: Any) -> EventTable:
        """
        Turn one chunk into a table.

        Parameters
        ----------
        events : NanoEvents, shape (n_entries,)
            The chunk, with its metadata.

        Returns
        -------
        EventTable
            Selected events, of which there may be none.
        """
        objects, passed = select(events)
        objects = Objects(*(ak.drop_none(part[passed], axis=0) for part in objects))
        events, metadata = events[passed], events.metadata
        values = {
            name: feature_matrix(compute_features(varied), FEATURES) for name, varied in energy_scales(objects).items()
        }
        nominal = values.pop("nominal")
        weights = self.weights(events, objects, metadata)
        label = UNLABELLED if metadata.get("is_data") else int(metadata.get("is_signal", False))
        mt = nominal[:, FEATURES.index("mt")]
        return EventTable.from_arrays(
            nominal,
            features=FEATURES,
            labels=np.full(len(nominal), label),
            sentinel=MISSING,  # what the network was trained with
            dataset=metadata["dataset"],
            weights=weights.weight(),
            regions=(
                Region("high_mt", mt >= CONTROL_MT, "control", cuts={"mt": (CONTROL_MT, np.inf)}),
                Region("low_mt", mt < CONTROL_MT, "signal", cuts={"mt": (-np.inf, CONTROL_MT)}),
            ),
            shape_variations=values,
            weight_variations=weight_variations(weights),
            spectators={name: ak.to_numpy(events[name]) for name in ("run", "luminosityBlock", "event")},
        )

    def weights(self, events: Any, objects: Objects, metadata: Mapping[str, Any]) -> Weights:
        """
        Normalise, and tell how uncertain the corrections are.

        Parameters
        ----------
        events : NanoEvents, shape (n_events,)
            Selected events.
        objects : Objects
            Their objects.
        metadata : mapping
            Of the dataset.

        Returns
        -------
        coffea.analysis_tools.Weights
            Dimensionless, with variations ``tau_idUp``, ``tau_idDown`` and so on.
        """
        weights = Weights(len(events))
        nothing = np.zeros(len(events))
        uncertainties = {"tau_id": nothing, "tau_fake_rate": nothing, "z_pt": nothing}
        if not metadata.get("is_data"):
            weights.add("generator", numbers(events.genWeight) * self._events_per_weight(metadata))
            fake = numbers(objects.tau.genPartFlav) == 0
            recoil = numbers((objects.lepton + objects.tau + objects.met).pt)
            uncertainties["tau_id"] = np.where(fake, 0.0, TAU_ID_UNCERTAINTY)
            uncertainties["tau_fake_rate"] = np.where(fake, FAKE_RATE_UNCERTAINTY, 0.0)
            if metadata["dataset"] == "ZTauTau":
                uncertainties["z_pt"] = Z_PT_SLOPE * np.clip(recoil / 100.0, 0.0, 1.0)
        for name, size in uncertainties.items():
            weights.add(name, nothing + 1.0, 1.0 + size, 1.0 - size)
        return weights

    def _events_per_weight(self, metadata: Mapping[str, Any]) -> float:
        if "cross_section_pb" not in metadata:
            return 1.0
        total = metadata.get("sum_weights", self.sum_weights.get(metadata["dataset"]))
        if not total:
            msg = (
                f"dataset {metadata['dataset']!r} has a cross section but no sum of generator weights; put "
                "sum_weights (genEventSumw of the tree Runs, summed over all files) into its metadata"
            )
            raise ValueError(msg)
        return float(metadata["cross_section_pb"]) * self.luminosity_pb / float(total)


def select(events: Any) -> tuple[Objects, Any]:
    """Choose objects and, by them, events; a lepton or tau that does not exist is None."""
    leptons = select_leptons(events)
    lepton = leading(leptons[(leptons.pt > LEPTON_PT) & (abs(leptons.eta) < LEPTON_ETA)], 1)[:, 0]
    taus = select_taus(events)
    tau = leading(taus[apart(taus, lepton)], 1)[:, 0]
    tagger = first_of(B_TAG, events.Jet, "Jet")
    jets = momenta(events.Jet, b_tag=events.Jet[tagger])
    jets = jets[(abs(jets.eta) < JET_ETA) & apart(jets, lepton) & apart(jets, tau)]
    b_jets = jets[(jets.pt > JET_PT) & (abs(jets.eta) < B_JET_ETA) & (jets.b_tag > B_TAG[tagger])]
    met = events[first_of(MET, events, "the file")]
    zero = ak.zeros_like(met.pt)
    met_momentum = momenta(ak.zip({"pt": met.pt, "eta": zero, "phi": met.phi, "mass": zero}))
    selection = PackedSelection()
    selection.add("one_lepton", (ak.num(leptons) == 1) & ~ak.is_none(lepton))
    selection.add("tau", ~ak.is_none(tau))
    # An event without one of them fails: None counts as False here.
    selection.add("opposite_charge", lepton.charge * tau.charge < 0)
    selection.add("no_b_jet", ak.num(b_jets) == 0)
    return Objects(lepton, tau, jets, met_momentum, met.sumEt), selection.all()


def select_leptons(events: Any) -> Any:
    """Isolated and identified electrons and muons above the threshold of the veto."""
    muons, electrons = events.Muon, events.Electron
    muons = muons[muons.tightId & (muons.pfRelIso04_all < LEPTON_ISOLATION)]
    identified = electrons[first_of(ELECTRON_ID, electrons, "Electron")]
    electrons = electrons[identified & (electrons.pfRelIso03_all < LEPTON_ISOLATION)]
    kinds = [
        momenta(kind, charge=kind.charge, is_muon=ak.ones_like(kind.charge) * muon)
        for kind, muon in ((muons, 1), (electrons, 0))
    ]
    leptons = ak.concatenate(kinds, axis=1)
    return leptons[leptons.pt > VETO_PT]


def select_taus(events: Any) -> Any:
    """Hadronic taus that pass the identification; the true origin is there in simulation only."""
    taus = events[first_of(["Tau"], events, "the file")]
    identification = first_of(TAU_ID, taus, "Tau")
    identified = (taus[identification] >= TAU_ID[identification]) & ((taus.decayMode <= 1) | (taus.decayMode >= 10))
    good = identified & (taus.pt > TAU_PT) & (abs(taus.eta) < TAU_ETA)
    more = {name: taus[name] for name in ("charge", "decayMode", "genPartFlav") if name in ak.fields(taus)}
    return momenta(taus, **more)[good]


def energy_scales(objects: Objects) -> dict[str, Objects]:
    """Objects at nominal and shifted energies; what is gained by one is lost by the missing momentum."""
    lepton, tau, jets, met, sum_et = objects
    jet_scale = 0.01 + 0.5 / jets.pt + 0.02 * (abs(jets.eta) > B_JET_ETA)
    soft = -(met + lepton + tau + jets.sum(axis=1))
    varied = {"nominal": objects}
    for direction, sign in (("up", 1.0), ("down", -1.0)):
        tau_shift, jet_shift = sign * TAU_SCALE, sign * jet_scale
        shifted_jets = scaled(jets, 1.0 + jet_shift)
        varied[f"tau_energy_{direction}"] = objects._replace(
            tau=scaled(tau, 1.0 + tau_shift), met=met - tau * tau_shift, sum_et=sum_et + tau_shift * tau.pt
        )
        varied[f"jet_energy_{direction}"] = objects._replace(
            jets=shifted_jets,
            met=met - shifted_jets.sum(axis=1) + jets.sum(axis=1),
            sum_et=sum_et + ak.sum(jet_shift * jets.pt, axis=1),
        )
        varied[f"unclustered_energy_{direction}"] = objects._replace(met=met - sign * UNCLUSTERED_SCALE * soft)
    return varied


def compute_features(objects: Objects) -> dict[str, Any]:
    """All inputs of the network from one version of the objects, None where one does not exist."""
    lepton, tau, all_jets, met, sum_et = objects
    jets = all_jets[all_jets.pt > JET_PT]
    pair = leading(jets, 2)
    first, second = pair[:, 0], pair[:, 1]
    dijet = first + second
    jets_sum_pt = ak.sum(jets.pt, axis=1)
    middle, width = (first.eta + second.eta) / 2.0, first.eta - second.eta
    return {
        "lepton_pt": lepton.pt,
        "lepton_eta": lepton.eta,
        "lepton_is_muon": lepton.is_muon,
        "tau_pt": tau.pt,
        "tau_eta": tau.eta,
        "tau_decay_mode": tau.decayMode,
        "met": met.pt,
        "met_sum_et": sum_et,
        "mt": transverse_mass(lepton, met),
        "mt_tau": transverse_mass(tau, met),
        "visible_mass": (lepton + tau).mass,
        "higgs_pt": (lepton + tau + met).pt,
        "total_pt": (lepton + tau + met + jets.sum(axis=1)).pt,
        "delta_r": lepton.delta_r(tau),
        "delta_phi_met": abs(lepton.delta_phi(met)),
        "sum_pt": lepton.pt + tau.pt + jets_sum_pt,
        "pt_ratio": lepton.pt / tau.pt,
        "met_centrality": phi_centrality(lepton, tau, met),
        "n_jets": ak.num(jets),
        "jets_sum_pt": jets_sum_pt,
        "lead_jet_pt": first.pt,
        "lead_jet_eta": first.eta,
        "second_jet_pt": second.pt,
        "second_jet_eta": second.eta,
        "dijet_mass": dijet.mass,
        "dijet_delta_eta": abs(width),
        "dijet_eta_product": first.eta * second.eta,
        "lepton_centrality": np.exp(-4.0 * (lepton.eta - middle) ** 2 / (width**2 + 1e-6)),
    }


def transverse_mass(visible: Any, met: Any) -> Any:
    """Of a visible particle and the missing momentum, in GeV."""
    return np.sqrt(2.0 * visible.pt * met.pt * (1.0 - np.cos(visible.delta_phi(met))))


def phi_centrality(lepton: Any, tau: Any, met: Any) -> Any:
    r"""Position of the missing momentum between tau and lepton in azimuth: :math:`\sqrt2` in the middle, 1 on either."""
    from_tau, from_lepton = np.sin(met.delta_phi(tau)), np.sin(lepton.delta_phi(met))
    length = np.hypot(from_tau, from_lepton)
    towards = np.sign(np.sin(lepton.delta_phi(tau))) / ak.where(length > 0.0, length, 1.0)
    return towards * (from_tau + from_lepton)


def apart(objects: Any, one: Any) -> Any:
    """Whether each object of an event is away from one other; None without the other."""
    return objects.delta_r(one) > OVERLAP


def first_of(names: Iterable[str], collection: Any, what: str) -> str:
    """Find the first branch that this version of NanoAOD has."""
    for name in names:
        if name in ak.fields(collection):
            return name
    msg = f"{what} has none of {', '.join(names)}; add what your NanoAOD version has to the tables of this module"
    raise ValueError(msg)


def momenta(objects: Any, **more: Any) -> Any:
    """Four-momenta, whatever collection they come from, with the named fields."""
    momentum = {name: ak.values_astype(objects[name], np.float64) for name in ("pt", "eta", "phi", "mass")}
    return ak.zip({**momentum, **more}, with_name="PtEtaPhiMLorentzVector", behavior=vector.behavior)


def scaled(objects: Any, factor: Any) -> Any:
    """Multiply the energies and keep the directions and all other fields."""
    more = {name: objects[name] for name in ak.fields(objects)}
    more |= {"pt": objects.pt * factor, "mass": objects.mass * factor}
    return ak.zip(more, with_name="PtEtaPhiMLorentzVector", behavior=vector.behavior)


def numbers(column: Any) -> FloatArray:
    """One double per event."""
    return np.asarray(ak.to_numpy(column, allow_missing=False), dtype=np.float64)


@click.command()
@click.option("--quick", is_flag=True, help="Only the first 1000 events of each dataset.")
def main(quick: bool) -> None:
    """Select the events of the embedded sample and say how many there are."""
    NanoAODSchema.warn_missing_crossrefs = False
    fileset = {**htautau.fileset(), **htautau.pseudodata_fileset()}
    analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
    some = {"chunksize": 1000, "maxchunks": 1} if quick else {}
    runner = Runner(IterativeExecutor(status=False), schema=NanoAODSchema, **some)
    table = run_processor(runner, fileset, TableProcessor(analysis))["table"]
    summary = Table("dataset", *(f"{r.name} ({r.role})" for r in table.regions), title="events / yield")
    for name in table.datasets:
        masks = [table.dataset_mask(name) & region.mask for region in table.regions]
        summary.add_row(name, *(f"{mask.sum()} / {table.weights[mask].sum():.1f}" for mask in masks))
    rich.print(summary)


if __name__ == "__main__":
    main()
