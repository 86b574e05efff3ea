# SPDX-License-Identifier: BSD-3-Clause
r"""
The strongest check: let a classifier tell the data from the prediction.

It sees every dependence between the features at once, not only marginals and linear correlations.
A flexible classifier would recognise an event that is on both sides, so events are split by halves first: the prediction
is made of one half before the attack, the data are drawn from the other one after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from hepfool.statistics._toys import Power, Toys
from hepfool.typing import FloatArray, IntArray

#: Settings of the boosted trees: a few hundred leaves in all, against learning single events by heart.
_TREES = {"max_iter": 60, "max_leaf_nodes": 15, "learning_rate": 0.1, "early_stopping": False}

#: More simulated events per data event hardly improve the precision, and take their time in the training.
_MAX_RATIO = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierPower:
    """
    Power of the classifier two-sample test.

    Attributes
    ----------
    power : Power
        Probability to reject, with its error.
    auroc : float
        Mean area under the curve on events the classifier has not seen; 0.5 if nothing can be told apart.
    n_data : int
        Data events of a toy, half of them for training: fewer than asked for where the simulation has not as many.
    """

    power: Power
    auroc: float
    n_data: int


def classifier_power(
    nominal: FloatArray, adversarial: FloatArray, weights: FloatArray, toys: Toys, *, rng: np.random.Generator
) -> ClassifierPower:
    """
    Train a classifier per toy and count how often it tells data from prediction.

    Parameters
    ----------
    nominal, adversarial : FloatArray, shape (n_events, n_features)
        The same events before and after; NaN where missing.
    weights : FloatArray, shape (n_events,)
        Event weights. Events of negative weight cannot be drawn as data and are left out on both sides.
    toys : Toys
        Numbers of data events and of toys; the prediction is made of half of the events, at most four
        times as many as the data.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ClassifierPower
        With the number of data events that could be used.

    Raises
    ------
    ValueError
        If there are too few events to split.
    """
    positive = np.flatnonzero(weights > 0)
    if len(positive) < 8:
        msg = f"a two-sample test needs at least 8 events of positive weight, got {len(positive)}"
        raise ValueError(msg)
    threshold = scipy.stats.norm.isf(toys.level)
    results = []
    for _ in range(toys.n_toys):
        events = rng.permutation(positive)
        middle = len(events) // 2
        prediction = events[: min(middle, round(_MAX_RATIO * toys.n_data) + 4)]
        data = _unweighted(events[middle:], weights, toys.n_data, rng=rng)
        area, significance = tell_apart(
            (nominal[prediction], weights[prediction]), adversarial[data], seed=int(rng.integers(2**31))
        )
        results.append((area, significance > threshold, len(data)))
    areas, rejected, sizes = (np.array(column, dtype=np.float64) for column in zip(*results, strict=True))
    value = float(rejected.mean())
    error = float(np.sqrt(value * (1.0 - value) / toys.n_toys))
    return ClassifierPower(power=Power(value, error), auroc=float(areas.mean()), n_data=int(sizes.mean()))


def _unweighted(events: IntArray, weights: FloatArray, n_data: float, *, rng: np.random.Generator) -> IntArray:
    """Keep events with a probability that is proportional to their weight, each at most once."""
    kept = events[rng.uniform(size=len(events)) * weights[events].max() < weights[events]]
    return np.asarray(kept[: max(round(n_data), 4)])


def tell_apart(prediction: tuple[FloatArray, FloatArray], data: FloatArray, *, seed: int) -> tuple[float, float]:
    """Train on one half of both sides; give area under the curve and significance of the other half."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - slow to import

    values, weights = prediction
    train, test = slice(None, None, 2), slice(1, None, 2)
    inputs = np.concatenate([values[train], data[train]])
    labels = np.repeat([0, 1], [len(values[train]), len(data[train])])
    balance = len(data[train]) / weights[train].sum()
    classifier = HistGradientBoostingClassifier(**_TREES, random_state=seed)
    classifier.fit(inputs, labels, sample_weight=np.concatenate([balance * weights[train], np.ones(len(data[train]))]))
    score = classifier.decision_function
    return auc_significance(score(data[test]), score(values[test]), weights[test])


def auc_significance(data: FloatArray, prediction: FloatArray, weights: FloatArray) -> tuple[float, float]:
    r"""
    Area under the ROC curve and its excess over one half in standard deviations.

    The variance is that of the placements of both samples (E. DeLong et al., Biometrics 44 (1988) 837), with weights
    on the side of the prediction.

    Parameters
    ----------
    data : FloatArray, shape (n_data,)
        Scores of unweighted events.
    prediction : FloatArray, shape (n_simulated,)
        Scores of independent events.
    weights : FloatArray, shape (n_simulated,)
        Their weights, none negative.

    Returns
    -------
    area : float
        Probability that a data event has the larger score; ties count half.
    significance : float
        0 where the scores do not vary.

    Examples
    --------
    >>> auc_significance(np.array([1.0, 3.0]), np.array([0.0, 2.0]), np.ones(2))[0]
    0.75
    """
    fractions = weights / weights.sum()
    order = np.argsort(prediction)
    below = np.concatenate([[0.0], np.cumsum(fractions[order])])
    left, right = (np.searchsorted(prediction[order], data, side=side) for side in ("left", "right"))
    of_data = 0.5 * (below[left] + below[right])
    ranks = np.sort(data)
    left, right = (np.searchsorted(ranks, prediction, side=side) for side in ("left", "right"))
    of_prediction = 1.0 - 0.5 * (left + right) / len(data)
    area = float(of_data.mean())
    variance = of_data.var() / len(data) + float((fractions**2 * (of_prediction - area) ** 2).sum())
    return area, float((area - 0.5) / np.sqrt(variance)) if variance > 0 else 0.0
