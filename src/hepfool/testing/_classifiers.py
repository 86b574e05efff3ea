# SPDX-License-Identifier: BSD-3-Clause
"""What every classifier promises, and every classifier with gradients."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from hepfool.models.protocols import Classifier, DifferentiableClassifier
from hepfool.typing import FloatArray

_N_EVENTS = 50
#: Gradients that may differ from differences of the function, where a rectifier switches within the step.
_MOST_KINKS = 2
_STEP = 1e-6


class _Specimen:
    """Inputs of the tests of a classifier, to be overridden."""

    @pytest.fixture
    def build(self) -> Callable[[int], Classifier]:
        """Return a function from a seed to a classifier; two seeds give two sets of parameters."""
        msg = f"{type(self).__name__} has nothing to test; override its fixture build"
        raise NotImplementedError(msg)

    @pytest.fixture
    def values(self, build: Callable[[int], Classifier]) -> FloatArray:
        """Return inputs of 50 events of every class, shape (50, n_features); override them where their scale matters, or spectators follow."""
        n_features = build(3).n_features
        if n_features is None:
            pytest.fail("the classifier does not state its number of inputs; override the fixture values")
        array = np.random.default_rng(20260513).normal(scale=2.0, size=(_N_EVENTS, n_features))
        # As a table has them.
        array.flags.writeable = False
        return array


class ClassifierConformance(_Specimen):
    """Tests of a classifier; inherit them in a class whose name begins with ``Test`` and override ``build``."""

    def test_scores_are_probabilities(self, build: Callable[[int], Classifier], values: FloatArray) -> None:
        """One column per class in double precision, between 0 and 1, with a sum of one."""
        classifier = build(3)
        scores = classifier.scores(values)
        assert isinstance(classifier, Classifier)
        assert scores.shape == (len(values), classifier.n_classes)
        assert scores.dtype == np.float64
        assert ((scores >= 0) & (scores <= 1)).all()
        np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-12)

    def test_no_event_is_no_error(self, build: Callable[[int], Classifier], values: FloatArray) -> None:
        """An empty table gives empty answers."""
        classifier = build(3)
        nothing = np.empty((0, values.shape[1]))
        assert classifier.scores(nothing).shape == (0, classifier.n_classes)
        assert classifier.predict(nothing).shape == (0,)

    def test_classes_follow_from_the_scores(self, build: Callable[[int], Classifier], values: FloatArray) -> None:
        """Class 1 of two above the threshold, or else the most probable one."""
        classifier = build(3)
        scores, classes = classifier.scores(values), classifier.predict(values)
        assert classes.dtype == np.int64
        assert len(set(classes.tolist())) > 1
        threshold = getattr(classifier, "threshold", 0.5)
        expected = scores[:, 1] > threshold if classifier.n_classes == 2 else scores.argmax(axis=1)
        np.testing.assert_array_equal(classes, expected)

    def test_digest_tells_parameters_apart(self, build: Callable[[int], Classifier]) -> None:
        """The digest names the parameters: results and checkpoints are found by it."""
        assert build(3).digest == build(3).digest
        assert build(3).digest != build(4).digest

    def test_pickles(self, build: Callable[[int], Classifier], values: FloatArray) -> None:
        """Workers get the classifier as a pickle."""
        classifier = build(3)
        copy = pickle.loads(pickle.dumps(classifier))
        assert copy.digest == classifier.digest
        np.testing.assert_array_equal(copy.scores(values), classifier.scores(values))


class GradientConformance(_Specimen):
    """Tests of a classifier with gradients, best in double precision; to be inherited beside the others."""

    @pytest.fixture
    def differentiable(self, build: Callable[[int], Classifier]) -> DifferentiableClassifier:
        """Build one of them."""
        classifier = build(3)
        assert isinstance(classifier, DifferentiableClassifier)
        return classifier

    def test_no_event_has_no_gradient(self, differentiable: DifferentiableClassifier, values: FloatArray) -> None:
        """An empty table gives empty answers."""
        nothing = np.empty((0, values.shape[1]))
        margin, gradient = differentiable.margin_and_gradient(nothing, np.empty(0, dtype=np.int64))
        assert margin.shape == (0,)
        assert gradient.shape == (0, differentiable.n_features or values.shape[1])

    def test_margin_is_positive_for_the_predicted_class(
        self, differentiable: DifferentiableClassifier, values: FloatArray
    ) -> None:
        """And for no other."""
        classes = differentiable.predict(values)
        labels = [np.full(len(values), c) for c in range(differentiable.n_classes)]
        margins = np.stack([differentiable.margin_and_gradient(values, label)[0] for label in labels])
        np.testing.assert_array_equal(margins > 0, np.arange(len(margins))[:, None] == classes)

    @pytest.mark.parametrize("quantity", ["margin_and_gradient", "loss_and_gradient"])
    def test_gradient_agrees_with_differences(
        self, differentiable: DifferentiableClassifier, values: FloatArray, quantity: str
    ) -> None:
        """Of margin and loss, in every input, but for two kinks."""
        labels = np.arange(len(values)) % differentiable.n_classes
        evaluate = getattr(differentiable, quantity)
        result, gradient = evaluate(values, labels)
        assert result.shape == (len(values),)
        assert gradient.shape == (len(values), differentiable.n_features or values.shape[1])
        assert result.dtype == gradient.dtype == np.float64
        kinks = 0
        for j in range(gradient.shape[1]):
            moved = np.eye(values.shape[1])[j] * _STEP
            difference = (evaluate(values + moved, labels)[0] - evaluate(values - moved, labels)[0]) / (2 * _STEP)
            kinks += int((np.abs(difference - gradient[:, j]) > 1e-4 * (1 + np.abs(difference))).sum())
        assert kinks <= _MOST_KINKS

    def test_loss_is_the_cross_entropy(self, differentiable: DifferentiableClassifier, values: FloatArray) -> None:
        """Minus the logarithm of the label's score."""
        labels = np.arange(len(values)) % differentiable.n_classes
        loss, _ = differentiable.loss_and_gradient(values, labels)
        expected = -np.log(differentiable.scores(values)[np.arange(len(values)), labels])
        np.testing.assert_allclose(loss, expected, rtol=1e-9)
