# SPDX-License-Identifier: BSD-3-Clause
"""
Brute force: what every move of a sweep costs and whether it is allowed, straight from the formulas.

Nothing here is incremental and nothing is taken from the search but its list of candidates: for each of them all histograms
are filled and all correlations computed anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from hepfool._kernels import allocating_kernel
from hepfool.attacks import CONSERVAttack
from hepfool.attacks._search import candidates
from hepfool.attacks._search.candidates import FIXED, Options, course_of, travel_of
from hepfool.attacks._search.view import Moving, Search
from hepfool.events import EventTable
from hepfool.statistics import Binning
from hepfool.typing import BoolArray, FloatArray
from hepfool.validation import Correlations, Marginals, Validation

#: A part of other kernels, compiled to be called from here.
propose = allocating_kernel(candidates.propose)
#: Rounding of a divergence and of a squared shift.
NOISE = 3e-14


class Comparison(NamedTuple):
    """One column, or all correlations, of some events."""

    column: int  # -1 for the correlations
    mask: BoolArray
    cap: float
    price: float


def parts(table: EventTable, separately: str) -> list[BoolArray]:
    """Events that are compared by themselves."""
    regions = [r.mask for r in table.regions if r.role != "signal"] or [np.ones(table.n_events, dtype=bool)]
    if separately == "union":
        return [np.logical_or.reduce(regions)]
    if separately == "processes":
        regions = [r & (table.labels == label) for r, label in itertools.product(regions, np.unique(table.labels))]
    return [mask for mask in regions if mask.any()]


def comparisons(table: EventTable, validation: Validation, prices: tuple[FloatArray | float, ...]) -> list[Comparison]:
    """List everything that is compared, ``prices`` being numbers or functions of a cap."""
    alpha, beta = prices
    found = []
    named: list[tuple[int, Marginals | Correlations | None]] = [(j, validation.inputs) for j in range(table.n_features)]
    named += [(table.n_features + k, m) for k, m in enumerate(validation.observables.values())]
    for column, marginals in [*named, (-1, validation.correlations)]:
        if marginals is not None:
            cap = marginals.max_js_distance if isinstance(marginals, Marginals) else marginals.max_shift
            price: Any = alpha if column >= 0 else beta
            for mask in parts(table, marginals.separately or validation.separately):
                numbers = (float(cap), price(cap) if callable(price) else price)  # type: ignore[arg-type]
                found += [Comparison(column, mask, *numbers)]
    return found


def divergence(p: FloatArray, q: FloatArray) -> float:
    """Jensen-Shannon divergence in bits."""
    p, q = p / p.sum(), q / q.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(a > 0, a * np.log2(2 * a / (p + q)), 0.0).sum() for a in (p, q)]
    return max(0.5 * float(sum(terms)), 0.0)


def histogram(edges: FloatArray, values: FloatArray, weights: FloatArray, merged: Any) -> FloatArray:
    """Contents, missing values last, of bins that are merged where nominal weights leave one negative."""
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    place[np.isnan(values)] = len(edges) - 1
    contents = np.zeros(len(edges))
    np.add.at(contents, merged[place], weights)
    contents[np.abs(contents) < 1e-12 * np.abs(weights).sum()] = 0.0
    return contents


def pearson(values: FloatArray, weights: FloatArray) -> FloatArray:
    mean = np.average(values, axis=0, weights=weights)
    covariance = ((values - mean) * weights[:, np.newaxis]).T @ (values - mean)
    variance = np.diag(covariance)
    if (variance < 0).any():
        return np.full_like(covariance, np.inf)
    sigma = np.sqrt(
        np.where(variance > 1e-14 * np.abs(weights).sum() * np.abs(values).max(axis=0) ** 2, variance, np.inf)
    )
    result = covariance / np.outer(sigma, sigma)
    np.fill_diagonal(result, 1.0)
    return np.asarray(result)


def distance_correlation(values: FloatArray, weights: FloatArray) -> FloatArray:
    w = weights / weights.sum()
    pair = np.abs(values[:, np.newaxis] - values)
    row = np.einsum("ilj,l->ij", pair, w)
    centred = pair - row[:, np.newaxis] - row + w @ row
    covariance = np.einsum("ilj,ilk,i,l->jk", centred, centred, w, w)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    ratio = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 1e-300)
    return np.asarray(np.sqrt(ratio.clip(0.0)))


@dataclass
class Truth:
    """Every comparison of one problem, and what a move may do to it."""

    search: Search
    attack: CONSERVAttack
    compared: list[Comparison]
    nominal: dict[int, Any] = field(default_factory=dict)
    started: tuple[FloatArray | None, dict[int, tuple[Any, float]]] = (None, {})

    @classmethod
    def of(cls, search: Search, attack: CONSERVAttack) -> Truth:
        if attack.strategy == "frugal":
            prices: Any = (lambda cap: 0.135 / max(cap, 1e-12), lambda cap: 18.0 / max(cap, 1e-12) ** 0.5)
        else:
            prices = (4.0, 1.0)
        given = (attack.alpha, attack.beta)
        prices = tuple(default if own is None else own for own, default in zip(given, prices, strict=True))
        truth = cls(search, attack, comparisons(search.problem.table, attack.kept, prices))
        for place, item in enumerate(truth.compared):
            truth.nominal[place] = truth._nominal(item)
        return truth

    def _nominal(self, item: Comparison) -> Any:
        values, weights = self.search.table.values[item.mask], self.search.table.weights[item.mask]
        if item.column < 0:
            present = ~np.isnan(values)
            fill = np.array(
                [
                    np.average(x[p], weights=weights[p]) if p.any() else 0.0
                    for x, p in zip(values.T, present.T, strict=True)
                ]
            )
            return fill, self.correlations(np.where(present, values, fill), weights)
        one = Binning(self.search.binning.edges[item.column][np.newaxis])
        merged = Binning.merged(one.yields(values[:, [item.column]], weights))[0]
        edges = self.search.binning.edges[item.column]
        return merged, histogram(edges, values[:, item.column], weights, merged)

    def correlations(self, filled: FloatArray, weights: FloatArray) -> FloatArray:
        inputs = filled[:, : self.search.problem.table.n_features]
        return (distance_correlation if self.attack.correlations == "distance" else pearson)(inputs, weights)

    def measured(self, place: int, rows: FloatArray) -> Any:
        """Histogram or matrix of one comparison."""
        item, weights = self.compared[place], self.search.table.weights
        if item.column < 0:
            fill = self.nominal[place][0]
            chosen = rows[item.mask]
            return self.correlations(np.where(np.isnan(chosen), fill, chosen), weights[item.mask])
        edges = self.search.binning.edges[item.column]
        return histogram(edges, rows[item.mask, item.column], weights[item.mask], self.nominal[place][0])

    def apart(self, place: int, now: Any) -> float:
        """Squared distance from nominal."""
        nominal = self.nominal[place][1]
        if self.compared[place].column >= 0:
            return divergence(nominal, now)
        return float(np.linalg.norm(now - nominal) ** 2 / np.linalg.norm(nominal) ** 2)

    def judge(self, before: FloatArray, after: FloatArray, i: int, columns: Any) -> Verdict:
        """Price, relative to staying, of giving one event other values in some columns, and whether it may have them."""
        with np.errstate(all="ignore"):
            return self._judge(before, after, i, columns)

    def _judge(self, before: FloatArray, after: FloatArray, i: int, columns: Any) -> Verdict:
        result = Verdict(0.0, NOISE, allowed=True, surely=True)
        for place, item in enumerate(self.compared):
            if item.mask[i] and (item.column < 0 or item.column in columns):
                result = self._judge_one(place, before, after, result)
        for mask in {c.mask.tobytes(): c.mask for c in self.compared if c.mask[i] and c.column < 0}.values():
            result = result if self._varies(mask, after) else IMPOSSIBLE
        return result if np.isfinite(result.cost) else IMPOSSIBLE

    def _judge_one(self, place: int, before: FloatArray, after: FloatArray, so_far: Verdict) -> Verdict:
        if so_far is IMPOSSIBLE:
            return so_far
        item = self.compared[place]
        if item.column >= 0 and item.price == 0.0 and np.isinf((item.cap, self.attack.max_js_change)).all():
            return so_far
        (now, old), then = self._start(place, before), self.measured(place, after)
        new = self.apart(place, then)
        cost, noise, allowed, surely = so_far
        caps = (item.cap, self.attack.max_js_change)
        if item.column >= 0 and (item.price > 0.0 or np.isfinite(caps).any()) and (then < 0).any():
            return IMPOSSIBLE
        with np.errstate(invalid="ignore"):
            cost += 0.0 if item.price == 0.0 else item.price * (np.sqrt(new) - np.sqrt(old))
        noise += item.price * (np.sqrt(new + NOISE) - np.sqrt(new) + np.sqrt(old + NOISE) - np.sqrt(old))
        if not np.isfinite(new):  # of too few events, or of weights that cancel: no correlations
            return IMPOSSIBLE
        allowed &= new <= item.cap**2 + NOISE or new <= old + NOISE
        surely &= new <= (item.cap * (1 - 1e-8)) ** 2 - NOISE or new <= old - NOISE or (new == old and item.column >= 0)
        if item.column >= 0:
            change, cap = (
                divergence(now, then) if self.attack.max_js_change < np.inf else 0.0,
                self.attack.max_js_change,
            )
        else:
            change = float(np.linalg.norm(then - now) ** 2 / np.linalg.norm(self.nominal[place][1]) ** 2)
            cap = self.attack.max_correlation_change if self.attack.use_no_change else np.inf
        allowed &= change <= cap**2 + NOISE
        surely &= change <= (cap * (1 - 1e-8)) ** 2 - NOISE or cap == np.inf or change == 0.0
        return Verdict(cost, noise, allowed=bool(allowed), surely=bool(surely))

    def _start(self, place: int, before: FloatArray) -> tuple[Any, float]:
        """Measure where all candidates of one move start from: once, because nobody writes into these rows."""
        if self.started[0] is not before:
            before.flags.writeable = False
            self.started = (before, {})
        known = self.started[1]
        if place not in known:
            now = self.measured(place, before)
            known[place] = (now, self.apart(place, now))
        return known[place]

    def _varies(self, mask: BoolArray, rows: FloatArray) -> bool:
        """No feature may lose its variance."""
        weights, inputs = self.search.table.weights[mask], rows[mask, : self.search.problem.table.n_features]
        fill = next(self.nominal[k][0] for k, c in enumerate(self.compared) if c.column < 0 and (c.mask == mask).all())
        filled = np.where(np.isnan(inputs), fill[: inputs.shape[1]], inputs)
        mean = np.average(filled, axis=0, weights=weights)
        moved = (inputs != self.search.table.values[mask, : inputs.shape[1]]) & ~np.isnan(inputs)
        return bool((weights @ (filled - mean) ** 2 > 0)[moved.any(axis=0)].all())


class Verdict(NamedTuple):
    """Price relative to staying, its rounding, and whether the move is allowed: perhaps, and beyond rounding."""

    cost: float
    noise: float
    allowed: bool
    surely: bool


class Turn(NamedTuple):
    """One value that may move now."""

    place: int
    j: int


IMPOSSIBLE = Verdict(np.inf, 0.0, allowed=False, surely=False)


def turns(search: Search, moving: Moving, order: Any) -> Iterator[Turn]:
    """Values in the order in which they move: event by event or, where others follow or groups overlap, by rounds."""
    n_columns = moving.slope.shape[1]
    for island in search.islands:
        own = np.flatnonzero(island.events[moving.events])
        overlap = (np.sum([group.events for group in island.groups], axis=0) > 1).any() if island.groups else False
        distance = search.distance and bool(island.groups)
        if search.columns.alone and not distance and not overlap:
            yield from (Turn(int(index), int(j)) for index in own for j in order[index])
        else:
            for turn, j in itertools.product(range(n_columns), range(n_columns)):
                yield from (Turn(int(index), j) for index in own if order[index, turn] == j)


def gains_first(search: Search, moving: Moving, options: Options) -> Any:
    """Columns of each event in the order in which they move."""
    edges = search.binning.edges
    gain = np.abs(np.nan_to_num(moving.slope)) * (edges[:, -1] - edges[:, 0])
    gain[:, search.layout.kinds == FIXED] = 0.0
    if not options.per_bin:
        gain[:] = 0.0
    return np.argsort(-gain, axis=1, kind="stable")


@dataclass
class Replay:
    """Go through the moves of one sweep and check that each was a best one."""

    truth: Truth
    options: Options
    moving: Moving
    seed: int
    before: FloatArray
    after: FloatArray
    n_checked: int = 0
    n_moved: int = 0
    n_refused: int = 0

    def run(self, n_ahead: int = 1) -> None:
        search = self.truth.search
        self.rows, self.taken = search.extended(self.before), np.zeros(len(self.moving.events))
        self.end = search.extended(self.after)
        self.order = gains_first(search, self.moving, self.options)
        if n_ahead > 1:
            for island in search.islands:
                own = np.flatnonzero(island.events[self.moving.events])
                for start in range(0, len(own), n_ahead):
                    chunk = [int(index) for index in own[start : start + n_ahead]]
                    rows, taken = self.rows.copy(), self.taken.copy()
                    ahead = {turn: self._best(turn, rows, taken) for turn in self._of(chunk)}
                    for turn in self._of(chunk):
                        self._check(turn, ahead)
        else:
            for turn in turns(search, self.moving, self.order):
                self._check(turn, {})
        np.testing.assert_array_equal(self.rows, self.end)

    def _of(self, chunk: list[int]) -> Iterator[Turn]:
        return (Turn(index, int(j)) for index in chunk for j in self.order[index])

    def _worth(self, turn: Turn, taken: FloatArray) -> tuple[float, float, float]:
        """What an event still needs, and what its move may take at least."""
        margin, fooled = self.moving.margin[turn.place], self.moving.fooled[turn.place]
        wanted = 0.0 if fooled else 1.3 * margin
        low = 0.5 * margin - taken[turn.place] if fooled else -np.inf
        return wanted, max(wanted - taken[turn.place], 0.0), low

    def _able(self, turn: Turn, taken: FloatArray) -> bool:
        search, (index, j) = self.truth.search, turn
        wanted, _, _ = self._worth(turn, taken)
        slope, value = self.moving.slope[index, j], self.rows[self.moving.events[index], j]
        able = search.layout.kinds[j] != FIXED and not np.isnan(value) and np.isfinite(slope)
        if self.options.per_bin:
            return bool(able and not (wanted > 0 and taken[index] >= wanted))
        return bool(able and slope != 0)

    def _candidates(self, i: int, j: int, value: float, slope: float) -> FloatArray:
        search, found = self.truth.search, np.full(5000, np.nan)
        bins = np.zeros((6, search.binning.n_bins + 1))
        bins[0] = search.binning.edges[j]
        n = propose(course_of(search.layout, i, j), self.options, bins, (value, slope), self.seed, found)
        return found[:n]

    def _moved(self, rows: FloatArray, i: int, j: int, value: float) -> FloatArray:
        """Give an event another value, and what follows from it."""
        after = rows.copy()
        after[i, j] = value
        features = self.truth.search.table.features
        for d in features.derived:
            after[i, d] = features.derive(after[[i]], d)[0]
        return after

    def _judged(self, turn: Turn, rows: FloatArray, taken: FloatArray, value: float) -> Verdict:
        """Judge one candidate; its price includes what it earns."""
        search, (index, j) = self.truth.search, turn
        i, layout = self.moving.events[index], search.layout
        after = self._moved(rows, i, j, value)
        columns = np.flatnonzero(~((after[i] == rows[i]) | (np.isnan(after[i]) & np.isnan(rows[i]))))
        inside = (np.isnan(after[i]) == np.isnan(rows[i])).all()
        for c in search.table.features.derived:
            low, high = layout.lower[layout.row[i], c], layout.upper[layout.row[i], c]
            inside = inside and (
                np.isnan(after[i, c]) or not np.isin(c, search.columns.touched[j]) or low <= after[i, c] <= high
            )
        verdict = self.truth.judge(rows, after, i, columns)
        if self.options.per_bin:
            wanted, needed, low = self._worth(turn, taken)
            gain = -self.moving.slope[index, j] * travel_of(course_of(layout, i, j), rows[i, j], value)
            weights = np.abs(search.table.weights)
            reward = self.truth.attack._worth * weights[i] / weights[search.problem.attacked].sum()
            earned = reward * min(gain, needed) / wanted if wanted > 0 else 0.0
            slack = 1e-9 * (1.0 + abs(low) if np.isfinite(low) else 1.0)
            verdict = verdict._replace(
                cost=verdict.cost - earned,
                noise=verdict.noise + 1e-9 * (1.0 + reward),
                allowed=verdict.allowed and gain >= low - slack,
                surely=verdict.surely and gain >= low + slack,
            )
        return verdict if inside else IMPOSSIBLE

    def _limit(self, turn: Turn, rows: FloatArray) -> float:
        """Price of staying, which a move must beat, relative to itself."""
        i = self.moving.events[turn.place]
        if self.options.per_bin:
            return -1e-12
        competes = self.options.compete and rows[i, turn.j] != self.truth.search.layout.nominal[i, turn.j]
        return 0.0 if competes else np.inf

    def _best(self, turn: Turn, rows: FloatArray, taken: FloatArray) -> list[float]:
        """Values that may be the best ones, the present one among them; entered in ``taken`` if there is but one."""
        i, j = self.moving.events[turn.place], turn.j
        value, slope = rows[i, j], self.moving.slope[turn.place, j]
        if not self._able(turn, taken) or not any(c.mask[i] for c in self.truth.compared):
            return [value]
        judged = {float(v): self._judged(turn, rows, taken, v) for v in self._candidates(i, j, value, slope)}
        limit = self._limit(turn, rows)
        # Whoever is surely admissible sets what the others have to reach.
        reach = min((v.cost + v.noise for v in judged.values() if v.surely), default=np.inf)
        found = [x for x, v in judged.items() if v.allowed and v.cost - v.noise <= min(reach, limit)]
        stays = [value] if limit - max((v.noise for v in judged.values()), default=0.0) <= reach else []
        self.n_refused += sum(not v.allowed for v in judged.values())
        best = found + stays
        if len(best) >= 1:
            taken[turn.place] -= slope * travel_of(course_of(self.truth.search.layout, i, j), value, best[0])
        return best

    def _check(self, turn: Turn, ahead: dict[Turn, list[float]]) -> None:
        i, j = self.moving.events[turn.place], turn.j
        value, new, slope = self.rows[i, j], self.end[i, j], self.moving.slope[turn.place, j]
        if self.truth.search.layout.kinds[j] == FIXED or np.isnan(value):
            return
        if not any(c.mask[i] for c in self.truth.compared):
            course = course_of(self.truth.search.layout, i, j)
            assert new == value or slope * travel_of(course, value, new) < 0
            at = course.nominal + travel_of(course, course.nominal, new)
            assert new == value or course.lower - 1e-9 <= at <= course.upper + 1e-9
        else:
            best = self._best(turn, self.rows, self.taken.copy())
            chosen = ahead.get(turn, [])
            kept = [x for x in chosen if x != value and self._still(turn, x)]
            best = [] if len(chosen) == len(kept) == 1 else best
            assert new in best or new in kept, (turn, value, new, best, kept)
            self.n_checked += 1
            self.n_moved += bool(new != value)
        if new != value:
            self.taken[turn.place] -= slope * travel_of(course_of(self.truth.search.layout, i, j), value, new)
            self.rows = self._moved(self.rows, i, j, new)

    def _still(self, turn: Turn, value: float) -> bool:
        """Whether what was chosen ahead is still wanted, admissible and better than staying."""
        if not self._able(turn, self.taken):
            return False
        verdict = self._judged(turn, self.rows, self.taken, value)
        return verdict.allowed and verdict.cost - verdict.noise <= self._limit(turn, self.rows)
