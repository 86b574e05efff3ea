# SPDX-License-Identifier: BSD-3-Clause
"""What :mod:`analysis_examples.papers.hidden_sensitivity.measure` measures, of one training and of several tasks and architectures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from hepfool.statistics import Compatibility
from hepfool.studies import Measured

__all__ = [
    "HiddenSensitivity",
    "Limits",
    "Preservation",
    "Quantity",
    "Sensitivity",
    "SensitivityGrid",
    "TrainedSensitivity",
]

#: What a :class:`Sensitivity` is measured of.
Quantity = Literal["flips", "yield_shift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """
    Size of one effect of the three kinds of moves, with statistical errors.

    Attributes
    ----------
    ordinary : Measured
        Sources in quadrature, per source the larger of up and down.
    ordinary_largest : float
        Largest of any single variation.
    random : Measured
        Mean of the random draws.
    random_largest : float
        Largest of any draw.
    attack : Measured
        The attack.
    above_ordinary, above_random : Measured
        Hidden sensitivity: attack less ordinary variations in quadrature, and less the mean draw; the errors are
        those of the differences on the same events.
    """

    ordinary: Measured
    ordinary_largest: float
    random: Measured
    random_largest: float
    attack: Measured
    above_ordinary: Measured
    above_random: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Preservation:
    """
    What a validation would see, each beside what two independent samples of this size typically show.

    Attributes
    ----------
    max_js_distance : float
        Largest distance of a marginal.
    js_floor : float
        Floor of that marginal.
    correlation_shift, correlation_floor : float
        Relative change of the correlations.
    """

    max_js_distance: float
    js_floor: float
    correlation_shift: float
    correlation_floor: float

    @classmethod
    def worst(cls, found: Iterable[Compatibility]) -> Preservation:
        """
        Take the largest of several comparisons of the same events.

        Parameters
        ----------
        found : iterable of Compatibility
            At least one.

        Returns
        -------
        Preservation
            Largest distances and shift.
        """
        found = tuple(found)
        furthest = max(found, key=lambda c: c.max_js_distance)
        feature = int(np.argmax(furthest.js_distance))
        return cls(
            max_js_distance=furthest.max_js_distance,
            js_floor=float(furthest.js_floor[feature]),
            correlation_shift=max(c.correlation_shift for c in found),
            correlation_floor=furthest.correlation_floor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenSensitivity:
    """
    What a network hides within the uncertainties of its inputs.

    Attributes
    ----------
    flips : Sensitivity
        Fractions of the attacked events whose class changes.
    yield_shift : Sensitivity
        Sizes of the relative change of the selected yield.
    attacked : Preservation
        The worst of the attacks.
    drawn : Preservation
        The worst of the random draws, which nothing constrains but the envelope.
    n_events, n_attacked : int
        Events, and those whose flips count.
    """

    flips: Sensitivity
    yield_shift: Sensitivity
    attacked: Preservation
    drawn: Preservation
    n_events: int
    n_attacked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The worst case within the envelope, from both sides; nothing but the envelope limits it.

    Attributes
    ----------
    flips : (float, float)
        Fraction of the attacked events whose class does change, and that whose class may change at most.
    yield_shift : (float, float)
        The same for the size of the relative change of the selected yield: the larger one of all that leave, and all that enter.
    seconds : float
        CPU time.
    """

    flips: tuple[float, float]
    yield_shift: tuple[float, float]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedSensitivity:
    """
    Hidden sensitivity of one training.

    Attributes
    ----------
    seed : int
        Of the training.
    auroc : float
        Area under the ROC curve of the nominal test events.
    found : HiddenSensitivity
        The measurement.
    limits : Limits, optional
        What is proved; None of an architecture of which nothing can be proved.
    """

    seed: int
    auroc: float
    found: HiddenSensitivity
    limits: Limits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityGrid:
    """
    Trainings by task and architecture.

    Attributes
    ----------
    cells : mapping of (str, str) to tuple of TrainedSensitivity
        By task and architecture.
    absent : mapping of (str, str) to str
        Why a cell is empty.
    """

    cells: Mapping[tuple[str, str], tuple[TrainedSensitivity, ...]]
    absent: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(dict.fromkeys(task for task, _ in (*self.cells, *self.absent)))

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of the architectures."""
        return tuple(dict.fromkeys(name for _, name in (*self.cells, *self.absent)))

    def values(self, task: str, architecture: str, quantity: Quantity, number: str) -> tuple[float, ...]:
        """
        Return one number of every training of a cell.

        Parameters
        ----------
        task, architecture : str
            Which cell.
        quantity : {"flips", "yield_shift"}
            Of what.
        number : str
            Field of :class:`Sensitivity`.

        Returns
        -------
        tuple of float
            By training; empty where the cell is.

        Raises
        ------
        ValueError
            If there is no such number.
        """
        if quantity not in get_args(Quantity) or number not in Sensitivity.__dataclass_fields__:
            numbers = ", ".join(Sensitivity.__dataclass_fields__)
            msg = f"no number {number!r} of {quantity!r}; choose one of {numbers}, of {' or '.join(get_args(Quantity))}"
            raise ValueError(msg)
        found = [getattr(getattr(run.found, quantity), number) for run in self.cells.get((task, architecture), ())]
        return tuple(value.value if isinstance(value, Measured) else value for value in found)

    def mean(self, task: str, architecture: str, quantity: Quantity, number: str) -> Measured:
        """
        Average over the trainings of a cell.

        Parameters
        ----------
        task, architecture : str
            Which cell.
        quantity : {"flips", "yield_shift"}
            Of what.
        number : str
            Field of :class:`Sensitivity`.

        Returns
        -------
        Measured
            Mean and its standard error from the spread of the trainings, which share their events; NaN for an empty cell.
        """
        return _mean(self.values(task, architecture, quantity, number))

    def limit(self, task: str, architecture: str, quantity: Quantity, side: Literal["found", "proved"]) -> Measured:
        """
        Average one side of the limits over the trainings of a cell.

        Parameters
        ----------
        task, architecture : str
            Which cell.
        quantity : {"flips", "yield_shift"}
            Of what.
        side : {"found", "proved"}
            What does happen, or what cannot be exceeded.

        Returns
        -------
        Measured
            As :meth:`mean`; NaN where nothing can be proved.
        """
        runs = self.cells.get((task, architecture), ())
        place = ("found", "proved").index(side)
        return _mean([getattr(run.limits, quantity)[place] for run in runs if run.limits is not None])


def _mean(values: Sequence[float]) -> Measured:
    """Average with the standard error from the spread."""
    if not values:
        return Measured(math.nan, math.nan)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Measured(float(np.mean(values)), error)
