# SPDX-License-Identifier: BSD-3-Clause
"""
Retrain a network on events that fooled it, and monitor the loss of performance on clean events.

The cumulative loop of arXiv:2603.13970, sec. 7: each iteration draws the parameters of an attack, adds its
successes on the training events to all earlier ones, and trains from scratch.  Every
decision is taken on validation events: which iteration is best, and when the loss of clean performance is
too large.  Judge the outcome on test events with :func:`hepfool.defences.judge_robustness`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from hepfool._interrupts import completed
from hepfool._ranges import check_counts
from hepfool.attacks._transfer import transferred
from hepfool.attacks.base import Attack, AttackResult, run_attack
from hepfool.events import EventTable
from hepfool.models.protocols import Classifier, inputs_of
from hepfool.models.pytorch import TorchClassifier
from hepfool.statistics._roc import auroc_difference
from hepfool.training import Network, TrainingSettings, auroc, fit
from hepfool.typing import ProgressCallback

#: Gives an attack with new parameters, such as ``RANGES["higgs_retraining"].draw``.
DrawAttack = Callable[[np.random.Generator], Attack]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialTrainingSettings:
    """
    How to train adversarially.

    Attributes
    ----------
    n_iterations : int
        Attacks and trainings after the first training.
    target : {"correct"} or int
        Events to attack: the correctly classified ones, all or of one class.
    against : {"initial", "latest"}
        Whether each iteration attacks the first network, as in the paper, or the one before.
    max_auroc_loss : float
        Loss of the area under the ROC curve of the clean validation events that is too much: the
        loop ends, and the iteration does not count as best.
    """

    n_iterations: int = 10
    training: TrainingSettings = field(default_factory=TrainingSettings)
    target: Literal["correct"] | int = "correct"
    against: Literal["initial", "latest"] = "initial"
    max_auroc_loss: float = 0.01

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_counts(self, "n_iterations")
        if not self.max_auroc_loss >= 0:
            msg = f"max_auroc_loss must not be negative, got {self.max_auroc_loss}"
            raise ValueError(msg)
        if self.against not in {"initial", "latest"}:
            msg = f"against must be 'initial' or 'latest', got {self.against!r}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retraining:
    """One iteration."""

    index: int
    attack: Attack
    n_added: int
    n_train: int
    classifier: TorchClassifier
    fooling_ratio: float
    # Area under the ROC curve of clean validation events: first network less this one; NaN for more than two classes.
    auroc_loss: float
    auroc_loss_error: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdversarialTraining:
    """
    The first network and the iterations of its adversarial training.

    Attributes
    ----------
    initial : TorchClassifier
        Trained on clean events.
    fooling_ratio : float
        White-box, of the first network on validation events.
    auroc : float
        Area under the ROC curve of the first network on clean validation events.
    iterations : tuple of Retraining
        In order; the last may exceed the allowed loss.
    stopped : {"", "auroc", "interrupted"}
        Why there are fewer iterations than planned.
    settings : AdversarialTrainingSettings
        How it was trained.
    """

    initial: TorchClassifier
    fooling_ratio: float
    auroc: float
    iterations: tuple[Retraining, ...]
    stopped: Literal["", "auroc", "interrupted"]
    settings: AdversarialTrainingSettings
    seed: int
    n_validation: int

    @property
    def accepted(self) -> tuple[Retraining, ...]:
        """Iterations within the allowed loss on clean events."""
        return tuple(i for i in self.iterations if i.auroc_loss <= self.settings.max_auroc_loss)

    @property
    def best(self) -> Retraining | None:
        """The accepted iteration with the smallest fooling ratio of validation events, if there is one."""
        return min(self.accepted, key=lambda iteration: iteration.fooling_ratio, default=None)


def train_adversarially(
    network: Network,
    train: EventTable,
    validation: EventTable,
    *,
    draw: DrawAttack,
    judge: Attack,
    seed: int,
    settings: AdversarialTrainingSettings | None = None,
    progress: ProgressCallback | None = None,
) -> AdversarialTraining:
    """
    Run the loop.

    Parameters
    ----------
    network : callable
        Builds an untrained network for training events.
    draw : callable
        Returns the attack on the training events of each iteration.
    judge : Attack
        Attack on the validation events, the same for all iterations.
    progress : callable, optional
        Called with a message on each iteration and the finished fraction.

    Returns
    -------
    AdversarialTraining
        All networks; an interrupt (Ctrl-C) after the first training returns the finished iterations.

    Raises
    ------
    ValueError
        If a training or an attack is impossible.
    """
    settings = AdversarialTrainingSettings() if settings is None else settings
    loop = _Loop(network, replace(train, shape_variations={}), validation, settings, np.random.default_rng(seed))
    initial = loop.train([])
    judged = loop.attack(judge, initial, validation)
    iterations: list[Retraining] = []
    stopped: Literal["", "auroc", "interrupted"] = ""
    added: list[EventTable] = []
    victim = initial
    try:
        while len(iterations) < settings.n_iterations and not stopped:
            attack = draw(loop.rng)
            added.append(successes(loop.attack(attack, victim, loop.clean)))
            iteration = loop.judged(judged, initial, loop.train(added), added, attack)
            iterations.append(iteration)
            victim = initial if settings.against == "initial" else iteration.classifier
            stopped = "auroc" if iteration.auroc_loss > settings.max_auroc_loss else ""
            if progress is not None:
                progress(f"fooled {iteration.fooling_ratio:.1%}", len(iterations) / settings.n_iterations)
    except KeyboardInterrupt:
        stopped = "interrupted"
    return AdversarialTraining(
        initial=initial,
        fooling_ratio=judged.fooling_ratio,
        auroc=auroc(validation.labels, initial.scores(inputs_of(initial, validation)), validation.weights),
        iterations=tuple(iterations),
        stopped=stopped,
        settings=settings,
        seed=seed,
        n_validation=validation.n_events,
    )


def successes(result: AttackResult) -> EventTable:
    """
    Return the adversarial events that fooled the network, with their true labels.

    Returns
    -------
    EventTable
        To be added to training events; may be empty.
    """
    return result.adversarial.select(result.fooled)


def auroc_loss(events: EventTable, before: Classifier, after: Classifier) -> tuple[float, float]:
    """
    Area under the ROC curve that a network has lost on clean events.

    Parameters
    ----------
    events : EventTable
        Labelled clean events that neither network was trained on.

    Returns
    -------
    loss, error : float
        Positive if ``after`` is worse; the error is that of the paired events, NaN for more than two classes.
    """
    first, second = (classifier.scores(inputs_of(classifier, events)) for classifier in (before, after))
    if before.n_classes == 2:
        difference, error = auroc_difference(events.labels, first[:, 1], second[:, 1], events.weights)
        return -difference, error
    return auroc(events.labels, first, events.weights) - auroc(events.labels, second, events.weights), float("nan")


@dataclass(frozen=True, slots=True)
class _Loop:
    """Inputs common to all iterations."""

    network: Network
    clean: EventTable
    validation: EventTable
    settings: AdversarialTrainingSettings
    rng: np.random.Generator

    def train(self, added: list[EventTable]) -> TorchClassifier:
        events = EventTable.concatenate([self.clean, *added])
        seed = int(self.rng.integers(2**31))
        settings = self.settings.training
        return completed(
            fit(lambda: self.network(events), events, self.validation, seed=seed, settings=settings)
        ).classifier

    def attack(self, attack: Attack, classifier: TorchClassifier, events: EventTable) -> AttackResult:
        return completed(run_attack(attack, classifier, events, rng=self.rng, target=self.settings.target))

    def judged(
        self,
        judged: AttackResult,
        initial: TorchClassifier,
        classifier: TorchClassifier,
        added: list[EventTable],
        attack: Attack,
    ) -> Retraining:
        """Compare a network with the first one."""
        loss, error = auroc_loss(self.validation, initial, classifier)
        return Retraining(
            index=len(added),
            attack=attack,
            n_added=added[-1].n_events,
            n_train=self.clean.n_events + sum(part.n_events for part in added),
            classifier=classifier,
            fooling_ratio=transferred(judged, classifier).fooling_ratio,
            auroc_loss=loss,
            auroc_loss_error=error,
        )
