# SPDX-License-Identifier: BSD-3-Clause
"""Quantities whose distribution an adversarial network must preserve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch

#: Name under which the classifier's score is listed beside the observables.
RESPONSE = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observable:
    """
    A function of an event that is compared between data and simulation.

    Attributes
    ----------
    name : str
        In messages and in the history.
    function : callable
        Takes a ``torch.Tensor`` of shape (n_events, n_features), in physical units with the sentinel where a value
        is missing, and returns one of shape (n_events,) by operations that PyTorch can differentiate.
    limit : float
        Largest Kolmogorov-Smirnov distance of its distribution for background, in (0, 1].
    strength : float
        Its weight in the loss at the start; differences count in standard deviations of the nominal background.

    Examples
    --------
    >>> total = Observable(name="sum_pt", function=lambda values: values.sum(dim=1), limit=0.04)
    >>> total.strength
    100.0
    """

    name: str
    function: Callable[[torch.Tensor], torch.Tensor]
    limit: float = 0.04
    strength: float = 100.0

    def __post_init__(self) -> None:
        """Check every field."""
        if not self.name or self.name == RESPONSE:
            msg = f"an observable needs a name other than {RESPONSE!r}, got {self.name!r}"
            raise ValueError(msg)
        for field in ("limit", "strength"):
            value = getattr(self, field)
            if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                msg = f"{field} of {self.name} must be one number, finite and not negative, got {value!r}"
                raise ValueError(msg)
        if not 0 < self.limit <= 1:
            msg = f"limit of {self.name} must lie above 0 and not above 1, got {self.limit}"
            raise ValueError(msg)


def check_observables(observables: Sequence[Observable], values: torch.Tensor) -> None:
    """
    Refuse what a network cannot be trained to preserve.

    Parameters
    ----------
    observables : sequence of Observable
        To be preserved.
    values : torch.Tensor, shape (n_events, n_features)
        A few events.

    Raises
    ------
    ValueError
        If names repeat, or an observable has the wrong shape, no gradient, or values or gradients that are not finite.
    """
    names = [observable.name for observable in observables]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        msg = f"names of observables must be unique, repeated: {', '.join(repeated)}"
        raise ValueError(msg)
    for observable in observables:
        _check_differentiable(observable, values)


def _check_differentiable(observable: Observable, values: torch.Tensor) -> None:
    name = f"observable {observable.name!r}"
    inputs = values.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        try:
            found = cast("object", observable.function(inputs))
        except (RuntimeError, TypeError, IndexError) as error:
            msg = f"{name} does not take a tensor of shape {tuple(values.shape)} that requires a gradient: {error}"
            raise ValueError(msg) from error
        if not isinstance(found, torch.Tensor) or found.shape != (len(values),):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            msg = f"{name} returned {shape} for {len(values)} events; it must return a tensor of shape (n_events,)"
            raise ValueError(msg)
        if not found.requires_grad:
            msg = f"{name} is not differentiable: compute it with PyTorch, without detach(), item() or NumPy"
            raise ValueError(msg)
        (slope,) = torch.autograd.grad(found.sum(), inputs, materialize_grads=True)
    if not bool((slope != 0).any()):
        msg = f"{name} does not change with its inputs, so nothing can preserve it; replace steps by smooth functions"
        raise ValueError(msg)
    for what, tensor in (("value", found), ("gradient", slope)):
        if not bool(torch.isfinite(tensor).all()):
            msg = f"the {what} of {name} is not finite for some events; guard divisions, roots and missing values"
            raise ValueError(msg)
