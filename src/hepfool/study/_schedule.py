# SPDX-License-Identifier: BSD-3-Clause
"""Which steps a plan asks for, what each depends on, which are finished, and how long the others take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hepfool.events import EventTable
from hepfool.identity import file_digest, table_digest
from hepfool.io._finished import WorkFolder, key_of
from hepfool.models._probe import require_classifier
from hepfool.models.protocols import Classifier
from hepfool.study._inputs import matching_files
from hepfool.study._plan import Study
from hepfool.study._sources import output_digest
from hepfool.study._steps import STEPS, Step


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


def planned_steps(
    configuration: Study,
    *,
    table: EventTable | None = None,
    classifier: Classifier | None = None,
    from_step: str | None = None,
) -> tuple[PlannedStep, ...]:
    """Tell what a run would do, without doing it."""
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
    """Choose the steps that a configuration asks for."""
    return (step for step in STEPS if step.wanted(configuration))


def repeated_steps(configuration: Study, from_step: str | None) -> frozenset[str]:
    """Name the steps to do again."""
    names = [step.name for step in wanted_steps(configuration)]
    if from_step is None:
        return frozenset()
    if from_step not in names:
        msg = f"there is no step {from_step!r} in this configuration, only {', '.join(names)}"
        raise ValueError(msg)
    return frozenset(names[names.index(from_step) :])


def step_keys(configuration: Study, table: EventTable | None, classifier: Classifier | None) -> dict[str, str]:
    """Fingerprint every step that is kept."""
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
