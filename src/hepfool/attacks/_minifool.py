# SPDX-License-Identifier: BSD-3-Clause
r"""
The cheapest flip of each event in units of its uncertainties, after MiniFool (arXiv:2511.01352).

No truth is needed: the attack leaves the class that the network says, so that it runs on data
too (``target="all"``).  :func:`scan_strength` shows from which multiple of the uncertainties on events flip.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import scipy

from hepfool._ranges import check_counts
from hepfool.attacks._checks import Target
from hepfool.attacks._gradient import margin_and_slope
from hepfool.attacks._limits import MoveUnits, admissible, check_size, movable, sizes, travel
from hepfool.attacks.base import AttackProblem, run_attack
from hepfool.events import Envelope, EventTable
from hepfool.models.protocols import Classifier
from hepfool.typing import BoolArray, FloatArray, ProgressCallback

_BOUNDARY = 0.5
#: Margins beyond the boundary among which the cheapest is looked for, as fractions of that of the goal.
_TARGETS = np.linspace(0.0, 1.0, 33)
_LARGEST_SCORE = 0.999
#: Of the distance beyond which no flip pays.
_LONGEST_STEP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniFool:
    r"""
    Minimise :math:`\alpha\,\chi^2/N + \beta\,(f - g)^2` event by event (arXiv:2511.01352).

    :math:`\chi^2 = \sum_i (x'_i - x_i)^2/(s\,\sigma_i)^2` over the :math:`N` values of the event that may move, and
    :math:`f` is the score of the strongest other class against the network's own, 0.5 on the decision boundary.
    The minimum is looked for on both sides of the decision boundary, within all bounds: first by steps to the
    cheapest point beyond the boundary of the linearised network, then downhill from the cheapest point found.  An
    event whose flip costs more than it gains keeps its class.

    Attributes
    ----------
    sigma : float or tuple of float
        Uncertainties :math:`\sigma_i`, common or one per feature, in ``unit``; 0 keeps a feature fixed.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Fraction of each feature's nominal range, the feature's own unit, a fraction of the nominal value, or of
        half the width of the event's envelope, which bounds the move as well; common or one per feature.
    strength : float
        The strength :math:`s`, a multiple of the uncertainties.
    goal : float
        The score :math:`g` to pull to, above 0.5: 1 is the far side, 0.51 just beyond the decision boundary.
    alpha, beta : float
        What a :math:`\chi^2/N` of one costs, and a score that misses its goal by one; only
        :math:`\alpha/(\beta s^2)` matters.  With 1 and 1 no event moves by more than :math:`s` standard deviations,
        root mean square.
    n_steps : int
        Steps across the boundary, and then as many downhill; one evaluation of the gradient each.
    n_bins : int
        Bins in which the marginals are compared.

    Examples
    --------
    >>> MiniFool(sigma=(5.0, 0.1), unit="absolute", strength=2.0).goal
    1.0
    """

    sigma: float | tuple[float, ...]
    unit: MoveUnits = "range"
    strength: float = 1.0
    goal: float = 1.0
    alpha: float = 1.0
    beta: float = 1.0
    n_steps: int = 20
    n_bins: int = 200

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        check_size("sigma", self.sigma, self.unit)
        for name in ("strength", "alpha", "beta"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                msg = f"{name} must be positive and finite, got {value}"
                raise ValueError(msg)
        if not _BOUNDARY < self.goal <= 1:
            msg = f"goal must lie above 0.5, the decision boundary, and not above 1, got {self.goal}"
            raise ValueError(msg)
        check_counts(self, "n_steps", "n_bins")

    @property
    def n_iterations(self) -> int:
        """The minimisation runs once."""
        return 1

    def iterate(
        self,
        problem: AttackProblem,
        values: FloatArray,
        iteration: int,  # noqa: ARG002 - one signature for all attacks
        rng: np.random.Generator,  # noqa: ARG002
    ) -> FloatArray:
        """
        Minimise the cost of every event.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now.
        iteration : int
            Not used.
        rng : numpy.random.Generator
            Not used.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            The cheapest point found of each event.

        Raises
        ------
        GradientsUnavailableError
            If the classifier gives scores only.
        """
        landscape = _Landscape.of(self, problem, values)
        best = point = landscape.at(values)
        for step in range(self.n_steps):
            # Growing steps find boundaries near and far.
            longest = _LONGEST_STEP * (step + 1) / self.n_steps
            point = landscape.at(landscape.moved(point, landscape.beyond(point, longest)))
            best = best.or_cheaper(point)
        fraction = np.ones(len(values))
        for _ in range(self.n_steps):
            aim = best.pull + fraction[:, np.newaxis] * (landscape.downhill(best) - best.pull)
            point = landscape.at(landscape.moved(best, aim))
            fraction = np.where(point.cost < best.cost, np.minimum(2.0 * fraction, 1.0), 0.25 * fraction)
            best = best.or_cheaper(point)
        return best.values


@dataclass(frozen=True, slots=True)
class _Point:
    """Events, what they cost, and the network there; displacements and slopes in units of the widths."""

    values: FloatArray
    pull: FloatArray
    cost: FloatArray
    margin: FloatArray
    slope: FloatArray

    def or_cheaper(self, other: _Point) -> _Point:
        """Choose event by event."""
        cheaper = other.cost < self.cost
        rows = cheaper[:, np.newaxis]
        return _Point(
            values=np.where(rows, other.values, self.values),
            pull=np.where(rows, other.pull, self.pull),
            cost=np.where(cheaper, other.cost, self.cost),
            margin=np.where(cheaper, other.margin, self.margin),
            slope=np.where(rows, other.slope, self.slope),
        )


@dataclass(frozen=True, slots=True)
class _Landscape:
    """The cost of every event, and where it is lower."""

    attack: MiniFool
    problem: AttackProblem
    free: BoolArray
    scale: FloatArray
    price: FloatArray

    @classmethod
    def of(cls, attack: MiniFool, problem: AttackProblem, values: FloatArray) -> _Landscape:
        width = np.broadcast_to(attack.strength * sizes(problem, attack.sigma, attack.unit), values.shape)
        free = movable(problem) & (width > 0)
        price = attack.alpha / np.maximum(free.sum(axis=1), 1)
        return cls(attack, problem, free, np.where(free, width, 1.0), price)

    def at(self, values: FloatArray) -> _Point:
        problem = self.problem
        margin, slope = margin_and_slope(self.attack, problem, values)
        pull = np.where(self.free, travel(problem.table.features, problem.table.values, values) / self.scale, 0.0)
        lower, upper = (bound[problem.bounds.row] for bound in (problem.bounds.lower, problem.bounds.upper))
        blocked = ((values <= lower) & (slope > 0)) | ((values >= upper) & (slope < 0))
        slope = np.where(self.free & ~blocked, slope * self.scale, 0.0)
        return _Point(values, pull, self.cost(self.price, (pull**2).sum(axis=1), margin), margin, slope)

    def cost(self, price: FloatArray, chi2: FloatArray, margin: FloatArray) -> FloatArray:
        miss = scipy.special.expit(-margin) - self.attack.goal
        return np.asarray(price * chi2 + self.attack.beta * miss**2)

    def moved(self, point: _Point, aim: FloatArray) -> FloatArray:
        values = np.where(aim != point.pull, self.problem.table.values + aim * self.scale, point.values)
        return admissible(self.problem, point.values, values)

    def beyond(self, point: _Point, longest: float) -> FloatArray:
        """Towards the cheapest displacement beyond the boundary of the linearised network; flat features stay."""
        norm = np.sqrt((point.slope**2).sum(axis=1))
        start = point.margin - (point.slope * point.pull).sum(axis=1)
        targets = -scipy.special.logit(min(self.attack.goal, _LARGEST_SCORE)) * _TARGETS
        length = (targets - start[:, np.newaxis]) / np.where(norm > 0, norm, np.inf)[:, np.newaxis]
        cost = self.cost(self.price[:, np.newaxis], length**2, targets)  # (n_events, n_targets)
        chosen = np.take_along_axis(length, cost.argmin(axis=1)[:, np.newaxis], axis=1)
        # A flip from farther away than this cannot cost less than the nominal event.
        reach = self.attack.goal * np.sqrt(self.attack.beta / self.price)[:, np.newaxis]
        direction = point.slope / np.where(norm > 0, norm, 1.0)[:, np.newaxis]
        step = np.where(point.slope != 0, np.clip(chosen, -reach, reach) * direction - point.pull, 0.0)
        distance = np.sqrt((step**2).sum(axis=1, keepdims=True))
        return np.asarray(point.pull + step * np.minimum(1.0, longest * reach / np.where(distance > 0, distance, 1.0)))

    def downhill(self, point: _Point) -> FloatArray:
        """Minimum of the cost with the linearised score (Gauss-Newton)."""
        score = scipy.special.expit(-point.margin)
        rise = -(score * (1.0 - score))[:, np.newaxis] * point.slope
        miss = score - self.attack.goal - (rise * point.pull).sum(axis=1)
        length = self.attack.beta * miss / (self.price + self.attack.beta * (rise**2).sum(axis=1))
        return np.where(point.slope != 0, -rise * length[:, np.newaxis], point.pull)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StrengthScan:
    """
    How many events flip at which multiple of their uncertainties.

    Attributes
    ----------
    attack : MiniFool
        The attack; its own strength does not matter.
    strengths : FloatArray, shape (n_strengths,)
        Multiples of the uncertainties, growing.
    fooling_ratios, errors : FloatArray, shape (n_strengths,)
        Weighted fraction of the attacked events with another class, and its statistical standard error; the same
        events at every strength, so the errors go together.
    max_js_distances, correlation_shifts : FloatArray, shape (n_strengths,)
        What a validation would see, dimensionless.
    flip_strengths : FloatArray, shape (n_events,)
        Smallest strength of the scan at which the event flips; infinite if at none, NaN if not attacked.
    n_attacked : int
        Number of attacked events.
    """

    attack: MiniFool
    strengths: FloatArray
    fooling_ratios: FloatArray
    errors: FloatArray
    max_js_distances: FloatArray
    correlation_shifts: FloatArray
    flip_strengths: FloatArray
    n_attacked: int


def scan_strength(
    attack: MiniFool,
    classifier: Classifier,
    table: EventTable,
    strengths: Iterable[float],
    *,
    target: Target = "correct",
    envelope: Envelope | None = None,
    progress: ProgressCallback | None = None,
) -> StrengthScan:
    """
    Repeat the attack at growing strengths.

    Parameters
    ----------
    attack : MiniFool
        With any strength.
    classifier : Classifier
        The network to fool.
    table : EventTable
        Nominal events.
    strengths : iterable of float
        Multiples of the uncertainties, growing.
    target : {"correct", "all"}, int or BoolArray
        Events to attack, as in :func:`~hepfool.attacks.base.run_attack`; ``"all"`` needs no labels.
    envelope : Envelope, optional
        Per-event bounds; they do not grow with the strength.
    progress : callable, optional
        Called with each strength and its fooling ratio, in words, and the finished fraction.

    Returns
    -------
    StrengthScan
        One point per strength.

    Raises
    ------
    ValueError
        If the strengths are not positive, finite and growing.
    """
    points = np.array(list(strengths), dtype=np.float64)
    if not (len(points) and np.isfinite(points).all() and points[0] > 0 and (np.diff(points) > 0).all()):
        msg = f"strengths must be positive, finite and growing, got {points.tolist()}"
        raise ValueError(msg)
    numbers = np.empty((4, len(points)))
    flips = np.full(table.n_events, np.inf)
    for k, strength in enumerate(points):
        unused = np.random.default_rng(0)
        result = run_attack(
            replace(attack, strength=float(strength)), classifier, table, rng=unused, target=target, envelope=envelope
        )
        found = result.compatibility
        ratio, error = result.fooling_ratio, result.fooling_ratio_error
        numbers[:, k] = ratio, error, found.max_js_distance, found.correlation_shift
        flips[result.fooled & np.isinf(flips)] = strength
        attacked = result.attacked
        if progress is not None:
            progress(f"strength {strength:g}: fooled {ratio:.1%}", (k + 1) / len(points))
    flips[~attacked] = np.nan
    return StrengthScan(
        attack=attack,
        strengths=points,
        fooling_ratios=numbers[0],
        errors=numbers[1],
        max_js_distances=numbers[2],
        correlation_shifts=numbers[3],
        flip_strengths=flips,
        n_attacked=int(attacked.sum()),
    )
