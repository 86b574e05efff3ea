# SPDX-License-Identifier: BSD-3-Clause
r"""
CONSERVAttack: fool a network while the data set keeps its shapes and correlations.

The attack of arXiv:2603.13970, with exact bookkeeping.  In each iteration every
event that is not yet fooled follows the sign of its gradient, one feature
after the other, to the candidate of smallest
:math:`\alpha\,\mathrm{JSD}_j+\beta\,\Delta\mathrm{FN}`, and the state of the data set is updated at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numba
import numpy as np

from hepfool.attacks.base import AttackProblem
from hepfool.attacks.search import (
    Choice,
    Grid,
    Rules,
    cheapest_on_grid,
    consider,
    grid_value,
    no_choice,
)
from hepfool.exceptions import GradientsUnavailableError
from hepfool.models.protocols import DifferentiableClassifier
from hepfool.statistics.incremental import FILL, MEAN, DatasetState, Probe, commit, new_state, probe
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["CONSERVAttack"]

_jit = numba.njit(cache=True, error_model="numpy", forceinline=True)
_CONTINUOUS, _INTEGER, _ANGLE, _FIXED = range(4)
_KINDS = {"continuous": _CONTINUOUS, "integer": _INTEGER, "angle": _ANGLE, "fixed": _FIXED}


@dataclass(frozen=True, slots=True, kw_only=True)
class CONSERVAttack:
    r"""
    Gradient-guided search constrained on the data set (arXiv:2603.13970, sec. 3).

    The names of the paper's Table 2 stand in brackets.

    Attributes
    ----------
    min_change : float
        Smallest move of a feature [min_change], in units of ``step_unit``.
    step : float
        Spacing of the candidates [step], in units of ``step_unit``.
    step_unit : {"range", "absolute"}
        Whether moves are given as a fraction of each feature's nominal range
        (the same as the paper's on inputs scaled to [0, 1]) or in its own unit.
    n_candidates : int, optional
        Number of candidates between ``min_change`` and the bound [num_candidates]; replaces ``step``.
    candidates : {"random", "even"}
        Where these lie.
    n_iterations : int
        Iterations [n_iterations].
    n_bins : int
        Bins per marginal [num_bins].
    alpha, beta : float
        Price of the Jensen-Shannon distance and of the correlation shift.
    max_js_distance : float
        Cap on each marginal's distance from nominal [max_jsd_single_change]; never exceeded.
    max_correlation_change : float
        Cap on the change of the correlations by one move, against the current
        ones and relative to the nominal norm [max_frob_single_change].
    max_correlation_shift : float
        Cap on the total correlation shift from nominal; never exceeded.
    use_no_change : bool
        Whether a feature without a candidate below ``max_correlation_change``
        stays [use_no_change].  If not, that cap is waived; the others never are.
    compete : bool
        Whether staying also competes on cost.

    Examples
    --------
    >>> CONSERVAttack(max_js_distance=0.02).n_iterations
    10
    """

    min_change: float = 5e-4
    step: float = 5e-4
    step_unit: Literal["range", "absolute"] = "range"
    n_candidates: int | None = None
    candidates: Literal["random", "even"] = "random"
    n_iterations: int = 10
    n_bins: int = 200
    alpha: float = 4.0
    beta: float = 1.0
    max_js_distance: float = math.inf
    max_correlation_change: float = math.inf
    max_correlation_shift: float = math.inf
    use_no_change: bool = True
    compete: bool = False

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        for name in ("min_change", "step"):
            if not 0 < getattr(self, name) < math.inf:
                msg = f"{name} must be positive and finite, got {getattr(self, name)}"
                raise ValueError(msg)
        for name in ("alpha", "beta", "max_js_distance", "max_correlation_change", "max_correlation_shift"):
            if not getattr(self, name) >= 0:
                msg = f"{name} must not be negative, got {getattr(self, name)}"
                raise ValueError(msg)
        counts = {"n_iterations": self.n_iterations, "n_bins": self.n_bins, "n_candidates": self.n_candidates}
        for name, count in counts.items():
            if count is not None and count < 1:
                msg = f"{name} must be at least 1, got {count}"
                raise ValueError(msg)

    def step_sizes(self, problem: AttackProblem) -> tuple[FloatArray, FloatArray]:
        """
        Convert ``min_change`` and ``step`` to the features' units.

        Parameters
        ----------
        problem : AttackProblem
            Supplies the nominal range of each feature.

        Returns
        -------
        first, step : FloatArray, shape (n_features,)
            In each feature's unit.
        """
        edges = problem.binning.edges
        unit = edges[:, -1] - edges[:, 0] if self.step_unit == "range" else np.ones(len(edges))
        return self.min_change * unit, self.step * unit

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        """
        Move every event that is not yet fooled once.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now.
        iteration : int
            From 0.
        rng : numpy.random.Generator
            Seeds the random candidates.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Events after the iteration.

        Raises
        ------
        GradientsUnavailableError
            If the classifier gives scores only.
        """
        classifier = problem.classifier
        if not isinstance(classifier, DifferentiableClassifier):
            msg = (
                f"{type(classifier).__name__} gives no gradients, which CONSERVAttack follows; "
                "wrap it in hepfool.models.blackbox.FiniteDifference"
            )
            raise GradientsUnavailableError(msg)
        if self.max_correlation_shift == 0.0:
            return values
        events = self._unfooled(problem, values, iteration)
        if not len(events):
            return values
        _, gradient = classifier.margin_and_gradient(problem.network_values(values, events), problem.classes[events])
        state = new_state(problem.table, values, problem.constrained, problem.binning)
        moved = values.copy()
        seed = int(rng.integers(2**63))
        _sweep(state, self._rules(), self._layout(problem), moved, events, -gradient, seed)
        return moved

    def _unfooled(self, problem: AttackProblem, values: FloatArray, iteration: int) -> IntArray:
        events = np.flatnonzero(problem.attacked & ~problem.frozen)
        if iteration:
            predicted = problem.classifier.predict(problem.network_values(values, events))
            events = events[predicted == problem.classes[events]]
        return events

    def _rules(self) -> Rules:
        waived = math.inf if not self.use_no_change else self.max_correlation_change
        return Rules(
            alpha=float(self.alpha),
            beta=float(self.beta),
            max_divergence=(self.max_js_distance * (1.0 - 1e-9)) ** 2,
            max_change=waived,
            max_shift=self.max_correlation_shift * (1.0 - 1e-9),
        )

    def _layout(self, problem: AttackProblem) -> _Layout:
        first, step = self.step_sizes(problem)
        features = problem.table.features
        return _Layout(
            weights=np.array(problem.table.weights),
            constrained=np.array(problem.constrained),
            kinds=np.array([_KINDS[f.kind] for f in features]),
            first=first,
            step=step,
            lower=problem.bounds.lower,
            upper=problem.bounds.upper,
            row=problem.bounds.row,
            origin=features.lower,
            period=features.upper - features.lower,
            nominal=np.array(problem.table.values),
            n_candidates=self.n_candidates or 0,
            random=self.candidates == "random",
            compete=self.compete,
        )


class _Layout(NamedTuple):
    """What a sweep knows about events and features."""

    weights: FloatArray
    constrained: BoolArray
    kinds: IntArray
    first: FloatArray
    step: FloatArray
    lower: FloatArray
    upper: FloatArray
    row: IntArray
    origin: FloatArray
    period: FloatArray
    nominal: FloatArray
    n_candidates: int
    random: bool
    compete: bool


@_jit
def _uniform(seed: int, counter: int) -> float:
    """Random number in [0, 1) that depends on its arguments only (SplitMix64)."""
    z = np.uint64(seed) + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@_jit
def _wrapped(layout: _Layout, j: int, value: float) -> float:
    period = layout.period[j]
    return float(value - period * np.floor((value - layout.origin[j]) / period))


@_jit
def _reach(layout: _Layout, i: int, j: int, value: float, sign: float) -> float:
    """Distance from a value to its bound in one direction, in the feature's unit."""
    r = layout.row[i]
    lower, upper = layout.lower[r, j], layout.upper[r, j]
    room = upper - value if sign > 0 else value - lower
    if layout.kinds[j] == _ANGLE:
        period = layout.period[j]
        travelled = value - layout.nominal[i, j]
        travelled -= period * np.round(travelled / period)
        room = upper - layout.nominal[i, j] - travelled if sign > 0 else layout.nominal[i, j] + travelled - lower
        room = min(room, 0.5 * period)
    return float(room)


@_jit
def _grid(layout: _Layout, i: int, j: int, value: float, sign: float) -> Grid:
    """Candidates of one value; whole numbers for an integer."""
    first, step, n = layout.first[j], layout.step[j], 0
    reach = _reach(layout, i, j, value, sign)
    if layout.kinds[j] == _INTEGER:
        first, step = max(np.ceil(first), 1.0), max(np.ceil(step), 1.0)
    elif layout.n_candidates > 0:
        n = layout.n_candidates
        step = (reach - first) / (n if layout.random else max(n - 1, 1))
    if reach < first:
        n = 0
    elif n == 0:
        n = int(np.floor((reach - first) / step + 1e-9)) + 1
        # Rounding to single precision may step over the bound.
        if abs(grid_value(Grid(value, sign, first, step, n), n - 1) - value) > reach:
            n -= 1
    return Grid(value, sign, first, step, n)


@_jit
def _candidate(layout: _Layout, i: int, j: int, grid: Grid, t: int, seed: int, counter: int) -> float:
    """
    Value of the t-th candidate, drawn or on the grid, wrapped if it is an angle.

    The value itself, which is no move, where rounding would step over the bound.
    """
    value = grid_value(grid, t)
    if layout.n_candidates > 0 and layout.random and layout.kinds[j] != _INTEGER:
        distance = grid.first + grid.n * grid.step * _uniform(seed, counter + t)
        value = float(np.float32(grid.origin + grid.sign * distance))
    if layout.kinds[j] == _ANGLE:
        value = _wrapped(layout, j, value)
    elif not layout.lower[layout.row[i], j] <= value <= layout.upper[layout.row[i], j]:
        value = grid.origin
    return value


@_jit
def _counter(layout: _Layout, i: int, j: int) -> int:
    """Where a value's own sequence of random numbers starts."""
    return int((i * layout.kinds.shape[0] + j) * max(layout.n_candidates, 1))


@_jit
def _choose(
    state: DatasetState,
    rules: Rules,
    layout: _Layout,
    item: Probe,
    place: tuple[int, int],
    grid: Grid,
    seed: int,
    bounds: FloatArray,
) -> Choice:
    """Cheapest admissible candidate of a constrained event."""
    i, j = place
    if layout.kinds[j] == _CONTINUOUS and layout.n_candidates == 0:
        best = cheapest_on_grid(state.bins[j], state.blocks[j], item, rules, grid, bounds)
    else:
        best = no_choice()
        counter = _counter(layout, i, j)
        for t in range(grid.n):
            value = _candidate(layout, i, j, grid, t, seed, counter)
            best = consider(state.bins[j], item, rules, grid.origin, value, best)
    return best


@_jit
def _move_free(layout: _Layout, values: FloatArray, i: int, j: int, sign: float, seed: int) -> None:
    """Take a random candidate: nothing constrains an event outside of the validated regions."""
    grid = _grid(layout, i, j, values[i, j], sign)
    if grid.n > 0:
        counter = _counter(layout, i, j)
        t = int(_uniform(seed, counter) * grid.n)
        values[i, j] = _candidate(layout, i, j, grid, t, seed, counter)


@_jit
def _sweep(
    state: DatasetState,
    rules: Rules,
    layout: _Layout,
    values: FloatArray,
    events: IntArray,
    direction: FloatArray,
    seed: int,
) -> None:
    """Move each event once along its direction, feature by feature; state and values are updated at once."""
    n_features = values.shape[1]
    deviation = np.empty(n_features)
    bounds = np.empty(state.blocks.shape[1])
    for index in range(events.shape[0]):
        i = events[index]
        weight = layout.weights[i]
        for k in range(n_features):
            deviation[k] = (state.vectors[FILL, k] if np.isnan(values[i, k]) else values[i, k]) - state.vectors[MEAN, k]
        for j in range(n_features):
            gradient, value = direction[index, j], values[i, j]
            if gradient == 0.0 or np.isnan(gradient) or np.isnan(value) or layout.kinds[j] == _FIXED:
                continue
            sign = 1.0 if gradient > 0.0 else -1.0
            if not layout.constrained[i]:
                _move_free(layout, values, i, j, sign, seed)
                continue
            grid = _grid(layout, i, j, value, sign)
            if grid.n <= 0:
                continue
            item = probe(state, j, value, weight, deviation)
            best = _choose(state, rules, layout, item, (i, j), grid, seed, bounds)
            if best.new_bin < 0:
                continue
            if layout.compete:
                staying = rules.alpha * np.sqrt(item.divergence) + rules.beta * np.sqrt(item.distance / item.norm)
                if staying <= best.cost:
                    continue
            commit(state, j, item, best.delta, best.new_bin, weight, deviation)
            values[i, j] = best.value
