# SPDX-License-Identifier: BSD-3-Clause
"""What an attack is given, and what it must offer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from hepfool.attacks._bounds import Bounds
from hepfool.attacks._convergence import Progress
from hepfool.events import Envelope, EventTable
from hepfool.models.protocols import Classifier, with_spectators
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Validation

R = TypeVar("R")


class Submits(Protocol):
    """What runs calls: an executor of ``concurrent.futures``, or ``client.get_executor()`` of dask."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Start a call and return its future."""
        ...


class Crew:
    """
    Who works on independent groups of events; stays behind where a problem travels to another process.

    Parameters
    ----------
    executor : Submits, optional
        Runs the groups; threads of this process by default.
    """

    def __init__(self, executor: Submits | None = None) -> None:
        self.executor = executor
        #: Held while the network is called.
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Crew], tuple[()]]:
        """Leave executor and lock at home."""
        return Crew, ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackProblem:
    """
    What an attack is given: the events and the rules.

    Attributes
    ----------
    table : EventTable
        Nominal events.
    classifier : Classifier
        The network under attack.
    attacked : BoolArray, shape (n_events,)
        Events to be fooled.
    classes : IntArray, shape (n_events,)
        Class that the network gives the nominal events, which the attack tries to change.
    constrained : BoolArray, shape (n_events,)
        Events whose marginals and correlations are validated.
    bounds : Bounds
        Limits of every value.
    binning : Binning
        Bins of the marginals.
    frozen : BoolArray, shape (n_events,)
        Events that may not move in this step.
    envelope : Envelope, optional
        Uncertainties, already part of ``bounds``.
    memo : dict
        What :meth:`once` has computed.
    progress : Progress
        What an attack that stops by itself has noted of its gains.
    crew : Crew
        Who works on groups of events that are independent.
    """

    table: EventTable
    classifier: Classifier
    attacked: BoolArray
    classes: IntArray
    constrained: BoolArray
    bounds: Bounds
    binning: Binning
    frozen: BoolArray
    envelope: Envelope | None = None
    memo: dict[str, Any] = field(default_factory=dict, repr=False)
    progress: Progress = field(default_factory=Progress)
    crew: Crew = field(default_factory=Crew, repr=False)

    def once(self, name: str, compute: Callable[[], R]) -> R:
        """
        Compute something that no iteration changes, the first time it is asked for.

        Parameters
        ----------
        name : str
            What it is.
        compute : callable
            Called without arguments.

        Returns
        -------
        object
            What ``compute`` returned.
        """
        if name not in self.memo:
            self.memo[name] = compute()
        found: R = self.memo[name]
        return found

    def network_values(self, values: FloatArray, events: BoolArray | IntArray | slice = slice(None)) -> FloatArray:
        """
        Put the sentinel back where a value is missing, and append the spectators that the network asks for.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Values of all events, NaN where missing.
        events : array or slice
            Selection along the event axis.

        Returns
        -------
        FloatArray, shape (n_selected, n_features + n_spectators)
            Input of the network.
        """
        return with_spectators(
            self.classifier, self.table, self._present(values[events]), events, lambda: self._present(values)
        )

    def _present(self, values: FloatArray) -> FloatArray:
        missing = np.isnan(values)
        return np.where(missing, self.table.sentinel, values) if missing.any() else values


@runtime_checkable
class Attack(Protocol):
    """
    Hyper-parameters of an attack, and one iteration of it.

    Attributes
    ----------
    n_iterations : int
        How often the driver repeats ``iterate``, unless the attack notes in ``problem.progress`` that it has converged.
    n_bins : int
        Bins per feature in which the attack is constrained and judged.
    """

    @property
    def n_iterations(self) -> int:
        """How often the driver repeats ``iterate``."""
        ...

    @property
    def n_bins(self) -> int:
        """Bins per feature in which the attack is constrained and judged."""
        ...

    def iterate(
        self, problem: AttackProblem, values: FloatArray, iteration: int, rng: np.random.Generator
    ) -> FloatArray:
        """
        Do one iteration.

        Parameters
        ----------
        problem : AttackProblem
            Events and rules.
        values : FloatArray, shape (n_events, n_features)
            Events as they are now; not to be written to.
        iteration : int
            From 0.
        rng : numpy.random.Generator
            The only source of randomness.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Events after the iteration.
        """
        ...


def validation_of(attack: Attack) -> Validation | None:
    """
    Find out which comparisons an attack has to keep.

    Parameters
    ----------
    attack : Attack
        Any attack.

    Returns
    -------
    Validation or None
        None for an attack that keeps nothing.
    """
    kept: Validation | None = getattr(attack, "kept", None)
    return kept


def bins_of(attack: Attack, table: EventTable) -> Binning:
    """
    Bins of the inputs in which an attack is constrained and judged, unless others are given.

    Parameters
    ----------
    attack : Attack
        Any attack.
    table : EventTable
        Nominal events.

    Returns
    -------
    Binning
        Those of its validation; ``attack.n_bins`` uniform ones without.
    """
    kept = validation_of(attack)
    return Binning.uniform(table, n_bins=attack.n_bins) if kept is None else kept.input_binning(table)


def n_bins_of(attack: Attack) -> int:
    """
    Count the uniform bins of an attack whose events are known by their ranges only.

    Parameters
    ----------
    attack : Attack
        Any attack.

    Returns
    -------
    int
        Where a validation adds bins of equal content, as many bins in all as it has.
    """
    stated: Validation | None = getattr(attack, "validation", None)
    inputs = None if stated is None else stated.inputs
    return attack.n_bins if inputs is None else inputs.n_bins + max(inputs.n_quantiles - 1, 0)
