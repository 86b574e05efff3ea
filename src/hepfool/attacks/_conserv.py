# SPDX-License-Identifier: BSD-3-Clause
r"""
CONSERVAttack: fool a network while the data set keeps its shapes and correlations.

The attack of arXiv:2603.13970, with exact bookkeeping, and a stronger one.  A move
costs :math:`\alpha\,\mathrm{JSD}_j+\beta\,\Delta\mathrm{FN}`, and the state of the data set is updated at once.
With ``strategy="paper"`` every event that is not yet fooled follows the sign of its gradient,
one feature after the other, to the cheapest candidate.  With ``strategy="frugal"``
a move must be worth its cost: of one candidate in every bin each feature takes the best bargain, in either direction, and an
event stops as soon as its margin should be gone, so that more events are
fooled, by smaller changes of marginals and correlations.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

import numpy as np

from hepfool._ranges import check_counts, check_reals
from hepfool.attacks._checks import in_parts
from hepfool.attacks._convergence import PATIENCE
from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._restarts import finished_within_envelope
from hepfool.attacks._search.candidates import Options
from hepfool.attacks._search.engine import Tuning, sweep_islands
from hepfool.attacks._search.exchange import exchange
from hepfool.attacks._search.view import Moving, Search
from hepfool.events import EventTable
from hepfool.exceptions import GradientsUnavailableError
from hepfool.models.protocols import DifferentiableClassifier, is_fooled
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Correlations, Marginals, Validation

#: Prices of the paper.
_ALPHA: Final = 4.0
_BETA: Final = 1.0
#: Prices of the stronger search, of a distance over its cap and of a shift over the root of its cap, and what fooling all events is
#: worth: the best of five tried for shifts from 0.002 to 0.05 on two problems.
_ALPHA_OF_CAP: Final = 0.135
_BETA_OF_ROOT: Final = 18.0
_REWARD: Final = 1000.0
#: Iterations, unless stated.
_N_ITERATIONS: Final = {"paper": 10, "frugal": 100}
_CHOICES: Final = {
    "step_unit": ("range", "absolute"),
    "candidates": ("random", "even"),
    "dependence": ("pearson", "distance"),
    "strategy": ("paper", "frugal"),
    "direction": ("margin", "loss"),
    "start": ("nominal", "exchange"),
}


class _Usual(int):
    """The number of iterations of a strategy, which nobody stated: a copy with another strategy has that one's."""

    __slots__ = ()


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
    n_iterations : int, optional
        Iterations [n_iterations], at most; 10 when left out or None, as published, or 100 with ``strategy="frugal"``, in a copy with
        another strategy too.  The number is what the record and its ``repr`` hold.
    converge : bool, optional
        Whether to stop when the last iterations gained less than a tenth of the statistical error of the fooling ratio, see
        :mod:`hepfool.attacks._convergence`; when left out, with ``strategy="frugal"``.
    n_bins : int
        Bins per marginal [num_bins].
    alpha : float, optional
        Price of the Jensen-Shannon distance: 4 when left out, or with ``strategy="frugal"`` in proportion to one over the cap.
    beta : float, optional
        Price of the correlation shift: 1 when left out, or with ``strategy="frugal"`` in proportion to one over the root of the cap.
    max_js_distance : float
        Cap on each marginal's distance from nominal; never exceeded.
    max_js_change : float
        Cap on the distance between a marginal before and after one move [max_jsd_single_change].
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
    direction : {"margin", "loss"}
        For three and more classes, whether an event goes where its class loses to the strongest other one, or where the loss of its
        class grows, that is, to all other classes at once (the sign of the loss gradient, as in the paper).  With two classes the
        two are the same.
    n_ahead : int
        For ``strategy="paper"``: events whose moves are chosen at a time, by as many threads as
        ``NUMBA_NUM_THREADS`` allows, before the first of them moves.  Each proposal is judged again, exactly, when its
        turn comes, so that caps hold as ever; the result depends on this number, but not on that of the threads.
    reward : float, optional
        For ``strategy="frugal"``: what fooling all attacked events is worth, in units of the cost.
    validation : Validation, optional
        Which comparisons the attack must pass, with caps as numbers or, by :meth:`~hepfool.validation.Validation.at_power`, at
        the power of your own checks; takes the place of ``max_js_distance``, ``max_correlation_shift``, ``n_bins``
        and ``dependence``, which stand for ``Validation(score=None, separately="union")`` with these numbers.
    start : {"nominal", "exchange"}, optional
        Whether the search starts from the nominal events, or from matched events of different class that have changed
        places, see :mod:`hepfool.attacks._search.exchange`; the latter with ``strategy="frugal"`` when left out.
    helpers : bool, optional
        Whether misclassified events move too where the score is kept, so that others can take their place; they count neither
        as attacked nor as fooled.  When left out, with ``strategy="frugal"``.

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
    n_iterations: int = None  # type: ignore[assignment] # set below
    n_bins: int = 200
    alpha: float | None = None
    beta: float | None = None
    max_js_distance: float = math.inf
    max_js_change: float = math.inf
    max_correlation_change: float = math.inf
    max_correlation_shift: float = math.inf
    use_no_change: bool = True
    compete: bool = False
    optimize_already_fooled: bool = False
    dependence: Literal["pearson", "distance"] = "pearson"
    strategy: Literal["paper", "frugal"] = "paper"
    direction: Literal["margin", "loss"] = "margin"
    converge: bool | None = None
    n_ahead: int = 1
    reward: float | None = None
    validation: Validation | None = None
    start: Literal["nominal", "exchange"] | None = None
    helpers: bool | None = None

    def __post_init__(self) -> None:
        """Fill in the number of iterations and check every hyper-parameter."""
        if isinstance(cast("int | None", self.n_iterations), _Usual | None):
            object.__setattr__(self, "n_iterations", _Usual(_N_ITERATIONS.get(self.strategy, 1)))
        self._check_numbers()
        for name, known in _CHOICES.items():
            given = getattr(self, name)
            if given not in known and not (name == "start" and given is None):
                msg = f"{name} must be one of {', '.join(known)}, got {given!r}"
                raise ValueError(msg)
        self._check_effects()
        self._check_combination()

    def _check_numbers(self) -> None:
        caps = ("max_js_distance", "max_js_change", "max_correlation_change", "max_correlation_shift")
        names = ("min_change", "step", "reward", "alpha", "beta", *caps)
        check_reals(
            **{name: given for name in names if (given := getattr(self, name)) is not None or name in caps[::2]}
        )
        for name in ("min_change", "step", "reward"):
            given = getattr(self, name)
            if given is not None and not 0 < given < math.inf:
                msg = f"{name} must be positive and finite, got {given}"
                raise ValueError(msg)
        if self.step_unit == "range" and not self.min_change < 1:
            msg = f"min_change is a fraction of each feature's range and below 1, got {self.min_change}"
            raise ValueError(msg)
        for name in ("alpha", "beta", *caps):
            given = getattr(self, name)
            if given is not None and not given >= 0:
                msg = f"{name} must not be negative, got {given}"
                raise ValueError(msg)
            if given is not None and name not in caps and math.isinf(given):
                msg = f"{name} must be finite, got {given}"
                raise ValueError(msg)
        check_counts(self, "n_iterations", "n_bins", "n_candidates", "n_ahead")
        if self.n_bins == 1 and self.max_js_distance < math.inf:
            msg = "n_bins must be at least 2, or no distribution is compared, got 1"
            raise ValueError(msg)
        if 1.0 < self.max_js_distance < math.inf:
            msg = (
                f"max_js_distance {self.max_js_distance} is above 1, the largest distance there is; say inf for no cap"
            )
            raise ValueError(msg)

    def _check_effects(self) -> None:
        """Refuse options that change nothing beside the others."""
        idle: dict[str, str] = {}
        if self.strategy == "frugal":
            why = 'with strategy="frugal", which '
            idle |= dict.fromkeys(("step", "candidates"), f"{why}draws one value in every bin")
            idle["compete"] = f"{why}always weighs staying against moving"
            idle["optimize_already_fooled"] = f"{why}always brings fooled events back"
        else:
            idle["reward"] = 'with strategy="paper", which takes the cheapest move whatever it is worth'
        if self.n_candidates is None:
            idle["candidates"] = "without n_candidates: all candidates at the spacing step are tried"
        if math.isinf(self.max_correlation_change):
            idle["use_no_change"] = "without max_correlation_change, the cap that it waives"
        if self.validation is not None:
            names = ("n_bins", "max_js_distance", "max_correlation_shift", "dependence")
            idle |= dict.fromkeys(names, "beside validation, which says it")
        if self.kept.correlations is None:
            idle |= dict.fromkeys(("beta", "max_correlation_change"), "where no correlations are compared")
        if self.kept.inputs is None and not self.kept.observables:
            idle |= dict.fromkeys(("alpha", "max_js_change"), "where no distributions are compared")
        if self.kept.score is None:
            idle["helpers"] = "where the score is not kept: nobody has to make room"
        for name, why in idle.items():
            self._refuse(name, why)

    def _refuse(self, name: str, why: str) -> None:
        given, default = getattr(self, name), type(self).__dataclass_fields__[name].default
        if given != default:
            msg = f"{name}={given!r} has no effect {why}; leave it out"
            raise ValueError(msg)

    def _check_combination(self) -> None:
        """Refuse what cannot be done."""
        if self.converge and self.n_iterations <= PATIENCE:
            msg = (
                f"converge=True compares the last {PATIENCE} iterations with those before, "
                f"but n_iterations is {self.n_iterations}; allow for more"
            )
            raise ValueError(msg)
        if self.n_ahead > 1 and self.correlations == "distance":
            msg = (
                f"n_ahead={self.n_ahead} goes with Pearson correlations, not with dependence='distance': distance correlations "
                "of all pairs change with every move, so that nothing can be prepared ahead"
            )
            raise ValueError(msg)

    @property
    def correlations(self) -> Literal["pearson", "distance"]:
        """Which correlations are kept."""
        if self.validation is None:
            return self.dependence
        return "pearson" if self.validation.correlations is None else self.validation.correlations.kind

    @property
    def kept(self) -> Validation:
        """Comparisons that the attack must pass, however they were stated."""
        if self.validation is not None:
            return self.validation
        return Validation(
            inputs=Marginals(max_js_distance=self.max_js_distance, n_bins=self.n_bins, n_quantiles=0),
            score=None,
            correlations=Correlations(max_shift=self.max_correlation_shift, kind=self.dependence),
            separately="union",
        )

    def _check_table(self, table: EventTable) -> None:
        features = table.features
        followed = bool(features.derived or self.kept.observables)
        if (self.n_candidates is not None or followed) and not features.of_kind("integer").any():
            self._refuse("step", "where the number of candidates is fixed and no feature is an integer")
        if self.correlations == "distance":
            if followed:
                msg = (
                    "with distance correlations every input must move by itself: where others follow from it, each candidate "
                    'would change the distances of all pairs of events; use dependence="pearson"'
                )
                raise ValueError(msg)
            if (table.weights < 0).any():
                msg = (
                    f"the table holds {int((table.weights < 0).sum())} events of negative weight, "
                    'for which no distance correlation exists; use dependence="pearson"'
                )
                raise ValueError(msg)
        if self.n_ahead > 1 and followed:
            msg = (
                f"n_ahead={self.n_ahead} needs inputs that move by themselves, but some are derived or observables are kept; "
                "leave n_ahead out: candidates are prepared ahead anyway, exactly"
            )
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
        if classifier.n_classes == 2:
            self._refuse("direction", "with two classes, where the loss grows as the margin shrinks")
        # What is laid out once does not know which events may not move in this step.
        search = replace(problem.once("search", lambda: self._search(problem)), problem=problem)
        if iteration == 0 and self._exchanges and values is problem.table.values:
            values = exchange(problem, search.membership, rng)
            if self.start == "exchange" and np.array_equal(values, problem.table.values, equal_nan=True):
                msg = (
                    "start='exchange' has no effect: no two attacked events of different class share groups, weight, fixed and "
                    "missing values and fit into each other's bounds; leave start out"
                )
                raise ValueError(msg)
        seed = int(rng.integers(2**63))
        asked = self._asked(search, values)
        if self.converges:
            attacked = problem.attacked[asked.events]
            problem.progress.note(iteration, asked.fooled[attacked], problem.table.weights[asked.events[attacked]])
        # A repair may lose an event, and after the last iteration nobody would win it back.
        last = problem.progress.converged or iteration == self.n_iterations - 1
        asked = asked.select(~asked.fooled | (self.strategy == "frugal" and not last))
        values = sweep_islands(search, values, asked, self._options(), self._worth, self._tuning, seed, last=last)
        if self.strategy == "paper" and self.optimize_already_fooled:
            values = self._repaired(search, values, seed)
        return finished_within_envelope(problem, values, rng) if last else values

    @property
    def converges(self) -> bool:
        """Whether the attack stops by itself."""
        return self.strategy == "frugal" if self.converge is None else self.converge

    def _search(self, problem: AttackProblem) -> Search:
        search = Search.of(problem, self.kept, _PricesOf(self), self.step_sizes(problem))
        if self.strategy == "frugal" and self.direction == "margin" and self.n_ahead == 1:
            search = search.profiled()
        if problem.crew.executor is not None and len(search.islands) == 1:
            warnings.warn(
                "executor gains nothing: all events are compared together or share regions, and are moved one after the other; "
                "separately='regions' or 'processes' makes independent groups",
                UserWarning,
                stacklevel=2,
            )
        if self.n_ahead > 1 and search.overlapping:
            msg = (
                f"n_ahead={self.n_ahead} needs events that are compared in one group each, but regions overlap, or inputs and "
                "correlations are compared in different groups; leave n_ahead out"
            )
            raise ValueError(msg)
        return search

    @property
    def _exchanges(self) -> bool:
        return (self.start or ("exchange" if self.strategy == "frugal" else "nominal")) == "exchange"

    @property
    def _worth(self) -> float:
        """What fooling all attacked events is worth."""
        return _REWARD if self.reward is None else self.reward

    @property
    def _tuning(self) -> Tuning:
        return Tuning(n_ahead=self.n_ahead)

    def helping(self, table: EventTable, classes: IntArray) -> BoolArray:
        """
        Mark the events that may move, although they are not attacked, so that others can take their place.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        classes : IntArray, shape (n_events,)
            Class that the network gives them.

        Returns
        -------
        BoolArray, shape (n_events,)
            Misclassified constrained events where the score is kept, and where all can be compared.
        """
        helpers = self.strategy == "frugal" if self.helpers is None else self.helpers
        kept = self.kept.score is not None and not math.isinf(self.kept.score.cap(1.0))
        comparable = table.constrained & ~in_parts(table, self.kept.unusable(table))
        return np.asarray(comparable & (classes != table.labels) & helpers & kept)

    def _asked(self, search: Search, values: FloatArray, *, helped: bool = True) -> Moving:
        """Ask the network about the events that may move."""
        problem = search.problem
        wanted = problem.attacked
        if helped:
            wanted = wanted | self.helping(problem.table, problem.classes)
        return search.moving(values, np.flatnonzero(wanted & ~problem.frozen), along_loss=self.direction == "loss")

    def _repaired(self, search: Search, values: FloatArray, seed: int) -> FloatArray:
        """Bring fooled events closer to nominal, except for those that it would lose."""
        problem = search.problem
        asked = self._asked(search, values, helped=False)
        fooled = asked.select(asked.fooled)
        moved = sweep_islands(search, values, fooled, self._options(homewards=True), self._worth, self._tuning, seed)
        values_now = problem.network_values(moved, fooled.events)
        lost = fooled.events[~is_fooled(problem.classifier, values_now, problem.classes[fooled.events])]
        moved[lost] = values[lost]
        # Moves of the lost ones may have paid for others.
        return moved if search.within_caps(moved) else values

    def _options(self, *, homewards: bool = False) -> Options:
        return Options(
            per_bin=self.strategy == "frugal" or homewards,
            n_candidates=self.n_candidates or 0,
            random=self.candidates == "random",
            compete=self.compete,
            homewards=homewards,
        )


@dataclass(frozen=True, slots=True)
class _PricesOf:
    """Prices of an attack, as the search asks for them."""

    attack: CONSERVAttack

    @property
    def per_bin(self) -> bool:
        """Whether there is one candidate per bin."""
        return self.attack.strategy == "frugal"

    def alpha_of(self, cap: float) -> float:
        """Price of a distance under a cap."""
        return self._stated(self.attack.alpha, _ALPHA, _ALPHA_OF_CAP / max(cap, 1e-12))

    def beta_of(self, cap: float) -> float:
        """Price of the correlation shift under a cap."""
        return self._stated(self.attack.beta, _BETA, _BETA_OF_ROOT / math.sqrt(max(cap, 1e-12)))

    def _stated(self, given: float | None, published: float, of_cap: float) -> float:
        if given is not None:
            return given
        return of_cap if self.per_bin else published

    @property
    def reward(self) -> float:
        """What fooling all attacked events is worth."""
        return self.attack._worth  # noqa: SLF001 - of the same module

    @property
    def max_correlation_change(self) -> float:
        """Cap on what one move does to the correlations."""
        return self.attack.max_correlation_change if self.attack.use_no_change else math.inf

    @property
    def max_js_change(self) -> float:
        """Cap on what one move does to a marginal."""
        return self.attack.max_js_change
