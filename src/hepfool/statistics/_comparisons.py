# SPDX-License-Identifier: BSD-3-Clause
"""
One comparison of one part of the events: what is looked at, and its figures beside their cap.

:meth:`hepfool.validation.Validation.comparisons` lists them; what an attack has to keep, the figures of its result and the
checks of a validation follow from that list, so that all three look at the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from hepfool._shown import Displayed, Shown, cap_text
from hepfool.events._arrays import rows_of
from hepfool.statistics._dependence import Moments, correlation_shift, fill_missing, present_mean
from hepfool.statistics._distance_correlation import distance_correlation
from hepfool.statistics.marginals import Binning, js_distance, merge_bins
from hepfool.typing import BoolArray, FloatArray, IntArray

#: A root turns the rounding of equal histograms into about 1e-8.
_ROUNDING = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """
    The same events before and after an attack, as one comparison of one part looks at them.

    Attributes
    ----------
    name : str
        ``inputs``, ``score``, ``flagged fraction``, ``score and flag``, ``observables`` or ``correlations``.
    part : str
        Which events, such as ``low_mt``; ``constrained`` for all that are validated.
    separately : str
        How the events were divided: ``union`` (not at all), ``regions`` or ``processes``.
    columns : tuple of str
        What is compared, in the order of the columns below.
    values : pair of FloatArray, shape (n_events, n_columns)
        All events before and after; NaN where missing.
    events : BoolArray, shape (n_events,)
        Those of this part.
    all_weights : FloatArray, shape (n_events,)
        Weights of all events.
    share : float
        Part of the weight of all validated events.
    caps : tuple of float
        What no figure may exceed, one per column, or one for all correlations; infinite for none.
    binning : Binning, optional
        Bins of the columns in which the cap holds; None where correlations are compared.
    chi2_binning : Binning, optional
        Coarser bins of a chi-square check; ``binning`` when left out.
    kind : {"pearson", "distance"}
        Which correlations, where these are compared.
    scored : bool
        Whether the columns are what the network, or a detector, says of the events.
    """

    name: str
    part: str
    separately: str
    columns: tuple[str, ...]
    values: tuple[FloatArray, FloatArray]
    events: BoolArray
    all_weights: FloatArray
    share: float
    caps: tuple[float, ...]
    binning: Binning | None = None
    chi2_binning: Binning | None = None
    kind: Literal["pearson", "distance"] = "pearson"
    scored: bool = False

    @cached_property
    def before(self) -> FloatArray:
        """Nominal values of the part, shape (n_members, n_columns)."""
        return rows_of(self.values[0], self.events)

    @cached_property
    def after(self) -> FloatArray:
        """Adversarial values of the part, shape (n_members, n_columns)."""
        return rows_of(self.values[1], self.events)

    @cached_property
    def weights(self) -> FloatArray:
        """Weights of the part, shape (n_members,)."""
        return rows_of(self.all_weights, self.events)

    def distances(self, binning: Binning | None = None) -> tuple[FloatArray, IntArray]:
        """
        Measure the distributions.

        Parameters
        ----------
        binning : Binning, optional
            Other bins than those of the cap.

        Returns
        -------
        js_distance : FloatArray, shape (n_columns,)
            Jensen-Shannon distance of each column; NaN where the weights have no positive sum.
        n_occupied : IntArray, shape (n_columns,)
            Bins that hold events before or after, that of missing values included.
        """
        binning = self.binning if binning is None else binning
        if binning is None:
            msg = f"{self.name} are compared as a whole, not in bins"
            raise ValueError(msg)
        return distances_of(binning.yields(self.before, self.weights), binning.yields(self.after, self.weights))

    def figures(self) -> Iterator[Figure]:
        """
        Measure what the cap is on.

        Yields
        ------
        Figure
            One per column; one in all for correlations.
        """
        values = [self._shift()] if self.binning is None else self.distances()[0].tolist()
        columns = [""] if self.binning is None else self.columns
        for column, value, cap in zip(columns, values, self.caps, strict=True):
            yield Figure(
                comparison=self.name,
                part=self.part,
                separately=self.separately,
                column=column,
                value=value,
                cap=cap,
            )

    def _shift(self) -> float:
        if not self.weights.sum() > 0:
            return math.nan
        fill = present_mean(self.before, self.weights)
        if self.kind == "pearson":
            moments = (Moments.of(values, self.weights, fill=fill) for values in (self.before, self.after))
            return correlation_shift(*(m.correlation for m in moments))
        matrices = (distance_correlation(fill_missing(v, fill), self.weights) for v in (self.before, self.after))
        return correlation_shift(*matrices)


def distances_of(nominal: FloatArray, adversarial: FloatArray) -> tuple[FloatArray, IntArray]:
    """
    Measure distributions from their contents.

    Parameters
    ----------
    nominal, adversarial : FloatArray, shape (n_columns, n_bins + 1)
        From :meth:`~hepfool.statistics.marginals.Binning.yields`.

    Returns
    -------
    js_distance : FloatArray, shape (n_columns,)
        NaN where the contents have no positive sum.
    n_occupied : IntArray, shape (n_columns,)
        Bins with events before or after.
    """
    merged = Binning.merged(nominal, adversarial)
    p, q = (merge_bins(yields, merged) for yields in (nominal, adversarial))
    occupied = np.count_nonzero((p > 0) | (q > 0), axis=1)
    if not min(p.sum(axis=1).min(), q.sum(axis=1).min()) > 0:
        return np.full(len(p), np.nan), occupied
    return js_distance(p, q), occupied


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """
    How far one quantity moved, beside what was allowed.

    Attributes
    ----------
    comparison, part, separately : str
        As in :class:`Comparison`.
    column : str
        Input, output node or observable; empty for correlations.
    value : float
        Distance or shift, recomputed from the events; NaN where the weights of the part have no positive sum.
    cap : float
        Infinite for none.
    """

    comparison: str
    part: str
    separately: str
    column: str
    value: float
    cap: float

    @property
    def kept(self) -> bool:
        """Whether the cap is kept, to rounding; a figure that does not exist keeps none."""
        return self.value <= self.cap + _ROUNDING


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Validated(Displayed):
    """
    Every comparison that an attack had to pass, measured on its events.

    Attributes
    ----------
    figures : tuple of Figure
        One per comparison, part and column; empty for an attack that keeps nothing.
    not_compared : tuple of str
        What a validation may compare and this one does not: ``inputs``, ``score``, ``correlations``.
    """

    figures: tuple[Figure, ...] = ()
    not_compared: tuple[str, ...] = ()

    def _shown(self) -> Shown:
        return Shown(
            f"{len(self.figures)} figures of the validation, {'all' if self.kept else 'not all'} within their caps",
            ("comparison", "part", "furthest", "moved by", "cap"),
            [(f.comparison, f.part, f.column, f"{f.value:.4f}", cap_text(f.cap)) for f in self.largest()],
            (f"not compared: {', '.join(self.not_compared)}" if self.not_compared else "",),
        )

    @property
    def kept(self) -> bool:
        """Whether every cap is kept in every part."""
        return all(figure.kept for figure in self.figures)

    def largest(self) -> tuple[Figure, ...]:
        """
        Find the figure of each comparison that comes closest to its cap.

        Returns
        -------
        tuple of Figure
            In the order of the comparisons; one that does not exist first of all.
        """
        best: dict[str, Figure] = {}
        for figure in self.figures:
            known = best.get(figure.comparison)
            if known is None or _used(figure) > _used(known):
                best[figure.comparison] = figure
        return tuple(best.values())


def _used(figure: Figure) -> tuple[float, float]:
    """Part of the cap that is used, then the figure itself."""
    if math.isnan(figure.value):
        return math.inf, math.inf
    return figure.value / max(figure.cap, _ROUNDING), figure.value
