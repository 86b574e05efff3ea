# SPDX-License-Identifier: BSD-3-Clause
r"""
Which comparisons of data and simulation an analysis makes, in which regions, and how strictly.

One record has three uses: it limits what an attack may do, it says what a result is compared in, and it names the
standard checks.  Whoever adds a comparison adds it here.  The published attack (arXiv:2603.13970) is
``Validation(score=None, separately="union")``: it does not keep the score, and compares all regions as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from hepfool._caps import AtPower, Correlations, Marginals, binning_of, cap_in_words, equal_width, times
from hepfool._parts import Part, Separately, check_separately, parts_of, uncorrelated
from hepfool._shown import Shown
from hepfool.events import EventTable, Region
from hepfool.features import Feature, FeatureSpace
from hepfool.statistics._bins import split_edges
from hepfool.statistics._comparisons import Comparison, Validated
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray

__all__ = ["AtPower", "Correlations", "Marginals", "Validation"]


class Flags(Protocol):
    """What marks events, such as a :class:`~hepfool.defences.Detector`."""

    def flags(self, values: FloatArray) -> BoolArray:
        """Mark events, given the inputs of the network."""
        ...


class _Quantity(NamedTuple):
    """What is compared in every part; ``flagged`` scores have the caps of two bins, of which a detector's flags are."""

    name: str
    columns: tuple[str, ...]
    setting: Marginals | Correlations
    values: tuple[FloatArray, FloatArray]
    binning: Binning | None = None
    scored: bool = False
    flagged: bool = False

    def caps(self, part: Part, table: EventTable) -> tuple[float, ...]:
        """Caps in one part, one per column or one in all."""
        if isinstance(self.setting, Correlations):
            return (self.setting.cap(table, part.events, part.share),)
        if self.flagged:
            return (self.setting.cap(part.share, 2),)
        assert self.binning is not None  # noqa: S101 - marginals have bins
        return tuple(self.setting.caps(part, self.values[0], self.binning).tolist())

    @property
    def chi2_binning(self) -> Binning | None:
        """Bins of equal width for a chi-square check, where there are such."""
        if isinstance(self.setting, Correlations) or self.binning is None or self.name == "score and flag":
            return None
        return equal_width(self.binning, self.setting.n_bins)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """
    All comparisons of data and simulation that must not notice an attack.

    Attributes
    ----------
    inputs : Marginals, optional
        Of every input of the network; None if they are not compared.
    score : Marginals, optional
        Of every output node of the network, with an edge at the threshold.
    observables : mapping of str to Marginals
        Of further functions of the inputs, by name; each says in ``of`` what it is.
    correlations : Correlations, optional
        Of the inputs.
    separately : {"union", "regions", "processes"}
        What is compared by itself: all validated events together (as published), the events of each control and
        validation region, or in each region each process (dataset, or class where there is one dataset only).
    flagged : Flags, optional
        A detector whose flagged fraction is compared together with the score.

    Examples
    --------
    >>> Validation(score=None, separately="union").inputs.max_js_distance
    0.03
    """

    inputs: Marginals | None = field(default_factory=Marginals)
    score: Marginals | None = field(default_factory=lambda: Marginals(n_bins=25, n_quantiles=25))
    observables: Mapping[str, Marginals] = field(default_factory=dict)
    correlations: Correlations | None = field(default_factory=Correlations)
    separately: Separately = "regions"
    flagged: Flags | None = None

    def __post_init__(self) -> None:
        """Check that each observable says what it is, and nothing else does."""
        check_separately(self.separately)
        for name, observable in self.observables.items():
            if observable.of is None:
                msg = f"observable {name!r} needs its function: Marginals(of=Derived([...], function))"
                raise ValueError(msg)
        for name in ("inputs", "score"):
            marginals = getattr(self, name)
            if marginals is not None and marginals.of is not None:
                msg = f"{name} takes no function; name a further function of the inputs under observables"
                raise ValueError(msg)
        if not (self.inputs or self.score or self.observables or self.correlations):
            msg = "a validation that compares nothing constrains no attack; give inputs, score, observables or correlations"
            raise ValueError(msg)

    def _repr_html_(self) -> str:
        """Tabulate the comparisons in a notebook; the ``repr`` is the provenance of an attack."""
        marginals = {"inputs": self.inputs, "score": self.score} | {
            f"observable {k}": v for k, v in self.observables.items()
        }
        rows = [
            (
                name,
                f"distance ≤ {cap_in_words(one.max_js_distance)}",
                f"{one.n_bins} + {one.n_quantiles}",
                one.separately or self.separately,
            )
            for name, one in marginals.items()
            if one is not None
        ]
        if (kept := self.correlations) is not None:
            cap = f"shift ≤ {cap_in_words(kept.max_shift)} ({kept.kind})"
            rows.append(("correlations", cap, "", kept.separately or self.separately))
        if self.flagged is not None:
            rows.append(("fraction flagged by a detector", "with the score", "", self.separately))
        return Shown("Validation", ("comparison", "cap", "bins + quantile bins", "separately"), rows).html()

    @classmethod
    def at_power(
        cls,
        detection_power: float = 0.1,
        *,
        n_data: float,
        level: float = 0.05,
        ks: bool = False,
        **comparisons: object,
    ) -> Validation:
        r"""
        Set every cap where its check rejects with a stated probability.

        Parameters
        ----------
        detection_power : float
            Probability to reject of the chi-square check of one distribution, and of that of all correlations.
        n_data : float
            Data events in all validated regions together; each has its share of the weights.
        level : float
            Probability to reject when nothing is wrong.
        ks : bool
            Whether a Kolmogorov-Smirnov check of each distribution, which is unlike the chi-square one sensitive to small moves of
            many events in one direction, may not have more power either.  Much less is left then.  Values are told apart by their bins
            only: a few times :math:`\sqrt{n}` quantiles for :math:`n` data events leave nothing to see within them.
        **comparisons
            Fields of the validation; caps therein are replaced.

        Returns
        -------
        Validation
            Its caps become numbers once the events are known.

        Examples
        --------
        >>> Validation.at_power(0.1, n_data=671).score.cap(1.0).__round__(4)
        0.0252
        """
        cap = AtPower(detection_power=detection_power, n_data=n_data, level=level, ks=ks)
        return _with_caps(cls(**comparisons), lambda _: cap)  # type: ignore[arg-type]

    def parts(self, table: EventTable, comparison: Marginals | Correlations) -> list[Part]:
        """Divide the validated events as one comparison of this validation does, see :func:`parts_of`."""
        found = parts_of(table, comparison.separately or self.separately)
        correlated = isinstance(comparison, Correlations)
        return [part for part in found if not (correlated and uncorrelated(table, part))]

    def unusable(self, table: EventTable) -> list[Part]:
        """
        List the parts in which nothing can be compared.

        Parameters
        ----------
        table : EventTable
            Nominal events.

        Returns
        -------
        list of Part
            Those whose weights do not sum to a positive number, of all comparisons, or leave a variance negative where
            correlations are compared.
        """
        stated = (self.inputs, self.score, self.correlations, *self.observables.values())
        ways = dict.fromkeys(one.separately or self.separately for one in stated if one is not None)
        found = [part for separately in ways for part in parts_of(table, separately, usable=False)]
        if self.correlations is not None:
            whole = parts_of(table, self.correlations.separately or self.separately)
            found += [part for part in whole if uncorrelated(table, part)]
        return list({part.name: part for part in found}.values())

    def columns(self, table: EventTable) -> FeatureSpace:
        """List the inputs, then the observables as derived features; the table's own where there are none."""
        if not self.observables:
            return table.features
        more = [Feature(name=name, derived=observable.of) for name, observable in self.observables.items()]
        return FeatureSpace([*table.features, *more])

    def binning(self, table: EventTable, inputs: Binning | None = None) -> Binning:
        """
        Bins of the inputs, and of the observables after them.

        Parameters
        ----------
        table : EventTable
            Nominal events.
        inputs : Binning, optional
            Bins of the inputs, in place of those that this validation says.

        Returns
        -------
        Binning
            The edges of ``n_bins`` and ``n_quantiles`` together.
        """
        found = [self.input_binning(table) if inputs is None else inputs]
        for name, observable in self.observables.items():
            # Regions may be cuts on the inputs, which this column is not.
            validated = (Region("constrained", table.constrained),)
            alone = EventTable.from_arrays(_derived(table, name, observable), features=[name], regions=validated)
            found.append(binning_of(alone, observable))
        n_bins = max(binning.n_bins for binning in found)
        return Binning(np.stack([split_edges(edges, n_bins) for binning in found for edges in binning.edges]))

    def input_binning(self, table: EventTable) -> Binning:
        """Bins of the inputs alone, the edges of ``n_bins`` and ``n_quantiles`` together."""
        return binning_of(table, self.inputs or Marginals())

    def score_edges(self, scores: FloatArray, constrained: BoolArray, threshold: float) -> FloatArray:
        """
        Inner edges of the bins of one output node.

        Parameters
        ----------
        scores : FloatArray, shape (n_events,)
            Nominal scores of the node.
        constrained : BoolArray, shape (n_events,)
            Events that set the quantiles.
        threshold : float
            Score that separates the classes, which becomes an edge.

        Returns
        -------
        FloatArray, shape (n_edges,)
            Increasing, between 0 and 1.
        """
        marginals = self.score or Marginals(n_bins=25, n_quantiles=25)
        wanted = [np.linspace(0.0, 1.0, marginals.n_bins + 1)[1:-1], np.array([threshold])]
        if marginals.n_quantiles:
            wanted.append(np.quantile(scores[constrained], np.linspace(0.0, 1.0, marginals.n_quantiles + 1)[1:-1]))
        edges = np.unique(np.concatenate(wanted))
        return np.asarray(edges[(edges > 0.0) & (edges < 1.0)])

    def score_binning(self, scores: FloatArray, constrained: BoolArray, threshold: float) -> Binning:
        """Bins of one output node, see :meth:`score_edges`; a score on an edge belongs to the bin below."""
        inner = self.score_edges(scores, constrained, threshold)
        return Binning(np.concatenate([[0.0], np.nextafter(inner, np.inf), [np.nextafter(1.0, 2.0)]])[np.newaxis])

    def scaled(self, factor: float) -> Validation:
        """
        Loosen or tighten every cap.

        Parameters
        ----------
        factor : float
            Of the caps.

        Returns
        -------
        Validation
            With the same comparisons.

        Examples
        --------
        >>> Validation(score=None).scaled(2.0).inputs.max_js_distance
        0.06
        """
        return _with_caps(self, partial(times, factor))

    def comparisons(
        self,
        nominal: EventTable,
        adversarial: EventTable,
        *,
        binning: Binning | None = None,
        scores: tuple[FloatArray, FloatArray] | None = None,
        threshold: float = 0.5,
    ) -> Iterator[Comparison]:
        """
        List everything that is compared, part by part; the one place where a comparison is added.

        Parameters
        ----------
        nominal, adversarial : EventTable
            The same events in the same order.
        binning : Binning, optional
            Bins of the inputs, in place of those that this validation says.
        scores : pair of FloatArray, shape (n_events, n_classes), optional
            Nominal and adversarial scores of the network.
        threshold : float
            Score that separates two classes.

        Yields
        ------
        Comparison
            Inputs, correlations, observables, score.

        Raises
        ------
        ValueError
            If the tables do not hold the same events, or the score is compared and none is given.
        """
        if nominal.values.shape != adversarial.values.shape:
            msg = f"the tables hold different events: {nominal.values.shape} and {adversarial.values.shape}"
            raise ValueError(msg)
        if self.score is not None and scores is None:
            msg = "this validation compares the network's score; pass scores=(nominal, adversarial), or take Validation(score=None)"
            raise ValueError(msg)
        for one in self._quantities(nominal, adversarial, binning, scores, threshold):
            separately = one.setting.separately or self.separately
            for part in self.parts(nominal, one.setting):
                yield Comparison(
                    name=one.name,
                    part=part.name,
                    separately=separately,
                    columns=one.columns,
                    values=one.values,
                    events=part.events,
                    all_weights=nominal.weights,
                    share=part.share,
                    caps=one.caps(part, nominal),
                    binning=one.binning,
                    chi2_binning=one.chi2_binning,
                    kind=getattr(one.setting, "kind", "pearson"),
                    scored=one.scored,
                )

    def _quantities(
        self,
        nominal: EventTable,
        adversarial: EventTable,
        binning: Binning | None,
        scores: tuple[FloatArray, FloatArray] | None,
        threshold: float,
    ) -> Iterator[_Quantity]:
        """List what is compared in every part: here a comparison is added."""
        names, values = nominal.features.names, (nominal.values, adversarial.values)
        edges = self.binning(nominal, binning).edges
        if self.inputs is not None:
            yield _Quantity("inputs", names, self.inputs, values, Binning(edges[: len(names)]))
        if self.correlations is not None:
            yield _Quantity("correlations", names, self.correlations, values)
        for place, (name, observable) in enumerate(self.observables.items(), start=len(names)):
            pair = _both(partial(_derived, name=name, marginals=observable), nominal, adversarial)
            yield _Quantity("observables", (name,), observable, pair, Binning(edges[place : place + 1]))
        if self.score is not None and scores is not None:
            yield from self._scored(self.score, nominal, adversarial, scores, threshold)

    def _scored(
        self,
        setting: Marginals,
        nominal: EventTable,
        adversarial: EventTable,
        scores: tuple[FloatArray, FloatArray],
        threshold: float,
    ) -> Iterator[_Quantity]:
        """Score of every node and, with a detector, both together and the flagged fraction."""
        flags = None if self.flagged is None else _both(self._flags, nominal, adversarial)
        for name, before, after in _nodes(*scores):
            binning = self.score_binning(before[:, 0], nominal.constrained, threshold)
            own = _Quantity("score", (name,), setting, (before, after), binning, scored=True, flagged=flags is not None)
            yield own
            if flags is not None:
                n_bins = binning.n_bins
                pair = [binning.indices(s) + n_bins * f for s, f in zip(own.values, flags, strict=True)]
                cells = Binning(np.arange(2.0 * n_bins + 1.0)[np.newaxis])
                yield own._replace(name="score and flag", values=(pair[0], pair[1]), binning=cells)
        if flags is not None:
            cells = Binning(np.array([[0.0, 0.5, 1.0]]))
            yield own._replace(name="flagged fraction", columns=("flagged",), values=flags, binning=cells)

    def _flags(self, table: EventTable) -> FloatArray:
        assert self.flagged is not None  # noqa: S101 - asked for only if it is kept
        return np.asarray(self.flagged.flags(table.network_values), dtype=np.float64)[:, np.newaxis]

    def measure(
        self,
        nominal: EventTable,
        adversarial: EventTable,
        *,
        binning: Binning | None = None,
        scores: tuple[FloatArray, FloatArray] | None = None,
        threshold: float = 0.5,
    ) -> Validated:
        """
        Measure on given events how far every comparison moved, beside its cap.

        Parameters
        ----------
        nominal, adversarial, binning, scores, threshold
            As for :meth:`comparisons`.

        Returns
        -------
        Validated
            From the events alone, whatever a search has kept account of.

        Examples
        --------
        >>> table = EventTable.from_arrays([[0.0, 2.0], [1.0, 0.0], [3.0, 1.0]])
        >>> Validation(score=None).measure(table, table).kept
        True
        """
        found = self.comparisons(nominal, adversarial, binning=binning, scores=scores, threshold=threshold)
        return Validated(
            figures=tuple(figure for comparison in found for figure in comparison.figures()),
            not_compared=tuple(name for name in ("inputs", "score", "correlations") if getattr(self, name) is None),
        )


def identities(nominal: EventTable, adversarial: EventTable, separately: Separately) -> Iterator[Comparison]:
    """
    Recompute the inputs that follow from others.

    Parameters
    ----------
    nominal, adversarial : EventTable
        The same events in the same order.
    separately : {"union", "regions", "processes"}
        How the events are divided.

    Yields
    ------
    Comparison
        One column per derived input, 1 where an event's value is not the recomputed one; nothing without such inputs.
    """
    columns = nominal.features.derived
    if not columns:
        return

    def departing(table: EventTable) -> FloatArray:
        return np.stack([table.features.departs(table.values, j) for j in columns], axis=1).astype(np.float64)

    pair, names = _both(departing, nominal, adversarial), tuple(nominal.features[j].name for j in columns)
    for part in parts_of(nominal, separately):
        yield Comparison(
            name="identities",
            part=part.name,
            separately=separately,
            columns=names,
            values=pair,
            events=part.events,
            all_weights=nominal.weights,
            share=part.share,
            caps=(np.inf,) * len(names),
        )


def _derived(table: EventTable, name: str, marginals: Marginals) -> FloatArray:
    """Compute an observable, shape (n_events, 1)."""
    space = FeatureSpace([*table.features, Feature(name=name, derived=marginals.of)])
    column = table.n_features
    return space.derive(np.column_stack([table.values, np.zeros(table.n_events)]), column)[:, np.newaxis]


def _both(
    compute: Callable[[EventTable], FloatArray], nominal: EventTable, adversarial: EventTable
) -> tuple[FloatArray, FloatArray]:
    """Compute something of two tables; once if they are the same."""
    before = compute(nominal)
    return before, before if adversarial is nominal else compute(adversarial)


def _nodes(before: FloatArray, after: FloatArray) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Columns of independent scores: that of class 1 of two, else all."""
    if before.shape[1] == 2:
        yield "score", before[:, 1:], after[:, 1:]
        return
    for k in range(before.shape[1]):
        yield f"score of class {k}", before[:, k : k + 1], after[:, k : k + 1]


def _with_caps(validation: Validation, change: Callable[[float | AtPower], float | AtPower]) -> Validation:
    def changed(of: Marginals) -> Marginals:
        return replace(of, max_js_distance=change(of.max_js_distance))

    shifts = validation.correlations
    return replace(
        validation,
        inputs=validation.inputs and changed(validation.inputs),
        score=validation.score and changed(validation.score),
        observables={name: changed(marginals) for name, marginals in validation.observables.items()},
        correlations=shifts and replace(shifts, max_shift=change(shifts.max_shift)),
    )
