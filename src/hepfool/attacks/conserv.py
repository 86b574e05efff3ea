# SPDX-License-Identifier: BSD-3-Clause
r"""
CONSERVAttack: fool a network while the data set keeps its shapes and correlations.

The attack of arXiv:2603.13970, with exact bookkeeping, and a stronger one.  A move
costs :math:`\alpha\,\mathrm{JSD}_j+\beta\,\Delta\mathrm{FN}`, and the state of the data set is updated at once.
With ``strategy="paper"`` every event that is not yet fooled follows the sign of its gradient,
one feature after the other, to the cheapest candidate.  With ``strategy="frugal"``
a move must be worth its cost, see :mod:`hepfool.attacks.frugal_sweep`: more events are
fooled, by smaller changes of marginals and correlations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from hepfool.attacks import derived_sweep, distance_sweep, frugal_sweep, paper_sweep
from hepfool.attacks.base import AttackProblem
from hepfool.attacks.candidates import Layout
from hepfool.attacks.checks import check_slope
from hepfool.attacks.search import Rules
from hepfool.events import EventTable
from hepfool.exceptions import GradientsUnavailableError
from hepfool.models.protocols import DifferentiableClassifier, is_fooled
from hepfool.ranges import check_counts
from hepfool.statistics.budget import check_budget, validation_budget
from hepfool.statistics.dataset_state import DatasetState, Nominal, new_state
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["CONSERVAttack"]

#: By how much more than its margin an event is moved: the margin is a curve, its gradient a line.
_OVERSHOOT: Final = 0.3
#: Fraction of a fooled event's margin that repairs may use up.
_SPARE: Final = 0.5
_TINY: Final = 1e-9
#: Candidates of a move that takes derived features along, unless stated.
_DERIVED_CANDIDATES: Final = 50
#: Power of the checks that a budget of the validation allows, unless stated.
_DETECTION_POWER: Final = 0.1
_CHOICES: Final = {
    "step_unit": ("range", "absolute"),
    "candidates": ("random", "even"),
    "dependence": ("pearson", "distance"),
    "strategy": ("paper", "frugal"),
    "budget": ("caps", "validation"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CONSERVAttack:
    r"""
    Gradient-guided search constrained on the data set (arXiv:2603.13970, sec. 3).

    The names of the paper's Table 2 stand in brackets; its ``mask`` is the ``target`` of
    :func:`~hepfool.attacks.base.run_attack`, its ``n_gpus`` the device of the classifier.

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
        Whether a value that has moved already moves again only where this costs less than staying; it always does
        with ``strategy="frugal"``.
    optimize_already_fooled : bool
        Whether fooled events go back towards nominal where that lowers the cost and should leave
        them fooled [optimize_already_fooled]; always, and anywhere, with ``strategy="frugal"``.
    dependence : {"pearson", "distance"}
        Which correlations are meant: Pearson's, or distance correlations [use_disco], which see
        dependence of any shape and take a time that grows with the square of the number of events.
    strategy : {"paper", "frugal"}
        How events and candidates are chosen.
    n_ahead : int
        For ``strategy="paper"``: events whose moves are chosen at a time, by as many threads as
        ``NUMBA_NUM_THREADS`` allows, before the first of them moves.  Each proposal is judged again, exactly, when its
        turn comes, so that caps hold as ever; the result depends on this number, but not on that of the threads.
    reward : float
        For ``strategy="frugal"``: what fooling all attacked events is worth, in units of the cost.
    budget : {"caps", "validation"}
        Whether the caps are those above, or in addition those at which the chi-square check of a marginal
        and the check of all correlations reject with ``detection_power``, see :mod:`hepfool.statistics.budget`.
    n_data : float, optional
        Data events in the constrained regions, for ``budget="validation"``.
    detection_power : float
        Probability to reject, of a check that rejects 5 % of the time when nothing is wrong.

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
    optimize_already_fooled: bool = False
    dependence: Literal["pearson", "distance"] = "pearson"
    strategy: Literal["paper", "frugal"] = "paper"
    n_ahead: int = 1
    reward: float = 200.0
    budget: Literal["caps", "validation"] = "caps"
    n_data: float | None = None
    detection_power: float = _DETECTION_POWER

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        self._check_numbers()
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                msg = f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                raise ValueError(msg)
        if self.budget == "validation":
            check_budget(n_data=self.n_data, detection_power=self.detection_power)
        self._check_effects()
        if self.n_ahead > 1 and (self.strategy != "paper" or self.dependence != "pearson"):
            msg = (
                'n_ahead goes with strategy="paper" and dependence="pearson", '
                f"got n_ahead={self.n_ahead}, strategy={self.strategy!r}, dependence={self.dependence!r}"
            )
            raise ValueError(msg)
        if self.dependence == "distance" and (self.strategy != "paper" or self.optimize_already_fooled):
            msg = (
                'dependence="distance" goes with strategy="paper" and without optimize_already_fooled, '
                f"got strategy={self.strategy!r}, optimize_already_fooled={self.optimize_already_fooled}"
            )
            raise ValueError(msg)

    def _check_numbers(self) -> None:
        for name in ("min_change", "step", "reward"):
            if not 0 < getattr(self, name) < math.inf:
                msg = f"{name} must be positive and finite, got {getattr(self, name)}"
                raise ValueError(msg)
        for name in ("alpha", "beta", "max_js_distance", "max_correlation_change", "max_correlation_shift"):
            if not getattr(self, name) >= 0:
                msg = f"{name} must not be negative, got {getattr(self, name)}"
                raise ValueError(msg)
        check_counts(self, "n_iterations", "n_bins", "n_candidates", "n_ahead")

    def _check_effects(self) -> None:
        """Refuse options that change nothing beside the others."""
        idle: dict[str, str] = {}
        if self.strategy == "frugal":
            why = 'with strategy="frugal", which '
            idle |= dict.fromkeys(("step", "n_candidates", "candidates"), f"{why}tries one value in every bin")
            idle["compete"] = f"{why}always weighs staying against moving"
            idle["optimize_already_fooled"] = f"{why}always brings fooled events back"
        else:
            idle["reward"] = 'with strategy="paper", which takes the cheapest move whatever it is worth'
        if self.n_candidates is None:
            idle["candidates"] = "without n_candidates: all candidates at the spacing step are tried"
        if self.dependence == "distance":
            idle["compete"] = 'with dependence="distance", which always takes the cheapest move'
        if math.isinf(self.max_correlation_change):
            idle["use_no_change"] = "without max_correlation_change, the cap that it waives"
        if self.budget == "caps":
            idle |= dict.fromkeys(("n_data", "detection_power"), 'without budget="validation"')
        for name, why in idle.items():
            self._refuse(name, why)

    def _refuse(self, name: str, why: str) -> None:
        given, default = getattr(self, name), type(self).__dataclass_fields__[name].default
        if given != default:
            msg = f"{name}={given!r} has no effect {why}; leave it out"
            raise ValueError(msg)

    def _check_table(self, table: EventTable) -> None:
        features = table.features
        fixed_candidates = self.n_candidates is not None or features.derived
        if fixed_candidates and not features.of_kind("integer").any():
            self._refuse("step", "where the number of candidates is fixed and no feature is an integer")
        if features.derived:
            self._refuse("compete", "on tables with derived features, which always take the cheapest move")
        plain = self.strategy == "paper" and self.dependence == "pearson" and not self.optimize_already_fooled
        plain = plain and self.n_ahead == 1
        if features.derived and not plain:
            msg = (
                f"{features[features.derived[0]].name} is derived from other features; "
                'that goes with strategy="paper", dependence="pearson", n_ahead=1 and without optimize_already_fooled'
            )
            raise ValueError(msg)
        if self.dependence == "distance" and (table.weights < 0).any():
            msg = (
                f"the table holds {int((table.weights < 0).sum())} events of negative weight, "
                'for which no distance correlation exists; use dependence="pearson"'
            )
            raise ValueError(msg)

    def resolved(self, table: EventTable) -> CONSERVAttack:
        """
        Put the caps of ``budget="validation"`` in place.

        Parameters
        ----------
        table : EventTable
            Nominal events.

        Returns
        -------
        CONSERVAttack
            The same attack with explicit caps: the smaller ones of its own and of the budget.
        """
        if self.budget == "caps" or self.n_data is None:
            return self
        budget = validation_budget(table, n_data=self.n_data, n_bins=self.n_bins, detection_power=self.detection_power)
        return replace(
            self,
            budget="caps",
            n_data=None,
            detection_power=_DETECTION_POWER,
            max_js_distance=min(self.max_js_distance, budget.max_js_distance),
            max_correlation_shift=min(self.max_correlation_shift, budget.max_correlation_shift),
        )

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
        Move every event once.

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
        self._check_table(problem.table)
        if self.budget == "validation":
            return self.resolved(problem.table).iterate(problem, values, iteration, rng)
        if self.max_correlation_shift == 0.0:
            return values
        seed = int(rng.integers(2**63))
        if self.strategy == "frugal":
            # A repair may lose an event, and after the last iteration nobody would win it back.
            last = iteration == self.n_iterations - 1
            return self._bargained(problem, values, _Moving.of(problem, values, classifier, fooled=not last), seed)
        values = self._swept(problem, values, _Moving.of(problem, values, classifier), seed)
        if self.optimize_already_fooled:
            fooled = _Moving.of(problem, values, classifier, unfooled=False, fooled=True)
            values = self._repaired(problem, values, fooled, seed)
        return values

    def _swept(self, problem: AttackProblem, values: FloatArray, moving: _Moving, seed: int) -> FloatArray:
        """Make the paper's moves."""
        moved = values.copy()
        state, rules, layout = self._state(problem, values), self._rules(), self._layout(problem)
        # In place: a million events of 30 features are 240 MB.
        direction = np.negative(moving.slope, out=moving.slope)
        if problem.table.features.derived:
            edges = problem.binning.edges
            direction = derived_sweep.total_slope(
                problem.table.features, values[moving.events], direction, edges[:, -1] - edges[:, 0]
            )
            derived_sweep.sweep(problem, state, rules, layout, moved, moving.events, direction, seed)
        elif self.dependence == "distance":
            distances = distance_sweep.distance_state(problem, values)
            distance_sweep.sweep(state, distances, rules, layout, moved, moving.events, direction, seed)
        else:
            paper_sweep.sweep(state, rules, layout, moved, moving.events, direction, seed, n_ahead=self.n_ahead)
        return moved

    def _bargained(
        self, problem: AttackProblem, values: FloatArray, moving: _Moving, seed: int, *, homewards: bool = False
    ) -> FloatArray:
        """Make frugal moves: fooled events first, then those with the smallest margin."""
        ordered = moving.select(np.argsort(moving.margin, kind="stable"))
        weights = np.abs(problem.table.weights)
        goals = frugal_sweep.Goals(
            slope=ordered.slope,
            needed=np.where(ordered.fooled, 0.0, (1.0 + _OVERSHOOT) * ordered.margin),
            spare=np.where(ordered.fooled, -_SPARE * ordered.margin, 0.0),
            reward=self.reward * weights[ordered.events] / weights[problem.attacked].sum(),
            homewards=homewards,
        )
        moved = values.copy()
        state, rules, layout = self._state(problem, values), self._rules(), self._layout(problem)
        frugal_sweep.sweep(state, rules, layout, moved, ordered.events, goals, seed)
        return moved

    def _repaired(self, problem: AttackProblem, values: FloatArray, fooled: _Moving, seed: int) -> FloatArray:
        """Bring fooled events closer to nominal, except for those that it would lose."""
        moved = self._bargained(problem, values, fooled, seed, homewards=True)
        values_now = problem.network_values(moved, fooled.events)
        lost = fooled.events[~is_fooled(problem.classifier, values_now, problem.classes[fooled.events])]
        moved[lost] = values[lost]
        # Moves of the lost ones may have paid for others.
        return moved if self._within_caps(problem, moved) else values

    def _state(self, problem: AttackProblem, values: FloatArray) -> DatasetState:
        table, constrained, binning = problem.table, problem.constrained, problem.binning
        nominal = problem.once("nominal sums", lambda: Nominal.of(table, constrained, binning))
        return new_state(table, values, constrained, binning, nominal)

    def _within_caps(self, problem: AttackProblem, values: FloatArray) -> bool:
        state, rules = self._state(problem, values), self._rules()
        within = (state.js_distance**2 <= rules.max_divergence).all()
        return bool(within and state.correlation_shift <= rules.max_shift)

    def _rules(self) -> Rules:
        waived = math.inf if not self.use_no_change else self.max_correlation_change
        return Rules(
            alpha=float(self.alpha),
            beta=float(self.beta),
            max_divergence=(self.max_js_distance * (1.0 - 1e-9)) ** 2,
            max_change=waived,
            max_shift=self.max_correlation_shift * (1.0 - 1e-9),
        )

    def _layout(self, problem: AttackProblem) -> Layout:
        return Layout.of(
            problem,
            self.step_sizes(problem),
            n_candidates=self.n_candidates or (_DERIVED_CANDIDATES if problem.table.features.derived else 0),
            random=self.candidates == "random",
            compete=self.compete,
        )


class _Moving(NamedTuple):
    """Events that an iteration moves, and what the network says of them."""

    events: IntArray
    margin: FloatArray
    slope: FloatArray
    fooled: BoolArray

    @classmethod
    def of(
        cls,
        problem: AttackProblem,
        values: FloatArray,
        classifier: DifferentiableClassifier,
        *,
        unfooled: bool = True,
        fooled: bool = False,
    ) -> _Moving:
        """Ask the network about events that are not fooled yet, about fooled ones, or both."""
        events = np.flatnonzero(problem.attacked & ~problem.frozen)
        done = is_fooled(classifier, problem.network_values(values, events), problem.classes[events])
        wanted = np.where(done, fooled, unfooled)
        events, done = events[wanted], done[wanted]
        if not len(events):
            return cls(events, np.zeros(0), np.zeros((0, values.shape[1])), done)
        margin, slope = classifier.margin_and_gradient(problem.network_values(values, events), problem.classes[events])
        check_slope(problem, slope)
        # The class decides; rounding may give a margin of 0 the other sign.
        margin = np.where(done, np.minimum(margin, -_TINY), np.maximum(margin, _TINY))
        return cls(events, margin, np.ascontiguousarray(slope), done)

    def select(self, chosen: BoolArray | IntArray) -> _Moving:
        """Return some of the events."""
        return _Moving(self.events[chosen], self.margin[chosen], self.slope[chosen], self.fooled[chosen])
