# SPDX-License-Identifier: BSD-3-Clause
"""Networks as affine layers with an activation between each two, in double precision; nothing here needs a framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hepfool.typing import FloatArray


@dataclass(frozen=True, slots=True)
class Activation:
    """
    A function of one number, and how far from straight it is.

    Attributes
    ----------
    value : callable
        Works element by element.
    curvature : float
        No second derivative is larger; 0 for two straight lines that meet at 0.
    kink : float
        Change of the slope at 0.
    leak : float
        Slope below 0, for two straight lines.
    """

    value: Callable[[FloatArray], FloatArray]
    curvature: float
    kink: float = 0.0
    leak: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """
    One affine map and what follows it.

    Attributes
    ----------
    weight : FloatArray, shape (n_out, n_in)
        Matrix.
    bias : FloatArray, shape (n_out,)
        Offset.
    activation : Activation, optional
        None for the last layer.
    """

    weight: FloatArray
    bias: FloatArray
    activation: Activation | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """
    A network as affine layers.

    Attributes
    ----------
    layers : tuple of Layer
        From the inputs, in physical units, to one number per class; to one number, the log-odds over the threshold, for two classes.
    sentinel : float
        Input that stands for a missing value.
    fill : FloatArray, shape (n_features,)
        What replaces it.
    """

    layers: tuple[Layer, ...]
    sentinel: float
    fill: FloatArray

    def __call__(self, inputs: FloatArray) -> FloatArray:
        """
        Compute the outputs.

        Parameters
        ----------
        inputs : FloatArray, shape (n_events, n_features)
            In physical units, missing ones replaced.

        Returns
        -------
        FloatArray, shape (n_events, n_outputs)
            Log-odds.
        """
        for layer in self.layers:
            inputs = inputs @ layer.weight.T + layer.bias
            inputs = inputs if layer.activation is None else layer.activation.value(inputs)
        return inputs

    def present(self, inputs: FloatArray) -> FloatArray:
        """
        Replace the inputs that stand for missing values.

        Parameters
        ----------
        inputs : FloatArray, shape (n_events, n_features)
            As the network takes them.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            As the layers take them.
        """
        return np.where((inputs == self.sentinel) | (np.isnan(inputs) & np.isnan(self.sentinel)), self.fill, inputs)
