# SPDX-License-Identifier: BSD-3-Clause
"""
The steps of the procedure, each from earlier results to one result that can be kept.

Every step draws its random numbers from the seed and its own name, so that a step gives the same whether those before
it were done now or taken from the folder of finished steps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.problem import bins_of
from hepfool.defences.adaptive import DefendedClassifier, attack_defended
from hepfool.defences.detector import Detector, train_detector
from hepfool.events import UNLABELLED, Envelope, EventTable
from hepfool.inference import attack_patch, expected_impact, score_templates
from hepfool.interrupts import completed
from hepfool.io.histograms import read_histograms
from hepfool.models.blackbox import with_slopes
from hepfool.models.networks import Standardise, mlp
from hepfool.models.protocols import Classifier, inputs_of
from hepfool.plots.scores import score_histogram
from hepfool.processors.collected import without_blinded
from hepfool.statistics.checks import DetectionTable
from hepfool.statistics.marginals import Binning
from hepfool.studies.cross_run import CrossRuns, run_cross_runs
from hepfool.studies.data_check import check_data
from hepfool.studies.frontier import Frontier, OperatingPoint, run_frontier, scaled_caps
from hepfool.studies.runs import RunPlan
from hepfool.studies.systematics import attack_effect, total
from hepfool.studies.variations import yield_effects
from hepfool.study.inputs import load_network
from hepfool.study.outcome import check_shown, signal_region_envelope, thin
from hepfool.study.outcomes import AdaptiveOutcome, Baseline, EventParts, FitOutcome, SystematicsOutcome
from hepfool.study.plan import Study
from hepfool.study.sources import read_events
from hepfool.summary import FlaggedFraction
from hepfool.training import auroc, fit
from hepfool.typing import ProgressCallback

__all__ = ["WORK", "StepInput"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepInput:
    """
    What a step may read.

    Attributes
    ----------
    configuration : Study
        All settings.
    results : mapping of str to object
        Results of earlier steps by name.
    table, classifier : optional
        Events and network that were passed instead of files.
    scratch : callable
        Gives the path of a file for unfinished work from the end of its name.
    progress : callable
        Takes what is done now and the finished fraction of the step.
    """

    configuration: Study
    results: Mapping[str, Any]
    table: EventTable | None
    classifier: Classifier | None
    scratch: Callable[[str], Path]
    progress: ProgressCallback

    def rng(self, name: str) -> np.random.Generator:
        """
        Random numbers for one purpose.

        Parameters
        ----------
        name : str
            Of the purpose.

        Returns
        -------
        numpy.random.Generator
            The same each time.
        """
        return np.random.default_rng([self.configuration.seed, *hashlib.sha256(name.encode()).digest()[:4]])


def _read_events(given: StepInput) -> EventParts:
    """Read or take the events, and split them."""
    configuration = given.configuration
    everything = read_events(configuration.events) if given.table is None else given.table
    simulated = everything.labels != UNLABELLED
    chosen = everything.select(simulated)
    if configuration.events is not None:
        chosen = thin(chosen, configuration.events.max_events, seed=configuration.seed)
    check_shown(chosen)
    data = without_blinded(everything.select(~simulated), unblind=False)
    parts = _split(chosen, configuration.split.train, configuration.split.validation, given.rng("split"))
    return EventParts(simulation=parts, data=data if data.n_events else None)


def _split(table: EventTable, train: float, validation: float, rng: np.random.Generator) -> dict[str, EventTable]:
    """Divide the events of every dataset alike."""
    part = np.empty(table.n_events, dtype=np.int64)
    for dataset in range(len(table.datasets)):
        events = rng.permutation(np.flatnonzero(table.dataset_index == dataset))
        first, second = (round(fraction * len(events)) for fraction in (train, train + validation))
        part[events[:first]], part[events[first:second]], part[events[second:]] = 0, 1, 2
    return {name: table.select(part == k) for k, name in enumerate(("train", "validation", "test"))}


def _load_or_train(given: StepInput) -> Baseline:
    """Read the network, or train one."""
    settings, parts = given.configuration.network, given.results["events"].simulation
    classifier: Classifier
    if given.classifier is not None:
        classifier = given.classifier
    elif settings.file is not None:
        classifier = with_slopes(load_network(settings), parts["test"])
    else:
        train = parts["train"]
        if not min(train.n_events, parts["validation"].n_events):
            msg = "split: a network needs training and validation events; name the file of a trained one, or split otherwise"
            raise ValueError(msg)
        trained = fit(
            partial(_untrained, train, hidden=settings.hidden),
            train,
            parts["validation"],
            seed=given.configuration.seed,
            settings=settings.training,
            progress=given.progress,
        )
        classifier = completed(trained).classifier
    test = parts["test"]
    several = len(np.unique(test.labels)) == classifier.n_classes
    area = auroc(test.labels, classifier.scores(inputs_of(classifier, test)), test.weights) if several else float("nan")
    return Baseline(classifier=classifier, auroc=area)


def _untrained(train: EventTable, *, hidden: tuple[int, ...]) -> nn.Module:
    n_classes = int(train.labels.max()) + 1
    outputs = n_classes if n_classes > 2 else 1
    return mlp(train.n_features, hidden, n_outputs=outputs, preprocessing=Standardise.of(train))


def _attack_parts(given: StepInput) -> dict[str, AttackResult]:
    """Attack the test part, and for a detector the others."""
    configuration, parts = given.configuration, given.results["events"].simulation
    names = ["test"] if configuration.detector is None else ["train", "validation", "test"]
    results = {}
    for k, name in enumerate(names):

        def tell(found: str, fraction: float, before: int = k) -> None:
            given.progress(found, (before + fraction) / len(names))

        result = run_attack(
            configuration.attack,
            given.results["baseline"].classifier,
            parts[name],
            rng=given.rng(f"attack {name}"),
            target=configuration.target,
            envelope=_envelope(configuration, parts[name]),
            binning=_binning(configuration, parts[name]),
            progress=tell,
            resume=given.scratch(f"-{name}"),
        )
        # Times belong to a run, not to its result.
        results[name] = replace(completed(result), history=())
    return results


def _envelope(configuration: Study, table: EventTable) -> Envelope | None:
    return None if configuration.envelope == "none" else signal_region_envelope(table)


def _binning(configuration: Study, table: EventTable) -> Binning:
    bins, n_bins = bins_of(configuration.attack, table), configuration.quantile_bins
    return bins if n_bins is None else bins.united(Binning.quantiles(table, n_bins=n_bins))


def _make_detector(given: StepInput) -> Detector:
    """Train on the attacks on the training and the validation part."""
    settings, attacks = given.configuration.detector, given.results["attack"]
    seed = given.configuration.seed
    detector = train_detector(
        attacks["train"], attacks["validation"], seed=seed, settings=settings, progress=given.progress
    )
    return completed(detector)


def _attack_both(given: StepInput) -> AdaptiveOutcome:
    """Attack network and detector together."""
    configuration, naive = given.configuration, given.results["attack"]["test"]
    classifier, detector = given.results["baseline"].classifier, given.results["detector"]
    outcome = attack_defended(
        configuration.attack,
        DefendedClassifier(classifier=classifier, detector=detector),
        naive.nominal,
        rng=given.rng("adaptive"),
        target=configuration.target,
        envelope=_envelope(configuration, naive.nominal),
        naive=naive,
        resume=given.scratch(""),
    )
    result = completed(outcome.adaptive_result)
    effect = attack_effect(result, classifier, flagged=detector.flags(result.adversarial.network_values))
    return AdaptiveOutcome(effect=effect, naive=outcome.naive, adaptive=outcome.adaptive)


def _measure_systematics(given: StepInput) -> SystematicsOutcome:
    """Measure all variations in the units of the attack."""
    settings, result = given.configuration.systematics, given.results["attack"]["test"]
    classifier, detector = given.results["baseline"].classifier, given.results.get("detector")
    others = tuple(
        effect
        for source in settings.histograms
        for effect in yield_effects(read_histograms(source.file), source.nominal, above=source.above)
    )
    outcome = SystematicsOutcome(sums=result.sums(classifier, detector=detector), others=others)
    if outcome.effects:
        total(outcome.effects, settings.coefficients())  # which checks the correlations
    return outcome


def _compare_data(given: StepInput) -> tuple[FlaggedFraction, ...]:
    """Compare flagged fractions of data and simulation."""
    data, test = given.results["events"].data, given.results["events"].simulation["test"]
    detector: Detector = given.results["detector"]
    if data is None:
        return ()
    wanted = given.configuration.data_regions
    regions = [r.name for r in test.regions if r.constrained] if wanted is None else list(wanted)
    scores = [(table, detector.score(table.network_values)) for table in (data, test)]
    checks = [check_data(*scores, region=name, thresholds=np.array([detector.threshold])) for name in regions]
    return tuple(FlaggedFraction(region=c.region, data=c.data[0], simulation=c.simulation[0]) for c in checks)


def _evaluate_checks(given: StepInput) -> DetectionTable:
    """Find which check would have caught the attack."""
    result: AttackResult = given.results["attack"]["test"]
    settings = given.configuration.checks
    if settings is None:  # pragma: no cover - such a step is not planned
        raise ValueError
    return result.checks(settings, rng=given.rng("checks"))


def _scan_frontier(given: StepInput) -> Frontier:
    """Repeat attack and checks for looser and tighter caps."""
    configuration, result = given.configuration, given.results["attack"]["test"]
    if configuration.frontier is None or configuration.checks is None:  # pragma: no cover - not planned
        raise ValueError
    attacks = scaled_caps(configuration.attack, configuration.frontier.factors)
    return run_frontier(
        attacks,
        given.results["baseline"].classifier,
        result.nominal,
        configuration.checks,
        seed=configuration.seed,
        operating=OperatingPoint(
            result=result, checks=given.results["checks"], envelope=_envelope(configuration, result.nominal)
        ),
        path=given.scratch(""),
        progress=given.progress,
    )


def _repeat_trainings(given: StepInput) -> CrossRuns:
    """Train, attack and detect several times; finished parts stay in the folder of finished steps."""
    configuration, split = given.configuration, given.configuration.split
    if configuration.spread is None or configuration.detector is None:  # pragma: no cover - not planned
        raise ValueError
    parts = given.results["events"].simulation
    plan = RunPlan(
        network=partial(_untrained, hidden=configuration.network.hidden),
        attack=configuration.attack,
        training=configuration.network.training,
        detector=configuration.detector,
        target=configuration.target,
        fractions=(split.train, split.validation, 1.0 - split.train - split.validation),
        adaptive=configuration.adaptive,
        binning=partial(_binning, configuration),
        envelope=None if configuration.envelope == "none" else signal_region_envelope,
    )
    return run_cross_runs(
        plan,
        EventTable.concatenate([parts[name] for name in ("train", "validation", "test")]),
        seed=configuration.seed,
        n_runs=configuration.spread.n_runs,
        n_splits=configuration.spread.n_splits,
        folder=configuration.work_folder / "trainings",
        progress=given.progress,
    )


def _fit_templates(given: StepInput) -> FitOutcome:
    """Bring the attack into the analyst's workspace."""
    settings = given.configuration.fit
    if settings is None:  # pragma: no cover - not planned
        raise ValueError
    workspace = json.loads(settings.workspace.read_text(encoding="utf-8"))
    histogram = score_histogram(
        given.results["systematics"].sums, by="dataset", region=settings.region, n_bins=settings.n_bins
    )
    templates = score_templates(histogram, channel=settings.channel, samples=settings.samples)
    patch = attack_patch(workspace, templates, settings.nuisance)
    return FitOutcome(patch=patch, impact=expected_impact(workspace, patch, optimizer=settings.optimizer))


#: What each step does, by its name.
WORK: Mapping[str, Callable[[StepInput], Any]] = {
    "events": _read_events,
    "baseline": _load_or_train,
    "attack": _attack_parts,
    "detector": _make_detector,
    "adaptive": _attack_both,
    "systematics": _measure_systematics,
    "data_check": _compare_data,
    "checks": _evaluate_checks,
    "frontier": _scan_frontier,
    "spread": _repeat_trainings,
    "fit": _fit_templates,
}
