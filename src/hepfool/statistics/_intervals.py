# SPDX-License-Identifier: BSD-3-Clause
"""Intervals of fractions that hold for few events, and for a count of zero."""

from __future__ import annotations

import math

from scipy.special import ndtri


def fraction_interval(fraction: float, n_effective: float, confidence: float) -> tuple[float, float]:
    """
    Central interval of a fraction (E. Wilson, J. Am. Stat. Assoc. 22 (1927) 209).

    Parameters
    ----------
    fraction : float
        Observed.
    n_effective : float
        Events of weight 1 with the same relative error.
    confidence : float
        Probability that the interval holds the true fraction.

    Returns
    -------
    lower, upper : float
        Within [0, 1]; all of it where there is no event.

    Examples
    --------
    >>> [round(end, 3) for end in fraction_interval(0.0, 10.0, 0.95)]
    [0.0, 0.278]
    """
    if not n_effective > 0 or math.isnan(fraction):
        return 0.0, 1.0
    z = float(ndtri((1.0 + confidence) / 2.0))
    p, extra = min(max(fraction, 0.0), 1.0), z**2 / n_effective
    middle, half = p + extra / 2.0, z * math.sqrt(p * (1.0 - p) / n_effective + extra / (4.0 * n_effective))
    return max((middle - half) / (1.0 + extra), 0.0), min((middle + half) / (1.0 + extra), 1.0)


def difference_interval(
    first: tuple[float, float], second: tuple[float, float], confidence: float
) -> tuple[float, float]:
    """
    Central interval of the difference of two independent fractions (R. Newcombe, Stat. Med. 17 (1998) 873, method 10).

    Parameters
    ----------
    first, second : (float, float)
        Fraction and effective number of events.
    confidence : float
        Probability that the interval holds the true difference.

    Returns
    -------
    lower, upper : float
        Of the first less the second.

    Examples
    --------
    >>> [round(end, 3) for end in difference_interval((0.2, 1000.0), (0.2, 1000.0), 0.95)]
    [-0.035, 0.035]
    """
    (p, n), (q, m) = first, second
    (low, high), (below, above) = fraction_interval(p, n, confidence), fraction_interval(q, m, confidence)
    return p - q - math.hypot(p - low, above - q), p - q + math.hypot(high - p, q - below)
