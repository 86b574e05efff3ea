# SPDX-License-Identifier: BSD-3-Clause
"""Networks of a k-fold training as one classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hepfool.models.protocols import Classifier, spectators_of, threshold_of
from hepfool.typing import FloatArray, IntArray


class FoldedClassifier:
    """
    One network per fold, each for the events that it was not trained on.

    The fold is a spectator of the table: it comes behind the inputs, never moves, enters no comparison, and detectors do not see it.
    As an input it would count among the features, whose correlations the caps are on.

    Parameters
    ----------
    classifiers : sequence of Classifier
        Of the same inputs, classes and threshold; the first for the events of fold 0.
    by : str
        Spectator with the fold of each event, from 0, such as ``spectators={"fold": event % 5}``.

    Raises
    ------
    ValueError
        If there are fewer than two classifiers, or they differ.

    Examples
    --------
    >>> from hepfool.models.blackbox import CallableClassifier
    >>> parts = [CallableClassifier(lambda x: x[:, 0], n_features=1), CallableClassifier(lambda x: 1.0 - x[:, 0], n_features=1)]
    >>> FoldedClassifier(parts).predict(np.array([[0.9, 0.0], [0.9, 1.0]])).tolist()
    [1, 0]
    """

    def __init__(self, classifiers: Sequence[Classifier], *, by: str = "fold") -> None:
        kinds = {(c.n_classes, c.n_features, threshold_of(c)) for c in classifiers}
        if len(classifiers) < 2 or len(kinds) > 1 or any(spectators_of(c) for c in classifiers):
            msg = (
                f"need two classifiers or more of the same classes, inputs and threshold, got {len(classifiers)} with (classes, "
                f"inputs, threshold) {sorted(kinds, key=str)}"
            )
            raise ValueError(msg)
        self.classifiers, self.by = tuple(classifiers), by
        ((self._n_classes, self._n_features, self._threshold),) = kinds
        self._digest = hashlib.sha256(" ".join([by, *(c.digest for c in classifiers)]).encode()).hexdigest()

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self._n_classes

    @property
    def n_features(self) -> int | None:
        """Input width, without the fold."""
        return self._n_features

    @property
    def threshold(self) -> float:
        """Score of class 1 above which an event is of class 1."""
        return self._threshold

    @property
    def spectators(self) -> tuple[str, ...]:
        """Name of the column with the fold."""
        return (self.by,)

    @property
    def digest(self) -> str:
        """SHA-256 of the classifiers' digests."""
        return self._digest

    def __repr__(self) -> str:
        return f"FoldedClassifier({list(self.classifiers)!r}, by={self.by!r})"

    def scores(self, values: FloatArray) -> FloatArray:
        """Class probabilities by the network of each event's fold; values of shape (n_events, n_features + 1)."""
        (scores,) = self._each(values, lambda part, inputs, _: (part.scores(inputs),), self.n_classes)
        return scores

    def predict(self, values: FloatArray) -> IntArray:
        """Classes by the network of each event's fold."""
        (classes,) = self._each(values, lambda part, inputs, _: (part.predict(inputs),))
        return classes.astype(np.int64)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Margin and its slope in the inputs, without the fold."""
        return self._slopes("margin_and_gradient", values, labels)

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross-entropy and its slope in the inputs, without the fold."""
        return self._slopes("loss_and_gradient", values, labels)

    def _slopes(self, quantity: str, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        asked = np.asarray(labels)
        result, gradient = self._each(
            values, lambda part, inputs, own: getattr(part, quantity)(inputs, asked[own]), None, np.shape(values)[1] - 1
        )
        return result, gradient

    def _each(
        self, values: FloatArray, ask: Callable[[Any, FloatArray, Any], tuple[Any, ...]], *widths: int | None
    ) -> tuple[FloatArray, ...]:
        """Ask each classifier about its events; one answer per width, None for one number per event."""
        expected = "n_features + 1" if self.n_features is None else self.n_features + 1
        if np.ndim(values) != 2 or (self.n_features is not None and np.shape(values)[1] != expected):
            msg = f"values have shape {np.shape(values)}, expected (n_events, {expected}): the inputs, then {self.by!r}"
            raise ValueError(msg)
        fold = values[:, -1]
        wrong = ~np.isin(fold, np.arange(len(self.classifiers)))
        if wrong.any():
            msg = (
                f"{self.by!r} must be a whole number from 0 to {len(self.classifiers) - 1}, found {fold[wrong][0]:g}; "
                f"for instance spectators={{{self.by!r}: event % {len(self.classifiers)}}}"
            )
            raise ValueError(msg)
        found = tuple(np.empty((len(fold), *(() if width is None else (width,)))) for width in widths or (None,))
        for k, part in enumerate(self.classifiers):
            own = fold == k
            for array, answer in zip(found, ask(part, values[own, :-1], own), strict=True):
                array[own] = answer
        return found
