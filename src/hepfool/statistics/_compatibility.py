# SPDX-License-Identifier: BSD-3-Clause
r"""
What an experiment would notice: nominal against adversarial events.

Nominal and adversarial are the *same* events.  A :math:`\chi^2` between them, as
if they were independent, would be meaningless; the numbers here are distances,
always beside the typical distance of two independent samples of the same size
(their sampling floor), and the power of a real validation at ``n_data``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from hepfool.events import EventTable
from hepfool.events._arrays import rows_of
from hepfool.statistics._dependence import Moments, correlation_shift, fill_missing, present_mean
from hepfool.statistics._distance_correlation import distance_correlation
from hepfool.statistics._weights import effective_number
from hepfool.statistics.marginals import Binning, js_distance, merge_bins, sampling_floor
from hepfool.typing import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compatibility:
    r"""
    Distances between nominal and adversarial events of one region.

    Where the weights do not sum to a positive number no distance exists, and all of them are NaN.

    Attributes
    ----------
    features : tuple of str
        Feature names, in the order of the arrays below.
    region : str
        Name of the compared events, ``constrained`` for all that are validated.
    n_events : int
        Number of compared events.
    n_effective : float
        Effective number :math:`(\sum w)^2/\sum w^2` of compared events.
    js_distance : FloatArray, shape (n_features,)
        Jensen-Shannon distance of each marginal, dimensionless.
    js_floor : FloatArray, shape (n_features,)
        Typical distance of two independent samples of this size (root mean square).
    correlation_nominal, correlation_adversarial : FloatArray, shape (n_features, n_features)
        Pearson matrices.
    correlation_shift : float
        Relative Frobenius norm of their difference.
    correlation_floor : float
        Typical shift between two independent samples of this size (root mean square), for normal features.
    n_merged_bins : int
        Bins merged because their content was negative, those of missing values among them.
    """

    features: tuple[str, ...]
    region: str
    n_events: int
    n_effective: float
    js_distance: FloatArray
    js_floor: FloatArray
    correlation_nominal: FloatArray
    correlation_adversarial: FloatArray
    correlation_shift: float
    correlation_floor: float
    n_merged_bins: int = 0

    @property
    def max_js_distance(self) -> float:
        """Largest distance of a marginal, dimensionless."""
        return float(self.js_distance.max())

    @property
    def mean_js_distance(self) -> float:
        """Distance averaged over features, dimensionless."""
        return float(self.js_distance.mean())

    def ranked(self) -> tuple[str, ...]:
        """
        Order the features by their distance.

        Returns
        -------
        tuple of str
            Names from the smallest to the largest distance.
        """
        return tuple(self.features[j] for j in np.argsort(self.js_distance, kind="stable"))


def compare(
    nominal: EventTable,
    adversarial: EventTable,
    binning: Binning,
    *,
    events: BoolArray | None = None,
    region: str = "constrained",
) -> Compatibility:
    """
    Compare the same events before and after an attack.

    Parameters
    ----------
    nominal, adversarial : EventTable
        The same events in the same order.
    binning : Binning
        Bins of the marginals; use those of the attack.
    events : BoolArray, shape (n_events,), optional
        Events to compare; the constrained ones by default.
    region : str
        Name under which the result is reported.

    Returns
    -------
    Compatibility
        Distances and correlation shift, with their sampling floors.

    Raises
    ------
    ValueError
        If the tables do not hold the same events, or none is selected.
    """
    if nominal.values.shape != adversarial.values.shape:
        msg = f"the tables hold different events: {nominal.values.shape} and {adversarial.values.shape}"
        raise ValueError(msg)
    chosen = nominal.constrained if events is None else events
    if not chosen.any():
        msg = f"region {region!r} holds no event; nothing can be compared there"
        raise ValueError(msg)
    weights = rows_of(nominal.weights, chosen)
    before, after = rows_of(nominal.values, chosen), rows_of(adversarial.values, chosen)
    fill = present_mean(before, weights)
    return compare_sums(
        nominal.features.names,
        region,
        n_events=int(chosen.sum()),
        n_effective=effective_number(weights),
        yields=(binning.yields(before, weights), binning.yields(after, weights)),
        moments=(Moments.of(before, weights, fill=fill), Moments.of(after, weights, fill=fill)),
    )


def compare_sums(
    features: tuple[str, ...],
    region: str,
    *,
    n_events: int,
    n_effective: float,
    yields: tuple[FloatArray, FloatArray],
    moments: tuple[Moments, Moments],
) -> Compatibility:
    """
    Compare nominal and adversarial events of which only sums are left.

    Histograms and moments add over chunks and workers, so that this gives the
    figures of all events exactly.

    Parameters
    ----------
    features : tuple of str
        Feature names.
    region : str
        Name under which the result is reported.
    n_events : int
        Number of compared events.
    n_effective : float
        Their effective number.
    yields : pair of FloatArray, shape (n_features, n_bins + 1)
        Nominal and adversarial results of :meth:`Binning.yields`, added up.
    moments : pair of Moments
        Nominal and adversarial, with the nominal mean in place of missing values.

    Returns
    -------
    Compatibility
        Distances and correlation shift, with their sampling floors.
    """
    merged = Binning.merged(*yields)
    reference, shifted = (merge_bins(y, merged) for y in yields)
    exists = n_effective > 0 and min(y.sum(axis=1).min() for y in (reference, shifted)) > 0
    absent = np.full(len(features), np.nan)
    correlations = [m.correlation if exists else np.full(m.second.shape, np.nan) for m in moments]
    return Compatibility(
        features=features,
        region=region,
        n_events=n_events,
        n_effective=n_effective,
        js_distance=js_distance(reference, shifted) if exists else absent,
        js_floor=sampling_floor(reference, n_effective) if exists else absent,
        correlation_nominal=correlations[0],
        correlation_adversarial=correlations[1],
        correlation_shift=correlation_shift(*correlations) if exists else float("nan"),
        correlation_floor=_correlation_floor(correlations[0], n_effective),
        n_merged_bins=int((merged != np.arange(merged.shape[1])).sum()),
    )


def _correlation_floor(correlation: FloatArray, n_effective: float) -> float:
    """Root mean square of the norm between two normal samples, with variance ``2 (1 - rho^2)^2 / n`` per entry."""
    variance = 2.0 * (1.0 - np.clip(correlation, -1, 1) ** 2) ** 2 / n_effective
    np.fill_diagonal(variance, 0.0)
    return float(np.sqrt(variance.sum()) / np.linalg.norm(correlation))


def distance_correlation_shift(nominal: EventTable, adversarial: EventTable) -> float:
    """
    Compare the distance correlations of the constrained events.

    Parameters
    ----------
    nominal, adversarial : EventTable
        The same events before and after an attack; missing values count as the nominal mean.

    Returns
    -------
    float
        Relative Frobenius norm of the change, dimensionless.

    Examples
    --------
    >>> table = EventTable.from_arrays([[0.0, 1.0], [1.0, 0.0], [2.0, 3.0]])
    >>> distance_correlation_shift(table, table)
    0.0
    """
    chosen = nominal.constrained
    weights = nominal.weights[chosen]
    fill = present_mean(nominal.values[chosen], weights)
    before, after = (
        distance_correlation(fill_missing(table.values[chosen], fill), weights) for table in (nominal, adversarial)
    )
    return float(np.linalg.norm(after - before) / np.linalg.norm(before))


def chi2_power(
    js_distance: FloatArray | float, *, n_data: float, n_bins: int, level: float = 0.05, n_simulated: float = np.inf
) -> FloatArray | float:
    r"""
    Probability that a binned :math:`\chi^2` check with ``n_data`` events rejects.

    The data follow the adversarial distribution and the prediction is the
    nominal one.  The non-centrality is :math:`\lambda = n\sum(q-p)^2/p \approx 8\ln 2\; n\;\mathrm{JSD}^2`; a prediction
    with statistical errors of its own reduces :math:`n` to :math:`n m/(n+m)` (:func:`reduced_size`).

    Parameters
    ----------
    js_distance : FloatArray or float
        Jensen-Shannon distance, dimensionless.
    n_data : float
        Number of data events in the check.
    n_bins : int
        Number of bins of the check; the degrees of freedom are one fewer.
    level : float
        Probability to reject when nothing is wrong.
    n_simulated : float
        Effective number of events of the prediction; infinitely many by default.

    Returns
    -------
    FloatArray or float
        ``level`` when the deviation is invisible, 1 when it is always seen.

    Examples
    --------
    >>> float(chi2_power(0.0, n_data=1000, n_bins=21).round(3))
    0.05
    """
    if n_bins < 2:
        msg = f"a shape check needs at least two bins, got {n_bins}"
        raise ValueError(msg)
    noncentrality = 8.0 * np.log(2.0) * reduced_size(n_data, n_simulated) * np.square(js_distance)
    threshold = scipy.stats.chi2.isf(level, n_bins - 1)
    return np.where(
        noncentrality > 0, scipy.stats.ncx2.sf(threshold, n_bins - 1, np.maximum(noncentrality, 1e-12)), level
    )


def reduced_size(n_data: float, n_simulated: float) -> float:
    r"""
    Count the events that would be as precise if the prediction were perfect.

    Parameters
    ----------
    n_data : float
        Data events :math:`n`.
    n_simulated : float
        Effective number of simulated events :math:`m`; may be infinite.

    Returns
    -------
    float
        :math:`n m/(n+m)`.

    Examples
    --------
    >>> reduced_size(100.0, 300.0), reduced_size(100.0, np.inf)
    (75.0, 100.0)
    """
    return n_data / (1.0 + n_data / n_simulated)
