# SPDX-License-Identifier: BSD-3-Clause
"""What an attack achieved."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from hepfool._parts import Part
from hepfool._shown import Displayed, Shown, cap_text
from hepfool.attacks._convergence import weighted_fraction
from hepfool.attacks._problem import Attack
from hepfool.events import EventTable
from hepfool.exceptions import LowStatisticsWarning
from hepfool.statistics._checks import CheckSettings, DetectionTable, run_checks
from hepfool.statistics._comparisons import Comparison, Validated
from hepfool.statistics._compatibility import Compatibility, compare
from hepfool.statistics._roc import auroc_with_error
from hepfool.statistics.marginals import Binning
from hepfool.typing import BoolArray, FloatArray, IntArray
from hepfool.validation import Flags, Validation, identities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hepfool.models.protocols import Classifier
    from hepfool.sums import AttackSums


@dataclass(frozen=True, slots=True, kw_only=True)
class Iteration:
    """
    Where an attack stands.

    Attributes
    ----------
    index : int
        Finished iterations.
    n_iterations : int
        Iterations in all.
    fooling_ratio : float
        Weighted fraction of attacked events with a changed class.
    max_js_distance : float
        Largest distance of a constrained marginal, dimensionless.
    correlation_shift : float
        Relative change of the constrained correlations, dimensionless.
    seconds : float
        Wall time since the start.
    """

    index: int
    n_iterations: int
    fooling_ratio: float
    max_js_distance: float
    correlation_shift: float
    seconds: float

    def __str__(self) -> str:
        """Name the figures, to show how an attack goes on."""
        return f"fooled {self.fooling_ratio:.1%}, max JSD {self.max_js_distance:.4f}, ΔFN {self.correlation_shift:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoolingCounts:
    """
    Numbers of attacked and fooled events, which can be added.

    Attributes
    ----------
    n_events, n_attacked, n_fooled : int
        Plain numbers of events.
    weight_attacked, weight_fooled : float
        Sums of weights.
    """

    n_events: int = 0
    n_attacked: int = 0
    n_fooled: int = 0
    weight_attacked: float = 0.0
    weight_fooled: float = 0.0

    @property
    def fooling_ratio(self) -> float:
        """Weighted fraction of attacked events with a changed class; NaN without attacked events."""
        return self.weight_fooled / self.weight_attacked if self.weight_attacked else float("nan")

    def __add__(self, other: FoolingCounts) -> FoolingCounts:
        """Add the counts of other events."""
        return FoolingCounts(
            n_events=self.n_events + other.n_events,
            n_attacked=self.n_attacked + other.n_attacked,
            n_fooled=self.n_fooled + other.n_fooled,
            weight_attacked=self.weight_attacked + other.weight_attacked,
            weight_fooled=self.weight_fooled + other.weight_fooled,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """
    Events that were not attacked, as their weights leave nothing to compare.

    Attributes
    ----------
    name : str
        Of the region, or of the process in it, such as ``low_mt, ttbar``.
    n_events : int
        Plain number.
    weight : float
        Sum of their weights, which is not positive unless they leave the variance of an input negative.
    """

    name: str
    n_events: int
    weight: float

    @classmethod
    def of(cls, part: Part, table: EventTable) -> LeftOut:
        """Describe a part of a table."""
        return cls(name=part.name, n_events=int(part.events.sum()), weight=float(table.weights[part.events].sum()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AttackResult(Displayed):
    """
    Nominal and adversarial events, and what the attack achieved.

    Attributes
    ----------
    attack : Attack
        The attack; its ``repr`` is its provenance.
    nominal, adversarial : EventTable
        The same events in the same order.
    attacked, fooled : BoolArray, shape (n_events,)
        Events that were attacked, and those among them with a changed class.
    nominal_scores, adversarial_scores : FloatArray, shape (n_events, n_classes)
        Class probabilities before and after.
    binning : Binning
        Bins in which the marginals are constrained and compared.
    compatibility : Compatibility
        Distances over all constrained events.
    validation : Validation, optional
        What the attack had to keep; None for an attack that keeps nothing.
    threshold : float
        Score that separates two classes.
    validated : Validated
        Every comparison of ``validation`` in every part, recomputed from the events, beside its cap.
    classes : IntArray, shape (n_events,)
        Class that the network gave the nominal events; empty if it was not kept.
    history : tuple of Iteration
        One record per iteration if asked for.
    classifier_digest : str
        Which network was attacked.
    iterations_done : int
        Fewer than planned if the attack converged before, or after an interrupt.
    converged : bool, optional
        Whether the last iterations gained less than the statistical error, see :mod:`hepfool.attacks._convergence`; None if
        the attack does not ask.
    enveloped : BoolArray, shape (n_events,)
        Events whose values an envelope limits; empty if there was none.
    not_attacked : tuple of LeftOut
        Regions or processes that the validation compares by themselves, but whose weights do not sum to a positive number;
        their events stayed as they were and are not among the attacked ones.
    provenance : mapping
        Random state and further settings.
    """

    attack: Attack
    nominal: EventTable
    adversarial: EventTable
    attacked: BoolArray
    fooled: BoolArray
    nominal_scores: FloatArray
    adversarial_scores: FloatArray
    binning: Binning
    compatibility: Compatibility
    validation: Validation | None = None
    threshold: float = 0.5
    validated: Validated = field(default_factory=Validated)
    classes: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    history: tuple[Iteration, ...] = ()
    classifier_digest: str = ""
    iterations_done: int = 0
    converged: bool | None = None
    enveloped: BoolArray = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    not_attacked: tuple[LeftOut, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def _shown(self) -> Shown:
        counts, compared = self.counts(), self.compatibility
        furthest = compared.ranked()[-1]
        figures = [
            (f"{f.comparison}, {f.part}", f.column, f"{f.value:.4f}", cap_text(f.cap)) for f in self.validated.largest()
        ]
        return Shown(
            f"{type(self.attack).__name__}: fooling ratio {self.fooling_ratio:.4f} ± {self.fooling_ratio_error:.4f}, "
            f"{counts.n_fooled} of {counts.n_attacked} attacked events ({counts.n_events} in all)",
            ("compared", "furthest", "moved by", "cap"),
            figures or [("inputs", furthest, f"{compared.max_js_distance:.4f}", "none")],
            (
                f"network: accuracy {self.accuracy:.4f}, AUROC {self.auroc:.4f}",
                f"correlation shift {compared.correlation_shift:.4f}",
                "interrupted: fewer iterations were done than planned" if self.interrupted else "",
                "the search had not converged" if self.converged is False else "",
            ),
        )

    def plot(self, region: str | None = None, **style: Any) -> Figure:
        """
        Draw the inputs that moved least, in the middle and most.

        Parameters
        ----------
        region : str, optional
            Region of the events; all constrained events by default.
        **style
            Of :class:`~hepfool.plots.PlotStyle`, such as ``experiment="ATLAS"``.

        Returns
        -------
        matplotlib.figure.Figure
            Shown by a notebook; ``savefig`` writes it.
        """
        from hepfool import plots  # noqa: PLC0415 - which stand above the attacks, and load drawing libraries

        shown = plots.representative_marginals(self, region=region)
        return plots.plot_marginals(shown, style=plots.PlotStyle(**style))[0]

    @property
    def fooling_ratio(self) -> float:
        """Weighted fraction of attacked events whose class changed (arXiv:2603.13970, eq. 5)."""
        return self.counts().fooling_ratio

    @property
    def fooling_ratio_error(self) -> float:
        """Statistical standard error of the fooling ratio, the attacked events taken as a sample."""
        return weighted_fraction(self.fooled[self.attacked], self.nominal.weights[self.attacked])[1]

    @property
    def moved(self) -> BoolArray:
        """Attacked events of which at least one value was moved."""
        return self.attacked & moved_events(self.nominal, self.adversarial.values)

    @property
    def helpers(self) -> BoolArray:
        """Events that are not attacked and moved, so that others could take their place; they count in no fooling ratio."""
        return ~self.attacked & moved_events(self.nominal, self.adversarial.values)

    @property
    def accuracy(self) -> float:
        """Weighted fraction of the labelled nominal events that the network classifies correctly, weights by their size."""
        known = self.nominal.labels >= 0
        if not len(self.classes) or not known.any():
            return float("nan")
        right = (self.classes == self.nominal.labels)[known]
        return weighted_fraction(right, np.abs(self.nominal.weights[known]))[0]

    @property
    def auroc(self) -> float:
        """Area under the nominal ROC curve, weights by their size; NaN unless there are two classes."""
        known = self.nominal.labels >= 0
        labels, weights = self.nominal.labels[known], self.nominal.weights[known]
        populated = {int(label) for label in labels[weights != 0]}
        if self.nominal_scores.shape[1] != 2 or populated != {0, 1}:
            return float("nan")
        return auroc_with_error(labels, self.nominal_scores[known, 1], weights)[0]

    @property
    def interrupted(self) -> bool:
        """Whether the attack was stopped before its last iteration, other than by itself."""
        return self.iterations_done < self.attack.n_iterations and not self.converged

    def sums(self, classifier: Classifier, **options: Any) -> AttackSums:
        """
        Sum up the events for verdict, report, figures and fit, see :func:`hepfool.sums.sums_of`.

        Parameters
        ----------
        classifier : Classifier
            The attacked network.
        **options
            ``detector``, ``flagged`` and ``selected_class``.

        Returns
        -------
        AttackSums
            To be added to those of other events that were attacked alike.
        """
        from hepfool.sums import sums_of  # noqa: PLC0415 - which stands above the attacks

        return sums_of(self, classifier, **options)

    def counts(self, events: BoolArray | None = None) -> FoolingCounts:
        """
        Count attacked and fooled events.

        Parameters
        ----------
        events : BoolArray, shape (n_events,), optional
            Part of the events, such as a region's mask; all by default.

        Returns
        -------
        FoolingCounts
            Numbers and sums of weights.
        """
        chosen = np.ones(len(self.attacked), dtype=np.bool_) if events is None else events
        attacked, fooled = self.attacked & chosen, self.fooled & chosen
        return FoolingCounts(
            n_events=int(chosen.sum()),
            n_attacked=int(attacked.sum()),
            n_fooled=int(fooled.sum()),
            weight_attacked=float(self.nominal.weights[attacked].sum()),
            weight_fooled=float(self.nominal.weights[fooled].sum()),
        )

    def compare(self, region: str) -> Compatibility:
        """
        Compare nominal and adversarial events of one region.

        Parameters
        ----------
        region : str
            Region name, or that of another part that the validation compares by itself, such as ``low_mt, ttbar``.

        Returns
        -------
        Compatibility
            Distances in the bins of the attack.
        """
        names = {one.name for one in self.nominal.regions}
        parts = {} if region in names else {one.part: one.events for one in self.comparisons()}
        mask = parts[region] if region in parts else self.nominal.region(region).mask
        return compare(self.nominal, self.adversarial, self.binning, events=mask, region=region)

    def comparisons(self, validation: Validation | None = None) -> Iterator[Comparison]:
        """
        List what is compared in these events, part by part.

        Parameters
        ----------
        validation : Validation, optional
            Which comparisons; those that the attack had to keep by default.

        Yields
        ------
        Comparison
            With the events of one part before and after.
        """
        chosen = self.validation if validation is None else validation
        if chosen is not None:
            yield from chosen.comparisons(
                self.nominal,
                self.adversarial,
                binning=self.binning,
                scores=(self.nominal_scores, self.adversarial_scores),
                threshold=self.threshold,
            )

    def checks(
        self,
        settings: CheckSettings,
        *,
        rng: np.random.Generator,
        validation: Validation | None = None,
        flagged: Flags | None = None,
    ) -> DetectionTable:
        """
        Find which check would have caught the attack.

        Parameters
        ----------
        settings : CheckSettings
            Data events, checks and toys.
        rng : numpy.random.Generator
            Source of randomness.
        validation : Validation, optional
            What the analysis looks at.  By default that of the attack, if it states one, and the score in any case; else that of an
            analysis that compares inputs, score and correlations in each region, whatever the attack kept.
        flagged : Flags, optional
            Detector, whose flagged fraction is compared too.

        Returns
        -------
        DetectionTable
            The strongest check first.
        """
        made = validation or getattr(self.attack, "validation", None) or Validation()
        if validation is None:
            made = replace(made, score=made.score or Validation().score)
        made = made if flagged is None else replace(made, flagged=flagged)
        found = chain(self.comparisons(made), identities(self.nominal, self.adversarial, made.separately))
        return run_checks(found, settings, rng=rng)


def moved_events(table: EventTable, values: FloatArray) -> BoolArray:
    """
    Mark the events of which a value differs.

    Parameters
    ----------
    table : EventTable
        Nominal events.
    values : FloatArray, shape (n_events, n_features)
        The same events after an attack; missing values do not count.

    Returns
    -------
    BoolArray, shape (n_events,)
        True where anything moved.
    """
    return np.asarray(((values != table.values) & ~table.missing).any(axis=1))


def warn_of_ratio(counts: FoolingCounts) -> None:
    """
    Say so if a fooling ratio is no fraction, as events of negative weight can make it.

    Parameters
    ----------
    counts : FoolingCounts
        Of all attacked events.

    Warns
    -----
    LowStatisticsWarning
        If the ratio lies outside of 0 to 1, or has no denominator.
    """
    if not counts.n_attacked or 0.0 <= counts.fooling_ratio <= 1.0:
        return
    warnings.warn(
        f"the weighted fooling ratio {counts.fooling_ratio:g} is no fraction, because events of negative weight outweigh others "
        f"(fooled {counts.weight_fooled:g} of {counts.weight_attacked:g}); {counts.n_fooled} of {counts.n_attacked} events were "
        "fooled: quote this fraction, or attack more events",
        LowStatisticsWarning,
        stacklevel=3,
    )
