# SPDX-License-Identifier: BSD-3-Clause
"""
Models that only give scores: frozen services, any function; for trees see ``tree_classifier``.

:class:`CallableClassifier` wraps one.  Attacks that need gradients refuse it;
wrap it once more in :class:`FiniteDifference` to let them estimate slopes, at
the price of two calls per feature.  Trees are constant between their cuts: a
step must be wide enough to cross some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, cast

import cloudpickle
import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from hepfool.events import EventTable
from hepfool.models.protocols import Classifier, Defended, DifferentiableClassifier, spectators_of
from hepfool.models.trees import Ensemble, ensemble_of
from hepfool.typing import FloatArray, IntArray

__all__ = ["CallableClassifier", "FiniteDifference"]

_SUM_TOLERANCE = 1e-3
_SMALLEST_SCORE = 1e-12


class CallableClassifier:
    """
    Scores of any function, or of a model with ``predict_proba``.

    Parameters
    ----------
    function : callable or object with ``predict_proba``
        Takes values of shape (n_events, n_features) in physical units; returns the
        score of class 1, shape (n_events,) or (n_events, 1), or one probability per
        class, shape (n_events, n_classes).  An estimator's ``classes_`` must be those of the labels, from 0.
    n_features : int, optional
        Input width, if it shall be checked; that of a scikit-learn estimator by default.
    threshold : float
        Score of class 1 above which an event is of class 1; two classes only.

    Raises
    ------
    TypeError
        If ``function`` can neither be called nor asked for probabilities.
    ValueError
        If a setting is out of range, or the estimator's classes are not those of the labels.

    Examples
    --------
    >>> classifier = CallableClassifier(lambda values: values.mean(axis=1))
    >>> classifier.predict(np.array([[0.2, 0.4], [0.9, 0.7]])).tolist()
    [0, 1]
    """

    def __init__(
        self,
        function: Callable[[FloatArray], ArrayLike] | Any,
        n_classes: int = 2,
        n_features: int | None = None,
        threshold: float = 0.5,
    ) -> None:
        asked = getattr(function, "predict_proba", function)
        if not callable(asked) or (asked is not function and isinstance(function, type)):
            found = f"the class {function.__name__}" if isinstance(function, type) else type(function).__name__
            msg = f"need a function of the values or an object with predict_proba, got {found}"
            raise TypeError(msg)
        if n_classes < 2:
            msg = f"n_classes must be at least 2, got {n_classes}"
            raise ValueError(msg)
        if not 0 < threshold < 1:
            msg = f"threshold must lie between 0 and 1, got {threshold}"
            raise ValueError(msg)
        check_classes(getattr(function, "classes_", None), n_classes)
        self._function = cast("Callable[[FloatArray], ArrayLike]", asked)
        width = getattr(function, "n_features_in_", None) if n_features is None else n_features
        self._n_classes, self._n_features, self._threshold = n_classes, width, float(threshold)
        self._feature_names = tuple(map(str, getattr(function, "feature_names_in_", ())))
        self._digest = hashlib.sha256(cloudpickle.dumps((asked, n_classes, self._threshold))).hexdigest()

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self._n_classes

    @property
    def n_features(self) -> int | None:
        """Input width, or None if not stated."""
        return self._n_features

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Inputs in the order of the estimator's training; empty if it does not store them."""
        return self._feature_names

    @property
    def threshold(self) -> float:
        """Score of class 1 above which an event is of class 1."""
        return self._threshold

    @property
    def digest(self) -> str:
        """SHA-256 of the pickled function and the settings."""
        return self._digest

    def __repr__(self) -> str:
        return (
            f"CallableClassifier(n_classes={self.n_classes}, threshold={self.threshold}, digest={self.digest[:12]!r})"
        )

    def scores(self, values: FloatArray) -> FloatArray:
        """
        Class probabilities; see :meth:`~hepfool.models.protocols.Classifier.scores`.

        Raises
        ------
        ValueError
            If the function does not return probabilities of the stated shape.
        """
        if np.ndim(values) != 2 or self._n_features not in {None, np.shape(values)[1]}:
            msg = f"values have shape {np.shape(values)}, expected (n_events, {self._n_features or 'n_features'})"
            raise ValueError(msg)
        if not len(values):  # which scikit-learn refuses
            return np.empty((0, self._n_classes))
        # A copy: what the function does to its input must not reach the table or the attack.
        raw = _numbers(self._function(np.array(values, dtype=np.float64)))
        if self._n_classes == 2 and raw.size == len(values) and set(raw.shape) <= {1, len(values)}:
            signal = raw.reshape(-1)
            raw = np.stack([1.0 - signal, signal], axis=1)
        _check_probabilities(raw, (len(values), self._n_classes))
        return np.asarray(raw / raw.sum(axis=1, keepdims=True))

    def predict(self, values: FloatArray) -> IntArray:
        """Predicted classes; see :meth:`~hepfool.models.protocols.Classifier.predict`."""
        return _classes(self.scores(values), self._threshold)

    def ensemble(self) -> Ensemble:
        """
        Read the trees of a model, of which something can be proved.

        Returns
        -------
        Ensemble
            With the same decisions.

        Raises
        ------
        NotCertifiableError
            If the function is no such model's ``predict_proba``.
        """
        return ensemble_of(getattr(self._function, "__self__", self._function), self._threshold)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_function": cloudpickle.dumps(self._function)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _function=cloudpickle.loads(state["_function"]))


class FiniteDifference:
    """
    Slopes of a classifier that has none, from central differences.

    Parameters
    ----------
    step : array_like, shape (n_features,)
        Half distance between the two values compared, in each feature's unit; positive.

    Raises
    ------
    TypeError
        If the classifier is a defended system.
    ValueError
        If a step is not positive and finite.
    """

    def __init__(self, classifier: Classifier, step: ArrayLike) -> None:
        steps = np.array(step, dtype=np.float64, ndmin=1)
        if steps.ndim != 1 or not (np.isfinite(steps) & (steps > 0)).all():
            msg = f"steps must be one positive number per feature, got {steps.tolist()}"
            raise ValueError(msg)
        if classifier.n_features not in {None, len(steps)}:
            msg = f"{len(steps)} steps for a classifier of {classifier.n_features} features; give one per feature"
            raise ValueError(msg)
        if isinstance(classifier, Defended):
            msg = f"the slopes of a {type(classifier).__name__} do not follow from its scores; wrap the undefended classifier"
            raise TypeError(msg)
        self.classifier, self._step = classifier, steps
        self._digest = hashlib.sha256(f"{classifier.digest} {steps.tolist()}".encode()).hexdigest()

    @classmethod
    def of(cls, classifier: Classifier, table: EventTable, *, fraction: float = 0.01) -> FiniteDifference:
        """
        Take each step as a fraction of the feature's nominal range.

        Parameters
        ----------
        table : EventTable
            Nominal events that set the ranges.
        fraction : float
            Step over range, dimensionless.

        Returns
        -------
        FiniteDifference
            One step per feature; a constant or missing feature gets ``fraction`` of its unit.
        """
        missing = table.missing
        low = np.where(missing, np.inf, table.values).min(axis=0)
        high = np.where(missing, -np.inf, table.values).max(axis=0)
        return cls(classifier, fraction * np.where(high > low, high - low, 1.0))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.classifier.n_classes

    @property
    def n_features(self) -> int:
        """Input width."""
        return len(self._step)

    @property
    def spectators(self) -> tuple[str, ...]:
        """Columns that the wrapped classifier is given behind its inputs."""
        return spectators_of(self.classifier)

    @property
    def threshold(self) -> float:
        """Threshold of the wrapped classifier; 0.5 if it has none."""
        return float(getattr(self.classifier, "threshold", 0.5))

    @property
    def digest(self) -> str:
        """SHA-256 of the wrapped classifier's digest and the steps."""
        return self._digest

    def __repr__(self) -> str:
        return f"FiniteDifference({self.classifier!r}, step={self._step.tolist()})"

    def scores(self, values: FloatArray) -> FloatArray:
        """Class probabilities of the wrapped classifier; see :meth:`~hepfool.models.protocols.Classifier.scores`."""
        return self.classifier.scores(values)

    def predict(self, values: FloatArray) -> IntArray:
        """Predicted classes of the wrapped classifier; see :meth:`~hepfool.models.protocols.Classifier.predict`."""
        return self.classifier.predict(values)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Distance to the decision boundary in log-odds, and its estimated slope."""
        return self._differences(lambda scores: _margin(scores, labels, self.threshold), values)

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross-entropy and its estimated slope."""
        return self._differences(lambda scores: -np.log(_clipped(_of_class(scores, labels))), values)

    def _differences(self, of: Callable[[FloatArray], FloatArray], values: FloatArray) -> tuple[FloatArray, FloatArray]:
        gradient = np.empty((len(values), len(self._step)))
        for j, step in enumerate(self._step):
            moved = np.array(values, dtype=np.float64)
            moved[:, j] = values[:, j] + step
            above = of(self.scores(moved))
            moved[:, j] = values[:, j] - step
            gradient[:, j] = (above - of(self.scores(moved))) / (2.0 * step)
        return of(self.scores(values)), gradient


def with_slopes(classifier: Classifier, table: EventTable) -> DifferentiableClassifier:
    """
    Give a classifier slopes, if it has none.

    Parameters
    ----------
    classifier : Classifier
        Any.
    table : EventTable
        Nominal events, whose ranges set the steps.

    Returns
    -------
    DifferentiableClassifier
        The classifier itself, or :class:`FiniteDifference` of it.
    """
    return classifier if isinstance(classifier, DifferentiableClassifier) else FiniteDifference.of(classifier, table)


def check_classes(classes: Any, n_classes: int) -> None:
    """Refuse an estimator that counts other classes than the labels of a table."""
    if classes is None:
        return
    found = np.asarray(classes).tolist()
    if found not in ([-1, 1], list(range(n_classes))):
        msg = (
            f"the estimator knows the classes {found}, labels count from 0 to {n_classes - 1}: state n_classes, train it with such "
            "labels, or pass a function that returns the probabilities in the order of the labels"
        )
        raise ValueError(msg)


def _numbers(answer: Any) -> FloatArray:
    """Return an answer in double precision; classes, gaps and anything that is not a number are refused."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu()
    if np.ma.is_masked(answer):
        msg = f"the function masked {int(np.ma.getmaskarray(answer).sum())} scores; an attack needs one for every event"
        raise ValueError(msg)
    try:
        array = np.asarray(answer)
        if array.dtype.kind in "biu":
            msg = f"the function returned classes ({array.dtype}), not probabilities; pass predict_proba instead of predict"
            raise ValueError(msg)
        if array.dtype.kind in "Of" and array.ndim:
            return array.astype(np.float64)
    except TypeError:
        pass
    msg = f"the function returned a {type(answer).__name__}, expected an array of real numbers: the score of class 1, or one per class"
    raise ValueError(msg)


def _check_probabilities(raw: FloatArray, shape: tuple[int, int]) -> None:
    if raw.shape != shape:
        msg = f"the function returned shape {raw.shape}, expected {shape}; check n_classes"
        raise ValueError(msg)
    if not (np.isfinite(raw) & (raw >= 0) & (raw <= 1)).all():
        msg = f"the function returned values in [{raw.min():.4g}, {raw.max():.4g}], which are not probabilities"
        raise ValueError(msg)
    if (np.abs(raw.sum(axis=1) - 1.0) > _SUM_TOLERANCE).any():
        msg = f"the probabilities of an event must sum to one, found {raw.sum(axis=1).min():.4g}; apply a softmax"
        raise ValueError(msg)


def _classes(scores: FloatArray, threshold: float) -> IntArray:
    if scores.shape[1] == 2:
        return (scores[:, 1] > threshold).astype(np.int64)
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _of_class(scores: FloatArray, labels: IntArray) -> FloatArray:
    return np.take_along_axis(scores, np.asarray(labels)[:, None], axis=1)[:, 0]


def _clipped(scores: FloatArray) -> FloatArray:
    return np.clip(scores, _SMALLEST_SCORE, 1.0 - _SMALLEST_SCORE)


def _margin(scores: FloatArray, labels: IntArray, threshold: float) -> FloatArray:
    if scores.shape[1] == 2:
        log_odds = scipy.special.logit(_clipped(scores[:, 1])) - scipy.special.logit(threshold)
        return np.asarray((2 * np.asarray(labels) - 1) * log_odds, dtype=np.float64)
    log_scores = np.log(_clipped(scores))
    others: NDArray[np.float64] = log_scores.copy()
    np.put_along_axis(others, np.asarray(labels)[:, None], -np.inf, axis=1)
    return np.asarray(_of_class(log_scores, labels) - others.max(axis=1), dtype=np.float64)
