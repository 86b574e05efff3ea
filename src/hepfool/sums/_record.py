# SPDX-License-Identifier: BSD-3-Clause
"""Sums over attacked events, and what is read from them."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, NamedTuple

import hist
import numpy as np

from hepfool._shown import Displayed, Shown, listed
from hepfool.attacks._result import LeftOut
from hepfool.attacks.base import FoolingCounts
from hepfool.events._exchange import axis_name
from hepfool.statistics._comparisons import Figure, Validated
from hepfool.statistics._compatibility import Compatibility, compare_sums
from hepfool.statistics._dependence import MaskedMoments, Moments, correlation_shift
from hepfool.statistics._exact import ExactSum
from hepfool.statistics._roc import auroc_with_error
from hepfool.statistics.marginals import Binning, js_distance, merge_bins
from hepfool.studies._contributions import Measured
from hepfool.typing import FloatArray
from hepfool.worst_case.composition import Composition, composed

#: Bins of a score between 0 and 1, which join to 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 40, 50, 60, 75, 100, 120 ... bins.
N_SCORE_BINS: Final = 600

#: Edges of two bins.
_TWO_BINS: Final = 3

#: In the order of a report.
_COMPARISONS: Final = ("inputs", "correlations", "observables", "score", "score and flag", "flagged fraction")

#: Relative rounding of second moments about the middle of a feature's range.
_ROUNDING: Final = 1e-14


class Key(NamedTuple):
    """What is summed, of which events; empty where it does not matter."""

    what: str
    region: str = ""
    variation: str = ""
    dataset: str = ""
    label: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Count:
    """
    Number of events, and sums of their weights.

    Attributes
    ----------
    weight, squared, size : float
        Sums of weights, of their squares, and of their sizes.
    """

    n: int
    weight: float
    squared: float
    size: float

    def of(self, whole: Count) -> Measured:
        r"""
        Weighted fraction of a larger number of events.

        Returns
        -------
        Measured
            Fraction with the error :math:`\sqrt{\sum w^2 (c - p)^2}/|\sum w|`, to which a bootstrap over events converges.
        """
        if not whole.weight:
            return Measured(math.nan, math.nan)
        p = self.weight / whole.weight
        variance = self.squared * (1.0 - p) ** 2 + (whole.squared - self.squared) * p**2
        return Measured(p, math.sqrt(max(variance, 0.0)) / abs(whole.weight))


class Compared(NamedTuple):
    """
    One comparison of a validation, of the events of one part.

    ``worst`` are the largest figures of the attacks that were added.  Those of all events follow from sums, in the edges that all
    of ``bins`` have in common, each as bytes, empty for correlations.  Where there are none, as for distance correlations, and for
    the score together with flags, the largest stays.
    """

    comparison: str
    part: str
    separately: str
    columns: tuple[str, ...]
    caps: tuple[float, ...]
    worst: tuple[float, ...]
    bins: tuple[bytes, ...]

    def __add__(self, other: Any) -> Compared:
        """Keep the loosest cap and the largest figure."""
        pairs = (self.caps, other.caps), (self.worst, other.worst)
        caps, worst = (tuple(map(max, zip(*pair, strict=True))) for pair in pairs)
        return self._replace(caps=caps, worst=worst, bins=tuple(sorted({*self.bins, *other.bins})))

    def key(self, bins: bytes) -> str:
        """Name of the sums in some bins."""
        digest = hashlib.sha256(bins).hexdigest()[:16]
        return "|".join((self.comparison, self.part, self.separately, *self.columns, digest))


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, Binning) and isinstance(second, Binning):
        return np.array_equal(first.edges, second.edges)
    return bool(first == second)


def _merged(first: Mapping[Any, Any], second: Mapping[Any, Any], add: Callable[[Any, Any], Any]) -> dict[Any, Any]:
    """Unite two mappings in the order of their keys."""
    found = {**first, **{k: add(first[k], v) if k in first else v for k, v in second.items()}}
    return {key: found[key] for key in sorted(found)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AttackSums(Displayed):
    """
    Sums over the events of one or many attacks, nominal, adversarial and under systematic variations.

    Attributes
    ----------
    facts : mapping of str to object
        What all that is added has in common: attack, network, features, bins, regions, variations.
    datasets : tuple of str
        By name where different ones were added.
    iterations_done : int, optional
        Iterations of the shortest attack; None if nothing was attacked.
    converged : bool, optional
        Whether all attacks did; None if one of them does not ask.
    caps : mapping of str to float
        Finite caps of the attack by name, the loosest where they differ.
    score_caps : mapping of str to (float, str)
        By part, see :data:`hepfool.worst_case.composition.Caps`.
    compared : mapping of tuple to Compared
        Comparisons of the validation.
    provenance, metadata : mapping
        Items that all have in common.
    sums : mapping of Key to ExactSum
        Everything that is counted and weighed.

    Examples
    --------
    >>> AttackSums() + AttackSums() == AttackSums()
    True
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    datasets: tuple[str, ...] = ()
    iterations_done: int | None = None
    converged: bool | None = None
    caps: Mapping[str, float] = field(default_factory=dict)
    score_caps: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    compared: Mapping[tuple[str, ...], Compared] = field(default_factory=dict)
    provenance: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    sums: Mapping[Key, ExactSum] = field(default_factory=dict)

    def _shown(self) -> Shown:
        parts = {f"{name} ({role})": self.counts(name) for name, role in self.facts.get("regions", ())}
        parts |= {name: self.counts(dataset=name) for name in self.attacked_datasets}
        return Shown(
            f"AttackSums of {listed(self.datasets) or 'no events'}",
            ("part", "fooling ratio", "fooled", "attacked", "events"),
            [
                (name, f"{c.fooling_ratio:.4f}", str(c.n_fooled), str(c.n_attacked), str(c.n_events))
                for name, c in {"all": self.counts(), **parts}.items()
            ],
        )

    def __add__(self, other: AttackSums) -> AttackSums:
        """Add the sums over other events."""
        differing = [k for k, v in self.facts.items() if k in other.facts and not _same(v, other.facts[k])]
        if differing:
            shown = ", ".join(f"{k} ({str(self.facts[k])[:60]!r} and {str(other.facts[k])[:60]!r})" for k in differing)
            msg = f"sums of different attacks cannot be added: they differ in {shown}; attack all events alike, in the same bins"
            raise ValueError(msg)
        attacked = [one for one in (self, other) if one.iterations_done is not None]
        asked = [one.converged for one in attacked]
        return AttackSums(
            facts=_merged(self.facts, other.facts, lambda a, _: a),
            datasets=self.datasets
            if self.datasets == other.datasets or not other.datasets
            else other.datasets
            if not self.datasets
            else tuple(sorted({*self.datasets, *other.datasets})),
            iterations_done=min((one.iterations_done or 0 for one in attacked), default=None),
            converged=None if None in asked or not asked else all(asked),
            caps=_merged(self.caps, other.caps, max),
            score_caps=_merged(self.score_caps, other.score_caps, lambda a, b: (max(a[0], b[0]), max(a[1], b[1]))),
            compared=_merged(self.compared, other.compared, lambda a, b: a + b),
            provenance=_common(self.provenance, other.provenance),
            metadata=_common(self.metadata, other.metadata),
            sums=_merged(self.sums, other.sums, lambda a, b: a + b),
        )

    def __radd__(self, other: int) -> AttackSums:
        """Let ``sum`` start from zero."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        """Whether the same was added, in whatever order."""
        if not isinstance(other, AttackSums) or self.facts.keys() != other.facts.keys():
            return False
        rest = (f.name for f in fields(self) if f.name != "facts")
        return all(_same(v, other.facts[k]) for k, v in self.facts.items()) and all(
            getattr(self, name) == getattr(other, name) for name in rest
        )

    __hash__ = None  # type: ignore[assignment]

    def total(self, what: str, **of: str | Iterable[str]) -> FloatArray:
        """
        Add up some of the sums.

        Parameters
        ----------
        what : str
            See :class:`Key`.
        **of
            Fields of the key, each with one value or several; all where left out.

        Returns
        -------
        FloatArray
            Empty if there is nothing of that kind.
        """
        wanted = {k: {v} if isinstance(v, str) else set(v) for k, v in of.items()}
        found = [
            one
            for key, one in self.sums.items()
            if key.what == what and all(getattr(key, k) in values for k, values in wanted.items())
        ]
        return sum(found[1:], found[0]).value if found else np.zeros(0)

    def names(self, what: str, place: str, **of: str) -> tuple[str, ...]:
        """
        List what is summed.

        Parameters
        ----------
        what, place : str
            Kind of sum, and the field of :class:`Key` to list.
        **of
            Other fields of the key.

        Returns
        -------
        tuple of str
            Sorted.
        """
        chosen = (key for key in self.sums if key.what == what and all(getattr(key, k) == v for k, v in of.items()))
        return tuple(sorted({getattr(key, place) for key in chosen}))

    def count(self, group: str, *, region: str = "all", variation: str = "adversarial", **of: str) -> Count:
        """
        Count events.

        Parameters
        ----------
        group : str
            ``events``, ``attacked``, ``moved``, ``helpers`` (moved, not attacked), ``fooled``, ``unflagged`` (fooled and not flagged), ``right`` (classified),
            ``selected`` (by the score), ``departing`` (from an identity of inputs), ``flagged``, ``flagged selected``, ``flagged attacked`` or ``flagged fooled``.
        region, variation : str
            ``all``, ``constrained`` or a region; ``nominal``, ``adversarial``, ``data`` or a shape variation.

        Returns
        -------
        Count
            Zero where there is none.
        """
        found = self.total("count", name=group, region=region, variation=variation, **of)
        n, weight, squared, size = found.tolist() if found.size else (0.0,) * 4
        return Count(int(n), weight, squared, size)

    def counts(self, region: str = "all", *, variation: str = "adversarial", **of: str) -> FoolingCounts:
        """
        Count attacked and fooled events.

        Returns
        -------
        FoolingCounts
            Numbers and sums of weights.
        """
        names = ("events", "attacked", "fooled")
        events, attacked, fooled = (self.count(n, region=region, variation=variation, **of) for n in names)
        return FoolingCounts(
            n_events=events.n,
            n_attacked=attacked.n,
            n_fooled=fooled.n,
            weight_attacked=attacked.weight,
            weight_fooled=fooled.weight,
        )

    @property
    def fooling_ratio(self) -> float:
        """Weighted fraction of attacked events with a changed class."""
        return self.counts().fooling_ratio

    @property
    def accuracy(self) -> float:
        """Weighted fraction of the labelled nominal events that the network classifies correctly, weights by their size."""
        known = [label for label in self.names("count", "label", variation="nominal") if int(label) >= 0]
        right, events = (
            sum(self.count(g, variation="nominal", label=k).size for k in known) for g in ("right", "events")
        )
        return right / events if events else math.nan

    @property
    def auroc(self) -> float:
        """Area under the nominal ROC curve, weights by their size, in fine bins of the score; NaN unless there are two classes."""
        known = [label for label in self.names("roc", "label") if int(label) >= 0]
        if known != ["0", "1"] or self.facts["n_classes"] != 2:
            return math.nan
        sizes = [self.total("roc", label=label) for label in known]
        return _area(*sizes) if all(found.any() for found in sizes) else math.nan

    @property
    def separation(self) -> float:
        """Area under the detector's ROC curve of nominal against fooled events; NaN without either."""
        sizes = [self.total("detector roc", variation=v, region="all") for v in ("nominal", "fooled")]
        return _area(*sizes) if all(found.any() for found in sizes) else math.nan

    @property
    def attacked_datasets(self) -> tuple[str, ...]:
        """Datasets of simulation, without those of data."""
        held = self.names("count", "dataset", variation="adversarial")
        return tuple(name for name in self.datasets if name in held)

    @property
    def interrupted(self) -> bool:
        """Whether an attack was stopped before its last iteration, other than by itself."""
        return (self.iterations_done or 0) < self.facts["n_iterations"] and not self.converged

    def compatibility(self, region: str = "constrained", datasets: Iterable[str] | None = None) -> Compatibility:
        """
        Compare nominal and adversarial events.

        Parameters
        ----------
        region : str
            Region name, ``constrained`` for all that are validated, or ``all``.

        Returns
        -------
        Compatibility
            Figures of all events, whoever attacked them.

        Raises
        ------
        ValueError
            If no adversarial event is there.
        """
        of = {"region": region, "dataset": self.datasets if datasets is None else tuple(datasets)}
        before, after = (self.total("inputs", variation=v, **of) for v in ("nominal", "adversarial"))
        first, second = (self.total("moments", variation=v, **of) for v in ("nominal", "adversarial"))
        if not after.size:
            msg = f"region {region!r} holds no attacked event; nothing can be compared there"
            raise ValueError(msg)
        n, weight, squared, _ = self.total("count", name="events", variation="adversarial", **of)
        middle = self._middle
        fill = _masked(first).mean if first[0] else np.zeros(len(middle))
        return compare_sums(
            self.features,
            region,
            n_events=int(n),
            n_effective=weight**2 / squared if squared else 0.0,
            yields=(before[0], after[0]),
            moments=(_restored(first, fill, middle), _restored(second, fill, middle)),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(name for name, *_ in self.facts["features"])

    @property
    def labels(self) -> dict[str, str]:
        """What a figure calls inputs (without units) and regions, by name."""
        inputs = {name: title.rpartition(" [")[0] or title for name, title, _ in self.facts["features"]}
        names = [name for name, _ in self.facts["regions"]]
        titles = self.facts.get("region_titles") or [name.replace("_", " ") for name in names]
        return inputs | dict(zip(names, titles, strict=True))

    @property
    def validated(self) -> Validated:
        """Every comparison of the validation, measured on all events, beside its cap."""
        ordered = sorted(self.compared.values(), key=self._place)
        figures = [figure for one in ordered for figure in self._figures(one)]
        return Validated(figures=tuple(figures), not_compared=self.facts.get("not_compared", ()))

    def _place(self, one: Compared) -> tuple[Any, ...]:
        """Order of a comparison: by kind, column, region and process, as a validation lists them."""
        place = [0, 0]
        for k, names in enumerate(([name for name, _ in self.facts["regions"]], self.datasets)):
            place[k] = next((i for i, name in enumerate(names) if name in one.part.split(", ")), -1)
        return _COMPARISONS.index(one.comparison), one.columns if one.comparison != "inputs" else (), *place, one.part

    def _figures(self, one: Compared) -> Iterable[Figure]:
        values = self._values(one)
        columns = one.columns if len(values) == len(one.columns) and one.comparison != "correlations" else ("",)
        for column, value, cap in zip(columns, values, one.caps, strict=True):
            yield Figure(
                comparison=one.comparison, part=one.part, separately=one.separately, column=column, value=value, cap=cap
            )

    def _values(self, one: Compared) -> list[float]:
        found = [self.total("compared", name=one.key(bins)) for bins in one.bins]
        if len(found) == 1:
            return _distances(found[0], self._middle)
        edges = [np.frombuffer(bins).reshape(len(one.columns), -1)[0] for bins in one.bins]
        common = functools.reduce(np.intersect1d, edges) if edges else np.zeros(0)
        if len(one.columns) > 1 or len(common) < _TWO_BINS:
            return list(one.worst)
        joined = sum(_joined(part, own, common) for part, own in zip(found, edges, strict=True))
        return _distances(np.asarray(joined), self._middle)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Regions or processes whose weights leave nothing to compare."""
        found = {name: self.total("left out", name=name).tolist() for name in self.names("left out", "name")}
        return tuple(LeftOut(name=name, n_events=int(n), weight=weight) for name, (n, weight) in found.items())

    @property
    def compositions(self) -> tuple[Composition, ...]:
        """What the classes of the events alone allow; exchanges are those within one attack."""
        weights = {(key.region, key.name): one.value for key, one in self.sums.items() if key.what == "composition"}
        return (
            composed(["all", *(name for name, _ in self.facts["regions"])], weights, self.score_caps) if weights else ()
        )

    def histogram(self, feature: str) -> hist.Hist[Any]:
        """
        Give one input in the bins of the attack.

        Returns
        -------
        hist.Hist
            Axes ``dataset``, ``region``, ``variation`` and the input, with weights; missing values in the overflow.
        """
        j = self.features.index(feature)
        edges = self.facts["binning"].edges[j]
        title = self.facts["features"][j][1]
        axis = hist.axis.Variable(edges, name=axis_name(feature), label=title, underflow=False, overflow=True)
        return self._histogram("inputs", axis, lambda found: found[:, j])

    def scores(self, score_class: int = 1) -> hist.Hist[Any]:
        """
        Give the score of one class.

        Returns
        -------
        hist.Hist
            Axes ``dataset``, ``region``, ``variation`` and ``score``, with weights.
        """
        label = f"score of class {score_class}"
        axis = hist.axis.Regular(N_SCORE_BINS, 0, 1, name="score", label=label, flow=False)
        column = self._column(score_class)
        return self._histogram("score", axis, lambda found: found[:, column])

    def _histogram(self, what: str, axis: Any, of: Callable[[FloatArray], FloatArray]) -> hist.Hist[Any]:
        categories = {"dataset": self.datasets, **{p: self.names(what, p) for p in ("region", "variation")}}
        axes = [hist.axis.StrCategory(list(names), name=name) for name, names in categories.items()]
        filled: hist.Hist[Any] = hist.Hist(*axes, axis, storage=hist.storage.Weight())
        view: Any = filled.view(flow=True)
        for key, one in self.sums.items():
            if key.what == what:
                row = view[tuple(axes[i].index(getattr(key, name)) for i, name in enumerate(categories))]
                row["value"] += of(one.value)[0]
                row["variance"] += of(one.value)[1]
        return filled

    def score_yields(
        self, n_bins: int, *, score_class: int = 1, flagged: bool = False, **of: str | Iterable[str]
    ) -> FloatArray:
        """
        Give the score of one class in coarser bins.

        Parameters
        ----------
        n_bins : int
            A divisor of 600.
        flagged : bool
            Only of events that the detector flags.

        Returns
        -------
        FloatArray, shape (2, n_bins)
            Sums of weights and of their squares.

        Raises
        ------
        ValueError
            If the bins do not join to so many.
        """
        if n_bins < 1 or N_SCORE_BINS % n_bins:
            msg = f"the score is kept in {N_SCORE_BINS} bins, which cannot be joined to {n_bins}; take 10, 20, 25, 40 or 50"
            raise ValueError(msg)
        found = self.total("flagged score" if flagged else "score", **of)
        if not found.size:
            return np.zeros((2, n_bins))
        return np.asarray(found[:, self._column(score_class)].reshape(2, n_bins, -1).sum(axis=-1))

    def noted(self, **provenance: Any) -> AttackSums:
        """
        Add to the provenance.

        Parameters
        ----------
        **provenance
            Such as seed, files and executor.
        """
        return replace(self, provenance={**(self.provenance or {}), **provenance})

    def _column(self, score_class: int) -> int:
        """Of two classes only the score of class 1 is kept."""
        two = self.facts["n_classes"] == 2
        if score_class not in ({1} if two else range(self.facts["n_classes"])):
            msg = f"no score of class {score_class} is kept; take class 1 of two, or one of {self.facts['n_classes']}"
            raise ValueError(msg)
        return 0 if two else score_class

    @property
    def _middle(self) -> FloatArray:
        return middle_of(self.facts["binning"])


def _area(below: FloatArray, above: FloatArray) -> float:
    """Area under a ROC curve from two histograms."""
    bins = np.arange(len(below), dtype=np.float64)
    return auroc_with_error(np.repeat([0, 1], len(bins)), np.tile(bins, 2), np.concatenate([below, above]))[0]


def middle_of(binning: Binning) -> FloatArray:
    """Point about which moments are summed: the same for all events, and near them."""
    return np.asarray(0.5 * (binning.edges[:, 0] + binning.edges[:, -1]))


def summed_moments(values: FloatArray, weights: FloatArray, middle: FloatArray) -> FloatArray:
    """Sum weights, and first and second moments of present values and missing flags about a common point, in one row."""
    found = MaskedMoments.of(values - middle, weights).sums
    shift = found.origin
    cross = np.outer(shift, found.first)
    second = found.second + cross + cross.T + found.sum_weights * np.outer(shift, shift)
    return np.concatenate([[found.sum_weights], found.first + found.sum_weights * shift, second.ravel()])


def _masked(row: FloatArray) -> MaskedMoments:
    n = round(math.sqrt(len(row)) - 0.5)
    return MaskedMoments(Moments(float(row[0]), np.zeros(n), row[1 : n + 1], row[n + 1 :].reshape(n, n)))


def _restored(row: FloatArray, fill: FloatArray, middle: FloatArray) -> Moments:
    """Moments with the nominal mean where values are missing, about their own mean."""
    about = _masked(row).filled(fill)
    if not about.sum_weights:
        return replace(about, origin=middle)
    second, raw = about.comoments, np.diag(about.second)
    constant = np.abs(np.diag(second)) <= _ROUNDING * np.abs(raw)
    second = np.where(constant[:, None] | constant[None, :], 0.0, second)
    return Moments(about.sum_weights, middle + about.first / about.sum_weights, np.zeros(len(middle)), second)


def _joined(contents: FloatArray, edges: FloatArray, common: FloatArray) -> FloatArray:
    """Join the bins of one column between common edges; the last content is that of missing values."""
    place = np.append(np.searchsorted(common[1:-1], edges[:-1], side="right"), len(common) - 1)
    return np.stack([[np.bincount(place, row[0], len(common))] for row in contents])


def _distances(found: FloatArray, middle: FloatArray) -> list[float]:
    """Figures of one comparison from its sums: histograms before and after, or moments."""
    if found.ndim == 2:
        if not found[0, 0] > 0:
            return [math.nan]
        fill = _masked(found[0]).mean
        return [correlation_shift(*(_restored(row, fill, middle).correlation for row in found))]
    merged = Binning.merged(*found)
    p, q = (merge_bins(yields, merged) for yields in found)
    if not min(p.sum(axis=1).min(), q.sum(axis=1).min()) > 0:
        return [math.nan] * found.shape[1]
    return [float(distance) for distance in js_distance(p, q)]


def _common(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Keep what both have in common."""
    if first is None or second is None:
        return second if first is None else first
    return {k: first[k] for k in sorted(first) if k in second and _same(first[k], second[k])}
