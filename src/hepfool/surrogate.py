# SPDX-License-Identifier: BSD-3-Clause
"""
Directions for a classifier that has no gradient, from a network that imitates it.

A :class:`Surrogate` asks a small network, trained on the classifier's own answers, where to go; whether an event
is fooled is always the classifier's word.  It costs one training and no further calls of the classifier; trees are fooled more by
:class:`~hepfool.models.TreeClassifier`, and in eight of eight comparisons even by finite differences.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial

from hepfool.events import EventTable
from hepfool.models._networks import Standardise, mlp
from hepfool.models.protocols import Classifier, Defended, DifferentiableClassifier, inputs_of, spectators_of
from hepfool.training import TrainingSettings, fit
from hepfool.typing import FloatArray, IntArray

__all__ = ["Surrogate"]


class Surrogate:
    """
    Scores of one classifier, slopes of another.

    Raises
    ------
    TypeError
        If the classifier is a defended system.
    ValueError
        If they differ in their number of classes.
    """

    def __init__(self, classifier: Classifier, guide: DifferentiableClassifier) -> None:
        if classifier.n_classes != guide.n_classes:
            msg = f"the classifier has {classifier.n_classes} classes, its guide {guide.n_classes}"
            raise ValueError(msg)
        if isinstance(classifier, Defended):
            msg = f"a surrogate of the classes ignores the detector of a {type(classifier).__name__}; wrap the undefended classifier"
            raise TypeError(msg)
        self.classifier, self._guide = classifier, guide

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        train: EventTable,
        validation: EventTable,
        *,
        seed: int,
        hidden: tuple[int, ...] = (64, 64),
        settings: TrainingSettings | None = None,
    ) -> Surrogate:
        """
        Train the guide on what the classifier says.

        Parameters
        ----------
        classifier : Classifier
            Decides; two classes or more.
        train, validation : EventTable
            Events to imitate it on; their labels are not used.
        hidden : tuple of int
            Widths of the guide's hidden layers.

        Raises
        ------
        ValueError
            If the classifier gives all training events the same class.
        """
        answered = [
            replace(table, labels=classifier.predict(inputs_of(classifier, table))) for table in (train, validation)
        ]
        n_outputs = 1 if classifier.n_classes == 2 else classifier.n_classes
        network = partial(mlp, train.n_features, hidden, n_outputs=n_outputs, preprocessing=Standardise.of(train))
        return cls(classifier, fit(network, *answered, seed=seed, settings=settings).classifier)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.classifier.n_classes

    @property
    def n_features(self) -> int | None:
        """Number of inputs."""
        return self._guide.n_features

    @property
    def spectators(self) -> tuple[str, ...]:
        """Columns that the classifier is given behind its inputs, and its guide is not."""
        return spectators_of(self.classifier)

    @property
    def digest(self) -> str:
        """SHA-256 of both."""
        return hashlib.sha256(f"{self.classifier.digest} {self._guide.digest}".encode()).hexdigest()

    def scores(self, values: FloatArray) -> FloatArray:
        """Class probabilities of the classifier; see :meth:`~hepfool.models.protocols.Classifier.scores`."""
        return self.classifier.scores(values)

    def predict(self, values: FloatArray) -> IntArray:
        """Classes of the classifier; see :meth:`~hepfool.models.protocols.Classifier.predict`."""
        return self.classifier.predict(values)

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Margin of the guide and its gradient."""
        return self._guide.margin_and_gradient(values[:, : self.n_features], labels)

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross-entropy of the guide and its gradient."""
        return self._guide.loss_and_gradient(values[:, : self.n_features], labels)
