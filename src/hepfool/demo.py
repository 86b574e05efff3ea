# SPDX-License-Identifier: BSD-3-Clause
"""
The main job from end to end, on the sample that comes with the package.

:func:`run_demo` opens the ROOT files with coffea, trains a network, attacks it,
trains a detector of the attack, attacks both together, measures the physics systematics in the same
units, compares the detector in data and simulation, and judges.  Control region
events may go anywhere within the range as long as marginals and correlations
stay; signal region events stay within their own energy scale uncertainties.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from coffea.nanoevents import NanoAODSchema
from coffea.processor import FuturesExecutor, Runner
from matplotlib.figure import Figure
from sklearn.model_selection import train_test_split
from torch import nn

from hepfool.attacks.base import AttackResult, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.defences.adaptive import DefendedClassifier, attack_defended
from hepfool.defences.detector import Detector, train_detector
from hepfool.events import UNLABELLED, EventTable
from hepfool.models.files import load_torch, save_state
from hepfool.models.networks import Standardise, mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.processors.completeness import run_processor
from hepfool.processors.passes import TableProcessor
from hepfool.processors.threads import limited_threads
from hepfool.report import attack_figures
from hepfool.samples import htautau
from hepfool.samples.htautau_analysis import FEATURES, HiggsToTauTau
from hepfool.statistics.checks import CheckSettings
from hepfool.studies.region_yields import region_yields, score_variable
from hepfool.studies.systematics import SystematicEffect, attack_effect
from hepfool.study.figures import detector_figures
from hepfool.study.outcome import Outcome, judged, signal_region_envelope, with_checks, with_frontier, write_study
from hepfool.summary import Summary
from hepfool.sums import data_sums
from hepfool.training import TrainingSettings, fit
from hepfool.typing import ProgressCallback
from hepfool.validation import Validation
from hepfool.worst_case.composition import compositions

__all__ = ["ATTACK", "DemoEvents", "read_events", "run_demo", "train_network"]

CONTROL_REGION: Final = "high_mt"
PRETRAINED: Final = htautau.DATA_FOLDER / "network.pt"
HIDDEN: Final = (64, 64, 32)
TRAINING: Final = TrainingSettings(max_epochs=30)
WORKERS: Final = 2

#: Strict enough that with its few hundred data events the attacked control region passes the comparison of correlations,
#: and the χ² and the Kolmogorov-Smirnov test of most marginals; where it would be seen, the report says.
ATTACK: Final = CONSERVAttack(alpha=4.0, beta=20.0, n_iterations=10, validation=Validation(score=None))


def keeping_score(flagged: Detector) -> CONSERVAttack:
    """
    Attack with the same caps that keeps the score too, together with the flags of a detector.

    Parameters
    ----------
    flagged : Detector
        Whose flagged fraction is kept.

    Returns
    -------
    CONSERVAttack
        The stronger search.
    """
    return CONSERVAttack(strategy="frugal", validation=Validation(flagged=flagged))


class _Schema(NanoAODSchema):  # type: ignore[misc]  # coffea has no types
    """Stays quiet about collections that the sample does not have."""

    warn_missing_crossrefs = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemoEvents:
    """
    Selected events of the embedded sample.

    Attributes
    ----------
    train, validation, test : EventTable
        Disjoint parts of the simulation: half, and a quarter each.
    data : EventTable
        Pseudo-data of the control region; the signal region stays blinded.
    """

    train: EventTable
    validation: EventTable
    test: EventTable
    data: EventTable

    @property
    def scale(self) -> dict[str, float]:
        """By process, weight of all simulated events over that of the test part."""
        parts = (self.train, self.validation, self.test)
        sums = {
            name: [float(part.weights[part.dataset_mask(name)].sum()) for part in parts] for name in self.test.datasets
        }
        return {name: sum(weights) / weights[-1] if weights[-1] else 1.0 for name, weights in sums.items()}


def read_events(*, seed: int) -> DemoEvents:
    """
    Select events with coffea and split the simulation.

    Parameters
    ----------
    seed : int
        Of the split.

    Returns
    -------
    DemoEvents
        With regions, energy scale and weight variations.
    """
    runner = Runner(FuturesExecutor(workers=WORKERS), schema=_Schema)
    fileset = {**htautau.fileset(), **htautau.pseudodata_fileset()}
    analysis = HiggsToTauTau(luminosity_pb=htautau.luminosity_pb())
    table: EventTable = run_processor(runner, fileset, TableProcessor(analysis))["table"]
    simulated = np.flatnonzero(table.labels != UNLABELLED)
    datasets = table.dataset_index
    train, rest = train_test_split(simulated, test_size=0.5, random_state=seed, stratify=datasets[simulated])
    validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=datasets[rest])
    parts = {"train": train, "validation": validation, "test": test}
    return DemoEvents(
        **{name: table.select(np.sort(events)) for name, events in parts.items()},
        data=table.select(table.labels == UNLABELLED),
    )


def train_network(events: DemoEvents, *, seed: int, progress: ProgressCallback | None = None) -> TorchClassifier:
    """
    Train the baseline network.

    Parameters
    ----------
    events : DemoEvents
        Its training and validation parts are used.
    seed : int
        Of initial parameters and order of events.
    progress : callable, optional
        Called after each epoch, see :func:`hepfool.training.fit`.

    Returns
    -------
    TorchClassifier
        Signal against background.
    """
    network = partial(_network, Standardise.of(events.train))
    return fit(network, events.train, events.validation, seed=seed, settings=TRAINING, progress=progress).classifier


@limited_threads(1)  # sums in another order train another network
def run_demo(
    folder: str | Path,
    *,
    force: bool = False,
    pretrained: bool = False,
    seed: int = 1,
    frontier: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Summary:
    """
    Run the study and write its report.

    Parameters
    ----------
    folder : str or Path
        Folder to make.
    force : bool
        Replace an earlier report.
    pretrained : bool
        Take the network of the package instead of training one.
    seed : int
        Of split, training and attack.
    frontier : str or Path, optional
        Scan tighter and looser caps too, and keep the finished points in this file; the same call goes on from there.
    progress : callable, optional
        Called with the name of a step and its finished fraction.

    Returns
    -------
    Summary
        What was measured, with the verdict.
    """
    tell = progress or _ignore
    events = read_events(seed=seed)
    if pretrained:
        classifier = load_torch(
            PRETRAINED, network=_network(Standardise(np.zeros(len(FEATURES)), np.ones(len(FEATURES))))
        )
    else:
        with _step(tell, "Train the network") as advance:
            classifier = train_network(events, seed=seed, progress=advance)
    attacked = {
        name: _attack(name, part, classifier, seed=seed, tell=tell)
        for name, part in (("training", events.train), ("validation", events.validation), ("test", events.test))
    }
    with _step(tell, "Train the detector"):
        detector = train_detector(attacked["training"], attacked["validation"], seed=seed)
    with _step(tell, "Attack the detector, measure systematics"):
        study = judge(attacked["test"], classifier, detector, data=events.data, seed=seed)
    checks = CheckSettings(n_data=events.data.n_events, n_toys=200)
    with _step(tell, "Evaluate the checks"):
        study = with_checks(study, checks, seed=seed)
    if frontier is not None:
        study = _scanned(study, classifier, checks, seed=seed, path=frontier, tell=tell)
    with _step(tell, "Attack with the score kept"):
        kept = _keep_score(attacked["test"].nominal, classifier, detector, seed=seed)
    with _step(tell, "Draw and write"):
        files = {"network.pt": partial(save_state, classifier)}
        figures = _draw(study, attacked["test"], detector, events.scale)
        figures["score_kept"] = _draw_score_kept(attacked["test"], kept, classifier, events)
        written = ("adversarial.root", "adversarial.parquet")
        write_study(study, folder, figures=figures, events=written, files=files, force=force)
    return study.summary


def judge(
    result: AttackResult, classifier: TorchClassifier, detector: Detector, *, data: EventTable, seed: int
) -> Outcome:
    """
    Put attack, detector, systematics and data side by side.

    Parameters
    ----------
    result : AttackResult
        Attack on the test part.
    classifier : TorchClassifier
        The attacked network.
    detector : Detector
        Trained on attacks on the other parts.
    data : EventTable
        Events of the control region.
    seed : int
        Of the attack on network and detector.

    Returns
    -------
    Outcome
        With the verdict.
    """
    sums = result.sums(classifier, detector=detector) + data_sums(data, classifier, result.binning, detector=detector)
    adaptive = _adaptive(result, classifier, detector, seed=seed)
    return judged(sums, result=result, adaptive=adaptive, seed=seed)


def _draw(study: Outcome, result: AttackResult, detector: Detector, scale: Mapping[str, float]) -> dict[str, Figure]:
    """Draw what needs detector or data; the rest follows from the study."""
    figures = attack_figures(
        study.sums, result=result, effects=study.evidence.effects, scale=scale, data_label="Pseudo-data"
    )
    return figures | detector_figures(study.sums, detector=detector, result=result, regions=(CONTROL_REGION,))


def _keep_score(table: EventTable, classifier: TorchClassifier, detector: Detector, *, seed: int) -> AttackResult:
    envelope = signal_region_envelope(table)
    return run_attack(keeping_score(detector), classifier, table, rng=seed, envelope=envelope)


def _draw_score_kept(
    result: AttackResult, kept: AttackResult, classifier: TorchClassifier, events: DemoEvents
) -> Figure:
    """Score of data, simulation and both attacks in the control region, with what each fools there."""
    from hepfool.plots import plot_region_yields  # noqa: PLC0415 - slow to import

    of_region = {one.name: one for one in compositions(kept, classifier)}[CONTROL_REGION]
    free = result.counts(result.nominal.region(CONTROL_REGION).mask).fooling_ratio
    limit = "" if of_region.limit is None else f" (limit {of_region.limit:.3f})"
    name = f"Attack, score and flags kept: fooled {of_region.fooling_ratio:.3f}{limit}"
    shown = region_yields(
        result,
        score_variable(classifier),
        data=events.data,
        regions=[CONTROL_REGION],
        scale=events.scale,
        further={name: kept},
    )
    label = f"Attack, score not kept: fooled {free:.3f}"
    return plot_region_yields(shown, data_label="Pseudo-data", attack_label=label, log_y=True)[0]


def _adaptive(
    result: AttackResult, classifier: TorchClassifier, detector: Detector, *, seed: int
) -> SystematicEffect | None:
    """Attack network and detector together; None if that was interrupted."""
    table = result.nominal
    outcome = attack_defended(
        ATTACK,
        DefendedClassifier(classifier=classifier, detector=detector),
        table,
        rng=np.random.default_rng(seed),
        envelope=signal_region_envelope(table),
        naive=result,
    ).adaptive_result
    flagged = detector.flags(outcome.adversarial.network_values)
    return None if outcome.interrupted else attack_effect(outcome, classifier, flagged=flagged)


def _scanned(
    study: Outcome, classifier: TorchClassifier, checks: CheckSettings, *, tell: ProgressCallback, **options: Any
) -> Outcome:
    """Repeat attack and checks for tighter and looser caps."""
    with _step(tell, "Scan tighter and looser caps") as advance:
        return with_frontier(
            study,
            classifier,
            checks,
            **options,
            progress=advance,
        )


def _network(preprocessing: Standardise) -> nn.Module:
    return mlp(len(FEATURES), HIDDEN, preprocessing=preprocessing)


def _attack(
    name: str, part: EventTable, classifier: TorchClassifier, *, seed: int, tell: ProgressCallback
) -> AttackResult:
    with _step(tell, f"Attack the {name} events") as advance:
        rng = np.random.default_rng(seed)
        return run_attack(ATTACK, classifier, part, rng=rng, envelope=signal_region_envelope(part), progress=advance)


@contextmanager
def _step(tell: ProgressCallback, name: str) -> Iterator[ProgressCallback]:
    tell(name, 0.0)
    yield lambda _, fraction: tell(name, fraction)
    tell(name, 1.0)


def _ignore(_name: str, _fraction: float) -> None:
    """Show nothing."""
