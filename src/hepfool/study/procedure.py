# SPDX-License-Identifier: BSD-3-Clause
"""
The whole procedure: which steps there are, which are finished, and the report at the end.

baseline → attack → detector → attack that knows the detector → physics systematics → data against simulation → checks →
frontier → repeated trainings → fit → report.  A step is kept under a digest of its settings, its files and the steps before it; what is
kept is never done again, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle

from hepfool.events import EventTable
from hepfool.io.finished import Finished, WorkFolder
from hepfool.io.owners import claimed
from hepfool.models.protocols import Classifier
from hepfool.plots.style import PlotStyle
from hepfool.report import check_output
from hepfool.study.figures import further_figures
from hepfool.study.outcome import Outcome, judged, with_impact, write_study
from hepfool.study.plan import Study
from hepfool.study.schedule import STEPS, Step, repeated_steps, step_keys, wanted_steps
from hepfool.study.steps import WORK, StepInput
from hepfool.summary import Summary, detection_record, frontier_record, spread_record
from hepfool.typing import ProgressCallback

__all__ = ["run_workflow"]


def run_workflow(
    configuration: Study,
    *,
    table: EventTable | None = None,
    classifier: Classifier | None = None,
    from_step: str | None = None,
    force: bool = False,
    progress: ProgressCallback | None = None,
) -> Summary:
    """
    Go from events to a report.

    Parameters
    ----------
    configuration : Study
        From :func:`~hepfool.study.read_configuration`, or made in Python.
    table : EventTable, optional
        Simulated events, and data without labels, in place of files.
    classifier : Classifier, optional
        Network in place of a file; it should not have seen the test part.
    from_step : str, optional
        Do this step and those after it again, even if they are finished.
    force : bool
        Replace an earlier report.
    progress : callable, optional
        Called with the title of a step and its finished fraction.

    Returns
    -------
    Summary
        What was measured, with the verdict; the report is in ``configuration.output``.

    Raises
    ------
    ValueError
        If the events, the network or the settings do not fit together.
    FileExistsError
        If the report exists and ``force`` is False.
    Interrupted
        After an interrupt; the same call goes on from the steps, and within an attack from the iterations, that are done.
    """
    check_output(configuration.output, force=force)
    _style(configuration)  # which refuses a label that cannot be set
    if classifier is not None and configuration.spread is not None:
        msg = "spread trains networks by the settings of network; leave spread or the passed network out"
        raise ValueError(msg)
    cache, keys = WorkFolder(configuration.work_folder), step_keys(configuration, table, classifier)
    again = repeated_steps(configuration, from_step)
    cache.prepare()
    with claimed(cache.path):
        results: dict[str, Any] = {}
        tell = progress or (lambda *_: None)
        for step in wanted_steps(configuration):
            if step.name not in keys:
                continue
            key = keys[step.name]
            part = cache.part(step.name, key, what=f"the step {step.name!r}")
            result = None if step.name in again else part.load(_unpickled)
            if result is None:
                tell(step.title, 0.0)
                given = StepInput(
                    configuration=configuration,
                    results=results,
                    table=table,
                    classifier=classifier,
                    scratch=partial(cache.scratch, step.name, key),
                    progress=partial(_of_step, tell, step.title),
                )
                result = _do(step, part, given)
                if part.path.is_file():
                    cache.tidy(step.name, key)
                tell(step.title, 1.0)
            results[step.name] = result
        tell(STEPS[-1].title, 0.0)
        start = time.perf_counter()
        summary = _report(configuration, results, keys, force=force)
        cache.part("report", "latest").save(b"", seconds=time.perf_counter() - start)
        cache.tidy()
        tell(STEPS[-1].title, 1.0)
    return summary


def _of_step(tell: ProgressCallback, title: str, _: str, fraction: float) -> None:
    tell(title, fraction)


def _do(step: Step, part: Finished, given: StepInput) -> Any:
    start = time.perf_counter()
    result = WORK[step.name](given)
    size = {}
    if step.name == "events":
        parts = result.simulation
        size = {"n_events": sum(part.n_events for part in parts.values()), "n_features": parts["test"].n_features}
    if not part.save(cloudpickle.dumps(result), seconds=time.perf_counter() - start, **size):
        return result
    # From the file, so that a run that went on gives the same bits.
    kept = part.load(_unpickled)
    return result if kept is None else kept


def _unpickled(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - our own results, with the digest that we gave them


def _report(configuration: Study, results: Mapping[str, Any], keys: Mapping[str, str], *, force: bool) -> Summary:
    study = _study(configuration, results)
    style = _style(configuration)
    record = {
        "configuration": configuration.model_dump(mode="json"),
        "steps": dict(keys),
        "auroc_test": results["baseline"].auroc,
    }
    files: dict[str, Callable[[Path], object]] = {"workflow.json": partial(_write_json, record)}
    if "fit" in results:
        files["patch.json"] = partial(_write_json, results["fit"].patch)
    write_study(
        study,
        configuration.output,
        style=style,
        figures=further_figures(results, style=style),
        files=files,
        events=configuration.report.events,
        force=force,
    )
    return study.summary


def _style(configuration: Study) -> PlotStyle:
    return PlotStyle(experiment=configuration.report.experiment, label=configuration.report.label)


def _study(configuration: Study, results: Mapping[str, Any]) -> Outcome:
    adaptive, systematics = results.get("adaptive"), results["systematics"]
    study = judged(
        systematics.sums,
        result=results["attack"]["test"],
        thresholds=configuration.thresholds,
        investigated=configuration.investigated,
        seed=configuration.seed,
        others=systematics.others,
        fractions=results.get("data_check", ()),
        adaptive=None if adaptive is None else adaptive.effect,
        correlations=configuration.systematics.coefficients(),
    )
    detection = results.get("checks")
    if detection is not None:
        study = replace(
            study, detection=detection, summary=replace(study.summary, detection=detection_record(detection))
        )
    return _with_demanded(study, results)


def _with_demanded(study: Outcome, results: Mapping[str, Any]) -> Outcome:
    """Add what only some configurations ask for."""
    if "frontier" in results:
        frontier = results["frontier"]
        study = replace(study, frontier=frontier, summary=replace(study.summary, frontier=frontier_record(frontier)))
    if "spread" in results:
        study = replace(study, summary=replace(study.summary, spread=spread_record(results["spread"])))
    return with_impact(study, results["fit"].impact) if "fit" in results else study


def _write_json(record: Any, path: Path) -> None:
    path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
