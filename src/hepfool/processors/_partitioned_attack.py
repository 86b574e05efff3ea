# SPDX-License-Identifier: BSD-3-Clause
r"""
Attack more events than one node holds, partition by partition.

All partitions share the bins of all events.  The Jensen-Shannon divergence is jointly convex, so that
:math:`\mathrm{JSD}^2(\text{all}) \le \sum_p (W_p/W)\,\mathrm{JSD}^2_p`: a cap that every partition respects is
respected by all events.  The price is sensitivity: one event is a larger step in a smaller set.
:func:`raise_caps` gets part of it back, by caps per partition at which the *measured* figures of
all events still meet the caps; :func:`partition_cost` measures what is lost.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from coffea.processor import accumulate

from hepfool.attacks._problem import Submits, bins_of, n_bins_of
from hepfool.events import EventTable
from hepfool.exceptions import ConstraintError, LowStatisticsWarning
from hepfool.io._partitions import PartitionFile, Partitions, empty, write_partition
from hepfool.processors._chunk import (
    N_EVENTS_PER_CHUNK,
    NotAttacked,
    attack_what_can_be,
    network_remarks,
    sums_of_data,
    warn_of_network,
    warn_of_unattacked,
)
from hepfool.processors._collected import joined, without_blinded
from hepfool.processors._plan import AttackPlan
from hepfool.processors._workers import watched_workers
from hepfool.processors.passes import Ranges
from hepfool.statistics._comparisons import Validated
from hepfool.statistics._compatibility import Compatibility
from hepfool.statistics.marginals import Binning
from hepfool.sums import AttackSums
from hepfool.typing import FloatArray

#: Rounding of the divergences.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartitionedResult:
    """
    What an attack on partitions achieved.

    Attributes
    ----------
    sums : AttackSums
        Of all events, of which :func:`hepfool.study.judged` makes verdict, report and figures.
    not_attacked : mapping
        Events and partitions that could not be attacked, by reason.
    compatibility : Compatibility
        Exact distances over all constrained events.
    fooling_ratio : float
        Weighted fraction of all attacked events with a changed class.
    js_bound : FloatArray, shape (n_features,)
        Largest value of each distance that those of the partitions allow (proved, for the events found), dimensionless;
        NaN where negative bin contents leave it without meaning.
    n_events : tuple of int
        Labelled events of each partition.
    adversarial : Partitions or None
        Adversarial events, with the spectators ``attacked`` and ``fooled``, if a folder was named.
    """

    sums: AttackSums
    not_attacked: dict[str, Any]
    compatibility: Compatibility
    fooling_ratio: float
    js_bound: FloatArray
    n_events: tuple[int, ...]
    adversarial: Partitions | None = None

    @property
    def validated(self) -> Validated:
        """Every comparison that the attack had to keep, measured on all events, beside its cap."""
        return self.sums.validated

    @property
    def converged(self) -> bool | None:
        """Whether the attack of every partition has converged; None if it does not test convergence."""
        return self.sums.converged


@dataclass(frozen=True, kw_only=True, eq=False)
class PartitionedAttack(AttackPlan):
    """
    How events in files are attacked: the fields of :class:`~hepfool.processors.AttackPlan`, and sizes.

    Attributes
    ----------
    max_events : int
        Up to so many events are attacked at once, on one node.
    partition_events : int
        Events per partition above that, at least.
    retries : int
        How often a partition that was lost, with its worker or otherwise, is begun again.

    Examples
    --------
    >>> import tempfile
    >>> from hepfool.attacks._stochastic import Noise
    >>> from hepfool.io._partitions import write_partitions
    >>> from hepfool.models.blackbox import CallableClassifier
    >>> table = EventTable.from_arrays(np.linspace(-1, 1, 50)[:, None], labels=[0] * 25 + [1] * 25)
    >>> network = CallableClassifier(lambda x: (x[:, 0] > 0).astype(float))
    >>> attack = PartitionedAttack(classifier=network, attack=Noise(size=0.1, n_bins=10))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = attack.run(write_partitions(folder, [table]))
    >>> result.n_events, result.fooling_ratio > 0
    ((50,), True)
    """

    max_events: int = 2_000_000
    partition_events: int = 1_000_000
    retries: int = 3

    def run(
        self, partitions: Partitions, *, executor: Submits | None = None, folder: str | Path | None = None
    ) -> PartitionedResult:
        """
        Attack the events of a folder.

        Parameters
        ----------
        partitions : Partitions
            From a ``PartitionProcessor`` or :func:`~hepfool.io.open_partitions`.
        executor : Submits, optional
            Runs the partitions; one after the other in this process by default.
        folder : str or Path, optional
            An existing empty folder for the adversarial events.

        Returns
        -------
        PartitionedResult
            The same as from all events at once if they make one partition.

        Raises
        ------
        ValueError
            If no labelled event is there, or none of the partitions can be attacked.
        ConstraintError
            If the merged events are further from nominal than convexity allows.

        Warns
        -----
        LowStatisticsWarning
            If partitions are so small that the attack is weak, or cannot be attacked; how many events these hold stands
            in ``not_attacked``, by reason.
        NetworkWarning
            If the network is probably not what it is said to be.
        """
        groups = self.groups(partitions.files)
        # Events that one worker sees have the bins of the attack; of others only the ranges are known beforehand.
        several = len(groups) > 1 and self.binning is None
        settings = replace(self, binning=self._binning(partitions, groups, executor)) if several else self
        calls = [(_attack_group, settings, partitions, group, k, folder) for k, group in enumerate(groups)]
        parts = self._submitted(executor, calls)
        if len(parts) > 1:
            _warn_of_small_partitions([part.n_constrained for part in parts])
        warn_of_network(dict(Counter(remark for part in parts for remark in part.remarks)))
        return _merged(parts, folder)

    def groups(self, files: Sequence[PartitionFile]) -> list[tuple[PartitionFile, ...]]:
        """
        Deal the files into partitions of about the same composition.

        Returns
        -------
        list of tuple of PartitionFile
            One if all events fit; else each with ``partition_events`` at least.
        """
        total = sum(file.n_events for file in files)
        n_groups = 1 if total <= self.max_events else max(1, total // self.partition_events)
        while n_groups > 1:
            dealt = _dealt(files, n_groups)
            if min(sum(file.n_events for file in group) for group in dealt) >= self.partition_events:
                return dealt
            n_groups -= 1
        return [tuple(files)]

    def _binning(
        self, partitions: Partitions, groups: Sequence[tuple[PartitionFile, ...]], executor: Submits | None
    ) -> Binning:
        ranges = self._submitted(executor, [(_ranges_of, partitions, group) for group in groups])
        found: Ranges = ranges[0]
        for other in ranges[1:]:
            found = found + other
        if not found.n_events:
            raise ValueError(_no_events(partitions))
        return found.binning(n_bins_of(self.attack))

    def _submitted(self, executor: Submits | None, calls: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Run calls; begin again what was lost, and nothing else."""
        submit = _now if executor is None else executor.submit
        started = [(call, submit(*call)) for call in calls]
        with watched_workers(executor, what="the attack on partitions"):
            return [self._result(submit, call, future) for call, future in started]

    def _result(self, submit: Callable[..., Any], call: tuple[Any, ...], future: Any) -> Any:
        for left in reversed(range(self.retries + 1)):
            try:
                return future.result()
            except (ArithmeticError, AttributeError, ConstraintError, LookupError, TypeError, ValueError):
                raise  # would fail again
            except Exception:
                if not left:
                    raise
                future = submit(*call)
        return None  # not reached: the last attempt returns or raises


class _Now:
    """A future of a call that is made when its result is asked for."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.result = lambda: function(*arguments)


def _now(function: Callable[..., Any], *arguments: Any) -> _Now:
    return _Now(function, *arguments)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """What a worker returns."""

    sums: dict[str, Any]
    n_events: int
    n_constrained: int
    sum_weights: float
    js_divergence: FloatArray
    like: EventTable
    file: PartitionFile | None
    remarks: tuple[str, ...] = ()


def _dealt(files: Sequence[PartitionFile], n_groups: int) -> list[tuple[PartitionFile, ...]]:
    """Give each file, dataset by dataset and large ones first, to the group with the fewest events of this dataset."""
    groups: list[list[int]] = [[] for _ in range(n_groups)]
    order = sorted(range(len(files)), key=lambda k: (files[k].datasets, -files[k].n_events, k))
    total = np.zeros(n_groups)
    same = np.zeros(n_groups)
    previous: tuple[str, ...] = ()
    for k in order:
        if files[k].datasets != previous:
            same[:], previous = 0.0, files[k].datasets
        chosen = int(np.lexsort((total, same))[0])
        groups[chosen].append(k)
        same[chosen] += files[k].n_events
        total[chosen] += files[k].n_events
    return [tuple(files[k] for k in sorted(group)) for group in groups]


def _no_events(partitions: Partitions) -> str:
    return f"no labelled, constrained event among {partitions.n_events} in {partitions.folder}; check the selection"


def _ranges_of(partitions: Partitions, files: tuple[PartitionFile, ...]) -> Ranges:
    ranges = Ranges.of(partitions.like)
    for file in files:
        ranges = ranges + Ranges.of(partitions.read([file]))
    return ranges


def _attack_group(
    plan: AttackPlan,
    partitions: Partitions,
    files: tuple[PartitionFile, ...],
    index: int,
    folder: str | Path | None,
) -> _Part:
    """Attack one partition, on a worker."""
    tables = {k: without_blinded(partitions.read([file]), unblind=plan.unblind) for k, file in enumerate(files)}
    labelled, data = joined(tables, labelled=True), joined(tables, labelled=False)
    tables.clear()
    parts, missed = [], NotAttacked()
    if plan.binning is None:
        if labelled is None or not labelled.constrained.any():
            raise ValueError(_no_events(partitions))
        plan = replace(plan, binning=bins_of(plan.attack, labelled))
    described = partitions.like if labelled is None else labelled
    divergence = np.zeros(described.n_features)
    if labelled is not None:
        # The first partition draws the numbers of an attack on all events: [seed, 0] is the same state as seed.
        outcome = attack_what_can_be(plan, labelled, np.random.default_rng([plan.seed, index]))
        result, missed = outcome.result, outcome.missed
        parts.append(result.sums(plan.classifier, detector=plan.detector))
        divergence = _divergence(labelled, parts[0])
        marks = {"attacked": result.attacked, "fooled": result.fooled}
        described = replace(result.adversarial, spectators={**result.adversarial.spectators, **marks})
    if data is not None or not parts:
        parts.append(sums_of_data(plan, partitions.like if data is None else data))
    file = None
    if folder is not None and labelled is not None:
        file = write_partition(folder, f"part-{index:05d}", described)
    return _Part(
        sums={"sums": sum(parts[1:], parts[0]), "not_attacked": missed.as_dict()},
        n_events=0 if labelled is None else labelled.n_events,
        n_constrained=0 if labelled is None else int(labelled.constrained.sum()),
        sum_weights=0.0 if labelled is None else float(labelled.weights[labelled.constrained].sum()),
        js_divergence=divergence,
        like=empty(described),
        file=file,
        remarks=() if labelled is None else network_remarks(plan.classifier, labelled),
    )


def _divergence(table: EventTable, sums: AttackSums) -> FloatArray:
    """Squared distances of one partition; NaN where negative weights leave convexity without meaning."""
    if not table.constrained.any():
        return np.zeros(table.n_features)
    found = sums.compatibility()
    sound = not found.n_merged_bins and table.weights[table.constrained].sum() > 0
    return found.js_distance**2 if sound else np.full(table.n_features, np.nan)


def _merged(parts: Sequence[_Part], folder: str | Path | None) -> PartitionedResult:
    if not any(part.n_events for part in parts):
        msg = "no labelled event is in any partition, so that nothing can be attacked; check the selection"
        raise ValueError(msg)
    output = accumulate([part.sums for part in parts])
    sums: AttackSums = output["sums"]
    warn_of_unattacked(output, what="partitions", repair="raise partition_events")
    found, counts = sums.compatibility(), sums.counts()
    if output["not_attacked"] and not counts.n_attacked:
        msg = f"no event was attacked: {'; '.join(sorted(output['not_attacked']))}; make larger partitions"
        raise ValueError(msg)
    weights = np.array([part.sum_weights for part in parts])
    divergence = (weights / weights.sum()) @ np.stack([part.js_divergence for part in parts])
    if (found.js_distance**2 > divergence + _ROUNDING).any():
        j = int(np.argmax(found.js_distance**2 - divergence))
        msg = (
            f"all events are {found.js_distance[j]:g} from nominal in {found.features[j]!r}, more than the {divergence[j] ** 0.5:g} "
            "that follows from their partitions; check that the files are unchanged and that all partitions share the bins"
        )
        raise ConstraintError(msg)
    adversarial = None
    if folder is not None:
        files = tuple(part.file for part in parts if part.file is not None)
        like = next(part.like for part in parts if part.n_events)
        adversarial = Partitions(folder=Path(folder), files=files, like=like)
        adversarial.save()
    return PartitionedResult(
        sums=sums,
        not_attacked=output["not_attacked"],
        compatibility=found,
        fooling_ratio=counts.fooling_ratio,
        js_bound=np.sqrt(divergence),
        n_events=tuple(part.n_events for part in parts),
        adversarial=adversarial,
    )


def _warn_of_small_partitions(constrained: Sequence[int]) -> None:
    small = [n for n in constrained if n < N_EVENTS_PER_CHUNK]
    if small:
        warnings.warn(
            f"{len(small)} of {len(constrained)} partitions have fewer than {N_EVENTS_PER_CHUNK} constrained events "
            f"(smallest {min(small)}): their attack is weaker than that of all events; raise partition_events, or raise_caps",
            LowStatisticsWarning,
            stacklevel=3,
        )
