# SPDX-License-Identifier: BSD-3-Clause
"""The score in every region from sums: data, simulation by process, its uncertainties and the attacked simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hepfool.studies._contributions import ALL_EVENTS
from hepfool.studies._region_yields import RegionYields, upwards
from hepfool.sums._record import AttackSums
from hepfool.typing import FloatArray


def score_regions(
    sums: AttackSums,
    *,
    n_bins: int = 20,
    score_class: int = 1,
    regions: Sequence[str] | None = None,
    scale: float | Mapping[str, float] = 1.0,
) -> tuple[RegionYields, ...]:
    """
    Give the score of data and simulation before and after an attack.

    Parameters
    ----------
    sums : AttackSums
        Of the attacked simulation, with those of data from :func:`hepfool.sums.data_sums` added.
    n_bins : int
        Bins in [0, 1], a divisor of 600.
    score_class : int
        Class whose score is shown.
    regions : sequence of str, optional
        Regions to show; all by default.
    scale : float or mapping of str to float
        Factor on the weights of all processes or of each, such as the inverse of the part of the events that was attacked.

    Returns
    -------
    tuple of RegionYields
        In the order of the regions.

    Raises
    ------
    ValueError
        If a region or the scale of a process is unknown, or data events have weights.
    """
    known = dict(sums.facts["regions"]) or {ALL_EVENTS: "control"}
    absent = [name for name in regions or () if name not in known]
    processes = sums.attacked_datasets
    factors = scale if isinstance(scale, Mapping) else dict.fromkeys(processes, scale)
    missing = [name for name in processes if name not in factors]
    if absent or missing:
        what, names = ("region", known) if absent else ("scale for", factors)
        msg = f"no {what} {(absent or missing)[0]!r}, only {', '.join(names)}; name each as in the table"
        raise ValueError(msg)
    return tuple(
        _region(sums, (name, known[name]), n_bins, score_class, {p: float(factors[p]) for p in processes})
        for name in (regions or known)
    )


def _region(
    sums: AttackSums, region: tuple[str, str], n_bins: int, score_class: int, scale: Mapping[str, float]
) -> RegionYields:
    name, role = region
    place = "all" if name == ALL_EVENTS and not sums.facts["regions"] else name

    def filled(variation: str, dataset: str) -> FloatArray:
        of: dict[str, Any] = {"variation": variation, "dataset": dataset, "region": place}
        return sums.score_yields(n_bins, score_class=score_class, **of)

    def added(variation: str) -> FloatArray:
        return np.asarray(sum((scale[p] * filled(variation, p)[0] for p in scale), np.zeros(n_bins)))

    processes = {p: scale[p] * filled("nominal", p)[0] for p in scale}
    total = np.sum(list(processes.values()), axis=0)
    changes: dict[str, list[FloatArray]] = {}
    for variation in (*sums.facts["shapes"], *sums.facts["weights"]):
        source = variation.removesuffix("_up").removesuffix("_down")
        changes.setdefault(source, []).append(added(variation) - total)
    any_data = sums.total("score", variation="data").size > 0
    data = sums.score_yields(n_bins, score_class=score_class, variation="data", region=place)
    if not np.array_equal(*data):
        msg = "data events have weights, so they are not counts; give data without weights"
        raise ValueError(msg)
    hidden = any_data and role == "signal" and not data.any()
    two = sums.facts["n_classes"] == 2
    return RegionYields(
        region=name,
        role=role,
        label="Score" if two else f"Score of class {score_class}",
        edges=np.linspace(0.0, 1.0, n_bins + 1),
        processes=processes,
        adversarial=added("adversarial"),
        statistical=np.sqrt(sum((scale[p] ** 2 * filled("nominal", p)[1] for p in scale), np.zeros(n_bins))),
        systematic_up=upwards(changes.values(), n_bins),
        systematic_down=upwards([[-side for side in sides] for sides in changes.values()], n_bins),
        sources=tuple(changes),
        data=data[0] if any_data and not hidden else None,
        blinded=hidden,
        title=sums.labels.get(name, ""),
    )
