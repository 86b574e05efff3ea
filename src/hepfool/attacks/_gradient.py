# SPDX-License-Identifier: BSD-3-Clause
"""
Attacks that follow the gradient event by event and keep each move small.

They do not look at the data set: what they do to marginals and correlations is measured, not
limited.  Use them to compare with, or with an envelope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hepfool._ranges import check_counts
from hepfool.attacks._checks import check_slope
from hepfool.attacks._limits import MoveUnits, admissible, check_size, movable, reaches, sizes, travel
from hepfool.attacks.base import Attack, AttackProblem
from hepfool.exceptions import GradientsUnavailableError
from hepfool.models.protocols import DifferentiableClassifier
from hepfool.typing import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PGD:
    """
    Projected gradient descent on the margin (arXiv:1706.06083).

    Attributes
    ----------
    step : float or tuple of float
        Length of one step, common or one per feature, in ``unit``.
    epsilon : float or tuple of float, optional
        Largest distance from nominal; ``n_iterations`` steps by default.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Fraction of each feature's nominal range, the feature's own unit, a fraction of the nominal value, or of
        half the width of the event's envelope, which is its uncertainty; ``epsilon`` of the way to either end of it, however far
        from nominal that is; common or one per feature.
    norm : {"inf", "2"}
        Whether each feature keeps ``epsilon`` by itself, or the event's features together in quadrature,
        each divided by its ``epsilon``.
    n_iterations : int
        Steps.
    n_bins : int
        Bins in which the marginals are compared.

    Examples
    --------
    >>> PGD(step=0.001).n_iterations
    10
    """

    step: float | tuple[float, ...] = 0.001
    epsilon: float | tuple[float, ...] | None = None
    unit: MoveUnits = "range"
    norm: Literal["inf", "2"] = "inf"
    n_iterations: int = 10
    n_bins: int = 200

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        check_size("step", self.step, self.unit)
        if self.epsilon is not None:
            check_size("epsilon", self.epsilon, self.unit)
        if self.norm not in {"inf", "2"}:
            msg = f"norm must be 'inf' or '2', got {self.norm!r}"
            raise ValueError(msg)
        check_counts(self, "n_iterations", "n_bins")

    def iterate(
        self,
        problem: AttackProblem,
        values: FloatArray,
        iteration: int,  # noqa: ARG002 - one signature for all attacks
        rng: np.random.Generator,  # noqa: ARG002
    ) -> FloatArray:
        """
        Make one step against the margin and return to the allowed distance.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now.
        iteration : int
            From 0.
        rng : numpy.random.Generator
            Not used.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Events after the step.

        Raises
        ------
        GradientsUnavailableError
            If the classifier gives scores only.
        """
        _, slope = margin_and_slope(self, problem, values)
        free = movable(problem)
        step = sizes(problem, self.step, self.unit)
        down, up = reaches(problem, self._largest, self.unit)
        direction = np.where(free, -slope, 0.0)
        if self.norm == "inf":
            moved = values + step * np.sign(direction)
        else:
            moved = values + step * _unit_vectors(direction * np.where(direction < 0.0, down, up))
        return admissible(problem, values, self._projected(problem, moved, down, up))

    @property
    def _largest(self) -> float | tuple[float, ...]:
        if self.epsilon is not None:
            return self.epsilon
        steps = np.asarray(self.step) * self.n_iterations
        return float(steps) if steps.ndim == 0 else tuple(steps.tolist())

    def _projected(self, problem: AttackProblem, moved: FloatArray, down: FloatArray, up: FloatArray) -> FloatArray:
        nominal = problem.table.values
        distance = travel(problem.table.features, nominal, moved)
        if self.norm == "inf":
            return np.asarray(nominal + np.clip(distance, -down, up))
        largest = np.where(distance < 0.0, down, up)
        # A feature that may not move does not count.
        relative = distance / np.where(largest > 0, largest, np.inf)
        length = np.sqrt(np.nansum(relative**2, axis=1, keepdims=True))
        return np.asarray(nominal + distance / np.maximum(length, 1.0))


def margin_and_slope(attack: Attack, problem: AttackProblem, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Ask the network how far each event is from another class, and in which direction.

    Parameters
    ----------
    attack : Attack
        Who asks.
    problem : AttackProblem
        Network and the classes to leave.
    values : FloatArray, shape (n_events, n_features)
        Events as they are now.

    Returns
    -------
    margin : FloatArray, shape (n_events,)
        Log-odds of the class over the decision boundary.
    slope : FloatArray, shape (n_events, n_features)
        Its gradient, per unit of each feature; 0 where it does not exist.

    Raises
    ------
    GradientsUnavailableError
        If the classifier gives scores only, or its gradient is zero everywhere.
    """
    classifier = problem.classifier
    if not isinstance(classifier, DifferentiableClassifier):
        msg = (
            f"{type(classifier).__name__} gives no gradients, which {type(attack).__name__} follows; "
            "wrap it in hepfool.models.blackbox.FiniteDifference"
        )
        raise GradientsUnavailableError(msg)
    margin, slope = classifier.margin_and_gradient(problem.network_values(values), problem.classes)
    check_slope(problem, slope)
    return margin, np.nan_to_num(slope)


def _unit_vectors(rows: FloatArray) -> FloatArray:
    length = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def fgsm(epsilon: float | tuple[float, ...], *, unit: MoveUnits = "range", n_bins: int = 200) -> PGD:
    """
    Fast gradient sign method (arXiv:1412.6572): one step of :class:`PGD`.

    Parameters
    ----------
    epsilon : float or tuple of float
        Length of the step, common or one per feature.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Its unit, common or one per feature.
    n_bins : int
        Bins in which the marginals are compared.

    Returns
    -------
    PGD
        With one iteration.

    Examples
    --------
    >>> fgsm(0.01).n_iterations
    1
    """
    return PGD(step=epsilon, unit=unit, n_iterations=1, n_bins=n_bins)
