# SPDX-License-Identifier: BSD-3-Clause
"""The distance of Kolmogorov and Smirnov between the same events before and after a change."""

from __future__ import annotations

import numpy as np

from hepfool.typing import FloatArray


def ks_distance(nominal: FloatArray, adversarial: FloatArray, weights: FloatArray) -> float:
    r"""
    Kolmogorov-Smirnov distance between values of the same events before and after a change.

    The largest difference :math:`|F(x) - F'(x)|` of the weighted cumulative distributions.  The events are
    the same, so that it has no p-value; two independent samples of :math:`n` events show about :math:`1.2/\sqrt n`.

    Parameters
    ----------
    nominal, adversarial : FloatArray, shape (n_events,)
        Any quantity, in the same unit.
    weights : FloatArray, shape (n_events,)
        Event weights, with a positive sum.

    Returns
    -------
    float
        In [0, 1] for weights of one sign; dimensionless.

    Raises
    ------
    ValueError
        If the shapes differ, or the sum of the weights is not positive.

    Examples
    --------
    >>> ks_distance(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.5, 1.0, 2.0, 3.0]), np.ones(4))
    0.25
    """
    if not nominal.shape == adversarial.shape == weights.shape:
        msg = f"one value and weight per event are needed, got {nominal.shape}, {adversarial.shape}, {weights.shape}"
        raise ValueError(msg)
    total = weights.sum()
    if not total > 0:
        msg = f"the weights sum to {total}; a distribution needs a positive sum"
        raise ValueError(msg)
    values = np.concatenate([nominal, adversarial])
    order = np.argsort(values, kind="stable")
    difference = np.cumsum(np.concatenate([weights, -weights])[order]) / total
    # Between equal values there is no step.
    last = np.append(np.diff(values[order]) > 0, True)
    return float(np.abs(difference[last]).max())
