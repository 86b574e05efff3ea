# SPDX-License-Identifier: BSD-3-Clause
"""
What a constraint on the correlations costs an attack, and what few events cost its detector.

Attacks that keep, for example, Pearson's and distance correlations run on the same few events of the
same network, each with a detector of its own (arXiv:2603.13970, sec. 10): what differs is then due to the constraint,
and not to the number of events.  A learning curve beside it shows what more events would do for a detector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from analysis_examples.papers.conservattack.kept import kept
from hepfool.attacks import Attack, AttackResult, run_attack
from hepfool.defences import (
    DefendedClassifier,
    DetectorReport,
    DetectorSettings,
    attack_defended,
    evaluate,
    train_detector,
)
from hepfool.events import EventTable
from hepfool.identity import table_digest
from hepfool.models import TorchClassifier
from hepfool.statistics import distance_correlation_shift
from hepfool.studies import Measured, Splits, completed, split_events
from hepfool.training import Network, TrainingSettings, fit
from hepfool.typing import FloatArray, ProgressCallback

__all__ = ["LimitedAttack", "LimitedData", "LimitedDataPlan", "LimitedRun", "run_limited_data"]

_FEWEST_RUNS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedDataPlan:
    """
    What each independent training does.

    Attributes
    ----------
    network : callable
        Takes the training events, returns an untrained network.
    attacks : mapping of str to Attack
        By name; the first one is that of the learning curve.
    test_attacks : mapping of str to Attack
        By name, the attacks on test events, where their settings are others.
    n_events : (int, int, int)
        Training, validation and test events that are attacked; the network is trained on all training events.
    sizes : tuple of int
        Training events of the detectors of the learning curve, half of them nominal, half fooled; may be empty.
    n_runs : int
        Repetitions, each with its own split, network and detectors; at least 2.
    training : TrainingSettings
        Of the network.
    detector : DetectorSettings
        Of every detector.
    target : {"correct", "all"} or int
        Events to attack.
    fractions : (float, float, float)
        Training, validation and test part of the events; the sum is one.
    adaptive : bool
        Whether each attack is repeated on network and detector together.
    """

    network: Network
    attacks: Mapping[str, Attack]
    test_attacks: Mapping[str, Attack] = field(default_factory=dict)
    n_events: tuple[int, int, int] = (2500, 1000, 1000)
    sizes: tuple[int, ...] = (500, 1000, 2000, 4000)
    n_runs: int = 5
    training: TrainingSettings = field(default_factory=TrainingSettings)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    target: Literal["correct", "all"] | int = "correct"
    fractions: tuple[float, float, float] = (0.5, 0.25, 0.25)
    adaptive: bool = True

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.attacks or self.n_runs < _FEWEST_RUNS:
            msg = f"need at least 1 attack and 2 runs, got {len(self.attacks)} and {self.n_runs}"
            raise ValueError(msg)
        if unknown := set(self.test_attacks) - set(self.attacks):
            msg = f"test_attacks names {sorted(unknown)}, attacks has {sorted(self.attacks)}; the names must be among those"
            raise ValueError(msg)
        if min((*self.n_events, *self.sizes)) < 2 or list(self.sizes) != sorted(set(self.sizes)):
            msg = f"n_events and sizes must be at least 2, sizes in rising order, got {self.n_events} and {self.sizes}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedAttack:
    """
    One attack on few events.

    Attributes
    ----------
    report : DetectorReport
        Its detector on the test events.
    adaptive : DetectorReport, optional
        The same detector on an attack that knew it.
    mean_js_distance : float
        Of the attacked test events from nominal, mean over the features.
    correlation_shift, distance_correlation_shift : float
        Relative Frobenius norm of the change of Pearson's and of the distance correlations of the test events.
    """

    report: DetectorReport
    adaptive: DetectorReport | None
    mean_js_distance: float
    correlation_shift: float
    distance_correlation_shift: float

    def number(self, quantity: str) -> float:
        """
        Look up one number.

        Parameters
        ----------
        quantity : str
            Name of a number here or in the report; behind ``adaptive.`` one of the adaptive report.

        Returns
        -------
        float
            Its value.

        Raises
        ------
        ValueError
            If there was no adaptive attack.
        """
        name = quantity.removeprefix("adaptive.")
        if name == quantity:
            return float(getattr(self if hasattr(self, name) else self.report, name))
        if self.adaptive is None:
            msg = f"the study has no adaptive attacks to give {name}; run it with adaptive=True in its plan"
            raise ValueError(msg)
        return float(getattr(self.adaptive, name))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LimitedRun:
    """
    One repetition.

    Attributes
    ----------
    attacks : mapping of str to LimitedAttack
        By name.
    curve : tuple of DetectorReport
        Detectors of growing training samples, judged on the first attack on all test events.
    """

    attacks: Mapping[str, LimitedAttack]
    curve: tuple[DetectorReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LimitedData:
    """
    All repetitions.

    They draw their events from the same ones, so that errors from their spread are a little too small.

    Attributes
    ----------
    runs : tuple of LimitedRun
        In order.
    n_events : (int, int, int)
        Attacked training, validation and test events.
    sizes : tuple of int
        Training events of the detectors of the learning curve.
    seed : int
        Of everything.
    """

    runs: tuple[LimitedRun, ...]
    n_events: tuple[int, int, int]
    sizes: tuple[int, ...]
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attacks; the first is that of the learning curve."""
        return tuple(self.runs[0].attacks)

    def values(self, attack: str, quantity: str = "corrected_fooling_ratio") -> FloatArray:
        """
        Return a number of every run.

        Parameters
        ----------
        attack : str
            Which attack.
        quantity : str
            As in :meth:`LimitedAttack.number`.

        Returns
        -------
        FloatArray, shape (n_runs,)
            In order.
        """
        return np.array([run.attacks[attack].number(quantity) for run in self.runs])

    def mean(self, attack: str, quantity: str = "corrected_fooling_ratio") -> Measured:
        """
        Average over the runs.

        Parameters
        ----------
        attack : str
            Which attack.
        quantity : str
            As in :meth:`LimitedAttack.number`.

        Returns
        -------
        Measured
            Mean and its standard error.
        """
        return _mean(self.values(attack, quantity))

    def difference(self, attack: str, other: str, quantity: str = "corrected_fooling_ratio") -> Measured:
        """
        Compare two attacks run by run: they share events and network.

        Parameters
        ----------
        attack, other : str
            Which less which.
        quantity : str
            As in :meth:`LimitedAttack.number`.

        Returns
        -------
        Measured
            Mean difference and its standard error.
        """
        return _mean(self.values(attack, quantity) - self.values(other, quantity))

    def learning_curve(self, quantity: str = "auroc") -> tuple[Measured, ...]:
        """
        Average the learning curve.

        Parameters
        ----------
        quantity : str
            Name of a number in :class:`~hepfool.defences.DetectorReport`.

        Returns
        -------
        tuple of Measured
            One for each of ``sizes``.
        """
        numbers = np.array([[getattr(report, quantity) for report in run.curve] for run in self.runs])
        return tuple(_mean(column) for column in numbers.T)


def run_limited_data(
    plan: LimitedDataPlan,
    table: EventTable,
    *,
    seed: int,
    resume: Path | None = None,
    progress: ProgressCallback | None = None,
) -> LimitedData:
    """
    Run all attacks on the same few events, several times.

    Parameters
    ----------
    plan : LimitedDataPlan
        Network, attacks, detector and numbers.
    table : EventTable
        Labelled events to draw from.
    seed : int
        Same seed, same result; runs do not depend on their number.
    resume : pathlib.Path, optional
        Folder of finished runs; nothing is kept by default.
    progress : callable, optional
        Called with the present step and the finished fraction.

    Returns
    -------
    LimitedData
        What was found.

    Raises
    ------
    ValueError
        If there are too few events, or an attack fools too few of them.
    Interrupted
        If an attack or a training was interrupted.
    """
    runs, events = [], table_digest(table)
    for k in range(plan.n_runs):
        key = (replace(plan, n_runs=_FEWEST_RUNS), events, seed, k)
        seeds = np.random.SeedSequence(seed, spawn_key=(k,))
        runs.append(_read(kept(resume, key, partial(_run, plan, table, seeds))))
        if progress is not None:
            progress("Train and attack", len(runs) / plan.n_runs)
    return LimitedData(runs=tuple(runs), n_events=plan.n_events, sizes=plan.sizes, seed=seed)


def _read(run: dict[str, Any]) -> LimitedRun:
    """Make the records of a run from their fields."""

    def report(numbers: dict[str, Any]) -> DetectorReport:
        by_class = {int(label): value for label, value in numbers["clean_efficiency_by_class"].items()}
        return DetectorReport(**{**numbers, "clean_efficiency_by_class": by_class})

    def attack(numbers: dict[str, Any]) -> LimitedAttack:
        adaptive = numbers["adaptive"]
        reports = {"report": report(numbers["report"]), "adaptive": None if adaptive is None else report(adaptive)}
        return LimitedAttack(**{**numbers, **reports})

    attacks = {name: attack(numbers) for name, numbers in run["attacks"].items()}
    return LimitedRun(attacks=attacks, curve=tuple(map(report, run["curve"])))


def _run(plan: LimitedDataPlan, table: EventTable, seeds: np.random.SeedSequence) -> LimitedRun:
    split, training, draw, *seeds_left = (int(number) for number in seeds.generate_state(5))
    splits = split_events(table, plan.fractions, split)
    result = completed(fit(lambda: plan.network(splits[0]), *splits[:2], seed=training, settings=plan.training))
    few = _few(splits, plan.n_events, np.random.default_rng(draw))
    # The same seed for every attack: they differ in nothing else.
    attacks = {name: _limited(plan, name, result.classifier, few, seeds_left[0]) for name in plan.attacks}
    curve = _curve(plan, result.classifier, splits, seeds_left[1]) if plan.sizes else ()
    return LimitedRun(attacks=attacks, curve=curve)


def _few(splits: Splits, n_events: tuple[int, int, int], rng: np.random.Generator) -> Splits:
    parts = []
    for name, part, n in zip(("training", "validation", "test"), splits, n_events, strict=True):
        if n > part.n_events:
            msg = f"n_events asks for {n} {name} events, there are {part.n_events}; ask for fewer or give more events"
            raise ValueError(msg)
        parts.append(part.select(np.sort(rng.choice(part.n_events, n, replace=False))))
    return parts[0], parts[1], parts[2]


def _limited(plan: LimitedDataPlan, name: str, classifier: TorchClassifier, few: Splits, seed: int) -> LimitedAttack:
    rng = np.random.default_rng(seed)
    *known, test = _attacked(plan, name, classifier, few, rng)
    detector = completed(train_detector(*known, seed=seed, settings=plan.detector))
    adaptive = None
    if plan.adaptive:
        defended = DefendedClassifier(classifier=classifier, detector=detector)
        attacked = attack_defended(test.attack, defended, few[2], rng=rng, target=plan.target, naive=test)
        completed(attacked.adaptive_result)
        adaptive = attacked.adaptive
    found = test.compatibility
    return LimitedAttack(
        report=evaluate(detector, test),
        adaptive=adaptive,
        mean_js_distance=found.mean_js_distance,
        correlation_shift=found.correlation_shift,
        distance_correlation_shift=distance_correlation_shift(test.nominal, test.adversarial),
    )


def _curve(plan: LimitedDataPlan, classifier: TorchClassifier, splits: Splits, seed: int) -> tuple[DetectorReport, ...]:
    """Train on growing parts of one attack; validation and test events stay the same."""
    rng = np.random.default_rng(seed)
    train, validation, test = _attacked(plan, next(iter(plan.attacks)), classifier, splits, rng)
    nominal, fooled = (rng.permutation(events) for events in (train.nominal.n_events, np.flatnonzero(train.fooled)))
    if max(plan.sizes) // 2 > min(len(nominal), len(fooled)):
        msg = (
            f"sizes asks for {max(plan.sizes) // 2} nominal and as many fooled training events, there are "
            f"{len(nominal)} and {len(fooled)}; ask for smaller sizes or give more events"
        )
        raise ValueError(msg)
    reports = []
    for size in plan.sizes:
        chosen = np.isin(np.arange(train.nominal.n_events), fooled[: size // 2])
        clean = train.nominal.select(np.sort(nominal[: size // 2]))
        detector = train_detector(
            replace(train, fooled=chosen),
            validation,
            seed=seed,
            clean=(clean, validation.nominal),
            settings=plan.detector,
        )
        reports.append(evaluate(completed(detector), test))
    return tuple(reports)


def _attacked(
    plan: LimitedDataPlan, name: str, classifier: TorchClassifier, splits: Splits, rng: np.random.Generator
) -> tuple[AttackResult, AttackResult, AttackResult]:
    known = plan.attacks[name]
    attacks = (known, known, plan.test_attacks.get(name, known))
    first, second, third = (
        completed(run_attack(attack, classifier, part, rng=rng, target=plan.target))
        for attack, part in zip(attacks, splits, strict=True)
    )
    return first, second, third


def _mean(values: FloatArray) -> Measured:
    return Measured(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))))
