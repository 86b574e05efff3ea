# SPDX-License-Identifier: BSD-3-Clause
"""
Scores of a detector or a network in collision data and in simulation.

A detector trained on simulation must work in data: both must
be flagged equally often where no signal is expected.  Data of signal regions are
refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from hepfool.events import UNLABELLED, EventTable
from hepfool.studies.systematics import Measured
from hepfool.typing import FloatArray

__all__ = ["DataCheck", "check_data"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataCheck:
    """
    Fraction of data and of simulation above a score.

    Attributes
    ----------
    region : str
        Region of the comparison.
    thresholds : FloatArray, shape (n_thresholds,)
        Scores, ascending.
    data, simulation : tuple of Measured
        Weighted fraction of the events above each threshold, with statistical errors.
    n_data, n_simulated : int
        Events in the region.
    """

    region: str
    thresholds: FloatArray
    data: tuple[Measured, ...]
    simulation: tuple[Measured, ...]
    n_data: int
    n_simulated: int

    def p_value(self, index: int = 0) -> float:
        """
        Probability of a difference as large as the one at a threshold, if there is none.

        Returns
        -------
        float
            Two-sided, in the Gaussian limit; data and simulation are independent.
        """
        data, simulation = self.data[index], self.simulation[index]
        error = float(np.hypot(data.error, simulation.error))
        if error == 0.0:
            return 1.0 if data.value == simulation.value else 0.0
        return float(2.0 * norm.sf(abs(data.value - simulation.value) / error))


def check_data(
    data: tuple[EventTable, FloatArray],
    simulation: tuple[EventTable, FloatArray],
    *,
    region: str,
    thresholds: FloatArray,
) -> DataCheck:
    """
    Compare the scores of data and simulation in one region.

    Parameters
    ----------
    data, simulation : (EventTable, FloatArray)
        Events and their scores, shape (n_events,), such as from ``Detector.score``.
    region : str
        A control or validation region of both tables.
    thresholds : FloatArray, shape (n_thresholds,)
        Scores at which to count.

    Returns
    -------
    DataCheck
        Both fractions at each threshold.

    Raises
    ------
    ValueError
        If the region is a signal region, or empty in one of them.

    Examples
    --------
    >>> from hepfool.events import Region
    >>> control = (Region("control", np.ones(4, dtype=bool), "control"),)
    >>> table = EventTable.from_arrays([[1.0], [2.0], [3.0], [4.0]], labels=[0, 0, 1, 1], regions=control)
    >>> scores = table.values[:, 0]
    >>> check_data((table, scores), (table, scores), region="control", thresholds=np.array([1.5])).data[0].value
    0.75
    """
    order = np.sort(np.asarray(thresholds, dtype=np.float64))
    parts = {"data": _in_region("data", *data, region), "simulation": _in_region("simulation", *simulation, region)}
    counted = {
        name: tuple(_fraction(scores > threshold, weights) for threshold in order)
        for name, (scores, weights) in parts.items()
    }
    return DataCheck(
        region=region,
        thresholds=order,
        **counted,
        n_data=len(parts["data"][0]),
        n_simulated=len(parts["simulation"][0]),
    )


def _in_region(name: str, table: EventTable, scores: FloatArray, region: str) -> tuple[FloatArray, FloatArray]:
    chosen = table.region(region)
    if not chosen.constrained:
        msg = f"region {region!r} is a signal region; compare {name} in a control or validation region"
        raise ValueError(msg)
    if scores.shape != (table.n_events,):
        msg = f"the scores of the {name} have shape {scores.shape}, expected ({table.n_events},)"
        raise ValueError(msg)
    if name == "simulation" and (table.labels == UNLABELLED).all():
        msg = "the simulation has no labels; check that data were not passed twice"
        raise ValueError(msg)
    if not table.weights[chosen.mask].sum() > 0:
        msg = f"region {region!r} holds no {name} of positive total weight; choose another region"
        raise ValueError(msg)
    return scores[chosen.mask], np.asarray(table.weights[chosen.mask])


def _fraction(passed: np.ndarray, weights: FloatArray) -> Measured:
    """Weighted fraction and its error: binomial for unit weights."""
    total = weights.sum()
    value = float((weights * passed).sum() / total)
    error = float(np.sqrt((weights**2 * (passed - value) ** 2).sum()) / total)
    return Measured(value, error)
