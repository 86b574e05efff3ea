# SPDX-License-Identifier: BSD-3-Clause
"""Ensembles of decision trees whose margin is known exactly, for one event and one input at all candidates at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from scipy.special import expit, logit, softmax

from hepfool.models._tree_files import read_lightgbm, read_xgboost
from hepfool.models._tree_kernels import Profile, Trees, margins, outputs, profiles
from hepfool.models._trees import Ensemble, ensemble_of
from hepfool.models.blackbox import FiniteDifference, check_classes
from hepfool.typing import FloatArray, IntArray

#: Step of the slopes, in units of the range of the thresholds.
_STEP: Final = 0.05
_NEXT_TO_ZERO: Final = 1e-30


class TreeClassifier:
    """
    Boosted trees or a forest.

    ``CONSERVAttack(strategy="frugal")`` takes the exact change of the margin for every candidate from them; other attacks follow
    slopes from differences over 5 % of the range of each input's thresholds.

    Parameters
    ----------
    trees : Ensemble
        Whose outputs are log-odds of class 1 or one number per class, or with ``output="probability"`` the probabilities.
    n_features : int
        Input width.
    feature_names : sequence of str
        Inputs in the order of the training, to be compared with those of a table; empty if not known.
    output : {"logit", "probability"}
        What the outputs are.
    threshold : float
        Score of class 1 above which an event is of class 1; two classes only.

    Raises
    ------
    ValueError
        If the trees ask for more inputs, or the threshold is out of range.
    """

    def __init__(
        self,
        trees: Ensemble,
        n_features: int,
        feature_names: Sequence[str] = (),
        *,
        output: str = "logit",
        threshold: float = 0.5,
    ) -> None:
        if trees.feature.max(initial=-1) >= n_features:
            msg = f"the trees ask for input {trees.feature.max()}, but n_features is {n_features}"
            raise ValueError(msg)
        if not 0 < threshold < 1 or (len(trees.base) > 1 and threshold != 0.5):  # noqa: PLR2004
            msg = f"threshold must lie between 0 and 1, and has no meaning for three or more classes, got {threshold}"
            raise ValueError(msg)
        self._ensemble, self._n_features, self._feature_names = trees, n_features, tuple(map(str, feature_names))
        self._output, self._threshold = output, float(threshold)

    @classmethod
    def of(cls, model: Any, *, threshold: float = 0.5) -> TreeClassifier:
        """
        Read a trained model.

        Parameters
        ----------
        model : object
            Of XGBoost, LightGBM, or scikit-learn: see ``hepfool.models._trees.SUPPORTED``.
        threshold : float
            Score of class 1 above which an event is of class 1.

        Returns
        -------
        TreeClassifier
            With the same scores.

        Raises
        ------
        NotCertifiableError
            If it is another model.
        ValueError
            If its classes are not those of the labels.

        Examples
        --------
        >>> from sklearn.ensemble import RandomForestClassifier
        >>> inputs, labels = np.array([[0.0], [1.0]]), np.array([0, 1])
        >>> forest = RandomForestClassifier(n_estimators=3, bootstrap=False).fit(inputs, labels)
        >>> TreeClassifier.of(forest).scores(inputs).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        """
        booster = getattr(model, "booster_", model)
        booster = booster.get_booster() if hasattr(booster, "get_booster") else booster
        if hasattr(booster, "save_raw"):
            return cls(*read_xgboost(bytes(booster.save_raw("ubj"))), threshold=threshold)
        if hasattr(booster, "model_to_string"):
            return cls(*read_lightgbm(booster.model_to_string()), threshold=threshold)
        trees = ensemble_of(model)
        n_classes = max(len(trees.base), 2)
        check_classes(model.classes_, n_classes)
        boosted = hasattr(model, "decision_function")
        if not boosted and n_classes == 2:
            trees = replace(trees, base=trees.base + 0.5)
        names = getattr(model, "feature_names_in_", ())
        return cls(
            trees, model.n_features_in_, names, output="logit" if boosted else "probability", threshold=threshold
        )

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return max(len(self._ensemble.base), 2)

    @property
    def n_features(self) -> int:
        """Input width."""
        return self._n_features

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Inputs in the order of the training; empty if the model does not store them."""
        return self._feature_names

    @property
    def threshold(self) -> float:
        """Score of class 1 above which an event is of class 1."""
        return self._threshold

    @cached_property
    def digest(self) -> str:
        """SHA-256 of trees and settings."""
        digest = hashlib.sha256(f"{self._n_features} {self._output} {self._threshold} {self._ensemble.single}".encode())
        for name in ("feature", "threshold", "left", "right", "missing_left", "value", "root", "base"):
            digest.update(np.ascontiguousarray(getattr(self._ensemble, name)).tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"TreeClassifier(n_trees={len(self._ensemble.root)}, n_features={self.n_features}, n_classes={self.n_classes}, "
            f"threshold={self.threshold}, digest={self.digest[:12]!r})"
        )

    @cached_property
    def trees(self) -> Trees:
        """The trees for compiled functions: what a sweep by exact profiles asks for."""
        offset = float(logit(self._threshold)) if self.n_classes == 2 else 0.0
        return Trees.of(self._ensemble, self._n_features, logarithm=self._output == "probability", offset=offset)

    def ensemble(self) -> Ensemble:
        """
        Return the trees with the threshold in their base, of which something can be proved.

        Returns
        -------
        Ensemble
            Class 1 where its output is positive, or the class of the largest.
        """
        if self.n_classes > 2:
            return self._ensemble
        boundary = self._threshold if self._output == "probability" else float(logit(self._threshold))
        return replace(self._ensemble, base=self._ensemble.base - boundary)

    def scores(self, values: FloatArray) -> FloatArray:
        """Class probabilities; see :meth:`~hepfool.models.protocols.Classifier.scores`."""
        raw = self._raw(values)
        if self.n_classes == 2:
            of_one = raw[:, 0] if self._output == "probability" else expit(raw[:, 0])
            of_one = of_one.clip(0.0, 1.0)
            return np.stack([1.0 - of_one, of_one], axis=1)
        return np.asarray(
            raw.clip(0.0) / raw.clip(0.0).sum(axis=1, keepdims=True)
            if self._output == "probability"
            else softmax(raw, axis=1)
        )

    def predict(self, values: FloatArray) -> IntArray:
        """Predicted classes; see :meth:`~hepfool.models.protocols.Classifier.predict`."""
        if self.n_classes == 2:
            return (self.scores(values)[:, 1] > self._threshold).astype(np.int64)
        return np.asarray(self._raw(values).argmax(axis=1), dtype=np.int64)

    def margin(self, values: FloatArray, labels: IntArray) -> FloatArray:
        """
        Compute the distance to the decision boundary in log-odds.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Inputs in physical units.
        labels : IntArray, shape (n_events,)
            The class whose margin is asked for.

        Returns
        -------
        FloatArray, shape (n_events,)
            Positive while :meth:`predict` gives the label.
        """
        raw, found = self._raw(values), np.empty(len(values))
        margins(self.trees, raw, np.array(labels, dtype=np.int64), np.zeros(raw.shape[1]), found)
        return found

    def margin_profile(self, values: FloatArray, labels: IntArray, column: int, candidates: FloatArray) -> FloatArray:
        """
        Compute the margin where one input takes other values, exactly and in one walk through the trees.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            Inputs in physical units.
        labels : IntArray, shape (n_events,)
            The class whose margin is asked for.
        column : int
            The input.
        candidates : FloatArray, shape (n_events, n_candidates)
            Its values for each event, ascending.

        Returns
        -------
        FloatArray, shape (n_events, n_candidates)
            Margins in log-odds.
        """
        if (np.diff(candidates, axis=1) < 0).any() or np.isnan(candidates).any():
            msg = "candidates must ascend along their second axis, without NaN"
            raise ValueError(msg)
        found = np.empty(np.shape(candidates))
        space = Profile.of(self.trees, len(candidates.T))
        asked = np.array(candidates, dtype=np.float64)
        profiles(self.trees, self._checked(values), np.array(labels, dtype=np.int64), column, asked, found, space)
        return found

    def margin_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Margin, and its slope from differences; see :meth:`~hepfool.models.protocols.DifferentiableClassifier.margin_and_gradient`."""
        return self.margin(values, labels), self._differences.margin_and_gradient(values, labels)[1]

    def loss_and_gradient(self, values: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """Cross-entropy, and its slope from differences."""
        return self._differences.loss_and_gradient(values, labels)

    def cuts(self, n_events: int, rng: np.random.Generator) -> FloatArray:
        """
        Draw events whose inputs lie near the thresholds, a tenth of them missing, to compare with another implementation.

        Parameters
        ----------
        n_events : int
            How many.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            In single precision, some exactly at a threshold.
        """
        values = np.empty((n_events, self._n_features))
        for j in range(self._n_features):
            own = self._thresholds(j)
            near = rng.choice([0.0, 1e-3, -0.1, 0.1], n_events) * (np.ptp(own) + 1.0)
            values[:, j] = rng.choice(own, n_events) + near
        values[rng.random(values.shape) < 0.1] = np.nan  # noqa: PLR2004
        # LightGBM puts thresholds at ±1e-35 for what is not zero, and reads them from text to a last digit or so.
        values[np.abs(values) < _NEXT_TO_ZERO] = 0.0
        return values.astype(np.float32).astype(np.float64)

    @cached_property
    def _differences(self) -> FiniteDifference:
        ranges = [np.ptp(self._thresholds(j)) for j in range(self._n_features)]
        return FiniteDifference(self, [_STEP * (width if width > 0 else 1.0) for width in ranges])

    def _thresholds(self, j: int) -> FloatArray:
        """Finite thresholds of an input, or 0."""
        own = self._ensemble.threshold[self._ensemble.feature == j]
        own = own[np.isfinite(own)]
        return own if len(own) else np.zeros(1)

    def _checked(self, values: FloatArray) -> FloatArray:
        if np.ndim(values) != 2 or np.shape(values)[1] != self._n_features:
            msg = f"values have shape {np.shape(values)}, the trees expect (n_events, {self._n_features})"
            raise ValueError(msg)
        return np.array(values, dtype=np.float64, order="C")

    def _raw(self, values: FloatArray) -> FloatArray:
        checked = self._checked(values)
        raw = np.empty((len(checked), len(self._ensemble.base)))
        outputs(self.trees, checked, np.empty(len(self._ensemble.root), dtype=np.int64), raw)
        return raw
