# SPDX-License-Identifier: BSD-3-Clause
"""Bins of the network's scores, doubled by the flags of a detector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepfool.attacks._problem import AttackProblem
from hepfool.attacks._search.score import ScoreAxis
from hepfool.models.protocols import inputs_of, threshold_of
from hepfool.typing import FloatArray, IntArray
from hepfool.validation import Validation


class ScoreBins(NamedTuple):
    """Bins of the score: edges per node, those of a single score in log-odds too, and nominal bins."""

    edges: tuple[FloatArray, ...]
    axis: ScoreAxis
    nominal: IntArray
    n_bins: int


def _logit(score: FloatArray) -> FloatArray:
    clipped = np.clip(score, 1e-12, 1.0 - 1e-12)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _nodes(problem: AttackProblem, scores: FloatArray) -> FloatArray:
    """Scores that are independent of each other: that of class 1 of two, else all."""
    return scores[:, 1:] if problem.classifier.n_classes == 2 else scores


def bins_of(
    problem: AttackProblem, validation: Validation, edges: tuple[FloatArray, ...], inputs: FloatArray
) -> IntArray:
    nodes = _nodes(problem, problem.classifier.scores(inputs))
    bins = np.stack([np.searchsorted(e, nodes[:, k], side="left") for k, e in enumerate(edges)], axis=1)
    if validation.flagged is not None:
        n_score = max(len(e) for e in edges) + 1
        bins = (
            bins + n_score * np.asarray(validation.flagged.flags(inputs[:, : problem.table.n_features]))[:, np.newaxis]
        )
    return np.ascontiguousarray(bins)


def score_bins_of(problem: AttackProblem, validation: Validation) -> ScoreBins:
    """Find the bins of the score."""
    inputs = inputs_of(problem.classifier, problem.table)
    nodes = _nodes(problem, problem.classifier.scores(inputs))
    threshold = threshold_of(problem.classifier)
    edges = tuple(validation.score_edges(nodes[:, k], problem.constrained, threshold) for k in range(nodes.shape[1]))
    bins = bins_of(problem, validation, edges, inputs)
    n_score = max(len(e) for e in edges) + 1
    log_odds = _logit(edges[0]) - float(_logit(np.array([threshold]))[0])
    typical = _logit(nodes[:, 0]) - float(_logit(np.array([threshold]))[0])
    place = bins[:, 0] % n_score
    middle = np.empty(len(log_odds) + 1)
    padded = np.concatenate([[log_odds[0] - 1.0], log_odds, [log_odds[-1] + 1.0]])
    for k in range(len(middle)):
        own = typical[place == k]
        middle[k] = own.mean() if len(own) else 0.5 * (padded[k] + padded[k + 1])
    return ScoreBins(edges, ScoreAxis(log_odds, middle), bins, n_score * (1 if validation.flagged is None else 2))
