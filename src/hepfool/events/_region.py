# SPDX-License-Identifier: BSD-3-Clause
"""Named parts of phase space and their roles."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

import numpy as np

from hepfool.events._arrays import frozen
from hepfool.events._columns import complete
from hepfool.features import FeatureSpace
from hepfool.typing import BoolArray, FloatArray

RegionRole = Literal["control", "validation", "signal"]

#: More of them are not written on a figure.
_MOST_CUTS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """
    A named part of phase space with its role in the analysis.

    Attributes
    ----------
    name : str
        Such as ``low_mt``.
    mask : BoolArray, shape (n_events,)
        True for the events of the region.
    role : {"control", "validation", "signal"}
        Marginals and correlations are constrained in control and validation
        regions; data of a signal region stay blinded.
    cuts : mapping of str to (float, float)
        Features whose half-open interval ``[lower, upper)`` defines the region.
        Attacked events stay on their side of each of these thresholds.
    select : callable, optional
        For selections that are not such cuts: takes attacked values of shape
        (n_events, n_features) and returns the mask, or the part of it that features decide.  Events for which its
        answer would change are returned to nominal.
    """

    name: str
    mask: BoolArray
    role: RegionRole = "control"
    cuts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    select: Callable[[FloatArray], BoolArray] | None = None

    def __post_init__(self) -> None:
        """Check the role and freeze the mask."""
        if self.role not in get_args(RegionRole):
            msg = f"region {self.name!r}: role {self.role!r} is unknown; use one of {', '.join(get_args(RegionRole))}"
            raise ValueError(msg)
        if not self.name or not isinstance(cast("object", self.name), str):
            msg = f"a region needs a name, got {self.name!r}"
            raise ValueError(msg)
        check_cuts(self.name, self.cuts)
        object.__setattr__(self, "mask", frozen(_flags(self.name, self.mask)))

    @property
    def constrained(self) -> bool:
        """Whether data and simulation are compared here (control or validation)."""
        return self.role != "signal"

    def title(self, features: FeatureSpace) -> str:
        r"""
        Say what a region is, as on a figure.

        Parameters
        ----------
        features : FeatureSpace
            Inputs of the network, for the labels and units of what is cut on.

        Returns
        -------
        str
            Its cuts, such as ``$m_\mathrm{T}$ > 70 GeV``; its name if there are none, or more than cuts.

        Examples
        --------
        >>> from hepfool import Feature, FeatureSpace
        >>> space = FeatureSpace([Feature("mt", label="$m_T$", unit="GeV")])
        >>> Region("high_mt", np.ones(3, dtype=bool), cuts={"mt": (70.0, np.inf)}).title(space)
        '$m_T$ > 70 GeV'
        >>> Region("two_jets", np.ones(3, dtype=bool)).title(space)
        'two jets'
        """
        known = {feature.name: feature for feature in features}
        cuts = [
            _cut(known[name].label, known[name].unit, *limits) for name, limits in self.cuts.items() if name in known
        ]
        complete_cuts = self.select is None and len(cuts) == len(self.cuts)
        return ", ".join(filter(None, cuts)) if complete_cuts and any(cuts) else self.name.replace("_", " ")


def region_titles(regions: Sequence[Region], features: FeatureSpace) -> tuple[str, ...]:
    """Say what each region is, as on a figure: by the cuts that not all of them share, or by its name where these are many."""
    every = [set(region.cuts.items()) for region in regions]
    shared = set.intersection(*every) if len(every) > 1 else set()
    own = [replace(region, cuts=dict(sorted(set(region.cuts.items()) - shared))) for region in regions]
    return tuple(one.title(features) if len(one.cuts) <= _MOST_CUTS else one.name.replace("_", " ") for one in own)


def _cut(label: str, unit: str, low: float | None, high: float | None) -> str:
    """Write an interval, one side of which may be open."""
    below, above = (None if limit is None or math.isinf(limit) else f"{limit:g}" for limit in (low, high))
    if below is not None and above is not None:
        return f"{below} < {label} < {above} {unit}".rstrip()
    side = f" > {below}" if below is not None else f" < {above}" if above is not None else ""
    return f"{label}{side} {unit}".rstrip() if side else ""


def check_cuts(region: str, cuts: Mapping[str, tuple[float | None, float | None]]) -> None:
    """Refuse cuts that no event passes."""
    for name, (low, high) in cuts.items():
        if not (-math.inf if low is None else low) < (math.inf if high is None else high):
            msg = f"region {region!r} cuts on {name!r} from {low} to {high}, which no event passes; lower must be below upper"
            raise ValueError(msg)


def _flags(name: str, mask: Any) -> BoolArray:
    """Return a mask; what is neither true nor false is refused."""
    if type(mask) is np.ndarray and mask.dtype == np.bool_:
        return mask
    flags = complete(f"mask of region {name!r}", mask)
    if not np.isin(flags, (0.0, 1.0)).all():
        msg = f"mask of region {name!r} holds {flags[~np.isin(flags, (0.0, 1.0))][0]:g}; give True or False for each event"
        raise ValueError(msg)
    return flags.astype(np.bool_)
