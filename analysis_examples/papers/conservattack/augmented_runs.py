# SPDX-License-Identifier: BSD-3-Clause
"""
Find out whether adversarial events help where training events are few.

For each seed a network is trained on few events and attacked on them; the successes are added, and a network is
trained from scratch (arXiv:2603.13970, sec. 6).  The control adds the same number of the same
events, displaced at random by as much: what it gains is due to more and smeared events, not to the attack.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from analysis_examples.papers.conservattack.kept import kept
from hepfool.attacks import Attack, AttackResult, Noise, run_attack, travel
from hepfool.defences import successes
from hepfool.events import EventTable
from hepfool.identity import table_digest
from hepfool.models import Classifier, TorchClassifier
from hepfool.studies import completed
from hepfool.training import Network, TrainingSettings, auroc, fit
from hepfool.typing import ProgressCallback

__all__ = ["Augmentation", "AugmentationPlan", "AugmentedRun", "PairedGain", "noisy_control", "run_augmentation"]

_FEWEST_SEEDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationPlan:
    """
    What is done for each seed.

    Attributes
    ----------
    network : callable
        Builds an untrained network for training events.
    attack : Attack
        On the training events.
    n_train : int, optional
        Training events drawn anew for each seed; all of them by default, and then only the training differs.
    n_seeds : int
        Repetitions, at least 2.
    training : TrainingSettings
        Of every network.
    target : {"correct"} or int
        Events to attack.
    """

    network: Network
    attack: Attack
    n_train: int | None = None
    n_seeds: int = 10
    training: TrainingSettings = field(default_factory=TrainingSettings)
    target: Literal["correct"] | int = "correct"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.n_seeds < _FEWEST_SEEDS or (self.n_train is not None and self.n_train < 1):
            msg = f"need at least 2 seeds and 1 training event, got {self.n_seeds} and {self.n_train}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentedRun:
    """
    One repetition.

    Attributes
    ----------
    baseline, augmented, control : float
        Area under the ROC curve of clean test events without added events, with adversarial and with noisy ones.
    n_train, n_added : int
        Training events before, and events added to them.
    fooling_ratio : float
        Of the attack on the training events.
    """

    baseline: float
    augmented: float
    control: float
    n_train: int
    n_added: int
    fooling_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedGain:
    """
    Mean difference of two areas over seeds.

    Attributes
    ----------
    mean, error : float
        Mean, and its standard error from the spread of the differences; all seeds share the test events.
    p_value : float
        Two-sided, of Student's test that the mean is zero.
    n_better, n_seeds : int
        Seeds with a positive difference, and all.
    """

    mean: float
    error: float
    p_value: float
    n_better: int
    n_seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """
    All repetitions.

    Attributes
    ----------
    runs : tuple of AugmentedRun
        One per seed.
    n_test : int
        Clean test events, the same for all.
    seed : int
        Of everything.
    """

    runs: tuple[AugmentedRun, ...]
    n_test: int
    seed: int

    def gain(
        self,
        kind: Literal["baseline", "augmented", "control"] = "augmented",
        over: Literal["baseline", "augmented", "control"] = "baseline",
    ) -> PairedGain:
        """
        Compare two kinds of training, seed by seed.

        Parameters
        ----------
        kind, over : {"baseline", "augmented", "control"}
            Which area less which; the attack itself is worth ``gain("augmented", "control")``.

        Returns
        -------
        PairedGain
            Mean difference with its error.
        """
        differences = np.array([getattr(run, kind) - getattr(run, over) for run in self.runs])
        n_seeds, spread = len(differences), differences.std(ddof=1)
        # Student's test has no answer where every difference is the same.
        p_value = stats.ttest_1samp(differences, 0.0).pvalue if spread > 0 else float(not differences.any())
        return PairedGain(
            mean=float(differences.mean()),
            error=float(spread / np.sqrt(n_seeds)),
            p_value=float(p_value),
            n_better=int((differences > 0).sum()),
            n_seeds=n_seeds,
        )


def run_augmentation(
    plan: AugmentationPlan,
    train: EventTable,
    validation: EventTable,
    test: EventTable,
    *,
    seed: int,
    resume: Path | None = None,
    progress: ProgressCallback | None = None,
) -> Augmentation:
    """
    Train without, with adversarial and with noisy events, for every seed.

    Parameters
    ----------
    plan : AugmentationPlan
        Network, attack and numbers.
    train : EventTable
        Events to draw the training events from.
    validation, test : EventTable
        Clean labelled events.
    seed : int
        Same seed, same result; the three trainings of a repetition start from the same random state.
    resume : pathlib.Path, optional
        Folder of finished seeds; nothing is kept by default.
    progress : callable, optional
        Called with the present step and the finished fraction.

    Returns
    -------
    Augmentation
        Areas under the ROC curve.

    Raises
    ------
    ValueError
        If there are too few training events, or an attack fools none.
    Interrupted
        If a training or an attack was interrupted.
    """
    if plan.n_train is not None and plan.n_train > train.n_events:
        msg = f"n_train {plan.n_train} exceeds the {train.n_events} events to draw from; give more events"
        raise ValueError(msg)
    runs, events = [], [table_digest(part) for part in (train, validation, test)]
    for k, rng in enumerate(np.random.default_rng(seed).spawn(plan.n_seeds)):
        key = (replace(plan, n_seeds=_FEWEST_SEEDS), events, seed, k)
        run = kept(resume, key, partial(_run, plan, train, validation, test, rng))
        runs.append(AugmentedRun(**run))
        if progress is not None:
            progress("Train and attack", len(runs) / plan.n_seeds)
    return Augmentation(runs=tuple(runs), n_test=test.n_events, seed=seed)


def noisy_control(result: AttackResult, classifier: Classifier, *, rng: np.random.Generator) -> EventTable:
    """
    Displace the fooled events at random instead, by as much as the attack did.

    Parameters
    ----------
    result : AttackResult
        The attack.
    classifier : Classifier
        The attacked network; the displacements do not depend on it.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    EventTable
        The same events, each feature moved by a normal random number whose standard deviation is the
        root mean square of the attack's moves of that feature.
    """
    nominal, fooled = result.nominal, result.fooled
    moves = travel(nominal.features, nominal.values, result.adversarial.values)[fooled]
    present = np.maximum((~np.isnan(moves)).sum(axis=0), 1)
    sizes = np.sqrt(np.nansum(moves**2, axis=0) / present)
    noise = Noise(size=tuple(sizes.tolist()), shape="normal", unit="absolute", n_bins=result.attack.n_bins)
    return run_attack(noise, classifier, nominal, rng=rng, target=fooled).adversarial.select(fooled)


def _run(
    plan: AugmentationPlan, train: EventTable, validation: EventTable, test: EventTable, rng: np.random.Generator
) -> AugmentedRun:
    events = replace(train, shape_variations={})
    if plan.n_train is not None:
        events = events.select(np.sort(rng.choice(train.n_events, plan.n_train, replace=False)))
    seed = int(rng.integers(2**31))

    def trained(*added: EventTable) -> tuple[TorchClassifier, float]:
        sample = EventTable.concatenate([events, *added])
        result = completed(fit(lambda: plan.network(sample), sample, validation, seed=seed, settings=plan.training))
        scores = result.classifier.scores(test.network_values)
        return result.classifier, auroc(test.labels, scores, test.weights)

    classifier, baseline = trained()
    attacked = completed(run_attack(plan.attack, classifier, events, rng=rng, target=plan.target))
    added = successes(attacked)
    if not added.n_events:
        msg = "the attack fooled no training event, so there is nothing to add; use a stronger attack"
        raise ValueError(msg)
    return AugmentedRun(
        baseline=baseline,
        augmented=trained(added)[1],
        control=trained(noisy_control(attacked, classifier, rng=rng))[1],
        n_train=events.n_events,
        n_added=added.n_events,
        fooling_ratio=attacked.fooling_ratio,
    )
