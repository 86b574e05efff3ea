# SPDX-License-Identifier: BSD-3-Clause
r"""
H → ττ in the lepton-hadron channel: a complete analysis to copy from.

From top to bottom: the network's inputs, the branches of different NanoAOD
versions, and :class:`HiggsToTauTau`, which selects objects and events, computes the
inputs, repeats that for every energy scale, and weights the events.  It runs on
the sample of :mod:`hepfool.samples.htautau` and on CMS NanoAOD.

Choices of this analysis that matter to an attack:

* Nine inputs are measured, five follow from them and are declared so: an attack moves the
  measured ones, and the visible mass stays the mass of this lepton and this tau.
* Two control regions: W + jets above a transverse mass of 70 GeV, tt̄ with a b jet; the
  signal lies below 70 GeV without one.  What the inputs decide of the selection stands in
  the ``cuts`` of the regions, which attacked events do not cross.
* Inputs that do not exist, such as the mass of two jets in an event with one,
  are missing (NaN) and stay missing; the number of jets, which decides that, is fixed.
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
from hepfool.features import Derived, Feature, FeatureSpace
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

#: Directions are those of an event turned and mirrored such that the lepton lies at azimuth 0 and the tau between 0 and π.
FEATURES = FeatureSpace(
    [
        Feature(name="lepton_pt", label=r"lepton $p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(name="tau_pt", label=r"$\tau_\mathrm{h}$ $p_\mathrm{T}$", unit="GeV", lower=0.0),
        Feature(
            name="delta_eta", label=r"$|\Delta\eta(\ell, \tau_\mathrm{h})|$", lower=0.0, upper=LEPTON_ETA + TAU_ETA
        ),
        Feature(name="delta_phi", label=r"$|\Delta\phi(\ell, \tau_\mathrm{h})|$", unit="rad", lower=0.0, upper=np.pi),
        Feature(name="met_parallel", label=r"$p_\mathrm{T}^\mathrm{miss}$ along the lepton", unit="GeV"),
        Feature(
            name="met_perpendicular", label=r"$p_\mathrm{T}^\mathrm{miss}$ towards the $\tau_\mathrm{h}$", unit="GeV"
        ),
        Feature(name="n_jets", label="number of jets", lower=0.0, kind="fixed"),
        Feature(name="lead_jet_pt", label=r"leading jet $p_\mathrm{T}$", unit="GeV", lower=JET_PT),
        Feature(name="dijet_mass", label=r"$m_\mathrm{jj}$", unit="GeV", lower=0.0),
        Feature(
            name="met",
            label=r"$p_\mathrm{T}^\mathrm{miss}$",
            unit="GeV",
            lower=0.0,
            derived=Derived.by("hypot(met_parallel, met_perpendicular)"),
        ),
        Feature(
            name="mt",
            label=r"$m_\mathrm{T}(\ell, p_\mathrm{T}^\mathrm{miss})$",
            unit="GeV",
            lower=0.0,
            derived=Derived.by("sqrt(2 * lepton_pt * max(hypot(met_parallel, met_perpendicular) - met_parallel, 0))"),
        ),
        Feature(
            name="visible_mass",
            label=r"$m_\mathrm{vis}$",
            unit="GeV",
            lower=0.0,
            derived=Derived.by("sqrt(2 * lepton_pt * tau_pt * (cosh(delta_eta) - cos(delta_phi)))"),
        ),
        Feature(
            name="higgs_pt",
            label=r"$p_\mathrm{T}^{\tau\tau}$",
            unit="GeV",
            lower=0.0,
            derived=Derived.by(
                "hypot(lepton_pt + tau_pt * cos(delta_phi) + met_parallel, tau_pt * sin(delta_phi) + met_perpendicular)"
            ),
        ),
        Feature(
            name="delta_r",
            label=r"$\Delta R(\ell, \tau_\mathrm{h})$",
            lower=0.0,
            derived=Derived.by("hypot(delta_eta, delta_phi)"),
        ),
    ]
)

#: What of the selection the inputs decide.
SELECTED = {"lepton_pt": (LEPTON_PT, np.inf), "tau_pt": (TAU_PT, np.inf), "delta_r": (OVERLAP, np.inf)}
HIGH_MT, LOW_MT = {"mt": (CONTROL_MT, np.inf)}, {"mt": (-np.inf, CONTROL_MT)}


class Objects(NamedTuple):
    """Lepton, tau, jets and missing momentum of each event, and how many b jets it has."""

    lepton: Any
    tau: Any
    jets: Any
    met: Any
    n_b_jets: Any


@dataclass(frozen=True)
class HiggsToTauTau:
    """
    One lepton and one hadronic tau of opposite charge.

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
        high_mt, b_jet = nominal[:, FEATURES.index("mt")] >= CONTROL_MT, numbers(objects.n_b_jets) > 0
        return EventTable.from_arrays(
            nominal,
            features=FEATURES,
            labels=np.full(len(nominal), label),
            sentinel=MISSING,  # what the network was trained with
            dataset=metadata["dataset"],
            weights=weights.weight(),
            regions=(
                Region("high_mt", ~b_jet & high_mt, "control", cuts=SELECTED | HIGH_MT),
                Region("b_jet", b_jet, "control", cuts=SELECTED),
                Region("low_mt", ~b_jet & ~high_mt, "signal", cuts=SELECTED | LOW_MT),
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
    return Objects(lepton, tau, jets, met_momentum, ak.num(b_jets)), selection.all()


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
    lepton, tau, jets, met, _ = objects
    jet_scale = 0.01 + 0.5 / jets.pt + 0.02 * (abs(jets.eta) > B_JET_ETA)
    soft = -(met + lepton + tau + jets.sum(axis=1))
    varied = {"nominal": objects}
    for direction, sign in (("up", 1.0), ("down", -1.0)):
        tau_shift, jet_shift = sign * TAU_SCALE, sign * jet_scale
        shifted_jets = scaled(jets, 1.0 + jet_shift)
        varied[f"tau_energy_{direction}"] = objects._replace(
            tau=scaled(tau, 1.0 + tau_shift), met=met - tau * tau_shift
        )
        varied[f"jet_energy_{direction}"] = objects._replace(
            jets=shifted_jets, met=met - shifted_jets.sum(axis=1) + jets.sum(axis=1)
        )
        varied[f"unclustered_energy_{direction}"] = objects._replace(met=met - sign * UNCLUSTERED_SCALE * soft)
    return varied


def compute_features(objects: Objects) -> dict[str, Any]:
    """All inputs of the network from one version of the objects, None where one does not exist."""
    lepton, tau, all_jets, met, _ = objects
    jets = all_jets[all_jets.pt > JET_PT]
    pair = leading(jets, 2)
    towards, from_lepton = tau.delta_phi(lepton), met.delta_phi(lepton)
    measured = {
        "lepton_pt": lepton.pt,
        "tau_pt": tau.pt,
        "delta_eta": abs(tau.eta - lepton.eta),
        "delta_phi": abs(towards),
        "met_parallel": met.pt * np.cos(from_lepton),
        "met_perpendicular": met.pt * np.sin(from_lepton) * ak.where(towards < 0.0, -1.0, 1.0),
        "n_jets": ak.num(jets),
        "lead_jet_pt": pair[:, 0].pt,
        "dijet_mass": (pair[:, 0] + pair[:, 1]).mass,
    }
    derived = {feature.name: feature.derived for feature in FEATURES if feature.derived is not None}
    following = {name: how.function(*(numbers(measured[one]) for one in how.inputs)) for name, how in derived.items()}
    return measured | following


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
