# SPDX-License-Identifier: BSD-3-Clause
"""
What a processor returns: sums over events that merge in any order.

Every number is a histogram content, a moment or a count, so that chunks, files
and workers add up to exactly the figures of all events.  :func:`compatibility`
gives the distances of any part of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import hist
import numpy as np

from hepfool.attacks.base import FoolingCounts
from hepfool.events import EventTable
from hepfool.events.exchange import axis_name
from hepfool.statistics.compatibility import Compatibility, compare_sums
from hepfool.statistics.dependence import MaskedMoments
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray

__all__ = ["FlagCounts", "RegionSums", "compatibility", "sort_categories"]

#: Bins of a score between 0 and 1.
N_SCORE_BINS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagCounts:
    """
    Events that a detector took for adversarial, which can be added.

    Attributes
    ----------
    n_events, n_flagged : int
        Plain numbers.
    weight, weight_flagged : float
        Sums of weights.
    """

    n_events: int = 0
    n_flagged: int = 0
    weight: float = 0.0
    weight_flagged: float = 0.0

    @property
    def fraction(self) -> float:
        """Weighted fraction of flagged events; NaN without events."""
        return self.weight_flagged / self.weight if self.weight else float("nan")

    def __add__(self, other: FlagCounts) -> FlagCounts:
        """Add the counts of other events."""
        return FlagCounts(
            n_events=self.n_events + other.n_events,
            n_flagged=self.n_flagged + other.n_flagged,
            weight=self.weight + other.weight,
            weight_flagged=self.weight_flagged + other.weight_flagged,
        )


class RegionSums:
    """
    Histograms, moments and counts by dataset, region and variation.

    Parameters
    ----------
    table : EventTable
        Gives features, datasets and regions; beside its regions there are
        ``constrained`` (all that are validated) and ``all``.
    binning : Binning
        Bins of the marginals; missing values are in the overflow bin.
    variations : iterable of str
        Categories that will be filled.
    classes : iterable of int
        Classes whose scores are histogrammed.
    """

    def __init__(self, table: EventTable, binning: Binning, variations: Iterable[str], classes: Iterable[int]) -> None:
        self.table = table
        self.binning = binning
        self.masks = _masks(table)
        axes = [
            hist.axis.StrCategory(categories, name=name, growth=True)
            for name, categories in (
                ("dataset", table.datasets),
                ("region", self.masks),
                ("variation", variations),
            )
        ]
        columns = [
            hist.axis.Variable(edges, name=axis_name(feature.name), label=feature.title, underflow=False, overflow=True)
            for feature, edges in zip(table.features, binning.edges, strict=True)
        ]
        score = {
            k: hist.axis.Regular(N_SCORE_BINS, 0, 1, name="score", label=f"score of class {k}", flow=False)
            for k in classes
        }
        histograms = [hist.Hist(*axes, axis, storage="weight") for axis in columns]
        self.histograms = dict(zip(table.features.names, histograms, strict=True))
        self.scores = {k: hist.Hist(*axes, axis, storage="weight") for k, axis in score.items()}
        self.moments: dict[str, Any] = {d: {r: {} for r in self.masks} for d in table.datasets}
        self.fooling: dict[str, Any] = {d: {r: {} for r in self.masks} for d in table.datasets}

    def fill(self, variation: str, table: EventTable, scores: FloatArray, *, moments: bool = False) -> None:
        """
        Add the events under one variation.

        Parameters
        ----------
        variation : str
            Category to fill.
        table : EventTable
            The same events as in the constructor, with varied values or weights.
        scores : FloatArray, shape (n_events, n_classes)
            Class probabilities of these values.
        moments : bool
            Whether to keep the moments too.
        """
        bins = self.binning.indices(table.values)
        self.fill_scores(variation, table, scores)
        for dataset, region, mask in self.parts():
            weights = table.weights[mask]
            for j, histogram in enumerate(self.histograms.values()):
                _add(histogram, (dataset, region, variation), bins[mask, j], weights)
            if moments:
                self.moments[dataset][region][variation] = MaskedMoments.of(table.values[mask], weights)

    def fill_scores(self, variation: str, table: EventTable, scores: FloatArray) -> None:
        """
        Add the scores of the events under one variation.

        Parameters
        ----------
        variation : str
            Category to fill.
        table : EventTable
            The same events as in the constructor, with varied weights if they vary.
        scores : FloatArray, shape (n_events, n_classes)
            Class probabilities.
        """
        bins = np.clip((scores * N_SCORE_BINS).astype(np.int64), 0, N_SCORE_BINS - 1)
        for dataset, region, mask in self.parts():
            for k, histogram in self.scores.items():
                _add(histogram, (dataset, region, variation), bins[mask, k], table.weights[mask])

    def count(self, variation: str, attacked: BoolArray, fooled: BoolArray) -> None:
        """
        Count the events whose class changed under one variation.

        Parameters
        ----------
        variation : str
            ``adversarial`` or a shape variation.
        attacked, fooled : BoolArray, shape (n_events,)
            Events asked about, and those among them with a changed class.
        """
        for dataset, region, mask in self.parts():
            weights = self.table.weights
            self.fooling[dataset][region][variation] = FoolingCounts(
                n_events=int(mask.sum()),
                n_attacked=int((mask & attacked).sum()),
                n_fooled=int((mask & fooled).sum()),
                weight_attacked=float(weights[mask & attacked].sum()),
                weight_fooled=float(weights[mask & fooled].sum()),
            )

    def as_dict(self) -> dict[str, Any]:
        """
        Hand the sums to coffea.

        Returns
        -------
        dict
            ``histograms`` by feature, ``scores`` by class, ``moments`` and
            ``fooling`` by dataset, region and variation.
        """
        return {
            "histograms": self.histograms,
            "scores": self.scores,
            "moments": self.moments,
            "fooling": self.fooling,
        }

    def parts(self) -> Iterable[tuple[str, str, BoolArray]]:
        """Go through datasets and regions, with the mask of their events."""
        for dataset in self.table.datasets:
            events = self.table.dataset_mask(dataset)
            for region, mask in self.masks.items():
                yield dataset, region, events & mask


def _masks(table: EventTable) -> dict[str, BoolArray]:
    masks = {region.name: region.mask for region in table.regions}
    reserved = masks.keys() & {"constrained", "all"}
    if reserved:
        msg = f"region names {sorted(reserved)} are reserved for unions of regions; rename them"
        raise ValueError(msg)
    return {**masks, "constrained": table.constrained, "all": np.ones(table.n_events, dtype=np.bool_)}


def _add(histogram: hist.Hist[Any], categories: tuple[str, ...], bins: Any, weights: FloatArray) -> None:
    """Add to contents directly: the bin of a value is decided by ``Binning`` alone."""
    view: Any = histogram.view(flow=True)
    row = view[tuple(axis.index(name) for axis, name in zip(histogram.axes, categories, strict=False))]
    row["value"] += np.bincount(bins, weights=weights, minlength=len(row))
    row["variance"] += np.bincount(bins, weights=weights**2, minlength=len(row))


def compatibility(
    out: Mapping[str, Any], region: str = "constrained", datasets: Iterable[str] | None = None
) -> Compatibility:
    """
    Compare nominal and adversarial events from the merged sums.

    Parameters
    ----------
    out : mapping
        Output of a processor or of ``attack_table``, merged over all chunks.
    region : str
        Region name, ``constrained`` for all that are validated, or ``all``.
    datasets : iterable of str, optional
        Datasets to add up; all that were attacked by default.

    Returns
    -------
    Compatibility
        The same figures as from all events at once.

    Raises
    ------
    ValueError
        If there is no adversarial event.
    """
    attacked = sorted(name for name, regions in out["moments"].items() if "adversarial" in regions.get(region, {}))
    chosen = attacked if datasets is None else list(datasets)
    counts = sum((out["fooling"][d][region]["adversarial"] for d in chosen), FoolingCounts())
    if not counts.n_events:
        msg = f"region {region!r} holds no attacked event of {chosen or 'any dataset'}; nothing can be compared there"
        raise ValueError(msg)
    nominal, adversarial = (sum(out["moments"][d][region][v] for d in chosen) for v in ("nominal", "adversarial"))
    fill = nominal.mean
    contents = {v: _contents(out["histograms"], chosen, region, v) for v in ("nominal", "adversarial")}
    total, squared = (float(contents["nominal"][part][0].sum()) for part in ("value", "variance"))
    return compare_sums(
        tuple(out["histograms"]),
        region,
        n_events=counts.n_events,
        n_effective=total**2 / squared if squared else 0.0,
        yields=(contents["nominal"]["value"], contents["adversarial"]["value"]),
        moments=(nominal.filled(fill), adversarial.filled(fill)),
    )


def _contents(histograms: Mapping[str, Any], datasets: list[str], region: str, variation: str) -> Any:
    """Contents and variances of shape (n_features, n_bins + 1)."""
    rows = []
    for histogram in histograms.values():
        view = histogram.view(flow=True)
        where = [histogram.axes[i].index(name) for i, name in ((1, region), (2, variation))]
        rows.append([view[(histogram.axes[0].index(d), *where)] for d in datasets])
    return {part: np.array([[r[part] for r in row] for row in rows]).sum(axis=1) for part in ("value", "variance")}


def sort_categories(histogram: hist.Hist[Any]) -> hist.Hist[Any]:
    """
    Order the categories by name, whichever chunk finished first.

    Parameters
    ----------
    histogram : hist.Hist
        With growing category axes.

    Returns
    -------
    hist.Hist
        The same contents.
    """
    axes, order = [], []
    for axis in histogram.axes:
        category = isinstance(axis, hist.axis.StrCategory)
        names = sorted(axis) if category else []
        axes.append(hist.axis.StrCategory(names, name=axis.name, label=axis.label, growth=True) if category else axis)
        order.append([axis.index(name) for name in names] if category else list(range(axis.extent)))
    result: hist.Hist[Any] = hist.Hist(*axes, storage=histogram.storage_type())
    result.view(flow=True)[...] = histogram.view(flow=True)[np.ix_(*order)]
    return result
