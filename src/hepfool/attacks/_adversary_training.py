# SPDX-License-Identifier: BSD-3-Clause
r"""
Find a network that makes signal look like background and that a validation does not notice (arXiv:1910.08606).

:func:`train_adversary` minimises the sum of the losses (2) and (3) of the paper,
:math:`-\log(1 - f(g(x)))` for signal and
:math:`\lambda_f (f(x) - f(g(x)))^2 + \sum_i \lambda_i (O_i(x) - O_i(g(x)))^2` for background, where
:math:`f` is the classifier's score for "not background" and :math:`O_i` are observables to be preserved.  After
each epoch the network is applied to validation events by the driver of all attacks; the one that fools most,
of those within every limit, is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hepfool._ranges import check_counts
from hepfool.attacks._adversarial_network import AdversarialNetwork, PerturbationNetwork
from hepfool.attacks._checks import check_input
from hepfool.attacks._convergence import weighted_fraction
from hepfool.attacks._limits import MoveUnits, check_size, in_own_units, movable, sizes
from hepfool.attacks._observables import RESPONSE, Observable, check_observables
from hepfool.attacks.base import AttackProblem, Bounds, run_attack
from hepfool.events import EventTable
from hepfool.exceptions import GradientsUnavailableError
from hepfool.models._modules import floating_dtype
from hepfool.models._networks import Standardise, mlp
from hepfool.models.pytorch import TorchClassifier
from hepfool.statistics._kolmogorov import ks_distance
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, ProgressCallback


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


_N_CHECKED = 64
_FAR_BELOW = 0.5

#: Function and variance of what background must keep.
_Preserved = tuple[Callable[[torch.Tensor], torch.Tensor], float]


def train_adversary(
    classifier: TorchClassifier,
    train: EventTable,
    validation: EventTable,
    *,
    seed: int,
    observables: Sequence[Observable] = (),
    settings: AdversarySettings | None = None,
    progress: ProgressCallback | None = None,
) -> TrainedAdversary:
    """
    Train a network that perturbs signal and background alike.

    Ranges and regions' thresholds bound the moves during training too; integers move continuously there, but on
    whole numbers when the network is judged.  Background is preserved in the constrained regions.  An interrupt from
    the keyboard ends the training; the best finished epoch is returned.

    Parameters
    ----------
    classifier : TorchClassifier
        The network to fool; training runs on its device.
    train, validation : EventTable
        Labelled events of signal and background; negative weights count by their size in the loss.
    seed : int
        Same seed, same result, on the same machine and number of threads.
    observables : sequence of Observable
        What must be preserved besides the score.
    settings : AdversarySettings, optional
        Bounds, losses and training.
    progress : callable, optional
        Called with the fooling ratio of each finished epoch, in words, and the finished fraction.

    Returns
    -------
    TrainedAdversary
        The best network within all limits, or that there is none.

    Raises
    ------
    GradientsUnavailableError
        If PyTorch cannot differentiate through the classifier.
    ValueError
        If an observable or a setting does not fit the events, a class is absent, or the loss is not finite.

    Examples
    --------
    >>> classifier = TorchClassifier(nn.Linear(2, 1, bias=False))
    >>> values = np.random.default_rng(1).normal(size=(200, 2))
    >>> table = EventTable.from_arrays(values, labels=classifier.predict(values))
    >>> total = Observable(name="sum", function=lambda values: values.sum(dim=1), limit=0.1)
    >>> settings = AdversarySettings(hidden=(8,), max_epochs=2)
    >>> trained = train_adversary(classifier, table, table, seed=1, observables=[total], settings=settings)
    >>> len(trained.history)
    2
    """
    settings = AdversarySettings() if settings is None else settings
    if train.features.names != validation.features.names:
        msg = f"training and validation events differ in their features: {train.features.names}, {validation.features.names}"
        raise ValueError(msg)
    # Seeding must not disturb the random numbers of the rest of the program.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trainer = _Trainer(classifier, train, observables, settings)
        judge = _Judge(classifier, validation, observables, settings)
        history, best = _epochs(trainer, judge, progress)
    return TrainedAdversary(
        found=best[1] if best else None,
        best_epoch=best[0].index if best else None,
        history=tuple(history),
        limits=judge.limits,
        settings=settings,
        seed=seed,
        n_signal=int(judge.signal.sum()),
        n_background=int(judge.background.sum()),
    )


def _epochs(
    trainer: _Trainer, judge: _Judge, progress: ProgressCallback | None
) -> tuple[list[AdversaryEpoch], tuple[AdversaryEpoch, AdversarialNetwork] | None]:
    """Train until nothing better comes, and return all epochs and the best one within the limits."""
    settings = trainer.settings
    history: list[AdversaryEpoch] = []
    best: tuple[AdversaryEpoch, AdversarialNetwork] | None = None
    try:
        for index in range(1, settings.max_epochs + 1):
            start = time.perf_counter()
            losses, attack = trainer.epoch(index), trainer.attack()
            epoch = judge.epoch(attack, index, losses, start)
            trainer.adjust(epoch.ks, judge.limits)
            history.append(epoch)
            if epoch.admissible and (best is None or epoch.fooling_ratio > best[0].fooling_ratio):
                best = (epoch, attack)
            if progress is not None:
                progress(f"epoch {index}: fooled {epoch.fooling_ratio:.1%}", index / settings.max_epochs)
            if index - (best[0].index if best else 0) >= settings.patience:
                break
    except KeyboardInterrupt:
        if not history:
            raise
    return history, best


class _Trainer:
    """The perturbing network, its training events as tensors, and its losses."""

    def __init__(
        self,
        classifier: TorchClassifier,
        table: EventTable,
        observables: Sequence[Observable],
        settings: AdversarySettings,
    ) -> None:
        problem = _problem(classifier, table, settings)
        signal, background = _events(table, "training", settings.background)
        dtype = floating_dtype(classifier.module)

        def tensor(array: FloatArray) -> torch.Tensor:
            return torch.from_numpy(np.array(array)).to(classifier.device, dtype)

        self.classifier, self.settings = classifier, settings
        self.rho, self.unit = in_own_units(problem, settings.rho, settings.unit)
        self.values = tensor(table.network_values)
        self.size = tensor(np.where(movable(problem), sizes(problem, self.rho, self.unit), 0.0))
        self.lower, self.upper = tensor(problem.bounds.lower), tensor(problem.bounds.upper)
        self.row = torch.from_numpy(problem.bounds.row).to(classifier.device)
        self.pools = [torch.from_numpy(np.flatnonzero(mask)) for mask in (signal, background)]
        self.weights = [torch.from_numpy(np.abs(table.weights[mask])) for mask in (signal, background)]
        nominal = self.values[self.pools[1].to(classifier.device)]
        check_observables(observables, nominal[:_N_CHECKED])
        self.preserved: dict[str, _Preserved] = {RESPONSE: (self._response, 1.0)}
        self.preserved |= {o.name: (o.function, _variance(o, nominal)) for o in observables}
        self.strengths = {o.name: o.strength for o in observables} | {RESPONSE: settings.response_strength}
        network = mlp(
            table.n_features,
            settings.hidden,
            n_outputs=table.n_features,
            batch_norm=False,
            preprocessing=Standardise.of(table),
        )
        # Training starts from the network that moves nothing.
        for parameter in network[-1].parameters():
            nn.init.zeros_(parameter)
        self.module = nn.Sequential(network, nn.Tanh()).to(classifier.device, dtype)
        self.optimiser = torch.optim.Adam(self.module.parameters(), lr=settings.learning_rate)

    def epoch(self, index: int) -> tuple[float, float]:
        """Mean losses of signal and background."""
        total = np.zeros(2)
        batches = list(self._batches())
        for signal, background in batches:
            losses = self._signal_loss(signal), self._background_loss(background)
            self.optimiser.zero_grad()
            torch.autograd.backward(losses[0] + losses[1])
            self.optimiser.step()
            total += [float(loss.detach()) for loss in losses]
        if not np.isfinite(total).all():
            msg = f"the loss of epoch {index} is not finite; lower the learning rate, or guard the observables"
            raise ValueError(msg)
        return float(total[0]) / len(batches), float(total[1]) / len(batches)

    def adjust(self, ks: Mapping[str, float], limits: Mapping[str, float]) -> None:
        """Raise the strength of what is beyond its limit, lower that of what is far below."""
        growth = self.settings.growth
        for name, distance in ks.items():
            fraction = distance / limits[name]
            self.strengths[name] *= growth if fraction > 1 else 1 / growth if fraction < _FAR_BELOW else 1.0

    def attack(self) -> AdversarialNetwork:
        """Return the network as it is now."""
        network = PerturbationNetwork(self.module, n_features=self.values.shape[1])
        return AdversarialNetwork(network=network, rho=self.rho, unit=self.unit, n_bins=self.settings.n_bins)

    def _batches(self) -> Iterator[list[torch.Tensor]]:
        """Events of signal and of background, as frequent as the size of their weights says."""
        half = max(1, self.settings.batch_size // 2)
        for _ in range(-(-max(map(len, self.pools)) // half)):
            pairs = zip(self.pools, self.weights, strict=True)
            yield [pool[torch.multinomial(w, half, replacement=True)].to(self.classifier.device) for pool, w in pairs]

    def _perturbed(self, events: torch.Tensor) -> torch.Tensor:
        values, size, row = self.values[events], self.size[events], self.row[events]
        moved = values + size * self.module(values)  # (n_batch, n_features)
        within = torch.minimum(torch.maximum(moved, self.lower[row]), self.upper[row])
        return torch.where(size > 0, within, values)

    def _signal_loss(self, events: torch.Tensor) -> torch.Tensor:
        return -self._log_background(self._perturbed(events)).mean()

    def _background_loss(self, events: torch.Tensor) -> torch.Tensor:
        nominal, adversarial = self.values[events], self._perturbed(events)
        loss = torch.zeros((), dtype=nominal.dtype, device=nominal.device)
        for name, (function, variance) in self.preserved.items():
            before, after = function(nominal), function(adversarial)  # (n_batch,)
            if self.settings.penalty == "marginal":
                before, after = before.sort().values, after.sort().values
            loss = loss + self.strengths[name] / variance * ((before - after) ** 2).mean()
        return loss

    def _log_background(self, values: torch.Tensor) -> torch.Tensor:
        log_odds, background = self.classifier.log_odds(values), self.settings.background
        if log_odds.ndim == 1:
            return functional.logsigmoid(log_odds if background == 1 else -log_odds)
        return functional.log_softmax(log_odds, dim=1)[:, background]

    def _response(self, values: torch.Tensor) -> torch.Tensor:
        return 1.0 - self._log_background(values).exp()


class _Judge:
    """Applies a network to the validation events, and measures."""

    def __init__(
        self,
        classifier: TorchClassifier,
        table: EventTable,
        observables: Sequence[Observable],
        settings: AdversarySettings,
    ) -> None:
        signal, self.background = _events(table, "validation", settings.background)
        self.signal = signal & (classifier.predict(table.network_values) == table.labels)
        if not self.signal.any():
            msg = "the classifier gets no validation signal right, so none can be fooled; check labels and classifier"
            raise ValueError(msg)
        self.classifier, self.table, self.observables, self.settings = classifier, table, observables, settings
        self.limits = {o.name: o.limit for o in observables} | {RESPONSE: settings.response_limit}
        self.nominal = self._observed(table)

    def epoch(
        self, attack: AdversarialNetwork, index: int, losses: tuple[float, float], start: float
    ) -> AdversaryEpoch:
        result = run_attack(attack, self.classifier, self.table, rng=np.random.default_rng(0), target="all")
        found, weights = self._observed(result.adversarial), self.table.weights
        kept = self.background
        ks = {name: ks_distance(self.nominal[name], found[name], weights[kept]) for name in self.limits}
        fooled = self.classifier.predict(result.adversarial.network_values) == self.settings.background
        ratio, error = weighted_fraction(fooled[self.signal], weights[self.signal])
        return AdversaryEpoch(
            index=index,
            signal_loss=losses[0],
            background_loss=losses[1],
            fooling_ratio=ratio,
            fooling_ratio_error=error,
            ks=ks,
            admissible=all(ks[name] <= limit for name, limit in self.limits.items()),
            seconds=time.perf_counter() - start,
        )

    def _observed(self, table: EventTable) -> dict[str, FloatArray]:
        """Observables and response of the constrained background."""
        values = table.network_values[self.background]
        inputs = torch.from_numpy(values).to(self.classifier.device, floating_dtype(self.classifier.module))
        with torch.no_grad():
            found = {o.name: o.function(inputs).cpu().double().numpy() for o in self.observables}
        return found | {RESPONSE: 1.0 - self.classifier.scores(values)[:, self.settings.background]}


def _problem(classifier: TorchClassifier, table: EventTable, settings: AdversarySettings) -> AttackProblem:
    if not isinstance(cast("object", classifier), TorchClassifier):
        msg = (
            f"{type(classifier).__name__} is no TorchClassifier, through which PyTorch could differentiate; "
            "train against a network that imitates it"
        )
        raise GradientsUnavailableError(msg)
    check_input(classifier, table)
    if table.features.derived:
        names = ", ".join(table.features.names[j] for j in table.features.derived)
        msg = f"derived features cannot be followed in training: {names}; leave them out of the network's inputs"
        raise ValueError(msg)
    if not 0 <= settings.background < classifier.n_classes:
        msg = f"background class {settings.background} is none of the network's {classifier.n_classes} classes"
        raise ValueError(msg)
    return AttackProblem(
        table=table,
        classifier=classifier,
        attacked=np.ones(table.n_events, dtype=np.bool_),
        classes=classifier.predict(table.network_values),
        constrained=table.constrained,
        bounds=Bounds.of(table),
        binning=Binning.uniform(table, n_bins=settings.n_bins),
        frozen=np.zeros(table.n_events, dtype=np.bool_),
    )


def _events(table: EventTable, name: str, background: int) -> tuple[BoolArray, BoolArray]:
    """Masks of the signal and of the background that is to be preserved."""
    if (table.labels < 0).any():
        msg = f"{int((table.labels < 0).sum())} {name} events have no label; train on simulation"
        raise ValueError(msg)
    found = table.labels != background, (table.labels == background) & table.constrained
    for mask, kind in zip(found, ("signal", "constrained background"), strict=True):
        if not table.weights[mask].sum() > 0:
            msg = f"the {name} events hold no positive weight of {kind}; training needs both"
            raise ValueError(msg)
    return found


def _variance(observable: Observable, nominal: torch.Tensor) -> float:
    with torch.no_grad():
        found = observable.function(nominal)
    variance = float(found.var())
    if not (math.isfinite(variance) and variance > 0):
        msg = f"observable {observable.name!r} has variance {variance} for background; guard it, or drop it"
        raise ValueError(msg)
    return variance
