# SPDX-License-Identifier: BSD-3-Clause
"""Two-dimensional projections of the same events before and after: which pair of features changes most."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hepfool.events import EventTable
from hepfool.statistics._bins import cells_of, inner_quantiles
from hepfool.statistics._weights import effective_number
from hepfool.statistics.marginals import Binning, js_distance, merge_bins, sampling_floor
from hepfool.typing import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionChange:
    """
    How far one two-dimensional projection moved.

    Attributes
    ----------
    features : (str, str)
        Names of both features.
    js_distance : float
        Jensen-Shannon distance before and after, dimensionless.
    js_floor : float
        Typical distance of two independent samples of this size (root mean square).
    """

    features: tuple[str, str]
    js_distance: float
    js_floor: float


def rank_projections(
    nominal: EventTable, adversarial: EventTable, *, events: BoolArray | None = None, n_bins: int = 6
) -> tuple[ProjectionChange, ...]:
    """
    Order all pairs of features by the distance of their projections.

    Parameters
    ----------
    nominal, adversarial : EventTable
        The same events in the same order.
    events : BoolArray, shape (n_events,), optional
        Events that count; the constrained ones by default.
    n_bins : int
        Bins of each axis with equal nominal content, and one more for missing values.

    Returns
    -------
    tuple of ProjectionChange
        The largest distance first.

    Raises
    ------
    ValueError
        If the tables do not hold the same events, there are fewer than two features, or no event counts.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> table = EventTable.from_arrays(rng.normal(size=(500, 3)), features=["a", "b", "c"])
    >>> moved = table.with_values(np.stack([table.values[:, 0], np.abs(table.values[:, 1]), table.values[:, 2]], axis=1))
    >>> "b" in rank_projections(table, moved)[0].features
    True
    """
    chosen = nominal.constrained if events is None else events
    if nominal.values.shape != adversarial.values.shape or nominal.n_features < 2 or not chosen.any():
        msg = (
            "projections need the same events before and after, at least one, and two features; got "
            f"{nominal.values.shape} and {adversarial.values.shape} with {int(chosen.sum())} chosen"
        )
        raise ValueError(msg)
    weights = nominal.weights[chosen]
    edges = [inner_quantiles(column, n_bins) for column in nominal.values[chosen].T]
    before, after = (
        [cells_of(column, e) for column, e in zip(table.values[chosen].T, edges, strict=True)]
        for table in (nominal, adversarial)
    )
    names, stride = nominal.features.names, n_bins + 1
    changes = [
        _change(
            (names[j], names[k]),
            *(_yields(cells[j] * stride + cells[k], weights, stride**2) for cells in (before, after)),
            n_effective=effective_number(weights),
        )
        for j, k in combinations(range(len(names)), 2)
    ]
    return tuple(sorted(changes, key=lambda change: -change.js_distance))


def _yields(cells: np.ndarray, weights: FloatArray, n_cells: int) -> FloatArray:
    # One more cell: a binning's last column is that of missing values.
    return np.bincount(cells, weights=weights, minlength=n_cells + 1)[np.newaxis].astype(np.float64)


def _change(
    features: tuple[str, str], before: FloatArray, after: FloatArray, *, n_effective: float
) -> ProjectionChange:
    merged = Binning.merged(before, after)
    p, q = (merge_bins(yields, merged) for yields in (before, after))
    return ProjectionChange(
        features=features, js_distance=float(js_distance(p, q)[0]), js_floor=float(sampling_floor(p, n_effective)[0])
    )
