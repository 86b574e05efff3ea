# SPDX-License-Identifier: BSD-3-Clause
"""Whether detectors of several trainings treat clean events of data and simulation alike (arXiv:2603.13970, sec. 8, Fig. 16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hepfool.defences._detector import Detector, check_features
from hepfool.events import EventTable
from hepfool.typing import FloatArray

_N_THRESHOLDS = 101


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectorEfficiencies:
    """
    Fraction of clean events that each detector leaves unflagged, against its threshold.

    Attributes
    ----------
    thresholds : FloatArray, shape (n_thresholds,)
        Scores above which an event is flagged, ascending.
    simulation, data : FloatArray, shape (n_detectors, n_thresholds)
        Weighted unflagged fractions.
    n_simulation, n_data : float
        Effective numbers of events.
    """

    thresholds: FloatArray
    simulation: FloatArray
    data: FloatArray
    n_simulation: float
    n_data: float

    def mean(self, of: Literal["simulation", "data"]) -> FloatArray:
        """Average over the detectors, shape (n_thresholds,)."""
        return np.asarray(getattr(self, of).mean(axis=0))

    def spread(self, of: Literal["simulation", "data"]) -> FloatArray:
        """Sample standard deviation between the trainings, shape (n_thresholds,)."""
        return np.asarray(getattr(self, of).std(axis=0, ddof=1))

    @property
    def difference(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """
        Data less simulation, detector by detector.

        Returns
        -------
        value, spread, statistical : FloatArray, shape (n_thresholds,)
            Mean, sample standard deviation between the trainings, and the binomial standard deviation of the mean difference for fully
            correlated detectors, which is an upper one: all judge the same events.
        """
        differences = self.data - self.simulation
        means = self.mean("simulation"), self.mean("data")
        numbers = self.n_simulation, self.n_data
        variances = [mean * (1.0 - mean) / n for mean, n in zip(means, numbers, strict=True)]
        return differences.mean(axis=0), differences.std(axis=0, ddof=1), np.sqrt(np.sum(variances, axis=0))


def detector_efficiencies(
    detectors: Sequence[Detector],
    simulation: EventTable,
    data: EventTable,
    *,
    thresholds: FloatArray | None = None,
) -> DetectorEfficiencies:
    """
    Ask the detectors of several trainings about the same clean events.

    Parameters
    ----------
    detectors : sequence of Detector
        At least two, of independent trainings.
    simulation, data : EventTable
        Events that no detector was trained on; ``data`` may be pseudo-data.
    thresholds : FloatArray, shape (n_thresholds,), optional
        101 between 0 and 1 when left out.

    Raises
    ------
    ValueError
        If there are fewer than two detectors, features differ, or weights do not sum to a positive number.
    """
    if len(detectors) < 2:
        msg = f"the spread between trainings needs at least two detectors, got {len(detectors)}"
        raise ValueError(msg)
    cuts = np.linspace(0.0, 1.0, _N_THRESHOLDS) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    found, numbers = [], []
    for name, table in (("simulation", simulation), ("data", data)):
        total, squares = float(table.weights.sum()), float((table.weights**2).sum())
        if not total > 0.0:
            msg = f"the weights of {name} sum to {total:g}, so no fraction of them exists; check events and weights"
            raise ValueError(msg)
        numbers.append(total**2 / squares)
        found.append(np.array([_unflagged(detector, table, cuts) for detector in detectors]))
    return DetectorEfficiencies(
        thresholds=cuts, simulation=found[0], data=found[1], n_simulation=numbers[0], n_data=numbers[1]
    )


def _unflagged(detector: Detector, table: EventTable, thresholds: FloatArray) -> FloatArray:
    check_features(detector.features, table)
    scores = detector.score(table.network_values)
    order = np.argsort(scores)
    below = np.concatenate([[0.0], table.weights[order].cumsum()])
    return np.asarray(below[np.searchsorted(scores[order], thresholds, side="right")] / below[-1])
