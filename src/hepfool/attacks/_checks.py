# SPDX-License-Identifier: BSD-3-Clause
"""What may be attacked, and whether an attack kept its promises."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from hepfool._parts import Part
from hepfool.attacks._problem import AttackProblem
from hepfool.events import EventTable
from hepfool.exceptions import ConstraintError, GradientsUnavailableError, LowStatisticsWarning
from hepfool.models._probe import check_names, require_classifier
from hepfool.models.protocols import Classifier
from hepfool.statistics._weights import check_weights, lacking_variance
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Events that are verified at a time.
_CHECKED = 1 << 16
#: From how many events on a gradient of zero is no accident.
_N_FLAT = 20

#: Which events are attacked: by rule, by class, or by mask.
Target = Literal["correct", "all"] | int | BoolArray


def check_input(classifier: Classifier, table: EventTable) -> None:
    """Refuse a table that cannot be attacked, and what is not a classifier."""
    require_classifier(classifier)
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
    check_names(classifier, table.features.names)
    if table.labels.max(initial=0) >= classifier.n_classes:
        msg = f"label {table.labels.max()} is outside of the network's {classifier.n_classes} classes (0 to {classifier.n_classes - 1})"
        raise ValueError(msg)
    check_weights(table)
    _check_derived(table, "nominal", ValueError)
    n_constrained = int(np.count_nonzero(table.weights[table.constrained]))
    if n_constrained < 10 * table.n_features:
        warnings.warn(
            f"only {n_constrained} constrained events have a weight, for {table.n_features} features: "
            "marginals and correlations are dominated by statistics",
            LowStatisticsWarning,
            stacklevel=4,
        )


def _check_derived(table: EventTable, name: str, error: type[Exception]) -> None:
    for j in table.features.derived:
        feature = table.features[j]
        wrong = table.features.departs(table.values, j)
        if wrong.any():
            event = int(np.argmax(wrong))
            expected, found = table.features.derive(table.values, j), table.values[:, j]
            msg = (
                f"{name} {feature.name!r} of event {event} is {found[event]}, its function gives {expected[event]} "
                f"({int(wrong.sum())} such events); correct the function, recompute the column, or raise its tolerance"
            )
            raise error(msg)


def generator(rng: np.random.Generator | int) -> np.random.Generator:
    """Take a generator, or make one from a seed; nothing could repeat a run without either."""
    if isinstance(rng, np.random.Generator):
        return rng
    seed = cast("object", rng)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        msg = f"rng must be a seed from 0 on, such as rng=7, or a numpy.random.Generator, got {rng!r}"
        raise ValueError(msg)
    return np.random.default_rng(int(seed))


def check_slope(problem: AttackProblem, slope: FloatArray) -> None:
    """Refuse, at the first question, a network whose margin depends on no input: an attack would stand still."""

    def check() -> bool:
        if len(slope) >= _N_FLAT and not slope.any():
            msg = (
                f"the network's gradient is zero for all {len(slope)} events: its margin does not depend on the inputs, because "
                "forward() detaches or rounds them or the network is constant between its cuts; mend that, or take "
                "hepfool.models.blackbox.FiniteDifference with wider steps, or read trees by hepfool.load_model"
            )
            raise GradientsUnavailableError(msg)
        return True

    problem.once("slope checked", check)


def attacked_events(target: Target, table: EventTable, classes: IntArray) -> BoolArray:
    """Mark the events that a target means, of which there is at least one."""
    attacked = meant_events(target, table, classes)
    if not attacked.any():
        msg = f"target {target!r} selects no event; are labels and network outputs in the same order?"
        raise ValueError(msg)
    return attacked


def meant_events(target: Target, table: EventTable, classes: IntArray) -> BoolArray:
    """Mark the events that a target means."""
    correct = classes == table.labels
    given = cast("object", target)
    if isinstance(given, np.ndarray | list):
        mask = np.asarray(given)
        if mask.shape != (table.n_events,) or mask.dtype != np.bool_:
            msg = f"a target mask needs booleans of shape ({table.n_events},), got {mask.dtype} {mask.shape}"
            raise ValueError(msg)
        return mask.copy()
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        return np.asarray(correct & (table.labels == given))
    rules = {"correct": correct, "all": np.ones(table.n_events, dtype=np.bool_)}
    if not isinstance(given, str) or given not in rules:
        msg = f"target {given!r} is unknown; use 'correct', 'all', a class number, or a boolean mask"
        raise ValueError(msg)
    return np.asarray(rules[given])


def check_parts(table: EventTable, parts: Sequence[Part], attacked: BoolArray) -> None:
    """Refuse an attack of events of which none can be compared."""
    left = ~in_parts(table, parts)
    if parts and not ((attacked & left).any() and (table.constrained & left).any()):
        named: dict[str, list[str]] = {}
        for part in parts:
            weight = table.weights[part.events].sum()
            named.setdefault(_why(table, part), []).append(
                f"{part.name} ({part.events.sum()} events of weight {weight:g})"
            )
        reasons = "; ".join(f"{why} in {', '.join(names)}" for why, names in named.items())
        msg = f"no event is left to attack: {reasons}; join regions or processes, or add events"
        raise ValueError(msg)


def _why(table: EventTable, part: Part) -> str:
    """Say why the events of a part cannot be compared."""
    values, weights = table.values[part.events], table.weights[part.events]
    if not weights.sum() > 0:
        return "the weights of the constrained events do not sum to a positive number"
    return f"the weighted variance of {table.features.names[int(np.argmax(lacking_variance(values, weights)))]!r} is not positive"


def in_parts(table: EventTable, parts: Sequence[Part]) -> BoolArray:
    """Mark the events of any of these parts."""
    found = np.zeros(table.n_events, dtype=np.bool_)
    for part in parts:
        found |= part.events
    return found


def leaving(table: EventTable, values: FloatArray) -> BoolArray:
    """Mark the events that a region's selection judges otherwise than at their nominal values."""
    changed = np.zeros(table.n_events, dtype=np.bool_)
    for region in table.regions:
        if region.select is not None:
            now, before = (np.asarray(region.select(v), dtype=np.bool_) for v in (values, table.values))
            changed |= now != before
    return changed


def verify(problem: AttackProblem, values: FloatArray) -> None:
    """Find out whether an attack broke a promise about ranges, regions, fixed or derived values."""
    table, bounds = problem.table, problem.bounds
    if not np.array_equal(np.isnan(values), table.missing):
        msg = "the attack changed which values are missing; missing values must stay missing and present ones present"
        raise ConstraintError(msg)
    moved = (values != table.values) & ~table.missing
    fixed = table.features.of_kind("fixed")
    if moved[:, fixed].any():
        name = table.features.names[int(np.argmax(fixed & moved.any(axis=0)))]
        msg = f"the attack moved {name!r}, which is fixed"
        raise ConstraintError(msg)
    if table.features.derived:
        _check_derived(table.with_values(values), "adversarial", ConstraintError)
    angles = table.features.of_kind("angle")
    for start in range(0, len(values), _CHECKED):
        part = slice(start, start + _CHECKED)
        row, now = bounds.row[part], values[part]
        outside = ~angles & ((now < bounds.lower[row]) | (now > bounds.upper[row]))
        outside = moved[part] & (outside | (now < table.features.lower) | (now > table.features.upper))
        if outside.any():
            event, j = np.argwhere(outside)[0]
            name, event = table.features.names[j], start + event
            msg = f"the attack moved {name!r} of event {event} to {values[event, j]}, out of its bounds"
            raise ConstraintError(msg)
    if leaving(table, values).any():
        msg = f"{int(leaving(table, values).sum())} events changed their region under attack"
        raise ConstraintError(msg)
