# SPDX-License-Identifier: BSD-3-Clause
"""
The steps of the procedure, each from earlier results to one result that can be kept.

Every step draws its random numbers from the seed and its own name, so that a step gives the same whether those before
it were done now or taken from the folder of finished steps.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn

from hepfool._interrupts import completed
from hepfool.attacks._checks import check_input
from hepfool.attacks._conserv import CONSERVAttack
from hepfool.attacks._problem import bins_of
from hepfool.attacks.base import AttackResult, run_attack
from hepfool.defences._adaptive import DefendedClassifier, attack_defended
from hepfool.defences._detector import Detector, train_detector
from hepfool.events import UNLABELLED, Envelope, EventTable, signal_region_envelope
from hepfool.exceptions import LowStatisticsWarning
from hepfool.explain import explain
from hepfool.inference import attack_patch, expected_impact, score_templates
from hepfool.io._histograms import read_histograms
from hepfool.models._networks import Standardise, mlp
from hepfool.models.blackbox import with_slopes
from hepfool.models.protocols import Classifier, inputs_of
from hepfool.plots._scores import score_histogram
from hepfool.processors._collected import without_blinded
from hepfool.statistics._checks import CheckSettings, DetectionTable
from hepfool.statistics._weights import effective_number
from hepfool.statistics.marginals import Binning
from hepfool.studies._cross_run import CrossRuns, run_cross_runs
from hepfool.studies._frontier import Frontier, OperatingPoint, run_frontier, scaled_caps
from hepfool.studies._runs import RunPlan
from hepfool.studies._systematics import total
from hepfool.studies._variations import yield_effects
from hepfool.study._inputs import load_network
from hepfool.study._outcome import check_shown, thin
from hepfool.study._outcomes import Baseline, EventParts, FitOutcome, SystematicsOutcome, WorstCase
from hepfool.study._plan import FitConfiguration, SpreadConfiguration, Study, WorstCaseConfiguration
from hepfool.study._sources import read_events
from hepfool.summary import flagged_fractions, observed_checks, other_choices, robustness
from hepfool.summary._observed_jointly import observed_jointly
from hepfool.summary._robustness import Robustness
from hepfool.summary.allowed_fraction import allowed_fraction, scaled_size
from hepfool.sums import AttackSums, data_sums
from hepfool.sums._effects import attack_effect
from hepfool.training import auroc, fit
from hepfool.typing import ProgressCallback
from hepfool.worst_case.ladder import ladder


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

    def setting(self, name: str) -> Any:
        """Look up a setting of a step that is done only if it is given."""
        return getattr(self.configuration, name)

    def rng(self, name: str) -> np.random.Generator:
        """Give the same random numbers for one purpose each time."""
        return np.random.default_rng([self.configuration.seed, *hashlib.sha256(name.encode()).digest()[:4]])


def _read_events(given: StepInput) -> EventParts:
    """Read or take the events, and split them."""
    configuration = given.configuration
    everything = read_events(configuration.events) if given.table is None else given.table
    simulated = everything.labels != UNLABELLED
    chosen = _of_own_datasets(everything.select(simulated))
    _remark(configuration, chosen)
    if configuration.events is not None:
        chosen = thin(chosen, configuration.events.max_events, seed=configuration.seed)
    check_shown(chosen)
    data = without_blinded(everything.select(~simulated), unblind=False)
    parts = _split(chosen, configuration.split.train, configuration.split.validation, given.rng("split"))
    return EventParts(simulation=parts, data=data if data.n_events else None)


def _of_own_datasets(table: EventTable) -> EventTable:
    """Forget the datasets without events: a comparison by process takes them for processes."""
    held = tuple(name for name in table.datasets if table.dataset_mask(name).any())
    if held == table.datasets:
        return table
    masks = np.stack([table.dataset_mask(name) for name in held])
    return replace(table, datasets=held, dataset_index=masks.argmax(axis=0))


def _remark(configuration: Study, table: EventTable) -> None:
    """Warn of settings that the simulated events do not need."""
    events, remarks = configuration.events, []
    if events is None:
        return
    if events.max_events is not None and events.max_events > table.n_events:
        remarks.append(f"max_events={events.max_events} changes nothing: there are {table.n_events} events")
    if events.missing_value is not None and not table.missing.any():
        remarks.append(f"missing_value={events.missing_value:g} changes nothing: no feature holds it")
    unused = [name for name, number in (events.classes or {}).items() if number not in table.labels]
    if unused:
        remarks.append(f"classes: no event has the class of {', '.join(unused)}")
    for remark in remarks:
        warnings.warn(remark, UserWarning, stacklevel=2)


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowStatisticsWarning)  # the attack says so
        check_input(classifier, test)
    several = len(np.unique(test.labels)) == classifier.n_classes
    area = auroc(test.labels, classifier.scores(inputs_of(classifier, test)), test.weights) if several else float("nan")
    return Baseline(classifier=classifier, auroc=area, trained=given.classifier is None and settings.file is None)


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
            # What is judged is attacked as by every other way into the package.
            rng=np.random.default_rng(configuration.seed) if name == "test" else given.rng(f"attack {name}"),
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


def _attack_both(given: StepInput) -> AttackSums:
    """Attack network and detector together; sums of the events, of which those that are flagged do not count as fooled."""
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
    return result.sums(classifier, detector=detector)


def _attack_unnoticed(given: StepInput) -> AttackResult:
    """Repeat the attack where the detector's flags are kept too."""
    configuration, naive = given.configuration, given.results["attack"]["test"]
    attack: CONSERVAttack = given.setting("keeping_flags")
    result = run_attack(
        replace(attack, validation=replace(attack.kept, flagged=given.results["detector"])),
        given.results["baseline"].classifier,
        naive.nominal,
        rng=np.random.default_rng(configuration.seed),
        target=configuration.target,
        envelope=_envelope(configuration, naive.nominal),
        progress=given.progress,
        resume=given.scratch(""),
    )
    return replace(completed(result), history=())


#: Comparisons of several inputs with data where no checks are asked for.
_JOINT: Final = ("correlations", "projection")


def _measure_systematics(given: StepInput) -> SystematicsOutcome:
    """Measure all variations in the units of the attack."""
    settings, result = given.configuration.systematics, given.results["attack"]["test"]
    classifier, detector = given.results["baseline"].classifier, given.results.get("detector")
    others = tuple(
        effect
        for source in settings.histograms
        for effect in yield_effects(read_histograms(source.file), source.nominal, above=source.above)
    )
    data: EventTable | None = given.results["events"].data
    seen = None if data is None else data_sums(data, classifier, result.binning, detector=detector)
    checks: CheckSettings | None = given.setting("checks")
    kinds = _JOINT if checks is None else checks.checks
    joint = () if data is None else observed_jointly(result, data, kinds, seed=given.configuration.seed)
    outcome = SystematicsOutcome(
        sums=result.sums(classifier, detector=detector), data=seen, others=others, observed=joint
    )
    if outcome.effects:
        total(outcome.effects, settings.coefficients())  # which checks the correlations
    return outcome


def _evaluate_checks(given: StepInput) -> DetectionTable:
    """Find which check would have caught the attack."""
    result: AttackResult = given.results["attack"]["test"]
    return result.checks(_checks(given), rng=given.rng("checks"), flagged=given.results.get("detector"))


def _checks(given: StepInput) -> CheckSettings:
    """Take all simulated events for the prediction, where the file says nothing else."""
    settings: CheckSettings = given.setting("checks")
    parts = given.results["events"].simulation.values()
    weights = np.concatenate([part.weights[part.constrained] for part in parts])
    if settings.n_simulated is not None or not weights.sum() > 0:
        return settings
    return replace(settings, n_simulated=effective_number(weights))


def _scan_frontier(given: StepInput) -> Frontier:
    """Repeat attack and checks for looser and tighter caps."""
    configuration, result = given.configuration, given.results["attack"]["test"]
    return run_frontier(
        scaled_caps(configuration.attack, given.setting("frontier").factors),
        given.results["baseline"].classifier,
        result.nominal,
        _checks(given),
        seed=configuration.seed,
        operating=OperatingPoint(
            result=result,
            checks=given.results["checks"],
            envelope=_envelope(configuration, result.nominal),
            detector=given.results.get("detector"),
        ),
        resume=given.scratch(""),
        progress=given.progress,
    )


def _change_choices(given: StepInput) -> Robustness:
    """Repeat the attack with one thing changed at a time, and judge as the report does."""
    configuration, result = given.configuration, given.results["attack"]["test"]
    measured: SystematicsOutcome = given.results["systematics"]
    return robustness(
        other_choices(configuration.attack, seed=configuration.seed, n_seeds=given.setting("robustness").n_seeds),
        result,
        given.results["baseline"].classifier,
        detector=given.results.get("detector"),
        envelope=_envelope(configuration, result.nominal),
        thresholds=configuration.thresholds,
        investigated=configuration.investigated,
        progress=given.progress,
        others=measured.others,
        fractions=flagged_fractions(measured.all_sums, configuration.data_regions),
        observed=observed_checks(measured.all_sums),
        correlations=configuration.systematics.coefficients(),
    )


def _bracket_worst_case(given: StepInput) -> WorstCase:
    """Find and prove what rising freedom can do, who carries the attack, and what the data allow of it."""
    settings: WorstCaseConfiguration = given.setting("worst_case")
    result: AttackResult = given.results["attack"]["test"]
    classifier, table = given.results["baseline"].classifier, result.nominal
    signal = tuple(region.name for region in table.regions if region.role == "signal")
    envelope = _envelope(given.configuration, table)
    ladders = tuple(
        ladder(
            classifier,
            table,
            region=region,
            sources=settings.sources,
            attacks={"The attack of this study": result},
            target=given.configuration.target,
            max_boxes=settings.max_boxes,
            seconds=settings.seconds,
            seed=given.configuration.seed,
            progress=given.progress,
            resume=given.scratch(f"-{k}"),
        )
        for k, region in enumerate(settings.regions or signal or (None,))
    )
    explanation = None
    if result.fooled.any():
        explanation = explain(
            result, classifier, sources=settings.sources, envelope=envelope, rng=given.rng("explanation")
        )
    sums: AttackSums = given.results["systematics"].all_sums
    if settings.threat_model is None:
        return WorstCase(ladders=ladders, explanation=explanation)
    allowed = allowed_fraction(sums, threat_model=settings.threat_model, scale=given.results["events"].scale)
    sizes = {} if settings.transfer is None else attack_effect(sums).yield_shift
    scaled = partial(scaled_size, allowed, threat_model=settings.threat_model, transfer=settings.transfer or "")
    shifts = tuple(scaled(abs(sizes[name].value)) for name in signal if name in sizes)
    return WorstCase(ladders=ladders, explanation=explanation, allowed=allowed, sizes=shifts)


def _repeat_trainings(given: StepInput) -> CrossRuns:
    """Train, attack and detect several times; finished parts stay in the folder of finished steps."""
    configuration, split = given.configuration, given.configuration.split
    spread: SpreadConfiguration = given.setting("spread")
    parts = given.results["events"].simulation
    plan = RunPlan(
        network=partial(_untrained, hidden=configuration.network.hidden),
        attack=configuration.attack,
        training=configuration.network.training,
        detector=given.setting("detector"),
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
        n_runs=spread.n_runs,
        n_splits=spread.n_splits,
        resume=configuration.work_folder / "trainings",
        progress=given.progress,
    )


def _fit_templates(given: StepInput) -> FitOutcome:
    """Bring the attack into the analyst's workspace."""
    settings: FitConfiguration = given.setting("fit")
    workspace = json.loads(settings.workspace.read_text(encoding="utf-8"))
    histogram = score_histogram(
        given.results["systematics"].sums, by="dataset", region=settings.region, n_bins=settings.n_bins
    )
    templates = score_templates(histogram, channel=settings.channel, samples=settings.samples)
    patch = attack_patch(workspace, templates, settings.nuisance)
    return FitOutcome(patch=patch, impact=expected_impact(workspace, patch, optimizer=settings.optimizer))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    What the procedure has to know about a step.

    Attributes
    ----------
    name, title : str
        For the machine and for a reader.
    needs : tuple of str
        Steps whose results it reads, if they are wanted.
    settings : tuple of str
        Fields of the configuration that it reads.
    wanted : callable
        Whether a configuration asks for it.
    work : callable, optional
        From earlier results to that of the step; None for the report, which is never kept.
    seconds : callable
        Expected time on one core from the configuration, the number of events and that of features.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    work: Callable[[StepInput], Any] | None = None
    wanted: Callable[[Study], bool] = lambda _: True
    seconds: Callable[[Study, int, int], float] = lambda *_: 5.0


def _attack_seconds(c: Study, n_events: int, n_features: int) -> float:
    return 1.0 + 2e-6 * n_events * n_features * c.attack.n_iterations


def _test_share(c: Study) -> float:
    return 1.0 - c.split.train - c.split.validation


def _check_seconds(c: Study, n_features: int) -> float:
    if c.checks is None:
        return 0.0
    pairs = n_features * (n_features - 1) / 2 if "projection" in c.checks.checks else 0
    trainings = c.checks.n_trainings if "classifier" in c.checks.checks else 0
    return 2.0 + 1e-4 * c.checks.n_toys * (3 * n_features + pairs) + 0.3 * trainings


#: Rough, for a plan: measured on tables of some 10 000 events with some 30 features.
_EPOCH_SECONDS: Final = 2e-5


def _spread_seconds(c: Study, n_events: int, n_features: int) -> float:
    if c.spread is None or c.detector is None:
        return 0.0
    epochs = c.network.training.max_epochs + c.detector.training.max_epochs
    one = 5.0 + _EPOCH_SECONDS * n_events * epochs + 2.0 * _attack_seconds(c, n_events, n_features)
    return c.spread.n_runs * c.spread.n_splits * one


STEPS: Final[tuple[Step, ...]] = (
    Step(
        name="events",
        title="read and split the events",
        work=_read_events,
        settings=("seed", "events", "split"),
    ),
    Step(
        name="baseline",
        title="load or train the network, and judge it",
        work=_load_or_train,
        needs=("events",),
        settings=("seed", "network"),
        seconds=lambda c, n, _: (
            3.0 + (_EPOCH_SECONDS * n * c.network.training.max_epochs if not c.network.file else 0.0)
        ),
    ),
    Step(
        name="attack",
        title="attack",
        work=_attack_parts,
        needs=("events", "baseline"),
        settings=("seed", "attack", "target", "envelope", "quantile_bins"),
        seconds=lambda c, n, d: _attack_seconds(c, int(n * (_test_share(c) if c.detector is None else 1.0)), d),
    ),
    Step(
        name="detector",
        title="train a detector of the attack",
        work=_make_detector,
        needs=("attack",),
        settings=("seed", "detector"),
        wanted=lambda c: c.detector is not None,
        seconds=lambda c, n, _: 2.0 + _EPOCH_SECONDS * n * (c.detector.training.max_epochs if c.detector else 0),
    ),
    Step(
        name="adaptive",
        title="attack network and detector together",
        work=_attack_both,
        needs=("events", "baseline", "attack", "detector"),
        settings=("seed", "attack", "target", "envelope"),
        wanted=lambda c: c.detector is not None and c.adaptive,
        seconds=lambda c, n, d: 2.0 * _attack_seconds(c, int(n * _test_share(c)), d),
    ),
    Step(
        name="keeping_flags",
        title="attack with score and flags kept",
        work=_attack_unnoticed,
        needs=("events", "baseline", "attack", "detector"),
        settings=("seed", "keeping_flags", "target", "envelope"),
        wanted=lambda c: c.keeping_flags is not None,
        seconds=lambda c, n, d: 2.0 * _attack_seconds(c, int(n * _test_share(c)), d),
    ),
    Step(
        name="systematics",
        title="measure the physics systematics in the same units, and data",
        work=_measure_systematics,
        needs=("events", "baseline", "attack", "detector"),
        settings=("seed", "systematics", "checks"),
    ),
    Step(
        name="checks",
        title="find which check would have caught it",
        work=_evaluate_checks,
        needs=("events", "attack", "detector"),
        settings=("seed", "checks"),
        wanted=lambda c: c.checks is not None,
        seconds=lambda c, _, d: _check_seconds(c, d),
    ),
    Step(
        name="frontier",
        title="scan looser and tighter caps",
        work=_scan_frontier,
        needs=("events", "baseline", "attack", "detector", "checks"),
        settings=("seed", "attack", "envelope", "checks", "frontier"),
        wanted=lambda c: c.frontier is not None,
        seconds=lambda c, n, d: (
            (len(c.frontier.factors) if c.frontier else 0)
            * (_attack_seconds(c, int(n * _test_share(c)), d) + _check_seconds(c, d))
        ),
    ),
    Step(
        name="robustness",
        title="change one choice of the attack at a time",
        work=_change_choices,
        needs=("baseline", "attack", "detector", "systematics"),
        settings=(
            "seed",
            "attack",
            "envelope",
            "systematics",
            "data_regions",
            "thresholds",
            "investigated",
            "robustness",
        ),
        wanted=lambda c: c.robustness is not None,
        seconds=lambda c, n, d: (
            (4 + (c.robustness.n_seeds if c.robustness else 0)) * _attack_seconds(c, int(n * _test_share(c)), d)
        ),
    ),
    Step(
        name="worst_case",
        title="bracket the worst case within the envelope",
        work=_bracket_worst_case,
        needs=("events", "baseline", "attack", "detector", "systematics"),
        settings=("seed", "target", "envelope", "worst_case"),
        wanted=lambda c: c.worst_case is not None,
        seconds=lambda c, n, _: 2.0 + 4e-3 * n * _test_share(c),
    ),
    Step(
        name="spread",
        title="repeat training, attack and detector",
        work=_repeat_trainings,
        needs=("events",),
        settings=(
            "seed",
            "split",
            "network",
            "attack",
            "target",
            "envelope",
            "quantile_bins",
            "detector",
            "adaptive",
            "spread",
        ),
        wanted=lambda c: c.spread is not None,
        seconds=_spread_seconds,
    ),
    Step(
        name="fit",
        title="bring the attack into the fit",
        work=_fit_templates,
        needs=("systematics",),
        settings=("fit",),
        wanted=lambda c: c.fit is not None,
        seconds=lambda *_: 30.0,
    ),
    Step(name="report", title="judge, draw and write", seconds=lambda *_: 15.0),
)
