# SPDX-License-Identifier: BSD-3-Clause
"""Warnings of bins and ranges in which a comparison, or a move, means little."""

from __future__ import annotations

import warnings

import numpy as np

from hepfool.events import EventTable
from hepfool.statistics.marginals import Binning

#: A bin that holds so much of a feature leaves its marginal without a shape.
_MOST = 0.99
#: A value that so much of a bin has in common would fill any bin.
_COMMON = 0.5
#: Fewer bins are chosen coarse on purpose.
_FEWEST_BINS = 5
#: Numbers of single precision that a range needs to be moved in.
_FEWEST_STEPS = 100


def remark_on_ranges(table: EventTable, binning: Binning, *, stacklevel: int = 2) -> None:
    """
    Warn of features whose marginal has no shape in its bins, or whose range single precision does not resolve.

    Parameters
    ----------
    table : EventTable
        Nominal events; the constrained ones count.
    binning : Binning
        Bins of the marginals.
    stacklevel : int
        Whose line is named.

    Warns
    -----
    UserWarning
        One per feature, with the repair.
    """
    values, weights = table.values[table.constrained], np.abs(table.weights[table.constrained])
    names = []
    for j, feature in enumerate(table.features):
        if feature.kind == "fixed":
            continue
        present = ~np.isnan(values[:, j])
        text = _fullest_bin(feature.name, values[present, j], weights[present], binning.edges[j])
        if text:
            warnings.warn(text, UserWarning, stacklevel=stacklevel + 1)
        if feature.kind == "continuous" and _unresolved(values[present, j]):
            names.append(feature.name)
    if names:
        text = (
            f"single precision, in which networks and files hold values, tells fewer than {_FEWEST_STEPS} numbers in the "
            f"range of {', '.join(map(repr, names))}, so that moves there are coarse or impossible; subtract a constant "
            "and let the network take the difference"
        )
        warnings.warn(text, UserWarning, stacklevel=stacklevel + 1)


def _fullest_bin(name: str, column: np.ndarray, weights: np.ndarray, edges: np.ndarray) -> str:
    """Say which bin holds nearly everything; nothing if none does, or if one value is common to it."""
    n_bins, total = len(edges) - 1, weights.sum()
    if n_bins < _FEWEST_BINS or not total > 0:
        return ""
    bins = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, n_bins - 1)
    content = np.bincount(bins, weights, minlength=n_bins)
    k = int(np.argmax(content))
    inside = column[bins == k]
    if content[k] < _MOST * total or np.unique(inside, return_counts=True)[1].max() > _COMMON * len(inside):
        return ""
    return (
        f"one of {n_bins} bins, [{edges[k]:g}, {edges[k + 1]:g}), holds at least {_MOST:.0%} of feature {name!r}, whose few other "
        f"values reach from {column.min():g} to {column.max():g}: its marginal constrains next to nothing; drop these events, declare "
        f"their value missing, or take bins of equal content (Binning.quantiles, quantile_bins)"
    )


def _unresolved(column: np.ndarray) -> bool:
    if len(column) < 2:
        return False
    low, high = float(column.min()), float(column.max())
    spacing = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    # Whole numbers may be few on purpose.
    return bool(low < high < low + _FEWEST_STEPS * spacing and (column != np.round(column)).any())
