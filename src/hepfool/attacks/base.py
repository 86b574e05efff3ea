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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from hepfool.events import Envelope, EventTable
from hepfool.exceptions import ConstraintError, LowStatisticsWarning
from hepfool.models.protocols import Classifier
from hepfool.statistics.compatibility import Compatibility, compare
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, IntArray

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

#: Which events are attacked: by rule, by class, or by mask.
Target = Literal["correct", "all"] | int | BoolArray

_MAX_REGION_RETRIES = 20


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """
    Closed interval each value must stay in.

    Events with the same limits share a row, so that a table without an
    envelope needs a handful of rows only.

    Attributes
    ----------
    lower, upper : FloatArray, shape (n_rows, n_features)
        Limits in each feature's unit.  For an angle with an envelope they may
        lie beyond the period; without one they are infinite.
    row : IntArray, shape (n_events,)
        Row of each event.
    """

    lower: FloatArray
    upper: FloatArray
    row: IntArray

    @classmethod
    def of(cls, table: EventTable, envelope: Envelope | None = None) -> Bounds:
        """
        Intersect ranges, region thresholds and envelope.

        Constrained events stay within the constrained events' own range, the
        others within the range of all events; both within the physical range.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        envelope : Envelope, optional
            Per-event bounds.

        Returns
        -------
        Bounds
            Every nominal value lies within.
        """
        cells = _cells(table)
        codes, row = np.unique(cells, axis=0, return_inverse=True)
        row = row.reshape(-1).astype(np.int64)
        lower, upper = _cell_limits(table, codes)
        if envelope is not None:
            if envelope.lower.shape != table.values.shape:
                msg = f"the envelope has shape {envelope.lower.shape}, the table {table.values.shape}"
                raise ValueError(msg)
            lower, upper = np.maximum(lower[row], envelope.lower), np.minimum(upper[row], envelope.upper)
            # A nominal value outside of its own envelope may stay where it is.
            nominal = np.where(table.missing, 0.0, table.values)
            lower, upper = np.fmin(lower, nominal), np.fmax(upper, nominal)
            row = np.arange(table.n_events, dtype=np.int64)
        return cls(np.ascontiguousarray(lower), np.ascontiguousarray(upper), row)

    def clip(self, values: FloatArray) -> FloatArray:
        """
        Move values to the nearest allowed ones.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            In each feature's unit, NaN where missing.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Within the bounds.
        """
        return np.clip(values, self.lower[self.row], self.upper[self.row])


def _thresholds(table: EventTable) -> dict[int, list[float]]:
    """Region cuts per feature column; events may not cross any of them."""
    found: dict[int, set[float]] = {}
    for region in table.regions:
        for name, interval in region.cuts.items():
            finite = {float(edge) for edge in interval if np.isfinite(edge)}
            found.setdefault(table.features.index(name), set()).update(finite)
    return {j: sorted(edges) for j, edges in found.items() if edges}


def _cells(table: EventTable) -> IntArray:
    """Code of each event: constrained or not, and which interval between thresholds per cut feature."""
    columns = [table.constrained.astype(np.int64)]
    for j, edges in _thresholds(table).items():
        interval = np.searchsorted(edges, table.values[:, j], side="right")
        columns.append(np.where(table.missing[:, j], -1, interval))
    return np.stack(columns, axis=1)


def _cell_limits(table: EventTable, codes: IntArray) -> tuple[FloatArray, FloatArray]:
    lower = np.empty((len(codes), table.n_features))
    upper = np.empty_like(lower)
    everywhere = _range(table.values)
    inside = _range(table.values[table.constrained])
    angles = table.features.of_kind("angle")
    thresholds = _thresholds(table)
    for r, code in enumerate(codes):
        low, high = inside if code[0] else everywhere
        lower[r] = np.where(angles, -np.inf, np.maximum(low, table.features.lower))
        upper[r] = np.where(angles, np.inf, np.minimum(high, table.features.upper))
        for interval, (j, edges) in zip(code[1:], thresholds.items(), strict=True):
            if interval > 0:
                lower[r, j] = max(lower[r, j], edges[interval - 1])
            if 0 <= interval < len(edges):
                # The largest float32 below the threshold: also a file of floats stays on its side.
                below = np.nextafter(np.float32(edges[interval]), np.float32(-np.inf))
                upper[r, j] = min(upper[r, j], float(below))
    return lower, upper


def _range(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    missing = np.isnan(values)
    low = np.where(missing, np.inf, values).min(axis=0, initial=np.inf)
    high = np.where(missing, -np.inf, values).max(axis=0, initial=-np.inf)
    return np.where(np.isfinite(low), low, -np.inf), np.where(np.isfinite(high), high, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackProblem:
    """
    What an attack is given: the events and the rules.

    Attributes
    ----------
    table : EventTable
        Nominal events.
    classifier : Classifier
        The network under attack.
    attacked : BoolArray, shape (n_events,)
        Events to be fooled.
    classes : IntArray, shape (n_events,)
        Class that the network gives the nominal events, which the attack tries to change.
    constrained : BoolArray, shape (n_events,)
        Events whose marginals and correlations are validated.
    bounds : Bounds
        Limits of every value.
    binning : Binning
        Bins of the marginals.
    frozen : BoolArray, shape (n_events,)
        Events that may not move in this step.
    """

    table: EventTable
    classifier: Classifier
    attacked: BoolArray
    classes: IntArray
    constrained: BoolArray
    bounds: Bounds
    binning: Binning
    frozen: BoolArray

    def network_values(self, values: FloatArray, events: BoolArray | IntArray | slice = slice(None)) -> FloatArray:
        """
        Put the sentinel back where a value is missing.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Values of all events, NaN where missing.
        events : array or slice
            Selection along the event axis.

        Returns
        -------
        FloatArray, shape (n_selected, n_features)
            Input of the network.
        """
        chosen = values[events]
        missing = np.isnan(chosen)
        return np.where(missing, self.table.sentinel, chosen) if missing.any() else chosen


@runtime_checkable
class Attack(Protocol):
    """
    Hyper-parameters of an attack, and one iteration of it.

    Attributes
    ----------
    n_iterations : int
        How often the driver repeats ``iterate``.
    n_bins : int
        Bins per feature in which the attack is constrained and judged.
    """

    @property
    def n_iterations(self) -> int:
        """How often the driver repeats ``iterate``."""
        ...

    @property
    def n_bins(self) -> int:
        """Bins per feature in which the attack is constrained and judged."""
        ...

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        """
        Do one iteration.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now; not to be written to.
        iteration : int
            From 0.
        rng : numpy.random.Generator
            The only source of randomness.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Events after the iteration.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """
    Where an attack stands.

    Attributes
    ----------
    index : int
        Finished iterations.
    n_iterations : int
        Iterations in all.
    fooling_ratio : float
        Weighted fraction of attacked events with a changed class.
    max_js_distance : float
        Largest distance of a constrained marginal, dimensionless.
    correlation_shift : float
        Relative change of the constrained correlations, dimensionless.
    seconds : float
        Wall time since the start.
    """

    index: int
    n_iterations: int
    fooling_ratio: float
    max_js_distance: float
    correlation_shift: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolingCounts:
    """
    Numbers of attacked and fooled events, which can be added.

    Attributes
    ----------
    n_events, n_attacked, n_fooled : int
        Plain numbers of events.
    weight_attacked, weight_fooled : float
        Sums of weights.
    """

    n_events: int = 0
    n_attacked: int = 0
    n_fooled: int = 0
    weight_attacked: float = 0.0
    weight_fooled: float = 0.0

    @property
    def fooling_ratio(self) -> float:
        """Weighted fraction of attacked events with a changed class; NaN without attacked events."""
        return self.weight_fooled / self.weight_attacked if self.weight_attacked else float("nan")

    def __add__(self, other: FoolingCounts) -> FoolingCounts:
        """Add the counts of other events."""
        return FoolingCounts(
            n_events=self.n_events + other.n_events,
            n_attacked=self.n_attacked + other.n_attacked,
            n_fooled=self.n_fooled + other.n_fooled,
            weight_attacked=self.weight_attacked + other.weight_attacked,
            weight_fooled=self.weight_fooled + other.weight_fooled,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackResult:
    """
    Nominal and adversarial events, and what the attack achieved.

    Attributes
    ----------
    attack : Attack
        The attack; its ``repr`` is its provenance.
    nominal, adversarial : EventTable
        The same events in the same order.
    attacked, fooled : BoolArray, shape (n_events,)
        Events that were attacked, and those among them with a changed class.
    nominal_scores, adversarial_scores : FloatArray, shape (n_events, n_classes)
        Class probabilities before and after.
    binning : Binning
        Bins in which the marginals are constrained and compared.
    compatibility : Compatibility
        Distances over all constrained events.
    history : tuple of Iteration
        One record per iteration if asked for.
    classifier_digest : str
        Which network was attacked.
    iterations_done : int
        Fewer than planned after an interrupt.
    provenance : mapping
        Random state and further settings.
    """

    attack: Attack
    nominal: EventTable
    adversarial: EventTable
    attacked: BoolArray
    fooled: BoolArray
    nominal_scores: FloatArray
    adversarial_scores: FloatArray
    binning: Binning
    compatibility: Compatibility
    history: tuple[Iteration, ...] = ()
    classifier_digest: str = ""
    iterations_done: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fooling_ratio(self) -> float:
        """Weighted fraction of attacked events whose class changed (arXiv:2603.13970, eq. 5)."""
        return self.counts().fooling_ratio

    @property
    def interrupted(self) -> bool:
        """Whether the attack was stopped before its last iteration."""
        return self.iterations_done < self.attack.n_iterations

    def counts(self, events: BoolArray | None = None) -> FoolingCounts:
        """
        Count attacked and fooled events.

        Parameters
        ----------
        events : BoolArray, shape (n_events,), optional
            Part of the events, such as a region's mask; all by default.

        Returns
        -------
        FoolingCounts
            Numbers and sums of weights.
        """
        chosen = np.ones(len(self.attacked), dtype=np.bool_) if events is None else events
        attacked, fooled = self.attacked & chosen, self.fooled & chosen
        return FoolingCounts(
            n_events=int(chosen.sum()),
            n_attacked=int(attacked.sum()),
            n_fooled=int(fooled.sum()),
            weight_attacked=float(self.nominal.weights[attacked].sum()),
            weight_fooled=float(self.nominal.weights[fooled].sum()),
        )

    def compare(self, region: str) -> Compatibility:
        """
        Compare nominal and adversarial events of one region.

        Parameters
        ----------
        region : str
            Region name.

        Returns
        -------
        Compatibility
            Distances in the bins of the attack.
        """
        mask = self.nominal.region(region).mask
        return compare(self.nominal, self.adversarial, self.binning, events=mask, region=region)


def run_attack(
    attack: Attack,
    classifier: Classifier,
    table: EventTable,
    *,
    rng: np.random.Generator,
    target: Target = "correct",
    envelope: Envelope | None = None,
    binning: Binning | None = None,
    progress: Callable[[Iteration], None] | None = None,
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
    rng : numpy.random.Generator
        The only source of randomness.
    target : {"correct", "all"}, int or BoolArray
        Events to attack: the correctly classified ones, all, those of one class
        that are correctly classified, or a mask of shape (n_events,).
    envelope : Envelope, optional
        Per-event bounds, such as the experimental uncertainties.
    binning : Binning, optional
        Bins of the marginals; ``attack.n_bins`` uniform ones over the constrained events by default.
    progress : callable, optional
        Called with an :class:`Iteration` after each one; also fills the result's history.

    Returns
    -------
    AttackResult
        Adversarial events and measurements.  An interrupt (Ctrl-C) returns what is done.

    Raises
    ------
    ValueError
        If the input cannot be attacked; nothing was started then.
    ConstraintError
        If the attack broke a promise about ranges, regions or fixed values.

    Examples
    --------
    See ``README.md`` for a run from arrays to figures.
    """
    _check_input(classifier, table)
    binning = Binning.uniform(table, n_bins=attack.n_bins) if binning is None else binning
    scores = classifier.scores(table.network_values)
    _check_scores(scores, table, classifier)
    classes = classifier.predict(table.network_values)
    attacked = _attacked(target, table, classes)
    problem = AttackProblem(
        table=table,
        classifier=classifier,
        attacked=attacked,
        classes=classes,
        constrained=table.constrained,
        bounds=Bounds.of(table, envelope),
        binning=binning,
        frozen=np.zeros(table.n_events, dtype=np.bool_),
    )
    state = str(rng.bit_generator.state)
    values, history, done = _iterate(attack, problem, rng, progress)
    _verify(problem, values)
    adversarial = table.with_values(values)
    adversarial_scores = classifier.scores(adversarial.network_values)
    return AttackResult(
        attack=attack,
        nominal=table,
        adversarial=adversarial,
        attacked=attacked,
        fooled=attacked & (classifier.predict(adversarial.network_values) != classes),
        nominal_scores=scores,
        adversarial_scores=adversarial_scores,
        binning=binning,
        compatibility=compare(table, adversarial, binning),
        history=history,
        classifier_digest=classifier.digest,
        iterations_done=done,
        provenance={"attack": repr(attack), "random_state": state},
    )


def _check_input(classifier: Classifier, table: EventTable) -> None:
    if not table.n_events:
        msg = "the table holds no events; nothing can be attacked"
        raise ValueError(msg)
    for region in table.regions:
        if not region.mask.any():
            msg = f"region {region.name!r} holds no event; check its selection or drop it"
            raise ValueError(msg)
    if not table.constrained.any():
        msg = "no control or validation region is defined, so nothing constrains the attack; add one"
        raise ValueError(msg)
    if classifier.n_features is not None and classifier.n_features != table.n_features:
        msg = f"the network takes {classifier.n_features} inputs but the table has {table.n_features} features"
        raise ValueError(msg)
    if table.labels.max(initial=0) >= classifier.n_classes:
        msg = f"label {table.labels.max()} is outside of the network's {classifier.n_classes} classes (0 to {classifier.n_classes - 1})"
        raise ValueError(msg)
    _check_derived(table, "nominal", ValueError)
    n_constrained = int(table.constrained.sum())
    if n_constrained < 10 * table.n_features:
        warnings.warn(
            f"only {n_constrained} constrained events for {table.n_features} features: "
            "marginals and correlations are dominated by statistics",
            LowStatisticsWarning,
            stacklevel=3,
        )


def _check_derived(table: EventTable, name: str, error: type[Exception]) -> None:
    for j in table.features.derived:
        feature = table.features[j]
        expected, found = table.features.derive(table.values, j), table.values[:, j]
        tolerance = 0.0 if feature.derived is None else feature.derived.tolerance
        wrong = np.isnan(expected) != np.isnan(found)
        wrong |= np.abs(expected - found) > tolerance + 1e-9 * np.abs(expected)
        if wrong.any():
            event = int(np.argmax(wrong))
            msg = (
                f"{name} {feature.name!r} of event {event} is {found[event]}, its function gives {expected[event]} "
                f"({int(wrong.sum())} such events); correct the function, recompute the column, or raise its tolerance"
            )
            raise error(msg)


def _check_scores(scores: FloatArray, table: EventTable, classifier: Classifier) -> None:
    if scores.shape != (table.n_events, classifier.n_classes):
        msg = (
            f"the classifier returned scores of shape {scores.shape}, expected {(table.n_events, classifier.n_classes)}"
        )
        raise ValueError(msg)
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        msg = (
            f"the network's score is not finite for {int(bad.sum())} of {table.n_events} nominal events, "
            f"first at event {int(np.argmax(bad))}; check inputs, sentinel ({table.sentinel}) and preprocessing"
        )
        raise ValueError(msg)


def _attacked(target: Target, table: EventTable, classes: IntArray) -> BoolArray:
    correct = classes == table.labels
    if isinstance(target, np.ndarray):
        if target.shape != (table.n_events,) or target.dtype != np.bool_:
            msg = f"a target mask needs booleans of shape ({table.n_events},), got {target.dtype} {target.shape}"
            raise ValueError(msg)
        attacked = target.copy()
    elif isinstance(target, str):
        rules = {"correct": correct, "all": np.ones(table.n_events, dtype=np.bool_)}
        if target not in rules:
            msg = f"target {target!r} is unknown; use 'correct', 'all', a class number, or a boolean mask"
            raise ValueError(msg)
        attacked = rules[target]
    else:
        attacked = correct & (table.labels == target)
    if not attacked.any():
        msg = f"target {target!r} selects no event; are labels and network outputs in the same order?"
        raise ValueError(msg)
    return np.asarray(attacked)


def _iterate(
    attack: Attack,
    problem: AttackProblem,
    rng: np.random.Generator,
    progress: Callable[[Iteration], None] | None,
) -> tuple[FloatArray, tuple[Iteration, ...], int]:
    start = time.perf_counter()
    values: FloatArray = problem.table.values
    history: list[Iteration] = []
    done = 0
    try:
        for iteration in range(attack.n_iterations):
            values = _step_within_regions(attack, problem, values, iteration, rng)
            done = iteration + 1
            if progress is not None:
                history.append(_measure(problem, values, done, attack.n_iterations, time.perf_counter() - start))
                progress(history[-1])
    except KeyboardInterrupt:
        if not done:
            raise
    return values, tuple(history), done


def _step_within_regions(
    attack: Attack, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
) -> FloatArray:
    """Repeat a step without the events that it would take out of a region, until none does."""
    for _ in range(_MAX_REGION_RETRIES):
        state = rng.bit_generator.state
        moved = attack.iterate(problem, values, iteration, rng)
        leaving = _leaving(problem.table, moved)
        if not leaving.any():
            return moved
        problem = replace(problem, frozen=problem.frozen | leaving)
        rng.bit_generator.state = state
    return values


def _leaving(table: EventTable, values: FloatArray) -> BoolArray:
    leaving = np.zeros(table.n_events, dtype=np.bool_)
    for region in table.regions:
        if region.select is not None:
            leaving |= np.asarray(region.select(values), dtype=np.bool_) != region.mask
    return leaving


def _measure(problem: AttackProblem, values: FloatArray, index: int, n_iterations: int, seconds: float) -> Iteration:
    compatibility = compare(problem.table, problem.table.with_values(values), problem.binning)
    changed = problem.classifier.predict(problem.network_values(values)) != problem.classes
    weights = problem.table.weights[problem.attacked]
    return Iteration(
        index=index,
        n_iterations=n_iterations,
        fooling_ratio=float(weights[changed[problem.attacked]].sum() / weights.sum()),
        max_js_distance=compatibility.max_js_distance,
        correlation_shift=compatibility.correlation_shift,
        seconds=seconds,
    )


def _verify(problem: AttackProblem, values: FloatArray) -> None:
    table, bounds = problem.table, problem.bounds
    if not np.array_equal(np.isnan(values), table.missing):
        msg = "the attack changed which values are missing; missing values must stay missing and present ones present"
        raise ConstraintError(msg)
    moved = (values != table.values) & ~table.missing
    fixed = table.features.of_kind("fixed")
    if moved[:, fixed].any():
        name = np.array(table.features.names)[fixed][moved[:, fixed].any(axis=0)][0]
        msg = f"the attack moved {name!r}, which is fixed"
        raise ConstraintError(msg)
    _check_derived(table.with_values(values), "adversarial", ConstraintError)
    angles = table.features.of_kind("angle")
    outside = moved & ~angles & ((values < bounds.lower[bounds.row]) | (values > bounds.upper[bounds.row]))
    outside |= moved & ((values < table.features.lower) | (values > table.features.upper))
    if outside.any():
        event, j = np.argwhere(outside)[0]
        msg = f"the attack moved {table.features.names[j]!r} of event {event} to {values[event, j]}, out of its bounds"
        raise ConstraintError(msg)
    if _leaving(table, values).any():
        msg = f"{int(_leaving(table, values).sum())} events changed their region under attack"
        raise ConstraintError(msg)
