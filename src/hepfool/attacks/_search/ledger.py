# SPDX-License-Identifier: BSD-3-Clause
"""
Marginals and moments of every group of events that is compared by itself.

A group is what a validation compares at a time: all validated events, those of one region, or those of one process in
one region.  An event counts in every group that it belongs to, which is one, unless regions overlap or
marginals and correlations are compared in different groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hepfool._kernels import allocating_part, inline_kernel
from hepfool.attacks._search.price import Rules
from hepfool.events import EventTable
from hepfool.statistics._dataset_state import (
    CORRELATION,
    DISTANCE,
    INVERSE_SIGMA,
    NOMINAL_ROW,
    NORM,
    VARIANCE,
    DatasetState,
    Nominal,
    new_state,
)
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Caps are kept with room for the rounding of a recomputation.
_ROUNDING = 1e-9
_ALPHA, _MAX_DIVERGENCE, _MAX_STEP = range(3)
_BETA, _MAX_SHIFT, _MAX_CHANGE = range(3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """
    Events that are compared by themselves, with prices and caps.

    Attributes
    ----------
    name : str
        Such as ``low_mt`` or ``low_mt, ttbar``.
    events : BoolArray, shape (n_events,)
        Members.
    alpha, max_js_distance, max_step : FloatArray, shape (n_columns,)
        Price of and cap on each column's distance, and cap on what one move may do to its marginal.
    beta, max_shift, max_change : float
        Price of and cap on the correlation shift, and cap on what one move may do to the correlations.
    correlated : bool
        Whether correlations are compared.
    """

    name: str
    events: BoolArray
    alpha: FloatArray
    max_js_distance: FloatArray
    max_step: FloatArray
    beta: float = 0.0
    max_shift: float = np.inf
    max_change: float = np.inf
    correlated: bool = False


class Ledger(NamedTuple):
    """
    The states of all groups, and what each may cost and become.

    Attributes
    ----------
    bins, blocks, vectors, matrices, scalars
        Those of :class:`~hepfool.statistics._dataset_state.DatasetState`, one per group along the first axis.
    caps : FloatArray, shape (n_groups, 3, n_columns)
        Price of each column's distance, cap on its square, and cap on the square of what one move does to the marginal.
    limits : FloatArray, shape (n_groups, 3)
        Price of the correlation shift, cap on it, and cap on the change of the correlations by one move.
    first : IntArray, shape (n_events + 1,)
        Where each event's entries of ``member`` start.
    member : IntArray, shape (n_entries,)
        Groups of each event, one event after the other.
    """

    bins: FloatArray
    blocks: FloatArray
    vectors: FloatArray
    matrices: FloatArray
    scalars: FloatArray
    caps: FloatArray
    limits: FloatArray
    first: IntArray
    member: IntArray

    @classmethod
    def of(
        cls,
        table: EventTable,
        values: FloatArray,
        groups: Sequence[Group],
        binning: Binning,
        nominal: Sequence[Nominal],
        counted: BoolArray,
    ) -> Ledger:
        """
        Measure every group from scratch.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        values : FloatArray, shape (n_events, n_columns)
            Events as they are now.
        groups : sequence of Group
            What is compared by itself.
        binning : Binning
            Bins of the marginals.
        nominal : sequence of Nominal
            The nominal sums of each group.
        counted : BoolArray, shape (n_columns,)
            Columns that count in the correlations: the network's inputs.

        Returns
        -------
        Ledger
            Exact to rounding.
        """
        states = [
            _without(
                new_state(
                    table,
                    values,
                    group.events,
                    binning,
                    _compared(group, sums),
                    correlated=group.correlated,
                ),
                counted & group.correlated,
            )
            for group, sums in zip(groups, nominal, strict=True)
        ]
        stacked = DatasetState(*(np.stack([getattr(state, name) for state in states]) for name in DatasetState._fields))
        room = 1.0 - _ROUNDING
        caps = np.stack([np.stack([g.alpha, (g.max_js_distance * room) ** 2, g.max_step**2]) for g in groups])
        limits = np.array([[g.beta, g.max_shift * room, g.max_change] for g in groups])
        membership = np.stack([group.events for group in groups], axis=1)  # (n_events, n_groups)
        first = np.concatenate([[0], np.cumsum(membership.sum(axis=1))])
        return cls(
            *stacked, caps=caps, limits=limits, first=first, member=np.ascontiguousarray(np.nonzero(membership)[1])
        )

    @property
    def single(self) -> bool:
        """Whether no event counts in more than one group."""
        return bool((np.diff(self.first) <= 1).all())

    def copy(self) -> Ledger:
        """Keep the state as it is now, to return to it."""
        return self._replace(**{name: getattr(self, name).copy() for name in DatasetState._fields})

    def restore(self, kept: Ledger) -> None:
        """Return to a state that was kept."""
        for name in DatasetState._fields:
            getattr(self, name)[:] = getattr(kept, name)


def _compared(group: Group, nominal: Nominal) -> Nominal:
    """Count what is not compared in one bin, in which no content turns negative and no distance arises."""
    idle = (group.alpha == 0.0) & np.isinf(group.max_js_distance) & np.isinf(group.max_step)
    return nominal._replace(merged=np.where(idle[:, np.newaxis], 0, nominal.merged)) if idle.any() else nominal


def _without(state: DatasetState, counted: BoolArray) -> DatasetState:
    """Leave columns out of the correlations; if these are not compared, all of them."""
    if counted.all():
        return state
    nominal, vectors, scalars = state.matrices[CORRELATION], state.vectors, state.scalars
    current = state.matrices[0] * vectors[INVERSE_SIGMA] * vectors[INVERSE_SIGMA][:, np.newaxis]
    pair = np.outer(counted, counted)
    nominal[~pair] = 0.0
    vectors[INVERSE_SIGMA, ~counted] = 0.0
    vectors[NOMINAL_ROW] = (nominal**2).sum(axis=1)
    if not counted.any():
        vectors[VARIANCE] = np.inf  # whatever moves, no correlation arises
    scalars[NORM] = max((nominal**2).sum() + counted.sum(), 1.0)
    scalars[DISTANCE] = (np.where(pair, current - nominal, 0.0) ** 2).sum()
    return state


@inline_kernel
def state_of(ledger: Ledger, g: int) -> DatasetState:
    """State of one group, for kernels that do not count references to arrays."""
    return DatasetState(ledger.bins[g], ledger.blocks[g], ledger.vectors[g], ledger.matrices[g], ledger.scalars[g])


@allocating_part
def owned_state_of(ledger: Ledger, g: int) -> DatasetState:
    """State of one group, for kernels that count references and would free what :func:`state_of` did not take."""
    return DatasetState(ledger.bins[g], ledger.blocks[g], ledger.vectors[g], ledger.matrices[g], ledger.scalars[g])


@inline_kernel
def rules_of(ledger: Ledger, g: int, j: int) -> Rules:
    """Prices and caps of one column in one group."""
    caps, limits = ledger.caps[g], ledger.limits[g]
    return Rules(
        caps[_ALPHA, j],
        limits[_BETA],
        caps[_MAX_DIVERGENCE, j],
        limits[_MAX_CHANGE],
        limits[_MAX_SHIFT],
        caps[_MAX_STEP, j],
    )
