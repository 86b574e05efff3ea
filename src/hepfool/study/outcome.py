# SPDX-License-Identifier: BSD-3-Clause
"""
A single attack with its judgement.

:func:`run_table_attack` attacks a table, measures its systematics in the same
units and judges; :func:`write_study` draws and writes the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hepfool.attacks.base import Attack, AttackResult, Target, run_attack
from hepfool.attacks.conserv import CONSERVAttack
from hepfool.events import Envelope, EventTable
from hepfool.inference.impact import Impact, impact_record
from hepfool.io.tables import check_writable
from hepfool.models.protocols import Classifier
from hepfool.printable import printable
from hepfool.report import EXTRA_COLUMNS, write_report
from hepfool.statistics.checks import CheckSettings, DetectionTable
from hepfool.studies.frontier import Frontier, OperatingPoint, run_frontier, scaled_caps
from hepfool.studies.systematics import Measured, SystematicEffect
from hepfool.summary import (
    Evidence,
    Summary,
    Thresholds,
    decide,
    detection_record,
    frontier_record,
    summarise,
)
from hepfool.sums import AttackSums
from hepfool.typing import ProgressCallback

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.plots.style import PlotStyle

__all__ = [
    "FACTORS",
    "Outcome",
    "check_shown",
    "draw_study",
    "judged",
    "run_table_attack",
    "signal_region_envelope",
    "thin",
    "with_checks",
    "with_frontier",
    "with_impact",
    "write_study",
]

#: Of the caps, in a scan from hardly visible to obvious.
FACTORS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)


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
        Which check would have caught the attack, see :func:`with_checks`.
    impact : Impact, optional
        What the attack costs in a fit, see :func:`with_impact`.
    frontier : Frontier, optional
        The attack with tighter and looser caps, see :func:`with_frontier`.
    """

    sums: AttackSums
    evidence: Evidence
    summary: Summary
    result: AttackResult | None = None
    detection: DetectionTable | None = None
    impact: Impact | None = None
    frontier: Frontier | None = None


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


def run_table_attack(  # noqa: PLR0913 - options of run_attack
    table: EventTable,
    classifier: Classifier,
    attack: Attack,
    *,
    seed: int,
    target: Target = "correct",
    thresholds: Thresholds | None = None,
    investigated: bool = False,
    progress: ProgressCallback | None = None,
    resume: str | Path | None = None,
) -> Outcome:
    """
    Attack a table, measure its systematics alike, and judge.

    Parameters
    ----------
    table : EventTable
        Labelled events, with variations if there are any, which bound the events outside of control and validation regions.
    classifier : Classifier
        The network.
    attack : Attack
        The attack.
    seed : int
        Seed of all randomness.
    target : {"correct", "all"}, int or BoolArray
        Events to attack, see :func:`hepfool.run_attack`.
    thresholds : Thresholds, optional
        Of the criteria.
    investigated : bool
        See :func:`hepfool.summary.decide`.
    progress : callable, optional
        Called after each iteration, as in :func:`hepfool.run_attack`.
    resume : str or Path, optional
        File of finished iterations.

    Returns
    -------
    Outcome
        Events, effects and verdict.

    Raises
    ------
    ValueError
        If the events cannot be attacked, or their columns could not be written afterwards.
    """
    check_shown(table)
    rng = np.random.default_rng(seed)
    envelope = signal_region_envelope(table)
    result = run_attack(
        attack, classifier, table, rng=rng, target=target, envelope=envelope, progress=progress, resume=resume
    )
    sums = result.sums(classifier)
    return judged(sums, result=result, thresholds=thresholds, investigated=investigated, seed=seed)


def judged(
    sums: AttackSums,
    *,
    result: AttackResult | None = None,
    thresholds: Thresholds | None = None,
    investigated: bool = False,
    seed: int | None = None,
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
    **given
        ``others``, ``fractions``, ``adaptive`` and ``correlations`` of :meth:`hepfool.summary.Evidence.of`.

    Returns
    -------
    Outcome
        To be drawn and written; what needs events is left out without them.
    """
    evidence = Evidence.of(sums, **given)
    verdict = decide(evidence, thresholds, investigated=investigated)
    return Outcome(sums=sums, evidence=evidence, summary=summarise(sums, evidence, verdict, seed=seed), result=result)


def check_shown(table: EventTable) -> None:
    """
    Tell before any work whether a report can hold a table's columns and show its labels.

    Parameters
    ----------
    table : EventTable
        Events to be attacked.

    Raises
    ------
    ValueError
        If two columns have the same name, or a name cannot be written to a file.

    Warns
    -----
    PlainTextWarning
        If a feature's label is no TeX that Matplotlib can set.
    """
    check_writable(table, EXTRA_COLUMNS)
    regions = (region.name for region in table.regions)
    for name in (*table.features.names, *table.datasets, *regions, *table.shape_variations, *table.weight_variations):
        if not name.isascii() and name != name.encode("utf-8", "ignore").decode("utf-8"):
            msg = f"the name {printable(name)!r} holds half a character, which no file can hold; rename the file or column"
            raise ValueError(msg)
    titles = [feature.title for feature in table.features if "$" in feature.title]
    if titles:
        from hepfool.plots.style import check_labels  # noqa: PLC0415 - drawing libraries are loaded only when needed

        check_labels(titles)


def with_checks(study: Outcome, settings: CheckSettings, *, seed: int) -> Outcome:
    """
    Add which check would have caught the attack.

    Parameters
    ----------
    study : Outcome
        A finished study.
    settings : CheckSettings
        The validation, with the number of data events.
    seed : int
        Of the toys.

    Returns
    -------
    Outcome
        With the table, also in its summary.
    """
    detection = _events(study, "the power of checks").checks(settings, rng=np.random.default_rng(seed))
    return replace(study, detection=detection, summary=replace(study.summary, detection=detection_record(detection)))


def _events(study: Outcome, what: str) -> AttackResult:
    if study.result is None:
        msg = f"{what} needs the events, of which this study has only sums; attack them with scope='dataset', or run_table_attack"
        raise ValueError(msg)
    return study.result


def with_impact(study: Outcome, impact: Impact) -> Outcome:
    """
    Add what the attack costs in the analyst's fit.

    Parameters
    ----------
    study : Outcome
        A finished study.
    impact : Impact
        From :func:`hepfool.inference.expected_impact`.

    Returns
    -------
    Outcome
        With the impact, also in its summary.
    """
    return replace(study, impact=impact, summary=replace(study.summary, impact=impact_record(impact)))


def with_frontier(
    study: Outcome,
    classifier: Classifier,
    settings: CheckSettings,
    *,
    seed: int,
    factors: Iterable[float] = FACTORS,
    path: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Outcome:
    """
    Add what the attack gains if it may be noticed more easily.

    Parameters
    ----------
    study : Outcome
        A finished study with its checks, see :func:`with_checks`; its attack is the point at factor 1.
    classifier : Classifier
        The attacked network.
    settings : CheckSettings
        As for :func:`with_checks`.
    seed : int
        Of the other attacks and their toys.
    factors : iterable of float
        Of the caps.
    path : str or Path, optional
        File of finished points, from which the same call goes on.
    progress : callable, optional
        Called after each point with its figures in words, and the finished fraction.

    Returns
    -------
    Outcome
        With the scan, also in its summary.

    Raises
    ------
    ValueError
        If the attack has no caps to scale or was not checked, or the file belongs to another scan.
    """
    result = _events(study, "a scan of caps")
    attack = result.attack
    if not isinstance(attack, CONSERVAttack) or study.detection is None:
        msg = f"a scan of caps needs a CONSERVAttack and its checks, got {attack!r}; call with_checks first"
        raise ValueError(msg)
    frontier = run_frontier(
        scaled_caps(attack, factors),
        classifier,
        result.nominal,
        settings,
        seed=seed,
        operating=OperatingPoint(
            result=result, checks=study.detection, envelope=signal_region_envelope(result.nominal)
        ),
        path=path,
        progress=progress,
    )
    return replace(study, frontier=frontier, summary=replace(study.summary, frontier=frontier_record(frontier)))


def signal_region_envelope(table: EventTable) -> Envelope | None:
    """
    Bound events by their shape variations where nothing is validated, and nowhere else.

    Parameters
    ----------
    table : EventTable
        Events.

    Returns
    -------
    Envelope or None
        Infinite in control and validation regions; None without shape variations, or if every event is in such a region.
    """
    if not table.shape_variations or table.constrained.all():
        return None
    varied = Envelope.from_variations(table)
    constrained = table.constrained[:, np.newaxis]
    return replace(
        varied,
        lower=np.where(constrained, -np.inf, varied.lower),
        upper=np.where(constrained, np.inf, varied.upper),
    )


def draw_study(study: Outcome, *, style: PlotStyle | None = None) -> dict[str, Figure]:
    """
    Draw marginals, correlations, scores and fooling ratios, and checks, frontier and impacts if there are any.

    Parameters
    ----------
    study : Outcome
        A finished study.
    style : PlotStyle, optional
        Experiment and label; CMS by default.

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
    systematics = [_bar(effect) for effect in evidence.effects if effect.flips is not None]
    checks = {} if study.detection is None else {"detection": plots.plot_detection(study.detection, style=style)[0]}
    impacts = {} if study.impact is None else {"impacts": plots.plot_impacts(study.impact, style=style)[0]}
    frontier = {} if study.frontier is None else {"frontier": plots.plot_frontier(study.frontier, style=style)[0]}
    return {
        **checks,
        **frontier,
        **impacts,
        "marginals": plots.plot_marginals(plots.representative_marginals(sums), style=style)[0],
        "correlations": plots.plot_correlations(evidence.compatibility, style=style)[0],
        "score": plots.plot_score(
            plots.score_histogram(sums), threshold=sums.facts["threshold"], density=True, style=style
        )[0],
        "fooling": plots.plot_fooling(attacks, systematics, corrected=corrected, style=style)[0],
    }


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
        Experiment and label of the figures; CMS by default.
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
