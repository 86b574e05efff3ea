# SPDX-License-Identifier: BSD-3-Clause
"""
Passes over the events before an attack: gather them, or measure their ranges.

:class:`TableProcessor` returns the selected events, to train a network or to
look at them; :class:`RangeProcessor` gives the common bins that an attack chunk by
chunk needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from coffea.processor import ProcessorABC

from hepfool.events import UNLABELLED, EventTable
from hepfool.features import FeatureSpace
from hepfool.processors._chunk import bookkeeping, finished_in_place
from hepfool.processors._collected import without_blinded
from hepfool.processors.analysis import Analysis
from hepfool.statistics._dependence import MaskedMoments
from hepfool.statistics.marginals import Binning, ranges_of
from hepfool.typing import FloatArray


@dataclass(frozen=True)
class TableProcessor(ProcessorABC):  # type: ignore[misc]
    """
    Gather the selected events of all chunks in one table.

    Parameters
    ----------
    unblind : bool
        Whether to read unlabelled events (data) in signal regions.

    Notes
    -----
    The final output holds ``table``, in the order of dataset, file and entry whichever
    chunk finished first, ``n_events`` and ``processed``.
    """

    analysis: Analysis
    unblind: bool = False

    def process(self, events: Any) -> dict[str, Any]:
        """Select the events of one chunk."""
        table = self.analysis.build(events)
        chunk = tuple(events.metadata[key] for key in ("dataset", "filename", "entrystart", "entrystop"))
        kept = without_blinded(table, unblind=self.unblind)
        return {"tables": {chunk: kept}, **bookkeeping(table, events.metadata)}

    def postprocess(self, accumulator: dict[str, Any]) -> dict[str, Any]:
        """Join the tables in the driver."""
        rest = {key: accumulator[key] for key in ("n_events", "processed")}
        tables = [accumulator["tables"][chunk] for chunk in sorted(accumulator["tables"])]
        return finished_in_place(accumulator, {"table": EventTable.concatenate(tables), **rest})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranges:
    """Range of each feature over the constrained events, which can be added."""

    features: FeatureSpace
    # lower, upper: (n_features,); smallest and largest value in each feature's unit; infinite where no event has one
    lower: FloatArray
    upper: FloatArray
    moments: MaskedMoments  # sum of weights, means and correlations of the same events
    n_events: int

    @classmethod
    def of(cls, table: EventTable) -> Ranges:
        """Measure the constrained events of a table that have a label."""
        chosen = table.constrained & (table.labels != UNLABELLED)
        values = table.values[chosen]
        return cls(
            features=table.features,
            lower=np.nan_to_num(values, nan=np.inf).min(axis=0, initial=np.inf),
            upper=np.nan_to_num(values, nan=-np.inf).max(axis=0, initial=-np.inf),
            moments=MaskedMoments.of(values, table.weights[chosen]),
            n_events=int(chosen.sum()),
        )

    def __add__(self, other: Ranges) -> Ranges:
        """Combine two disjoint sets of events."""
        return Ranges(
            features=self.features,
            lower=np.minimum(self.lower, other.lower),
            upper=np.maximum(self.upper, other.upper),
            moments=self.moments + other.moments,
            n_events=self.n_events + other.n_events,
        )

    def binning(self, n_bins: int) -> Binning:
        """Cut the ranges into equal bins, ``attack.n_bins`` per feature; an empty range or a negative sum of weights is refused."""
        if self.n_events and not self.moments.sum_weights > 0:
            msg = (
                f"the weights of the {self.n_events} constrained events sum to {self.moments.sum_weights:g}; a distance needs a "
                "positive sum: add events, or check the weights"
            )
            raise ValueError(msg)
        lower, upper = ranges_of(self.features, self.lower, self.upper)
        return Binning(np.stack([np.linspace(a, b, n_bins + 1) for a, b in zip(lower, upper, strict=True)]))


@dataclass(frozen=True)
class RangeProcessor(ProcessorABC):  # type: ignore[misc]
    """
    First pass before an attack of chunks: the range of each feature over all events.

    Notes
    -----
    The output holds ``ranges`` (:class:`Ranges`), ``n_events`` and ``processed``.
    """

    analysis: Analysis

    def process(self, events: Any) -> dict[str, Any]:
        """Measure one chunk."""
        table = self.analysis.build(events)
        return {"ranges": Ranges.of(table), **bookkeeping(table, events.metadata)}
