# SPDX-License-Identifier: BSD-3-Clause
"""Records that a plan holds, and that load no framework: how to train, to judge and to fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from hepfool._ranges import check_counts

Optimizer = Literal["minuit", "scipy"]
Side = Literal["one-sided", "symmetrised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """
    How to train.

    Attributes
    ----------
    max_epochs : int
        Epochs after which training ends in any case.
    learning_rate : float
        Of the Adam optimiser.
    batch_size : int
        Events per step.
    patience : int
        Epochs without a smaller validation loss after which training ends.
    weight_decay : float
        Strength of the optimiser's pull of parameters towards zero.
    balance_classes : bool
        Whether each class has the same sum of weights in the loss.
    device : str
        Where to train, such as ``cpu`` or ``cuda``.
    checkpoints : tuple of int
        Epochs after which to keep a copy of the network, such as deliberately under-trained ones.
    """

    max_epochs: int = 50
    learning_rate: float = 1e-3
    batch_size: int = 1024
    patience: int = 8
    weight_decay: float = 0.0
    balance_classes: bool = True
    device: str = "cpu"
    checkpoints: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not all(1 <= epoch <= self.max_epochs for epoch in self.checkpoints):
            msg = f"checkpoints must be epochs from 1 to max_epochs={self.max_epochs}, got {self.checkpoints}"
            raise ValueError(msg)
        check_counts(self, "max_epochs", "batch_size", "patience")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            msg = (
                "learning_rate must be positive and weight_decay not negative, "
                f"got {self.learning_rate} and {self.weight_decay}"
            )
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """
    How to build a detector.

    Attributes
    ----------
    hidden : tuple of int
        Nodes of each hidden layer.
    clean_efficiency : float
        Fraction of nominal validation events that must stay unflagged, in (0, 1).
    efficiency_class : int, optional
        Class whose nominal events these are, such as 1 for the efficiency of signal; those of all classes when left out.
    training : TrainingSettings
        How to train; classes are balanced by weight by default.
    """

    hidden: tuple[int, ...] = (64, 32)
    clean_efficiency: float = 0.9
    efficiency_class: int | None = None
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        """Check the efficiency."""
        if not 0 < self.clean_efficiency < 1:
            msg = f"clean_efficiency must lie between 0 and 1, got {self.clean_efficiency}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """
    Where the criteria draw their lines.

    Attributes
    ----------
    confidence : float
        Of the intervals that decide; with fewer events they are wider and decide less.
    max_systematics_ratio : float
        Largest allowed ratio of the attack's effect to that of the physics systematics.
    flagged_tolerance : float
        Accepted difference of flagged fractions in data and simulation, in units of what the attack changes there.
    max_signal_flagged : float
        Largest fraction of selected signal that a detector may flag.
    max_floor_ratio : float
        Largest distance of marginals and correlations, in units of their sampling floor.
    min_events_per_feature : int
        Constrained events per feature below which marginals and correlations are mostly statistics.
    """

    confidence: float = 0.95
    max_systematics_ratio: float = 1.0
    flagged_tolerance: float = 0.25
    max_signal_flagged: float = 0.2
    max_floor_ratio: float = 1.0
    min_events_per_feature: int = 100

    def __post_init__(self) -> None:
        """Check the confidence."""
        if not 0.0 < self.confidence < 1.0:
            msg = f"confidence must lie between 0 and 1, got {self.confidence}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuisance:
    """
    How the attack enters a fit.

    Attributes
    ----------
    name : str
        Of the nuisance parameter.
    side : {"one-sided", "symmetrised"}
        Up is the attacked distribution; down is the nominal one, or the mirrored attack, which no search found. Between
        them pyhf (``code4p``) and Combine interpolate with a polynomial: at zero half of the shift per unit of the
        parameter, between -1 and 0 up to 7 % of the shift mirrored. Take intervals from the profile likelihood, not
        from a curvature.
    per_process, per_channel : bool
        Whether every process, every channel, or every process of every channel has a parameter of its own, named
        ``<name>_<channel>_<process>`` without what is shared. Channels whose attacks obey different caps need not
        follow one parameter.
    scale : float
        Factor on the shift: 1 takes the attack as it was found for one standard deviation.

    Examples
    --------
    >>> Nuisance(per_process=True).parameter("SR", "ttbar")
    'adversarial_ttbar'
    """

    name: str = "adversarial"
    side: Side = "one-sided"
    per_process: bool = False
    per_channel: bool = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check name, side and scale."""
        if not self.name or any(character.isspace() for character in self.name):
            msg = f"a nuisance parameter needs a name without spaces, got {self.name!r}"
            raise ValueError(msg)
        if self.side not in get_args(Side):
            msg = f"side must be one of {', '.join(get_args(Side))}, got {self.side!r}"
            raise ValueError(msg)
        if not (math.isfinite(self.scale) and self.scale > 0):
            msg = f"scale must be positive, got {self.scale}"
            raise ValueError(msg)

    def parameter(self, channel: str, sample: str) -> str:
        """
        Name the parameter of a process in a channel.

        Parameters
        ----------
        channel, sample : str
            As in the analyst's own model.

        Returns
        -------
        str
            The common name, or one of its own.
        """
        return "_".join([self.name, *[channel] * self.per_channel, *[sample] * self.per_process])
