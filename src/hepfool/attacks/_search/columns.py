# SPDX-License-Identifier: BSD-3-Clause
"""Which columns follow a move: derived features and observables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool.features import FeatureSpace, Following
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Displacement of numerical derivatives, in units of each feature's range.
_SMALL = 1e-4


class Columns(NamedTuple):
    """
    What moves with what.

    Attributes
    ----------
    features : FeatureSpace
        Inputs of the network, then observables, as derived features.
    touched : dict of int to IntArray
        For each feature that may move, its own column and those that follow.
    following : dict of int to tuple of Following
        How to compute those that follow.
    counted : BoolArray, shape (n_columns,)
        Columns that count in the correlations.
    """

    features: FeatureSpace
    touched: dict[int, IntArray]
    following: dict[int, tuple[Following, ...]]
    counted: BoolArray

    @classmethod
    def of(cls, features: FeatureSpace, n_inputs: int) -> Columns:
        """
        Find out what moves with what.

        Parameters
        ----------
        features : FeatureSpace
            Inputs of the network, then observables, as derived features.
        n_inputs : int
            How many of them are inputs.

        Returns
        -------
        Columns
            For :func:`sweep_rounds`.
        """
        touched = {
            j: np.array([j, *(d for d in features.derived if features.names[j] in _inputs(features, d))])
            for j in range(len(features))
            if j not in features.derived
        }
        following = {j: tuple(features.following(int(d), j) for d in columns[1:]) for j, columns in touched.items()}
        return cls(features, touched, following, np.arange(len(features)) < n_inputs)

    @property
    def alone(self) -> bool:
        """Whether nothing follows a move."""
        return not self.features.derived


def _inputs(features: FeatureSpace, column: int) -> tuple[str, ...]:
    derived = features[column].derived
    return () if derived is None else tuple(derived.inputs)


def total_slope(features: FeatureSpace, values: FloatArray, slope: FloatArray, ranges: FloatArray) -> FloatArray:
    """
    Add what the derived features contribute to the slope along the primary ones.

    Parameters
    ----------
    features : FeatureSpace
        Says which features are derived.
    values : FloatArray, shape (n_events, n_columns)
        Where.
    slope : FloatArray, shape (n_events, n_columns)
        Partial derivatives with respect to all columns.
    ranges : FloatArray, shape (n_columns,)
        Range of each column.

    Returns
    -------
    FloatArray, shape (n_events, n_columns)
        Total derivatives, by central differences of the functions; 0 for derived features.
    """
    result = slope.copy()
    for d in features.derived:
        for name in _inputs(features, d):
            j = features.index(name)
            step = _SMALL * ranges[j]
            sides = np.stack([values[:, j] + step, values[:, j] - step], axis=1)
            with np.errstate(all="ignore"):  # a step may leave the domain of the function
                up, down = features.following(d, j)(values, sides).T
                change = (up - down) / (2.0 * step)
            result[:, j] += np.nan_to_num(slope[:, d] * change, nan=0.0, posinf=0.0, neginf=0.0)
    result[:, list(features.derived)] = 0.0
    return result
