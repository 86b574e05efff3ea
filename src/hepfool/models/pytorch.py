# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch networks as classifiers: scores, margins and gradients in batches; files are in ``models.files``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hepfool._ranges import check_counts
from hepfool.exceptions import GradientsUnavailableError, NotCertifiableError
from hepfool.models._folding import SUPPORTED, folded
from hepfool.models._layers import Folded, Layer
from hepfool.models._modules import (
    floating_dtype,
    from_bytes,
    last_layer,
    module_digest,
    private_copy,
    rows,
    strip_activation,
    to_bytes,
    unwrapped,
)
from hepfool.typing import FloatArray, IntArray

__all__ = ["TorchClassifier"]

#: What a network returns: unbounded log-odds, or probabilities.
Output = Literal["logit", "probability"]

_DEFAULT_THRESHOLD = 0.5
_NO_GRADIENT = (
    "the network's answer has no gradient: its forward() detaches it, runs under torch.no_grad(), or does not use its input; "
    "correct that, or wrap the classifier in hepfool.models.blackbox.FiniteDifference"
)

T = TypeVar("T")


class TorchClassifier:
    """
    Scores, margins and gradients of a PyTorch module.

    The module is copied, switched to evaluation and frozen; the user's own stays
    as it is.  One output makes two classes, several outputs one class each.
    A final ``Sigmoid`` of one output, or ``Softmax`` over the classes, of a ``Sequential`` is
    taken off, because gradients through it vanish for events that the network is sure of.

    Parameters
    ----------
    module : torch.nn.Module
        Takes a tensor of shape (n_events, n_features) in physical units, returns
        (n_events,), (n_events, 1) or (n_events, n_classes).
    threshold : float
        Score of class 1 above which an event is of class 1; two classes only.
    device : str
        Where the module runs, such as ``cpu`` or ``cuda``.
    batch_size : int
        Number of events per call of the module.
    n_features : int, optional
        Input width; that of the first ``Linear`` layer by default.

    Raises
    ------
    TypeError
        If ``module`` is not a PyTorch module.
    ValueError
        If a setting is out of range, or the module does not take or return what it should.

    Examples
    --------
    >>> classifier = TorchClassifier(nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()), output="probability")
    >>> classifier.n_features, classifier.n_classes
    (3, 2)
    >>> classifier.scores(np.zeros((5, 3))).shape
    (5, 2)
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        output: Output = "logit",
        threshold: float = _DEFAULT_THRESHOLD,
        device: str = "cpu",
        batch_size: int = 16384,
        n_features: int | None = None,
    ) -> None:
        _check_settings(module, output, threshold, batch_size)
        frozen = _frozen_copy(module, device)
        self._threshold = float(threshold)
        self._device = device
        self._batch_size = batch_size
        self._n_features = _input_width(frozen) if n_features is None else n_features
        self._module, self._output = self._stripped(frozen, output)
        self._n_outputs, self._resolution = self._probe()
        if self._n_outputs > 2 and threshold != _DEFAULT_THRESHOLD:
            msg = f"threshold {threshold} has no meaning for {self._n_outputs} classes; leave it out"
            raise ValueError(msg)
        self._digest = module_digest(self._module, self._output, self._threshold)

    @property
    def n_classes(self) -> int:
        """Number of classes; 2 for a network with one output."""
        return max(self._n_outputs, 2)

    @property
    def n_features(self) -> int:
        """Input width."""
        return self._n_features

    @property
    def threshold(self) -> float:
        """Score of class 1 above which an event is of class 1."""
        return self._threshold

    @property
    def output(self) -> Output:
        """What :attr:`module` returns, once a final activation is taken off."""
        return self._output

    @property
    def device(self) -> str:
        """Where the module runs."""
        return self._device

    @property
    def resolution(self) -> float:
        """Relative distance of two neighbouring numbers in the precision that the module computes in."""
        return self._resolution

    @property
    def module(self) -> nn.Module:
        """The private, frozen copy of the module; copy it again before changing anything."""
        return self._module

    @property
    def digest(self) -> str:
        """SHA-256 of structure, parameters, buffers and threshold."""
        return self._digest

    def __repr__(self) -> str:
        return (
            f"TorchClassifier({type(self._module).__name__}, n_features={self.n_features}, "
            f"n_classes={self.n_classes}, threshold={self.threshold}, digest={self.digest[:12]!r})"
        )

    def scores(self, values: FloatArray) -> FloatArray:
        """Class probabilities; see :meth:`~hepfool.models.protocols.Classifier.scores`."""
        log_odds = self._all_log_odds(values)
        if log_odds.ndim == 1:
            return torch.sigmoid(torch.stack([-log_odds, log_odds], dim=1)).numpy()
        return torch.softmax(log_odds, dim=1).numpy()

    def predict(self, values: FloatArray) -> IntArray:
        """
        Predicted classes; see :meth:`~hepfool.models.protocols.Classifier.predict`.

        Raises
        ------
        ValueError
            If an event has no score, and so no class.
        """
        log_odds = self._all_log_odds(values)
        if log_odds.isnan().any():
            msg = (
                f"the network's output is NaN for {int(log_odds.isnan().sum())} of {len(values)} events; give the features "
                "limits within which it is defined, and a sentinel that it knows if values are missing"
            )
            raise ValueError(msg)
        classes = log_odds > _logit(self.threshold) if log_odds.ndim == 1 else log_odds.argmax(dim=1)
        return classes.numpy().astype(np.int64)

    def outputs(self, values: FloatArray) -> FloatArray:
        """
        Return what :attr:`module` does, to judge whether it is what :attr:`output` says.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units.

        Returns
        -------
        FloatArray, shape (n_events, n_outputs)
            As they come out of the module.
        """
        with torch.no_grad():
            parts = [rows(self._module(inputs), len(inputs)) for _, inputs in self._batches(values)]
        return torch.cat(parts).cpu().double().numpy()

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Distance to the decision boundary in log-odds, and its slope."""
        return self._with_gradient(self._margin, values, labels)

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross-entropy and its slope; see :meth:`~hepfool.models.protocols.DifferentiableClassifier.loss_and_gradient`."""
        return self._with_gradient(_cross_entropy, values, labels)

    def log_odds(self, inputs: torch.Tensor) -> torch.Tensor:
        """
        Log-odds of a batch, through which PyTorch can differentiate.

        Parameters
        ----------
        inputs : torch.Tensor, shape (n_events, n_features)
            Network inputs in physical units, on :attr:`device` and in the precision of :attr:`module`.

        Returns
        -------
        torch.Tensor, shape (n_events,) or (n_events, n_classes)
            Log-odds of class 1 of two, or one number per class whose softmax is the score.
        """
        raw = rows(self._module(inputs), len(inputs))
        if raw.shape != (len(inputs), self._n_outputs):
            expected = (len(inputs), self._n_outputs)
            msg = f"the module returned shape {tuple(raw.shape)}, expected {expected}: one row per event"
            raise ValueError(msg)
        if self._output == "probability":
            raw = _inverse_activation(raw)
        if raw.dtype in {torch.float16, torch.bfloat16}:
            raw = raw.float()
        if self._n_outputs == 2:
            return raw[:, 1] - raw[:, 0]
        return raw[:, 0] if self._n_outputs == 1 else raw

    def folded(self) -> Folded:
        """
        Read the network as affine layers in double precision, of which something can be proved.

        Returns
        -------
        Folded
            One output, log-odds over the threshold, for two classes; else one per class.

        Raises
        ------
        NotCertifiableError
            If the module has other parts than those in ``hepfool.models._folding.SUPPORTED``.
        """
        if self._output != "logit":
            msg = f"nothing can be proved of probabilities; let the network return log-odds, or be a Sequential that ends in a Sigmoid or Softmax; supported are {SUPPORTED}"
            raise NotCertifiableError(msg)
        network = folded(self._module, self._n_features)
        if self.n_classes > 2:
            return network
        *first, last = network.layers
        weight, bias = (
            (last.weight, last.bias) if self._n_outputs == 1 else (np.diff(last.weight, axis=0), np.diff(last.bias))
        )
        return replace(network, layers=(*first, Layer(weight, bias - _logit(self.threshold))))

    def _margin(self, log_odds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if log_odds.ndim == 1:
            return (2 * labels - 1) * (log_odds - _logit(self.threshold))
        own = functional.one_hot(labels, self.n_classes).bool()  # (n_events, n_classes)
        others = log_odds.masked_fill(own, -math.inf)
        return log_odds.gather(1, labels[:, None])[:, 0] - others.amax(dim=1)

    def _with_gradient(
        self, of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], values: FloatArray, labels: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        classes = self._checked_labels(values, labels)
        result, gradient = np.empty(len(values)), np.empty(np.shape(values))
        for part, inputs in self._batches(values):
            with torch.enable_grad():
                inputs.requires_grad_(True)
                # A clone, because the module may change its input in place.
                log_odds = self.log_odds(inputs.clone())
                if not log_odds.requires_grad:
                    raise GradientsUnavailableError(_NO_GRADIENT)
                per_event = of(log_odds, classes[part].to(self._device))  # (n_batch,)
                (slope,) = torch.autograd.grad(per_event.sum(), inputs)
            result[part] = per_event.detach().cpu().double().numpy()
            gradient[part] = slope.cpu().double().numpy()
        return result, gradient

    def _all_log_odds(self, values: FloatArray) -> torch.Tensor:
        parts = []
        with torch.no_grad():
            for _, inputs in self._batches(values):
                parts.append(self.log_odds(inputs).cpu().double())
        return torch.cat(parts)

    def _batches(self, values: FloatArray) -> Iterator[tuple[slice, torch.Tensor]]:
        if np.ndim(values) != 2 or np.shape(values)[1] != self.n_features:
            msg = f"values have shape {np.shape(values)}, the network expects (n_events, {self.n_features})"
            raise ValueError(msg)
        dtype = floating_dtype(self._module)
        for start in range(0, max(len(values), 1), self._batch_size):
            part = slice(start, start + self._batch_size)
            # A copy: the table's arrays are read-only, which PyTorch does not know.
            yield part, torch.from_numpy(np.array(values[part], dtype=np.float64)).to(self._device, dtype)

    def _checked_labels(self, values: FloatArray, labels: IntArray) -> torch.Tensor:
        classes = np.array(labels, dtype=np.int64)
        if classes.shape != (len(values),):
            msg = f"labels have shape {classes.shape}, expected ({len(values)},): one per event"
            raise ValueError(msg)
        if classes.size and not (classes.min() >= 0 and classes.max() < self.n_classes):
            msg = f"labels must be classes from 0 to {self.n_classes - 1}, found {classes.min()} to {classes.max()}"
            raise ValueError(msg)
        return torch.from_numpy(classes)

    def _stripped(self, frozen: nn.Module, output: Output) -> tuple[nn.Module, Output]:
        if output == "logit":
            return frozen, output
        stripped = self._called(lambda: strip_activation(frozen, self._n_features))
        return (frozen, output) if stripped is frozen else (stripped, "logit")

    def _called(self, call: Callable[[], T]) -> T:
        try:
            with torch.no_grad():
                return call()
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            msg = f"the module does not take inputs of shape (n_events, {self._n_features}): {error}; check n_features"
            raise ValueError(msg) from error

    def _probe(self) -> tuple[int, float]:
        """Call the module once; return the number of its outputs and their resolution."""
        dtype = floating_dtype(self._module)
        raw = self._called(lambda: self._module(torch.zeros(2, self._n_features, dtype=dtype, device=self._device)))
        shape = tuple(rows(raw, 2).shape) if isinstance(raw, torch.Tensor) else ()
        if not (len(shape) == 2 and shape[0] == 2 and shape[1] > 0 and raw.is_floating_point()):
            found = f"shape {tuple(raw.shape)} of {raw.dtype}" if shape else f"a {type(raw).__name__}"
            msg = (
                f"for 2 events the module returned {found}, expected real numbers of shape (2, 1) for two classes or "
                "(2, n_classes); wrap it in a module that returns only its logits"
            )
            raise ValueError(msg)
        return shape[1], max(torch.finfo(dtype).eps, torch.finfo(raw.dtype).eps)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_module": to_bytes(self._module)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _module=from_bytes(state["_module"], state["_device"]))


def _check_settings(module: nn.Module, output: str, threshold: float, batch_size: int) -> None:
    if not isinstance(cast("object", module), nn.Module):
        msg = f"need a torch.nn.Module, got {type(module).__name__}; for other models use CallableClassifier"
        raise TypeError(msg)
    if output not in get_args(Output):
        msg = f"output {output!r} is unknown; use one of {', '.join(get_args(Output))}"
        raise ValueError(msg)
    if not 0 < threshold < 1:
        msg = f"threshold must lie between 0 and 1, got {threshold}"
        raise ValueError(msg)
    check_counts(SimpleNamespace(batch_size=batch_size), "batch_size")
    last = last_layer(unwrapped(module))
    if output == "logit" and isinstance(last, nn.Sigmoid | nn.Softmax | nn.Hardsigmoid):
        msg = "the module ends in a sigmoid or softmax, so it returns no logit; use output='probability'"
        raise ValueError(msg)
    if type(last).__name__ == nn.LogSigmoid.__name__:
        msg = "the module ends in LogSigmoid, so it returns neither a logit nor a probability; leave that layer out"
        raise ValueError(msg)


def _frozen_copy(module: nn.Module, device: str) -> nn.Module:
    try:
        private = private_copy(module).to(device).eval()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        msg = f"the module cannot be moved to the device {device!r} ({str(error).splitlines()[0]}); use 'cpu', or 'cuda' where there is one"
        raise ValueError(msg) from error
    for parameter in private.parameters():
        parameter.requires_grad_(False)
    return private


def _input_width(module: nn.Module) -> int:
    for layer in module.modules():
        width = getattr(layer, "in_features", None)
        if isinstance(width, int) and width > 0:
            return width
    msg = "the input width cannot be read off the module, which has no Linear layer; pass n_features"
    raise ValueError(msg)


def _inverse_activation(probability: torch.Tensor) -> torch.Tensor:
    smallest = torch.finfo(probability.dtype).eps
    # NaN is told by whoever knows the events.
    if ((probability < 0) | (probability > 1 + 4 * smallest)).any():
        found = f"[{probability.min().item():.4g}, {probability.max().item():.4g}]"
        msg = f"the module returned values in {found}, which are not probabilities; use output='logit' if they are log-odds or a log-softmax"
        raise ValueError(msg)
    if probability.shape[1] == 1:
        return torch.logit(probability.float() if probability.dtype.itemsize < 4 else probability, eps=smallest)
    return torch.log(probability.clamp_min(smallest))


def _cross_entropy(log_odds: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if log_odds.ndim == 1:
        return functional.softplus((1 - 2 * labels) * log_odds)
    return functional.cross_entropy(log_odds, labels, reduction="none")


def _logit(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)
