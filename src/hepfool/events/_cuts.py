# SPDX-License-Identifier: BSD-3-Clause
"""The single cut that separates classes best, to define a control region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepfool.events._table import EventTable


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleCut:
    """
    The one-feature threshold that separates two classes best.

    Attributes
    ----------
    threshold : float
        In the feature's unit; events at or above it are on the upper side.
    signal_above : bool
        Whether class 1 is the upper side.
    accuracy : float
        Fraction of events that the cut classifies correctly, with both classes at the same total weight.
    """

    feature: str
    threshold: float
    signal_above: bool
    accuracy: float


def best_single_cut(table: EventTable) -> SingleCut:
    """
    Find the feature and threshold that classify best with a single cut.

    This is how the CONSERVAttack paper (arXiv:2603.13970, sec. 5) defines its
    control region: the background side of this cut.  Both classes count alike whatever their
    total weight, or the best cut of a rare signal would call everything background.

    Parameters
    ----------
    table : EventTable
        Events with labels 0 and 1.  Missing values fail every cut.

    Returns
    -------
    SingleCut
        The best cut; of equally good ones that of the first feature and lowest threshold.

    Raises
    ------
    ValueError
        If the labels are not 0 and 1, or the weights of a class do not sum to a positive number.

    Examples
    --------
    >>> table = EventTable.from_arrays([[0.1], [0.2], [0.8], [0.9]], labels=[0, 0, 1, 1])
    >>> best_single_cut(table).accuracy
    1.0
    """
    if set(np.unique(table.labels)) != {0, 1}:
        msg = f"best_single_cut needs labels 0 and 1, found {sorted(set(table.labels.tolist()))}"
        raise ValueError(msg)
    for label in (0, 1):
        total = float(table.weights[table.labels == label].sum())
        if not total > 0:
            msg = (
                f"the weights of class {label} sum to {total:g}; a cut needs a positive sum of both classes, add events"
            )
            raise ValueError(msg)
    cuts = [cut for feature in table.features for cut in _cuts_on(table, feature.name)]
    if not cuts:
        msg = "no feature has two distinct values, so no cut exists"
        raise ValueError(msg)
    return max(cuts, key=lambda cut: round(cut.accuracy, 12))


def _cuts_on(table: EventTable, name: str) -> list[SingleCut]:
    """Best cut on one feature for signal above and for signal below."""
    column = np.nan_to_num(table.column(name), nan=-np.inf)
    order = np.argsort(column, kind="stable")
    ordered, weights = column[order], table.weights[order]
    signal = table.labels[order] == 1
    starts = 1 + np.flatnonzero(ordered[1:] != ordered[:-1])
    if not len(starts):
        return []
    # Signed weights may take a fraction beyond 0 or 1, which is no better than 0 or 1.
    below = [
        np.clip(np.cumsum(np.where(own, weights, 0.0))[starts - 1] / weights[own].sum(), 0.0, 1.0)
        for own in (signal, ~signal)
    ]
    above = 0.5 * (1.0 - below[0] + below[1])
    cuts = []
    for accuracy, signal_above in ((above, True), (1.0 - above, False)):
        best = int(np.argmax(accuracy))
        low, high = ordered[starts[best] - 1], ordered[starts[best]]
        threshold = 0.5 * (low + high) if np.isfinite(low) else high
        cuts.append(
            SingleCut(
                feature=name, threshold=float(threshold), signal_above=signal_above, accuracy=float(accuracy[best])
            )
        )
    return cuts
