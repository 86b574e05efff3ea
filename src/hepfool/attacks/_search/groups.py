# SPDX-License-Identifier: BSD-3-Clause
"""Which events are compared with which caps, and which of these groups are independent of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._search.ledger import Group
from hepfool.attacks._search.score import ScoreGroup
from hepfool.events import EventTable
from hepfool.models.protocols import inputs_of, threshold_of
from hepfool.statistics._dataset_state import Nominal
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray
from hepfool.validation import Validation


class Prices(Protocol):
    """What an attack asks for a distance and a shift, and what one move may do."""

    @property
    def per_bin(self) -> bool:
        """Whether there is one candidate per bin, in either direction."""
        ...

    def alpha_of(self, cap: float) -> float:
        """Price of a distance under a cap."""
        ...

    def beta_of(self, cap: float) -> float:
        """Price of the correlation shift under a cap."""
        ...

    @property
    def reward(self) -> float:
        """What fooling all attacked events is worth."""
        ...

    @property
    def max_correlation_change(self) -> float:
        """Cap on what one move does to the correlations."""
        ...

    @property
    def max_js_change(self) -> float:
        """Cap on what one move does to a marginal."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Island:
    """
    Events whose groups share no event with other groups.

    Attributes
    ----------
    number : int
        Position among the islands.
    events : BoolArray, shape (n_events,)
        Members.
    groups : tuple of Group
        What is compared by itself.
    nominal : tuple of Nominal
        The nominal sums of each group.
    score_groups : tuple of ScoreGroup
        Whose scores are compared by themselves.
    """

    number: int
    events: BoolArray
    groups: tuple[Group, ...]
    nominal: tuple[Nominal, ...]
    score_groups: tuple[ScoreGroup, ...]


def groups_of(
    problem: AttackProblem, table: EventTable, binning: Binning, validation: Validation, prices: Prices
) -> tuple[list[Group], list[ScoreGroup]]:
    """Sort what the validation compares by the events that it looks at."""
    found: dict[bytes, Group] = {}
    scored: dict[bytes, ScoreGroup] = {}
    inputs, classifier, n_columns = problem.table, problem.classifier, table.n_features
    scores = None if validation.score is None else (classifier.scores(inputs_of(classifier, inputs)),) * 2
    edges = Binning(binning.edges[: inputs.n_features])
    for one in validation.comparisons(inputs, inputs, binning=edges, scores=scores, threshold=threshold_of(classifier)):
        key, caps = one.events.tobytes(), np.array(one.caps)
        if one.scored:
            cap = min(float(caps.min()), scored[key].max_js_distance if key in scored else math.inf)
            if not math.isinf(cap):
                scored[key] = ScoreGroup(name=one.part, events=one.events, max_js_distance=cap)
            continue
        free = np.full(n_columns, np.inf)
        empty = Group(
            name=one.part, events=one.events, alpha=np.zeros(n_columns), max_js_distance=free, max_step=free.copy()
        )
        group = found.setdefault(key, empty)
        if one.binning is None:
            shift, change = min(one.caps[0], group.max_shift), prices.max_correlation_change
            found[key] = replace(group, beta=prices.beta_of(shift), max_shift=shift, max_change=change, correlated=True)
            continue
        columns = [table.features.index(name) for name in one.columns]
        caps = np.minimum(caps, group.max_js_distance[columns])
        group.max_js_distance[columns], group.alpha[columns] = caps, [prices.alpha_of(float(cap)) for cap in caps]
        group.max_step[columns] = prices.max_js_change
    return list(found.values()), list(scored.values())


def islands_of(
    table: EventTable, groups: list[Group], score_groups: list[ScoreGroup], binning: Binning
) -> tuple[Island, ...]:
    """Join groups that share events."""
    everything: list[Group | ScoreGroup] = [*groups, *score_groups]
    if everything:
        member = np.stack([g.events for g in everything]).astype(np.int64)
        _, label = connected_components(csr_array(member @ member.T), directed=False)
    else:
        label = np.zeros(0, dtype=np.int64)
    islands = []
    free = np.ones(table.n_events, dtype=np.bool_)
    for number in range(int(label.max(initial=-1)) + 1):
        own = [g for g, of in zip(everything, label, strict=True) if of == number]
        events = np.logical_or.reduce([g.events for g in own])
        free &= ~events
        islands.append(
            Island(
                number,
                events,
                tuple(g for g in own if isinstance(g, Group)),
                tuple(Nominal.of(table, g.events, binning) for g in own if isinstance(g, Group)),
                tuple(g for g in own if isinstance(g, ScoreGroup)),
            )
        )
    if free.any():
        islands.append(Island(len(islands), free, (), (), ()))
    return tuple(islands)
