# SPDX-License-Identifier: BSD-3-Clause
"""How an adversarial network is trained, and what a training found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hepfool.attacks.adversarial_network import AdversarialNetwork
from hepfool.attacks.limits import MoveUnits, check_size
from hepfool.attacks.observables import RESPONSE
from hepfool.ranges import check_counts

__all__ = ["RESPONSE", "AdversaryEpoch", "AdversarySettings", "TrainedAdversary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarySettings:
    """
    What the network may do and how it is trained.

    Attributes
    ----------
    rho : float or tuple of float
        Largest moves, common or one per feature, in ``unit``.
    unit : {"range", "absolute", "relative"} or tuple
        Fraction of each feature's nominal range, the feature's own unit, or a fraction of the nominal value; common
        or one per feature.
    hidden : tuple of int
        Nodes of the hidden layers.
    response_limit : float
        Largest Kolmogorov-Smirnov distance of the classifier's score for background.
    response_strength : float
        Weight of the change of that score in the loss at the start.
    penalty : {"event", "marginal"}
        Whether background keeps its observables and score event by event, as in the paper, or only their
        distributions in each batch (squared Wasserstein distance).
    growth : float
        Factor by which the strength of a quantity grows after an epoch that leaves it beyond its limit, and shrinks
        after one that leaves it below half of it; 1 keeps the strengths.
    background : int
        Class that is background; all others are signal.
    max_epochs : int
        Epochs after which training ends in any case.
    patience : int
        Epochs without a better network within the limits after which training ends.
    learning_rate : float
        Of the Adam optimiser.
    batch_size : int
        Events per step, half of them signal.
    n_bins : int
        Bins in which the attack compares the marginals.
    """

    rho: float | tuple[float, ...] = 0.02
    unit: MoveUnits = "range"
    hidden: tuple[int, ...] = (300, 300, 300, 300)
    response_limit: float = 0.02
    response_strength: float = 100.0
    penalty: Literal["event", "marginal"] = "event"
    growth: float = 1.2
    background: int = 0
    max_epochs: int = 100
    patience: int = 15
    learning_rate: float = 1e-3
    batch_size: int = 1024
    n_bins: int = 200

    def __post_init__(self) -> None:
        """Check every setting."""
        check_size("rho", self.rho, self.unit)
        if "envelope" in (self.unit if isinstance(self.unit, tuple) else (self.unit,)):
            msg = "a network cannot know the envelope of other events; give rho in another unit, and the envelope to run_attack"
            raise ValueError(msg)
        if self.penalty not in {"event", "marginal"}:
            msg = f"penalty must be 'event' or 'marginal', got {self.penalty!r}"
            raise ValueError(msg)
        if not (0 < self.response_limit <= 1 and 0 <= self.response_strength < math.inf):
            msg = (
                "response_limit must lie above 0 and not above 1, and response_strength be finite and not negative, "
                f"got {self.response_limit} and {self.response_strength}"
            )
            raise ValueError(msg)
        check_counts(self, "max_epochs", "patience", "batch_size", "n_bins")
        if not (0 < self.learning_rate < math.inf and 1 <= self.growth < math.inf):
            msg = (
                "learning_rate must be positive, growth at least 1, and both finite, "
                f"got {self.learning_rate} and {self.growth}"
            )
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversaryEpoch:
    """
    One pass over the training events, judged on the validation events.

    Attributes
    ----------
    index : int
        From 1.
    signal_loss, background_loss : float
        Mean over the epoch; their sum is minimised.
    fooling_ratio, fooling_ratio_error : float
        Weighted fraction of the correctly classified validation signal that becomes background, and its standard error.
    ks : mapping of str to float
        Kolmogorov-Smirnov distance of each observable and of the ``response`` for constrained background.
    admissible : bool
        Whether all are within their limits.
    seconds : float
        Wall time of the epoch.
    """

    index: int
    signal_loss: float
    background_loss: float
    fooling_ratio: float
    fooling_ratio_error: float
    ks: Mapping[str, float]
    admissible: bool
    seconds: float

    @property
    def loss(self) -> float:
        """What was minimised."""
        return self.signal_loss + self.background_loss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedAdversary:
    """
    What a training found, or that it found nothing.

    The numbers of the best epoch are the best of many on the same validation events: quote those of an attack on
    other events.

    Attributes
    ----------
    found : AdversarialNetwork or None
        The attack of the best epoch; None if no epoch was within the limits.
    best_epoch : int or None
        Index of that epoch.
    history : tuple of AdversaryEpoch
        One record per epoch.
    limits : mapping of str to float
        Largest allowed distance of each observable and of the ``response``.
    settings : AdversarySettings
        How it was trained.
    seed : int
        Of initial parameters and order of events.
    n_signal, n_background : int
        Validation events that fooling ratio and distances are measured on.
    """

    found: AdversarialNetwork | None
    best_epoch: int | None
    history: tuple[AdversaryEpoch, ...]
    limits: Mapping[str, float]
    settings: AdversarySettings
    seed: int
    n_signal: int
    n_background: int

    @property
    def admissible(self) -> bool:
        """Whether a network within all limits was found."""
        return self.found is not None

    @property
    def attack(self) -> AdversarialNetwork:
        """The best admissible network as an attack; an error if there is none."""
        if self.found is None:
            raise ValueError(self.summary)
        return self.found

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        if self.best_epoch is None:
            closest = min(self.history, key=self._excess)
            above = [f"{n} {d:.3f} > {self.limits[n]:g}" for n, d in closest.ks.items() if d > self.limits[n]]
            return (
                f"no admissible adversary in {len(self.history)} epochs; the closest was epoch {closest.index} with "
                f"{', '.join(above)}; raise these strengths, or lower rho or the learning rate"
            )
        best = self.history[self.best_epoch - 1]
        return (
            f"epoch {best.index} of {len(self.history)} fools {best.fooling_ratio:.3f} ± {best.fooling_ratio_error:.3f} "
            f"of {self.n_signal} signal events, with all distances of {self.n_background} background events within limits"
        )

    def _excess(self, epoch: AdversaryEpoch) -> float:
        return max(distance / self.limits[name] for name, distance in epoch.ks.items())
