# SPDX-License-Identifier: BSD-3-Clause
"""
Protocols of classifiers: what an attack needs of a network.

Implement :class:`Classifier` for anything that gives scores, and
:class:`DifferentiableClassifier` if it also gives gradients.  Values arrive as
``(n_events, n_features)`` in the features' physical units, with the table's
sentinel where a value is missing: a network's own preprocessing stays inside it.  A classifier whose attribute ``spectators`` names
columns of the table is given these too, behind the inputs: they never move, and enter no comparison.  So is one that has a method
``context(table, values)`` what this computes of all events as they are now, one number for each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hepfool.events import EventTable
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["Classifier", "DifferentiableClassifier"]


@runtime_checkable
class Classifier(Protocol):
    """Scores in, class out."""

    @property
    def n_classes(self) -> int:
        """Number of classes; 2 for a network with one output."""
        ...

    @property
    def n_features(self) -> int | None:
        """Input width, or None if unknown."""
        ...

    @property
    def digest(self) -> str:
        """Hexadecimal digest of architecture and parameters, for provenance and caches."""
        ...

    def scores(self, values: FloatArray) -> FloatArray:
        """
        Class probabilities.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units.

        Returns
        -------
        FloatArray, shape (n_events, n_classes)
            In [0, 1], each row sums to one.
        """
        ...

    def predict(self, values: FloatArray) -> IntArray:
        """
        Predicted classes.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units.

        Returns
        -------
        IntArray, shape (n_events,)
            For two classes, 1 where the score of class 1 exceeds the threshold; else the most probable class.
        """
        ...


@runtime_checkable
class DifferentiableClassifier(Classifier, Protocol):
    """A classifier that also gives gradients."""

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """
        Distance to the decision boundary in log-odds, and its slope.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units.
        labels : IntArray, shape (n_events,)
            The class whose margin is asked for.

        Returns
        -------
        margin : FloatArray, shape (n_events,)
            Log-odds by which the class wins over threshold (two classes) or over
            the strongest other class; positive while ``predict`` gives the label.
        gradient : FloatArray, shape (n_events, n_features)
            Gradient of the margin, per unit of each feature.
        """
        ...

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """
        Cross-entropy and its slope.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units.
        labels : IntArray, shape (n_events,)
            True classes.

        Returns
        -------
        loss : FloatArray, shape (n_events,)
            Cross-entropy per event in nats.
        gradient : FloatArray, shape (n_events, n_features)
            Gradient of the loss, per unit of each feature.
        """
        ...


@runtime_checkable
class Defended(Classifier, Protocol):
    """A classifier that is not fooled by another class alone."""

    def fooled(self, values: FloatArray, classes: IntArray) -> BoolArray:
        """
        Mark the events with which an attack has succeeded.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Network inputs in physical units.
        classes : IntArray, shape (n_events,)
            Class of each event before the attack.

        Returns
        -------
        BoolArray, shape (n_events,)
            True where the class is another one and the defence has noticed nothing.
        """
        ...


def spectators_of(classifier: Classifier) -> tuple[str, ...]:
    """Name the columns that a classifier is given behind its inputs."""
    return tuple(getattr(classifier, "spectators", ()))


def inputs_of(classifier: Classifier, table: EventTable) -> FloatArray:
    """
    Lay out events as a classifier is given them.

    Parameters
    ----------
    classifier : Classifier
        Whose attribute ``spectators``, if there is one, names further columns.
    table : EventTable
        Events.

    Returns
    -------
    FloatArray, shape (n_events, n_features + n_spectators)
        ``table.network_values`` and the spectators.

    Raises
    ------
    ValueError
        If the table has no such spectator, or it is no column of numbers.
    """
    return with_spectators(classifier, table, table.network_values)


def with_spectators(
    classifier: Classifier,
    table: EventTable,
    values: FloatArray,
    events: Any = slice(None),
    everything: Callable[[], FloatArray] | None = None,
) -> FloatArray:
    """Append the spectators that a classifier is given, and what it computes of all events (by default of these values)."""
    columns = []
    for name in spectators_of(classifier):
        column = table.spectators.get(name)
        if column is None or column.dtype.kind not in "biuf":
            msg = (
                f"the classifier asks for the spectator {name!r}, a column of numbers; the table has "
                f"{', '.join(table.spectators) or 'none'}: pass spectators={{{name!r}: ...}} to EventTable"
            )
            raise ValueError(msg)
        columns.append(column[events])
    context = getattr(classifier, "context", None)
    if context is not None:
        columns.append(context(table, values if everything is None else everything())[events])
    return np.column_stack([values, *columns]) if columns else values


def is_fooled(classifier: Classifier, values: FloatArray, classes: IntArray) -> BoolArray:
    """Mark the events with which an attack has succeeded: the one criterion of all attacks."""
    if isinstance(classifier, Defended):
        return classifier.fooled(values, classes)
    return np.asarray(classifier.predict(values) != classes)


def threshold_of(classifier: Classifier) -> float:
    """Find the score that separates two classes."""
    return float(getattr(classifier, "threshold", 0.5)) if classifier.n_classes == 2 else 0.5
