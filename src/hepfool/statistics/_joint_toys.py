# SPDX-License-Identifier: BSD-3-Clause
r"""
Power of all standard checks together: the probability that any of them rejects.

Every toy draws data and prediction once and makes all checks of all parts of them, so that their dependence is that of the
events.  A statistic is turned into a p-value by the gamma distribution with its mean and variance without a deviation; the
validation rejects where the smallest p-value is below the quantile that the toys without a deviation give, at the level together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaincc

from hepfool.statistics._bins import cells_of, inner_quantiles
from hepfool.statistics._comparisons import Comparison
from hepfool.statistics._dependence import fill_missing, present_mean
from hepfool.statistics._toys import Power, Toys, drawn_correlation, kolmogorov_distance, two_sample_chi2
from hepfool.statistics._weights import effective_number
from hepfool.typing import FloatArray, IntArray

#: More events than these say no more of any check, and take their time.
_MAX_EVENTS = 20_000
#: Toys without a deviation for each one with, because they set the threshold.
_NULL_FACTOR = 2
#: Toys that are drawn at a time.
_BLOCK = 50
_CUMULATIVE_BINS = 200

#: A comparison, and which of the checks ``chi2``, ``ks`` and ``correlations`` look at it.
Wanted = tuple[Comparison, frozenset[str]]
#: Data and prediction, as sums of weights by event, shape (n_toys, n_events), to (n_toys, n_checks).
_Statistic = Callable[[FloatArray, FloatArray, int], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedPower:
    """
    What all standard checks together notice.

    Attributes
    ----------
    power : Power
        Probability that the validation rejects, at the level for all checks together.
    uncorrected : float
        Probability that any check rejects at the level by itself when nothing is wrong.
    n_checks : int
        Checks of all parts.
    n_data, n_simulated : float
        Data events, and effective number of simulated ones, in all parts together.
    n_toys : int
        Pseudo-experiments with the deviation.
    """

    power: Power
    uncorrected: float
    n_checks: int
    n_data: float
    n_simulated: float
    n_toys: int


def combined_power(
    wanted: Sequence[Wanted], toys: Toys, *, rng: np.random.Generator, null_only: bool = False
) -> CombinedPower | None:
    """
    Make every check of every toy.

    Parameters
    ----------
    wanted : sequence of (Comparison, frozenset of str)
        What is compared, of the same events, and by which checks.
    toys : Toys
        Numbers of events, in all parts together, and of toys.
    rng : numpy.random.Generator
        Source of randomness.
    null_only : bool
        Draw the data of all toys without the deviation, which gives the level.

    Returns
    -------
    CombinedPower or None
        None where nothing is compared, or the weights have no positive sum.
    """
    if not wanted:
        return None
    validated = np.logical_or.reduce([comparison.events for comparison, _ in wanted])
    events = np.flatnonzero(validated)
    if len(events) > _MAX_EVENTS:
        events = np.sort(rng.choice(events, size=_MAX_EVENTS, replace=False))
    weights = wanted[0][0].all_weights[events]
    if not weights.sum() > 0:
        return None
    checks = [check for comparison, kinds in wanted for check in _checks(comparison, kinds, events, toys)]
    n_simulated = min(toys.n_simulated, 1e12)
    mean, factor = toys.n_data * np.abs(weights) / weights.sum(), effective_number(weights) / n_simulated

    def draw(n_toys: int, after: int) -> FloatArray:
        found = []
        for start in range(0, n_toys, _BLOCK):
            shape = (min(_BLOCK, n_toys - start), len(events))
            data = np.asarray(np.sign(weights) * rng.poisson(mean, shape), dtype=np.float64)
            # Weights of variance `factor` give the prediction the statistics that are asked for.
            prediction = weights * (1.0 if np.isinf(toys.n_simulated) else factor * rng.poisson(1.0 / factor, shape))
            prediction = np.broadcast_to(prediction, shape)
            found.append(np.concatenate([check(data, prediction, after) for check in checks], axis=1))
        return np.concatenate(found)

    null = draw(_NULL_FACTOR * toys.n_toys, 0)
    shifted = draw(toys.n_toys, 0 if null_only else 1)
    varying = null.std(axis=0) > 0
    if not varying.any():
        return None
    null, shifted = null[:, varying], shifted[:, varying]
    alone = (null > np.quantile(null, 1.0 - toys.level, axis=0, method="higher")).any(axis=1).mean()
    shape, scale = null.mean(axis=0) ** 2 / null.var(axis=0), null.var(axis=0) / null.mean(axis=0)
    # Minus the smallest p-value: large values reject.
    smallest = [-gammaincc(shape, values / scale).min(axis=1) for values in (null, shifted)]
    return CombinedPower(
        power=toys.power(*smallest),
        uncorrected=float(alone),
        n_checks=null.shape[1],
        n_data=toys.n_data,
        n_simulated=toys.n_simulated,
        n_toys=toys.n_toys,
    )


def _checks(comparison: Comparison, kinds: frozenset[str], events: IntArray, toys: Toys) -> Iterator[_Statistic]:
    """List the checks of one comparison as functions of data and prediction."""
    members = np.flatnonzero(comparison.events[events])
    if len(members) == 0 or not comparison.all_weights[events][members].sum() > 0:
        return
    pair = [values[events][members] for values in comparison.values]
    if "correlations" in kinds:
        yield _Correlations(members, comparison.all_weights[events][members], pair)
    share = 1.0 / (1.0 + toys.n_simulated / toys.n_data)
    for j in range(len(comparison.columns)):
        columns = [values[:, j : j + 1] for values in pair]
        binning = comparison.chi2_binning or comparison.binning
        if "chi2" in kinds and binning is not None:
            one = type(binning)(binning.edges[j : j + 1])
            cells = [one.indices(column)[:, 0] for column in columns]
            yield _Cells.of(members, cells, one.n_bins + 1, lambda a, b: two_sample_chi2(a, b, data_share=share))
        if "ks" in kinds:
            edges = inner_quantiles(np.concatenate(columns)[:, 0], _CUMULATIVE_BINS)
            cells = [cells_of(column[:, 0], edges) for column in columns]
            yield _Cells.of(members, cells, len(edges) + 2, kolmogorov_distance, last=len(edges) + 1)


@dataclass(frozen=True, slots=True)
class _Cells:
    """A check of one column in cells."""

    members: IntArray
    cells: tuple[Any, Any]  # sparse, shape (n_members, n_cells)
    statistic: Callable[[FloatArray, FloatArray], FloatArray]
    last: int

    @classmethod
    def of(
        cls,
        members: IntArray,
        cells: Sequence[IntArray],
        n_cells: int,
        statistic: Callable[[FloatArray, FloatArray], FloatArray],
        last: int | None = None,
    ) -> _Cells:
        """Count events in cells, of which those from ``last`` on are left out."""
        from scipy.sparse import csr_array  # noqa: PLC0415 - slow to import

        before, after = (
            csr_array((np.ones(len(cell)), (np.arange(len(cell)), cell)), shape=(len(cell), n_cells)) for cell in cells
        )
        return cls(members, (before, after), statistic, n_cells if last is None else last)

    def __call__(self, data: FloatArray, prediction: FloatArray, after: int) -> FloatArray:
        """Give the statistic of each toy, shape (n_toys, 1)."""
        found = [
            np.asarray(drawn[:, self.members] @ cells)[:, : self.last]
            for drawn, cells in ((data, self.cells[after]), (prediction, self.cells[0]))
        ]
        sums = [values.sum(axis=1, keepdims=True) for values in found]
        a, b = (values / np.where(total > 0, total, np.inf) for values, total in zip(found, sums, strict=True))
        return self.statistic(a, b)[:, np.newaxis]


class _Correlations:
    """The check of all correlations."""

    def __init__(self, members: IntArray, weights: FloatArray, pair: Sequence[FloatArray]) -> None:
        fill = present_mean(pair[0], weights)
        self.members, self.values = members, [fill_missing(values, fill) for values in pair]

    def __call__(self, data: FloatArray, prediction: FloatArray, after: int) -> FloatArray:
        """Give the shift of each toy, shape (n_toys, 1)."""
        found = []
        for one, other in zip(data[:, self.members], prediction[:, self.members], strict=True):
            usable = min(one.sum(), other.sum()) > 0
            pair = ((self.values[after], one), (self.values[0], other))
            found.append(np.linalg.norm(np.subtract(*(drawn_correlation(*p) for p in pair))) if usable else 0.0)
        return np.array(found)[:, np.newaxis]
