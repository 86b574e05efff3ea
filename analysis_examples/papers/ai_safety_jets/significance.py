# SPDX-License-Identifier: BSD-3-Clause
r"""
Relative discovery significance against the threshold, before and after an attack.

A search that selects events above a score changes its significance
:math:`S/\sqrt{B}` (the limit of ``asimov_significance`` for :math:`S \ll B`) by the
factor :math:`\varepsilon_S/\sqrt{\varepsilon_B}`, with the efficiencies of signal
and background.  The threshold is chosen on nominal events; what the attack costs
*there* is what the analysis would lose without knowing (arXiv:1910.08606, sec. IV).

Nominal and varied scores belong to the *same* events.  The bands resample events
with both of their scores, so that what they have in common cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from analysis_examples.papers.ai_safety_jets.efficiencies import ScoredEvents
from hepfool.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "SignificanceChange",
    "SignificanceCurve",
    "SignificanceSettings",
    "SignificanceStudy",
    "compare_significance",
    "optimal_threshold",
    "relative_significance",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignificanceSettings:
    """
    How to look for the optimum and how to resample.

    Attributes
    ----------
    n_thresholds : int
        Thresholds in even steps from 0 to below 1.
    min_background : float
        Effective number of nominal background events that must pass the optimum; without it the highest
        thresholds win by chance.
    n_bootstrap : int
        Resampled sets of events.
    level : float
        Probability content of the bands.
    """

    n_thresholds: int = 200
    min_background: float = 100.0
    n_bootstrap: int = 500
    level: float = 0.68

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.n_thresholds < 2 or self.n_bootstrap < 2:
            msg = (
                "n_thresholds and n_bootstrap must be at least 2, "
                f"got n_thresholds={self.n_thresholds} and n_bootstrap={self.n_bootstrap}"
            )
            raise ValueError(msg)
        if not self.min_background >= 1 or not 0 < self.level < 1:
            msg = (
                "min_background must be at least 1 and level lie between 0 and 1, "
                f"got min_background={self.min_background} and level={self.level}"
            )
            raise ValueError(msg)


class SignificanceChange(NamedTuple):
    """
    Relative change of the significance, such as -0.25 for a loss of a quarter.

    Attributes
    ----------
    value : float
        Dimensionless.
    lower, upper : float
        Ends of the bootstrap band.
    """

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """In per cent, with the band."""
        return f"{100 * self.value:+.1f} % [{100 * self.lower:+.1f}, {100 * self.upper:+.1f}]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignificanceCurve:
    """
    One set of scores at every threshold.

    Attributes
    ----------
    name : str
        Such as ``nominal`` or the attack.
    signal_efficiency, background_efficiency : FloatArray, shape (n_thresholds,)
        Weighted fractions of events above each threshold.
    ratio : FloatArray, shape (n_thresholds,)
        Significance over the nominal one; NaN where one of them does not exist.
    ratio_band : FloatArray, shape (2, n_thresholds)
        Lower and upper end of its bootstrap band; NaN where a resampled set has no background left.
    """

    name: str
    signal_efficiency: FloatArray
    background_efficiency: FloatArray
    ratio: FloatArray
    ratio_band: FloatArray

    @property
    def significance(self) -> FloatArray:
        """Relative significance at each threshold, dimensionless."""
        return relative_significance(self.signal_efficiency, self.background_efficiency)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignificanceStudy:
    """
    Nominal and varied significances of the same events.

    Attributes
    ----------
    thresholds : FloatArray, shape (n_thresholds,)
        Ascending; events above pass.
    nominal : SignificanceCurve
        Unperturbed scores.
    varied : tuple of SignificanceCurve
        The others: attacks, noise.
    optimum : int
        Position of the expected optimum in ``thresholds``.
    n_signal, n_background : int
        Events.
    n_effective_background : FloatArray, shape (n_thresholds,)
        Effective number of nominal background events above each threshold.
    settings : SignificanceSettings
        How the optimum was found and the events were resampled.
    """

    thresholds: FloatArray
    nominal: SignificanceCurve
    varied: tuple[SignificanceCurve, ...]
    optimum: int
    n_signal: int
    n_background: int
    n_effective_background: FloatArray
    settings: SignificanceSettings

    @property
    def threshold(self) -> float:
        """Expected optimum."""
        return float(self.thresholds[self.optimum])

    @property
    def expected(self) -> float:
        """Nominal relative significance at the expected optimum, dimensionless."""
        return float(self.nominal.significance[self.optimum])

    @property
    def enough_background(self) -> BoolArray:
        """Thresholds that leave ``settings.min_background``, shape (n_thresholds,)."""
        return self.n_effective_background >= self.settings.min_background

    def curve(self, name: str) -> SignificanceCurve:
        """
        Find a varied curve.

        Parameters
        ----------
        name : str
            As given to :func:`compare_significance`.

        Returns
        -------
        SignificanceCurve
            The curve of that name.
        """
        for curve in self.varied:
            if curve.name == name:
                return curve
        msg = f"no scores are called {name!r}; use one of {', '.join(c.name for c in self.varied)}"
        raise ValueError(msg)

    def change(self, name: str) -> SignificanceChange:
        """
        Tell what a variation costs at the expected optimum.

        Parameters
        ----------
        name : str
            As given to :func:`compare_significance`.

        Returns
        -------
        SignificanceChange
            Relative change at the threshold, which stays where nominal events put it.
        """
        curve = self.curve(name)
        lower, upper = curve.ratio_band[:, self.optimum] - 1.0
        return SignificanceChange(float(curve.ratio[self.optimum] - 1.0), float(lower), float(upper))


def relative_significance(signal_efficiency: FloatArray, background_efficiency: FloatArray) -> FloatArray:
    r"""
    Change of :math:`S/\sqrt{B}` by a selection.

    Parameters
    ----------
    signal_efficiency, background_efficiency : FloatArray, shape (n_thresholds,)
        Fractions that pass.

    Returns
    -------
    FloatArray, shape (n_thresholds,)
        :math:`\varepsilon_S/\sqrt{\varepsilon_B}`, dimensionless; NaN without background.

    Examples
    --------
    >>> relative_significance(np.array([1.0, 0.5, 0.1]), np.array([1.0, 0.04, 0.0])).tolist()
    [1.0, 2.5, nan]
    """
    known = background_efficiency > 0
    root = np.sqrt(background_efficiency, out=np.full_like(background_efficiency, np.nan), where=known)
    return np.asarray(signal_efficiency / root)


def optimal_threshold(
    labels: IntArray,
    scores: FloatArray,
    *,
    weights: FloatArray | None = None,
    settings: SignificanceSettings | None = None,
) -> float:
    """
    Find the threshold of the largest relative significance.

    Parameters
    ----------
    labels : IntArray, shape (n_events,)
        1 for signal, 0 for background.
    scores : FloatArray, shape (n_events,)
        Nominal scores of class 1.
    weights : FloatArray, shape (n_events,), optional
        Event weights; 1 when left out.
    settings : SignificanceSettings, optional
        Thresholds, and the background that must remain.

    Returns
    -------
    float
        The lowest one if several are equal.

    Raises
    ------
    ValueError
        If the events cannot be used, or no threshold leaves enough background.

    Examples
    --------
    >>> labels, scores = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.1, 0.1, 0.7, 0.6, 0.8])
    >>> optimal_threshold(labels, scores, settings=SignificanceSettings(n_thresholds=10, min_background=1))
    0.1
    """
    settings = settings or SignificanceSettings()
    events = ScoredEvents.checked(labels, {"nominal": scores}, weights)
    thresholds = _grid(settings)
    passed = events.efficiencies(thresholds)[0]
    enough = events.effective_background(thresholds) >= settings.min_background
    found = np.where(enough, relative_significance(*passed), -np.inf)
    if not enough.any():
        msg = (
            f"no threshold leaves {settings.min_background:g} effective background events of "
            f"{int((labels == 0).sum())}; bring more events or lower min_background"
        )
        raise ValueError(msg)
    return float(thresholds[np.argmax(found)])


def compare_significance(
    labels: IntArray,
    nominal: FloatArray,
    varied: Mapping[str, FloatArray],
    *,
    rng: np.random.Generator,
    weights: FloatArray | None = None,
    threshold: float | None = None,
    settings: SignificanceSettings | None = None,
) -> SignificanceStudy:
    """
    Compare the significance of the same events with several scores.

    Parameters
    ----------
    labels : IntArray, shape (n_events,)
        1 for signal, 0 for background.
    nominal : FloatArray, shape (n_events,)
        Scores of class 1 of the unperturbed events, in [0, 1].
    varied : mapping of str to FloatArray, shape (n_events,)
        Scores of the same events after each attack, or under noise.
    rng : numpy.random.Generator
        For the bootstrap.
    weights : FloatArray, shape (n_events,), optional
        Event weights; 1 when left out.
    threshold : float, optional
        Expected optimum, best from :func:`optimal_threshold` of *other* nominal events; by
        default it is found on these, where the nominal significance is then a little too good.
    settings : SignificanceSettings, optional
        Thresholds, minimum background and bootstrap.

    Returns
    -------
    SignificanceStudy
        Curves with bands, and the optimum.

    Raises
    ------
    ValueError
        If scores, labels and weights do not fit, or a class has no weight.

    Examples
    --------
    >>> labels = np.repeat([0, 1], [400, 100])
    >>> scores = np.concatenate([np.linspace(0, 0.9, 400), np.linspace(0.4, 1, 100)])
    >>> study = compare_significance(
    ...     labels, scores, {"down": np.maximum(scores - 0.1, 0)}, rng=np.random.default_rng(1)
    ... )
    >>> study.change("down").upper < 0
    True
    """
    settings = settings or SignificanceSettings()
    if not varied:
        msg = "nothing to compare with; give the scores of at least one attack or noise"
        raise ValueError(msg)
    events = ScoredEvents.checked(labels, {"nominal": nominal, **varied}, weights)
    if threshold is None:
        threshold = optimal_threshold(labels, nominal, weights=weights, settings=settings)
    if not 0.0 <= threshold < 1.0:
        msg = f"the threshold must lie in [0, 1), got {threshold}"
        raise ValueError(msg)
    thresholds = np.union1d(_grid(settings), [threshold])
    efficiencies = events.efficiencies(thresholds)
    ratios = _ratios(efficiencies)
    bands = _bands(events, thresholds, settings, rng)
    curves = [
        SignificanceCurve(name=name, signal_efficiency=s, background_efficiency=b, ratio=ratio, ratio_band=band)
        for name, (s, b), ratio, band in zip(("nominal", *varied), efficiencies, ratios, bands, strict=True)
    ]
    return SignificanceStudy(
        thresholds=thresholds,
        nominal=curves[0],
        varied=tuple(curves[1:]),
        optimum=int(np.searchsorted(thresholds, threshold)),
        n_signal=int((labels == 1).sum()),
        n_background=int((labels == 0).sum()),
        n_effective_background=events.effective_background(thresholds),
        settings=settings,
    )


def _bands(
    events: ScoredEvents, thresholds: FloatArray, settings: SignificanceSettings, rng: np.random.Generator
) -> FloatArray:
    """Bootstrap bands of the ratios to nominal, shape (n_scores, 2, n_thresholds)."""
    replicas = np.stack([_ratios(e) for e in events.resampled(thresholds, settings.n_bootstrap, rng)])
    tail = (1.0 - settings.level) / 2.0
    bands = np.full((replicas.shape[1], 2, len(thresholds)), np.nan)
    known = np.all(np.isfinite(replicas), axis=0)  # (n_scores, n_thresholds)
    for band, values, where in zip(bands, np.moveaxis(replicas, 1, 0), known, strict=True):
        band[:, where] = np.quantile(values[:, where], (tail, 1.0 - tail), axis=0)
    return bands


def _grid(settings: SignificanceSettings) -> FloatArray:
    return np.arange(settings.n_thresholds) / settings.n_thresholds


def _ratios(efficiencies: FloatArray) -> FloatArray:
    """Significance of each set of scores over that of the first, shape (n_scores, n_thresholds)."""
    values = np.stack([relative_significance(signal, background) for signal, background in efficiencies])
    nominal = np.where(values[0] > 0, values[0], np.nan)
    return np.asarray(values / nominal)
