# SPDX-License-Identifier: BSD-3-Clause
"""Sums over pairs of events, for distance correlations: one set for each group of events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hepfool._kernels import allocating_part
from hepfool.statistics._distance_correlation import DistanceState, Tableau, evaluate, move, new_tableau, tabulate
from hepfool.typing import BoolArray, FloatArray, IntArray


class Pairs(NamedTuple):
    """
    Sums over pairs of events, for distance correlations; kernels are given None in their place for Pearson's.

    Attributes
    ----------
    state : DistanceState
        Those of all groups, along the first axis: the arrays of events one after the other, the others stacked.
    tableau : Tableau
        Working space of each group, along the first axis.
    first : IntArray, shape (n_groups + 1,)
        Where each group's events start; a group whose correlations are not compared has none.
    position : IntArray, shape (n_groups, n_events)
        Place of each event among those of a group.
    """

    state: DistanceState
    tableau: Tableau
    first: IntArray
    position: IntArray

    @classmethod
    def of(cls, groups: Sequence[tuple[BoolArray, DistanceState]], n_candidates: int) -> Pairs:
        """
        Gather the sums of several groups.

        Parameters
        ----------
        groups : sequence of (BoolArray, DistanceState)
            Members, none where the correlations are not compared, and their sums.
        n_candidates : int
            Largest number of candidates.

        Returns
        -------
        Pairs
            Copies.
        """
        members, states = [group[0] for group in groups], [group[1] for group in groups]
        by_event = {"x", "weights", "rows"}
        state = DistanceState(
            *(
                (np.concatenate if name in by_event else np.stack)([getattr(state, name) for state in states])
                for name in DistanceState._fields
            )
        )
        one = new_tableau(n_candidates + 1, state.x.shape[1])
        tableau = Tableau(*(np.stack([array] * len(groups)) for array in one))
        first = np.concatenate([[0], np.cumsum([len(state.x) for state in states])])
        return cls(state, tableau, first, np.cumsum(np.stack(members), axis=1) - 1)


@allocating_part
def _sums_of(pairs: Pairs, g: int) -> DistanceState:
    """Return the sums over the pairs of one group."""
    start, stop, state = pairs.first[g], pairs.first[g + 1], pairs.state
    return DistanceState(
        state.x[start:stop],
        state.origin[g],
        state.width[g],
        state.weights[start:stop],
        state.rows[start:stop],
        state.pairs[g],
        state.products[g],
        state.totals[g],
        state.current[g],
        state.nominal[g],
    )


@allocating_part
def _tableau_of(pairs: Pairs, g: int) -> Tableau:
    """Working space of one group."""
    return Tableau(pairs.tableau.places[g], pairs.tableau.sums[g], pairs.tableau.counts[g])


@allocating_part
def tabulate_one(pairs: Pairs, g: int, i: int, j: int, value: float, moved: FloatArray) -> None:
    """Sum over the events of one group for the candidates of one value and the value itself."""
    state, tableau = _sums_of(pairs, g), _tableau_of(pairs, g)
    origin, width, places = state.origin[j], state.width[j], tableau.places
    n = 0
    for t in range(moved.shape[0]):
        if not np.isnan(moved[t, 0]):
            places[n] = (moved[t, 0] - origin) / width
            n += 1
    places[n] = (value - origin) / width
    places[: n + 1] = np.sort(places[: n + 1])
    places[n + 1 :] = np.inf
    tabulate(state, tableau, pairs.position[g, i], j, n + 1)


@allocating_part
def tabulate_all(pairs: Pairs | None, groups: IntArray, i: int, j: int, value: float, moved: FloatArray) -> None:
    """Sum over the events of each group whose distance correlations are compared."""
    if pairs is not None:
        for g in groups:
            if pairs.first[g + 1] > pairs.first[g]:
                tabulate_one(pairs, g, i, j, value, moved)


@allocating_part
def evaluate_one(pairs: Pairs, g: int, i: int, j: int, value: float, new: float) -> tuple[float, float]:
    """Tell what one candidate, after :func:`_tabulate`, does to the distance correlations of one group."""
    state, tableau = _sums_of(pairs, g), _tableau_of(pairs, g)
    origin, width, places = state.origin[j], state.width[j], tableau.places
    n_places = int(np.searchsorted(places, np.inf))
    ends = (
        int(np.searchsorted(places[:n_places], (value - origin) / width)),
        int(np.searchsorted(places[:n_places], (new - origin) / width)),
    )
    row = np.empty(state.x.shape[1])
    return evaluate(state, tableau, (pairs.position[g, i], j), ends, n_places, row)


@allocating_part
def put_pair(pairs: Pairs, g: int, i: int, j: int, value: float, new: float) -> None:
    """Move one value in the sums over pairs of one group."""
    place = (pairs.position[g, i], j)
    moved = np.array([[new]])
    tabulate_one(pairs, g, i, j, value, moved)
    ends = (0, 1) if value < new else (1, 0)
    state, tableau = _sums_of(pairs, g), _tableau_of(pairs, g)
    row = np.empty(state.x.shape[1])
    evaluate(state, tableau, place, ends, 2, row)
    move(state, tableau, place, ends, 2, row)
