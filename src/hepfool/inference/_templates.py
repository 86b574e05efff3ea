# SPDX-License-Identifier: BSD-3-Clause
"""Effect of an attack on the fitted variable of one process in one channel."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
from hist import Hist

from hepfool._settings import Nuisance
from hepfool.exceptions import ClippedTemplateWarning
from hepfool.typing import FloatArray, IntArray

#: Goes with every number that treats an attack as a nuisance parameter.
LOWER_LIMIT = "The attack is a lower limit of the worst case under its caps, not one standard deviation."


#: What happens to events below and above the axis.
Flow = Literal["refuse", "fold", "drop"]

_AXES = ("process", "variation")
_VARIATIONS = ("nominal", "adversarial")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variation:
    """
    Yields for one step of a nuisance parameter up and down.

    Attributes
    ----------
    up, down : FloatArray, shape (n_bins,)
        Yields in events, none below zero.
    clipped : IntArray, shape (n_clipped,)
        Bins that would have been negative and were set to zero.
    """

    up: FloatArray
    down: FloatArray
    clipped: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Template:
    """
    Yields of one process in one channel before and after the attack.

    Attributes
    ----------
    channel, sample : str
        As in the analyst's own model.
    nominal, adversarial : FloatArray, shape (n_bins,)
        Yields in events, in the bins of the fit.
    edges : FloatArray, shape (n_bins + 1,), optional
        Bin edges; the numbers of the bins when left out.
    variances : FloatArray, shape (n_bins,), optional
        Squared statistical errors of the nominal yields.
    """

    channel: str
    sample: str
    nominal: FloatArray
    adversarial: FloatArray
    edges: FloatArray | None = None
    variances: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check that all belong to the same bins, and that there is something to shift."""
        for name in ("nominal", "adversarial", "edges", "variances"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, np.array(given, dtype=np.float64))
        n_bins = len(self.nominal)
        wanted = {"adversarial": n_bins, "edges": n_bins + 1, "variances": n_bins}
        for name, size in wanted.items():
            if (given := getattr(self, name)) is not None and given.shape != (size,):
                msg = f"{self._where}: {name} has the shape {given.shape}, expected ({size},) as for {n_bins} bins"
                raise ValueError(msg)
        for name in ("nominal", "adversarial", "variances"):
            if (given := getattr(self, name)) is not None and not np.isfinite(given).all():
                msg = f"{self._where}: yields must be finite, {name} in bin {int(np.argmin(np.isfinite(given)))} is not"
                raise ValueError(msg)
        if self.variances is not None and (self.variances < 0).any():
            msg = (
                f"{self._where}: the variance in bin {int(np.argmin(self.variances))} is negative; fill squared weights"
            )
            raise ValueError(msg)
        for name in ("nominal", "adversarial"):
            if not getattr(self, name).sum() > 0:
                msg = (
                    f"{self._where}: the {name} yields add up to {getattr(self, name).sum():g}; fill this histogram, or "
                    "leave this process out"
                )
                raise ValueError(msg)

    @classmethod
    def of(
        cls, nominal: Hist[Any], adversarial: Hist[Any], *, channel: str, sample: str, flow: Flow = "refuse"
    ) -> Self:
        """
        Take the yields from two histograms.

        Parameters
        ----------
        nominal, adversarial : hist.Hist
            One axis, the same in both.
        channel, sample : str
            As in the analyst's own model.
        flow : {"refuse", "fold", "drop"}
            Refuse events below or above the axis, add them to the first and last bin, or leave them out: as in the
            analyst's model.

        Returns
        -------
        Template
            Edges included, and variances where the histogram has them.

        Raises
        ------
        ValueError
            If the histograms have several axes or different bins, hold means instead of counts, or have events in flow
            bins.
        """
        where = f"{channel}/{sample}"
        if flow not in get_args(Flow):
            msg = f"flow must be one of {', '.join(get_args(Flow))}, got {flow!r}"
            raise ValueError(msg)
        if nominal.ndim != 1 or nominal.axes != adversarial.axes:
            msg = f"{where}: two histograms with the same single axis are needed; project and rebin them"
            raise ValueError(msg)
        if any(histogram.kind != "COUNT" for histogram in (nominal, adversarial)):
            msg = f"{where}: the histograms hold means, not yields; fill them with Weight storage"
            raise ValueError(msg)
        if flow == "refuse":
            for name, histogram in zip(_VARIATIONS, (nominal, adversarial), strict=True):
                _refuse_flow(histogram, f"{where}, {name}")
        variances = nominal.variances(flow=True)
        fold = flow == "fold"
        return cls(
            channel=channel,
            sample=sample,
            nominal=_within(nominal, nominal.values(flow=True), fold=fold),
            adversarial=_within(adversarial, adversarial.values(flow=True), fold=fold),
            edges=nominal.axes[0].edges,
            variances=None if variances is None else _within(nominal, variances, fold=fold),
        )

    def onto(self, yields: FloatArray, *, variances: FloatArray | None = None) -> Self:
        r"""
        Apply the shift to other yields of the same process.

        The attacked events may be a part of the analyst's: the shift is scaled with the total,
        :math:`y_b + (a_b - n_b)\,\sum y / \sum n`.

        Parameters
        ----------
        yields : FloatArray, shape (n_bins,)
            The analyst's yields in events.
        variances : FloatArray, shape (n_bins,), optional
            Their squared statistical errors; those of the template, scaled like its events, when left out.

        Raises
        ------
        ValueError
            If the number of bins differs.

        Examples
        --------
        >>> half = Template(channel="SR", sample="ttbar", nominal=[5.0, 5.0], adversarial=[4.0, 6.0])
        >>> half.onto([12.0, 8.0]).adversarial.tolist()
        [10.0, 10.0]
        """
        target = np.asarray(yields, dtype=np.float64)
        if target.shape != self.nominal.shape:
            msg = (
                f"{self._where}: the template has {len(self.nominal)} bins, the model {target.size}; "
                f"fill the score in the {target.size} bins of the fit"
            )
            raise ValueError(msg)
        factor = target.sum() / self.nominal.sum()
        if variances is None and self.variances is not None:
            variances = factor**2 * self.variances
        return replace(
            self,
            nominal=target,
            adversarial=target + factor * (self.adversarial - self.nominal),
            variances=variances,
        )

    def variation(self, nuisance: Nuisance) -> Variation:
        """
        Make the up and down templates.

        Parameters
        ----------
        nuisance : Nuisance
            Symmetrised or one-sided, and the scale.

        Warns
        -----
        ClippedTemplateWarning
            If a yield would have been negative: the variation is not symmetric there.
        UserWarning
            If the attack changes no yield, so that the parameter has no effect here.
        """
        if np.array_equal(self.adversarial, self.nominal):
            msg = f"{self._where}: the attack changes no yield, so that the parameter has no effect; leave this process out"
            warnings.warn(msg, UserWarning, stacklevel=2)
        shift = nuisance.scale * (self.adversarial - self.nominal)
        up = self.nominal + shift
        down = self.nominal - shift if nuisance.side == "symmetrised" else self.nominal
        clipped = np.flatnonzero((up < 0) | (down < 0))
        if clipped.size:
            msg = (
                f"{self._where}: the {nuisance.side} template would be negative in bins {clipped.tolist()} and is 0 "
                "there; merge bins, or take a one-sided template or a smaller scale"
            )
            warnings.warn(msg, ClippedTemplateWarning, stacklevel=2)
        return Variation(up=np.maximum(up, 0.0), down=np.maximum(down, 0.0), clipped=clipped)

    @property
    def bin_edges(self) -> FloatArray:
        """Edges, or the numbers of the bins."""
        return np.arange(len(self.nominal) + 1.0) if self.edges is None else self.edges

    @property
    def _where(self) -> str:
        return f"channel {self.channel!r}, sample {self.sample!r}"


def _within(histogram: Hist[Any], contents: Any, *, fold: bool) -> FloatArray:
    """Contents of the bins of the axis, with what lies beyond in the first and last one if wanted."""
    traits = histogram.axes[0].traits
    contents = np.array(contents, dtype=np.float64)
    low, high = int(traits.underflow), len(contents) - int(traits.overflow)
    within: FloatArray = contents[low:high].copy()
    if fold:
        within[0] += contents[:low].sum()
        within[-1] += contents[high:].sum()
    return within


def _refuse_flow(histogram: Hist[Any], where: str) -> None:
    traits = histogram.axes[0].traits
    contents = np.asarray(histogram.values(flow=True), dtype=np.float64)
    below = contents[0] if traits.underflow else 0.0
    above = contents[-1] if traits.overflow else 0.0
    if below or above:
        msg = (
            f"{where}: {below:g} events lie below and {above:g} above the axis, beside {histogram.values().sum():g} within; "
            "say flow='fold' "
            "to add them to the first and last bin, or flow='drop', as the analyst's model does"
        )
        raise ValueError(msg)


def _refuse_nameless(histogram: Hist[Any]) -> None:
    """Find events that were filled under a process that the axis does not have."""
    contents = np.asarray(histogram.project("process").values(flow=True), dtype=np.float64)
    lost = contents[len(list(histogram.axes["process"])) :].sum()
    if lost:
        msg = f"{lost:g} events were filled under a process that the axis does not have; name it there, or let the axis grow"
        raise ValueError(msg)


def distinct(templates: Iterable[Template], nuisance: Nuisance) -> tuple[Template, ...]:
    """Refuse an empty list, two templates of the same process and channel, and two meanings of a parameter's name."""
    found = tuple(templates)
    if not found:
        msg = "no template to put into the model; give at least one"
        raise ValueError(msg)
    pairs = [(template.channel, template.sample) for template in found]
    twice = [pair for pair in pairs if pairs.count(pair) > 1]
    if twice:
        msg = (
            f"two templates for channel {twice[0][0]!r}, sample {twice[0][1]!r}: the shift would count twice; give one"
        )
        raise ValueError(msg)
    names = [nuisance.parameter(*pair) for pair in pairs]
    if nuisance.per_channel and nuisance.per_process and len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        msg = f"two pairs of channel and sample would share the parameter {name!r}; rename a channel or a sample"
        raise ValueError(msg)
    return found


def score_templates(
    histogram: Hist[Any], *, channel: str, samples: Sequence[str] | None = None, flow: Flow = "refuse"
) -> tuple[Template, ...]:
    """
    Take one template per process from a histogram of scores.

    Parameters
    ----------
    histogram : hist.Hist
        Axes ``process``, ``variation`` (``nominal``, ``adversarial``) and the fitted variable, such as
        from :func:`hepfool.plots.score_histogram` or a coffea output.
    channel : str
        Channel that these events belong to.
    flow : {"refuse", "fold", "drop"}
        Events below and above the axis, see :meth:`Template.of`.

    Returns
    -------
    tuple of Template
        In the order of the samples.

    Raises
    ------
    ValueError
        If an axis or a process is absent.
    """
    others = [axis for axis in histogram.axes.name if axis not in _AXES]
    if len(others) != 1 or len(histogram.axes) != len(_AXES) + 1:
        msg = f"the histogram has the axes {histogram.axes.name}, expected process, variation and one variable"
        raise ValueError(msg)
    known = list(histogram.axes["process"])
    for axis, wanted in (("process", samples or ()), ("variation", _VARIATIONS)):
        categories = list(histogram.axes[axis])
        unknown = [name for name in wanted if name not in categories]
        if unknown:
            msg = f"no {axis} {unknown[0]!r} in the histogram, only {', '.join(map(str, categories))}"
            raise ValueError(msg)
    _refuse_nameless(histogram)
    selected: Any = {
        sample: [histogram[{"process": sample, "variation": v}] for v in _VARIATIONS] for sample in samples or known
    }
    return tuple(Template.of(*pair, channel=channel, sample=sample, flow=flow) for sample, pair in selected.items())
