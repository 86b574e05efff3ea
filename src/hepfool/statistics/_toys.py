# SPDX-License-Identifier: BSD-3-Clause
r"""
Detection power of a check from pseudo-experiments.

Nominal and adversarial are the same events.  No toy compares an event with itself: every toy draws the data from the
adversarial distribution and the prediction from the nominal one, independently of each other, each with the
statistics it would have.  The threshold comes from toys whose data follow the nominal distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hepfool.statistics._dependence import Moments, fill_missing, present_mean
from hepfool.statistics._weights import effective_number
from hepfool.typing import FloatArray

#: Statistic of a check: fractions of data and of the prediction, shape (n_toys, n_bins), to (n_toys,).
Statistic = Callable[[FloatArray, FloatArray], FloatArray]

#: The correlations of more events than these are known better than any toy needs.
_MAX_EVENTS = 20_000

#: Toys without a deviation for each one with, because they set the threshold.
_NULL_FACTOR = 2


@dataclass(frozen=True, slots=True)
class Power:
    """
    Probability that a check rejects.

    Attributes
    ----------
    value : float
        From the level to 1.
    error : float
        From the number of toys, one standard deviation; 0 for closed forms.
    """

    value: float
    error: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Toys:
    """
    What pseudo-experiments look like.

    Attributes
    ----------
    n_data : float
        Events in the data.
    n_simulated : float
        Effective number of events of the prediction; may be infinite.
    n_toys : int
        Pseudo-experiments with the deviation.
    level : float
        Probability to reject when nothing is wrong.
    """

    n_data: float
    n_simulated: float
    n_toys: int = 400
    level: float = 0.05

    def power(self, null: FloatArray, shifted: FloatArray) -> Power:
        """
        Compare a statistic with and without the deviation.

        Parameters
        ----------
        null, shifted : FloatArray, shape (n_toys,)
            Values of the statistic; large ones reject.

        Returns
        -------
        Power
            With the errors of both sets of toys.
        """
        spread = np.sqrt(self.level * (1.0 - self.level) / len(null))
        quantiles = np.clip(1.0 - self.level + np.array([0.0, -spread, spread]), 0.0, 1.0)
        value, above, below = ((shifted > x).mean() for x in np.quantile(null, quantiles, method="higher"))
        return Power(float(value), float(np.hypot(np.sqrt(value * (1.0 - value) / len(shifted)), (above - below) / 2)))


def binned_power(
    nominal: FloatArray, adversarial: FloatArray, statistic: Statistic, toys: Toys, *, rng: np.random.Generator
) -> Power:
    """
    Power of a check that compares fractions in bins.

    Parameters
    ----------
    nominal, adversarial : FloatArray, shape (n_bins,)
        Weighted yields, none negative.
    statistic : callable
        Such as :func:`kolmogorov_distance` or :func:`two_sample_chi2`.
    toys : Toys
        Numbers of events and of toys.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Power
        With its error.

    Examples
    --------
    >>> toys = Toys(n_data=500, n_simulated=1e4, n_toys=200)
    >>> binned_power([1.0, 1.0], [1.0, 3.0], kolmogorov_distance, toys, rng=np.random.default_rng(1)).value
    1.0
    """
    p, q = (np.asarray(yields, dtype=np.float64) / np.sum(yields) for yields in (nominal, adversarial))

    def draw(data: FloatArray, n_toys: int) -> FloatArray:
        return statistic(
            _fractions(data, toys.n_data, n_toys, rng=rng), _fractions(p, toys.n_simulated, n_toys, rng=rng)
        )

    return toys.power(draw(p, _NULL_FACTOR * toys.n_toys), draw(q, toys.n_toys))


def _fractions(truth: FloatArray, size: float, n_toys: int, *, rng: np.random.Generator) -> FloatArray:
    if np.isinf(size):
        return np.broadcast_to(truth, (n_toys, len(truth)))
    n_events = max(round(size), 1)
    return rng.multinomial(n_events, truth, size=n_toys) / n_events


def kolmogorov_distance(data: FloatArray, prediction: FloatArray) -> FloatArray:
    """
    Largest difference of the cumulative distributions.

    Parameters
    ----------
    data, prediction : FloatArray, shape (n_toys, n_bins)
        Fractions in bins along the feature, as fine as it takes.

    Returns
    -------
    FloatArray, shape (n_toys,)
        Dimensionless.

    Examples
    --------
    >>> kolmogorov_distance(np.array([[0.5, 0.0, 0.5]]), np.array([[0.25, 0.25, 0.5]])).tolist()
    [0.25]
    """
    return np.asarray(np.abs(np.cumsum(data - prediction, axis=-1)).max(axis=-1))


def two_sample_chi2(data: FloatArray, prediction: FloatArray, *, data_share: float = 0.5) -> FloatArray:
    r"""
    Sum of :math:`(a-b)^2/p` over bins with the pooled fraction :math:`p=fa+(1-f)b`.

    Parameters
    ----------
    data, prediction : FloatArray, shape (n_toys, n_bins)
        Fractions :math:`a, b`.
    data_share : float
        Part :math:`f` of all events that are data; 0 for a perfect prediction.

    Returns
    -------
    FloatArray, shape (n_toys,)
        Dimensionless, proportional to the :math:`\chi^2` of two samples.

    Examples
    --------
    >>> two_sample_chi2(np.array([[0.5, 0.5, 0.0]]), np.array([[1.0, 0.0, 0.0]])).round(3).tolist()
    [1.333]
    """
    pooled = data_share * data + (1.0 - data_share) * prediction
    return np.asarray(((data - prediction) ** 2 / np.where(pooled > 0, pooled, np.inf)).sum(axis=-1))


def correlation_power(
    nominal: FloatArray, adversarial: FloatArray, weights: FloatArray, toys: Toys, *, rng: np.random.Generator
) -> Power:
    r"""
    Power of the check that compares all linear correlations, with the statistic :math:`\lVert C'-C\rVert_F`.

    Parameters
    ----------
    nominal, adversarial : FloatArray, shape (n_events, n_features)
        The same events before and after; NaN where missing.
    weights : FloatArray, shape (n_events,)
        Event weights. Negative ones are drawn with a negative sign: the mean is right, the fluctuations of the data are
        too large by the ratio of the sums of sizes and of weights.
    toys : Toys
        Numbers of events and of toys.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Power
        With its error; :class:`~hepfool.statistics.CorrelationCheck` has the closed form.
    """
    if len(weights) > _MAX_EVENTS:
        part = rng.choice(len(weights), size=_MAX_EVENTS, replace=False)
        nominal, adversarial, weights = nominal[part], adversarial[part], weights[part]
    if not weights.sum() > 0:
        return Power(toys.level)  # a part of events of either sign may have no positive sum, and then no correlations
    fill = present_mean(nominal, weights)
    before, after = fill_missing(nominal, fill), fill_missing(adversarial, fill)
    mean_counts = toys.n_data * np.abs(weights) / weights.sum()
    factor = 0.0 if np.isinf(toys.n_simulated) else effective_number(weights) / toys.n_simulated

    def shift(truth: FloatArray) -> float:
        data = np.sign(weights) * rng.poisson(mean_counts)
        # Weights of variance `factor` give the prediction the statistics that are asked for.
        copies = rng.poisson(1.0 / factor, len(weights)) * factor if factor else 1.0
        prediction = weights * copies
        if not min(data.sum(), prediction.sum()) > 0:
            return 0.0  # nothing is left to compare, and so nothing is seen
        return float(np.linalg.norm(drawn_correlation(truth, data) - drawn_correlation(before, prediction)))

    null = np.array([shift(before) for _ in range(_NULL_FACTOR * toys.n_toys)])
    return toys.power(null, np.array([shift(after) for _ in range(toys.n_toys)]))


def drawn_correlation(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Correlations of the events that were drawn."""
    drawn = weights != 0.0
    return Moments.of(values[drawn], weights[drawn]).correlation
