# SPDX-License-Identifier: BSD-3-Clause
"""What a detector says of nominal, adversarial and systematically varied events, as sums that merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hepfool.events import EventTable
from hepfool.processors.results import FlagCounts, RegionSums
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.defences.detector import Detector

__all__ = ["detector_sums"]


def detector_sums(
    detector: Detector,
    nominal: EventTable,
    binning: Binning,
    *,
    adversarial: EventTable | None = None,
    outcome: tuple[BoolArray, BoolArray] | None = None,
) -> dict[str, Any]:
    """Score and count events with a detector."""
    tables = {"nominal": nominal}
    if adversarial is not None:
        tables |= {"adversarial": adversarial, **{v: nominal.variation(v) for v in nominal.shape_variations}}
    sums = RegionSums(nominal, binning, tables, (1,))
    counts: dict[str, Any] = {dataset: {region: {} for region in sums.masks} for dataset in nominal.datasets}
    for name, table in tables.items():
        score = detector.score(table.network_values) if table.n_events else np.zeros(0)
        sums.fill_scores(name, table, np.stack([1.0 - score, score], axis=1))
        flagged = score > detector.threshold
        for dataset, region, mask in sums.parts():
            counts[dataset][region][name] = FlagCounts(
                n_events=int(mask.sum()),
                n_flagged=int((mask & flagged).sum()),
                weight=float(table.weights[mask].sum()),
                weight_flagged=float(table.weights[mask & flagged].sum()),
            )
        if name == "adversarial" and outcome is not None:
            attacked, fooled = outcome
            sums.count(name, attacked, fooled & ~flagged)
    return {"scores": sums.scores[1], "flags": counts, "corrected": sums.fooling}
