# SPDX-License-Identifier: BSD-3-Clause
"""
Train a network on event tables; skorch drives the loop.

:func:`fit` keeps the epoch with the smallest validation loss.  Negative event
weights count by their size, because a loss that falls without limit where
negative weights prevail cannot be minimised; the result states how much of the
weight that concerns.  Classes count equally unless told otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.helper import predefined_split
from skorch.utils import noop
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from hepfool.events import EventTable
from hepfool.exceptions import Interrupted
from hepfool.models.modules import floating_dtype, strip_activation
from hepfool.models.pytorch import TorchClassifier
from hepfool.settings import TrainingSettings
from hepfool.typing import FloatArray, IntArray, ProgressCallback

__all__ = ["Network", "TrainingResult", "TrainingSettings", "auroc", "fit"]

#: Builds an untrained network for training events, such as ``lambda table: donut(preprocessing=Standardise.of(table))``.
Network = Callable[[EventTable], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One pass over the training events."""

    index: int
    train_loss: float
    validation_loss: float
    validation_auroc: float  # area under the ROC curve of the validation events, dimensionless
    seconds: float

    def __str__(self) -> str:
        """Describe the epoch for a progress display."""
        return f"epoch {self.index}: validation loss {self.validation_loss:.4f}, AUROC {self.validation_auroc:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingResult:
    """
    A trained network and how it got there.

    Attributes
    ----------
    classifier : TorchClassifier
        The network after its best epoch; its output is the logit.
    history : tuple of Epoch
        One record per epoch.
    best_epoch : int
        Index of the epoch with the smallest validation loss.
    settings : TrainingSettings
        How it was trained.
    seed : int
        Seed of initial parameters, order of events and dropout.
    negative_weight_fraction : float
        Sum of the sizes of negative training weights over that of all.
    checkpoints : mapping of int to TorchClassifier
        The network after each of ``settings.checkpoints`` that was reached.
    """

    classifier: TorchClassifier
    history: tuple[Epoch, ...]
    best_epoch: int
    settings: TrainingSettings
    seed: int
    negative_weight_fraction: float
    checkpoints: Mapping[int, TorchClassifier] = field(default_factory=dict)

    @property
    def validation_auroc(self) -> float:
        """Area under the ROC curve of the validation events after the best epoch."""
        return self.history[self.best_epoch - 1].validation_auroc

    @property
    def interrupted(self) -> bool:
        """Whether the training was stopped before its last epoch, and not because the loss stopped improving."""
        done = len(self.history)
        return done < self.settings.max_epochs and done - self.best_epoch < self.settings.patience


def fit(
    module: nn.Module | Callable[[], nn.Module],
    train: EventTable,
    validation: EventTable,
    *,
    seed: int,
    settings: TrainingSettings | None = None,
    progress: ProgressCallback | None = None,
) -> TrainingResult:
    """
    Train a network to separate classes.

    An interrupt from the keyboard ends the training; the best of the finished epochs is returned, if there is one.

    Parameters
    ----------
    module : torch.nn.Module or callable
        A module whose parameters are the start of the training (it is copied), or
        a function that builds one, called under ``seed``.  It returns one logit for
        two classes, or one per class; a final sigmoid or softmax is taken off.
    train, validation : EventTable
        Labelled events; the network sees ``network_values``.
    seed : int
        Same seed, same result, on the same machine and number of threads.
    progress : callable, optional
        Called with a message on each finished epoch and the finished fraction.

    Returns
    -------
    TrainingResult
        The best network and the history.

    Raises
    ------
    ValueError
        If labels are missing, a class is absent, or tables and network do not fit.

    Examples
    --------
    >>> from hepfool.models.networks import mlp
    >>> table = EventTable.from_arrays([[-1.0], [-2.0], [1.0], [2.0]] * 25, labels=[0, 0, 1, 1] * 25)
    >>> result = fit(lambda: mlp(1, (4,)), table, table, seed=1, settings=TrainingSettings(batch_size=20))
    >>> result.validation_auroc
    1.0
    """
    settings = TrainingSettings() if settings is None else settings
    # Seeding must not disturb the random numbers of the rest of the program.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = strip_activation(copy.deepcopy(module) if isinstance(module, nn.Module) else module(), train.n_features)
        n_classes = TorchClassifier(start, n_features=train.n_features).n_classes
        dtype = floating_dtype(start)
        samples = [
            _tensors(table, name, n_classes, settings, dtype)
            for name, table in (("training", train), ("validation", validation))
        ]
        recorder = _EpochRecorder(validation, progress, settings)
        # A fraction of zero: every smaller loss counts.
        stopping = EarlyStopping(patience=settings.patience, threshold=0.0, load_best=True, sink=noop)
        net = _net(start, samples[1], settings, [("recorder", recorder), ("stopping", stopping)])
        net.fit(samples[0])
    if not stopping.best_epoch_:
        if all(np.isfinite(epoch.validation_loss) for epoch in recorder.history):
            raise Interrupted
        msg = "training ended without a finite validation loss; lower the learning rate and check the inputs"
        raise ValueError(msg)
    negative = np.minimum(train.weights, 0.0)
    classifier = partial(TorchClassifier, device=settings.device, n_features=train.n_features)
    return TrainingResult(
        classifier=classifier(net.module_),
        history=tuple(recorder.history),
        best_epoch=int(stopping.best_epoch_),
        settings=settings,
        seed=seed,
        negative_weight_fraction=float(-negative.sum() / np.abs(train.weights).sum()),
        checkpoints={epoch: classifier(module) for epoch, module in recorder.modules.items()},
    )


def auroc(labels: IntArray, scores: FloatArray, weights: ArrayLike | None = None) -> float:
    """
    Area under the ROC curve.

    Parameters
    ----------
    labels : IntArray, shape (n_events,)
        Classes from 0.
    scores : FloatArray, shape (n_events,) or (n_events, n_classes)
        Anything that grows with the probability of class 1, or probabilities.
    weights : array_like, shape (n_events,), optional
        Event weights; negative ones count by their size.

    Returns
    -------
    float
        In [0, 1]; for more than two classes the mean of each class against the others.

    Raises
    ------
    ValueError
        If there is only one class.

    Examples
    --------
    >>> auroc(np.array([0, 1, 1]), np.array([0.1, 0.4, 0.3]))
    1.0
    """
    if len(np.unique(labels)) < 2:
        msg = f"a ROC curve needs two classes, found {np.unique(labels).tolist()}"
        raise ValueError(msg)
    sizes = None if weights is None else np.abs(weights)
    if scores.ndim == 2 and scores.shape[1] == 2:
        scores = scores[:, 1]
    return float(roc_auc_score(labels, scores, sample_weight=sizes, multi_class="ovr"))


def _net(start: nn.Module, validation: TensorDataset, settings: TrainingSettings, callbacks: list[Any]) -> NeuralNet:
    return NeuralNet(
        start,
        criterion=_WeightedCrossEntropy,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=settings.weight_decay,
        lr=settings.learning_rate,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        iterator_train=_Batches,
        iterator_train__shuffle=True,
        iterator_valid=_Batches,
        train_split=predefined_split(validation),
        callbacks=callbacks,
        callbacks__print_log=None,
        device=settings.device,
        verbose=0,
    )


class _Batches:
    """Whole batches by index; PyTorch's loader would collect them event by event."""

    def __init__(self, dataset: TensorDataset, batch_size: int, *, shuffle: bool = False) -> None:
        self.tensors, self.batch_size, self.shuffle = dataset.tensors, batch_size, shuffle

    def __iter__(self) -> Iterator[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]]:
        n_events = len(self.tensors[0])
        order = torch.randperm(n_events) if self.shuffle else torch.arange(n_events)
        for chosen in torch.split(order, self.batch_size):
            # Batch normalisation cannot train on a single event.
            if not self.shuffle or len(chosen) > 1 or n_events == 1:
                values, labels, weights = (tensor[chosen] for tensor in self.tensors)
                yield values, (labels, weights)


class _WeightedCrossEntropy(nn.Module):
    """Mean over events of weight times cross-entropy; the weights' mean is one."""

    def forward(self, outputs: torch.Tensor, target: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        labels, weights = target
        if outputs.ndim == 1 or outputs.shape[1] == 1:
            logits = outputs.reshape(-1)  # (n_batch,)
            loss = functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")
        else:
            loss = functional.cross_entropy(outputs, labels, reduction="none")
        return (weights * loss).mean()


class _EpochRecorder(Callback):  # type: ignore[misc]  # skorch has no types
    """Keeps the records of the epochs, from the outputs that the validation loss needs anyway."""

    def __init__(self, validation: EventTable, progress: ProgressCallback | None, settings: TrainingSettings) -> None:
        self.labels, self.weights = validation.labels, validation.weights
        self.progress = progress
        self.settings = settings
        self.modules: dict[int, nn.Module] = {}
        self.history: list[Epoch] = []
        self.outputs: list[torch.Tensor] = []

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self.outputs = []

    def on_batch_end(self, *_: Any, training: bool, y_pred: torch.Tensor, **__: Any) -> None:
        if not training:
            self.outputs.append(y_pred.detach())

    def on_epoch_end(self, net: NeuralNet, **_: Any) -> None:
        outputs = torch.cat(self.outputs).cpu().double()
        several = outputs.ndim == 2 and outputs.shape[1] > 1
        scores = torch.softmax(outputs, dim=1) if several else torch.sigmoid(outputs.reshape(-1))
        finite = bool(torch.isfinite(scores).all())
        last = net.history[-1]
        epoch = Epoch(
            index=last["epoch"],
            train_loss=float(last["train_loss"]),
            validation_loss=float(last["valid_loss"]),
            validation_auroc=auroc(self.labels, scores.numpy(), self.weights) if finite else float("nan"),
            seconds=last["dur"],
        )
        self.history.append(epoch)
        if epoch.index in self.settings.checkpoints:
            self.modules[epoch.index] = copy.deepcopy(net.module_)
        if self.progress is not None:
            self.progress(str(epoch), epoch.index / self.settings.max_epochs)


def _tensors(
    table: EventTable, name: str, n_classes: int, settings: TrainingSettings, dtype: torch.dtype
) -> TensorDataset:
    sizes = np.abs(table.weights)
    outside = (table.labels < 0) | (table.labels >= n_classes)
    if outside.any():
        msg = (
            f"{int(outside.sum())} {name} events have no label from 0 to {n_classes - 1}; "
            "label them, drop them, or change the network's number of outputs"
        )
        raise ValueError(msg)
    sums = np.bincount(table.labels, weights=sizes, minlength=n_classes)
    if not (sums > 0).all():
        msg = f"the {name} events hold no weight of class {int(np.argmin(sums > 0))}; training needs every class"
        raise ValueError(msg)
    weights = sizes / sums[table.labels] if settings.balance_classes else sizes
    return TensorDataset(
        torch.from_numpy(np.array(table.network_values)).to(settings.device, dtype),
        torch.from_numpy(np.array(table.labels)).to(settings.device),
        torch.from_numpy(weights / weights.mean()).to(settings.device, dtype),
    )
