# SPDX-License-Identifier: BSD-3-Clause
"""
One network that perturbs every event, signal and background alike (arXiv:1910.08606, sec. III B).

Such a map between data sets stands for a mismodelling that acts on all events, where other attacks choose for each
event by itself.  :func:`hepfool.attacks.train_adversary` finds one;
:class:`AdversarialNetwork` applies it, within ranges, regions and envelope.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hepfool._ranges import check_counts
from hepfool.attacks._limits import MoveUnits, admissible, check_size, sizes
from hepfool.attacks.base import AttackProblem
from hepfool.models._modules import floating_dtype, from_bytes, module_digest, to_bytes
from hepfool.typing import FloatArray


class PerturbationNetwork:
    """
    A module that says by which fraction of its largest move each value of an event moves.

    The module is copied, switched to evaluation and frozen.

    Parameters
    ----------
    module : torch.nn.Module
        Takes a tensor of shape (n_events, n_features) in physical units, returns one of the same shape within [-1, 1].
    n_features : int
        Input width.
    batch_size : int
        Number of events per call of the module.

    Raises
    ------
    ValueError
        If the module does not return one number per input.

    Examples
    --------
    >>> network = PerturbationNetwork(nn.Sequential(nn.Linear(3, 3), nn.Tanh()), n_features=3)
    >>> network.directions(np.zeros((5, 3))).shape
    (5, 3)
    """

    def __init__(self, module: nn.Module, *, n_features: int, batch_size: int = 16384) -> None:
        private = copy.deepcopy(module).cpu().eval()
        for parameter in private.parameters():
            parameter.requires_grad_(False)
        self._module, self.n_features, self._batch_size = private, n_features, batch_size
        with torch.no_grad():
            found = tuple(private(torch.zeros(2, n_features, dtype=floating_dtype(private))).shape)
        if found != (2, n_features):
            msg = f"for 2 events of {n_features} features the module returned shape {found}; it must keep the shape"
            raise ValueError(msg)
        self.digest = module_digest(private)

    def __repr__(self) -> str:
        return f"PerturbationNetwork(n_features={self.n_features}, digest={self.digest!r})"

    def directions(self, values: FloatArray) -> FloatArray:
        """
        Fractions of the largest move.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            In physical units, with the sentinel where a value is missing.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            In [-1, 1].

        Raises
        ------
        ValueError
            If the width is not that of the network, or a number is not in [-1, 1].
        """
        if values.shape[1] != self.n_features:
            msg = f"the perturbing network takes {self.n_features} features, the table has {values.shape[1]}"
            raise ValueError(msg)
        found = np.empty(values.shape)
        dtype = floating_dtype(self._module)
        for start in range(0, len(values), self._batch_size):
            part = slice(start, start + self._batch_size)
            with torch.no_grad():
                found[part] = self._module(torch.from_numpy(np.array(values[part])).to(dtype)).numpy()
        if not (np.abs(found) <= 1).all():
            event, j = np.argwhere(~(np.abs(found) <= 1))[0]
            msg = f"the perturbing network returned {found[event, j]} for event {event}, feature {j}; end it in a Tanh"
            raise ValueError(msg)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_module": to_bytes(self._module)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _module=from_bytes(state["_module"], "cpu"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialNetwork:
    r"""
    Apply a trained perturbing network: :math:`x' = x + \rho\,g(x)` (arXiv:1910.08606).

    It is the same for every event; pass ``target="all"`` to :func:`~hepfool.attacks.base.run_attack`, because the
    default moves only the events that the classifier gets right.

    Attributes
    ----------
    network : PerturbationNetwork
        The map :math:`g`.
    rho : float or tuple of float
        Largest moves, common or one per feature, in ``unit``.
    unit : {"range", "absolute", "relative", "envelope"} or tuple
        Fraction of each feature's nominal range, the feature's own unit, a fraction of the nominal value, or of
        half the width of the event's envelope, which is its uncertainty; common or one per feature.
    n_bins : int
        Bins in which the marginals are compared.

    Examples
    --------
    >>> network = PerturbationNetwork(nn.Sequential(nn.Linear(3, 3), nn.Tanh()), n_features=3)
    >>> AdversarialNetwork(network=network, rho=0.02).n_iterations
    1
    """

    network: PerturbationNetwork
    rho: float | tuple[float, ...]
    unit: MoveUnits = "range"
    n_bins: int = 200

    def __post_init__(self) -> None:
        """Check every hyper-parameter."""
        check_size("rho", self.rho, self.unit)
        check_counts(self, "n_bins")

    @property
    def n_iterations(self) -> int:
        """The network is applied once."""
        return 1

    def iterate(
        self,
        problem: AttackProblem,
        values: FloatArray,
        iteration: int,  # noqa: ARG002 - one signature for all attacks
        rng: np.random.Generator,  # noqa: ARG002
    ) -> FloatArray:
        """
        Perturb every event.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now.
        iteration : int
            Not used.
        rng : numpy.random.Generator
            Not used.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Perturbed events.

        Raises
        ------
        ValueError
            If the network was made for another number of features.
        """
        size = sizes(problem, self.rho, self.unit)
        moves = size * self.network.directions(problem.network_values(values)[:, : problem.table.n_features])
        return admissible(problem, values, values + moves)
