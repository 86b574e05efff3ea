# SPDX-License-Identifier: BSD-3-Clause
"""
Reference networks, with the preprocessing inside.

:func:`mlp` builds the family; :func:`conservattack_higgs`,
:func:`conservattack_jets` and :func:`donut` have the layer sizes of
arXiv:2603.13970.  Put a :class:`Standardise` in front, so that attacks see and
move physical units.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from hepfool.events import EventTable
from hepfool.statistics._dependence import present_mean

#: As in the published networks; the default of PyTorch is a hundred times smaller.
_BATCH_NORM_EPSILON = 1e-3


class Standardise(nn.Module):
    r"""
    Fixed first layer: :math:`(x - \mu)/\sigma`, with a fill value where an input is missing.

    Parameters
    ----------
    mean, scale : array_like, shape (n_features,)
        :math:`\mu` and :math:`\sigma` in each feature's unit; a scale is positive.
    sentinel : float, optional
        Number that stands for "missing" in the input, or NaN; nothing is replaced when left out.
    fill : array_like, shape (n_features,), optional
        What replaces the sentinel, in each feature's unit; the mean by default.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite, or a scale is not positive.

    Examples
    --------
    >>> layer = Standardise([10.0, 0.0], [5.0, 1.0], sentinel=-999.0)
    >>> layer(torch.tensor([[20.0, -999.0]])).tolist()
    [[2.0, 0.0]]
    """

    mean: torch.Tensor
    scale: torch.Tensor
    sentinel: torch.Tensor
    fill: torch.Tensor

    def __init__(
        self, mean: ArrayLike, scale: ArrayLike, *, sentinel: float | None = None, fill: ArrayLike | None = None
    ) -> None:
        super().__init__()
        columns = {"mean": mean, "scale": scale, "fill": mean if fill is None else fill}
        arrays = {name: np.atleast_1d(np.asarray(value, dtype=np.float64)) for name, value in columns.items()}
        for name, array in arrays.items():
            if array.ndim != 1 or array.shape != arrays["mean"].shape or not np.isfinite(array).all():
                msg = f"{name} needs one finite number per feature, got {array.tolist()}"
                raise ValueError(msg)
            self.register_buffer(name, torch.tensor(array, dtype=torch.get_default_dtype()))
        if not (arrays["scale"] > 0).all():
            column = int(np.argmin(arrays["scale"] > 0))
            msg = f"scale {arrays['scale'][column]} of feature {column} is not positive; drop it or use 1"
            raise ValueError(msg)
        # No value of a table is infinite: without a sentinel none is replaced.
        self.register_buffer("sentinel", torch.tensor(float("inf") if sentinel is None else sentinel))

    @classmethod
    def of(cls, table: EventTable) -> Standardise:
        """
        Take mean and standard deviation from events.

        Parameters
        ----------
        table : EventTable
            Events, usually the training sample; negative weights count by their size.

        Returns
        -------
        Standardise
            Maps the table's columns to mean 0 and standard deviation 1; missing values become 0.
        """
        weights = np.abs(table.weights)
        mean = present_mean(table.values, weights)
        variance = present_mean((table.values - mean) ** 2, weights)
        return cls(mean, np.sqrt(np.where(variance > 0, variance, 1.0)), sentinel=table.sentinel)

    def missing(self, values: torch.Tensor) -> torch.Tensor:
        """
        Mark the values that the sentinel stands for.

        Parameters
        ----------
        values : torch.Tensor, shape (n_events, n_features)
            In physical units.

        Returns
        -------
        torch.Tensor of bool, shape (n_events, n_features)
            True where a value is missing.
        """
        return (values == self.sentinel) | (torch.isnan(values) & torch.isnan(self.sentinel))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """
        Standardise a batch.

        Parameters
        ----------
        values : torch.Tensor, shape (n_events, n_features)
            In physical units.

        Returns
        -------
        torch.Tensor, shape (n_events, n_features)
            Dimensionless.
        """
        present = torch.where(self.missing(values), self.fill, values)
        return (present - self.mean) / self.scale

    def extra_repr(self) -> str:
        """Return the input width, as other layers show it."""
        return f"n_features={len(self.mean)}"


def mlp(
    n_features: int,
    hidden: Iterable[int] = (300, 102, 12, 6),
    *,
    n_outputs: int = 1,
    batch_norm: bool = True,
    sigmoid: bool = False,
    preprocessing: nn.Module | None = None,
) -> nn.Sequential:
    """
    Build a fully connected network with ReLU and batch normalisation.

    Parameters
    ----------
    hidden : iterable of int
        Nodes of each hidden layer.
    n_outputs : int
        1 for two classes, else the number of classes.
    batch_norm : bool
        Whether each hidden layer ends in a batch normalisation.
    sigmoid : bool
        Whether a single output is a probability instead of a logit.
    preprocessing : torch.nn.Module, optional
        First layer, such as :class:`Standardise`; it moves the parameters' keys by one.

    Returns
    -------
    torch.nn.Sequential
        Untrained network, initialised from PyTorch's global random state.

    Raises
    ------
    ValueError
        If a width is below one, or a sigmoid is asked for several outputs.

    Examples
    --------
    >>> mlp(2, (4,), batch_norm=False)
    Sequential(
      (0): Linear(in_features=2, out_features=4, bias=True)
      (1): ReLU()
      (2): Linear(in_features=4, out_features=1, bias=True)
    )
    """
    widths = [n_features, *hidden, n_outputs]
    if min(widths) < 1:
        msg = f"every layer needs at least one node, got the widths {widths}"
        raise ValueError(msg)
    if sigmoid and n_outputs != 1:
        msg = f"a sigmoid needs one output, got {n_outputs}; leave it out and train on logits"
        raise ValueError(msg)
    layers: list[nn.Module] = [] if preprocessing is None else [preprocessing]
    for before, after in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(before, after), nn.ReLU()]
        if batch_norm:
            layers.append(nn.BatchNorm1d(after, eps=_BATCH_NORM_EPSILON))
    layers.append(nn.Linear(widths[-2], widths[-1]))
    if sigmoid:
        layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def conservattack_higgs(*, sigmoid: bool = False, preprocessing: nn.Module | None = None) -> nn.Sequential:
    """
    Build the network of the Higgs study: 30 inputs, 42 163 trainable parameters.

    Parameters
    ----------
    sigmoid : bool
        Whether the output is a probability instead of a logit.

    Returns
    -------
    torch.nn.Sequential
        Untrained network with hidden layers of 300, 102, 12 and 6 nodes.
    """
    return mlp(30, sigmoid=sigmoid, preprocessing=preprocessing)


def conservattack_jets(*, sigmoid: bool = False, preprocessing: nn.Module | None = None) -> nn.Sequential:
    """
    Build the network of the jet study: 87 inputs, 59 263 trainable parameters.

    Parameters
    ----------
    sigmoid : bool
        Whether the output is a probability instead of a logit.

    Returns
    -------
    torch.nn.Sequential
        Untrained network with hidden layers of 300, 102, 12 and 6 nodes.
    """
    return mlp(87, sigmoid=sigmoid, preprocessing=preprocessing)


def donut(*, sigmoid: bool = False, preprocessing: nn.Module | None = None) -> nn.Sequential:
    """
    Build the network of the two-dimensional toy study.

    Parameters
    ----------
    sigmoid : bool
        Whether the output is a probability instead of a logit.

    Returns
    -------
    torch.nn.Sequential
        Untrained network with two inputs and hidden layers of 32 and 16 nodes.
    """
    return mlp(2, (32, 16), sigmoid=sigmoid, preprocessing=preprocessing)


#: Networks that may be given by name, each a function of ``sigmoid`` and ``preprocessing``.
NETWORKS: Mapping[str, Callable[..., nn.Sequential]] = MappingProxyType(
    {
        "conservattack_higgs": conservattack_higgs,
        "conservattack_jets": conservattack_jets,
        "donut": donut,
    }
)
