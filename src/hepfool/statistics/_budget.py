# SPDX-License-Identifier: BSD-3-Clause
r"""
Caps in the units of a validation: how far events may move before its checks see it.

A check rejects at a stated level when nothing is wrong, and with a larger probability,
its power, when the data follow other events than the prediction.  Here the power is chosen and
the distance follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from hepfool.events import EventTable
from hepfool.statistics._compatibility import chi2_power
from hepfool.statistics._dependence import Moments, fill_missing, present_mean

#: More events than these do not improve the spread of the correlations noticeably.
_MAX_EVENTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationCheck:
    r"""
    The check that compares all correlation coefficients at once.

    Its statistic is the correlation shift :math:`\Delta\mathrm{FN}` between data and prediction.  Without a deviation
    :math:`\Delta\mathrm{FN}^2` is a sum of correlated squares; with their mean and variance it is close to a
    scaled :math:`\chi^2` (Satterthwaite), with a deviation to a non-central one.

    Attributes
    ----------
    scale : float
        Of the :math:`\chi^2`.
    n_degrees : float
        Effective degrees of freedom.
    level : float
        Probability to reject when nothing is wrong.
    """

    scale: float
    n_degrees: float
    level: float = 0.05

    @classmethod
    def of(cls, table: EventTable, *, n_data: float, level: float = 0.05) -> CorrelationCheck:
        r"""
        Describe the check for data that follow a table.

        The spread of the coefficients comes from their influence functions,
        :math:`z_jz_k-\rho_{jk}(z_j^2+z_k^2)/2` for standardised features, not from normality.

        Parameters
        ----------
        table : EventTable
            Prediction; its constrained events count.
        n_data : float
            Data events of the check.
        level : float
            Probability to reject when nothing is wrong.

        Returns
        -------
        CorrelationCheck
            For an infinitely precise prediction.
        """
        values, weights = table.values[table.constrained], table.weights[table.constrained]
        fill = present_mean(values, weights)
        moments = Moments.of(values, weights, fill=fill)
        rho = moments.correlation
        chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MAX_EVENTS)).astype(np.int64))
        part, w = fill_missing(values[chosen], fill), weights[chosen]
        variance = moments.variances
        if not (weights.sum() > 0 and (variance >= 0).all()):
            msg = "no cap on correlations follows from weights without a positive sum and variances; take more events"
            raise ValueError(msg)
        z = (part - moments.mean) / np.sqrt(np.where(variance > 0, variance / weights.sum(), np.inf))
        first, second = np.triu_indices(len(fill), k=1)
        influence = z[:, first] * z[:, second] - 0.5 * rho[first, second] * (z[:, first] ** 2 + z[:, second] ** 2)
        spread = (influence * w[:, np.newaxis]).T @ influence / w.sum()
        # Both triangles of the matrix count.
        mean, variance = 2.0 * np.trace(spread), 8.0 * (spread**2).sum()
        if not mean > 0:
            msg = "the spread of the correlations is not positive; a cap at a power needs more events, or two features that vary"
            raise ValueError(msg)
        norm = float((rho**2).sum()) * n_data
        return cls(scale=float(variance / (2.0 * mean)) / norm, n_degrees=float(2.0 * mean**2 / variance), level=level)

    def power(self, correlation_shift: float) -> float:
        """
        Probability to reject at a true correlation shift.

        Parameters
        ----------
        correlation_shift : float
            Dimensionless.

        Returns
        -------
        float
            ``level`` at 0.
        """
        threshold = scipy.stats.chi2.isf(self.level, self.n_degrees)
        noncentrality = correlation_shift**2 / self.scale
        return float(scipy.stats.ncx2.sf(threshold, self.n_degrees, max(noncentrality, 1e-12)))


def max_invisible_distance(*, n_data: float, n_bins: int, detection_power: float, level: float = 0.05) -> float:
    r"""
    Invert :func:`~hepfool.statistics._compatibility.chi2_power`.

    Parameters
    ----------
    n_data : float
        Data events of the check.
    n_bins : int
        Bins of the check.
    detection_power : float
        Probability to reject.
    level : float
        Probability to reject when nothing is wrong.

    Returns
    -------
    float
        Jensen-Shannon distance at which the check has this power.

    Examples
    --------
    >>> round(max_invisible_distance(n_data=1000, n_bins=50, detection_power=0.1), 4)
    0.0248
    """
    return _inverse(
        lambda distance: float(chi2_power(distance, n_data=n_data, n_bins=n_bins, level=level)),
        detection_power,
        start=1.0 / np.sqrt(n_data),
    )


def max_unordered_distance(*, n_data: float, detection_power: float, level: float = 0.05) -> float:
    r"""
    Distance up to which a Kolmogorov-Smirnov check cannot have more than a stated power, however the events have moved.

    The check rejects where :math:`\sqrt n|F_n-F|` exceeds :math:`c` somewhere.  Data of another distribution :math:`G` add
    :math:`h=\sqrt n(G-F)` to a Brownian bridge, whose largest values exceed :math:`y` with probability :math:`e^{-2y^2}`.  The
    difference between the largest and the smallest :math:`h` is at most :math:`t=\sqrt n` times the total variation, so that the
    power is at most :math:`e^{-2(c-t)^2}+e^{-2c^2}` (for :math:`c-t\ge\frac12`, where this is convex); Pinsker's inequality
    limits the total variation to :math:`\sqrt{2\ln 2}` times the Jensen-Shannon distance.  It holds for large :math:`n`, a
    prediction that is known exactly, and values that are told apart by their bins: within a bin events may move.

    Parameters
    ----------
    n_data : float
        Data events of the check.
    detection_power : float
        Probability to reject.
    level : float
        Probability to reject when nothing is wrong.

    Returns
    -------
    float
        Jensen-Shannon distance.

    Examples
    --------
    >>> round(max_unordered_distance(n_data=1000, detection_power=0.1), 4)
    0.0059
    """
    critical = scipy.special.kolmogi(level)
    other_side = np.exp(-2.0 * critical**2)
    room = critical - max(np.sqrt(-0.5 * np.log(detection_power - other_side)), 0.5)
    return float(max(room, 0.0) / np.sqrt(2.0 * np.log(2.0) * n_data))


def max_invisible_shift(check: CorrelationCheck, detection_power: float) -> float:
    """
    Invert :meth:`CorrelationCheck.power`.

    Parameters
    ----------
    check : CorrelationCheck
        The check.
    detection_power : float
        Probability to reject.

    Returns
    -------
    float
        Correlation shift at which the check has this power.
    """
    return _inverse(check.power, detection_power, start=float(np.sqrt(check.scale)))


def _inverse(power: Callable[[float], float], wanted: float, *, start: float) -> float:
    upper = start
    while power(upper) < wanted:
        upper *= 2.0
    return float(scipy.optimize.brentq(lambda x: power(x) - wanted, 0.0, upper, xtol=1e-12))
