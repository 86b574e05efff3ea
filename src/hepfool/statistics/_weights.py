# SPDX-License-Identifier: BSD-3-Clause
"""
Whether event weights leave sums that mean something, before an attack starts.

Signed, tiny or huge weights may cancel, overflow, or leave a variance negative.  What then goes wrong goes wrong in every
iteration, so that it is said before the first one.
"""

from __future__ import annotations

import warnings

import numpy as np

from hepfool.events import EventTable
from hepfool.events._arrays import rows_of
from hepfool.exceptions import DominantEventWarning, LowStatisticsWarning
from hepfool.statistics._dependence import Moments, present_mean
from hepfool.statistics.marginals import Binning, merge_bins
from hepfool.typing import BoolArray, FloatArray

#: Beyond these, squares of weights are not numbers, or zero.
_LARGEST, _SMALLEST = 1e150, 1e-150

#: Net weight over the sum of sizes below which rounding decides about sums.
_CANCELLED = 1e-6

#: Share of one event in the sum of sizes, and in that of squares, above which it decides alone.
_DOMINANT, _DOMINANT_SQUARED = 0.1, 0.5


def effective_number(weights: FloatArray) -> float:
    r"""
    Count the events of weight 1 that would be as precise.

    Parameters
    ----------
    weights : FloatArray, shape (n_events,)
        Event weights of either sign.

    Returns
    -------
    float
        :math:`(\sum w)^2/\sum w^2`; 0 where all weights are zero.

    Examples
    --------
    >>> effective_number(np.array([1.0, 1.0, -1.0])).__round__(3)
    0.333
    """
    largest = float(np.abs(weights).max(initial=0.0))
    if not largest:
        return 0.0
    scaled = np.asarray(weights, dtype=np.float64) / largest
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def check_weights(table: EventTable) -> None:
    """
    Refuse weights with which no sum is a number, and point to an event that decides alone.

    Parameters
    ----------
    table : EventTable
        Nominal events.

    Raises
    ------
    ValueError
        If a weight is so large, or all are so small, that squares leave the range of numbers.

    Warns
    -----
    DominantEventWarning
        If one event carries a large share of the constrained weight.
    LowStatisticsWarning
        If a region's weights do not sum to a positive number, so that nothing can be compared there.
    """
    sizes = np.abs(table.weights)
    largest = int(np.argmax(sizes))
    if sizes[largest] > _LARGEST or 0 < sizes[largest] < _SMALLEST:
        msg = (
            f"the largest event weight is {table.weights[largest]:g} (event {largest}), whose square is no number that can be "
            f"summed; multiply all weights by one constant so that it lies between {_SMALLEST:g} and {_LARGEST:g}"
        )
        raise ValueError(msg)
    _warn_of_dominant(table, sizes)
    for region in table.regions:
        total = float(table.weights[region.mask].sum())
        if region.mask.any() and not total > 0:
            warnings.warn(
                f"the weights of the {int(region.mask.sum())} events of region {region.name!r} sum to {total:g}: no distance exists "
                "there and it is given as nan; join the region with another or add events",
                LowStatisticsWarning,
                stacklevel=5,
            )


def _warn_of_dominant(table: EventTable, sizes: FloatArray) -> None:
    sizes = np.where(table.constrained, sizes, 0.0)
    counted = int(np.count_nonzero(sizes))
    event = int(np.argmax(sizes))
    if counted < 2:
        return
    share = float(sizes[event] / sizes.sum())
    squared = float(sizes[event] ** 2 / (sizes**2).sum())
    if share <= max(_DOMINANT, 5.0 / counted) and (squared <= _DOMINANT_SQUARED or counted < 10):
        return
    warnings.warn(
        f"event {event} has the weight {table.weights[event]:g} and with it {share:.1%} of the summed sizes of the "
        f"{counted} constrained weights ({squared:.1%} of their squares): it decides marginals and correlations nearly alone; "
        "check this weight, and drop or cap it if it is none of the sample",
        DominantEventWarning,
        stacklevel=6,
    )


def check_sums(table: EventTable, binning: Binning, attacked: BoolArray) -> None:
    """
    Refuse events whose sums constrain no attack.

    Parameters
    ----------
    table : EventTable
        Nominal events.
    binning : Binning
        Bins of the marginals.
    attacked : BoolArray, shape (n_events,)
        Events to attack.

    Raises
    ------
    ValueError
        With what :func:`unusable_sums` says.
    """
    reason = unusable_sums(table, binning, attacked)
    if reason is not None:
        n_negative = int((table.weights < 0).sum())
        msg = (
            f"{reason} ({int(table.constrained.sum())} constrained events with a net weight of "
            f"{table.weights[table.constrained].sum():g}, {int(attacked.sum())} attacked ones of {table.weights[attacked].sum():g}, "
            f"{n_negative} negative weights in all); attack more events at once, or look at the weights"
        )
        raise ValueError(msg)


def unusable_sums(table: EventTable, binning: Binning, attacked: BoolArray) -> str | None:
    """
    Tell why events cannot be attacked, if their sums forbid it.

    Parameters
    ----------
    table : EventTable
        Nominal events.
    binning : Binning
        Bins of the marginals.
    attacked : BoolArray, shape (n_events,)
        Events to attack.

    Returns
    -------
    str or None
        A reason without numbers, the same for all chunks that share it; None where nothing forbids the attack.
    """
    if not table.constrained.any():
        return "no event lies in a control or validation region"
    weights = rows_of(table.weights, table.constrained)
    reason = _unusable_weights(weights, table.weights, table.weights[attacked])
    if reason is None and (weights < 0).any():
        return _unusable_feature(table, binning, weights)
    return reason


def _unusable_weights(constrained: FloatArray, every: FloatArray, attacked: FloatArray) -> str | None:
    sizes = np.abs(constrained)
    total, net = sizes.sum(), constrained.sum()
    reasons = {
        "the squares of the weights leave the range of numbers": np.abs(every).max() > _LARGEST
        or 0 < sizes.max() < _SMALLEST,
        "the weights of the constrained events do not sum to a positive number": not net > 0,
        "the weights of the constrained events cancel to rounding": net < _CANCELLED * total,
        "one constrained event outweighs all others to rounding": np.count_nonzero(sizes) > 1
        and total - sizes.max() < _CANCELLED * sizes.max(),
        "the weights of the attacked events do not sum to a positive number": not attacked.sum() > 0,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _unusable_feature(table: EventTable, binning: Binning, weights: FloatArray) -> str | None:
    """Look for what only negative weights do."""
    values = rows_of(table.values, table.constrained)
    yields = binning.yields(values, weights)
    before, after = (yields != 0), merge_bins(yields, binning.merged(yields)) > 0
    single = (after.sum(axis=1) < 2) & (before.sum(axis=1) > 1)
    if single.any():
        name = table.features.names[int(np.argmax(single))]
        return f"a single bin of {name!r} is left once those of negative content are merged"
    lacking = lacking_variance(values, weights)
    if lacking.any():
        return f"the weighted variance of {table.features.names[int(np.argmax(lacking))]!r} is not positive"
    return None


def lacking_variance(values: FloatArray, weights: FloatArray) -> BoolArray:
    """
    Mark the columns whose variance is not positive because negative weights outweigh the others.

    Parameters
    ----------
    values : FloatArray, shape (n_events, n_features)
        NaN where missing.
    weights : FloatArray, shape (n_events,)
        Signed.

    Returns
    -------
    BoolArray, shape (n_features,)
        No correlation exists with them.
    """
    if not (weights < 0).any():
        return np.zeros(values.shape[1], dtype=np.bool_)
    fill = present_mean(values, weights)
    signed, unsigned = (Moments.of(values, w, fill=fill).variances for w in (weights, np.abs(weights)))
    return np.asarray((unsigned > 0) & (signed < _CANCELLED * unsigned))
