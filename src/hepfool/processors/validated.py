# SPDX-License-Identifier: BSD-3-Clause
"""
What attacks on chunks or partitions kept, as sums over events that merge in any order.

Bins that follow the events of a chunk differ from those of another: where they do, their common edges stay, within which
each chunk kept its own cap.  Distance correlations, and the score together with flags, are no sums over events and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hepfool.statistics.comparisons import Comparison, Figure, Validated, distances_of
from hepfool.statistics.dependence import MaskedMoments, correlation_shift
from hepfool.typing import FloatArray

__all__ = ["ComparisonSums", "comparison_sums", "converged", "validated"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparisonSums:
    """
    One comparison of one part, which can be added to that of other events.

    Attributes
    ----------
    name, part, separately, columns
        As in :class:`~hepfool.statistics.comparisons.Comparison`.
    caps : FloatArray, shape (n_columns,) or (1,)
        The loosest of all events added.
    edges : FloatArray, shape (n_columns, n_bins + 1), optional
        Bins of the columns; None for correlations.
    sums : pair
        Contents of shape (n_columns, n_bins + 1) before and after, or moments.
    """

    name: str
    part: str
    separately: str
    columns: tuple[str, ...]
    caps: FloatArray
    edges: FloatArray | None
    sums: tuple[Any, Any]

    @classmethod
    def of(cls, one: Comparison) -> ComparisonSums:
        """Sum up the events of a comparison."""
        pair = (one.before, one.after)
        sums: tuple[Any, Any]
        if one.binning is None:
            sums = (MaskedMoments.of(pair[0], one.weights), MaskedMoments.of(pair[1], one.weights))
        else:
            sums = (one.binning.yields(pair[0], one.weights), one.binning.yields(pair[1], one.weights))
        return cls(
            name=one.name,
            part=one.part,
            separately=one.separately,
            columns=one.columns,
            caps=np.array(one.caps),
            edges=None if one.binning is None else one.binning.edges,
            sums=sums,
        )

    def __add__(self, other: ComparisonSums) -> ComparisonSums:
        """Combine two disjoint sets of events, in the edges that both have."""
        first, second = self, other
        if self.edges is not None and other.edges is not None and not np.array_equal(self.edges, other.edges):
            # Only single columns have bins of their own in every chunk.
            common = np.intersect1d(self.edges[0], other.edges[0])
            first, second = self._within(common), other._within(common)
        return replace(
            first,
            caps=np.maximum(first.caps, second.caps),
            sums=(first.sums[0] + second.sums[0], first.sums[1] + second.sums[1]),
        )

    def _within(self, edges: FloatArray) -> ComparisonSums:
        """Join bins, up to the given edges; the last content is that of missing values."""
        assert self.edges is not None  # noqa: S101 - asked before
        inner = np.searchsorted(edges[1:-1], self.edges[0, :-1], side="right")
        place = np.append(inner, max(len(edges) - 1, 1))
        joined = [np.bincount(place, content[0], place[-1] + 1)[np.newaxis] for content in self.sums]
        return replace(self, edges=edges[np.newaxis], sums=(joined[0], joined[1]))

    def figures(self) -> list[Figure]:
        """Measure what the caps are on; nothing where no edges are common to all events."""
        if self.edges is None:
            nominal, adversarial = self.sums
            fill = nominal.mean
            shift = correlation_shift(nominal.filled(fill).correlation, adversarial.filled(fill).correlation)
            found = [shift if nominal.sum_weights > 0 else float("nan")]
            columns: tuple[str, ...] = ("",)
        elif self.edges.shape[1] < 3:
            return []
        else:
            found, columns = distances_of(*self.sums)[0].tolist(), self.columns
        place = {"comparison": self.name, "part": self.part, "separately": self.separately}
        return [
            Figure(column=column, value=value, cap=float(cap), **place)
            for column, value, cap in zip(columns, found, self.caps, strict=True)
        ]


def comparison_sums(comparisons: Iterable[Comparison]) -> dict[str, ComparisonSums]:
    """
    Sum up what one attack compared.

    Parameters
    ----------
    comparisons : iterable of Comparison
        From :meth:`hepfool.Validation.comparisons`.

    Returns
    -------
    dict of str to ComparisonSums
        To be merged with those of other events, comparison by comparison.
    """
    return {
        "|".join((one.name, one.part, *one.columns)): ComparisonSums.of(one)
        for one in comparisons
        if one.kind == "pearson" and one.name != "score and flag"
    }


def validated(out: Mapping[str, Any]) -> Validated:
    """
    Measure on merged sums how far every comparison moved, beside its cap.

    Parameters
    ----------
    out : mapping
        Output of a processor or of ``attack_table``, merged over all chunks.

    Returns
    -------
    Validated
        As ``AttackResult.validated`` of all events at once; empty for an attack that keeps nothing.
    """
    sums: Mapping[str, ComparisonSums] = out["comparisons"]
    figures = tuple(figure for one in sums.values() for figure in one.figures())
    there = {figure.comparison for figure in figures}
    missing = tuple(name for name in ("inputs", "score", "correlations") if name not in there)
    return Validated(figures=figures, not_compared=missing if figures else ())


def converged(out: Mapping[str, Any]) -> bool | None:
    """
    Tell whether the attack of every chunk has converged.

    Parameters
    ----------
    out : mapping
        Output of a processor or of ``attack_table``, merged over all chunks.

    Returns
    -------
    bool or None
        None if no chunk was attacked, or the attack does not ask.
    """
    counts = out["convergence"]
    return None if not sum(counts.values()) else not counts.get("not converged", 0)
