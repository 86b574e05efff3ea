# SPDX-License-Identifier: BSD-3-Clause
"""A finished attack with its judgement: :func:`judged` makes it of sums, :func:`write_study` draws and writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepfool._printable import printable
from hepfool.attacks.base import AttackResult
from hepfool.events import EventTable
from hepfool.inference._impact import Impact, impact_record
from hepfool.io.tables import check_writable
from hepfool.report import write_report
from hepfool.report._folder import EXTRA_COLUMNS
from hepfool.statistics._checks import DetectionTable
from hepfool.studies._contributions import Measured, SystematicEffect
from hepfool.studies._frontier import Frontier
from hepfool.study._outcomes import WorstCase
from hepfool.summary import Evidence, Summary, Thresholds, decide, summarise
from hepfool.summary._on_demand import frontier_record, spread_record
from hepfool.summary._robustness import Robustness, robustness_record
from hepfool.sums import AttackSums

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.plots._style import PlotStyle
    from hepfool.studies._cross_run import CrossRuns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """
    A finished attack with its judgement.

    Attributes
    ----------
    sums : AttackSums
        Of nominal and adversarial events.
    evidence : Evidence
        Measured effects.
    summary : Summary
        Everything in plain values, the verdict included.
    result : AttackResult, optional
        The events; None where they stayed on the workers.
    detection : DetectionTable, optional
        Which check would have caught the attack.
    impact : Impact, optional
        What the attack costs in a fit.
    frontier : Frontier, optional
        The attack with tighter and looser caps.
    worst_case : WorstCase, optional
        What is known of the worst case.
    """

    sums: AttackSums
    evidence: Evidence
    summary: Summary
    result: AttackResult | None = None
    detection: DetectionTable | None = None
    impact: Impact | None = None
    frontier: Frontier | None = None
    worst_case: WorstCase | None = None


def thin(table: EventTable, max_events: int | None, *, seed: int) -> EventTable:
    """
    Keep a random part of a large table.

    Parameters
    ----------
    table : EventTable
        All events.
    max_events : int, optional
        Number of events to keep; all when left out.
    seed : int
        Of the choice.

    Returns
    -------
    EventTable
        In the original order.

    Raises
    ------
    ValueError
        If ``max_events`` is not positive.

    Examples
    --------
    >>> table = EventTable.from_arrays([[1.0], [2.0], [3.0]])
    >>> thin(table, 2, seed=1).n_events
    2
    """
    if max_events is None or max_events >= table.n_events:
        return table
    if max_events < 1:
        msg = f"max_events must be at least 1, got {max_events}"
        raise ValueError(msg)
    return table.select(np.sort(np.random.default_rng(seed).choice(table.n_events, size=max_events, replace=False)))


def judged(  # noqa: PLR0913 - what a study may hold
    sums: AttackSums,
    *,
    result: AttackResult | None = None,
    thresholds: Thresholds | None = None,
    investigated: bool = False,
    seed: int | None = None,
    detection: DetectionTable | None = None,
    frontier: Frontier | None = None,
    worst_case: WorstCase | None = None,
    spread: CrossRuns | None = None,
    robustness: Robustness | None = None,
    impact: Impact | None = None,
    **given: Any,
) -> Outcome:
    """
    Judge an attack by its sums, wherever its events are.

    Parameters
    ----------
    sums : AttackSums
        From ``AttackResult.sums``, or from a processor.
    result : AttackResult, optional
        Its events, if they are here.
    thresholds : Thresholds, optional
        Of the criteria.
    investigated : bool
        See :func:`hepfool.summary.decide`.
    seed : int, optional
        Of the attack, for the record.
    detection : DetectionTable, optional
        Which check would have caught it, from ``AttackResult.checks``.
    frontier : Frontier, optional
        From :func:`hepfool.studies.run_frontier`.
    worst_case : WorstCase, optional
        Ladders, explanation and what data allow.
    spread : CrossRuns, optional
        From :func:`hepfool.studies.run_cross_runs`.
    robustness : Robustness, optional
        From :func:`hepfool.summary.robustness`.
    impact : Impact, optional
        From :func:`hepfool.inference.expected_impact`.
    **given
        ``others``, ``fractions``, ``observed``, ``adaptive`` and ``correlations`` of :meth:`hepfool.summary.Evidence.of`.

    Returns
    -------
    Outcome
        To be drawn and written; what needs events is left out without them.
    """
    evidence = Evidence.of(sums, **given)
    verdict = decide(evidence, thresholds, investigated=investigated)
    summary = replace(
        summarise(sums, evidence, verdict, detection=detection, seed=seed),
        frontier=None if frontier is None else frontier_record(frontier),
        worst_case=None if worst_case is None else worst_case.record(),
        spread=None if spread is None else spread_record(spread),
        robustness=None if robustness is None else robustness_record(robustness),
        impact=None if impact is None else impact_record(impact),
    )
    return Outcome(
        sums=sums,
        evidence=evidence,
        summary=summary,
        result=result,
        detection=detection,
        impact=impact,
        frontier=frontier,
        worst_case=worst_case,
    )


def check_shown(table: EventTable) -> None:
    """Tell before any work whether a report can hold a table's columns and show its labels."""
    check_writable(table, EXTRA_COLUMNS)
    regions = (region.name for region in table.regions)
    for name in (*table.features.names, *table.datasets, *regions, *table.shape_variations, *table.weight_variations):
        if not name.isascii() and name != name.encode("utf-8", "ignore").decode("utf-8"):
            msg = f"the name {printable(name)!r} holds half a character, which no file can hold; rename the file or column"
            raise ValueError(msg)
    titles = [feature.title for feature in table.features if "$" in feature.title]
    if titles:
        from hepfool.plots._style import check_labels  # noqa: PLC0415 - drawing libraries are loaded only when needed

        check_labels(titles)


def draw_study(study: Outcome, *, style: PlotStyle | None = None) -> dict[str, Figure]:
    """
    Draw the verdict, marginals, correlations, scores and fooling ratios, and checks, frontier and impacts if there are any.

    Parameters
    ----------
    study : Outcome
        A finished study.
    style : PlotStyle, optional
        Experiment and label; no experiment's by default.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name.
    """
    # Drawing libraries are loaded only when something is drawn.
    from hepfool import plots  # noqa: PLC0415

    style = style or plots.PlotStyle()
    sums, evidence = study.sums, study.evidence
    attacks = [_bar(evidence.attack), *_bars_per_dataset(sums)]
    corrected = [] if evidence.corrected is None else [_bar(evidence.corrected)]
    systematics = [_bar(effect) for effect in evidence.effects]
    checks = (
        {}
        if study.detection is None
        else {"detection": plots.plot_detection(study.detection, labels=study.sums.labels, style=style)[0]}
    )
    impacts = {} if study.impact is None else {"impacts": plots.plot_impacts(study.impact, style=style)[0]}
    frontier = {} if study.frontier is None else {"frontier": plots.plot_frontier(study.frontier, style=style)[0]}
    return {
        **_verdict(study, style),
        **_worst_case_figures(study.worst_case, study.sums.labels, style),
        **checks,
        **frontier,
        **impacts,
        "marginals": plots.plot_marginals(plots.representative_marginals(sums), style=style)[0],
        "correlations": plots.plot_correlations(
            evidence.compatibility, labels=[sums.labels[name] for name in sums.features], style=style
        )[0],
        "score": plots.plot_score(
            plots.score_histogram(sums), threshold=sums.facts["threshold"], density=True, style=style
        )[0],
        "fooling": plots.plot_fooling(attacks, systematics, corrected=corrected, style=style)[0],
    }


def _verdict(study: Outcome, style: PlotStyle) -> dict[str, Figure]:
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    ladders = () if study.worst_case is None else study.worst_case.ladders
    decisions = {one["region"]: one["decision"] for one in study.summary.verdict["regions"]}
    panels = plots.verdict_panels(study.sums, study.evidence, ladders=ladders, decisions=decisions)
    options: dict[str, Any] = {"decision": study.summary.verdict["decision"], "labels": study.sums.labels}
    return {"verdict": plots.plot_verdict(panels, study.detection, style=style, **options)[0]} if panels else {}


def _worst_case_figures(worst: WorstCase | None, labels: Mapping[str, str], style: PlotStyle) -> dict[str, Figure]:
    from hepfool import plots  # noqa: PLC0415 - drawing libraries are loaded only when something is drawn

    if worst is None:
        return {}
    drawn = {
        f"ladder_{one.events.replace(' ', '_')}": plots.plot_ladder(one, events=labels.get(one.events), style=style)[0]
        for one in worst.ladders
    }
    if worst.explanation is not None:
        drawn["explanation"] = plots.plot_explanation(worst.explanation, labels=labels, style=style)[0]
    if worst.allowed is not None:
        drawn["allowed"] = plots.plot_allowed_fraction(worst.allowed, labels=labels, style=style)[0]
    return drawn


def _bar(effect: SystematicEffect) -> tuple[str, float, float]:
    flips = effect.flips or Measured(np.nan, np.nan)
    return effect.name, flips.value, flips.error


def _bars_per_dataset(sums: AttackSums) -> list[tuple[str, float, float]]:
    if len(sums.attacked_datasets) == 1:
        return []
    counts = {name: sums.counts(dataset=name) for name in sums.attacked_datasets}
    return [(name, c.fooling_ratio, np.nan) for name, c in counts.items() if c.n_attacked]


def write_study(
    study: Outcome,
    folder: str | Path,
    *,
    style: PlotStyle | None = None,
    figures: Mapping[str, Figure] | None = None,
    **options: Any,
) -> Path:
    """
    Draw a study and write its folder.

    Parameters
    ----------
    study : Outcome
        A finished study.
    folder : str or Path
        Folder to make.
    style : PlotStyle, optional
        Experiment and label of the figures; no experiment's by default.
    figures : mapping of str to matplotlib.figure.Figure, optional
        Further figures by name, such as ``impacts`` and ``frontier``.
    **options
        Of :func:`hepfool.report.write_report`: ``events``, ``files``, ``force``.

    Returns
    -------
    Path
        The folder, see :mod:`hepfool.report`.
    """
    drawn = {**draw_study(study, style=style), **(figures or {})}
    return write_report(folder, study.summary, sums=study.sums, result=study.result, figures=drawn, **options)
