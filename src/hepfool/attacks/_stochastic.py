# SPDX-License-Identifier: BSD-3-Clause
"""Attacks that need no gradient: noise, the control of every study, and values redrawn from the marginals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hepfool._ranges import check_counts
from hepfool.attacks._limits import MoveUnits, admissible, check_size, movable, sizes
from hepfool.attacks.base import AttackProblem
from hepfool.models.protocols import is_fooled
from hepfool.typing import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """
    Random displacements, independent of the network.

    Attributes
    ----------
    size : float or tuple of float
        Largest displacement (uniform) or its standard deviation (normal), common or one per feature, in ``unit``.
    shape : {"uniform", "normal"}
        Distribution.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Fraction of each feature's nominal range, the feature's own unit, a fraction of the nominal value, or of
        half the width of the event's envelope, which is its uncertainty; common or one per feature.
    n_bins : int
        Bins in which the marginals are compared.

    Examples
    --------
    >>> Noise(size=0.01).n_iterations
    1
    """

    size: float | tuple[float, ...]
    shape: Literal["uniform", "normal"] = "uniform"
    unit: MoveUnits = "range"
    n_bins: int = 200

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        check_size("size", self.size, self.unit)
        check_counts(self, "n_bins")
        if self.shape not in {"uniform", "normal"}:
            msg = f"shape must be 'uniform' or 'normal', got {self.shape!r}"
            raise ValueError(msg)

    @property
    def n_iterations(self) -> int:
        """Noise is drawn once."""
        return 1

    def iterate(
        self,
        problem: AttackProblem,
        values: FloatArray,
        iteration: int,  # noqa: ARG002 - one signature for all attacks
        rng: np.random.Generator,
    ) -> FloatArray:
        """
        Displace every value.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now.
        iteration : int
            Not used.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Displaced events.
        """
        draws = rng.uniform(-1.0, 1.0, values.shape) if self.shape == "uniform" else rng.normal(size=values.shape)
        moved = np.where(movable(problem), values + draws * sizes(problem, self.size, self.unit), values)
        return admissible(problem, values, moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class RDSA:
    """
    Random distribution shuffle: redraw a few features from the marginals until the network errs (arXiv:2501.05588).

    Each try redraws ``n_features`` features, chosen at random for each event that is not fooled yet, from the
    constrained events; what does not fool is undone.

    Attributes
    ----------
    n_features : int
        Features redrawn at once.
    n_tries : int
        Tries per event.
    n_bins : int
        Bins in which the marginals are compared.

    Examples
    --------
    >>> RDSA(n_features=3, n_tries=20).n_iterations
    20
    """

    n_features: int
    n_tries: int = 100
    n_bins: int = 200

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        check_counts(self, "n_features", "n_tries", "n_bins")

    @property
    def n_iterations(self) -> int:
        """One try per iteration."""
        return self.n_tries

    def iterate(
        self,
        problem: AttackProblem,
        values: FloatArray,
        iteration: int,  # noqa: ARG002 - one signature for all attacks
        rng: np.random.Generator,
    ) -> FloatArray:
        """
        Try once for every event that is not fooled.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now.
        iteration : int
            Not used.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Events, with those that this try has fooled redrawn.
        """
        table, classifier = problem.table, problem.classifier
        left = ~is_fooled(classifier, problem.network_values(values), problem.classes)
        free = movable(problem) & left[:, np.newaxis]
        rank = np.argsort(np.argsort(np.where(free, rng.random(values.shape), 2.0), axis=1), axis=1)
        chosen = free & (rank < self.n_features)
        pool = np.flatnonzero(problem.constrained)
        donors = rng.choice(pool, size=values.shape, p=_probabilities(table.weights[pool]))
        redrawn = np.take_along_axis(table.values, donors, axis=0)
        moved = np.where(chosen & ~np.isnan(redrawn), redrawn, values)
        moved = admissible(problem, values, moved)
        fooled = is_fooled(classifier, problem.network_values(moved), problem.classes)
        return np.where((fooled & left)[:, np.newaxis], moved, values)


def _probabilities(weights: FloatArray) -> FloatArray:
    size = np.abs(weights)
    return np.asarray(size / size.sum())
