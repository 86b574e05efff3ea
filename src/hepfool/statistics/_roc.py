# SPDX-License-Identifier: BSD-3-Clause
r"""
Areas under ROC curves with errors, and the paired difference of two of them.

The area is the weighted mean of the events' *placements*: for an event of class 1 the
fraction of class 0 that scores below it, for an event of class 0 the fraction of class 1 above.
Their spread gives the error (E. R. DeLong et al., Biometrics 44 (1988) 837); two scores of the *same*
events share most of it, which the error of their difference takes into account.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hepfool.typing import BoolArray, FloatArray, IntArray


def auroc_with_error(labels: IntArray, scores: FloatArray, weights: ArrayLike | None = None) -> tuple[float, float]:
    """
    Area under the ROC curve and its standard error.

    Parameters
    ----------
    labels : IntArray, shape (n_events,)
        Classes 0 and 1.
    scores : FloatArray, shape (n_events,)
        Anything that grows with the probability of class 1.
    weights : array_like, shape (n_events,), optional
        Event weights; negative ones count by their size.

    Returns
    -------
    area, error : float
        Dimensionless.

    Raises
    ------
    ValueError
        If there are other classes than 0 and 1, or one of them is empty.

    Examples
    --------
    >>> area, error = auroc_with_error(np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]))
    >>> round(area, 2), round(error, 2)
    (0.75, 0.35)
    """
    sizes = _checked(labels, weights)
    placements = _placements(labels == 1, scores, sizes)
    return _area_and_error(labels == 1, placements, sizes)


def auroc_difference(
    labels: IntArray, before: FloatArray, after: FloatArray, weights: ArrayLike | None = None
) -> tuple[float, float]:
    """
    Change of the area under the ROC curve between two scores of the same events.

    Parameters
    ----------
    labels : IntArray, shape (n_events,)
        Classes 0 and 1.
    before, after : FloatArray, shape (n_events,)
        Two scores of each event.
    weights : array_like, shape (n_events,), optional
        Event weights; negative ones count by their size.

    Returns
    -------
    difference, error : float
        Area of ``after`` less that of ``before``, and the standard error for events drawn anew.

    Raises
    ------
    ValueError
        If there are other classes than 0 and 1, or one of them is empty.

    Examples
    --------
    >>> score = np.array([0.1, 0.6, 0.4, 0.9])
    >>> auroc_difference(np.array([0, 0, 1, 1]), score, 2.0 * score)
    (0.0, 0.0)
    """
    sizes = _checked(labels, weights)
    signal = labels == 1
    change = _placements(signal, after, sizes) - _placements(signal, before, sizes)
    return _area_and_error(signal, change, sizes)


def _checked(labels: IntArray, weights: ArrayLike | None) -> FloatArray:
    if set(np.unique(labels).tolist()) != {0, 1}:
        msg = f"a ROC curve needs the classes 0 and 1, found {np.unique(labels).tolist()}"
        raise ValueError(msg)
    if weights is None:
        return np.ones(len(labels))
    sizes = np.abs(np.asarray(weights, dtype=np.float64))
    empty = [k for k in (0, 1) if not sizes[labels == k].any()]
    if empty:
        msg = f"all weights of class {empty[0]} are zero; a ROC curve needs events of both classes"
        raise ValueError(msg)
    # Relative sizes: squares of very large or small ones are not numbers.
    return np.asarray(sizes / sizes.max())


def _placements(signal: BoolArray, scores: FloatArray, sizes: FloatArray) -> FloatArray:
    """For each event the fraction of the other class on its wrong side; a tie counts half."""
    placements = np.empty(len(scores))
    for own in (signal, ~signal):
        order = np.argsort(scores[~own])
        others = scores[~own][order]
        below = np.concatenate([[0.0], np.cumsum(sizes[~own][order])])
        left, right = (below[np.searchsorted(others, scores[own], side=side)] for side in ("left", "right"))
        placements[own] = 0.5 * (left + right) / below[-1]
    return np.where(signal, placements, 1.0 - placements)


def _area_and_error(signal: BoolArray, placements: FloatArray, sizes: FloatArray) -> tuple[float, float]:
    area = float(np.average(placements[signal], weights=sizes[signal]))
    variance = 0.0
    for own in (signal, ~signal):
        n_events = int(own.sum())
        # Unbiased for equal weights; undefined for a single event.
        factor = n_events / (n_events - 1) if n_events > 1 else np.nan
        spread = (sizes[own] ** 2 * (placements[own] - area) ** 2).sum() / sizes[own].sum() ** 2
        variance += factor * spread
    return area, float(np.sqrt(variance))
