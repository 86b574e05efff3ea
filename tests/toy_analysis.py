# SPDX-License-Identifier: BSD-3-Clause
"""A small analysis, network and attack to run through coffea, and files to run them on."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import awkward as ak
import cloudpickle
import numpy as np
import uproot

from hepfool.attacks import AttackProblem
from hepfool.events import UNLABELLED, EventTable, Region
from hepfool.features import Feature, FeatureSpace
from hepfool.processors import feature_matrix, leading
from hepfool.typing import FloatArray, IntArray

# Workers cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class ToyAnalysis:
    """Events with a lepton; jets may be missing; simulation and data by metadata."""

    min_pt: float = 20.0

    @property
    def features(self) -> FeatureSpace:
        return FeatureSpace(
            [
                Feature(name="lepton_pt", unit="GeV", lower=0.0),
                Feature(name="met", unit="GeV", lower=0.0),
                Feature(name="jet_pt", unit="GeV", lower=0.0),
            ]
        )

    def build(self, events: Any) -> EventTable:
        metadata = events.metadata
        leptons = ak.zip({"pt": events.lepton_pt})
        events, leptons = events[ak.num(leptons) > 0], leptons[ak.num(leptons) > 0]
        passing = leading(leptons, 1)[:, 0].pt > self.min_pt
        events, leptons = events[passing], leptons[passing]
        jets = leading(ak.zip({"pt": events.jet_pt}), 1)[:, 0]
        columns = {"lepton_pt": leading(leptons, 1)[:, 0].pt, "met": events.met, "jet_pt": jets.pt}
        values = feature_matrix(columns, self.features)
        scaled = feature_matrix({**columns, "jet_pt": 1.05 * jets.pt}, self.features)
        weights = np.asarray(ak.to_numpy(events.weight), dtype=np.float64)
        return EventTable.from_arrays(
            values,
            features=self.features,
            labels=np.full(len(values), metadata.get("label", UNLABELLED)),
            weights=weights,
            sentinel=-999.0,
            dataset=metadata["dataset"],
            regions=(
                Region("low_met", values[:, 1] < 40.0, "control", {"met": (0.0, 40.0)}),
                Region("high_met", values[:, 1] >= 40.0, "signal", {"met": (40.0, np.inf)}),
            ),
            shape_variations={"jet_energy_up": scaled},
            weight_variations={"pileup_up": 1.1 * weights},
        )


@dataclass(frozen=True)
class FaultyAnalysis(ToyAnalysis):
    """The same, but once, at the first chunk of a file, something happens; and every chunk takes a while."""

    fault: Literal["none", "exit", "memory", "always exit"] = "none"
    flag: str = ""
    at: str = "signal_2.root"
    seconds: float = 0.0

    def build(self, events: Any) -> EventTable:
        time.sleep(self.seconds)
        if self.fault != "none" and events.metadata["filename"].endswith(self.at):
            self._fail()
        return super().build(events)

    def _fail(self) -> None:
        if self.fault == "memory":
            msg = "Unable to allocate 40 GiB"
            raise MemoryError(msg)
        if self.fault == "always exit" or not Path(self.flag).exists():
            Path(self.flag).touch()
            os._exit(1)


@dataclass(frozen=True)
class Logistic:
    """Logistic regression by hand."""

    slope: tuple[float, ...] = (0.02, 0.03, -0.01)
    n_classes: int = 2
    n_features: int = 3
    digest: str = "toy"

    def scores(self, values: FloatArray) -> FloatArray:
        signal = 1.0 / (1.0 + np.exp(-(np.clip(values, 0.0, None) @ np.array(self.slope) - 1.5)))
        return np.stack([1.0 - signal, signal], axis=1)

    def predict(self, values: FloatArray) -> IntArray:
        return (self.scores(values)[:, 1] > 0.5).astype(np.int64)


@dataclass(frozen=True)
class Sloped(Logistic):
    """With the gradient that the attack needs."""

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        sign = np.where(labels == 1, 1.0, -1.0)
        log_odds = np.clip(values, 0.0, None) @ np.array(self.slope) - 1.5
        return sign * log_odds, sign[:, None] * np.array(self.slope) * (values > 0.0)

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        margin, gradient = self.margin_and_gradient(values, labels)
        return np.logaddexp(0.0, -margin), -gradient / (1.0 + np.exp(margin))[:, None]


@dataclass(frozen=True)
class Push:
    """Move every attacked value by a random part of a bin against its class."""

    n_iterations: int = 2
    n_bins: int = 20

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        width = np.diff(problem.binning.edges[:, :2], axis=1)[:, 0]
        sign = np.where(problem.classes == 1, -1.0, 1.0)[:, None]
        moved = problem.bounds.clip(values + sign * width * rng.random(values.shape))
        return np.where((problem.attacked & ~problem.frozen)[:, None], moved, values)


#: Number of events, seed, and mean of the missing momentum in GeV.
FILES = {
    "signal_1.root": (300, 1, 60.0),
    "signal_2.root": (300, 2, 60.0),
    "background.root": (400, 3, 30.0),
    "empty.root": (0, 4, 30.0),
    "data.root": (200, 5, 40.0),
}


def write_events(path: Path, n: int, seed: int, met: float) -> None:
    rng = np.random.default_rng(seed)
    n_lepton, n_jet = rng.integers(0, 3, n), rng.integers(0, 4, n)
    content = {
        "lepton_pt": ak.unflatten(10 + rng.exponential(30, n_lepton.sum()), n_lepton),
        "jet_pt": ak.unflatten(20 + rng.exponential(40, n_jet.sum()), n_jet),
        "met": rng.exponential(met, n),
        "weight": rng.choice([1.0, 1.0, 1.0, -0.5], n),
    }
    types = {name: ak.type(array).content if name.endswith("_pt") else array.dtype for name, array in content.items()}
    with uproot.recreate(path) as file:
        file.mktree("Events", types).extend(content)


def toy_fileset(folder: Path) -> dict[str, Any]:
    """Two files of signal, one of background, an empty one, and one of data."""
    for name, (n, seed, met) in FILES.items():
        write_events(folder / name, n, seed, met)
    return listed(folder)


def listed(folder: str | Path) -> dict[str, Any]:
    """Fileset of what :func:`toy_fileset` wrote."""
    files = {name: str(Path(folder) / name) for name in FILES}
    return {
        "signal": {"files": [files["signal_1.root"], files["signal_2.root"]], "metadata": {"label": 1}},
        "background": {"files": [files["background.root"], files["empty.root"]], "metadata": {"label": 0}},
        "collisions": {"files": [files["data.root"]], "metadata": {"kind": "data"}},
    }
