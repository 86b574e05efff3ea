# SPDX-License-Identifier: BSD-3-Clause
r"""
Which check would have caught it: the detection power of everything a validation may look at.

Detection power is the probability that a check rejects at a stated level when ``n_data`` data events follow the
adversarial distribution and the prediction is the nominal one; at the level itself the attack is invisible.
Each check stands alone there: an analysis that looks at many finds something more often, with an attack and without.  What all
standard checks notice together, at the level for all of them, is :class:`~hepfool.statistics._joint_toys.CombinedPower`.

The standard checks are those that an analysis makes anyway (``chi2``, ``ks``, ``correlations``, and ``identity``: whether inputs
that follow from others do so).  Two-dimensional
``projection`` checks and the ``classifier`` two-sample test are stronger and rarely made; both look at the inputs.
What all checks look at follows from the analysis's :class:`~hepfool.validation.Validation`: its inputs, score, flags,
observables and correlations, in each of its parts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from hepfool._shown import Displayed, Shown
from hepfool.statistics._bins import cells_of, inner_quantiles
from hepfool.statistics._comparisons import Comparison
from hepfool.statistics._compatibility import chi2_power
from hepfool.statistics._joint_toys import CombinedPower, combined_power
from hepfool.statistics._toys import (
    Power,
    Statistic,
    Toys,
    binned_power,
    correlation_power,
    kolmogorov_distance,
    two_sample_chi2,
)
from hepfool.statistics._two_sample import classifier_power
from hepfool.statistics._weights import effective_number
from hepfool.statistics.marginals import Binning, merge_bins
from hepfool.typing import IntArray

CheckKind = Literal["chi2", "ks", "correlations", "identity", "projection", "classifier"]

#: What an analysis looks at anyway.
STANDARD_CHECKS: tuple[CheckKind, ...] = ("chi2", "ks", "correlations", "identity")

#: Names for a reader.
CHECK_TITLES: dict[CheckKind, str] = {
    "chi2": "χ² of a marginal",
    "ks": "Kolmogorov-Smirnov test of a marginal",
    "correlations": "all linear correlations",
    "identity": "recomputation of a derived input",
    "projection": "χ² of a two-dimensional projection",
    "classifier": "classifier two-sample test",
}

#: Rows that a terminal or a notebook shows.
_SHOWN = 10
#: Quantiles in which the cumulative distributions are compared.
_CUMULATIVE_BINS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """
    The validation that the attack has to pass.

    Attributes
    ----------
    n_data : float
        Data events in all constrained regions together; a region has its share of the weights.
    n_simulated : float, optional
        Effective number of simulated events there, if the attacked events are only a part of them;
        those of the attacked table by default, ``inf`` for a perfect prediction.
    checks : tuple of str
        Which checks to evaluate.
    projection_bins : int
        Bins of each axis of a projection, with equal nominal content.
    n_toys : int
        Pseudo-experiments per check.
    n_trainings : int
        Pseudo-experiments of the classifier test: one training each.
    level : float
        Probability to reject when nothing is wrong.
    """

    n_data: float
    n_simulated: float | None = None
    checks: tuple[CheckKind, ...] = get_args(CheckKind)
    projection_bins: int = 6
    n_toys: int = 400
    n_trainings: int = 20
    level: float = 0.05

    def __post_init__(self) -> None:
        """Check numbers and names."""
        if not self.n_data > 0:
            msg = f"n_data must be positive, got {self.n_data}"
            raise ValueError(msg)
        unknown = [check for check in self.checks if check not in get_args(CheckKind)]
        if unknown or not self.checks:
            msg = f"checks must be among {', '.join(get_args(CheckKind))}, got {', '.join(self.checks) or 'none'}"
            raise ValueError(msg)
        if not 0.0 < self.level < 1.0 or min(self.n_toys, self.n_trainings) < 1:
            msg = f"level must lie between 0 and 1 and toys be at least 1, got {self.level}, {self.n_toys}, {self.n_trainings}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPower:
    """
    What one check would notice.

    Attributes
    ----------
    check : str
        Kind of the check.
    region : str
        Events it looks at; ``constrained`` for all that are validated.
    features : tuple of str
        Columns it looks at; empty for all inputs.
    comparison : str
        What they are: ``inputs``, ``score``, ``observables`` ..., see :class:`~hepfool.statistics._comparisons.Comparison`.
    power : Power
        Probability to reject; its error is 0 for closed forms.
    n_data, n_simulated : float
        Data events, and effective number of simulated ones.
    n_toys : int
        Pseudo-experiments; 0 for closed forms.
    """

    check: CheckKind
    region: str
    features: tuple[str, ...]
    power: Power
    n_data: float
    n_simulated: float
    n_toys: int
    comparison: str = "inputs"

    @property
    def title(self) -> str:
        """Check and features for a reader."""
        return CHECK_TITLES[self.check] + (f": {', '.join(self.features)}" if self.features else "")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DetectionTable(Displayed):
    """
    All checks, the strongest first.

    Attributes
    ----------
    rows : tuple of DetectionPower
        In descending power.
    level : float
        Probability to reject when nothing is wrong.
    combined : CombinedPower, optional
        All standard checks together; None if none was made.
    notes : tuple of str
        What a reader of the rows should know.
    """

    rows: tuple[DetectionPower, ...]
    level: float
    combined: CombinedPower | None = None
    notes: tuple[str, ...] = ()

    def _shown(self) -> Shown:
        more = len(self.rows) - _SHOWN
        return Shown(
            f"Probability that a check notices the attack, {self.level:.0%} if nothing is wrong",
            ("check", "region", "data events", "probability"),
            [
                (r.title, r.region, f"{r.n_data:.0f}", f"{r.power.value:.3f} ± {r.power.error:.3f}")
                for r in self.rows[:_SHOWN]
            ],
            (f"{more} more" if more > 0 else "",),
        )

    def strongest(self, checks: Iterable[CheckKind] = STANDARD_CHECKS) -> DetectionPower:
        """
        Find the check that notices most.

        Parameters
        ----------
        checks : iterable of str
            Kinds to choose from; by default those that an analysis makes anyway.

        Returns
        -------
        DetectionPower
            The first such row.

        Raises
        ------
        ValueError
            If none of these checks was evaluated.
        """
        wanted = tuple(checks)
        found = next((row for row in self.rows if row.check in wanted), None)
        if found is None:
            msg = f"none of the checks {', '.join(wanted)} was evaluated; add one to CheckSettings.checks"
            raise ValueError(msg)
        return found


def run_checks(
    comparisons: Iterable[Comparison], settings: CheckSettings, *, rng: np.random.Generator
) -> DetectionTable:
    """
    Evaluate every check of every comparison.

    Parameters
    ----------
    comparisons : iterable of Comparison
        What the checks look at, from :meth:`hepfool.Validation.comparisons` or :meth:`AttackResult.comparisons
        <hepfool.attacks._result.AttackResult.comparisons>`.
    settings : CheckSettings
        Data events, checks and toys.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    DetectionTable
        One row per check, region and column or pair of columns.

    Raises
    ------
    ValueError
        If nothing is compared, or no region has a positive total weight; a region without is left out.

    Examples
    --------
    >>> from hepfool import EventTable, Validation
    >>> rng = np.random.default_rng(1)
    >>> table = EventTable.from_arrays(rng.normal(size=(500, 2)), features=["pt", "eta"])
    >>> moved = table.with_values(table.values * np.array([1.5, 1.0]))
    >>> comparisons = Validation(score=None).comparisons(table, moved)
    >>> run_checks(comparisons, CheckSettings(n_data=300, checks=("chi2",)), rng=rng).strongest().title
    'χ² of a marginal: pt'
    """
    comparisons = list(comparisons)
    combined = _combined(comparisons, settings, rng)
    parts: dict[str, list[Comparison]] = {}
    while comparisons:
        comparison = comparisons.pop(0)
        parts.setdefault(comparison.part, []).append(comparison)
    if not parts:
        msg = "no part of the validation has a positive total weight, so that nothing can be checked; join regions or processes, or add events"
        raise ValueError(msg)
    rows, without = [], []
    for name in list(parts):
        part = parts.pop(name)  # with the copies of its events
        if part[0].weights.sum() > 0:
            rows += list(_rows(part, settings, rng))
        else:
            without.append(name)
    if without and not rows:
        msg = f"none of the regions {', '.join(without)} has a positive total weight; nothing can be checked there"
        raise ValueError(msg)
    ordered = tuple(sorted((row for row, _ in rows), key=lambda row: -row.power.value))
    notes = tuple(dict.fromkeys(note for _, found in rows for note in found))
    return DetectionTable(rows=ordered, level=settings.level, combined=combined, notes=notes)


def _combined(
    comparisons: Sequence[Comparison], settings: CheckSettings, rng: np.random.Generator
) -> CombinedPower | None:
    """Make all standard checks of the same toys."""
    made = frozenset(settings.checks) & {"chi2", "ks", "correlations"}
    wanted = [(comparison, frozenset[str](_kinds(comparison) & made)) for comparison in comparisons]
    wanted = [(comparison, kinds) for comparison, kinds in wanted if kinds and comparison.weights.sum() > 0]
    if not wanted:
        return None
    events = np.logical_or.reduce([comparison.events for comparison, _ in wanted])
    own = effective_number(wanted[0][0].all_weights[events])
    toys = Toys(
        n_data=settings.n_data,
        n_simulated=own if settings.n_simulated is None else settings.n_simulated,
        n_toys=settings.n_toys,
        level=settings.level,
    )
    return combined_power(wanted, toys, rng=rng)


#: A row and notes on it.
_Row = tuple[DetectionPower, tuple[str, ...]]


def _rows(part: Sequence[Comparison], settings: CheckSettings, rng: np.random.Generator) -> Iterator[_Row]:
    for kind in settings.checks:
        for comparison in part:
            if kind in _kinds(comparison):
                checks = _Checks.of(comparison, settings)
                yield from ((row, checks.notes(row)) for row in checks.rows(kind, rng))


def _kinds(comparison: Comparison) -> frozenset[CheckKind]:
    """Say which checks look at a comparison."""
    if comparison.name == "correlations":
        return frozenset({"correlations"} if len(comparison.columns) > 1 else ())
    if comparison.name == "inputs":
        return frozenset({"chi2", "ks", "projection", "classifier"})
    if comparison.name == "identities":
        return frozenset({"identity"})
    # Flags have no order.
    return frozenset({"chi2", "ks"} if comparison.name in {"score", "observables"} else {"chi2"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Checks:
    """One comparison of one part, and how it is checked."""

    on: Comparison
    settings: CheckSettings
    toys: Toys

    @classmethod
    def of(cls, on: Comparison, settings: CheckSettings) -> _Checks:
        own = effective_number(on.weights)
        toys = Toys(
            n_data=settings.n_data * on.share,
            n_simulated=own if settings.n_simulated is None else settings.n_simulated * on.share,
            n_toys=settings.n_toys,
            level=settings.level,
        )
        return cls(on=on, settings=settings, toys=toys)

    def rows(self, kind: CheckKind, rng: np.random.Generator) -> Iterator[DetectionPower]:
        kinds: dict[CheckKind, Callable[[np.random.Generator], Iterator[DetectionPower]]] = {
            "chi2": self._chi2,
            "ks": self._ks,
            "correlations": self._correlations,
            "identity": self._identities,
            "projection": self._projections,
            "classifier": self._classifier,
        }
        yield from kinds[kind](rng)

    def notes(self, row: DetectionPower) -> tuple[str, ...]:
        """Say which events a classifier could not use."""
        if row.check != "classifier":
            return ()
        found, negative = [], np.count_nonzero(self.on.weights < 0)
        if row.n_data < self.toys.n_data - 1.0:
            found.append(
                f"The classifier test in {row.region} had {row.n_data:.0f} of {self.toys.n_data:.0f} data events, as many as "
                "independent simulated events give."
            )
        if negative:
            found.append(
                f"The classifier test in {row.region} leaves out {negative} events of negative weight on both sides, so that it tests "
                "another hypothesis than the other checks."
            )
        return tuple(found)

    def _row(self, check: CheckKind, features: tuple[str, ...], power: Power, *, n_toys: int = 0) -> DetectionPower:
        return DetectionPower(
            check=check,
            region=self.on.part,
            features=features,
            comparison=self.on.name,
            power=power,
            n_data=self.toys.n_data,
            n_simulated=self.toys.n_simulated,
            n_toys=n_toys,
        )

    def _chi2(self, rng: np.random.Generator) -> Iterator[DetectionPower]:  # noqa: ARG002 - closed form
        distances, occupied = self.on.distances(self.on.chi2_binning)
        for name, distance, n_bins in zip(self.on.columns, distances, occupied, strict=True):
            power = chi2_power(
                distance,
                n_data=self.toys.n_data,
                n_bins=max(int(n_bins), 2),
                level=self.toys.level,
                n_simulated=self.toys.n_simulated,
            )
            yield self._row("chi2", (name,), Power(float(power)))

    def _ks(self, rng: np.random.Generator) -> Iterator[DetectionPower]:
        for j, name in enumerate(self.on.columns):
            columns = [values[:, j] for values in (self.on.before, self.on.after)]
            edges = inner_quantiles(np.concatenate(columns), _CUMULATIVE_BINS)
            cells = [cells_of(column, edges) for column in columns]
            # Missing values have no place in an order; they are the cell that is left out.
            power = self._from_toys(cells, len(edges) + 1, kolmogorov_distance, rng)
            yield self._row("ks", (name,), power, n_toys=self.toys.n_toys)

    def _projections(self, rng: np.random.Generator) -> Iterator[DetectionPower]:
        n_cells = self.settings.projection_bins + 1
        edges = [inner_quantiles(column, self.settings.projection_bins) for column in self.on.before.T]
        before, after = (
            np.stack([cells_of(column, e) for column, e in zip(values.T, edges, strict=True)])
            for values in (self.on.before, self.on.after)
        )
        share = 1.0 / (1.0 + self.toys.n_simulated / self.toys.n_data)
        statistic = partial(two_sample_chi2, data_share=share)
        for j, k in combinations(range(len(self.on.columns)), 2):
            cells = [cell[j] * n_cells + cell[k] for cell in (before, after)]
            power = self._from_toys(cells, n_cells**2, statistic, rng)
            yield self._row("projection", (self.on.columns[j], self.on.columns[k]), power, n_toys=self.toys.n_toys)

    def _correlations(self, rng: np.random.Generator) -> Iterator[DetectionPower]:
        power = correlation_power(self.on.before, self.on.after, self.on.weights, self.toys, rng=rng)
        yield self._row("correlations", (), power, n_toys=self.toys.n_toys)

    def _identities(self, rng: np.random.Generator) -> Iterator[DetectionPower]:  # noqa: ARG002 - closed form
        sizes = np.abs(self.on.weights)
        for j, name in enumerate(self.on.columns):
            broken = float(sizes @ self.on.after[:, j] / sizes.sum())
            # Nominal events break none, so that a single one in the data is seen.
            yield self._row("identity", (name,), Power(max(-math.expm1(-self.toys.n_data * broken), self.toys.level)))

    def _classifier(self, rng: np.random.Generator) -> Iterator[DetectionPower]:
        toys = replace(self.toys, n_toys=self.settings.n_trainings)
        told = classifier_power(self.on.before, self.on.after, self.on.weights, toys, rng=rng)
        row = self._row("classifier", (), told.power, n_toys=toys.n_toys)
        yield replace(row, n_data=float(told.n_data))

    def _from_toys(self, cells: list[IntArray], n_cells: int, statistic: Statistic, rng: np.random.Generator) -> Power:
        pair = [
            np.asarray(np.bincount(cell, weights=self.on.weights, minlength=n_cells + 1)[np.newaxis], dtype=np.float64)
            for cell in cells
        ]
        for yields in pair:
            yields[:, -1] = 0.0  # what has no place among the cells is not merged with them either
        merged = Binning.merged(*pair)
        p, q = (merge_bins(yields, merged)[0, :-1] for yields in pair)
        used = (p > 0) | (q > 0)
        if np.count_nonzero(used) < 2:
            return Power(self.toys.level)
        counted = p.sum() / self.on.weights.sum()
        toys = replace(self.toys, n_data=self.toys.n_data * counted, n_simulated=self.toys.n_simulated * counted)
        return binned_power(p[used], q[used], statistic, toys, rng=rng)
