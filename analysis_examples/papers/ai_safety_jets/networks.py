# SPDX-License-Identifier: BSD-3-Clause
"""
The two networks of the paper, trained in stages of falling learning rate; finished stages and attacked jets are kept.

A study that was stopped goes on with the first stage that is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import nn

from hepfool import EventTable
from hepfool.contrib.jets import ConstituentSum, high_level_jets
from hepfool.identity import table_digest
from hepfool.models import TorchClassifier, mlp
from hepfool.training import TrainingSettings, fit

__all__ = [
    "EARLY",
    "HIGH",
    "LOW",
    "NETWORKS",
    "STAGES",
    "PresentOnly",
    "Stage",
    "Trained",
    "kept_values",
    "key_of",
    "low_level",
    "train",
]

LOW, HIGH = "Low level", "High level"
LATENT: Final = (256, 256, 64)
HIDDEN: Final = (256, 256, 256)


class PresentOnly(nn.Module):
    """A network of single constituents that is computed for those with a pt: half the time where half the places are empty."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, constituents: torch.Tensor) -> torch.Tensor:
        """Zeros in empty places, shape (n_events, n_places, n_latent)."""
        present = constituents[..., 0] > 0
        latent = self.network(constituents[present])  # (n_present, n_latent)
        found = latent.new_zeros((*present.shape, latent.shape[1]))
        filled: torch.Tensor = found.index_put(torch.nonzero(present, as_tuple=True), latent)
        return filled


def low_level(n_constituents: int) -> nn.Module:
    """Particle flow network of the paper's size; it starts with pt in units of 100 GeV and angles in units of 0.2."""
    first = ConstituentSum(n_constituents, LATENT, pt_scale=100.0)
    layer = next(module for module in first.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        layer.weight[:, 1:] /= 0.2
    first.phi = nn.Sequential(PresentOnly(first.phi))
    return mlp(LATENT[-1], HIDDEN, batch_norm=False, preprocessing=first)


NETWORKS: Final[dict[str, Callable[[int], nn.Module]]] = {LOW: low_level, HIGH: high_level_jets}


class Stage(NamedTuple):
    """Some epochs at one learning rate."""

    epochs: int
    learning_rate: float


#: Epochs of all networks of the study.
STAGES: Final = (Stage(6, 1e-3), Stage(4, 3e-4), Stage(2, 1e-4))
#: After which a low-level network is kept as one that was trained too little.
EARLY: Final = (1, 3)


class Trained(NamedTuple):
    """A network after its training; ``history`` holds loss and AUROC of the validation jets after each epoch."""

    classifier: TorchClassifier
    early: dict[int, TorchClassifier]
    history: list[tuple[float, float]]
    seconds: float


def train(
    name: str,
    train_jets: EventTable,
    validation: EventTable,
    stages: tuple[Stage, ...],
    *,
    seed: int,
    folder: Path,
    batch_size: int = 100,
    early: tuple[int, ...] = (),
) -> Trained:
    """Train one network, as far as the folder does not hold it; the first stage keeps its early epochs."""
    n_places = train_jets.n_features // 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = NETWORKS[name](n_places)
    key = key_of(name, table_digest(train_jets), table_digest(validation), seed, batch_size)
    history: list[tuple[float, float]] = []
    kept: dict[int, TorchClassifier] = {}
    seconds, classifier = 0.0, TorchClassifier(module, n_features=train_jets.n_features)
    for number, stage in enumerate(stages):
        settings = TrainingSettings(
            max_epochs=stage.epochs,
            batch_size=batch_size,
            learning_rate=stage.learning_rate,
            patience=stage.epochs,
            checkpoints=early if number == 0 else (),
        )
        key = key_of(key, repr(settings))
        path = folder / f"{name.split(maxsplit=1)[0].lower()}-{number + 1}-{key[:12]}.pt"
        if not path.exists():
            found = fit(module, train_jets, validation, seed=seed + number, settings=settings)
            content = {
                "state": found.classifier.module.state_dict(),
                "early": {epoch: each.module.state_dict() for epoch, each in found.checkpoints.items()},
                "history": [(epoch.validation_loss, epoch.validation_auroc) for epoch in found.history],
                "seconds": sum(epoch.seconds for epoch in found.history),
            }
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(content, path.with_suffix(".partial"))
            path.with_suffix(".partial").replace(path)
        content = torch.load(path, weights_only=True)
        for epoch, state in content["early"].items():
            kept[epoch] = _classifier(NETWORKS[name](n_places), state, train_jets)
        classifier = _classifier(module, content["state"], train_jets)
        history += content["history"]
        seconds += content["seconds"]
    return Trained(classifier, kept, history, seconds)


def key_of(*parts: object) -> str:
    """Name work by what it depends on; not by the version of the code, which changes more often than these trainings."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _classifier(module: nn.Module, state: dict[str, torch.Tensor], jets: EventTable) -> TorchClassifier:
    module.load_state_dict(state)
    return TorchClassifier(module, n_features=jets.n_features)


def kept_values(path: Path, jets: EventTable, make: Callable[[], EventTable]) -> EventTable:
    """Attacked jets as they were kept, or make them and keep them."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_suffix(".partial").open("wb") as file:
            np.save(file, make().values)
        path.with_suffix(".partial").replace(path)
    return replace(jets, values=np.load(path))
