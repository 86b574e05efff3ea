# SPDX-License-Identifier: BSD-3-Clause
"""
Ensembles of decision trees in one plain record, whatever library they come from.

:func:`ensemble_of` reads random forests, extra trees, gradient boosting and histogram gradient boosting of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import logit

from hepfool.exceptions import NotCertifiableError
from hepfool.typing import BoolArray, FloatArray, IntArray

#: Models of which a proof can be made.
SUPPORTED: Final = (
    "scikit-learn's RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier, GradientBoostingClassifier and "
    "HistGradientBoostingClassifier, without categories"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ensemble:
    """
    A sum of decision trees.

    Attributes
    ----------
    feature : IntArray, shape (n_nodes,)
        Column that a node asks for; -1 for a leaf.
    threshold : FloatArray, shape (n_nodes,)
        Values up to this go left.
    left, right : IntArray, shape (n_nodes,)
        Next nodes; of a leaf the leaf itself.
    missing_left : BoolArray, shape (n_nodes,)
        Where NaN goes.
    value : FloatArray, shape (n_nodes, n_outputs)
        What a leaf adds.
    root : IntArray, shape (n_trees,)
        First node of each tree; its nodes follow.
    base : FloatArray, shape (n_outputs,)
        Sum without trees.
    single : bool
        Whether values are rounded to single precision first.

    Notes
    -----
    With one output, class 1 is where it is positive; else the class of the largest.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    missing_left: BoolArray
    value: FloatArray
    root: IntArray
    base: FloatArray
    single: bool

    def leaves(self, values: FloatArray) -> IntArray:
        """
        Find the leaves of events.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            NaN where missing.

        Returns
        -------
        IntArray, shape (n_events, n_trees)
            Nodes.
        """
        values = np.asarray(values.astype(np.float32), dtype=np.float64) if self.single else values
        node = np.broadcast_to(self.root, (len(values), len(self.root)))
        while (self.feature[node] >= 0).any():
            asked = np.take_along_axis(values, np.maximum(self.feature[node], 0), axis=1)
            left = np.where(np.isnan(asked), self.missing_left[node], asked <= self.threshold[node])
            node = np.where(left, self.left[node], self.right[node])
        return node

    def __call__(self, values: FloatArray) -> FloatArray:
        """
        Compute the outputs.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            NaN where missing.

        Returns
        -------
        FloatArray, shape (n_events, n_outputs)
            Sums.
        """
        return np.asarray(self.base + self.value[self.leaves(values)].sum(axis=1))


class Tree(NamedTuple):
    """One tree, its nodes counted from 0; fields as those of :class:`Ensemble`."""

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    missing_left: BoolArray
    value: FloatArray


def ensemble_of(model: Any, threshold: float = 0.5) -> Ensemble:
    """
    Read a trained model.

    Parameters
    ----------
    model : object
        One of ``SUPPORTED``.
    threshold : float
        Score of class 1 above which an event is of class 1; two classes only.

    Returns
    -------
    Ensemble
        The same decisions.

    Raises
    ------
    NotCertifiableError
        If it is none of ``SUPPORTED``.

    Examples
    --------
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> inputs, labels = np.array([[0.0], [1.0]]), np.array([0, 1])
    >>> forest = RandomForestClassifier(n_estimators=3, bootstrap=False).fit(inputs, labels)
    >>> ensemble_of(forest)(inputs).ravel().tolist()
    [-0.5, 0.5]
    """
    kind = type(model).__name__ if type(model).__module__.startswith("sklearn.") else ""
    if kind in {"RandomForestClassifier", "ExtraTreesClassifier", "DecisionTreeClassifier"} and model.n_outputs_ == 1:
        return _forest(getattr(model, "estimators_", [model]), threshold)
    if kind == "GradientBoostingClassifier" and (model.init is None or model.init == "zero"):
        rounds = [[_plain(tree.tree_) for tree in row] for row in model.estimators_]
        return _boosted(model, rounds, model.learning_rate, threshold, single=True)
    if kind == "HistGradientBoostingClassifier" and model.is_categorical_ is None:
        rounds = [[_histogram(tree.nodes) for tree in row] for row in model._predictors]  # noqa: SLF001 - no other door
        return _boosted(model, rounds, 1.0, threshold, single=False)
    msg = f"nothing can be proved of a {type(model).__name__}; supported are {SUPPORTED}"
    raise NotCertifiableError(msg)


def _forest(estimators: Iterable[Any], threshold: float) -> Ensemble:
    """Mean of the leaves' class fractions."""
    trees = [_plain(tree.tree_) for tree in estimators]
    shares = [tree.value / tree.value.sum(axis=1, keepdims=True) / len(trees) for tree in trees]
    two = shares[0].shape[1] == 2
    values = [share[:, 1:] if two else share for share in shares]
    base = np.array([-threshold]) if two else np.zeros(shares[0].shape[1])
    return joined([tree._replace(value=value) for tree, value in zip(trees, values, strict=True)], base, single=True)


def _boosted(model: Any, rounds: list[list[Tree]], rate: float, threshold: float, *, single: bool) -> Ensemble:
    """One tree per output in each round; what does not depend on the inputs is what is left of one answer."""
    n_outputs = len(rounds[0])
    outputs = np.eye(n_outputs)
    trees = [t._replace(value=rate * t.value[:, :1] * outputs[k]) for row in rounds for k, t in enumerate(row)]
    ensemble = joined(trees, np.zeros(n_outputs), single=single)
    inputs = np.zeros((1, model.n_features_in_))
    base = model.decision_function(inputs).reshape(-1) - ensemble(inputs)[0]
    return joined(trees, base - (logit(threshold) if n_outputs == 1 else 0.0), single=single)


def _plain(tree: Any) -> Tree:
    inner, own = tree.children_left >= 0, np.arange(tree.node_count)
    missing_left = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Tree(
        np.where(inner, tree.feature, -1),
        np.asarray(tree.threshold, dtype=np.float64),
        np.where(inner, tree.children_left, own),
        np.where(inner, tree.children_right, own),
        np.asarray(missing_left, dtype=np.bool_),
        np.asarray(tree.value[:, 0, :], dtype=np.float64),
    )


def _histogram(nodes: Any) -> Tree:
    inner, own = nodes["is_leaf"] == 0, np.arange(len(nodes))
    return Tree(
        np.where(inner, nodes["feature_idx"].astype(np.int64), -1),
        nodes["num_threshold"].astype(np.float64),
        np.where(inner, nodes["left"].astype(np.int64), own),
        np.where(inner, nodes["right"].astype(np.int64), own),
        nodes["missing_go_to_left"].astype(np.bool_),
        nodes["value"].astype(np.float64)[:, np.newaxis],
    )


def joined(trees: list[Tree], base: FloatArray, *, single: bool) -> Ensemble:
    """Put trees behind each other."""
    root = np.cumsum([0, *(len(tree.feature) for tree in trees)])[:-1]

    def column(of: Callable[[Tree, int], Any]) -> Any:
        return np.concatenate([of(tree, int(first)) for tree, first in zip(trees, root, strict=True)])

    return Ensemble(
        feature=column(lambda tree, _: tree.feature),
        threshold=column(lambda tree, _: tree.threshold),
        left=column(lambda tree, first: tree.left + first),
        right=column(lambda tree, first: tree.right + first),
        missing_left=column(lambda tree, _: tree.missing_left),
        value=column(lambda tree, _: tree.value),
        root=root,
        base=base,
        single=single,
    )
