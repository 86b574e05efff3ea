# SPDX-License-Identifier: BSD-3-Clause
"""Records of what a study does on demand: a scan of the caps, repeated trainings, and what is known of the worst case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hepfool.studies._frontier import Frontier
from hepfool.summary._record import plain_values

if TYPE_CHECKING:  # which loads PyTorch
    from hepfool.explain import Explanation
    from hepfool.studies._cross_run import CrossRuns, Knowledge
    from hepfool.summary.allowed_fraction import AllowedFraction, ScaledSize
    from hepfool.worst_case.ladder import Ladder


_QUANTITIES = ("fooling_ratio", "corrected_fooling_ratio")


def frontier_record(frontier: Frontier) -> dict[str, Any]:
    """
    Turn a scan of caps into plain values for ``Summary.frontier``.

    Parameters
    ----------
    frontier : Frontier
        From :func:`hepfool.studies.run_frontier`.
    """
    record: dict[str, Any] = plain_values(frontier)
    return record


def spread_record(runs: CrossRuns) -> dict[str, Any]:
    """
    Turn repeated trainings into plain values for ``Summary.spread``.

    Parameters
    ----------
    runs : CrossRuns
        From :func:`hepfool.studies.run_cross_runs`.

    Returns
    -------
    dict
        Numbers of trainings and splits, and per quantity and knowledge of the attack the mean with its standard error,
        the standard deviation, and the smallest and largest value; and how often the detectors flag the same clean events.
    """
    kinds: list[Knowledge] = ["white_box", "grey_box"]
    rows = [_row(runs, knowledge, quantity) for quantity in _QUANTITIES for knowledge in kinds]
    if runs.adaptive:
        rows.append(_row(runs, "adaptive", "corrected_fooling_ratio"))
    n_splits, n_runs = runs.auroc.shape
    record: dict[str, Any] = plain_values(
        {
            "n_runs": n_runs,
            "n_splits": n_splits,
            "n_test": runs.flagged.shape[2],
            "seed": runs.seed,
            "auroc": runs.auroc,
            "rows": rows,
            "misclassification": _repeated_flags(runs),
        }
    )
    return record


def _repeated_flags(runs: CrossRuns) -> dict[str, Any] | None:
    """Compare repeated flags with chance; None where no event is classified correctly by every network."""
    if not runs.correct[0].all(axis=0).any():
        return None
    found = runs.misclassification()
    columns = (found.times, found.observed, found.expected, found.p_values)
    names = ("times", "observed", "expected", "p_value")
    return {
        "n_events": found.n_events,
        "probability": found.probability,
        "dispersion": found.dispersion,
        "p_value": found.p_value,
        "systematic": found.systematic,
        "rows": [dict(zip(names, row, strict=True)) for row in zip(*(c.tolist() for c in columns), strict=True)],
    }


def _row(runs: CrossRuns, knowledge: Knowledge, quantity: str) -> dict[str, Any]:
    mean, values = runs.mean(knowledge, quantity), runs.values(knowledge, quantity)
    return {
        "quantity": quantity,
        "knowledge": knowledge,
        "mean": {"value": mean.value, "error": mean.error},
        "std": mean.cell_std,
        "smallest": float(np.min(values)),
        "largest": float(np.max(values)),
    }


def worst_case_record(
    *,
    ladders: Iterable[Ladder] = (),
    explanations: Iterable[Explanation] = (),
    allowed: Iterable[AllowedFraction] = (),
    sizes: Iterable[ScaledSize] = (),
) -> dict[str, Any]:
    """
    Turn what is known of the worst case into plain values for ``Summary.worst_case``.

    Parameters
    ----------
    ladders : iterable of Ladder
        One for each kind of events, such as a region.
    explanations : iterable of Explanation
        One of fooled events, one of events that detectors flag again and again.
    allowed : iterable of AllowedFraction
        One for each threat model.
    sizes : iterable of ScaledSize
        With their transfer assumptions.
    """
    record: dict[str, Any] = plain_values(
        {
            "ladders": [{**plain_values(one), "statement": one.statement} for one in ladders],
            "explanations": list(explanations),
            "allowed": [{**plain_values(one), "statement": one.statement} for one in allowed],
            "sizes": list(sizes),
        }
    )
    return record
