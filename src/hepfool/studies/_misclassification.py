# SPDX-License-Identifier: BSD-3-Clause
r"""
Find out whether detectors flag the same clean events again and again.

Detectors of independent trainings judge the same nominal events.  If each flagged at
random, the number of times that an event is flagged would be binomial; events that look
adversarial by themselves show up as an excess at large numbers (arXiv:2603.13970, eqs. 6 to 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from hepfool.typing import BoolArray, FloatArray, IntArray

_LEVEL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Misclassification:
    r"""
    How often events are flagged in several runs, observed and expected.

    Attributes
    ----------
    times : IntArray, shape (n_runs + 1,)
        :math:`k`, from never to always.
    observed : IntArray, shape (n_runs + 1,)
        :math:`O_k`, events flagged in exactly :math:`k` runs.
    expected : FloatArray, shape (n_runs + 1,)
        :math:`E_k = N \binom{R}{k} p^k (1-p)^{R-k}`.
    p_values : FloatArray, shape (n_runs + 1,)
        Probability of at least :math:`O_k` for a Poisson distribution of mean :math:`E_k`.
    accuracy : FloatArray, shape (n_runs,)
        :math:`\mathrm{acc}_i`, fraction of unflagged events in each run.
    probability : float
        :math:`p`, one minus the mean accuracy.
    counts : IntArray, shape (n_events,)
        Times that each event was flagged; -1 for events that do not count.
    level : float
        Largest p-value that is called significant.
    """

    times: IntArray
    observed: IntArray
    expected: FloatArray
    p_values: FloatArray
    accuracy: FloatArray
    probability: float
    counts: IntArray
    level: float

    @property
    def n_runs(self) -> int:
        """Number of independent trainings."""
        return len(self.accuracy)

    @property
    def n_events(self) -> int:
        """Events that count."""
        return int(self.observed.sum())

    @property
    def significant(self) -> BoolArray:
        """Marks of shape (n_runs + 1,) where the excess is significant taken alone, as in the paper."""
        return np.asarray(self.p_values < self.level)

    @property
    def p_value(self) -> float:
        """Smallest p-value for two times or more, times the number of such bins: there was more than one chance."""
        return float(min(1.0, self.p_values[2:].min() * len(self.p_values[2:])))

    @property
    def systematic(self) -> bool:
        """Whether repeated flags are more frequent than by chance, all bins considered."""
        return self.p_value < self.level

    @property
    def dispersion(self) -> float:
        """
        Variance of the counts over the binomial one.

        About 1, or a little less where the accuracy differs between runs, without systematic
        effects; ``n_runs`` if the same events are flagged in every run; NaN if nothing or everything is flagged.
        """
        binomial = self.n_runs * self.probability * (1.0 - self.probability)
        return float(self.counts[self.counts >= 0].var() / binomial) if binomial else float("nan")

    def repeated(self, times: int) -> BoolArray:
        """
        Mark the events that were flagged often.

        Returns
        -------
        BoolArray, shape (n_events,)
            True for events flagged in at least ``times`` runs.
        """
        return np.asarray(self.counts >= times)


def systematic_misclassification(
    flagged: BoolArray, *, judged: BoolArray | None = None, level: float = _LEVEL
) -> Misclassification:
    """
    Compare how often events are flagged with chance.

    Events count without their weights, because the expectation is one of plain numbers.

    Parameters
    ----------
    flagged : BoolArray, shape (n_runs, n_events)
        Nominal events that the detector of each run flags.
    judged : BoolArray, shape (n_runs, n_events), optional
        Events that count in each run, such as those that its network classifies correctly.
        Only events that count in every run are used: the others have fewer chances to be flagged.
    level : float
        Largest p-value that is called significant.

    Returns
    -------
    Misclassification
        Observed and expected numbers of events.

    Raises
    ------
    ValueError
        If there are fewer than two runs, shapes differ, or no event counts.

    Examples
    --------
    >>> flagged = np.array([[True, False, False, False], [True, False, False, True]])
    >>> result = systematic_misclassification(flagged)
    >>> result.observed.tolist(), result.expected.tolist()
    ([2, 1, 1], [1.5625, 1.875, 0.5625])
    """
    judged = np.ones(np.shape(flagged), dtype=np.bool_) if judged is None else judged
    if flagged.ndim != 2 or len(flagged) < 2 or judged.shape != flagged.shape:
        msg = (
            f"flagged has shape {flagged.shape} and judged {judged.shape}; "
            "both need (n_runs, n_events) with at least two runs"
        )
        raise ValueError(msg)
    if not 0 < level < 1:
        msg = f"level must lie between 0 and 1, got {level}"
        raise ValueError(msg)
    chosen = judged.all(axis=0)
    if not chosen.any():
        msg = "no event counts in every run; check that all runs are judged on the same events"
        raise ValueError(msg)
    n_runs, kept = len(flagged), flagged[:, chosen]
    times = np.arange(n_runs + 1)
    accuracy = 1.0 - kept.mean(axis=1)
    probability = float(1.0 - accuracy.mean())
    observed = np.bincount(kept.sum(axis=0), minlength=n_runs + 1)
    expected = kept.shape[1] * stats.binom.pmf(times, n_runs, probability)
    return Misclassification(
        times=times,
        observed=observed,
        expected=expected,
        p_values=np.asarray(stats.poisson.sf(observed - 1, expected)),
        accuracy=accuracy,
        probability=probability,
        counts=np.where(chosen, flagged.sum(axis=0), -1),
        level=level,
    )
