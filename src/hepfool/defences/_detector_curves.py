# SPDX-License-Identifier: BSD-3-Clause
"""Performance of a detector at every threshold, and whether its score is the probability that it claims to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hist import intervals
from sklearn.metrics import brier_score_loss, roc_curve

from hepfool.attacks.base import AttackResult
from hepfool.defences._detector import Detector, check_features
from hepfool.events import EventTable
from hepfool.statistics._roc import auroc_with_error
from hepfool.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """Fraction of fooled events in bins of the score, for equally frequent nominal and fooled events."""

    mean_score: FloatArray  # (n_bins,); weighted mean of the score in each bin that holds events
    fraction: FloatArray  # (n_bins,); weighted fraction of fooled events
    # lower, upper: (n_bins,); interval of 68 % confidence (Clopper and Pearson, with the effective number of events)
    lower: FloatArray
    upper: FloatArray
    n_events: IntArray  # (n_bins,); plain numbers of events
    # mean over all events of the distance between score and fraction, bin by bin; 0 if calibrated, apart from statistics
    expected_error: float
    brier: float  # mean squared difference of score and truth; 0.25 for a score of 0.5 everywhere


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectorCurves:
    """
    ROC curve and calibration of a detector.

    Attributes
    ----------
    thresholds : FloatArray, shape (n_points,)
        Scores from which an event is flagged, descending from infinity.
    flagged_nominal, flagged_fooled : FloatArray, shape (n_points,)
        Weighted fractions at each threshold.
    working_point : (float, float)
        Flagged fractions of nominal and of fooled events at the detector's own threshold.
    auroc, auroc_error : float
        Area under the curve and its standard error.
    calibration : Calibration
        Score against truth.
    n_nominal, n_fooled : int
        Plain numbers of events.
    """

    thresholds: FloatArray
    flagged_nominal: FloatArray
    flagged_fooled: FloatArray
    working_point: tuple[float, float]
    auroc: float
    auroc_error: float
    calibration: Calibration
    n_nominal: int
    n_fooled: int


def detector_curves(
    detector: Detector, test: AttackResult, *, clean: EventTable | None = None, n_bins: int = 10
) -> DetectorCurves:
    """
    Compare nominal with fooled events of the test split.

    Nominal and adversarial events are the same events before and after; errors treat them
    as independent, which makes them too large where both scores of an event rise together.

    Parameters
    ----------
    test : AttackResult
        The attack on the test split.
    clean : EventTable, optional
        Nominal events; those of the attack by default.
    n_bins : int
        Bins of the score in [0, 1] for the calibration.

    Returns
    -------
    DetectorCurves
        Negative weights count by their size.

    Raises
    ------
    ValueError
        If no event is fooled, or the features differ from those of the detector.
    """
    clean = test.nominal if clean is None else clean
    for table in (clean, test.nominal):
        check_features(detector.features, table)
    if not test.fooled.any():
        msg = "the attack fooled no test event, so there is no curve; use a stronger attack"
        raise ValueError(msg)
    fooled = test.adversarial.select(test.fooled)
    labels = np.repeat([0, 1], [clean.n_events, fooled.n_events])
    scores = np.concatenate([detector.score(table.network_values) for table in (clean, fooled)])
    # Both kinds count equally, as in the training.
    sizes = np.concatenate([np.abs(t.weights) / np.abs(t.weights).sum() for t in (clean, fooled)])
    false, true, thresholds = roc_curve(labels, scores, sample_weight=sizes)
    area, error = auroc_with_error(labels, scores, sizes)
    flagged = scores > detector.threshold
    return DetectorCurves(
        thresholds=thresholds,
        flagged_nominal=false,
        flagged_fooled=true,
        working_point=(float(sizes[flagged & (labels == 0)].sum()), float(sizes[flagged & (labels == 1)].sum())),
        auroc=area,
        auroc_error=error,
        calibration=_calibration(labels, scores, sizes, n_bins),
        n_nominal=clean.n_events,
        n_fooled=fooled.n_events,
    )


def _calibration(labels: IntArray, scores: FloatArray, sizes: FloatArray, n_bins: int) -> Calibration:
    """scikit-learn's curve knows neither weights nor errors."""
    index = np.minimum((scores * n_bins).astype(np.int64), n_bins - 1)
    n_events, total, squared, score, fooled = (
        np.bincount(index, weights=w, minlength=n_bins)
        for w in (np.ones(len(scores)), sizes, sizes**2, sizes * scores, sizes * labels)
    )
    held = total > 0
    mean, fraction = score[held] / total[held], fooled[held] / total[held]
    effective = total[held] ** 2 / squared[held]
    lower, upper = intervals.clopper_pearson_interval(fraction * effective, effective)
    return Calibration(
        mean_score=mean,
        fraction=fraction,
        lower=lower,
        upper=upper,
        n_events=n_events[held].astype(np.int64),
        expected_error=float((total[held] * np.abs(mean - fraction)).sum() / total.sum()),
        brier=float(brier_score_loss(labels, scores, sample_weight=sizes)),
    )
