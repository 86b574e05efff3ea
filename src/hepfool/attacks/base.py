# SPDX-License-Identifier: BSD-3-Clause
"""
The one driver of all attacks: what may move, the loop, and the measurement.

An attack is a frozen record of hyper-parameters with one method, ``iterate``: from
the events as they are to the events one iteration later.  :func:`run_attack`
does the rest for every attack alike: it checks the input, repeats the step,
keeps events in their regions, verifies every promise on the returned table, and
measures success and compatibility.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from hepfool.attacks._bounds import Bounds
from hepfool.attacks._checkpoint import Iterations
from hepfool.attacks._checks import (
    Target,
    attacked_events,
    check_input,
    check_parts,
    generator,
    in_parts,
    leaving,
    verify,
)
from hepfool.attacks._limits import movable
from hepfool.attacks._problem import Attack, AttackProblem, Crew, Submits, bins_of, validation_of
from hepfool.attacks._result import AttackResult, FoolingCounts, Iteration, LeftOut, moved_events, warn_of_ratio
from hepfool.events import Envelope, EventTable
from hepfool.exceptions import NetworkWarning, RegionWarning
from hepfool.models._probe import check_network, check_scores
from hepfool.models.protocols import Classifier, inputs_of, is_fooled, threshold_of
from hepfool.statistics._comparisons import Validated
from hepfool.statistics._compatibility import compare
from hepfool.statistics._remarks import remark_on_ranges
from hepfool.statistics._weights import check_sums
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, ProgressCallback

__all__ = [
    "Attack",
    "AttackProblem",
    "AttackResult",
    "Bounds",
    "FoolingCounts",
    "Iteration",
    "Target",
    "run_attack",
]

_MAX_REGION_RETRIES = 20


def run_attack(  # noqa: PLR0913 - what is attacked, how, and by whom
    attack: Attack,
    classifier: Classifier,
    table: EventTable,
    *,
    rng: np.random.Generator | int,
    target: Target = "correct",
    envelope: Envelope | None = None,
    binning: Binning | None = None,
    executor: Submits | None = None,
    progress: ProgressCallback | None = None,
    resume: str | Path | None = None,
) -> AttackResult:
    """
    Attack the events of a table.

    Parameters
    ----------
    attack : Attack
        Which attack, with its hyper-parameters.
    classifier : Classifier
        The network to fool.
    table : EventTable
        Nominal events; not modified.
    rng : numpy.random.Generator or int
        The only source of randomness, or its seed.
    target : {"correct", "all"}, int or BoolArray
        Events to attack: the correctly classified ones, all, those of one class
        that are correctly classified, or a mask of shape (n_events,).
    envelope : Envelope, optional
        Per-event bounds, such as the experimental uncertainties.
    binning : Binning, optional
        Bins of the inputs; by default those of the attack's validation, or ``attack.n_bins`` uniform ones over the
        constrained events.
    executor : Submits, optional
        Moves the events of regions (or processes of regions) that are compared by themselves: an executor of
        ``concurrent.futures``, or ``client.get_executor()`` of dask, whose threads or processes get all events; the result has
        the bits of a run without.  By default as many threads of this process as numba may use.
    progress : callable, optional
        Called after each iteration with its figures in words and the finished fraction; also fills the result's history.
    resume : str or Path, optional
        File of finished iterations: the same call goes on from there, to the same bits.  Delete it to start anew.

    Returns
    -------
    AttackResult
        Adversarial events and measurements; an attack that converges stops by itself.  An interrupt (Ctrl-C) after the first iteration returns what is done.

    Raises
    ------
    ValueError
        If the input cannot be attacked, or the file to go on from belongs to another attack, network, table or seed;
        nothing was started then.
    ConstraintError
        If the attack broke a promise about ranges, regions or fixed values.

    Warns
    -----
    UserWarning
        If one bin holds nearly all of a feature, or single precision does not resolve its range; if the file to go on from is
        damaged, or cannot be written.

    Examples
    --------
    See ``docs/first-attack.md`` for a run from arrays to figures.
    """
    rng = generator(rng)
    check_input(classifier, table)
    if executor is not None and validation_of(attack) is None:
        msg = f"executor has no effect: {attack!r} keeps nothing of the data set, so that no groups are moved apart; leave it out"
        raise ValueError(msg)
    binning = bins_of(attack, table) if binning is None else binning
    remark_on_ranges(table, binning)
    scores = classifier.scores(inputs_of(classifier, table))
    check_scores(scores, table.n_events, classifier)
    classes = classifier.predict(inputs_of(classifier, table))
    attacked = attacked_events(target, table, classes)
    validation = validation_of(attack)
    unusable = [] if validation is None else validation.unusable(table)
    check_parts(table, unusable, attacked)
    usable = ~in_parts(table, unusable)
    attacked &= usable
    check_sums(table.select(usable) if unusable else table, binning, attacked[usable])
    problem = AttackProblem(
        table=table,
        classifier=classifier,
        attacked=attacked,
        classes=classes,
        constrained=table.constrained,
        bounds=Bounds.of(table, envelope),
        binning=binning,
        frozen=np.zeros(table.n_events, dtype=np.bool_),
        envelope=envelope,
        crew=Crew(executor),
    )
    if movable(problem).any():
        remarks = check_network(classifier, inputs_of(classifier, table), table.labels, scores, classes)
    else:
        remarks = (
            "no value of the attacked events may move: all are fixed, derived or missing; the fooling ratio is 0",
        )
    for remark in remarks:
        warnings.warn(remark, NetworkWarning, stacklevel=2)
    state = str(rng.bit_generator.state)
    kept = None if resume is None else Iterations.of(resume, attack, problem, rng)
    values, history, done, converged = _iterate(attack, problem, rng, progress, kept)
    verify(problem, values)
    adversarial = table.with_values(values)
    adversarial_scores = classifier.scores(inputs_of(classifier, adversarial))
    threshold = threshold_of(classifier)
    result = AttackResult(
        attack=attack,
        nominal=table,
        adversarial=adversarial,
        classes=classes,
        attacked=attacked,
        # Rounding may change the class of an event that nobody moved.
        fooled=attacked
        & moved_events(table, values)
        & is_fooled(classifier, inputs_of(classifier, adversarial), classes),
        nominal_scores=scores,
        adversarial_scores=adversarial_scores,
        binning=binning,
        compatibility=compare(table, adversarial, binning),
        validation=validation,
        threshold=threshold,
        validated=Validated()
        if validation is None
        else validation.measure(
            table, adversarial, binning=binning, scores=(scores, adversarial_scores), threshold=threshold
        ),
        history=history,
        classifier_digest=classifier.digest,
        iterations_done=done,
        converged=converged,
        enveloped=_enveloped(envelope),
        not_attacked=tuple(LeftOut.of(part, table) for part in unusable),
        provenance={"attack": repr(attack), "random_state": state},
    )
    warn_of_ratio(result.counts())
    return result


def _iterate(
    attack: Attack,
    problem: AttackProblem,
    rng: np.random.Generator,
    progress: ProgressCallback | None,
    kept: Iterations | None,
) -> tuple[FloatArray, tuple[Iteration, ...], int, bool | None]:
    start = time.perf_counter()
    history: list[Iteration] = []
    values, done = (problem.table.values, 0) if kept is None else kept.restore()
    try:
        while done < attack.n_iterations and not problem.progress.converged:
            values = _step_within_regions(attack, problem, values, done, rng)
            done += 1
            if kept is not None:
                kept.save(values, done)
            if progress is not None:
                history.append(_measure(problem, values, done, attack.n_iterations, time.perf_counter() - start))
                progress(str(history[-1]), done / attack.n_iterations)
    except KeyboardInterrupt:
        if not done:
            raise
    return values, tuple(history), done, problem.progress.converged if problem.progress.asked else None


def _enveloped(envelope: Envelope | None) -> BoolArray:
    """Mark the events whose values an envelope limits."""
    if envelope is None:
        return np.empty(0, dtype=np.bool_)
    return np.asarray((np.isfinite(envelope.lower) | np.isfinite(envelope.upper)).any(axis=1))


def _step_within_regions(
    attack: Attack, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
) -> FloatArray:
    """Repeat a step without the events that it would take out of a region, until none does."""
    for _ in range(_MAX_REGION_RETRIES):
        state = rng.bit_generator.state
        moved = attack.iterate(problem, values, iteration, rng)
        outside = leaving(problem.table, moved)
        if not outside.any():
            return moved
        problem = replace(problem, frozen=problem.frozen | outside)
        rng.bit_generator.state = state
    msg = (
        f"iteration {iteration + 1} moves nothing: after {_MAX_REGION_RETRIES} tries without the events that left a region "
        "others still do; state the region by cuts, within which values are kept"
    )
    warnings.warn(msg, RegionWarning, stacklevel=4)
    return values


def _measure(problem: AttackProblem, values: FloatArray, index: int, n_iterations: int, seconds: float) -> Iteration:
    compatibility = compare(problem.table, problem.table.with_values(values), problem.binning)
    fooled = moved_events(problem.table, values) & is_fooled(
        problem.classifier, problem.network_values(values), problem.classes
    )
    weights = problem.table.weights[problem.attacked]
    total = weights.sum()
    return Iteration(
        index=index,
        n_iterations=n_iterations,
        fooling_ratio=float(weights[fooled[problem.attacked]].sum() / total) if total else float("nan"),
        max_js_distance=compatibility.max_js_distance,
        correlation_shift=compatibility.correlation_shift,
        seconds=seconds,
    )
