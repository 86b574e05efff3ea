# SPDX-License-Identifier: BSD-3-Clause
"""
One independent training with its attacks and its detector, kept in a folder.

Network, attacks and detector go to files named by the digest of everything
they depend on: what is there already is read, never computed again, and what belongs to
another study is never mistaken for it.  No file holds pickled code.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from hepfool._interrupts import completed
from hepfool._settings import DetectorSettings
from hepfool.attacks.base import Attack, AttackResult, run_attack
from hepfool.defences._detector import Detector, read_detector, train_detector, write_detector
from hepfool.events import Envelope, EventTable
from hepfool.identity import identity, table_digest
from hepfool.io._finished import WorkFolder, kept_or_none, key_of
from hepfool.models._modules import strip_activation
from hepfool.models.protocols import Classifier
from hepfool.models.pytorch import TorchClassifier
from hepfool.statistics.marginals import Binning
from hepfool.training import Network, TrainingSettings, fit

#: Training, validation and test events.
Splits = tuple[EventTable, EventTable, EventTable]

_STAGES = ("network", "training", "validation", "detector")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """
    What each independent training does.

    Attributes
    ----------
    network : callable
        Takes the training events, returns an untrained network, such as
        ``lambda table: donut(preprocessing=Standardise.of(table))``.
    attack : Attack
        Runs on all three splits.
    target : {"correct", "all"} or int
        Events to attack.
    fractions : (float, float, float)
        Training, validation and test part of the events; the sum is one.
    adaptive : bool
        Whether the test events are also attacked by an attack that knows the run's detector.
    binning, envelope : callable, optional
        Give the bins of the marginals and the per-event bounds from the events of a split; uniform bins and no bounds
        by default.
    """

    network: Network
    attack: Attack
    training: TrainingSettings = field(default_factory=TrainingSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    target: Literal["correct", "all"] | int = "correct"
    fractions: tuple[float, float, float] = (0.5, 0.25, 0.25)
    adaptive: bool = True
    binning: Callable[[EventTable], Binning] | None = None
    envelope: Callable[[EventTable], Envelope | None] | None = None

    def __post_init__(self) -> None:
        """Check the fractions."""
        if not (min(self.fractions) > 0 and np.isclose(sum(self.fractions), 1.0)):
            msg = f"fractions must be positive and sum up to one, got {self.fractions}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A trained network and its detector."""

    classifier: TorchClassifier
    detector: Detector  # trained on the attacks on training and validation events


def split_events(table: EventTable, fractions: tuple[float, float, float], seed: int) -> Splits:
    """
    Draw training, validation and test events with the same fraction of each class.

    Parameters
    ----------
    fractions : (float, float, float)
        Parts; the sum is one.

    Returns
    -------
    tuple of EventTable
        Training, validation and test events.
    """
    train, rest = train_test_split(
        np.arange(table.n_events), train_size=fractions[0], random_state=seed, stratify=table.labels
    )
    share = fractions[1] / (fractions[1] + fractions[2])
    validation, test = train_test_split(rest, train_size=share, random_state=seed, stratify=table.labels[rest])
    return table.select(np.sort(train)), table.select(np.sort(validation)), table.select(np.sort(test))


def prepare_run(plan: RunPlan, splits: Splits, *, seed: int, folder: Path) -> Run:
    """Train a network and its detector, as far as the folder does not hold them yet."""
    classifier = _network(plan, splits, _stage_seed(seed, "network"), folder)
    bounds = (digest for table in splits[:2] for digest in _bounds_key(plan, table))
    settings = (repr(plan.attack), repr(plan.target), repr(plan.detector), seed, *bounds)
    key = key_of("detector", classifier.digest, *map(table_digest, splits[:2]), *settings)
    path = WorkFolder(folder).part("detector", key).path
    device = plan.detector.training.device
    detector = kept_or_none(partial(read_detector, device=device), path, what="the training of the detector")
    if detector is None:
        results = [
            attack_events(plan, classifier, table, seed=_stage_seed(seed, stage), folder=folder)
            for stage, table in zip(("training", "validation"), splits, strict=False)
        ]
        trained = train_detector(*results, seed=_stage_seed(seed, "detector"), settings=plan.detector)
        write_detector(completed(trained), path)
        # Always from the file, so that a study that went on gives the same bits.
        detector = read_detector(path, device=device)
    return Run(classifier=classifier, detector=detector)


def attack_events(plan: RunPlan, classifier: Classifier, table: EventTable, *, seed: int, folder: Path) -> AttackResult:
    """Attack a network, as far as the folder does not hold the iterations yet."""
    parts = (repr(plan.attack), repr(plan.target), classifier.digest, table_digest(table), seed)
    key = key_of("attack", *parts, *_bounds_key(plan, table))
    result = run_attack(
        plan.attack,
        classifier,
        table,
        rng=np.random.default_rng(seed),
        target=plan.target,
        envelope=None if plan.envelope is None else plan.envelope(table),
        binning=None if plan.binning is None else plan.binning(table),
        resume=WorkFolder(folder).part("attack", key).path,
    )
    return completed(result)


def _bounds_key(plan: RunPlan, table: EventTable) -> tuple[str, ...]:
    """Name bins and bounds, which are functions, by what they give; nothing where there are none."""
    arrays = [] if plan.binning is None else [plan.binning(table).edges]
    envelope = None if plan.envelope is None else plan.envelope(table)
    if envelope is not None:
        arrays += [envelope.lower, envelope.upper]
    return tuple(map(identity, arrays))


def _network(plan: RunPlan, splits: Splits, seed: int, folder: Path) -> TorchClassifier:
    train, validation, _ = splits
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = strip_activation(plan.network(train), train.n_features)
    # A function has no digest, the network that it builds has one.
    initial = TorchClassifier(start, n_features=train.n_features).digest
    key = key_of("network", initial, repr(plan.training), table_digest(train), table_digest(validation), seed)
    kept = WorkFolder(folder).part("network", key, what="the training of the network")
    state = kept.load(bytes)
    if state is None:
        result = completed(fit(start, train, validation, seed=seed, settings=plan.training))
        state = _parameters(result.classifier)
        kept.save(state)
    network = copy.deepcopy(start)
    network.load_state_dict(torch.load(io.BytesIO(state), map_location="cpu", weights_only=True))
    return TorchClassifier(network, n_features=train.n_features, device=plan.training.device)


def _parameters(classifier: TorchClassifier) -> bytes:
    buffer = io.BytesIO()
    torch.save(classifier.module.state_dict(), buffer)
    return buffer.getvalue()


def _stage_seed(seed: int, stage: str) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(_STAGES.index(stage),)).generate_state(1)[0])
