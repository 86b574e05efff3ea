# SPDX-License-Identifier: BSD-3-Clause
"""A detector at every threshold, from sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hepfool.events._labels import class_name
from hepfool.studies._contributions import Measured
from hepfool.studies._threshold_scan import DataCheck, ThresholdScan
from hepfool.sums._record import N_SCORE_BINS, AttackSums, Count
from hepfool.typing import FloatArray, IntArray

_N_THRESHOLDS = 49


def scan_thresholds(
    sums: AttackSums, *, regions: Sequence[str] = (), thresholds: FloatArray | None = None
) -> ThresholdScan:
    """
    Apply a detector at many thresholds.

    Parameters
    ----------
    sums : AttackSums
        Sums with the scores of a detector, and with those of data added if regions are compared.
    regions : sequence of str
        Control and validation regions in which data are compared.
    thresholds : FloatArray, shape (n_thresholds,), optional
        Multiples of 1/600, the bins of the sums; equidistant ones between 0 and 1 by default.

    Returns
    -------
    ThresholdScan
        Fractions with statistical errors, correlated between thresholds.

    Raises
    ------
    ValueError
        If a region is a signal region, or empty, or a threshold is not a bin edge.
    """
    order = np.linspace(0.02, 0.98, _N_THRESHOLDS) if thresholds is None else np.sort(thresholds)
    edges = np.rint(order * N_SCORE_BINS).astype(np.int64)
    off = ~np.isclose(edges / N_SCORE_BINS, order, rtol=0.0)
    if off.any():
        msg = f"threshold {order[off][0]:g} lies within a bin of the scores; take a multiple of 1/{N_SCORE_BINS}"
        raise ValueError(msg)
    roles = dict(sums.facts["regions"])
    for region in regions:
        if roles.get(region) == "signal":
            msg = f"region {region!r} is a signal region; compare data in a control or validation region"
            raise ValueError(msg)

    def flagged(variation: str, region: str = "all") -> tuple[Measured, ...]:
        return _fractions(
            _scores(sums, variation, region), edges, sums.count("events", region=region, variation=variation)
        )

    labels = [label for label in sums.names("detector score", "label", variation="nominal") if int(label) >= 0]
    classes = [class_name(int(label), sums.facts["n_classes"]) for label in labels]
    by_class = [
        _fractions(
            sums.total("detector score", variation="nominal", region="all", label=label),
            edges,
            sums.count("events", variation="nominal", label=label),
        )
        for label in labels
    ]
    fooled, attacked = _scores(sums, "fooled", "all"), sums.count("attacked")
    below = _fractions(fooled[:, ::-1], N_SCORE_BINS - edges, attacked)
    return ThresholdScan(
        thresholds=order,
        corrected=below,
        nominal=flagged("nominal"),
        checks=tuple(
            DataCheck(
                region=region,
                thresholds=order,
                data=flagged("data", region),
                simulation=flagged("nominal", region),
                n_data=sums.count("events", region=region, variation="data").n,
                n_simulated=sums.count("events", region=region, variation="nominal").n,
            )
            for region in regions
        ),
        own=sums.facts["detector_threshold"],
        by_class=tuple(zip(classes, by_class, strict=True)),
    )


def _scores(sums: AttackSums, variation: str, region: str) -> FloatArray:
    found = sums.total("detector score", variation=variation, region=region)
    if not found.size and variation != "fooled":
        msg = f"region {region!r} holds no {variation} event that the detector scored; choose another region"
        raise ValueError(msg)
    return found if found.size else np.zeros((2, N_SCORE_BINS))


def _fractions(scores: FloatArray, edges: IntArray, whole: Count) -> tuple[Measured, ...]:
    """Weighted fraction above each edge."""
    above = (scores[:, edge:].sum(axis=1).tolist() for edge in edges)
    return tuple(Count(0, weight, squared, 0.0).of(whole) for weight, squared in above)
