# SPDX-License-Identifier: BSD-3-Clause
r"""
How yields change when the *same* events move from bin to bin.

Nominal and adversarial yields are not independent: an event that stays in its bin changes nothing there, whatever
its weight.  Only those that enter or leave count, so that the net change of a bin is
:math:`\sum_\mathrm{in} w - \sum_\mathrm{out} w` with the variance :math:`\sum_\mathrm{in} w^2 + \sum_\mathrm{out} w^2`.
Over all bins the net changes add up to zero, so that they are no independent numbers either: no sum of squares of them is
a chi-square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hepfool.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Migration:
    """
    Net change of each bin.

    Attributes
    ----------
    net : FloatArray, shape (n_bins,)
        Weight of the events that entered minus that of those that left.
    variance : FloatArray, shape (n_bins,)
        Sum of the squared weights of both.
    """

    net: FloatArray
    variance: FloatArray

    @classmethod
    def between(cls, before: IntArray, after: IntArray, weights: FloatArray, *, n_bins: int) -> Self:
        """
        Compare the bins of the same events before and after.

        Parameters
        ----------
        before, after : IntArray, shape (n_events,)
            Bin of each event, from 0 to ``n_bins - 1``.
        weights : FloatArray, shape (n_events,)
            Event weights.
        n_bins : int
            Number of bins.

        Returns
        -------
        Migration
            With paired errors.

        Raises
        ------
        ValueError
            If the arrays are not those of the same events.

        Examples
        --------
        >>> moved = Migration.between(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([5.0, 2.0, 7.0]), n_bins=2)
        >>> moved.net.tolist(), moved.error.tolist()
        ([-2.0, 2.0], [2.0, 2.0])
        """
        if not np.shape(before) == np.shape(after) == np.shape(weights):
            msg = f"bins and weights of other events: {np.shape(before)}, {np.shape(after)} and {np.shape(weights)}"
            raise ValueError(msg)
        movers = before != after
        left, entered, moved = before[movers], after[movers], np.asarray(weights, dtype=np.float64)[movers]
        net, variance = np.zeros(n_bins), np.zeros(n_bins)
        for bins, sign in ((entered, 1.0), (left, -1.0)):
            net += sign * np.bincount(bins, weights=moved, minlength=n_bins)
            variance += np.bincount(bins, weights=moved**2, minlength=n_bins)
        return cls(net=net, variance=variance)

    @property
    def error(self) -> FloatArray:
        """Standard error of each net change, shape (n_bins,)."""
        return np.sqrt(self.variance)

    @property
    def pull(self) -> FloatArray:
        """Net change in units of its own error, shape (n_bins,); NaN where nothing moved."""
        return np.divide(self.net, self.error, out=np.full_like(self.net, np.nan), where=self.variance > 0)
