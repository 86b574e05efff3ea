# SPDX-License-Identifier: BSD-3-Clause
r"""
Move any event: in several groups, with columns that follow, with distance correlations.

What is derived from a moved feature moves with it and counts in marginals and correlations, and so do
observables, which count in marginals only.  Their values for all candidates of many events are computed in one call,
as they depend on the event's own values only; the moves are then chosen one after the other, exactly.
Events go by rounds: in each, every event of a block moves one of its features.  The price of a candidate is the sum over
the groups and columns that it touches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hepfool._kernels import allocating_kernel, allocating_part, inline_kernel
from hepfool.attacks._search.candidates import (
    ANGLE,
    FIXED,
    INTEGER,
    Layout,
    Options,
    course_of,
    n_bin_candidates,
    propose,
    travel_of,
    uniform,
)
from hepfool.attacks._search.ledger import Ledger, owned_state_of, rules_of
from hepfool.attacks._search.price import Worth, earned, keeps, step_divergence
from hepfool.attacks._search.sweep import Task, order_by_gain
from hepfool.features import FeatureSpace
from hepfool.statistics._dataset_state import (
    CORRELATION,
    CROSS,
    DISTANCE,
    DIVERGENCE,
    GROUP,
    INVERSE_SIGMA,
    NORM,
    VARIANCE,
    DatasetState,
    find_bin,
)
from hepfool.statistics._distance_correlation import (
    DistanceState,
    Tableau,
    evaluate,
    move,
    new_tableau,
    tabulate,
)
from hepfool.statistics._incremental import Probe, commit, commit_content, deviate, divergence_after, probe
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Events whose candidates are proposed at a time.
_BLOCK = 512
#: Displacement of numerical derivatives, in units of each feature's range.
_SMALL = 1e-4


class Columns(NamedTuple):
    """
    What moves with what.

    Attributes
    ----------
    features : FeatureSpace
        Inputs of the network, then observables, as derived features.
    touched : dict of int to IntArray
        For each feature that may move, its own column and those that follow.
    counted : BoolArray, shape (n_columns,)
        Columns that count in the correlations.
    """

    features: FeatureSpace
    touched: dict[int, IntArray]
    counted: BoolArray

    @classmethod
    def of(cls, features: FeatureSpace, n_inputs: int) -> Columns:
        """
        Find out what moves with what.

        Parameters
        ----------
        features : FeatureSpace
            Inputs of the network, then observables, as derived features.
        n_inputs : int
            How many of them are inputs.

        Returns
        -------
        Columns
            For :func:`sweep_rounds`.
        """
        touched = {
            j: np.array([j, *(d for d in features.derived if features.names[j] in _inputs(features, d))])
            for j in range(len(features))
            if j not in features.derived
        }
        return cls(features, touched, np.arange(len(features)) < n_inputs)

    @property
    def alone(self) -> bool:
        """Whether nothing follows a move."""
        return not self.features.derived


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


def _inputs(features: FeatureSpace, column: int) -> tuple[str, ...]:
    derived = features[column].derived
    return () if derived is None else tuple(derived.inputs)


def total_slope(features: FeatureSpace, values: FloatArray, slope: FloatArray, ranges: FloatArray) -> FloatArray:
    """
    Add what the derived features contribute to the slope along the primary ones.

    Parameters
    ----------
    features : FeatureSpace
        Says which features are derived.
    values : FloatArray, shape (n_events, n_columns)
        Where.
    slope : FloatArray, shape (n_events, n_columns)
        Partial derivatives with respect to all columns.
    ranges : FloatArray, shape (n_columns,)
        Range of each column.

    Returns
    -------
    FloatArray, shape (n_events, n_columns)
        Total derivatives, by central differences of the functions; 0 for derived features.
    """
    result = slope.copy()
    for d in features.derived:
        for name in _inputs(features, d):
            j = features.index(name)
            up, down = values.copy(), values.copy()
            up[:, j] += _SMALL * ranges[j]
            down[:, j] -= _SMALL * ranges[j]
            with np.errstate(all="ignore"):  # a step may leave the domain of the function
                change = (features.derive(up, d) - features.derive(down, d)) / (2.0 * _SMALL * ranges[j])
            result[:, j] += np.nan_to_num(slope[:, d] * change, nan=0.0, posinf=0.0, neginf=0.0)
    result[:, list(features.derived)] = 0.0
    return result


class Accounts(NamedTuple):
    """
    Everything that a move is entered in.

    Attributes
    ----------
    ledger : Ledger
        Marginals and moments of all groups.
    layout : Layout
        Events and columns.
    counted : BoolArray, shape (n_columns,)
        Columns that count in the correlations.
    """

    ledger: Ledger
    layout: Layout
    counted: BoolArray


def sweep_rounds(
    ledger: Ledger, task: Task, columns: Columns, pairs: Pairs | None, *, block: int = _BLOCK
) -> FloatArray:
    """
    Move each event towards its goal at the lowest price, block by block and feature by feature.

    Parameters
    ----------
    ledger : Ledger
        Updated with every move.
    task : Task
        Events to be moved; its values are updated.
    columns : Columns
        What moves with what.
    pairs : Pairs, optional
        Sums over pairs of events, updated with every move.
    block : int
        Events whose candidates are proposed at a time; with one, events move one after the other.

    Returns
    -------
    FloatArray, shape (n_moved,)
        What the moves should have taken from each margin.
    """
    accounts = Accounts(ledger, task.layout, columns.counted)
    taken = np.zeros(len(task.events))
    for start in range(0, len(task.events), block):
        part, here = task.part(slice(start, start + block)), taken[start : start + block]
        order = _orders(ledger, part)
        for turn in range(order.shape[1]):
            waiting = _waiting(part, here, order[:, turn])
            for j in np.unique(order[waiting, turn]):
                of = np.flatnonzero(waiting & (order[:, turn] == j))
                proposed = _proposals(ledger, part, of, int(j))
                moved = _with_followers(columns, part.values[part.events[of]], int(j), proposed)
                _settle(accounts, pairs, part, columns.touched[int(j)], of, moved, here)
    return taken


def _waiting(task: Task, taken: FloatArray, feature: IntArray) -> BoolArray:
    """Mark the events whose turn it is to move a feature."""
    index = np.arange(len(task.events))
    slope, values = task.goals.slope[index, feature], task.values[task.events, feature]
    able = (task.layout.kinds[feature] != FIXED) & ~np.isnan(values) & np.isfinite(slope)
    if task.options.per_bin:
        return np.asarray(able & ~((task.goals.needed > 0.0) & (taken >= task.goals.needed)))
    return np.asarray(able & (slope != 0.0))


@allocating_kernel
def _orders(ledger: Ledger, task: Task) -> IntArray:
    """Order the features of each event as they move, shape (n_events, n_columns)."""
    slope = task.goals.slope
    order = np.empty(slope.shape, dtype=np.int64)
    gains = np.empty(slope.shape[1])
    for index in range(task.events.shape[0]):
        for j in range(slope.shape[1]):
            order[index, j] = j
        if task.options.per_bin:
            at = ledger.first[task.events[index]]
            g = ledger.member[at] if ledger.first[task.events[index] + 1] > at else 0
            order_by_gain(task.layout.kinds, ledger.bins[g], slope[index], gains, order[index])
    return order


def most_candidates(layout: Layout, options: Options, edges: FloatArray) -> int:
    """
    Count the places that the candidates of any value may need.

    Parameters
    ----------
    layout : Layout
        Events and columns.
    options : Options
        How candidates are proposed.
    edges : FloatArray, shape (n_columns, n_bins + 1)
        Bin edges of the columns.

    Returns
    -------
    int
        At least 1.
    """
    if options.per_bin:
        return n_bin_candidates(options, edges.shape[1] - 1) + 1
    span = layout.upper - layout.lower
    width = np.where(np.isfinite(span), span, 0.0).max(axis=0)
    width = np.where(layout.kinds == ANGLE, layout.period, np.where(layout.kinds == FIXED, 0.0, width))
    whole = layout.kinds == INTEGER
    steps = np.where(whole, np.maximum(np.ceil(layout.step), 1.0), np.where(layout.step > 0.0, layout.step, np.inf))
    # A fixed number of candidates does not limit whole numbers.
    counted = whole if options.n_candidates else np.ones(len(width), dtype=np.bool_)
    return max(options.n_candidates, int((width / steps)[counted].max(initial=0.0)) + 3)


def _proposals(ledger: Ledger, task: Task, of: IntArray, j: int) -> FloatArray:
    """List the candidates of one feature, NaN in free places, shape (n_events, n_candidates)."""
    proposed = np.full((len(of), most_candidates(task.layout, task.options, ledger.bins[0, :, 0])), np.nan)
    _propose_all(ledger, task, of, j, proposed)
    return proposed


@allocating_kernel
def _propose_all(ledger: Ledger, task: Task, of: IntArray, j: int, proposed: FloatArray) -> None:
    for position in range(of.shape[0]):
        index = of[position]
        i = task.events[index]
        at = ledger.first[i]
        g = ledger.member[at] if ledger.first[i + 1] > at else 0
        moved = (task.values[i, j], task.goals.slope[index, j])
        propose(course_of(task.layout, i, j), task.options, ledger.bins[g, j], moved, task.seed, proposed[position])


def _with_followers(columns: Columns, rows: FloatArray, j: int, proposed: FloatArray) -> FloatArray:
    """Values of a feature and of what follows it, for all candidates, shape (n_events, n_candidates, n_touched)."""
    touched = columns.touched[j]
    moved = np.empty((*proposed.shape, len(touched)))
    moved[:, :, 0] = proposed
    if len(touched) > 1:
        repeated = np.repeat(rows, proposed.shape[1], axis=0)
        repeated[:, j] = proposed.reshape(-1)
        with np.errstate(all="ignore"):  # no candidate, no value
            for t, d in enumerate(touched[1:], start=1):
                moved[:, :, t] = columns.features.derive(repeated, int(d)).reshape(proposed.shape)
    return moved


@allocating_part
def _allowed(layout: Layout, i: int, columns: IntArray, before: FloatArray, after: FloatArray) -> bool:
    """Whether derived values exist as before and lie within their bounds."""
    row = layout.row[i]
    result = not np.isnan(after[0])
    for t in range(1, columns.shape[0]):
        c = columns[t]
        missing = np.isnan(before[c])
        inside = missing or layout.lower[row, c] <= after[t] <= layout.upper[row, c]
        result = result and inside and missing == np.isnan(after[t])
    return bool(result)


@allocating_kernel
def _settle(
    accounts: Accounts,
    pairs: Pairs | None,
    task: Task,
    columns: IntArray,
    of: IntArray,
    moved: FloatArray,
    taken: FloatArray,
) -> None:
    """Move one feature, and what follows it, of some events, one after the other."""
    j, goals, ledger = columns[0], task.goals, accounts.ledger
    for position in range(of.shape[0]):
        index = of[position]
        i, slope = task.events[index], goals.slope[index, j]
        needed = max(goals.needed[index] - taken[index], 0.0)
        free = ledger.first[i + 1] == ledger.first[i]
        if free:
            draw = uniform(task.seed, i * task.values.shape[1] + j)
            best = _any_allowed(task, columns, i, moved[position], draw, needed, slope)
        else:
            worth = Worth(0.0, 0.0, -np.inf, np.inf, 0.0, 0.0)
            if task.options.per_bin:
                reward = goals.reward[index] * needed / goals.needed[index] if goals.needed[index] > 0.0 else 0.0
                low, high = goals.low[index] - taken[index], goals.high[index] - taken[index]
                worth = Worth(slope, needed, low, high, reward, 0.0)
            best = _choose(accounts, pairs, task.options, columns, i, task.values[i], moved[position], worth)
        if best >= 0:
            travel = travel_of(course_of(task.layout, i, j), task.values[i, j], moved[position, best, 0])
            taken[index] += abs(slope * travel) if free else -slope * travel
            _put(accounts, pairs, columns, i, task.values[i], moved[position, best])


@allocating_part
def _any_allowed(
    task: Task, columns: IntArray, i: int, moved: FloatArray, draw: float, needed: float, slope: float
) -> int:
    """Draw a candidate along the slope for an event that nothing constrains but its bounds; -1 without any."""
    course, before = course_of(task.layout, i, columns[0]), task.values[i]
    found = [-1]
    for t in range(moved.shape[0]):
        along = not task.options.per_bin
        along = along or (needed > 0.0 and slope * travel_of(course, before[columns[0]], moved[t, 0]) < 0.0)
        if along and _allowed(task.layout, i, columns, before, moved[t]):
            found.append(t)
    return found[1 + int(draw * (len(found) - 1))] if len(found) > 1 else -1


@allocating_part
def _choose(
    accounts: Accounts,
    pairs: Pairs | None,
    options: Options,
    columns: IntArray,
    i: int,
    before: FloatArray,
    moved: FloatArray,
    worth: Worth,
) -> int:
    """Find the best admissible candidate of a constrained event; -1 to stay."""
    ledger, layout = accounts.ledger, accounts.layout
    groups = ledger.member[ledger.first[i] : ledger.first[i + 1]]
    deviation = np.empty((groups.shape[0], before.shape[0]))
    base = 0.0
    for place in range(groups.shape[0]):
        deviate(ledger.vectors[groups[place]], before, deviation[place])
        base += _staying(accounts, pairs, groups[place], columns)
    items = [
        probe(
            owned_state_of(ledger, groups[place]),
            c,
            0.0 if np.isnan(before[c]) else before[c],
            layout.weights[i],
            deviation[place],
        )
        for place in range(groups.shape[0])
        for c in columns
    ]
    course, value = course_of(layout, i, columns[0]), before[columns[0]]
    _tabulate_all(pairs, groups, i, columns[0], value, moved)
    best, lowest, nearest = -1, np.inf, np.inf
    if options.per_bin:
        lowest = -1e-12
    elif options.compete and value != course.nominal:
        lowest, nearest = base, 0.0
    base = base if options.per_bin else 0.0
    for t in range(moved.shape[0]):
        gain = 0.0 if worth.slope == 0.0 else -worth.slope * travel_of(course, value, moved[t, 0])
        distance = abs(moved[t, 0] - value)
        allowed = distance > 0.0 and worth.low <= gain <= worth.high
        if not allowed or not _allowed(layout, i, columns, before, moved[t]):
            continue
        cost = _price_of_marginals(ledger, groups, items, columns, before, moved[t]) - base - earned(worth, gain)
        for place in range(groups.shape[0]):
            if cost <= lowest:
                cost += _price_of_correlations(
                    accounts, pairs, groups[place], columns, i, before, moved[t], deviation[place]
                )
        # The price of what breaks a cap is infinite.
        if cost < np.inf and (cost < lowest or (cost == lowest and distance < nearest)):
            best, lowest, nearest = t, cost, distance
    return best


@allocating_part
def _staying(accounts: Accounts, pairs: Pairs | None, g: int, columns: IntArray) -> float:
    """Price, in one group, of the columns that a move touches and of the correlations, as they are."""
    ledger = accounts.ledger
    state, rules = owned_state_of(ledger, g), rules_of(ledger, g, columns[0])
    result = rules.beta * _shift(accounts, pairs, g)
    for c in columns:
        result += rules_of(ledger, g, c).alpha * np.sqrt(state.vectors[DIVERGENCE, c])
    return result


@allocating_part
def _price_of_marginals(
    ledger: Ledger, groups: IntArray, items: list[Probe], columns: IntArray, before: FloatArray, after: FloatArray
) -> float:
    """Price of all touched marginals in all groups, infinite if a cap would be broken."""
    total = 0.0
    n_touched = columns.shape[0]
    for place in range(groups.shape[0]):
        g = groups[place]
        for t in range(n_touched):
            c = columns[t]
            item, rules = items[place * n_touched + t], rules_of(ledger, g, c)
            divergence = item.divergence
            if not np.isnan(after[t]) and after[t] != before[c]:
                bins = ledger.bins[g, c]
                new_bin = int(bins[GROUP, find_bin(bins, item.inverse_width, after[t])])
                divergence = divergence_after(bins, item, new_bin)
                if not keeps(divergence, item.divergence, rules.max_divergence):
                    return np.inf
                if step_divergence(bins, item, new_bin) > rules.max_step:
                    return np.inf
            total += rules.alpha * np.sqrt(divergence)
    return total


@allocating_part
def _price_of_correlations(
    accounts: Accounts,
    pairs: Pairs | None,
    g: int,
    columns: IntArray,
    i: int,
    before: FloatArray,
    after: FloatArray,
    deviation: FloatArray,
) -> float:
    """Price of the correlations in one group, infinite if a cap would be broken."""
    rules = rules_of(accounts.ledger, g, columns[0])
    state, weight = owned_state_of(accounts.ledger, g), accounts.layout.weights[i]
    if pairs is not None:
        if pairs.first[g + 1] == pairs.first[g]:
            return 0.0
        current, nominal = pairs.state.current[g], pairs.state.nominal[g]
        now, norm = ((current - nominal) ** 2).sum(), (nominal**2).sum()
        apart, changed = _evaluate(pairs, g, i, columns[0], before[columns[0]], after[0])
    else:
        now, norm = state.scalars[DISTANCE], state.scalars[NORM]
        apart, changed = _correlation_changes(state, columns, accounts.counted, before, after, weight, deviation)
    shift = np.sqrt(max(now + apart, 0.0) / norm)
    if not keeps(shift, np.sqrt(now / norm), rules.max_shift) or np.sqrt(max(changed, 0.0) / norm) > rules.max_change:
        return np.inf
    return float(rules.beta * shift)


@allocating_part
def _correlation_changes(
    state: DatasetState,
    columns: IntArray,
    counted: BoolArray,
    before: FloatArray,
    after: FloatArray,
    weight: float,
    deviation: FloatArray,
) -> tuple[float, float]:
    """By how much a joint move changes the squared distance from nominal, and the current matrix, squared."""
    cross, nominal = state.matrices[CROSS], state.matrices[CORRELATION]
    variance, inverse = state.vectors[VARIANCE], state.vectors[INVERSE_SIGMA]
    curvature = weight * (1.0 - weight / state.scalars[0])
    n_columns = deviation.shape[0]
    shift, new_inverse = np.zeros(n_columns), inverse.copy()
    moved = np.zeros(n_columns, dtype=np.bool_)
    for t in range(columns.shape[0]):
        k = columns[t]
        if counted[k] and not np.isnan(after[t]):
            shift[k], moved[k] = after[t] - before[k], True
            widened = variance[k] + shift[k] * (2.0 * weight * deviation[k] + shift[k] * curvature)
            if widened <= 0.0:
                return np.inf, np.inf
            new_inverse[k] = 1.0 / np.sqrt(widened)
    apart, changed = 0.0, 0.0
    for c in columns:
        if not moved[c]:
            continue
        for k in range(n_columns):
            if k != c and counted[k]:
                joint = weight * (shift[c] * deviation[k] + deviation[c] * shift[k]) + curvature * shift[c] * shift[k]
                now = cross[c, k] * inverse[c] * inverse[k]
                then = (cross[c, k] + joint) * new_inverse[c] * new_inverse[k]
                among = 1.0 if moved[k] else 2.0
                apart += among * ((then - nominal[c, k]) ** 2 - (now - nominal[c, k]) ** 2)
                changed += among * (then - now) ** 2
    return apart, changed


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
def _tabulate(pairs: Pairs, g: int, i: int, j: int, value: float, moved: FloatArray) -> None:
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
def _tabulate_all(pairs: Pairs | None, groups: IntArray, i: int, j: int, value: float, moved: FloatArray) -> None:
    """Sum over the events of each group whose distance correlations are compared."""
    if pairs is not None:
        for g in groups:
            if pairs.first[g + 1] > pairs.first[g]:
                _tabulate(pairs, g, i, j, value, moved)


@allocating_part
def _evaluate(pairs: Pairs, g: int, i: int, j: int, value: float, new: float) -> tuple[float, float]:
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
def _put(
    accounts: Accounts, pairs: Pairs | None, columns: IntArray, i: int, row: FloatArray, after: FloatArray
) -> None:
    """Give one event other values in some columns, in every group, whatever that costs."""
    ledger, counted, weight = accounts.ledger, accounts.counted, accounts.layout.weights[i]
    groups = ledger.member[ledger.first[i] : ledger.first[i + 1]]
    deviation = np.empty(row.shape[0])
    for t in range(columns.shape[0]):
        c = columns[t]
        if np.isnan(after[t]) or after[t] == row[c]:
            continue
        for g in groups:
            state = owned_state_of(ledger, g)
            deviate(state.vectors, row, deviation)
            item = probe(state, c, row[c], weight, deviation)
            new_bin = int(state.bins[c, GROUP, find_bin(state.bins[c], item.inverse_width, after[t])])
            if counted[c]:
                commit(state, c, item, after[t] - row[c], new_bin, weight, deviation)
            else:
                commit_content(state, c, item, new_bin)
            if pairs is not None and counted[c] and pairs.first[g + 1] > pairs.first[g]:
                _put_pair(pairs, g, i, c, row[c], after[t])
        row[c] = after[t]


@allocating_part
def _put_pair(pairs: Pairs, g: int, i: int, j: int, value: float, new: float) -> None:
    """Move one value in the sums over pairs of one group."""
    place = (pairs.position[g, i], j)
    moved = np.array([[new]])
    _tabulate(pairs, g, i, j, value, moved)
    ends = (0, 1) if value < new else (1, 0)
    state, tableau = _sums_of(pairs, g), _tableau_of(pairs, g)
    row = np.empty(state.x.shape[1])
    evaluate(state, tableau, place, ends, 2, row)
    move(state, tableau, place, ends, 2, row)


@inline_kernel
def _copy(source: FloatArray, target: FloatArray) -> None:
    """Copy a matrix; as an assignment it would take seconds to compile, for the message that shapes differ."""
    for a in range(source.shape[0]):
        for b in range(source.shape[1]):
            target[a, b] = source[a, b]


@allocating_part
def give_row(accounts: Accounts, pairs: Pairs | None, i: int, row: FloatArray, after: FloatArray) -> bool:
    """
    Give an event all its new values if every cap allows, those on one move too, or none of them.

    Parameters
    ----------
    accounts : Accounts
        Updated if the values are taken.
    pairs : Pairs, optional
        Likewise.
    i : int
        Event.
    row, after : FloatArray, shape (n_columns,)
        Present values, updated likewise, and new ones.

    Returns
    -------
    bool
        Whether the values were taken.
    """
    ledger = accounts.ledger
    groups = ledger.member[ledger.first[i] : ledger.first[i + 1]]
    if not _keeps_marginals(accounts, groups, i, row, after):
        return False
    columns, before = np.arange(row.shape[0]), row.copy()
    vectors, matrices, scalars = ledger.vectors[groups], ledger.matrices[groups], ledger.scalars[groups]
    shift = np.array([_shift(accounts, pairs, g) for g in groups])
    kept = True
    for c in range(row.shape[0]):
        if np.isnan(after[c]) or after[c] == row[c]:
            continue
        for g in groups:
            kept = kept and _changes_little(accounts, pairs, g, i, c, row, after[c])
        if kept:
            _put(accounts, pairs, columns[c : c + 1], i, row, after[c : c + 1])
    for place in range(groups.shape[0]):
        g = groups[place]
        kept = kept and keeps(_shift(accounts, pairs, g), shift[place], rules_of(ledger, g, 0).max_shift)
    if not kept:
        _put(accounts, pairs, columns, i, row, before)
        # To the bit: a variance that had become negative would leave no number behind.
        for place in range(groups.shape[0]):
            state = owned_state_of(ledger, groups[place])
            _copy(vectors[place], state.vectors)
            _copy(matrices[place].reshape(-1, row.shape[0]), state.matrices.reshape(-1, row.shape[0]))
            for k in range(scalars.shape[1]):
                state.scalars[k] = scalars[place, k]
    return kept


@allocating_part
def _changes_little(
    accounts: Accounts, pairs: Pairs | None, g: int, i: int, c: int, row: FloatArray, new: float
) -> bool:
    """Whether moving one value keeps the cap on what one move does to the correlations of a group."""
    state, cap = owned_state_of(accounts.ledger, g), rules_of(accounts.ledger, g, c).max_change
    if cap == np.inf or not accounts.counted[c]:
        return True
    if pairs is not None:
        _tabulate(pairs, g, i, c, row[c], np.array([[new]]))
        norm, changed = (pairs.state.nominal[g] ** 2).sum(), _evaluate(pairs, g, i, c, row[c], new)[1]
    else:
        deviation = np.empty(row.shape[0])
        deviate(state.vectors, row, deviation)
        weight, moved = accounts.layout.weights[i], np.array([new])
        norm = state.scalars[NORM]
        changed = _correlation_changes(state, np.array([c]), accounts.counted, row, moved, weight, deviation)[1]
    return bool(np.sqrt(max(changed, 0.0) / norm) <= cap)


@allocating_part
def _keeps_marginals(accounts: Accounts, groups: IntArray, i: int, row: FloatArray, after: FloatArray) -> bool:
    """Whether all marginals of all groups keep their caps if an event gets other values."""
    ledger, weight = accounts.ledger, accounts.layout.weights[i]
    deviation = np.zeros(row.shape[0])
    result = True
    for g in groups:
        state = owned_state_of(ledger, g)
        for c in range(row.shape[0]):
            if np.isnan(after[c]) or after[c] == row[c]:
                continue
            item = probe(state, c, row[c], weight, deviation)
            new_bin = int(state.bins[c, GROUP, find_bin(state.bins[c], item.inverse_width, after[c])])
            divergence = divergence_after(state.bins[c], item, new_bin)
            result = result and divergence < np.inf
            rules = rules_of(ledger, g, c)
            result = result and keeps(divergence, item.divergence, rules.max_divergence)
            result = result and (
                rules.max_step == np.inf or step_divergence(state.bins[c], item, new_bin) <= rules.max_step
            )
    return bool(result)


@allocating_part
def _shift(accounts: Accounts, pairs: Pairs | None, g: int) -> float:
    """Present correlation shift of a group."""
    if pairs is not None:
        current, nominal = pairs.state.current[g], pairs.state.nominal[g]
        compared = pairs.first[g + 1] > pairs.first[g]
        return float(np.sqrt(((current - nominal) ** 2).sum() / (nominal**2).sum())) if compared else 0.0
    scalars = accounts.ledger.scalars[g]
    return float(np.sqrt(scalars[DISTANCE] / scalars[NORM]))
