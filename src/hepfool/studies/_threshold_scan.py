# SPDX-License-Identifier: BSD-3-Clause
"""
A detector at every threshold: what it leaves of an attack, what it costs, and whether data agree.

A lower threshold flags more of the fooled events, and more of the nominal ones.  Only where data and simulation are flagged
equally often does the flag of a simulated event mean anything for data.
"""

from __future__ import annotations

from dataclasses import dataclass

from hepfool.studies._contributions import Measured
from hepfool.typing import FloatArray


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThresholdScan:
    """
    Fractions of events against the threshold of a detector.

    Attributes
    ----------
    thresholds : FloatArray, shape (n_thresholds,)
        Scores above which an event is flagged, ascending.
    corrected : tuple of Measured
        Corrected fooling ratio at each threshold: fooled and not flagged over attacked.
    nominal : tuple of Measured
        Flagged fraction of all nominal events.
    checks : tuple of DataCheck
        Flagged fractions in data and simulation, one per region; empty without data.
    own : float
        Threshold of the detector.
    by_class : tuple of (str, tuple of Measured)
        Flagged fraction of the nominal events of each true class: what the detector costs.
    """

    thresholds: FloatArray
    corrected: tuple[Measured, ...]
    nominal: tuple[Measured, ...]
    checks: tuple[DataCheck, ...]
    own: float
    by_class: tuple[tuple[str, tuple[Measured, ...]], ...] = ()
