# SPDX-License-Identifier: BSD-3-Clause
"""Trees from the files of XGBoost (JSON, UBJSON) and LightGBM (text), read without these packages."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import numpy as np
from scipy.special import logit

from hepfool.models._trees import Ensemble, Tree, joined

_XGBOOST: Final = ("binary:logistic", "multi:softprob", "multi:softmax")


def read_xgboost(content: bytes) -> tuple[Ensemble, int, tuple[str, ...]]:
    """
    Read a booster as XGBoost saves it.

    Parameters
    ----------
    content : bytes
        JSON or UBJSON.

    Returns
    -------
    ensemble : Ensemble
        Log-odds of class 1, or one number per class; up to the best iteration, if the file names one, as ``XGBClassifier`` has it.
    n_features : int
        Input width.
    feature_names : tuple of str
        Inputs by name; empty if the file names none.

    Raises
    ------
    ValueError
        If it is no booster of trees for classes, or has categories.
    """
    text = content.lstrip()[:2]
    learner = (json.loads(content) if text[:1] == b"{" and text[1:2] in b'" \n' else _Reader(content).value())[
        "learner"
    ]
    objective, parameters = learner["objective"]["name"], learner["learner_model_param"]
    booster, weights = learner["gradient_booster"], None
    if booster["name"] == "dart":
        booster, weights = booster["gbtree"], booster["weight_drop"]
    if objective not in _XGBOOST or "trees" not in booster.get("model", ()):
        msg = f"objective {objective} of booster {booster['name']} gives no probability of a class by trees; known are {', '.join(_XGBOOST)}"
        raise ValueError(msg)
    model = booster["model"]
    n_outputs = max(int(parameters["num_class"]), 1)
    best = learner.get("attributes", {}).get("best_iteration")
    n_trees = len(model["trees"])
    if best is not None:
        each = n_outputs * max(int(model["gbtree_model_param"].get("num_parallel_tree", 1)), 1)
        n_trees = min(n_trees, (int(best) + 1) * each)
    trees = []
    for k in range(n_trees):
        weight = np.zeros(n_outputs)
        weight[model["tree_info"][k]] = 1.0 if weights is None else weights[k]
        trees.append(_xgboost_tree(model["trees"][k], weight))
    given = parameters["base_score"]
    base = np.array(json.loads(given) if isinstance(given, str) else given, dtype=np.float64) * np.ones(n_outputs)
    ensemble = joined(trees, logit(base) if n_outputs == 1 else base, single=True)
    return ensemble, int(parameters["num_feature"]), tuple(learner.get("feature_names", ()))


def _xgboost_tree(tree: Any, weight: Any) -> Tree:
    left, right = (np.asarray(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
    if np.any(tree.get("split_type", 0)) or int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        msg = "the trees have categories or vectors in their leaves; encode categories as numbers, and train one output per tree"
        raise ValueError(msg)
    inner, own = left >= 0, np.arange(len(left))
    conditions = np.asarray(tree["split_conditions"], dtype=np.float32)
    # Values below the threshold go left; the record has those up to it.
    threshold = np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64)
    return Tree(
        np.where(inner, np.asarray(tree["split_indices"], dtype=np.int64), -1),
        threshold,
        np.where(inner, left, own),
        np.where(inner, right, own),
        np.asarray(tree["default_left"], dtype=np.bool_),
        np.where(inner, 0.0, conditions.astype(np.float64))[:, np.newaxis] * weight,
    )


class _Reader:
    """The parts of UBJSON that XGBoost writes."""

    _NUMBERS: Final = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
    _PLAIN: Final[dict[bytes, Any]] = {b"Z": None, b"T": True, b"F": False}

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def value(self, marker: bytes = b"") -> Any:
        marker = marker or self._take(1)
        if marker in self._PLAIN:
            return self._PLAIN[marker]
        if marker in self._NUMBERS:
            kind = self._NUMBERS[marker]
            return struct.unpack(kind, self._take(struct.calcsize(kind)))[0]
        if marker == b"S":
            return self._text()
        if marker in {b"{", b"["}:
            return self._container(marker)
        msg = f"byte {self._at} is {marker!r}, which begins no value of UBJSON"
        raise ValueError(msg)

    def _container(self, marker: bytes) -> Any:
        kind = self._take(2)[1:] if self._next() == b"$" else b""
        count = None
        if self._next() == b"#":
            self._take(1)
            count = self.value()
        if marker == b"[" and kind in self._NUMBERS and count is not None:
            dtype = np.dtype(self._NUMBERS[kind])
            return np.frombuffer(self._take(count * dtype.itemsize), dtype=dtype)
        items: list[Any] = []
        end = {b"{": b"}", b"[": b"]"}[marker]
        while (len(items) < count) if count is not None else (self._next() != end):
            items.append((self._text(), self.value(kind)) if marker == b"{" else self.value(kind))
        if count is None:
            self._take(1)
        return dict(items) if marker == b"{" else items

    def _text(self) -> str:
        return self._take(self.value()).decode()

    def _next(self) -> bytes:
        return self._content[self._at : self._at + 1]

    def _take(self, n: int) -> bytes:
        if n < 0 or self._at + n > len(self._content):
            msg = f"the file ends at byte {len(self._content)}, in the middle of a value"
            raise ValueError(msg)
        self._at += n
        return self._content[self._at - n : self._at]


def read_lightgbm(text: str) -> tuple[Ensemble, int, tuple[str, ...]]:
    """
    Read a booster as LightGBM saves it.

    Parameters
    ----------
    text : str
        Content of the file.

    Returns
    -------
    ensemble : Ensemble
        Log-odds of class 1, or one number per class.
    n_features : int
        Input width.
    feature_names : tuple of str
        Inputs by name; empty if the file names none.

    Raises
    ------
    ValueError
        If it is no sum of trees for classes, has categories or linear leaves, or takes zeros for missing.
    """
    content, end, _ = text.partition("\nend of trees")
    if not end:
        msg = "the file ends before its trees do; is it complete?"
        raise ValueError(msg)
    header, *blocks = content.split("\nTree=")
    facts = _facts(header)
    objective, *details = facts.get("objective", "").split()
    if objective not in {"binary", "multiclass", "softmax"} or not blocks or "average_output" in header.split():
        msg = f"objective {objective or 'none'} gives no probability of a class by a sum of trees; known are binary and multiclass"
        raise ValueError(msg)
    scale = float(dict(d.split(":") for d in details).get("sigmoid", 1.0)) if objective == "binary" else 1.0
    n_outputs = int(facts["num_tree_per_iteration"])
    trees = [_lightgbm_tree(_facts(block), scale * np.eye(n_outputs)[k % n_outputs]) for k, block in enumerate(blocks)]
    names = tuple(facts.get("feature_names", "").split())
    n_features = int(facts["max_feature_idx"]) + 1
    unnamed = names == tuple(f"Column_{k}" for k in range(n_features))
    return joined(trees, np.zeros(n_outputs), single=False), n_features, () if unnamed else names


def _facts(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _lightgbm_tree(facts: dict[str, str], weight: Any) -> Tree:
    def column(name: str, kind: type = np.int64) -> Any:
        return np.array(facts.get(name, "").split(), dtype=kind)

    decisions = column("decision_type")
    missing = (decisions >> 2) & 3
    if int(facts.get("num_cat", 0)) or facts.get("is_linear", "0") != "0" or (missing == 1).any():
        msg = "the trees have categories or linear leaves, or zero_as_missing; train them without"
        raise ValueError(msg)
    values, threshold = column("leaf_value", np.float64), column("threshold", np.float64)
    n_inner = len(decisions)
    left, right = (np.where(c < 0, n_inner + ~c, c) for c in (column("left_child"), column("right_child")))
    leaves = n_inner + np.arange(len(values))
    nothing = np.zeros(len(values))
    # Without missing values in training, NaN counts as 0.
    missing_left = np.where(missing == 2, decisions & 2, threshold >= 0.0)
    return Tree(
        np.append(column("split_feature"), -np.ones(len(values), dtype=np.int64)),
        np.append(threshold, nothing),
        np.append(left, leaves),
        np.append(right, leaves),
        np.append(missing_left, nothing).astype(np.bool_),
        np.append(np.zeros(n_inner), values)[:, np.newaxis] * weight,
    )
