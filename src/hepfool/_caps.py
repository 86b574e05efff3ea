# SPDX-License-Identifier: BSD-3-Clause
"""How strictly distributions and correlations are compared: caps as numbers, or at the power of a check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hepfool._parts import Part, Separately, check_separately
from hepfool._ranges import check_counts, check_reals
from hepfool._shown import cap_text
from hepfool.events import EventTable
from hepfool.features import Derived
from hepfool.statistics._budget import (
    CorrelationCheck,
    max_invisible_distance,
    max_invisible_shift,
    max_unordered_distance,
)
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class AtPower:
    """
    A cap that is stated as the probability that a check notices it.

    Attributes
    ----------
    detection_power : float
        Probability to reject, of a check that rejects with ``level`` when nothing is wrong.
    n_data : float
        Data events in all validated regions together; each has its share of the weights.
    level : float
        Probability to reject when nothing is wrong.
    factor : float
        The cap in units of the one at which the check rejects with that probability.
    ks : bool
        Whether a Kolmogorov-Smirnov check of the same distribution may not notice it either, see
        :func:`~hepfool.statistics._budget.max_unordered_distance`: a cap several times smaller, as it bounds the worst case.
    """

    detection_power: float
    n_data: float
    level: float = 0.05
    factor: float = 1.0
    ks: bool = False

    def __post_init__(self) -> None:
        """Check that the cap can be derived."""
        if not self.n_data > 0:
            msg = f"a cap at a detection power needs the number of data events, n_data, got {self.n_data}"
            raise ValueError(msg)
        if not self.level < self.detection_power < 1.0:
            msg = (
                f"detection_power must lie between the level of the checks, {self.level}, and 1, "
                f"got {self.detection_power}"
            )
            raise ValueError(msg)
        _check_cap("factor", self.factor)


def cap_in_words(cap: float | AtPower) -> str:
    if isinstance(cap, AtPower):
        return f"that of a power of {cap.detection_power:g} with {cap.n_data:g} data events (level {cap.level:g})"
    return cap_text(cap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marginals:
    """
    Comparison of one-dimensional distributions.

    Attributes
    ----------
    max_js_distance : float or AtPower
        Cap on the Jensen-Shannon distance of each distribution from nominal.
    n_bins : int
        Bins of equal width.
    n_quantiles : int
        Bins of equal content, whose edges are added; 0 for none.  In bins of equal width alone, an attack moves most
        events within a few bins, unseen by these but not by a Kolmogorov-Smirnov test.
    separately : {"union", "regions", "processes"}, optional
        What is compared by itself; that of the :class:`Validation` when left out.
    of : Derived, optional
        For an observable: the inputs that it is computed from, and the function.
    """

    max_js_distance: float | AtPower = 0.03
    n_bins: int = 50
    n_quantiles: int = 100
    separately: Separately | None = None
    of: Derived | None = None

    def __post_init__(self) -> None:
        """Check every number."""
        _check_cap("max_js_distance", self.max_js_distance)
        check_separately(self.separately)
        check_counts(self, "n_bins")
        check_reals(n_quantiles=self.n_quantiles)
        if self.n_quantiles < 0 or self.n_quantiles != int(self.n_quantiles):
            msg = f"n_quantiles must be a whole number of at least 0, got {self.n_quantiles}"
            raise ValueError(msg)
        if self.n_bins + self.n_quantiles < 2:
            msg = "a single bin compares nothing; give n_bins or n_quantiles"
            raise ValueError(msg)

    def cap(self, share: float, n_occupied: int | None = None) -> float:
        """
        Cap on one distribution in a part of the events.

        Parameters
        ----------
        share : float
            Part of the weight of all validated events.
        n_occupied : int, optional
            How many of the ``n_bins`` hold events, all by default: fewer make the check stronger.

        Returns
        -------
        float
            Jensen-Shannon distance.
        """
        if not isinstance(self.max_js_distance, AtPower):
            return self.max_js_distance
        wanted = self.max_js_distance
        check = {"n_data": wanted.n_data * share, "detection_power": wanted.detection_power, "level": wanted.level}
        cap = max_invisible_distance(n_bins=max(self.n_bins if n_occupied is None else n_occupied, 2), **check)
        return wanted.factor * (min(cap, max_unordered_distance(**check)) if wanted.ks else cap)

    def caps(self, part: Part, values: FloatArray, binning: Binning) -> FloatArray:
        """
        Caps on several columns in a part of the events.

        Parameters
        ----------
        part : Part
            Which events.
        values : FloatArray, shape (n_events, n_columns)
            Nominal values of all events.
        binning : Binning
            Bins of the columns.

        Returns
        -------
        FloatArray, shape (n_columns,)
            Jensen-Shannon distances; those at a detection power are of the check in the bins of equal width.
        """
        if not isinstance(self.max_js_distance, AtPower):
            return np.full(values.shape[1], self.max_js_distance)
        yields = equal_width(binning, self.n_bins).yields(values[part.events], np.ones(int(part.events.sum())))
        occupied, place = np.unique(np.count_nonzero(yields, axis=1), return_inverse=True)
        return np.array([self.cap(part.share, int(n)) for n in occupied])[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlations:
    """
    Comparison of the correlations of all inputs.

    Attributes
    ----------
    max_shift : float or AtPower
        Cap on the relative Frobenius norm of their change.
    kind : {"pearson", "distance"}
        Linear ones, or distance correlations, which see dependence of any shape and take a time that grows with the
        square of the number of events.
    separately : {"union", "regions", "processes"}, optional
        What is compared by itself; that of the :class:`Validation` when left out.
    """

    max_shift: float | AtPower = 0.03
    kind: Literal["pearson", "distance"] = "pearson"
    separately: Separately | None = None

    def __post_init__(self) -> None:
        """Check cap and names."""
        _check_cap("max_shift", self.max_shift)
        check_separately(self.separately)
        if self.kind not in {"pearson", "distance"}:
            msg = f"kind must be 'pearson' or 'distance', got {self.kind!r}"
            raise ValueError(msg)

    def cap(self, table: EventTable, events: BoolArray, share: float) -> float:
        """Cap for a part of the validated events."""
        if not isinstance(self.max_shift, AtPower):
            return self.max_shift
        wanted = self.max_shift
        check = CorrelationCheck.of(
            replace(table.select(events), regions=()), n_data=wanted.n_data * share, level=wanted.level
        )
        return wanted.factor * max_invisible_shift(check, wanted.detection_power)


def equal_width(binning: Binning, n_bins: int) -> Binning:
    """Bins of equal width over the same range, unless there are fewer anyway."""
    if binning.n_bins <= n_bins:
        return binning
    return Binning(np.stack([np.linspace(edges[0], edges[-1], n_bins + 1) for edges in binning.edges]))


def times(factor: float, cap: float | AtPower) -> float | AtPower:
    if isinstance(cap, AtPower):
        return replace(cap, factor=factor * cap.factor)
    return factor * cap if factor or np.isfinite(cap) else cap


def binning_of(table: EventTable, marginals: Marginals) -> Binning:
    binning = Binning.uniform(table, n_bins=marginals.n_bins)
    if marginals.n_quantiles:
        binning = binning.united(Binning.quantiles(table, n_bins=marginals.n_quantiles))
    return binning


def _check_cap(name: str, cap: float | AtPower) -> None:
    if isinstance(cap, AtPower):
        return
    check_reals(**{name: cap})
    if not cap >= 0:
        msg = f"{name} must not be negative, got {cap}"
        raise ValueError(msg)
