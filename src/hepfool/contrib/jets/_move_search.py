# SPDX-License-Identifier: BSD-3-Clause
"""
Search among moves of constituents, under the comparisons of a :class:`~hepfool.validation.Validation`.

Where :class:`~hepfool.attacks.CONSERVAttack` moves the columns of a table one by one, :class:`ConstituentMoves` splits, radiates, merges and turns:
moves of several columns at once, which no gradient proposes.  Each iteration draws some moves for every event that is not yet fooled, and takes the one that
hurts most if all distributions stay within their caps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from hepfool._ranges import check_counts, check_reals
from hepfool.attacks import AttackProblem, admissible, travel
from hepfool.contrib.jets._layout import COORDINATES
from hepfool.contrib.jets._moves import MOVES, Move, MoveSizes
from hepfool.events import EventTable
from hepfool.models.protocols import is_fooled, threshold_of
from hepfool.statistics._comparisons import Comparison, distances_of
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Validation

#: Rounding to single precision moves a momentum by less than this, relatively.
_ROUNDING: Final = 1e-6
#: A distance just at its cap is not above it.
_SLACK: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstituentMoves:
    """
    Fool a network of a jet's constituents by splitting, radiating, merging and turning them.

    Rows are jets in the columns of :class:`~hepfool.contrib.jets.ConstituentLayout`, made with ``free_places=True``: what splits or
    radiates needs an empty place.  A search by random draws: what it finds is a lower limit of the worst case.

    Attributes
    ----------
    moves : sequence of {"split", "radiate", "merge", "turn"}
        What may happen, one of them drawn for each candidate: a collinear splitting, soft radiation from the hardest
        constituent, its recoil included, joining collinear neighbours, and turning a constituent.
    max_angle : float
        Largest distance in (eta, phi) of collinear constituents, and by which one turns.
    max_soft : float
        Largest pt of soft radiation over the sum of all pt.
    radius : float
        Largest distance of soft radiation from the hardest constituent.
    n_candidates : int
        Moves drawn for an event in each iteration.
    n_iterations : int
        Iterations; an event makes one move in each at most.
    n_bins : int
        Bins of the inputs in which a result is described.
    validation : Validation, optional
        Distributions that stay within their caps: observables (see :func:`jet_observables`), score, inputs; correlations
        cannot be kept.  Nothing is kept without.

    Examples
    --------
    >>> ConstituentMoves(moves=("split", "merge")).max_angle
    0.02
    """

    moves: Sequence[Move] = get_args(Move)
    max_angle: float = 0.02
    max_soft: float = 0.005
    radius: float = 0.8
    n_candidates: int = 8
    n_iterations: int = 10
    n_bins: int = 50
    validation: Validation | None = None

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        object.__setattr__(self, "moves", tuple(self.moves))
        check_counts(self, "n_candidates", "n_iterations", "n_bins")
        check_reals(max_angle=self.max_angle, max_soft=self.max_soft, radius=self.radius)
        unknown = [move for move in self.moves if move not in MOVES]
        if unknown or not self.moves:
            msg = f"moves must be some of {', '.join(MOVES)}, got {', '.join(map(str, unknown)) or 'none'}"
            raise ValueError(msg)
        for name in ("max_angle", "max_soft", "radius"):
            if not 0.0 < getattr(self, name) < (0.5 if name == "max_soft" else np.pi):
                msg = f"{name} must be positive and small, got {getattr(self, name)}"
                raise ValueError(msg)
        if self.validation is not None and self.validation.correlations is not None:
            msg = (
                "these moves change several columns at once and keep distributions only; state "
                "Validation(correlations=None, ...), and measure the correlations of the result"
            )
            raise ValueError(msg)

    @property
    def kept(self) -> Validation | None:
        """Distributions that the attack must keep."""
        return self.validation

    def iterate(
        self,
        problem: AttackProblem,
        values: FloatArray,
        iteration: int,  # noqa: ARG002 - one signature for all attacks
        rng: np.random.Generator,
    ) -> FloatArray:
        """
        Let every event that is not fooled make one move, where the caps allow it.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, 3 * n_constituents)
            Events as they are now.
        iteration : int
            Not used.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        FloatArray, shape (n_events, 3 * n_constituents)
            Events after the iteration.

        Raises
        ------
        ValueError
            If columns are not constituents, or places are missing instead of free.
        """
        _check_columns(problem.table)
        left = problem.attacked & ~problem.frozen
        left &= ~is_fooled(problem.classifier, problem.network_values(values), problem.classes)
        best, gain = values.copy(), np.zeros(len(values))
        before = _resistance(problem, values)
        for _ in range(self.n_candidates):
            candidate = self._candidate(problem, values, left, rng)
            found = before - _resistance(problem, candidate)
            better = left & (found > gain)
            best[better], gain[better] = candidate[better], found[better]
        chosen = np.flatnonzero(gain > 0.0)
        # The largest gains first: where caps bind, they are worth most.
        chosen = chosen[np.argsort(-gain[chosen], kind="stable")]
        taken = _within_caps(problem, self.validation, values, best, chosen)
        return np.where(taken[:, None], best, values)

    def _candidate(
        self, problem: AttackProblem, values: FloatArray, left: BoolArray, rng: np.random.Generator
    ) -> FloatArray:
        """Draw one move for each event; events stay where it leaves the bounds."""
        sizes = MoveSizes(max_angle=self.max_angle, max_soft=self.max_soft, radius=self.radius)
        jets = values.reshape(len(values), -1, len(COORDINATES))
        wanted = jets.copy()
        kind = rng.integers(0, len(self.moves), len(values))
        for k, name in enumerate(self.moves):
            events = np.flatnonzero(left & (kind == k))
            wanted[events] = MOVES[name](jets[events], sizes, rng)[0]
        columns = wanted.reshape(len(values), -1)
        allowed = admissible(problem, values, columns)
        # A value that was cut off at a bound breaks the balance of momenta.
        scale = np.maximum(np.abs(columns), 1.0)
        cut = np.abs(travel(problem.table.features, columns, allowed)) > _ROUNDING * scale
        return np.where(cut.any(axis=1, keepdims=True), values, allowed)


def _within_caps(
    problem: AttackProblem, validation: Validation | None, values: FloatArray, moved: FloatArray, order: IntArray
) -> BoolArray:
    """Take events in this order, each if no distribution exceeds its cap, or one above it already does not get worse."""
    taken = np.zeros(len(values), dtype=np.bool_)
    if validation is None:
        taken[order] = True
        return taken
    ledgers = _ledgers(problem, validation, values, moved)
    for event in order:
        trials = [ledger.trial(event) for ledger in ledgers]
        if all(trial is not None for trial in trials):
            for ledger, trial in zip(ledgers, trials, strict=True):
                ledger.commit(event, trial)
            taken[event] = True
    return taken


def _ledgers(problem: AttackProblem, validation: Validation, values: FloatArray, moved: FloatArray) -> list[_Ledger]:
    """Open one for each distribution that has a cap."""
    nominal = _compared(problem, validation, values), _compared(problem, validation, moved)
    return [
        _Ledger(now, then)
        for now, then in zip(*nominal, strict=True)
        if now.binning is not None and np.isfinite(now.caps).any()
    ]


def _compared(problem: AttackProblem, validation: Validation, values: FloatArray) -> list[Comparison]:
    """List what is compared between nominal events and these."""
    table, classifier = problem.table, problem.classifier
    scores = None
    if validation.score is not None:
        before, after = (classifier.scores(problem.network_values(v)) for v in (table.values, values))
        scores = (before, after)
    return list(
        validation.comparisons(
            table,
            table.with_values(values),
            binning=problem.binning,
            scores=scores,
            threshold=threshold_of(classifier),
        )
    )


class _Ledger:
    """Contents of the bins of one comparison, nominal and as they are now."""

    def __init__(self, now: Comparison, then: Comparison) -> None:
        binning = now.binning
        assert binning is not None  # noqa: S101 - only distributions come here
        self.members, self.weights, self.caps = now.events, now.all_weights, np.asarray(now.caps)
        self.nominal = binning.yields(now.before, now.weights)
        self.current = binning.yields(now.after, now.weights)
        self.bins = binning.indices(now.values[1]), binning.indices(then.values[1])
        self.distances = distances_of(self.nominal, self.current)[0]

    def trial(self, event: int) -> tuple[IntArray, FloatArray, FloatArray] | None:
        """Columns whose bins an event changes, with new contents and distances; None if a cap forbids it."""
        columns = np.flatnonzero(self.bins[0][event] != self.bins[1][event])
        if not (self.members[event] and columns.size):
            return columns[:0], self.current[:0], self.distances[:0]
        contents = self.current[columns]
        rows = np.arange(len(columns))
        contents[rows, self.bins[0][event, columns]] -= self.weights[event]
        contents[rows, self.bins[1][event, columns]] += self.weights[event]
        found = distances_of(self.nominal[columns], contents)[0]
        if (found > np.maximum(self.caps[columns], self.distances[columns]) + _SLACK).any():
            return None
        return columns, contents, found

    def commit(self, event: int, trial: tuple[IntArray, FloatArray, FloatArray] | None) -> None:
        """Let the event move."""
        if trial is None:
            msg = f"event {event} is not within the caps"
            raise RuntimeError(msg)
        columns, contents, found = trial
        self.current[columns], self.distances[columns] = contents, found


def _resistance(problem: AttackProblem, values: FloatArray) -> FloatArray:
    """Log-odds with which the network keeps to its class."""
    scores = problem.classifier.scores(problem.network_values(values)).astype(np.float64)
    own = np.clip(scores[np.arange(len(scores)), problem.classes], 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(own) - np.log1p(-own))


def _check_columns(table: EventTable) -> None:
    """Refuse what are not constituents."""
    if table.n_features % len(COORDINATES) or table.features.derived or table.features.of_kind("fixed").any():
        msg = (
            f"the {table.n_features} columns are not pt, eta, phi of constituents that may move; make the table with "
            "ConstituentLayout(...).table(jets, free_places=True)"
        )
        raise ValueError(msg)
    if table.missing.any():
        msg = (
            "empty places are missing values, which no attack fills; make the table with "
            "ConstituentLayout(...).table(jets, free_places=True)"
        )
        raise ValueError(msg)
