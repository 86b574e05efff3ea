# SPDX-License-Identifier: BSD-3-Clause
"""Limits of every value: ranges, region thresholds and envelopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepfool.events import Envelope, EventTable
from hepfool.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """
    Closed interval each value must stay in.

    Events with the same limits share a row, so that a table without an
    envelope needs a handful of rows only.

    Attributes
    ----------
    lower, upper : FloatArray, shape (n_rows, n_features)
        Limits in each feature's unit.  For an angle with an envelope they may
        lie beyond the period; without one they are infinite.
    row : IntArray, shape (n_events,)
        Row of each event.
    """

    lower: FloatArray
    upper: FloatArray
    row: IntArray

    @classmethod
    def of(cls, table: EventTable, envelope: Envelope | None = None, *, ranges: bool = True) -> Bounds:
        """
        Intersect ranges, region thresholds and envelope.

        Constrained events stay within the constrained events' own range, the
        others within the range of all events; both within the physical range.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        envelope : Envelope, optional
            Per-event bounds.
        ranges : bool
            Whether the ranges of the events are limits too, beside those that the features state.

        Returns
        -------
        Bounds
            Every nominal value lies within.
        """
        cells = _cells(table)
        codes, row = np.unique(cells, axis=0, return_inverse=True)
        row = row.reshape(-1).astype(np.int64)
        lower, upper = _cell_limits(table, codes, ranges=ranges)
        if envelope is not None:
            if envelope.lower.shape != table.values.shape:
                msg = f"the envelope has shape {envelope.lower.shape}, the table {table.values.shape}"
                raise ValueError(msg)
            lower, upper = np.maximum(lower[row], envelope.lower), np.minimum(upper[row], envelope.upper)
            # A nominal value outside of its own envelope may stay where it is.
            nominal = np.where(table.missing, 0.0, table.values)
            lower, upper = np.fmin(lower, nominal), np.fmax(upper, nominal)
            row = np.arange(table.n_events, dtype=np.int64)
        return cls(np.ascontiguousarray(lower), np.ascontiguousarray(upper), row)

    def clip(self, values: FloatArray) -> FloatArray:
        """
        Move values to the nearest allowed ones.

        Parameters
        ----------
        values : FloatArray, shape (n_events, n_features)
            In each feature's unit, NaN where missing.

        Returns
        -------
        FloatArray, shape (n_events, n_features)
            Within the bounds.
        """
        return np.clip(values, self.lower[self.row], self.upper[self.row])


def _thresholds(table: EventTable) -> dict[int, list[float]]:
    """Region cuts per feature column; events may not cross any of them."""
    found: dict[int, set[float]] = {}
    for region in table.regions:
        for name, interval in region.cuts.items():
            finite = {float(edge) for edge in interval if np.isfinite(edge)}
            found.setdefault(table.features.index(name), set()).update(finite)
    return {j: sorted(edges) for j, edges in found.items() if edges}


def _cells(table: EventTable) -> IntArray:
    """Code of each event: constrained or not, and which interval between thresholds per cut feature."""
    columns = [table.constrained.astype(np.int64)]
    for j, edges in _thresholds(table).items():
        interval = np.searchsorted(edges, table.values[:, j], side="right")
        columns.append(np.where(table.missing[:, j], -1, interval))
    return np.stack(columns, axis=1)


def _cell_limits(table: EventTable, codes: IntArray, *, ranges: bool) -> tuple[FloatArray, FloatArray]:
    lower = np.empty((len(codes), table.n_features))
    upper = np.empty_like(lower)
    everywhere = _range(table.values if ranges else table.values[:0])
    inside = _range(table.values[table.constrained & ranges])
    angles = table.features.of_kind("angle")
    thresholds = _thresholds(table)
    for r, code in enumerate(codes):
        low, high = inside if code[0] else everywhere
        lower[r] = np.where(angles, -np.inf, np.maximum(low, table.features.lower))
        upper[r] = np.where(angles, np.inf, np.minimum(high, table.features.upper))
        for interval, (j, edges) in zip(code[1:], thresholds.items(), strict=True):
            if interval > 0:
                lower[r, j] = max(lower[r, j], edges[interval - 1])
            if 0 <= interval < len(edges):
                # The largest float32 below the threshold: also a file of floats stays on its side.
                below = float(np.nextafter(np.float32(edges[interval]), np.float32(-np.inf)))
                if below < lower[r, j]:  # single precision resolves no value of this interval
                    below = float(np.nextafter(edges[interval], -np.inf))
                upper[r, j] = min(upper[r, j], below)
    return lower, upper


def _range(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    missing = np.isnan(values)
    low = np.where(missing, np.inf, values).min(axis=0, initial=np.inf)
    high = np.where(missing, -np.inf, values).max(axis=0, initial=-np.inf)
    return np.where(np.isfinite(low), low, -np.inf), np.where(np.isfinite(high), high, np.inf)
