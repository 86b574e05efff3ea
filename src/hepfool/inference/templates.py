# SPDX-License-Identifier: BSD-3-Clause
"""What an attack does to the fitted variable of one process in one channel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
from hist import Hist

from hepfool.exceptions import ClippedTemplateWarning
from hepfool.typing import FloatArray, IntArray

__all__ = ["UPPER_BOUND", "Nuisance", "Side", "Template", "Variation", "score_templates"]

#: Goes with every number that treats an attack as a nuisance parameter.
UPPER_BOUND = "The attack is an upper bound on such a shift, not one standard deviation."

Side = Literal["symmetrised", "one-sided"]

_AXES = ("process", "variation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nuisance:
    """
    How the attack enters a fit.

    Attributes
    ----------
    name : str
        Of the nuisance parameter.
    side : {"symmetrised", "one-sided"}
        Whether the down variation mirrors the attack, or is the nominal distribution. A one-sided
        template has a kink at zero: take intervals from the profile likelihood, not from a curvature.
    per_process : bool
        Whether every process has a parameter of its own, named ``<name>_<process>``.
    scale : float
        Factor on the shift: 1 takes the upper bound for one standard deviation.

    Examples
    --------
    >>> Nuisance(per_process=True).parameter("ttbar")
    'adversarial_ttbar'
    """

    name: str = "adversarial"
    side: Side = "symmetrised"
    per_process: bool = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check side and scale."""
        if self.side not in get_args(Side):
            msg = f"side must be one of {', '.join(get_args(Side))}, got {self.side!r}"
            raise ValueError(msg)
        if not (np.isfinite(self.scale) and self.scale > 0):
            msg = f"scale must be positive, got {self.scale}"
            raise ValueError(msg)

    def parameter(self, sample: str) -> str:
        """
        Name the parameter of a process.

        Parameters
        ----------
        sample : str
            The process.

        Returns
        -------
        str
            The common name, or one of its own.
        """
        return f"{self.name}_{sample}" if self.per_process else self.name


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
        if not np.isfinite(self.nominal).all() or not np.isfinite(self.adversarial).all():
            msg = f"{self._where}: yields must be finite"
            raise ValueError(msg)
        if not self.nominal.sum() > 0:
            msg = f"{self._where}: the nominal yields add up to {self.nominal.sum():g}; leave this process out"
            raise ValueError(msg)

    @classmethod
    def of(cls, nominal: Hist[Any], adversarial: Hist[Any], *, channel: str, sample: str) -> Self:
        """
        Take the yields from two histograms.

        Parameters
        ----------
        nominal, adversarial : hist.Hist
            One axis, the same in both; flow bins do not count.
        channel, sample : str
            As in the analyst's own model.

        Returns
        -------
        Template
            With edges and variances.

        Raises
        ------
        ValueError
            If the histograms have several axes or different bins.
        """
        if nominal.ndim != 1 or nominal.axes != adversarial.axes:
            msg = f"{channel}/{sample}: two histograms with the same single axis are needed; project and rebin them"
            raise ValueError(msg)
        variances = nominal.variances()
        return cls(
            channel=channel,
            sample=sample,
            nominal=np.asarray(nominal.values()),
            adversarial=np.asarray(adversarial.values()),
            edges=nominal.axes[0].edges,
            variances=None if variances is None else np.asarray(variances, dtype=np.float64),
        )

    def onto(self, yields: FloatArray) -> Self:
        r"""
        Apply the shift to other yields of the same process.

        The attacked events may be a part of the analyst's: the shift is scaled with the total,
        :math:`y_b + (a_b - n_b)\,\sum y / \sum n`.

        Parameters
        ----------
        yields : FloatArray, shape (n_bins,)
            The analyst's yields in events.

        Returns
        -------
        Template
            With these as nominal.

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
        return replace(
            self, nominal=target, adversarial=target + factor * (self.adversarial - self.nominal), variances=None
        )

    def variation(self, nuisance: Nuisance) -> Variation:
        """
        Make the up and down templates.

        Parameters
        ----------
        nuisance : Nuisance
            Symmetrised or one-sided, and the scale.

        Returns
        -------
        Variation
            Without negative yields.

        Warns
        -----
        ClippedTemplateWarning
            If a yield would have been negative: the variation is not symmetric there.
        """
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


def score_templates(
    histogram: Hist[Any], *, channel: str, samples: Sequence[str] | None = None
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
    samples : sequence of str, optional
        Processes; all by default.

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
    unknown = [name for name in samples or () if name not in known]
    if unknown:
        msg = f"no process {unknown[0]!r} in the histogram, only {', '.join(known)}"
        raise ValueError(msg)
    selected: Any = {
        sample: [histogram[{"process": sample, "variation": v}] for v in ("nominal", "adversarial")]
        for sample in samples or known
    }
    return tuple(Template.of(*pair, channel=channel, sample=sample) for sample, pair in selected.items())
