# SPDX-License-Identifier: BSD-3-Clause
"""Which steps there are, what each depends on, which are finished, and how long the others take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hepfool.events import EventTable
from hepfool.identity import file_digest, table_digest
from hepfool.io.finished import WorkFolder, key_of
from hepfool.models.probe import require_classifier
from hepfool.models.protocols import Classifier
from hepfool.study.inputs import matching_files
from hepfool.study.plan import Study
from hepfool.study.sources import output_digest

__all__ = ["STEPS", "PlannedStep", "Step", "plan_workflow", "repeated_steps", "step_keys", "wanted_steps"]


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
    seconds : callable
        Expected time on one core from the configuration, the number of events and that of features.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
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
    return 2.0 + 1e-4 * c.checks.n_toys * (n_features + pairs) + 0.3 * trainings


#: Rough, for a plan: measured on tables of some 10 000 events with some 30 features.
_EPOCH_SECONDS: Final = 2e-5


def _spread_seconds(c: Study, n_events: int, n_features: int) -> float:
    if c.spread is None or c.detector is None:
        return 0.0
    epochs = c.network.training.max_epochs + c.detector.training.max_epochs
    one = 5.0 + _EPOCH_SECONDS * n_events * epochs + 2.0 * _attack_seconds(c, n_events, n_features)
    return c.spread.n_runs * c.spread.n_splits * one


STEPS: Final[tuple[Step, ...]] = (
    Step(name="events", title="read and split the events", settings=("seed", "events", "split")),
    Step(
        name="baseline",
        title="load or train the network, and judge it",
        needs=("events",),
        settings=("seed", "network"),
        seconds=lambda c, n, _: (
            3.0 + (_EPOCH_SECONDS * n * c.network.training.max_epochs if not c.network.file else 0.0)
        ),
    ),
    Step(
        name="attack",
        title="attack",
        needs=("events", "baseline"),
        settings=("seed", "attack", "target", "envelope", "quantile_bins"),
        seconds=lambda c, n, d: _attack_seconds(c, int(n * (_test_share(c) if c.detector is None else 1.0)), d),
    ),
    Step(
        name="detector",
        title="train a detector of the attack",
        needs=("attack",),
        settings=("seed", "detector"),
        wanted=lambda c: c.detector is not None,
        seconds=lambda c, n, _: 2.0 + _EPOCH_SECONDS * n * (c.detector.training.max_epochs if c.detector else 0),
    ),
    Step(
        name="adaptive",
        title="attack network and detector together",
        needs=("events", "baseline", "attack", "detector"),
        settings=("seed", "attack", "target", "envelope"),
        wanted=lambda c: c.detector is not None and c.adaptive,
        seconds=lambda c, n, d: 2.0 * _attack_seconds(c, int(n * _test_share(c)), d),
    ),
    Step(
        name="systematics",
        title="measure the physics systematics in the same units",
        needs=("events", "baseline", "attack", "detector"),
        settings=("systematics",),
    ),
    Step(
        name="data_check",
        title="compare the detector in data and simulation",
        needs=("events", "detector"),
        settings=("data_regions",),
        wanted=lambda c: c.detector is not None,
    ),
    Step(
        name="checks",
        title="find which check would have caught it",
        needs=("attack",),
        settings=("seed", "checks"),
        wanted=lambda c: c.checks is not None,
        seconds=lambda c, _, d: _check_seconds(c, d),
    ),
    Step(
        name="frontier",
        title="scan looser and tighter caps",
        needs=("baseline", "attack", "checks"),
        settings=("seed", "attack", "envelope", "checks", "frontier"),
        wanted=lambda c: c.frontier is not None,
        seconds=lambda c, n, d: (
            (len(c.frontier.factors) if c.frontier else 0)
            * (_attack_seconds(c, int(n * _test_share(c)), d) + _check_seconds(c, d))
        ),
    ),
    Step(
        name="spread",
        title="repeat training, attack and detector",
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
        needs=("systematics",),
        settings=("fit",),
        wanted=lambda c: c.fit is not None,
        seconds=lambda *_: 30.0,
    ),
    Step(name="report", title="judge, draw and write", seconds=lambda *_: 15.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """
    What would be done for a step.

    Attributes
    ----------
    name, title : str
        Of the step.
    finished : bool
        Whether its result is kept already.
    seconds : float, optional
        Expected wall time; None if unknown.
    basis : str
        Where that time comes from: ``recorded`` by a former run of the step, a rough ``estimate``, or
        ``unknown`` as long as the number of events is.
    """

    name: str
    title: str
    finished: bool
    seconds: float | None
    basis: str


def plan_workflow(
    configuration: Study,
    *,
    table: EventTable | None = None,
    classifier: Classifier | None = None,
    from_step: str | None = None,
) -> tuple[PlannedStep, ...]:
    """
    Tell what a run would do, without doing it.

    Parameters
    ----------
    configuration : Study
        What is asked for.
    table, classifier : optional
        As for :func:`run_workflow`.
    from_step : str, optional
        As for :func:`run_workflow`.

    Returns
    -------
    tuple of PlannedStep
        In the order of the run.

    Raises
    ------
    ValueError
        If there is no such step.
    """
    cache, keys = WorkFolder(configuration.work_folder), step_keys(configuration, table, classifier)
    again = repeated_steps(configuration, from_step)
    size = _size(configuration, table, cache.record("events", keys["events"]))
    planned = []
    for step in wanted_steps(configuration):
        finished = (
            step.name in keys and step.name not in again and cache.part(step.name, keys[step.name]).path.is_file()
        )
        former = cache.record(step.name)
        seconds, basis = None, "unknown"
        if former is not None:
            seconds, basis = float(former["seconds"]), "recorded"
        elif size is not None:
            seconds, basis = step.seconds(configuration, *size), "estimate"
        planned.append(PlannedStep(name=step.name, title=step.title, finished=finished, seconds=seconds, basis=basis))
    return tuple(planned)


def wanted_steps(configuration: Study) -> Iterator[Step]:
    """
    Choose the steps that a configuration asks for.

    Parameters
    ----------
    configuration : Study
        All settings.

    Returns
    -------
    iterator of Step
        In their order.
    """
    return (step for step in STEPS if step.wanted(configuration))


def repeated_steps(configuration: Study, from_step: str | None) -> frozenset[str]:
    """
    Name the steps to do again.

    Parameters
    ----------
    configuration : Study
        All settings.
    from_step : str, optional
        The first of them; none when left out.

    Returns
    -------
    frozenset of str
        That step and those after it.

    Raises
    ------
    ValueError
        If there is no such step.
    """
    names = [step.name for step in wanted_steps(configuration)]
    if from_step is None:
        return frozenset()
    if from_step not in names:
        msg = f"there is no step {from_step!r} in this configuration, only {', '.join(names)}"
        raise ValueError(msg)
    return frozenset(names[names.index(from_step) :])


def step_keys(configuration: Study, table: EventTable | None, classifier: Classifier | None) -> dict[str, str]:
    """
    Fingerprint every step that is kept.

    Parameters
    ----------
    configuration : Study
        All settings.
    table, classifier : optional
        Events and network in place of files.

    Returns
    -------
    dict of str to str
        Digest by name of the step.
    """
    settings = configuration.model_dump(mode="json")
    files: dict[str, list[str]] = {step.name: [] for step in STEPS}
    if configuration.events is not None and table is None:
        events = configuration.events
        files["events"] = [file_digest(path) for path in matching_files(events.every_file)]
        if events.coffea_output is not None:
            files["events"].append(output_digest(events.coffea_output))
    if table is not None:
        files["events"] = [table_digest(table)]
    if classifier is not None:
        require_classifier(classifier)
        files["baseline"] = [classifier.digest]
    elif configuration.network.file is not None:
        files["baseline"] = [file_digest(configuration.network.file)]
    files["systematics"] = [file_digest(source.file) for source in configuration.systematics.histograms]
    if configuration.fit is not None:
        files["fit"] = [file_digest(configuration.fit.workspace)]
    keys: dict[str, str] = {}
    for step in wanted_steps(configuration):
        if step is not STEPS[-1]:
            inputs = [*files[step.name], *(keys[name] for name in step.needs if name in keys)]
            keys[step.name] = key_of(step.name, {name: settings[name] for name in step.settings}, inputs)
    return keys


def _size(configuration: Study, table: EventTable | None, record: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """Numbers of events and features, as far as they are known before the events are read."""
    if record is not None:
        return record["n_events"], record["n_features"]
    if table is not None:
        return table.n_events, table.n_features
    events = configuration.events
    if events is not None and events.max_events is not None and events.features:
        return events.max_events, len(events.features)
    return None
