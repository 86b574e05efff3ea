# SPDX-License-Identifier: BSD-3-Clause
r"""
Linear bounds of a network over sets of inputs (CROWN, arXiv:1811.00866).

Every activation lies between two straight lines over what can enter it, so that an output is bounded by a
linear function of the inputs, whose least value over the set is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from hepfool.attacks._restarts import Sets
from hepfool.models._layers import Activation, Layer
from hepfool.typing import FloatArray

#: Below this width the chord of a curved activation is level.
_NARROW: Final = 1e-9
#: Points at which a curved activation is compared with its chord.
_POINTS: Final = 33


class Lines(NamedTuple):
    """Middle, and half the distance, of slopes and offsets of the lines above and below an activation."""

    slope: FloatArray
    half_slope: FloatArray
    offset: FloatArray
    half_offset: FloatArray


def lines(activation: Activation, low: FloatArray, high: FloatArray) -> Lines:
    """
    Enclose an activation between two straight lines.

    Parameters
    ----------
    activation : Activation
        Function of one number.
    low, high : FloatArray
        Ends of what can enter.

    Returns
    -------
    Lines
        Valid between the ends.
    """
    if activation.curvature == 0.0:
        return _around_kink(activation.leak, low, high)
    value, width = activation.value, high - low
    chord = np.divide(value(high) - value(low), width, out=np.zeros_like(width), where=width > _NARROW)
    points = low + width * np.linspace(0.0, 1.0, _POINTS).reshape(-1, *(1,) * low.ndim)
    above = value(points) - chord * points
    step = width / (_POINTS - 1)
    between = activation.curvature * step**2 / 8.0 + activation.kink * step / 4.0
    lower, upper = above.min(axis=0) - between, above.max(axis=0) + between
    return Lines(chord, np.zeros_like(chord), (lower + upper) / 2.0, (upper - lower) / 2.0)


def _around_kink(leak: float, low: FloatArray, high: FloatArray) -> Lines:
    """Convex: the chord lies above, every slope between those of the two lines below."""
    below, above = np.minimum(low, 0.0), np.maximum(high, 0.0)
    width = np.maximum(above - below, 1e-300)
    upper = np.where(low >= 0.0, 1.0, np.where(high <= 0.0, leak, (above - leak * below) / width))
    steep = np.where(above > -below, 1.0, leak)
    lower = np.where((low < 0.0) & (high > 0.0), steep, upper)
    half = np.where((low < 0.0) & (high > 0.0), (1.0 - leak) * above * -below / width / 2.0, 0.0)
    return Lines((upper + lower) / 2.0, (upper - lower) / 2.0, half, half)


def backward(layers: Sequence[Layer], enclosing: Sequence[Lines], rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Bound linear functions of the last layer's outputs from below.

    Parameters
    ----------
    layers : sequence of Layer
        The first ones of a network.
    enclosing : sequence of Lines
        Around the activations of all but the last.
    rows : FloatArray, shape (n_sets or 1, n_functions, n_outputs)
        Coefficients of the functions.

    Returns
    -------
    slopes : FloatArray, shape (n_sets, n_functions, n_features)
        Of a linear function of the inputs that lies below.
    constant : FloatArray, shape (n_sets, n_functions)
        Its value where all inputs are 0.
    """
    constant = rows @ layers[-1].bias
    rows = rows @ layers[-1].weight
    for layer, around in zip(layers[-2::-1], enclosing[::-1], strict=True):
        size = np.abs(rows)
        constant = (
            constant + (rows @ around.offset[..., np.newaxis] - size @ around.half_offset[..., np.newaxis])[..., 0]
        )
        rows = rows * around.slope[:, np.newaxis]
        rows -= size * around.half_slope[:, np.newaxis]
        constant = constant + rows @ layer.bias
        rows = rows @ layer.weight
    return rows, constant


def interval(layers: Sequence[Layer], enclosing: Sequence[Lines], sets: Sets) -> tuple[FloatArray, FloatArray]:
    """
    Bound the outputs of the last layer, before its activation.

    Parameters
    ----------
    layers : sequence of Layer
        The first ones of a network.
    enclosing : sequence of Lines
        Around the activations of all but the last.
    sets : Sets
        Inputs.

    Returns
    -------
    low, high : FloatArray, shape (n_sets, n_outputs)
        Ends.
    """
    n = len(layers[-1].bias)
    both = np.concatenate([np.eye(n), -np.eye(n)])[np.newaxis]
    slopes, constant = backward(layers, enclosing, both)
    if len(slopes) == 1:
        slopes = np.broadcast_to(slopes, (len(sets.centre), *slopes.shape[1:]))
    least = sets.least(slopes, constant)
    return least[:, :n], -least[:, n:]


def enclosed(layers: Sequence[Layer], sets: Sets) -> tuple[list[tuple[FloatArray, FloatArray]], list[Lines]]:
    """
    Bound what enters the activations.

    Parameters
    ----------
    layers : sequence of Layer
        Of the network.
    sets : Sets
        Inputs.

    Returns
    -------
    ends : list of (FloatArray, FloatArray), each of shape (n_sets, n_out)
        For every layer but the last.
    enclosing : list of Lines
        Around the activations there.
    """
    ends: list[tuple[FloatArray, FloatArray]] = []
    enclosing: list[Lines] = []
    for k, activation in enumerate(layer.activation for layer in layers):
        if activation is not None:
            ends.append(interval(layers[: k + 1], enclosing, sets))
            enclosing.append(lines(activation, *ends[-1]))
    return ends, enclosing


def linear_bounds(layers: Sequence[Layer], sets: Sets, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Bound linear functions of a network's outputs over sets from below.

    Parameters
    ----------
    layers : sequence of Layer
        Of the network.
    sets : Sets
        Where.
    rows : FloatArray, shape (n_sets, n_functions, n_outputs)
        Coefficients of the functions.

    Returns
    -------
    least : FloatArray, shape (n_sets, n_functions)
        No input of the set gives less.
    slopes : FloatArray, shape (n_sets, n_functions, n_features)
        Of the linear function below.
    """
    slopes, constant = backward(layers, enclosed(layers, sets)[1], rows)
    return sets.least(slopes, constant), slopes
