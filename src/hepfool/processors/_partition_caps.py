# SPDX-License-Identifier: BSD-3-Clause
"""
Loss of sensitivity by partitions, and how to recover part of it.

Caps that every partition respects are respected by all events, and by far: the shifts of the partitions
partly cancel.  :func:`raise_caps` gives the partitions higher caps, as long as the *measured* figures of all
events stay below the original ones.  :func:`partition_cost` shows both for several sizes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hepfool.attacks._conserv import CONSERVAttack
from hepfool.attacks._problem import Submits
from hepfool.events import EventTable
from hepfool.exceptions import ConstraintError
from hepfool.io._partitions import Partitions, write_partitions
from hepfool.processors._partitioned_attack import PartitionedAttack, PartitionedResult

#: What part of a cap the next trial aims at.
_AIM = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class CapTrial:
    """One attack with other caps per partition."""

    # Caps of the partitions on distances and on correlations, in units of those of all events.
    js_factor: float
    correlation_factor: float
    fooling_ratio: float
    max_js_distance: float
    correlation_shift: float
    within: bool  # whether these are below the original caps


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RaisedCaps:
    """The best attack on partitions whose merged figures meet the caps."""

    result: PartitionedResult
    trial: CapTrial
    trials: tuple[CapTrial, ...]  # all that was tried, in this order; the first has the caps as they are


def raise_caps(
    settings: PartitionedAttack,
    partitions: Partitions,
    *,
    executor: Submits | None = None,
    folder: str | Path | None = None,
    n_trials: int = 6,
) -> RaisedCaps:
    """
    Find by trial how high the caps of the partitions may be.

    The used fraction of each cap of all events gives the factor by which those of the partitions are changed next.

    Parameters
    ----------
    settings : PartitionedAttack
        Holds a ``CONSERVAttack`` whose caps all events shall meet.
    folder : str or Path, optional
        An existing empty folder for the adversarial events; the best attack is run once more to fill it.
    n_trials : int
        Attacks to try, with factors up to the number of partitions.

    Returns
    -------
    RaisedCaps
        The trial within the caps with the largest fooling ratio.

    Raises
    ------
    ValueError
        If the attack has no caps to raise.
    ConstraintError
        If no trial is within the caps.
    """
    attack = settings.attack
    if not isinstance(attack, CONSERVAttack) or n_trials < 1:
        msg = f"caps of {attack!r} cannot be raised in {n_trials} trials; give a CONSERVAttack and at least one"
        raise ValueError(msg)
    if attack.validation is not None:
        msg = "caps of a validation hold in each partition and cannot be raised; set max_js_distance and max_correlation_shift"
        raise ValueError(msg)
    if not math.isfinite(min(attack.max_js_distance, attack.max_correlation_shift)):
        msg = "neither max_js_distance nor max_correlation_shift is set, so there is nothing to raise"
        raise ValueError(msg)
    n_groups = len(settings.groups(partitions.files))
    factors = (1.0, 1.0)
    trials: list[CapTrial] = []
    best: tuple[CapTrial, PartitionedResult] | None = None
    for _ in range(n_trials if n_groups > 1 else 1):
        result = replace(settings, attack=_raised(attack, *factors)).run(partitions, executor=executor)
        trials.append(_judged(attack, factors, result))
        if trials[-1].within and (best is None or trials[-1].fooling_ratio > best[0].fooling_ratio):
            best = trials[-1], result
        used = _used(attack, trials[-1])
        factors = (_next(factors[0], used[0], n_groups), _next(factors[1], used[1], n_groups))
    if best is None:
        msg = f"all events exceed the caps in each of {len(trials)} trials; lower the caps, or use larger partitions"
        raise ConstraintError(msg)
    trial, result = best
    if folder is not None:
        chosen = replace(settings, attack=_raised(attack, trial.js_factor, trial.correlation_factor))
        result = chosen.run(partitions, executor=executor, folder=folder)
    return RaisedCaps(result=result, trial=trial, trials=tuple(trials))


def _next(factor: float, used: float, largest: int) -> float:
    """Aim at the cap as if the measured figure were proportional to the factor; it is too noisy for a long bisection."""
    return min(max(factor * _AIM / max(used, 0.25), 1.0 / largest), float(largest))


def _used(attack: CONSERVAttack, trial: CapTrial) -> tuple[float, float]:
    caps = attack.max_js_distance, attack.max_correlation_shift
    found = trial.max_js_distance, trial.correlation_shift
    js, shift = (
        1.0 if math.isinf(cap) else value / cap if cap else 0.0 for value, cap in zip(found, caps, strict=True)
    )
    return js, shift


def _raised(attack: CONSERVAttack, js_factor: float, correlation_factor: float) -> CONSERVAttack:
    """Multiply the caps; one move is a larger change in a smaller set, too."""
    return replace(
        attack,
        max_js_distance=js_factor * attack.max_js_distance,
        max_correlation_change=correlation_factor * attack.max_correlation_change,
        max_correlation_shift=correlation_factor * attack.max_correlation_shift,
    )


def _judged(attack: CONSERVAttack, factors: tuple[float, float], result: PartitionedResult) -> CapTrial:
    distance, shift = result.compatibility.max_js_distance, result.compatibility.correlation_shift
    return CapTrial(
        js_factor=factors[0],
        correlation_factor=factors[1],
        fooling_ratio=result.fooling_ratio,
        max_js_distance=distance,
        correlation_shift=shift,
        within=distance <= attack.max_js_distance and shift <= attack.max_correlation_shift,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartitionCost:
    """
    Attacks on the same events in ever smaller partitions.

    Attributes
    ----------
    n_events : int
        Events in all.
    max_js_distance, max_correlation_shift : float
        Caps on all events, dimensionless.
    n_partitions : tuple of int
        Into how many parts the events were dealt.
    kept : tuple of tuple of CapTrial
        For each number of partitions, one attack per seed with the caps on every partition.
    raised : tuple of tuple of CapTrial
        The same with raised caps; equal where there is one partition.
    """

    n_events: int
    max_js_distance: float
    max_correlation_shift: float
    n_partitions: tuple[int, ...]
    kept: tuple[tuple[CapTrial, ...], ...]
    raised: tuple[tuple[CapTrial, ...], ...]


def partition_cost(
    table: EventTable,
    settings: PartitionedAttack,
    *,
    n_partitions: Sequence[int] = (1, 4, 20, 100),
    seeds: Iterable[int] = (1,),
    n_trials: int = 6,
) -> PartitionCost:
    """
    Attack the same events whole and in partitions, with caps as they are and raised.

    Parameters
    ----------
    settings : PartitionedAttack
        Holds a ``CONSERVAttack`` that has caps; sizes and seed are replaced.
    n_partitions : sequence of int
        Into how many parts to deal the events.
    seeds : iterable of int
        Each deals the events anew, and seeds the attacks.

    Returns
    -------
    PartitionCost
        For :func:`~hepfool.plots.plot_partition_cost`.

    Raises
    ------
    ValueError
        If the attack has no caps to raise.
    """
    found: dict[int, list[RaisedCaps]] = {parts: [] for parts in n_partitions}
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(table.n_events)
        for parts in n_partitions:
            size = table.n_events // parts
            sized = replace(settings, seed=seed, partition_events=size, max_events=table.n_events if parts == 1 else 0)
            with tempfile.TemporaryDirectory() as folder:
                stored = write_partitions(folder, (table.select(rows) for rows in np.array_split(order, parts)))
                found[parts].append(raise_caps(sized, stored, n_trials=n_trials))
    attack = settings.attack
    return PartitionCost(
        n_events=table.n_events,
        max_js_distance=float(getattr(attack, "max_js_distance", math.inf)),
        max_correlation_shift=float(getattr(attack, "max_correlation_shift", math.inf)),
        n_partitions=tuple(n_partitions),
        kept=tuple(tuple(one.trials[0] for one in found[parts]) for parts in n_partitions),
        raised=tuple(tuple(one.trial for one in found[parts]) for parts in n_partitions),
    )
