# SPDX-License-Identifier: BSD-3-Clause
"""
A detector at every threshold: what it leaves of an attack, what it costs, and whether data agree.

A lower threshold flags more of the fooled events, and more of the nominal ones.  Only where data and simulation are flagged
equally often does the flag of a simulated event mean anything for data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hepfool.attacks.base import AttackResult
from hepfool.attacks.result import weighted_fraction
from hepfool.defences.detector import Detector
from hepfool.events import EventTable
from hepfool.studies.data_check import DataCheck, check_data
from hepfool.studies.systematics import Measured
from hepfool.typing import BoolArray, FloatArray

__all__ = ["ThresholdScan", "scan_thresholds"]

_N_THRESHOLDS = 49


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
        The detector's own threshold.
    """

    thresholds: FloatArray
    corrected: tuple[Measured, ...]
    nominal: tuple[Measured, ...]
    checks: tuple[DataCheck, ...]
    own: float


def scan_thresholds(
    detector: Detector,
    result: AttackResult,
    *,
    data: EventTable | None = None,
    regions: Sequence[str] = (),
    thresholds: FloatArray | None = None,
) -> ThresholdScan:
    """
    Apply a detector at many thresholds.

    Parameters
    ----------
    detector : Detector
        Trained on other events.
    result : AttackResult
        The attack on the test part.
    data : EventTable, optional
        Collision data outside of signal regions.
    regions : sequence of str
        Control and validation regions in which data are compared.
    thresholds : FloatArray, shape (n_thresholds,), optional
        Scores; equidistant ones between 0 and 1 by default.

    Returns
    -------
    ThresholdScan
        With statistical errors; those of neighbouring thresholds are of the same events.

    Raises
    ------
    ValueError
        If a region is a signal region, or empty.
    """
    order = np.linspace(0.02, 0.98, _N_THRESHOLDS) if thresholds is None else np.sort(thresholds)
    nominal, weights = detector.score(result.nominal.network_values), result.nominal.weights
    adversarial, attacked = detector.score(result.adversarial.network_values), result.attacked
    checks = []
    if data is not None:
        pairs = (data, detector.score(data.network_values)), (result.nominal, nominal)
        checks = [check_data(*pairs, region=region, thresholds=order) for region in regions]
    return ThresholdScan(
        thresholds=order,
        corrected=tuple(_fraction((result.fooled & (adversarial <= t))[attacked], weights[attacked]) for t in order),
        nominal=tuple(_fraction(nominal > t, weights) for t in order),
        checks=tuple(checks),
        own=detector.threshold,
    )


def _fraction(chosen: BoolArray, weights: FloatArray) -> Measured:
    return Measured(*weighted_fraction(chosen, weights))
