# SPDX-License-Identifier: BSD-3-Clause
r"""
What a blinded analysis would see of an attack.

Pseudo-data are attacked background events, the prediction are nominal ones, and
both are compared where little signal is expected (arXiv:1910.08606, fig. 1).
Data and prediction come from *different* events: each background event is in
one of two halves by the toss of a coin.  The same events before and after an
attack share their fluctuations, and a :math:`\chi^2` between them would be far
too small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis_examples.papers.ai_safety_jets.efficiencies import ScoredEvents
from hepfool.statistics import Binning
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["BlindedValidation", "PairedObservable", "ValidationHistogram", "validate_blinded"]

_MIN_EFFECTIVE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairedObservable:
    """
    An observable of the same events before and after an attack.

    Attributes
    ----------
    label : str
        Axis title with its unit, such as ``jet mass [GeV]``.
    edges : FloatArray, shape (n_bins + 1,)
        Increasing bin edges; values beyond count in the outer bins.
    nominal, adversarial : FloatArray, shape (n_events,)
        Values in the unit of the edges.
    """

    label: str
    edges: FloatArray
    nominal: FloatArray
    adversarial: FloatArray

    def __post_init__(self) -> None:
        """Check that both are the same events with finite values."""
        if self.nominal.ndim != 1 or self.nominal.shape != self.adversarial.shape:
            msg = f"{self.label}: one value per event before and after, got {self.nominal.shape}, {self.adversarial.shape}"
            raise ValueError(msg)
        if not (np.isfinite(self.nominal).all() and np.isfinite(self.adversarial).all()):
            msg = f"{self.label}: some values are not finite; leave out events without this observable"
            raise ValueError(msg)

    def indices(self, values: FloatArray) -> IntArray:
        """
        Tell the bin of each value.

        Parameters
        ----------
        values : FloatArray, shape (n_events,)
            In the unit of the edges.

        Returns
        -------
        IntArray, shape (n_events,)
            From 0 to the number of bins minus one.
        """
        return self._binning.indices(values[:, np.newaxis])[:, 0]

    def yields(self, values: FloatArray, weights: FloatArray) -> FloatArray:
        """
        Sum the weights per bin.

        Parameters
        ----------
        values : FloatArray, shape (n_events,)
            In the unit of the edges.
        weights : FloatArray, shape (n_events,)
            Event weights, dimensionless.

        Returns
        -------
        FloatArray, shape (n_bins,)
            Weighted yields.
        """
        return self._binning.yields(values[:, np.newaxis], weights)[0, :-1]

    @property
    def _binning(self) -> Binning:
        return Binning(self.edges[np.newaxis, :])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ValidationHistogram:
    r"""
    Pseudo-data and prediction of one observable, from independent events.

    Attributes
    ----------
    label : str
        Axis title with its unit.
    edges : FloatArray, shape (n_bins + 1,)
        Bin edges.
    observed, expected : FloatArray, shape (n_bins,)
        Weighted yields of attacked and of nominal background.
    observed_variance, expected_variance : FloatArray, shape (n_bins,)
        :math:`\sum w^2`.
    visible : BoolArray, shape (n_bins,)
        Bins that are not blinded.
    compared : BoolArray, shape (n_bins,)
        Visible bins with enough events for a :math:`\chi^2`: at least 10 effective ones in both halves together.
    """

    label: str
    edges: FloatArray
    observed: FloatArray
    observed_variance: FloatArray
    expected: FloatArray
    expected_variance: FloatArray
    visible: BoolArray
    compared: BoolArray

    @property
    def chi2(self) -> float:
        r""":math:`\sum (o-e)^2/(\sigma_o^2+\sigma_e^2)` over the compared bins."""
        variance = (self.observed_variance + self.expected_variance)[self.compared]
        return float(((self.observed - self.expected)[self.compared] ** 2 / variance).sum())

    @property
    def ndf(self) -> int:
        """Compared bins; the number of events is part of the comparison."""
        return int(self.compared.sum())

    @property
    def p_value(self) -> float:
        """Probability of a larger chi-square if both follow the same distribution; NaN if no bin is compared."""
        return float(stats.chi2.sf(self.chi2, self.ndf))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlindedValidation:
    """
    The comparison of an analysis that has not looked at its signal region.

    Attributes
    ----------
    score : ValidationHistogram
        Scores; the bins above ``control_threshold`` are blinded.
    observables : tuple of ValidationHistogram
        In the control region.
    control_threshold : float
        Events below are in the control region, by the score that they have.
    signal_efficiency : float
        Fraction of the nominal signal in the control region.
    optimum : float or None
        Expected optimal threshold.
    n_observed, n_expected : int
        Events of the control region in each half.
    """

    score: ValidationHistogram
    observables: tuple[ValidationHistogram, ...]
    control_threshold: float
    signal_efficiency: float
    optimum: float | None
    n_observed: int
    n_expected: int


def validate_blinded(
    labels: IntArray,
    score: PairedObservable,
    observables: Sequence[PairedObservable],
    *,
    rng: np.random.Generator,
    weights: FloatArray | None = None,
    max_signal_efficiency: float = 0.1,
    optimum: float | None = None,
) -> BlindedValidation:
    """
    Compare attacked with nominal background where little signal is expected.

    The control region are the scores below the highest bin edge under which at most
    ``max_signal_efficiency`` of the nominal signal lies.  Events that served to train an attack should not be
    among these.

    Parameters
    ----------
    labels : IntArray, shape (n_events,)
        1 for signal, 0 for background.
    score : PairedObservable
        Scores of class 1, with edges from 0 to 1.
    observables : sequence of PairedObservable
        What is validated in the control region, of the same events.
    rng : numpy.random.Generator
        Tosses the coins.
    weights : FloatArray, shape (n_events,), optional
        Event weights; 1 when left out.
    max_signal_efficiency : float
        Fraction of the signal that the control region may hold.
    optimum : float, optional
        Expected optimal threshold, for the figure.

    Returns
    -------
    BlindedValidation
        Histograms with their chi-square.

    Raises
    ------
    ValueError
        If the arrays do not fit, or no bin of the score holds so little signal.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> labels = np.repeat([0, 1], [4000, 500])
    >>> scores = np.concatenate([rng.beta(1, 3, 4000), rng.beta(3, 1, 500)])
    >>> score = PairedObservable(label="score", edges=np.linspace(0, 1, 21), nominal=scores, adversarial=scores)
    >>> validation = validate_blinded(labels, score, [], rng=rng)
    >>> validation.control_threshold, validation.score.ndf
    (0.45, 9)
    """
    events = ScoredEvents.checked(labels, {"nominal": score.nominal, "adversarial": score.adversarial}, weights)
    for observable in observables:
        if observable.nominal.shape != score.nominal.shape:
            msg = (
                f"{observable.label}: {len(observable.nominal)} values for {len(score.nominal)} events; give all events"
            )
            raise ValueError(msg)
    threshold, efficiency = _control_threshold(score, events, max_signal_efficiency)
    data = rng.integers(2, size=len(labels)) == 1
    halves = (~events.signal & data, ~events.signal & ~data)
    below = score.edges[1:] <= threshold
    # A score on an edge belongs to the bin above: the region is a set of bins.
    in_control = tuple(
        half & below[score.indices(values)]
        for half, values in zip(halves, (score.adversarial, score.nominal), strict=True)
    )
    return BlindedValidation(
        score=_histogram(score, halves, events.weights, below),
        observables=tuple(
            _histogram(o, in_control, events.weights, np.ones(len(o.edges) - 1, dtype=np.bool_)) for o in observables
        ),
        control_threshold=threshold,
        signal_efficiency=efficiency,
        optimum=optimum,
        n_observed=int(in_control[0].sum()),
        n_expected=int(in_control[1].sum()),
    )


def _control_threshold(score: PairedObservable, events: ScoredEvents, largest: float) -> tuple[float, float]:
    """Upper edge of the control region, and the fraction of signal below it."""
    if not 0 < largest < 1:
        msg = f"max_signal_efficiency must lie between 0 and 1, got {largest}"
        raise ValueError(msg)
    sums = score.yields(score.nominal[events.signal], events.weights[events.signal])
    fractions = np.cumsum(sums) / sums.sum()
    allowed = np.flatnonzero(fractions <= largest)
    if not len(allowed):
        msg = (
            f"the first bin of the score holds {fractions[0]:.3g} of the signal, more than {largest:g}; "
            "use finer bins or raise max_signal_efficiency"
        )
        raise ValueError(msg)
    return float(score.edges[allowed[-1] + 1]), float(fractions[allowed[-1]])


def _histogram(
    observable: PairedObservable, halves: tuple[BoolArray, ...], weights: FloatArray, visible: BoolArray
) -> ValidationHistogram:
    filled = tuple(zip(halves, (observable.adversarial, observable.nominal), strict=True))
    observed, expected = (observable.yields(values[half], weights[half]) for half, values in filled)
    variances = tuple(observable.yields(values[half], weights[half] ** 2) for half, values in filled)
    # Chosen by the sum of both halves, which does not know of their difference.
    total, variance = observed + expected, variances[0] + variances[1]
    return ValidationHistogram(
        label=observable.label,
        edges=observable.edges,
        observed=observed,
        observed_variance=variances[0],
        expected=expected,
        expected_variance=variances[1],
        visible=visible,
        compared=visible & (variance > 0) & (total**2 >= _MIN_EFFECTIVE * variance),
    )
