# SPDX-License-Identifier: BSD-3-Clause
"""Efficiencies of signal and background for several scores of the same events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = ["ScoredEvents"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredEvents:
    """
    Events with their scores before and after changes.

    Attributes
    ----------
    signal : BoolArray, shape (n_events,)
        True for signal, False for background.
    weights : FloatArray, shape (n_events,)
        Event weights, dimensionless.
    scores : tuple of FloatArray, shape (n_events,)
        The first are those of the nominal events.
    """

    signal: BoolArray
    weights: FloatArray
    scores: tuple[FloatArray, ...]

    @classmethod
    def checked(cls, labels: IntArray, scores: Mapping[str, FloatArray], weights: FloatArray | None) -> ScoredEvents:
        """
        Check and collect the arrays.

        Parameters
        ----------
        labels : IntArray, shape (n_events,)
            1 for signal, 0 for background.
        scores : mapping of str to FloatArray, shape (n_events,)
            In [0, 1], nominal ones first.
        weights : FloatArray, shape (n_events,), optional
            Event weights; 1 when left out.

        Returns
        -------
        ScoredEvents
            The events.

        Raises
        ------
        ValueError
            If the arrays do not fit, a score is no score, or a class has no weight.
        """
        n_events = len(labels)
        used = np.ones(n_events) if weights is None else np.asarray(weights, dtype=np.float64)
        if used.shape != (n_events,):
            msg = f"the weights have shape {used.shape}, expected ({n_events},): one per event"
            raise ValueError(msg)
        for name, values in scores.items():
            if np.shape(values) != (n_events,) or not ((values >= 0) & (values <= 1)).all():
                msg = f"the scores {name!r} must be {n_events} numbers in [0, 1]; got shape {np.shape(values)}"
                raise ValueError(msg)
        if not np.isin(labels, (0, 1)).all():
            msg = f"labels must be 0 or 1, found {np.unique(labels).tolist()}; select labelled events of two classes"
            raise ValueError(msg)
        for label, name in ((0, "background"), (1, "signal")):
            if not used[labels == label].sum() > 0:
                msg = f"{name} events (label {label}) have no positive total weight; both classes are needed"
                raise ValueError(msg)
        arrays = tuple(np.asarray(values, dtype=np.float64) for values in scores.values())
        return cls(signal=np.asarray(labels) == 1, weights=used, scores=arrays)

    def efficiencies(self, thresholds: FloatArray) -> FloatArray:
        """
        Weighted fractions of events above each threshold.

        Parameters
        ----------
        thresholds : FloatArray, shape (n_thresholds,)
            Ascending; a score on a threshold does not pass.

        Returns
        -------
        FloatArray, shape (n_scores, 2, n_thresholds)
            Of signal and background.
        """
        return self._efficiencies(self._n_passed(thresholds), self.weights, len(thresholds))

    def resampled(self, thresholds: FloatArray, n_replicas: int, rng: np.random.Generator) -> Iterator[FloatArray]:
        """
        Efficiencies of resampled events.

        Every event is drawn with all of its scores, a Poisson number of times.

        Parameters
        ----------
        thresholds : FloatArray, shape (n_thresholds,)
            Ascending.
        n_replicas : int
            Resampled sets.
        rng : numpy.random.Generator
            Source of randomness.

        Yields
        ------
        FloatArray, shape (n_scores, 2, n_thresholds)
            As :meth:`efficiencies`; NaN for a class that was not drawn.
        """
        n_passed = self._n_passed(thresholds)
        for _ in range(n_replicas):
            weights = self.weights * rng.poisson(1.0, size=len(self.weights))
            yield self._efficiencies(n_passed, weights, len(thresholds))

    def effective_background(self, thresholds: FloatArray) -> FloatArray:
        r"""
        Effective number :math:`(\sum w)^2/\sum w^2` of background events above each threshold.

        Parameters
        ----------
        thresholds : FloatArray, shape (n_thresholds,)
            Ascending.

        Returns
        -------
        FloatArray, shape (n_thresholds,)
            By the first scores.
        """
        n_passed, background = self._n_passed(thresholds)[0], ~self.signal
        first, second = (
            _sums_above(n_passed[background], weights[background], len(thresholds))
            for weights in (self.weights, self.weights**2)
        )
        return np.divide(first**2, second, out=np.zeros_like(first), where=second > 0)

    def _n_passed(self, thresholds: FloatArray) -> tuple[IntArray, ...]:
        """Count the thresholds below each score."""
        return tuple(np.searchsorted(thresholds, scores, side="left") for scores in self.scores)

    def _efficiencies(self, n_passed: tuple[IntArray, ...], weights: FloatArray, n_thresholds: int) -> FloatArray:
        fractions = np.full((len(n_passed), 2, n_thresholds), np.nan)
        for k, chosen in enumerate((self.signal, ~self.signal)):
            used = weights[chosen]
            if (norm := used.sum()) > 0:
                fractions[:, k] = [_sums_above(passed[chosen], used, n_thresholds) / norm for passed in n_passed]
        return fractions


def _sums_above(n_passed: IntArray, weights: FloatArray, n_thresholds: int) -> FloatArray:
    sums = np.bincount(n_passed, weights=weights, minlength=n_thresholds + 1)
    return np.asarray(np.cumsum(sums[::-1])[::-1][1:], dtype=np.float64)
