# SPDX-License-Identifier: BSD-3-Clause
r"""
Stop a search when its last iterations gained next to nothing, compared with the statistical error.

Each iteration begins by asking the network about the events, so that the fraction that is fooled by then is known at no cost.
The search has converged once the best fraction of the last :data:`PATIENCE` iterations exceeds the best one before by no more
than :data:`TOLERANCE` statistical errors; one more iteration then wins back what repairs have lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hepfool.typing import BoolArray, FloatArray

#: Iterations over which the gain counts.
PATIENCE: Final = 10
#: Gain over so many iterations that is none, in units of the statistical error of the fooling ratio.
TOLERANCE: Final = 0.1


def weighted_fraction(chosen: BoolArray, weights: FloatArray) -> tuple[float, float]:
    r"""
    Weighted fraction of chosen events.

    Parameters
    ----------
    chosen : BoolArray, shape (n_events,)
        What is counted.
    weights : FloatArray, shape (n_events,)
        Event weights.

    Returns
    -------
    (float, float)
        The fraction :math:`p` and its standard error :math:`\sqrt{\sum w^2 (c - p)^2}/|\sum w|`, to which a
        bootstrap over events converges; NaN where the weights sum to zero.

    Examples
    --------
    >>> weighted_fraction(np.array([True, False, False, False]), np.ones(4))
    (0.25, 0.21650635094610965)
    """
    total = float(weights.sum())
    if not total:
        return float("nan"), float("nan")
    fraction = float(weights[chosen].sum()) / total
    return fraction, float(np.linalg.norm(weights * (chosen - fraction))) / abs(total)


@dataclass(slots=True)
class Progress:
    """
    What an attack has noted of its own gains.

    Attributes
    ----------
    ratios, errors : list of float
        Fooling ratio at the start of each iteration, and its statistical error; empty unless the attack is to stop by itself.
    converged : bool
        Whether no iteration is needed after the present one.

    Examples
    --------
    >>> progress = Progress()
    >>> for iteration in range(PATIENCE + 1):
    ...     progress.note(iteration, np.array([True, False]), np.ones(2))
    >>> progress.converged
    True
    """

    ratios: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    converged: bool = False

    @property
    def asked(self) -> bool:
        """Whether the attack is to stop by itself."""
        return bool(self.ratios)

    def note(self, iteration: int, fooled: BoolArray, weights: FloatArray) -> None:
        """
        Note who is fooled at the start of an iteration, and judge whether it is the last.

        Parameters
        ----------
        iteration : int
            From 0; a repetition of the same iteration changes nothing.
        fooled : BoolArray, shape (n_attacked,)
            Attacked events of another class than before.
        weights : FloatArray, shape (n_attacked,)
            Their weights.
        """
        if len(self.ratios) > iteration:
            return
        ratio, error = weighted_fraction(fooled, weights)
        self.ratios.append(ratio)
        self.errors.append(error)
        if len(self.ratios) > PATIENCE:
            gain = max(self.ratios[-PATIENCE:]) - max(self.ratios[:-PATIENCE])
            self.converged = gain <= TOLERANCE * error

    def record(self) -> dict[str, Any]:
        """Return everything as plain values, for a file."""
        return {"ratios": list(self.ratios), "errors": list(self.errors), "converged": self.converged}

    def restore(self, record: Mapping[str, Any]) -> None:
        """
        Go back to what a file says.

        Parameters
        ----------
        record : mapping
            From :meth:`record`.
        """
        self.ratios[:] = [float(ratio) for ratio in record["ratios"]]
        self.errors[:] = [float(error) for error in record["errors"]]
        self.converged = bool(record["converged"])
