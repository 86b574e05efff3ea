# SPDX-License-Identifier: BSD-3-Clause
"""Read PyTorch networks as affine layers with activations between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final, cast

import numpy as np
import torch
from torch import nn

from hepfool.exceptions import NotCertifiableError
from hepfool.models._layers import Activation, Folded, Layer
from hepfool.models._networks import Standardise
from hepfool.typing import FloatArray

#: Softplus is a straight line from here on in PyTorch, and has a step there that is smaller than any rounding.
_SMOOTH: Final = 20.0
#: Layers of which a proof can be made.
SUPPORTED: Final = (
    "Linear, BatchNorm1d, Dropout, Flatten, Identity, Standardise (in front), ReLU, LeakyReLU, Tanh, Sigmoid, SiLU, ELU, GELU and "
    "Softplus in a Sequential, with a Sigmoid or Softmax at the end"
)


def folded(module: nn.Module, n_features: int) -> Folded:
    """
    Read a network.

    Parameters
    ----------
    module : torch.nn.Module
        A ``Sequential``, or one layer, in evaluation mode.
    n_features : int
        Input width.

    Returns
    -------
    Folded
        Its outputs as they are.

    Raises
    ------
    NotCertifiableError
        If a layer is none of ``SUPPORTED``.
    """
    first = next(iter(_flat(module)), None)
    sentinel, fill = math.inf, np.zeros(n_features)
    if type(first) is Standardise:
        sentinel, fill = float(first.sentinel), _numbers(first.fill)
    layers = [Layer(np.eye(n_features), np.zeros(n_features))]
    for layer in _flat(module):
        activation = _ACTIVATIONS.get(type(layer))
        if activation is not None:
            layers[-1] = replace(layers[-1], activation=activation(layer))
            width = len(layers[-1].bias)
            layers.append(Layer(np.eye(width), np.zeros(width)))
        elif type(layer) not in _IDENTITIES:
            weight, bias = _affine(layer, first)
            before = layers[-1]
            layers[-1] = Layer(weight @ before.weight, weight @ before.bias + bias)
    return Folded(tuple(layers), sentinel, fill)


def _flat(module: nn.Module) -> Iterable[nn.Module]:
    if type(module) is nn.Sequential:
        for part in module:
            yield from _flat(part)
    else:
        yield module


def _affine(layer: nn.Module, first: nn.Module | None) -> tuple[FloatArray, FloatArray]:
    if type(layer) is nn.Linear:
        weight = _numbers(layer.weight)
        return weight, _numbers(layer.bias, np.zeros(len(weight)))
    if type(layer) is nn.BatchNorm1d and layer.running_var is not None and layer.running_mean is not None:
        scale = 1.0 / np.sqrt(_numbers(layer.running_var) + layer.eps)
        scale *= _numbers(layer.weight, np.ones(len(scale)))
        return np.diag(scale), _numbers(layer.bias, np.zeros(len(scale))) - scale * _numbers(layer.running_mean)
    if type(layer) is Standardise and layer is first:
        scale = 1.0 / _numbers(layer.scale)
        return np.diag(scale), -scale * _numbers(layer.mean)
    msg = f"nothing can be proved of a network with {layer!r}; supported are {SUPPORTED}"
    raise NotCertifiableError(msg)


def _numbers(tensor: torch.Tensor | None, otherwise: FloatArray | None = None) -> FloatArray:
    if tensor is None:
        return np.empty(0) if otherwise is None else otherwise
    return tensor.detach().cpu().double().numpy()


def _gelu(z: FloatArray) -> FloatArray:
    from scipy.special import erf  # noqa: PLC0415 - loaded late, so that a classifier needs PyTorch alone

    return np.asarray(0.5 * z * (1.0 + erf(z / math.sqrt(2.0))))


def _logistic(z: FloatArray) -> FloatArray:
    from scipy.special import expit  # noqa: PLC0415 - the same

    return np.asarray(expit(z))


def _gelu_tanh(z: FloatArray) -> FloatArray:
    return np.asarray(0.5 * z * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3))))


def _softplus(z: FloatArray, beta: float) -> FloatArray:
    return np.asarray(np.logaddexp(0.0, beta * z) / beta)


def _leaky(z: FloatArray, leak: float) -> FloatArray:
    return np.where(z > 0.0, z, leak * z)


def _piecewise(leak: float) -> Activation:
    if not 0.0 <= leak <= 1.0:
        msg = f"nothing can be proved of a LeakyReLU of slope {leak:g}; it has to lie between 0 and 1"
        raise NotCertifiableError(msg)
    return Activation(partial(_leaky, leak=leak), 0.0, 1.0 - leak, leak)


def _elu_of(layer: nn.ELU) -> Activation:
    if not layer.alpha > 0.0:
        msg = f"nothing can be proved of an ELU of alpha {layer.alpha:g}; it has to be positive"
        raise NotCertifiableError(msg)
    return Activation(
        lambda z: np.where(z > 0.0, z, layer.alpha * np.expm1(np.minimum(z, 0.0))), layer.alpha, abs(1.0 - layer.alpha)
    )


def _softplus_of(layer: nn.Softplus) -> Activation:
    if not (layer.beta > 0.0 and layer.threshold >= _SMOOTH):
        msg = f"nothing can be proved of {layer!r}; beta has to be positive and threshold at least 20"
        raise NotCertifiableError(msg)
    return Activation(partial(_softplus, beta=layer.beta), 0.25 * layer.beta)


#: By the type of a layer; bounds of the second derivatives are rounded up.
_ACTIVATIONS: Final = cast(
    "dict[type, Callable[[nn.Module], Activation]]",
    {
        nn.ReLU: lambda _: _piecewise(0.0),
        nn.LeakyReLU: lambda layer: _piecewise(layer.negative_slope),
        nn.Tanh: lambda _: Activation(np.tanh, 0.77),
        nn.Sigmoid: lambda _: Activation(_logistic, 0.0963),
        nn.SiLU: lambda _: Activation(lambda z: z * _logistic(z), 0.5),
        nn.ELU: _elu_of,
        nn.GELU: lambda layer: Activation(_gelu if layer.approximate == "none" else _gelu_tanh, 0.85),
        nn.Softplus: _softplus_of,
    },
)
_IDENTITIES: Final = (nn.Dropout, nn.Flatten, nn.Identity)
