# SPDX-License-Identifier: BSD-3-Clause
"""
Hidden sensitivity of several architectures on several tasks, with errors from repeated trainings.

Every cell of the grid trains its architecture several times, on the same events with other seeds, and measures each
training with :func:`~analysis_examples.papers.hidden_sensitivity.measure.run_hidden_sensitivity`.  Finished trainings stay in a folder,
named by the digest of everything that they depend on, so that a study goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from analysis_examples.papers.hidden_sensitivity.measure import SensitivitySettings, run_hidden_sensitivity
from analysis_examples.papers.hidden_sensitivity.records import (
    HiddenSensitivity,
    Limits,
    Preservation,
    Quantity,
    Sensitivity,
    SensitivityGrid,
    TrainedSensitivity,
)
from hepfool import certify
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import NotCertifiableError
from hepfool.identity import identity, table_digest
from hepfool.io import WorkFolder, key_of
from hepfool.models import Classifier
from hepfool.studies import ALL_EVENTS, Measured
from hepfool.training import auroc
from hepfool.typing import BoolArray, IntArray, ProgressCallback
from hepfool.worst_case import Certificate

__all__ = ["Architecture", "Task", "Trainer", "run_sensitivity_grid"]

#: Trains on training and validation events under a seed.
Trainer = Callable[[EventTable, EventTable, int], Classifier]

_KIND = "hidden sensitivity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """
    A kind of classifier.

    Attributes
    ----------
    name : str
        Such as ``MLP``.
    train : callable
        Takes training events, validation events and a seed; returns what is attacked.
    settings : str
        All that the training depends on besides events and seed, such as ``repr`` of a settings record; a
        finished training counts as another one if it changes.
    """

    name: str
    train: Trainer
    settings: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """
    Events with their uncertainties, and the architectures that can read them.

    Attributes
    ----------
    name : str
        Such as ``jets``.
    train, validation : EventTable
        Events of the trainings.
    test : EventTable
        Events that are moved, with their ordinary variations as ``shape_variations``.
    envelope : Envelope
        Uncertainties of the test events.
    architectures : tuple of Architecture
        What to train.
    absent : mapping of str to str
        Architectures of other tasks that make no sense here, with the reason.
    settings : SensitivitySettings
        Attack and draws.
    """

    name: str
    train: EventTable
    validation: EventTable
    test: EventTable
    envelope: Envelope
    architectures: tuple[Architecture, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    settings: SensitivitySettings = field(default_factory=SensitivitySettings)

    @property
    def digest(self) -> str:
        """Digest of all events, variations, uncertainties and settings."""
        tables = [table_digest(table) for table in (self.train, self.validation, self.test)]
        return key_of(_KIND, *tables, identity((self.envelope.lower, self.envelope.upper)), repr(self.settings))


def run_sensitivity_grid(
    tasks: Sequence[Task],
    *,
    seed: int,
    n_trainings: int = 3,
    folder: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> SensitivityGrid:
    """
    Train and measure every architecture on every task, several times.

    Parameters
    ----------
    tasks : sequence of Task
        With different names.
    seed : int
        Of trainings, draws and attacks; a training does not depend on the number of trainings or on the other cells.
    n_trainings : int
        Per cell, at least 2.
    folder : str or pathlib.Path, optional
        Where finished trainings stay; without it they are forgotten.
    progress : callable, optional
        Called with each training, in words, and the finished fraction.

    Returns
    -------
    SensitivityGrid
        All measurements.

    Raises
    ------
    ValueError
        If there is no task, fewer than two trainings, a name occurs twice, or a cell cannot be measured.

    Warns
    -----
    UserWarning
        If a file of the folder is damaged; its training is repeated.
    """
    _check(tasks, n_trainings)
    path = None if folder is None else Path(folder)
    if path is not None:
        WorkFolder(path).prepare()
    n_jobs = n_trainings * sum(len(task.architectures) for task in tasks)
    cells: dict[tuple[str, str], tuple[TrainedSensitivity, ...]] = {}
    done = 0
    for task in tasks:
        digest = task.digest
        for architecture in task.architectures:
            found = []
            for k in range(n_trainings):
                found.append(_kept(task, architecture, digest, _seed(seed, k), path))
                done += 1
                if progress is not None:
                    progress(f"{architecture.name} on {task.name}", done / n_jobs)
            cells[task.name, architecture.name] = tuple(found)
    return SensitivityGrid(cells=cells, absent={(t.name, name): why for t in tasks for name, why in t.absent.items()})


def _check(tasks: Sequence[Task], n_trainings: int) -> None:
    if not tasks or n_trainings < 2:
        msg = f"need at least one task and two trainings, for errors from their spread; got {len(tasks)} and {n_trainings}"
        raise ValueError(msg)
    names = [(task.name, name) for task in tasks for name in (*(a.name for a in task.architectures), *task.absent)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = (
            f"architecture {twice[1]!r} occurs twice in task {twice[0]!r}; give tasks and architectures different names"
        )
        raise ValueError(msg)


def _kept(task: Task, architecture: Architecture, digest: str, seed: int, folder: Path | None) -> TrainedSensitivity:
    """Measure one training, unless the folder holds the result."""
    key = key_of(_KIND, digest, architecture.name, architecture.settings, seed)
    what = f"training of {architecture.name!r} on {task.name!r}"
    kept = None if folder is None else WorkFolder(folder).part("sensitivity", key, what=what)
    found = None if kept is None else kept.load(_read)
    if found is not None:
        return found
    try:
        run = _measured(task, architecture, seed)
    except ValueError as error:
        error.add_note(f"in {architecture.name!r} on {task.name!r}, seed {seed}")
        raise
    if kept is not None:
        kept.save(json.dumps(asdict(run)).encode())
    return run


def _measured(task: Task, architecture: Architecture, seed: int) -> TrainedSensitivity:
    classifier = architecture.train(task.train, task.validation, seed)
    rng = np.random.default_rng(seed)
    found = run_hidden_sensitivity(classifier, task.test, task.envelope, rng=rng, settings=task.settings)
    area = auroc(task.test.labels, classifier.scores(task.test.network_values), task.test.weights)
    return TrainedSensitivity(seed=seed, auroc=area, found=found, limits=_limits(task, classifier))


def _limits(task: Task, classifier: Classifier) -> Limits | None:
    """Prove what can be proved of the same events within the same envelope."""
    settings, table = task.settings, task.test
    if not settings.proof_seconds:
        return None
    try:
        found = certify(classifier, table, task.envelope, target="all", seconds=settings.proof_seconds, rng=0)
    except NotCertifiableError:
        return None
    classes = classifier.predict(table.network_values)
    selected = classes == settings.selected_class
    inside = (
        np.ones(table.n_events, dtype=np.bool_) if settings.region == ALL_EVENTS else table.region(settings.region).mask
    )
    sides = [_weights(found, events & inside) for events in (selected, ~selected)]
    total = table.weights[selected & inside].sum()
    return Limits(
        flips=found.limits(_counted(task, classes)),
        yield_shift=(max(found for found, _ in sides) / total, max(proved for _, proved in sides) / total),
        seconds=found.seconds,
    )


def _counted(task: Task, classes: IntArray) -> BoolArray:
    """Mark the events whose flips count."""
    target, labels = task.settings.target, task.test.labels
    if target == "all":
        return np.ones(len(labels), dtype=np.bool_)
    return np.asarray((classes == labels) & (True if target == "correct" else labels == target))


def _weights(certificate: Certificate, events: BoolArray) -> tuple[float, float]:
    """Weight of some events that changes class, and that may at most."""
    if not events.any():
        return 0.0, 0.0
    total = float(certificate.nominal.weights[events].sum())
    found, proved = certificate.limits(events)
    return total * found, total * proved


def _read(content: bytes) -> TrainedSensitivity:
    record = json.loads(content)
    found = record["found"]
    parts: dict[str, Any] = {name: _sensitivity(found[name]) for name in get_args(Quantity)}
    parts |= {name: Preservation(**found[name]) for name in ("attacked", "drawn")}
    limits = record["limits"]
    return TrainedSensitivity(
        seed=record["seed"],
        auroc=record["auroc"],
        found=HiddenSensitivity(**{**found, **parts}),
        limits=None if limits is None else _bracket(limits),
    )


def _bracket(content: dict[str, Any]) -> Limits:
    pairs: dict[str, Any] = {name: tuple(content[name]) for name in get_args(Quantity)}
    return Limits(**{**content, **pairs})


def _sensitivity(content: dict[str, Any]) -> Sensitivity:
    numbers: dict[str, Any] = {name: Measured(**v) if isinstance(v, dict) else float(v) for name, v in content.items()}
    return Sensitivity(**numbers)


def _seed(seed: int, training: int) -> int:
    return int(np.random.SeedSequence(seed, spawn_key=(training,)).generate_state(1)[0])
