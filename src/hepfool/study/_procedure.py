# SPDX-License-Identifier: BSD-3-Clause
"""
The whole procedure: which steps there are, which are finished, and the report at the end.

baseline → attack → detector → attack that knows the detector → attack that keeps its flags → physics systematics, and data against
simulation → checks → frontier → other choices → repeated trainings → fit → report.  A step is kept under a digest of its settings, its files and the steps before it; what is
kept is never done again, so that an interrupted run resumes.
"""

from __future__ import annotations

import datetime as dt
import json
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import cloudpickle

from hepfool.events import EventTable
from hepfool.io._finished import Finished, WorkFolder
from hepfool.io._owners import claimed
from hepfool.models.files import save_state
from hepfool.models.protocols import Classifier
from hepfool.plots._style import PlotStyle
from hepfool.report._folder import check_output
from hepfool.study._figures import further_figures
from hepfool.study._outcome import Outcome, judged, write_study
from hepfool.study._outcomes import Baseline, EventParts
from hepfool.study._plan import Study
from hepfool.study._schedule import repeated_steps, step_keys, wanted_steps
from hepfool.study._steps import STEPS, Step, StepInput
from hepfool.summary import Summary, observed_checks
from hepfool.summary._evidence import flagged_fractions
from hepfool.typing import ProgressCallback


def run_study(configuration: Study, *, force: bool = False, **given: Any) -> Summary:
    """
    Go from events to a report.

    Parameters
    ----------
    configuration : Study
        The plan.
    force : bool
        Replace an earlier report.
    **given
        Of :func:`run_steps`.

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
        After an interrupt; the same call resumes from the steps, and within an attack from the iterations, that are done.
    """
    check_output(configuration.output, force=force)
    _style(configuration)  # which refuses a label that cannot be set
    results = run_steps(configuration, **given)
    cache, tell, title = WorkFolder(configuration.work_folder), given.get("progress") or _ignore, STEPS[-1].title
    tell(title, 0.0)
    start = time.perf_counter()
    keys = step_keys(configuration, given.get("table"), given.get("classifier"))
    with claimed(cache.path):
        summary = _report(configuration, results, keys, force=force)
        cache.part("report", "latest").save(b"", seconds=time.perf_counter() - start)
        cache.tidy()
    tell(title, 1.0)
    return summary


def run_steps(
    configuration: Study,
    *,
    until: str = STEPS[-1].name,
    table: EventTable | None = None,
    classifier: Classifier | None = None,
    from_step: str | None = None,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """
    Do the steps of a study, as far as they are not done.

    Parameters
    ----------
    configuration : Study
        The plan.
    until : str
        Name of the first step to leave out; the report, which is not among them, when left out.
    table : EventTable, optional
        Simulated events, and data without labels, in place of files.
    classifier : Classifier, optional
        Network in place of a file; it should not have seen the test part.
    from_step : str, optional
        Do this step and those after it again, even if they are finished.
    progress : callable, optional
        Called with the title of a step and its finished fraction.

    Returns
    -------
    dict of str to object
        Result of each step by its name.
    """
    if classifier is not None and configuration.spread is not None:
        msg = "spread trains networks by the settings of network; leave spread or the passed network out"
        raise ValueError(msg)
    cache, keys = WorkFolder(configuration.work_folder), step_keys(configuration, table, classifier)
    again = repeated_steps(configuration, from_step)
    tell = progress or _ignore
    cache.prepare()
    results: dict[str, Any] = {}
    with claimed(cache.path):
        for step in takewhile(lambda step: step.name != until, wanted_steps(configuration)):
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
            if step.name == STEPS[0].name:
                _check_regions(configuration, results[step.name])
    return results


def _check_regions(configuration: Study, parts: EventParts) -> None:
    """Refuse to compare data where nobody looks at them."""
    known = [region.name for region in parts.simulation["test"].regions if region.constrained]
    for name in configuration.data_regions or ():
        if name not in known:
            msg = f"data_regions: {name!r} is not a control or validation region; name some of {', '.join(known) or 'none'}"
            raise ValueError(msg)


def _ignore(_step: str, _fraction: float) -> None:
    """Show nothing."""


def _of_step(tell: ProgressCallback, title: str, _: str, fraction: float) -> None:
    tell(title, fraction)


def _do(step: Step, part: Finished, given: StepInput) -> Any:
    start = time.perf_counter()
    result: Any = step.work(given) if step.work else None
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
    study, style = _outcome(configuration, results), _style(configuration)
    baseline = results["baseline"]
    record = {
        "configuration": configuration.model_dump(mode="json"),
        "steps": dict(keys),
        "auroc_test": baseline.auroc,
    }
    files: dict[str, Callable[[Path], object]] = {"study.json": partial(_write_json, record)}
    if "fit" in results:
        files["patch.json"] = partial(_write_json, results["fit"].patch)
    if baseline.trained:
        files["network.pt"] = partial(save_state, baseline.classifier)
    write_study(
        study,
        configuration.output,
        style=style,
        figures=further_figures(configuration, results, style=style),
        files=files,
        events=configuration.report.events,
        force=force,
    )
    return study.summary


def _style(configuration: Study) -> PlotStyle:
    report = configuration.report
    return PlotStyle(
        experiment=report.experiment,
        label=report.label,
        lumi=report.luminosity,
        energy=report.energy,
        processes=report.processes,
    )


def _outcome(configuration: Study, results: Mapping[str, Any]) -> Outcome:
    measured = results["systematics"]
    sums = measured.all_sums
    outcome = judged(
        sums,
        result=results["attack"]["test"],
        thresholds=configuration.thresholds,
        investigated=configuration.investigated,
        seed=configuration.seed,
        detection=results.get("checks"),
        frontier=results.get("frontier"),
        worst_case=results.get("worst_case"),
        spread=results.get("spread"),
        robustness=results.get("robustness"),
        impact=results["fit"].impact if "fit" in results else None,
        others=measured.others,
        fractions=flagged_fractions(sums, configuration.data_regions),
        observed=(*observed_checks(sums), *measured.observed),
        adaptive=results.get("adaptive"),
        correlations=configuration.systematics.coefficients(),
    )
    return replace(outcome, summary=replace(outcome.summary, about=_about(configuration, results["baseline"])))


def _about(configuration: Study, baseline: Baseline) -> dict[str, Any]:
    """Collect what the head of the report says."""
    report, network = configuration.report, configuration.network
    name = type(baseline.classifier).__name__
    if baseline.trained:
        name = f"trained here, hidden layers of {', '.join(map(str, network.hidden))} nodes"
    elif network.file is not None:
        name = network.file.name
    return {
        "analysis": report.analysis,
        "author": report.author,
        "date": report.date or dt.datetime.now().astimezone().date().isoformat(),
        "network": name,
    }


def _write_json(record: Any, path: Path) -> None:
    path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
