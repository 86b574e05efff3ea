# SPDX-License-Identifier: BSD-3-Clause
"""Which events are compared by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from hepfool.events import EventTable
from hepfool.statistics._weights import lacking_variance
from hepfool.typing import BoolArray

#: What is compared by itself: all validated events together, each region, or each process in each region.
Separately = Literal["union", "regions", "processes"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """
    Events that are compared by themselves.

    Attributes
    ----------
    name : str
        Such as ``low_mt`` or ``low_mt, ttbar``.
    events : BoolArray, shape (n_events,)
        Members.
    share : float
        Their part of the weight of all validated events, between 0 and 1.
    """

    name: str
    events: BoolArray
    share: float


def parts_of(table: EventTable, separately: Separately, *, usable: bool = True) -> list[Part]:
    """
    Divide the validated events into what is compared by itself.

    Parameters
    ----------
    table : EventTable
        Nominal events.
    separately : {"union", "regions", "processes"}
        How.
    usable : bool
        Whether those are meant whose weights sum to a positive number, or the others.

    Returns
    -------
    list of Part
        Without empty ones.
    """
    constrained = table.constrained
    if separately == "union" or not table.regions:
        regions = {"constrained": constrained}
    else:
        regions = {region.name: region.mask for region in table.regions if region.constrained}
    if separately == "processes":
        regions = {
            f"{name}, {process}": mask & events
            for name, mask in regions.items()
            for process, events in _processes(table).items()
        }
    total = float(table.weights[constrained].sum())
    net = {name: float(table.weights[mask].sum()) for name, mask in regions.items() if mask.any()}
    return [
        Part(name=name, events=regions[name], share=min(max(weight / total, 0.0), 1.0) if total else 0.0)
        for name, weight in net.items()
        if (weight > 0) == usable
    ]


def uncorrelated(table: EventTable, part: Part) -> bool:
    """Whether events of negative weight leave no positive variance, so that no correlation exists."""
    return bool(lacking_variance(table.values[part.events], table.weights[part.events]).any())


def _processes(table: EventTable) -> dict[str, BoolArray]:
    if len(table.datasets) > 1:
        return {name: table.dataset_mask(name) for name in table.datasets}
    return {f"class {label}": np.asarray(table.labels == label) for label in np.unique(table.labels)}


def check_separately(separately: str | None) -> None:
    if separately is not None and separately not in get_args(Separately):
        msg = f"separately must be one of {', '.join(get_args(Separately))}, got {separately!r}"
        raise ValueError(msg)
